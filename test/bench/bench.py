# Copyright (c) 2026, the outbox developers
"""What every part of the benchmark gets: the servers, the compiled helpers, and
the verbs that several of them use."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from servers import BenchError, Postgres, Redis, wait_until

HELPERS = ("pipeline", "hand_relay", "latency", "floor", "delay_proxy", "repeat")


class Bench:
    def __init__(self, source, quick, rounds=None, sizes=()):
        self.source = source
        self.quick = quick
        self._rounds = rounds
        self._sizes = dict(sizes)
        self.directory = tempfile.mkdtemp(prefix="outbox-bench.")
        self.redis = self.postgres = None
        self.children = []
        self._parts = 0

    def rounds(self, usual):
        return self._rounds or (2 if self.quick else usual)

    def size(self, name, usual, quick):
        """How many of something, which --size may say."""
        return self._sizes.get(name, quick if self.quick else usual)

    def prepare(self):
        for tool in ("redis-server", "pg_config", "cc"):
            if shutil.which(tool) is None:
                raise BenchError(f"{tool} is needed and not on the PATH")
        for name in HELPERS:
            self._compile(name)

    def restart(self):
        """New servers for each part: no part's rows, queues or memory are another
        one's, and a part that fails leaves nothing behind."""
        self._stop_servers()
        self._parts += 1
        directory = self.new_directory(f"part{self._parts}")
        self.redis = Redis(directory)
        self.postgres = Postgres(directory, self.redis)
        wait_until("the relay", lambda: self.relay_state() == "running")

    def _compile(self, name):
        include, lib = (subprocess.check_output(["pg_config", w], text=True).strip()
                        for w in ("--includedir", "--libdir"))
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", f"{self.directory}/{name}",
                        f"{self.source}/{name}.c", f"-I{include}", f"-L{lib}",
                        "-lpq", "-lhiredis", "-lssl", "-lcrypto", "-lpthread"],
                       check=True)

    def _stop_servers(self):
        for child in self.children:
            child.kill()
            child.wait()
        self.children = []
        if self.postgres:
            self.postgres.stop()
        if self.redis:
            self.redis.stop()
        self.postgres = self.redis = None

    def stop(self, keep):
        self._stop_servers()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def new_directory(self, name):
        path = f"{self.directory}/{name}"
        os.mkdir(path)
        return path

    def helper(self, name, *words, seconds=600):
        """What a helper prints, who ends by itself."""
        try:
            done = subprocess.run([f"{self.directory}/{name}", *map(str, words)],
                                  text=True, stdout=subprocess.PIPE, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} did not end: something did not arrive") from None
        if done.returncode != 0:
            raise BenchError(f"{name} failed: exit code {done.returncode}")
        return done.stdout

    def start_helper(self, name, *words):
        """One that says when it is ready, and goes on."""
        child = subprocess.Popen([f"{self.directory}/{name}", *map(str, words)],
                                 text=True, stdout=subprocess.PIPE)
        if child.stdout.readline().strip() != "ready":
            raise BenchError(f"{name} did not start")
        self.children.append(child)
        return child

    def stop_helper(self, child):
        child.send_signal(signal.SIGTERM)
        child.wait()
        self.children.remove(child)

    def start_hand_relay(self, stream, when, select, delete):
        conninfo = f"{self.postgres.conninfo()} application_name=hand_relay"
        return self.start_helper("hand_relay", conninfo, self.redis.socket_path, stream,
                                 when, select, delete)

    def relay_pid(self, db="postgres"):
        pid = self.postgres.psql("SELECT pid FROM outbox.status", db)
        if not pid:
            raise BenchError("outbox.status shows no relay")
        return int(pid)

    def stop_idle_relay(self, db="postgres"):
        """SIGSTOP the relay while it sleeps in its latch, and only then: stopped
        anywhere else it could hold a lock for ever.  Returns its pid."""
        pid = self.relay_pid(db)
        asleep = (f"SELECT wait_event_type IN ('Extension', 'Activity') "
                  f"FROM pg_stat_activity WHERE pid = {pid}")

        def stopped_asleep():
            if self.postgres.psql(asleep) != "t":
                return False
            os.kill(pid, signal.SIGSTOP)
            if self.postgres.psql(asleep) == "t":
                return True
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.2)     # else it gets nothing done
            return False

        wait_until("the relay to be asleep", stopped_asleep, 120)
        return pid

    def run_without_relay(self, function, *args):
        """Call function while the relay sleeps, and have what waits delivered."""
        pid = self.stop_idle_relay()
        try:
            result = function(*args)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.wait_delivered()
        return result

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

    def relay_state(self, db="postgres"):
        return self.postgres.psql("SELECT state FROM outbox.status", db)

    def waiting(self, db="postgres"):
        return int(self.postgres.psql("SELECT waiting FROM outbox.status", db))

    def wait_delivered(self, seconds=600, db="postgres"):
        wait_until("the relay to deliver everything",
                   lambda: self.waiting(db) == 0, seconds)

    def wait_for_entries(self, stream, messages, seconds=120):
        wait_until(f"{messages} entries of {stream}",
                   lambda: self.redis.stream_length(stream) >= messages, seconds)

    def expect_entries(self, stream, messages):
        """All of them come into the stream, each once; and away with them."""
        self.wait_for_entries(stream, messages)
        got = self.redis.stream_length(stream)
        if got != messages:
            raise BenchError(f"{messages} messages were enqueued, {stream} has {got}")
        self.redis.command("DEL", stream)

    def cut_redis(self, db="postgres"):
        """Point the relay at a socket where nobody listens."""
        self.postgres.set("outbox.redis_url", f"unix://{self.directory}/nobody")
        wait_until("the relay to notice that Redis is gone",
                   lambda: self.relay_state(db) == "waiting for redis", 60)

    def join_redis(self):
        self.postgres.set("outbox.redis_url", self.postgres.redis_url)

    def stage(self, queue, messages, payload_bytes, per_transaction=1000, more="",
              db="postgres"):
        """Commit messages while Redis is cut.  more: further arguments."""
        whole, rest = divmod(messages, per_transaction)
        one = ("SELECT count(outbox_enqueue('{}', repeat('x', {}){})) "
               "FROM generate_series(1, {}) \\g /dev/null\n")
        self.postgres.psql(
            "SET synchronous_commit = off;\n"
            + one.format(queue, payload_bytes, more, per_transaction) * whole
            + (one.format(queue, payload_bytes, more, rest) if rest else "")
            + "RESET synchronous_commit;\n", db)
        self.postgres.psql("CHECKPOINT")
