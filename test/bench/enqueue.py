# Copyright (c) 2026, the outbox developers
"""enqueue: what a business transaction pays for telling the outbox.

The transaction inserts a user and tells of it, once or twenty times, one
statement each.  Ours calls outbox_enqueue, theirs inserts into the table that
people write by hand (bigserial primary key, jsonb, timestamptz), with the same
jsonb expression, by the prepared protocol, from four clients.  "In bulk" one
statement enqueues a thousand: with a call for each row of a query, against INSERT ... SELECT;
and outbox_enqueue_many of an array, against INSERT of the array's elements.

Who delivers meanwhile matters on a machine with few cores, so the lines compare
like with like:

  both relays    ours delivering to Redis, against the table with a relay that
                 polls it every 50 ms, sends and deletes: a system as one runs it
  no relay       ours stopped by SIGSTOP while it is idle, against the table
                 that nobody reads: the cost of enqueueing alone

Beside the clock, for "no relay", the CPU time of the backends for each message
(the part "instructions" counts those of the statement).  A relay that falls
behind takes less of the processors from those who enqueue, so the notes say
how much of what was enqueued each had delivered when the time was up.  The runs are
short and many, so that what else the machine does hits both sides.
"""

import statistics
from dataclasses import dataclass
from functools import partial

from report import column, compare, in_turns

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
BATCH = """
CREATE TABLE batch AS SELECT jsonb_agg('{payload}'::jsonb) AS payloads
	FROM generate_series(1, {n})
"""
USER = "INSERT INTO users (name, email) VALUES ('alice', 'alice@example.com');\n"
OURS = "SELECT outbox_enqueue('bench_enqueue', (:payload)::jsonb);\n"
THEIRS = "INSERT INTO hand_enqueue (payload) VALUES ((:payload)::jsonb);\n"
BULK = 1000
OURS_BULK = ("SELECT count(outbox_enqueue('bench_enqueue', (:payload)::jsonb))"
             f" FROM generate_series(1, {BULK});\n")
THEIRS_BULK = ("INSERT INTO hand_enqueue (payload) SELECT (:payload)::jsonb"
               f" FROM generate_series(1, {BULK});\n")
OURS_MANY = ("SELECT cardinality(outbox_enqueue_many('bench_enqueue', payloads))"
             " FROM batch;\n")
THEIRS_MANY = ("INSERT INTO hand_enqueue (payload)"
               " SELECT jsonb_array_elements(payloads) FROM batch;\n")
SELECT = ("SELECT id, payload::text AS payload FROM hand_enqueue "
          "ORDER BY id LIMIT 1000")
DELETE = "DELETE FROM hand_enqueue WHERE id = ANY($1::bigint[])"


@dataclass
class Case:
    name: str
    ours: str
    theirs: str
    messages: int               # in a transaction
    commit: str = "on"
    live: bool = True           # with relays, too


@dataclass
class Run:
    tps: float
    cpu_us: float               # of the backends, for each message


CASES = (
    Case("1 message", USER + OURS, USER + THEIRS, 1),
    Case("20 messages", USER + OURS * 20, USER + THEIRS * 20, 20),
    Case("1 message, synchronous_commit off", USER + OURS, USER + THEIRS, 1, "off"),
    Case("20 messages, synchronous_commit off", USER + OURS * 20,
         USER + THEIRS * 20, 20, "off"),
    Case("1,000 in a statement", OURS_BULK, THEIRS_BULK, BULK, live=False),
    Case("outbox_enqueue_many of 1,000", OURS_MANY, THEIRS_MANY, BULK, live=False),
)


class Enqueue:
    def __init__(self, bench, case):
        self.bench = bench
        self.case = case
        self.kept_up = {"ours": [], "theirs": []}

    def pgbench(self, script):
        """(what was measured, messages committed)"""
        pg = self.bench.postgres
        pg.psql("TRUNCATE users, hand_enqueue; CHECKPOINT")
        with pg.backends_cpu() as used:
            tps, transactions = pg.pgbench(
                f"BEGIN;\n{script}COMMIT;\n", CLIENTS, ("-T", 1),
                settings=[f"synchronous_commit={self.case.commit}"],
                variables=[("payload", PAYLOAD)])
        messages = transactions * self.case.messages
        return Run(tps, used[0] * 1e6 / messages), messages

    def ours_live(self):
        run, messages = self.pgbench(self.case.ours)
        self.kept_up["ours"].append(1 - self.bench.waiting() / messages)
        self.bench.expect_entries("bench_enqueue", messages)
        return run

    def ours_alone(self):
        run, messages = self.bench.run_without_relay(self.pgbench, self.case.ours)
        self.bench.expect_entries("bench_enqueue", messages)
        return run

    def theirs_alone(self):
        return self.pgbench(self.case.theirs)[0]

    def theirs_live(self):
        relay = self.bench.start_hand_relay("hand_enqueue", "50", SELECT, DELETE)
        try:
            run, messages = self.pgbench(self.case.theirs)
            left = int(self.bench.postgres.psql("SELECT count(*) FROM hand_enqueue"))
            self.kept_up["theirs"].append(1 - left / messages)
            return run
        finally:
            self.bench.stop_helper(relay)
            self.bench.redis.command("DEL", "hand_enqueue")

    def run(self):
        sides = ["theirs_alone", "ours_alone"]
        if self.case.live:
            sides += ["ours_live", "theirs_live"]
        runs = in_turns(self.bench.rounds(8), {side: partial(getattr(self, side))
                                               for side in sides})
        name = f"enqueue {self.case.name}"

        def line(what, which, unit, goal, ours, theirs):
            return compare(f"{name}, {what}", column(runs[ours], which),
                           column(runs[theirs], which), unit, goal)

        lines = [line("no relay", "tps", "tx/s", ">= 1.0", "ours_alone", "theirs_alone"),
                 line("no relay, CPU of backends", "cpu_us", "us/msg", "<= 1.0",
                      "ours_alone", "theirs_alone")]
        if not self.case.live:
            return lines, []
        lines.append(line("both relays", "tps", "tx/s", ">= 1.0",
                          "ours_live", "theirs_live"))
        return lines, [f"{name}, both relays: delivered when the time was up: "
                       + ", ".join(f"{side} {statistics.median(part):.0%}"
                                   for side, part in self.kept_up.items())]


def run(bench):
    bench.postgres.psql(SETUP + BATCH.format(payload=PAYLOAD, n=BULK))
    lines, notes = [], []
    for case in CASES:
        got, said = Enqueue(bench, case).run()
        lines += got
        notes += said
    return lines, notes
