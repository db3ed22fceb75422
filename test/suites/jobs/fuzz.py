# Copyright (c) 2026, the outbox developers
#
# Random descriptions of jobs for one system.  What outbox takes must not end its
# worker, which runs one job at a time: after each batch a plain job has to be run.
#
#   fuzz.py SYSTEM SEED SECONDS PID    PID: the worker, its first process
#
# It prints the batch after which no job was run, and ends with 1 then.
import json
import os
import random
import sys
import time

import psycopg
import redis

BATCH = 40

# of each system: the member that names the job, the names there are, and further
# members.  "args" and "kwargs" are for all of them.
SYSTEMS = {
    "celery": ("task", ["proj.add", "proj.quiet", "proj.headers", "proj.slow"],
               ["expires", "ignore_result", "shadow", "soft_time_limit", "time_limit"]),
    "sidekiq": ("class", ["Add", "Stamp"],
                ["retry", "backtrace", "dead", "retry_for", "retry_queue", "tags", "wrapped"]),
    "rq": ("func", ["jobs.add", "jobs.limits"],
           ["description", "timeout", "result_ttl", "failure_ttl", "retries_left",
            "retry_intervals", "meta"]),
    "dramatiq": ("actor", ["add", "stamp"], ["options"]),
}
DRAMATIQ = ["max_age", "max_backoff", "max_retries", "min_backoff", "notify_shutdown", "on_failure",
            "on_retry_exhausted", "on_success", "pipe_ignore", "result_ttl", "store_results",
            "time_limit", "throws", "pipe_target", "group_info", "retries", "traceback", "eta"]
PLAIN = {"celery": {"task": "proj.add"}, "sidekiq": {"class": "Add"}, "rq": {"func": "jobs.add"},
         "dramatiq": {"actor": "add"}}

NUMBERS = ["0", "-0", "1", "-1", "2", "10", "60", "0.5", "1e-300", "1e300", "-0.0", "1E2", "2147483647",
           "2147483648", "4294967295", "9007199254740993", "9223372036854775807", "9223372036854775808",
           "18446744073709551616", "1e15", "1e18", "1" + "0" * 300, "-9223372036854775808", "1e999",
           "0.1e-400", "253402300800", "62135596800", "31536000000", "99999999999"]
STRINGS = ["", " ", "x", "0", "None", "null", "é", "\\ud83d\\ude00", "\\u0000", "\\ud800", "\\n", "\\\\", "\\\"",
           "%s %d {} {0} #{x}", "../..", "a.b.c", "a" * 300, "__type__", "Object", "Kernel", "os.system",
           "jobs", "jobs.", ".jobs", "jobs.no such", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
           "0001-01-01T00:00:00Z", "2026-11-26T12:00:00.123456+02:00", "2030-02-30T00:00:00Z", "default", "mail",
           "celery", "proj.add", "\\u2028", "\\ufeff"]
KEYS = ["__type__", "__value__", "_aj_symbol_keys", "self", "", "a", "é", "json_class", "^o", "message",
        "__proto__", "args", "kwargs", "class", "id", "task_id", "queue"]


class Random(random.Random):
    def string(self):
        return '"%s"' % "".join(self.choice(STRINGS) for _ in range(self.choice([1, 1, 1, 2, 3])))

    def value(self, depth=0):
        kind = self.randrange(8 if depth < 4 else 5)
        if kind == 0:
            return self.choice(["null", "true", "false"])
        if kind in (1, 2):
            return self.choice(NUMBERS)
        if kind in (3, 4):
            return self.string()
        if kind == 5:
            return self.list(depth)
        if kind == 6:
            return self.object(depth)
        n = self.choice([1, 20, 90, 97, 98, 99, 100])
        return "[" * n + self.choice(NUMBERS) + "]" * n

    def list(self, depth=0):
        return "[%s]" % ", ".join(self.value(depth + 1) for _ in range(self.randrange(4)))

    def object(self, depth=0):
        return "{%s}" % ", ".join('"%s": %s' % (self.choice(KEYS), self.value(depth + 1))
                                  for _ in range(self.randrange(4)))

    # what the member is meant to have, most of the time
    def member(self, name):
        if self.random() < 0.15:
            return self.value()
        if name == "args" or name in ("tags", "retry_intervals"):
            if name == "args":
                return self.list()
            item = self.string if name == "tags" else lambda: self.choice(NUMBERS)
            return "[%s]" % ", ".join(item() for _ in range(self.randrange(4)))
        if name in ("kwargs", "meta"):
            return self.object()
        if name == "options":
            return "{%s}" % ", ".join('"%s": %s' % (n, self.member(n)) for n in self.sample(DRAMATIQ, self.randrange(5)))
        return self.choice([lambda: self.choice(NUMBERS), self.string,
                            lambda: self.choice(["true", "false", "null"])])()

    def description(self, system):
        name, names, members = SYSTEMS[system]
        parts = ['"%s": %s' % (name, '"%s"' % self.choice(names) if self.random() < 0.8 else self.member(name))]
        members = ["args", "kwargs"] + members
        for member in self.sample(members, self.randrange(min(5, len(members)) + 1)):
            if member == "kwargs" and system == "sidekiq":
                continue
            parts.append('"%s": %s' % (member, self.member(member)))
        self.shuffle(parts)
        return "{%s}" % ", ".join(parts)


def taken(db, text):
    try:
        with db.transaction():
            return str(db.execute("SELECT outbox_enqueue('fuzz', %s::text)", [text]).fetchone()[0])
    except psycopg.Error as e:
        if e.sqlstate not in ("22023", "22P02"):
            raise
        return None


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(word, pid, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return False
        with open("processed", errors="replace") as f:
            if word in f.read():
                return True
        time.sleep(0.05)
    return False


def main():
    system, seed, seconds, pid = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    rng = Random(seed)
    db = psycopg.connect("", autocommit=True)
    tried = accepted = batches = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or batches == 0:
        batch = []
        while len(batch) < BATCH:
            text = rng.description(system)
            tried += 1
            if taken(db, text):
                batch.append(text)
        word = "sentinel-%d" % batches
        plain = dict(PLAIN[system], args=[word])
        taken(db, json.dumps(plain))
        accepted += len(batch)
        batches += 1
        if not wait_for(word, pid, 90):
            print("not ok - %s: no job is run after these (seed %d), worker %s" %
                  (system, seed, "lives" if alive(pid) else "is dead"))
            for text in batch:
                print("# " + text)
            sys.exit(1)
        open("processed", "w").close()
    with open("processed", "a"):
        pass
    print("ok - %s: after each of %d batches, %d of %d random descriptions, the worker goes on" %
          (system, batches, accepted, tried))


main()
