# Copyright (c) 2026, the outbox developers
"""A throwaway PostgreSQL and a throwaway Redis in one temporary directory.

Only the standard library is used, so that the benchmark runs wherever the
extension can be built: SQL goes through psql, load through pgbench, and Redis
is spoken to by the few lines of RESP below, which are never in a measured path.

Both servers listen on unix sockets inside the directory, so nothing collides
with anything that is installed.  fsync stays on: a commit that does not wait
for the disk would hide what an outbox costs.  Redis writes no file: the ratios
are about the relay, not about Redis' disk.
"""

import os
import re
import socket
import subprocess
import time
from contextlib import contextmanager

from cpu import reaped_seconds

POSTGRES_SETTINGS = """
listen_addresses = ''
port = 5432
unix_socket_directories = '{dir}'
shared_preload_libraries = 'outbox'
shared_buffers = 256MB
max_wal_size = 4GB
max_worker_processes = 16
outbox.redis_url = 'unix://{redis}'
"""

# What a queue of words has, as the bodies are no JSON.
TEXT = """settings => '{"payload_type": "text"}'"""


class BenchError(Exception):
    """Something cannot be measured; the text says what."""


def wait_until(what, happened, seconds=120):
    """Poll until happened() is true."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Redis:
    def __init__(self, directory, *words):
        self.socket_path = f"{directory}/redis.sock"
        self.log = f"{directory}/redis.log"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket_path,
             "--save", "", "--appendonly", "no", "--dir", directory,
             "--logfile", self.log, *map(str, words)])
        self.pid = self.process.pid
        wait_until("redis-server", self._answers, 60)

    def _answers(self):
        if self.process.poll() is not None:
            raise BenchError(f"redis-server ended at once; see {self.log}")
        try:
            self._file = self._connect()
            return self.command("PING") == "PONG"
        except OSError:
            return False

    def _connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.socket_path)
        return s.makefile("rwb")

    def command(self, *words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            data = str(word).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self._file.write(b"".join(out))
        self._file.flush()
        return self._reply()

    def _reply(self):
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b"-":
            raise BenchError(f"redis: {rest}")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._file.read(size + 2)[:-2].decode()
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        raise BenchError("redis: connection lost")

    def stream_length(self, stream):
        return self.command("XLEN", stream)

    def stream_times(self, stream):
        """When the first entry was added, and when the last, by Redis' own clock.

        The ids hold it in milliseconds: no polling disturbs the measurement,
        and both sides are measured by one clock."""
        return [int(self.command(*words)[0][0].split("-")[0]) / 1000
                for words in (("XRANGE", stream, "-", "+", "COUNT", 1),
                              ("XREVRANGE", stream, "+", "-", "COUNT", 1))]

    def stream_seconds(self, *streams):
        """From the first entry of any of them to the last."""
        times = [self.stream_times(stream) for stream in streams]
        return max(last for _, last in times) - min(first for first, _ in times)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Postgres:
    def __init__(self, directory, redis):
        self.directory = directory
        self.redis_url = f"unix://{redis.socket_path}"
        self.data = f"{directory}/data"
        self.log = f"{directory}/postgres.log"
        self.bin = subprocess.check_output(
            ["pg_config", "--bindir"], text=True).strip()
        self._checked("initdb", "-D", self.data, "-U", "bench", "-E", "UTF8",
                      "--locale=C", "--auth=trust")
        with open(f"{self.data}/postgresql.conf", "a") as conf:
            conf.write(POSTGRES_SETTINGS.format(dir=directory,
                                                redis=redis.socket_path))
        self.start()
        self.psql("CREATE EXTENSION outbox")

    def _checked(self, tool, *words):
        done = subprocess.run([f"{self.bin}/{tool}", *words], text=True,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise BenchError(f"{tool} failed:\n{done.stdout}"
                             f"\nsee {self.directory}")
        return done.stdout

    def start(self, program=None):
        """program: instead of bin/postgres"""
        self._checked("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "300",
                      *(("-p", program) if program else ()), "start")
        with open(f"{self.data}/postmaster.pid") as f:
            self.pid = int(f.readline())

    def stop(self, mode="immediate"):
        subprocess.run([f"{self.bin}/pg_ctl", "-D", self.data, "-m", mode,
                        "-w", "-t", "300", "stop"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def _backends(self):
        """Process numbers of the sessions there are, and of those that have ended, are
        not reaped, and have no title any more."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
            children = f.read().split()
        found = set()
        for child in children:
            try:
                with open(f"/proc/{child}/cmdline") as f:
                    title = f.read()
                if not title or "[local]" in title:
                    found.add(child)
            except OSError:
                pass            # it has just ended
        return found

    @contextmanager
    def backends_cpu(self):
        """Yields a list; then it has the CPU seconds of sessions that began and ended
        meanwhile."""
        there, used, result = self._backends(), reaped_seconds(self.pid), []
        yield result
        wait_until("backends to end", lambda: self._backends() <= there)
        result.append(reaped_seconds(self.pid) - used)

    def conninfo(self, db="postgres", settings=()):
        options = " ".join(f"-c {s}" for s in settings)
        return (f"host={self.directory} port=5432 dbname={db} user=bench"
                f" options='{options}'")

    def _environment(self, settings=()):
        mine = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return dict(mine, PGHOST=self.directory, PGPORT="5432", PGUSER="bench",
                    PGDATABASE="postgres",
                    PGOPTIONS=" ".join(f"-c {s}" for s in settings))

    def psql(self, sql, db="postgres"):
        done = subprocess.run(
            [f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", db, "-f", "-"],
            input=sql, text=True, env=self._environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise BenchError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def open_session(self, sql):
        """A session that has run sql and stays open; close with close_session."""
        session = subprocess.Popen(
            [f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1"], text=True,
            env=self._environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        session.stdin.write(f"{sql}\n\\echo open\n")
        session.stdin.flush()
        while (line := session.stdout.readline()).strip() != "open":
            if not line:
                raise BenchError("a psql session ended early")
        return session

    @staticmethod
    def close_session(session):
        session.stdin.close()
        session.wait()

    def start_pgbench(self, script, clients, amount, settings=(), variables=(), rate=None):
        """Run a script by the prepared protocol; amount is ('-T', seconds) or
        ('-t', transactions per client), rate how many to begin each second."""
        path = f"{self.directory}/script.sql"
        with open(path, "w") as f:
            f.write(script)
        words = [f"{self.bin}/pgbench", "-n", "-M", "prepared", "-f", path,
                 "-c", str(clients), "-j", "1", amount[0], str(amount[1])]
        if rate:
            words += ["-R", str(rate)]
        for name, value in variables:
            words += ["-D", f"{name}={value}"]
        return subprocess.Popen(words, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT,
                                env=self._environment(settings))

    @staticmethod
    def finish_pgbench(process):
        """(transactions per second without the time to connect, transactions)"""
        out, _ = process.communicate()
        done = re.search(r"actually processed: (\d+)", out)
        tps = re.search(r"^tps = ([\d.]+)", out, re.MULTILINE)
        if process.returncode != 0 or not done or not tps:
            raise BenchError(f"pgbench failed:\n{out}")
        return float(tps[1]), int(done[1])

    def pgbench(self, *args, **kwargs):
        return self.finish_pgbench(self.start_pgbench(*args, **kwargs))

    def set(self, name, value):
        """Set for the server and make sure that a new session sees it."""
        self.psql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.psql("SELECT pg_reload_conf()")
        wait_until(f"{name} to be reloaded", lambda: self.psql(
            f"SELECT current_setting('{name}') = '{value}'") == "t", 10)

    def reset(self, name):
        self.psql(f"ALTER SYSTEM RESET {name}")
        self.psql("SELECT pg_reload_conf()")

    def wal_position(self):
        return self.psql("SELECT pg_current_wal_insert_lsn()")

    def wal_between(self, begin, end):
        """Bytes of WAL by kind of record, without images of pages, and the sum of
        those; and all together with such images and the space between records.
        pg_waldump says so."""
        self.psql("CHECKPOINT")     # all of it is in files
        files = self.psql(f"SELECT pg_walfile_name('{begin}'::pg_lsn + 1);"
                          f"SELECT pg_walfile_name('{end}')").split()
        out = self._checked("pg_waldump", "--stats=record", "-s", begin, "-e", end,
                            "-p", f"{self.data}/pg_wal", *files)
        kinds = {m[1]: int(m[2]) for m in re.finditer(
            r"^(\S+/\S+)\s+\d+ \([^)]*\)\s+(\d+) ", out, re.MULTILINE)}
        return kinds, sum(kinds.values()), int(self.psql(
            f"SELECT '{end}'::pg_lsn - '{begin}'::pg_lsn"))
