# Copyright (c) 2026, the outbox developers
"""wal: bytes of WAL for one message.

First for enqueueing alone, one message a transaction, no relay on either side: the
bytes of all records as pg_waldump counts them, without images of pages, against
an INSERT into tables that people write by hand: with the same columns and a random
uuid as its key, and with a bigserial one.  A note has ours by kind of record.  The
same for 1,000 messages of one outbox_enqueue_many(), against one INSERT of so many.

Then from enqueueing to being done with it, full_page_writes on and a
checkpoint just before, so that the price of touching a page for the first
time is in.  Theirs is the table with uuid keys, read by a relay that looks every
100 ms and deletes each batch in one statement, the thriftiest way to delete.  What
emptying costs later is left out on both sides: a TRUNCATE here, VACUUMs there.

Bytes hardly differ between rounds, so there are few.
"""

from dataclasses import dataclass

from report import column, compare, in_turns
from servers import wait_until

CLIENTS = 4
STREAM = "bench_wal"
COLUMNS = """queue text NOT NULL, type text NOT NULL, key text NOT NULL,
	payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now()"""
SETUP = f"""
CREATE TABLE hand_uuid (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), {COLUMNS});
CREATE TABLE hand_serial (id bigserial PRIMARY KEY, {COLUMNS});
SELECT outbox_create_queue('{STREAM}');
"""
VALUES = "'send_verify_email', 'alice'"
PAYLOAD = ('{"user_id": 4711, "username": "alice", "email": '
           '"alice@example.com", "template": "verify_email", "locale": "en", '
           '"link": "https://example.com/verify/'
           '0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"}')
OURS = f"SELECT outbox_enqueue('{STREAM}', (:payload)::jsonb, {VALUES});\n"
INSERT = ("INSERT INTO {} (queue, type, key, payload) "
          f"VALUES ('{STREAM}', {VALUES}, (:payload)::jsonb);\n")
BULK = 1_000
MANY = (f"SELECT cardinality(outbox_enqueue_many('{STREAM}', jsonb_agg((:payload)::jsonb),"
        " types => array_agg('send_verify_email'::text), keys => array_agg('alice'::text)))"
        f" FROM generate_series(1, {BULK});\n")
INSERT_MANY = ("INSERT INTO {} (queue, type, key, payload) "
               f"SELECT '{STREAM}', {VALUES}, (:payload)::jsonb FROM generate_series(1, {BULK});\n")
SELECT = ("SELECT id, type, key, payload::text AS payload FROM hand_uuid "
          "ORDER BY created_at LIMIT 1000")
DELETE = "DELETE FROM hand_uuid WHERE id = ANY($1::uuid[])"


@dataclass
class Run:
    kinds: dict                 # bytes for a message by kind of record
    records: float              # the sum of them
    all: float                  # with images of pages


def wal_of(bench, messages, script, then=lambda: None, bulk=1):
    pg = bench.postgres
    pg.psql("CHECKPOINT")
    begin = pg.wal_position()
    pg.pgbench(script, CLIENTS, ("-t", messages // CLIENTS // bulk),
               variables=[("payload", PAYLOAD)])
    then()
    kinds, records, everything = pg.wal_between(begin, pg.wal_position())
    return Run({kind: n / messages for kind, n in kinds.items()}, records / messages,
               everything / messages)


def ours_alone(bench, messages, script=OURS, bulk=1):
    run = bench.run_without_relay(wal_of, bench, messages, script, lambda: None, bulk)
    bench.expect_entries(STREAM, messages)
    return run


def ours(bench, messages):
    def done():
        bench.wait_for_entries(STREAM, messages)
        bench.wait_delivered()

    run = wal_of(bench, messages, OURS, done)
    bench.expect_entries(STREAM, messages)
    return run


def theirs(bench, messages):
    relay = bench.start_hand_relay("hand_wal", "100", SELECT, DELETE)
    try:
        return wal_of(bench, messages, INSERT.format("hand_uuid"), lambda: wait_until(
            "the table to be empty",
            lambda: bench.postgres.psql("SELECT count(*) FROM hand_uuid") == "0", 300))
    finally:
        bench.stop_helper(relay)
        bench.redis.command("DEL", "hand_wal")


def run(bench):
    messages = 4_000 if bench.quick else 12_000
    psql = bench.postgres.psql
    psql(SETUP)
    bench.postgres.set("wal_keep_size", "1GB")      # checkpoints remove none of it

    def theirs_alone(table, script=INSERT, bulk=1):
        run = wal_of(bench, messages, script.format(table), bulk=bulk)
        psql(f"TRUNCATE {table}")
        return run

    runs = in_turns(bench.rounds(3), {
        "alone": lambda: ours_alone(bench, messages),
        "uuid": lambda: theirs_alone("hand_uuid"),
        "serial": lambda: theirs_alone("hand_serial"),
        "many": lambda: ours_alone(bench, messages, MANY, BULK),
        "many by hand": lambda: theirs_alone("hand_serial", INSERT_MANY, BULK),
        "ours": lambda: ours(bench, messages),
        "theirs": lambda: theirs(bench, messages)})

    def line(name, one, other, which, goal):
        return compare(f"WAL, {name}", column(runs[one], which), column(runs[other], which),
                       "bytes/msg", goal)

    kinds = sorted(runs["alone"][-1].kinds.items(), key=lambda kind: -kind[1])
    return ([line("enqueue, hand with the same columns, uuid key", "alone", "uuid",
                  "records", "<= 0.85"),
             line("enqueue, hand with the same columns, bigserial", "alone", "serial",
                  "records", ""),
             line(f"enqueue, {BULK:,} by outbox_enqueue_many(), bigserial", "many",
                  "many by hand", "records", ""),
             line("enqueue and deliver, hand with uuid key and DELETE", "ours", "theirs",
                  "all", "<= 0.85")],
            ["WAL of an enqueue by kind of record, bytes: "
             + ", ".join(f"{kind} {n:.0f}" for kind, n in kinds if n >= 0.5)])
