# Copyright (c) 2026, the outbox developers
"""latency: from COMMIT returning to the entry being visible, in an idle system.

latency.c commits one message, waits until a blocked XREAD has seen it, pauses,
and goes on.  Against it: an INSERT into a hand-written table whose trigger
notifies, and hand_relay.c listening.  The table's relay runs only in its own
turns; ours has nothing to do in theirs.  Figures are microseconds and signed.
"""

from report import compare, in_turns

STREAM = "bench_latency"
HAND = "hand_latency"
SETUP = f"""
CREATE TABLE {HAND} (id bigserial PRIMARY KEY, payload jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION hand_notify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NOTIFY hand_outbox; RETURN NULL; END $$;
CREATE TRIGGER hand_notify AFTER INSERT ON {HAND}
	FOR EACH STATEMENT EXECUTE FUNCTION hand_notify();
SELECT outbox_create_queue('{STREAM}');
"""
PAYLOAD = """'{"user_id": 4711, "template": "verify_email"}'::jsonb"""
OURS = f"SELECT outbox_enqueue('{STREAM}', {PAYLOAD})"
THEIRS = f"INSERT INTO {HAND} (payload) VALUES ({PAYLOAD})"
SELECT = f"SELECT id, payload::text AS payload FROM {HAND} ORDER BY id LIMIT 1000"
DELETE = f"DELETE FROM {HAND} WHERE id = ANY($1::bigint[])"
GAP_US = 3000


def measure(bench, stream, statement, messages):
    bench.redis.command("DEL", stream)
    out = bench.helper("latency", bench.postgres.conninfo,
                       bench.redis.socket_path, stream, messages, GAP_US,
                       statement)
    bench.redis.command("DEL", stream)
    return sorted(float(line) for line in out.split())


def theirs(bench, messages):
    relay = bench.start_hand_relay(HAND, "notify", SELECT, DELETE)
    try:
        return measure(bench, HAND, THEIRS, messages)
    finally:
        bench.stop_hand_relay(relay)


def quantile(samples, q):
    return samples[min(len(samples) - 1, int(q * len(samples)))]


def run(bench):
    messages, rounds = (100, 3) if bench.quick else (250, 10)
    bench.postgres.psql(SETUP)
    runs = in_turns(rounds, {
        "ours": lambda: measure(bench, STREAM, OURS, messages),
        "theirs": lambda: theirs(bench, messages)})
    ours, other = runs["ours"], runs["theirs"]
    lines = []
    for q, wanted in ((0.5, "<= 0.5"), (0.99, "")):
        lines.append(compare(f"latency at idle, p{q * 100:.0f}",
                             [quantile(s, q) for s in ours],
                             [quantile(s, q) for s in other], "us", wanted))
    negative = sum(x < 0 for s in ours for x in s) / sum(map(len, ours))
    note = (f"latency: {negative:.0%} of our entries were visible before the "
            f"committer had read its answer; worst {max(s[-1] for s in ours):,.0f}"
            f" us, theirs {max(s[-1] for s in other):,.0f} us")
    return lines, [note]
