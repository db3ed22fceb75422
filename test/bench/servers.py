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
import shutil
import signal
import socket
import subprocess
import tempfile
import time

POSTGRES_SETTINGS = """
listen_addresses = ''
port = 5432
unix_socket_directories = '{dir}'
shared_preload_libraries = 'outbox'
shared_buffers = 256MB
max_wal_size = 4GB
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
    def __init__(self, directory):
        self.socket_path = f"{directory}/redis.sock"
        self.log = f"{directory}/redis.log"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket_path,
             "--save", "", "--appendonly", "no", "--dir", directory,
             "--logfile", self.log])
        wait_until("redis-server", self._answers, 10)

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

    def stream_seconds(self, stream):
        """Time from the first entry to the last, by Redis' own clock.

        The ids hold it in milliseconds: no polling disturbs the measurement,
        and both sides are measured by one clock."""
        first = self.command("XRANGE", stream, "-", "+", "COUNT", 1)[0][0]
        last = self.command("XREVRANGE", stream, "+", "-", "COUNT", 1)[0][0]
        return (int(last.split("-")[0]) - int(first.split("-")[0])) / 1000

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
        self._checked("pg_ctl", "-D", self.data, "-l", self.log, "-w", "start")
        self.psql("CREATE EXTENSION outbox")

    def _checked(self, tool, *words):
        done = subprocess.run([f"{self.bin}/{tool}", *words], text=True,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise BenchError(f"{tool} failed:\n{done.stdout}"
                             f"\nsee {self.directory}")

    @property
    def conninfo(self):
        return f"host={self.directory} port=5432 dbname=postgres user=bench"

    def _environment(self, settings=()):
        mine = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return dict(mine, PGHOST=self.directory, PGPORT="5432", PGUSER="bench",
                    PGDATABASE="postgres",
                    PGOPTIONS=" ".join(f"-c {s}" for s in settings))

    def psql(self, sql):
        done = subprocess.run(
            [f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"],
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

    def start_pgbench(self, script, clients, amount, settings=(), variables=()):
        """Run a script by the prepared protocol; amount is ('-T', seconds) or
        ('-t', transactions per client)."""
        path = f"{self.directory}/script.sql"
        with open(path, "w") as f:
            f.write(script)
        words = [f"{self.bin}/pgbench", "-n", "-M", "prepared", "-f", path,
                 "-c", str(clients), "-j", "1", amount[0], str(amount[1])]
        for name, value in variables:
            words += ["-D", f"{name}={value}"]
        return subprocess.Popen(words, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT,
                                env=self._environment(settings))

    @staticmethod
    def finish_pgbench(process):
        """Transactions per second, without the time to connect."""
        out, _ = process.communicate()
        for line in out.splitlines():
            if line.startswith("tps =") and process.returncode == 0:
                return float(line.split()[2])
        raise BenchError(f"pgbench failed:\n{out}")

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
        return int(self.psql(
            "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def stop(self):
        subprocess.run([f"{self.bin}/pg_ctl", "-D", self.data, "-m", "immediate",
                        "-w", "stop"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


class Bench:
    """What every benchmark gets: the servers, the compiled helpers, and the
    verbs that several of them use."""

    def __init__(self, source, quick):
        self.source = source
        self.quick = quick
        self.directory = tempfile.mkdtemp(prefix="outbox-bench.")
        self.redis = self.postgres = None
        self.children = []

    def start(self):
        for tool in ("redis-server", "pg_config", "cc"):
            if shutil.which(tool) is None:
                raise BenchError(f"{tool} is needed and not on the PATH")
        for name in ("pipeline", "hand_relay", "latency"):
            self._compile(name)
        self.redis = Redis(self.directory)
        self.postgres = Postgres(self.directory, self.redis)

    def _compile(self, name):
        include, lib = (subprocess.check_output(["pg_config", w], text=True).strip()
                        for w in ("--includedir", "--libdir"))
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", f"{self.directory}/{name}",
                        f"{self.source}/{name}.c", f"-I{include}", f"-L{lib}",
                        "-lpq", "-lhiredis", "-lpthread"], check=True)

    def stop(self, keep):
        for child in self.children:
            child.kill()
        if self.postgres:
            self.postgres.stop()
        if self.redis:
            self.redis.stop()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def helper(self, name, *words):
        done = subprocess.run([f"{self.directory}/{name}", *map(str, words)],
                              text=True, stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise BenchError(f"{name} failed")
        return done.stdout

    def start_hand_relay(self, stream, when, select, delete):
        relay = subprocess.Popen(
            [f"{self.directory}/hand_relay", self.postgres.conninfo,
             self.redis.socket_path, stream, when, select, delete],
            text=True, stdout=subprocess.PIPE)
        if relay.stdout.readline().strip() != "ready":
            raise BenchError("hand_relay did not start")
        self.children.append(relay)
        return relay

    def stop_hand_relay(self, relay):
        relay.send_signal(signal.SIGTERM)
        relay.wait()
        self.children.remove(relay)

    def relay_pid(self):
        pid = self.postgres.psql("SELECT pid FROM outbox.status")
        if not pid:
            raise BenchError("outbox.status shows no relay")
        return int(pid)

    def stop_idle_relay(self):
        """SIGSTOP the relay while it sleeps in its latch, and only then: stopped
        anywhere else it could hold a lock for ever.  Returns its pid."""
        pid = self.relay_pid()
        asleep = (f"SELECT wait_event_type IN ('Extension', 'Activity') "
                  f"FROM pg_stat_activity WHERE pid = {pid}")

        def stopped_asleep():
            os.kill(pid, signal.SIGSTOP)
            if self.postgres.psql(asleep) == "t":
                return True
            os.kill(pid, signal.SIGCONT)
            return False

        wait_until("the relay to be asleep", stopped_asleep, 30)
        return pid

    def longest_turn(self):
        """What the relay's longest turn took, by the clock and of CPU time, and why."""
        turns = [self.postgres.psql(
            "SELECT round(ms::numeric, 1) || ' ms (' || step || ', ' || rows || ' rows)'"
            f" FROM outbox.longest_turns WHERE clock = '{clock}'"
            " ORDER BY ms DESC LIMIT 1") or "under 1 ms"
            for clock in ("wall", "cpu")]
        return f"{turns[0]} by the clock, {turns[1]} of CPU time"

    def forget_turns(self):
        self.postgres.psql("SELECT outbox.reset_turn_stats()")

    def relay_state(self):
        return self.postgres.psql("SELECT state FROM outbox.status")

    def waiting(self):
        return int(self.postgres.psql("SELECT waiting FROM outbox.status"))

    def wait_delivered(self, seconds=600):
        wait_until("the relay to deliver everything",
                   lambda: self.waiting() == 0, seconds)

    def cut_redis(self):
        """Point the relay at a socket where nobody listens."""
        self.postgres.set("outbox.redis_url", f"unix://{self.directory}/nobody")
        wait_until("the relay to notice that Redis is gone",
                   lambda: self.relay_state() == "waiting for redis", 30)

    def join_redis(self):
        self.postgres.set("outbox.redis_url", self.postgres.redis_url)

    def stage(self, queue, messages, payload_bytes, per_transaction=1000, more=""):
        """Commit messages while Redis is cut.  more: further arguments."""
        whole, rest = divmod(messages, per_transaction)
        one = ("SELECT count(outbox_enqueue('{}', repeat('x', {}){})) "
               "FROM generate_series(1, {}) \\g /dev/null\n")
        self.postgres.psql(
            "SET synchronous_commit = off;\n"
            + one.format(queue, payload_bytes, more, per_transaction) * whole
            + (one.format(queue, payload_bytes, more, rest) if rest else "")
            + "RESET synchronous_commit;\n")
        self.postgres.psql("CHECKPOINT")
