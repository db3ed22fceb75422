# Copyright (c) 2026, the outbox developers
"""WAL: bytes written for one message, from enqueueing to being done with it.

One message per transaction on both sides, four clients, full_page_writes on and
a checkpoint just before, so that the price of touching a page for the first
time is in.  Theirs: a table with the same columns (random uuid primary key,
type, key, jsonb, timestamptz), read by a relay that looks every 100 ms and
deletes each batch in one statement, the thriftiest way to delete.  What emptying
costs later is left out on both sides: a TRUNCATE here, VACUUMs there.
"""

from report import compare, in_turns
from servers import wait_until

CLIENTS = 4
STREAM = "bench_wal"
HAND = "hand_wal"
SETUP = f"""
CREATE TABLE {HAND} (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	type text NOT NULL, key text NOT NULL, payload jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now());
SELECT outbox_create_queue('{STREAM}');
"""
VALUES = "'send_verify_email', 'alice'"
PAYLOAD = ('{"user_id": 4711, "username": "alice", "email": '
           '"alice@example.com", "template": "verify_email", "locale": "en", '
           '"link": "https://example.com/verify/'
           '0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"}')
OURS = f"SELECT outbox_enqueue('{STREAM}', (:payload)::jsonb, {VALUES});\n"
THEIRS = (f"INSERT INTO {HAND} (type, key, payload) "
          f"VALUES ({VALUES}, (:payload)::jsonb);\n")
SELECT = (f"SELECT id, type, key, payload::text AS payload FROM {HAND} "
          "ORDER BY created_at LIMIT 1000")
DELETE = f"DELETE FROM {HAND} WHERE id = ANY($1::uuid[])"


def bytes_per_message(bench, script, stream, messages, done):
    bench.postgres.psql("CHECKPOINT")
    before = bench.postgres.wal_position()
    bench.postgres.pgbench(script, CLIENTS, ("-t", messages // CLIENTS),
                           variables=[("payload", PAYLOAD)])
    wait_until(f"{stream} to be complete", lambda: done() and
               bench.redis.stream_length(stream) >= messages, 300)
    used = bench.postgres.wal_position() - before
    bench.redis.command("DEL", stream)
    return used / messages


def ours(bench, messages):
    return bytes_per_message(bench, OURS, STREAM, messages,
                             lambda: bench.waiting() == 0)


def theirs(bench, messages):
    relay = bench.start_hand_relay(HAND, "100", SELECT, DELETE)
    try:
        return bytes_per_message(
            bench, THEIRS, HAND, messages,
            lambda: bench.postgres.psql(f"SELECT count(*) FROM {HAND}") == "0")
    finally:
        bench.stop_hand_relay(relay)


def run(bench):
    messages = 2_000 if bench.quick else 20_000
    bench.postgres.psql(SETUP)
    runs = in_turns(1 if bench.quick else 4, {
        "ours": lambda: ours(bench, messages),
        "theirs": lambda: theirs(bench, messages)})
    return [compare("WAL per message", runs["ours"], runs["theirs"], "bytes",
                    "<= 0.9")], []
