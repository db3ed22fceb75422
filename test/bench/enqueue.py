# Copyright (c) 2026, the outbox developers
"""enqueue: what a business transaction pays for telling the outbox.

The transaction inserts a user and tells of it, once or twenty times, one
statement each.  Ours calls outbox_enqueue, theirs inserts into the table that
people write by hand (bigserial primary key, jsonb, timestamptz), with the same
jsonb expression, by the prepared protocol, from four clients.

Who delivers meanwhile matters on a machine with few cores, so each round runs
four times, and the lines compare like with like:

  both relays    ours delivering to Redis, against the table with a relay that
                 polls it every 50 ms, sends and deletes: a system as one runs it
  no relay       ours stopped by SIGSTOP while it is idle, against the table
                 that nobody reads: the cost of enqueueing alone
  only ours      ours delivering, against the table that nobody reads: for
                 information, it charges our delivery and not theirs

A relay that falls behind takes less of the processors from those who enqueue,
so the notes say how much of what was enqueued each had delivered when the time
was up.  The runs are short and many, so that what else the machine does hits
both sides.
"""

import os
import signal
import statistics
from functools import partial

from report import compare, in_turns

CLIENTS = 4
PAYLOAD = ('{"user_id": 4711, "username": "alice", "email": '
           '"alice@example.com", "template": "verify_email", "locale": "en", '
           '"link": "https://example.com/verify/'
           '0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"}')

SETUP = """
CREATE TABLE users (id bigserial PRIMARY KEY, name text NOT NULL,
	email text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE hand_enqueue (id bigserial PRIMARY KEY, payload jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now());
SELECT outbox_create_queue('bench_enqueue');
"""
USER = "INSERT INTO users (name, email) VALUES ('alice', 'alice@example.com');\n"
OURS = "SELECT outbox_enqueue('bench_enqueue', (:payload)::jsonb);\n"
THEIRS = "INSERT INTO hand_enqueue (payload) VALUES ((:payload)::jsonb);\n"
SELECT = ("SELECT id, payload::text AS payload FROM hand_enqueue "
          "ORDER BY id LIMIT 1000")
DELETE = "DELETE FROM hand_enqueue WHERE id = ANY($1::bigint[])"


class Enqueue:
    def __init__(self, bench):
        self.bench = bench
        self.seconds = 1 if bench.quick else 2
        self.kept_up = {"ours": [], "theirs": []}

    def rate(self, tell, messages, commit):
        pg = self.bench.postgres
        pg.psql("TRUNCATE users, hand_enqueue; CHECKPOINT")
        return pg.pgbench("BEGIN;\n" + USER + tell * messages + "COMMIT;\n",
                          CLIENTS, ("-T", self.seconds),
                          settings=[f"synchronous_commit={commit}"],
                          variables=[("payload", PAYLOAD)])

    def note_kept_up(self, side, left, per_second):
        self.kept_up[side].append(1 - left / (per_second * self.seconds))

    def ours_live(self, messages, commit):
        tps = self.rate(OURS, messages, commit)
        self.note_kept_up("ours", self.bench.waiting(), tps * messages)
        self.bench.wait_delivered()
        self.bench.redis.command("DEL", "bench_enqueue")
        return tps

    def ours_stopped(self, messages, commit):
        pid = self.bench.stop_idle_relay()
        try:
            tps = self.rate(OURS, messages, commit)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.bench.wait_delivered()
        self.bench.redis.command("DEL", "bench_enqueue")
        return tps

    def theirs_alone(self, messages, commit):
        return self.rate(THEIRS, messages, commit)

    def theirs_live(self, messages, commit):
        relay = self.bench.start_hand_relay("hand_enqueue", "50", SELECT, DELETE)
        try:
            tps = self.rate(THEIRS, messages, commit)
            left = self.bench.postgres.psql("SELECT count(*) FROM hand_enqueue")
            self.note_kept_up("theirs", int(left), tps * messages)
            return tps
        finally:
            self.bench.stop_hand_relay(relay)
            self.bench.redis.command("DEL", "hand_enqueue")


def run(bench):
    bench.postgres.psql(SETUP)
    e = Enqueue(bench)
    lines, notes = [], []
    for commit in ("on", "off"):
        for messages in (1, 20):
            e.kept_up = {"ours": [], "theirs": []}
            runs = in_turns(1 if bench.quick else 10, {
                side: partial(getattr(e, side), messages, commit)
                for side in ("ours_live", "theirs_live", "theirs_alone",
                             "ours_stopped")})
            name = f"enqueue {messages}, sync {commit}"
            lines += [
                compare(f"{name}, both relays", runs["ours_live"],
                        runs["theirs_live"], "tx/s", ">= 1.0"),
                compare(f"{name}, no relay", runs["ours_stopped"],
                        runs["theirs_alone"], "tx/s", ">= 1.0"),
                compare(f"{name}, only ours", runs["ours_live"],
                        runs["theirs_alone"], "tx/s")]
            notes.append(name + ", both relays: delivered when the time was up: "
                         + ", ".join(f"{side} {statistics.median(part):.0%}"
                                     for side, part in e.kept_up.items()))
    return lines, notes
