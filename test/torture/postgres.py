# Copyright (c) 2026, the outbox developers
"""PostgreSQL servers, and what can be done to their processes."""
import os
import re
import shutil
import signal
import subprocess
import time

import pq

BIN = subprocess.check_output([os.environ.get('PG_CONFIG', 'pg_config'), '--bindir'],
                              text=True).strip()
LONG = 60    # seconds; what takes longer hangs

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{directory}'
port = {port}
fsync = off
shared_buffers = 32MB
max_connections = 60
max_worker_processes = 16
max_prepared_transactions = 40
wal_level = replica
wal_keep_size = 256MB
checkpoint_timeout = 30s
lock_timeout = 20s
log_line_prefix = '%m [%p] %b '
log_statement = none
log_min_error_statement = panic
shared_preload_libraries = 'outbox'
outbox.redis_url = '{url}'
outbox.retention = {retention}
"""


class Failed(Exception):
    """A tool failed; the text says what it said."""


def tool(name, *words, **more):
    """A program of PostgreSQL's; raises Failed."""
    done = subprocess.run([f'{BIN}/{name}', *words], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment(), timeout=10 * LONG, **more)
    if done.returncode:
        raise Failed(f'{name}: {done.stdout.strip()[-500:]}')
    return done.stdout


def environment():
    return {**{k: v for k, v in os.environ.items() if not k.startswith('PG')}, 'LC_ALL': 'C'}


def wait_for(true, seconds=LONG):
    """The function's value as soon as it is true, or None.  By as much as a nap
    takes too long, the machine's fault, it waits longer."""
    end = time.monotonic() + seconds
    nap = 0.005
    while True:
        value = true()
        if value:
            return value
        begin = time.monotonic()
        if begin > end:
            return None
        time.sleep(nap)
        end += time.monotonic() - begin - nap
        nap = min(nap * 1.5, 0.1)


def state_of(pid):
    """A process's state letter; Z also for one that is gone."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rpartition(')')[2].split()[0]
    except OSError:
        return 'Z'


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def freeze(pids):
    """Stops processes, and returns when they stand still."""
    for pid in pids:
        send(pid, signal.SIGSTOP)
    wait_for(lambda: all(state_of(pid) in 'TtZX' for pid in pids))


class Server:
    """One data directory and the server on it.  Up: it is meant to run."""

    def __init__(self, directory, name, port):
        self.directory = directory
        self.name = name
        self.label = name      # changes when it is set back: another history
        self.port = port
        self.data = f'{directory}/{name}'
        self.log = f'{directory}/{name}.log'
        self.frozen = []
        self.said = ''
        self.up = False

    def conninfo(self, database='postgres'):
        return f'host={self.directory} port={self.port} user=postgres dbname={database} connect_timeout=20'

    def make(self, template, url, retention):
        """A new cluster, from a copy of one that initdb has made."""
        shutil.copytree(template, self.data, symlinks=True)
        self.configure(SETTINGS.format(directory=self.directory, port=self.port, url=url,
                                       retention=retention))

    def configure(self, text):
        with open(f'{self.data}/postgresql.auto.conf', 'a') as f:
            f.write(text)

    def start(self):
        """Starts it, however it ended: a lock file of dead processes may be in the way for a moment."""
        def started():
            try:
                tool('pg_ctl', '-D', self.data, '-l', self.log, '-w', '-t', str(LONG), 'start')
                return True
            except Failed as e:
                self.said = str(e)
                return False
        if not wait_for(started):
            raise Failed(f'{self.name} does not start: {self.said}')
        self.up = True

    def stop(self, mode):
        """fast or immediate.  What is frozen goes on first: a stop waits for it."""
        self.thaw()
        self.up = False
        try:
            tool('pg_ctl', '-D', self.data, '-m', mode, '-w', '-t', str(LONG), 'stop')
        except Failed:
            if self.pids():
                raise

    def postmaster(self):
        try:
            with open(f'{self.data}/postmaster.pid') as f:
                pid = int(f.readline())
            with open(f'/proc/{pid}/cmdline') as f:
                return pid if self.data in f.read() else None
        except (OSError, ValueError):
            return None

    def is_whole(self):
        """It is down, and has written all that it had to its volume and to its standbys."""
        return 'shut down\n' in tool('pg_controldata', '-D', self.data)

    def pids(self, title=''):
        """Its processes whose titles match, the postmaster first (if title is empty)."""
        postmaster = self.postmaster()
        if postmaster is None:
            return []
        found = [] if title else [postmaster]
        for name in os.listdir('/proc'):
            if not name.isdigit():
                continue
            try:
                with open(f'/proc/{name}/stat') as f:
                    parent = int(f.read().rpartition(')')[2].split()[1])
                if parent != postmaster:
                    continue
                with open(f'/proc/{name}/cmdline') as f:
                    if re.search(title, f.read().replace('\0', ' ')):
                        found.append(int(name))
            except OSError:
                continue
        return found

    def reload(self):
        """A signal reaches it also while it is frozen; a server that is down reads its files anyway."""
        postmaster = self.postmaster()
        if postmaster:
            send(postmaster, signal.SIGHUP)

    def kill(self, title):
        """kill -9 of those whose titles match; how many there were."""
        pids = self.pids(title)
        for pid in pids:
            send(pid, signal.SIGKILL)
        return len(pids)

    def freeze(self, pids):
        freeze(pids)
        self.frozen += pids

    def thaw(self):
        for pid in self.frozen:
            send(pid, signal.SIGCONT)
        self.frozen = []

    def end_of_machine(self):
        """All processes stand still, then all are killed: none sees another die."""
        self.up = False
        freeze(self.pids()[:1])
        pids = self.pids()
        freeze(pids)
        for pid in reversed(pids):
            send(pid, signal.SIGKILL)
        self._after_kill(pids)

    def kill_postmaster(self):
        """kill -9 of the postmaster alone: its children see it and go."""
        self.thaw()
        self.up = False
        pids = self.pids()
        if pids:
            send(pids[0], signal.SIGKILL)
        self._after_kill(pids)

    def _after_kill(self, pids):
        if not wait_for(lambda: all(state_of(pid) in 'ZX' for pid in pids)):
            raise Failed('the server survived being killed')
        self.frozen = []
        for path in (f'{self.data}/postmaster.pid', f'{self.directory}/.s.PGSQL.{self.port}.lock'):
            if os.path.exists(path):
                os.unlink(path)

    def session(self, database='postgres'):
        return pq.Session(self.conninfo(database))

    def ask(self, sql, *values, database='postgres'):
        """Rows, or None if the server can't say now."""
        if not self.up or self.frozen:
            return None
        try:
            with self.session(database) as session:
                return session.run(sql, *values)
        except (pq.Lost, pq.Refused) as e:
            self.said = str(e)
            return None

    def patiently(self, sql, *values, database='postgres'):
        """Rows, sooner or later: the server is meant to be there."""
        answer = []

        def answered():
            rows = self.ask(sql, *values, database=database)
            answer[:] = [rows]
            return rows is not None
        if not wait_for(answered):
            raise Failed(f'{self.name} does not answer: {self.said}: {sql}')
        return answer[0]

    def backup(self, name, port, *words):
        """A base backup of this server as another one, not started."""
        other = Server(self.directory, name, port)

        def copied():
            try:
                tool('pg_basebackup', '-D', other.data, '-c', 'fast', '--no-sync', '-d',
                     f'host={self.directory} port={self.port} user=postgres', *words)
                return True
            except Failed as e:      # it may be on its way up again
                self.said = str(e)
                shutil.rmtree(other.data, ignore_errors=True)
                return False
        if not wait_for(copied):
            raise Failed(self.said)
        other.configure(f'port = {port}\n')
        return other

    def promote(self):
        tool('pg_ctl', '-D', self.data, '-w', '-t', str(LONG), 'promote')

    def cold_copy(self, name):
        """Of the data directory, while it is down."""
        shutil.copytree(self.data, f'{self.directory}/{name}', symlinks=True)

    def set_back(self, name):
        """The data directory is that copy again; a new history begins."""
        shutil.rmtree(self.data)
        os.rename(f'{self.directory}/{name}', self.data)
        self.label += "'"
