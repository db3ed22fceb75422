# Copyright (c) 2026, the outbox developers
"""instructions: user instructions of statements, and of the relay for each message.

valgrind's callgrind counts them: whatever else the machine does, the figures are the
same to within a percent.  A PostgreSQL of its own runs under it; repeat.c sends the
same prepared statement 50 and 250 times, each time on a new connection, and the
difference of the two backends is that of 200 statements, each a transaction:
protocol, statement and commit.  The kernel's part, such as writing WAL, is not in it.

hand is an INSERT into a table with the columns queue, payload, type, key and a time,
and a bigserial key: with the payload as jsonb, or as text that nobody checks.  Many
are 100 in one statement, whose parameter is an array of jsonb.

The relay's: a backlog is committed before the server starts under valgrind; that of
a large one less that of a small one.  The large one is so large that what goes by the
clock, and what is done once for a backlog, counts little.
"""

import os
import shutil

from callgrind import profile, total
from report import against_goal, compare, unmeasured
from servers import Postgres, wait_until

FEW, MANY = 50, 250
BACKLOGS = 2_000, 52_000
PAYLOAD = ('{"order": 17, "customer": "some customer of ours", "lines": [{"sku": "abc-123",'
           ' "n": 2, "price": 12.50}, {"sku": "def-456", "n": 1, "price": 99.99}],'
           ' "note": "leave it at the door please"}')
BULK = 100
SETUP = """
CREATE TABLE hand (id bigserial PRIMARY KEY, queue text NOT NULL, payload jsonb NOT NULL,
	type text, key text, at timestamptz DEFAULT now());
CREATE TABLE hand_text (id bigserial PRIMARY KEY, queue text NOT NULL, payload text NOT NULL,
	type text, key text, at timestamptz DEFAULT now());
SELECT outbox_create_queue('q');
SELECT outbox_create_queue('drained');
ALTER SYSTEM SET autovacuum = off;
"""
INSERT = "INSERT INTO {} (queue, payload, type, key) VALUES ('q', $1::{}, 'order.created', 'k1')"
ENQUEUE = "SELECT outbox_enqueue('q', $1::{}, 'order.created', 'k1')"
STATEMENTS = {
    "hand jsonb": INSERT.format("hand", "jsonb"),
    "hand text": INSERT.format("hand_text", "text"),
    "ours jsonb": ENQUEUE.format("jsonb"),
    "ours text": ENQUEUE.format("text"),
    "hand many": "INSERT INTO hand (queue, payload) SELECT 'q', jsonb_array_elements($1::jsonb)",
    "ours many": "SELECT cardinality(outbox_enqueue_many('q', $1::jsonb))",
}
MANY_AT_ONCE = STATEMENTS["hand many"], STATEMENTS["ours many"]

STATEMENT_FUNCTIONS = (
    "jsonb_in", "textin", "ExecutorStart", "outbox_enqueue_jsonb", "outbox_enqueue_text",
    "outbox_payload_bytes", "JsonbToCString", "outbox_enqueue_message",
    "outbox_staging_add", "outbox_staging_identify", "nextval_internal", "heap_insert",
    "index_insert", "LockAcquireExtended", "XLogInsert", "CommitTransactionCommand")
RELAY_FUNCTIONS = (
    "outbox_deliver", "outbox_staging_walk", "outbox_go_on_planning", "plan_visit",
    "outbox_count_backlog", "count_visit", "outbox_send_batch", "outbox_fetch_planned",
    "outbox_target_encode", "outbox_call_script", "index_getnext_tid")


class Counted:
    """A PostgreSQL whose processes leave a file each when they end."""

    def __init__(self, bench):
        self.bench = bench
        self.directory = bench.new_directory("instructions")
        self.files = f"{self.directory}/callgrind."
        self.pg = Postgres(self.directory, bench.redis)
        self.pg.psql(SETUP)
        self.program = f"{self.directory}/postgres"
        with open(self.program, "w") as f:
            f.write("#!/bin/sh\n"
                    "exec valgrind -q --tool=callgrind --callgrind-out-file="
                    f"'{self.files}%p' '{self.pg.bin}/postgres' \"$@\"\n")
        os.chmod(self.program, 0o755)
        self.pg.stop("fast")

    def backend(self, statement, times):
        """The file of the backend that runs a statement so often."""
        payload = f"[{','.join([PAYLOAD] * BULK)}]" if statement in MANY_AT_ONCE else PAYLOAD
        pid = int(self.bench.helper("repeat", self.pg.conninfo(), times, payload, statement))
        wait_until("the backend to end", lambda: not os.path.exists(f"/proc/{pid}"))
        return f"{self.files}{pid}"

    def statements(self):
        """Of each statement the files of one backend that ran it many times, and of one
        that did a few."""
        self.pg.start(self.program)
        try:
            for statement in STATEMENTS.values():
                self.backend(statement, 1)      # the first one fills caches
            return {name: (self.backend(statement, MANY), self.backend(statement, FEW))
                    for name, statement in STATEMENTS.items()}
        finally:
            self.pg.stop("fast")

    def relay(self, messages):
        """The file of a relay that drains a backlog."""
        redis = self.bench.redis
        redis.command("DEL", "drained")
        self.pg.start()
        self.pg.set("outbox.redis_url", f"unix://{self.directory}/nobody")
        self.pg.psql("SELECT count(outbox_enqueue('drained', jsonb_build_object("
                     f"'s', repeat('x', 190)))) FROM generate_series(1, {messages})")
        self.pg.reset("outbox.redis_url")
        self.pg.stop("fast")
        self.pg.start(self.program)
        try:
            wait_until("the backlog to drain",
                       lambda: redis.stream_length("drained") >= messages, 600)
            wait_until("the relay to have counted it", lambda: self.pg.psql(
                "SELECT waiting FROM outbox.status") == "0", 600)
            pid = self.pg.psql("SELECT pid FROM outbox.status")
        finally:
            self.pg.stop("fast")
        self.bench.expect_entries("drained", messages)
        return self.files + pid


def run(bench):
    if shutil.which("valgrind") is None:
        return [unmeasured("instructions", "", "valgrind is missing")], []
    counted = Counted(bench)
    few, many = BACKLOGS
    relay = counted.relay(many), counted.relay(few)     # before there are other messages
    files = counted.statements()
    got = {name: (total(many) - total(few)) / (MANY - FEW) for name, (many, few) in files.items()}
    for name in ("hand many", "ours many"):
        got[name] /= BULK
    lines = [compare(f"instructions, enqueue {what}", [got[ours]], [got[theirs]], "instr.", goal)
             for what, ours, theirs, goal in (
                 ("jsonb, hand's INSERT of jsonb", "ours jsonb", "hand jsonb", "<= 0.9"),
                 ("JSON as text, hand's INSERT of jsonb", "ours text", "hand jsonb", "<= 0.78"),
                 ("JSON as text, hand's INSERT of text", "ours text", "hand text", ""),
                 (f"{BULK} by outbox_enqueue_many(), hand's INSERT of so many", "ours many",
                  "hand many", "<= 1.0"))]
    each = (total(relay[0]) - total(relay[1])) / (many - few)
    lines.append(against_goal("instructions, the relay for each message", [each], "<=",
                              4000, "instr."))
    notes = [f"instructions, {name}, by function with what it calls: "
             + profile(*files[name], MANY - FEW, STATEMENT_FUNCTIONS) for name in files]
    notes.append("instructions, the relay, by function with what it calls: "
                 + profile(*relay, many - few, RELAY_FUNCTIONS))
    return lines, notes
