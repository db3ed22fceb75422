# Copyright (c) 2026, the outbox developers
"""pinned xmin: the delivery rate while somebody holds an old snapshot.

Two clients commit a million messages in transactions of 100 and the relay
delivers them meanwhile; the rate is end to end, from the first entry to the
last.  Once as is, once with a REPEATABLE READ transaction open that took its
snapshot before the first message and keeps it to the end.  The retention is
two seconds on both sides, so that staging is rotated many times while the
snapshot is held.  The rates of the first and the last quarter go into a note: a
design that rots gets slower and slower.
"""

import time

from report import compare, in_turns
from servers import TEXT, BenchError

STREAM = "bench_pinned"
CLIENTS = 2
PER_TRANSACTION = 100
SCRIPT = (f"SELECT count(outbox_enqueue('{STREAM}', :payload)) "
          f"FROM generate_series(1, {PER_TRANSACTION});\n")
SNAPSHOT = ("BEGIN ISOLATION LEVEL REPEATABLE READ; "
            "SELECT count(*) FROM pg_class;")
DEAD_TUPLES = """
SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables
WHERE schemaname = 'outbox'
"""


def pinned(bench, messages):
    session = bench.postgres.open_session(SNAPSHOT)
    try:
        return deliver(bench, messages)
    finally:
        bench.postgres.close_session(session)


def deliver(bench, messages):
    """(rate, rate of the first quarter, rate of the last quarter)"""
    bench.postgres.psql("CHECKPOINT")
    load = bench.postgres.start_pgbench(
        SCRIPT, CLIENTS, ("-t", messages // PER_TRANSACTION // CLIENTS),
        variables=[("payload", "x" * 200)])
    seen = []
    end = time.monotonic() + 900
    while True:
        count = bench.redis.stream_length(STREAM)
        if count > 0:
            seen.append((time.monotonic(), count))
        if count >= messages:
            break
        if time.monotonic() > end:
            raise BenchError(f"only {count} of {messages} messages arrived")
        time.sleep(0.05)
    bench.postgres.finish_pgbench(load)
    rate = messages / bench.redis.stream_seconds(STREAM)
    bench.redis.command("DEL", STREAM)
    return rate, slope(seen, 0, messages / 4), slope(seen, messages * 3 / 4, messages)


def slope(seen, low, high):
    part = [s for s in seen if low <= s[1] <= high]
    if len(part) < 2:
        return 0.0
    return (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


def run(bench):
    messages = 100_000 if bench.quick else 1_000_000
    pg = bench.postgres
    pg.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT})")
    pg.set("outbox.retention", "2s")
    deliver(bench, messages // 10)      # files and caches as in the later runs
    runs = in_turns(2 if bench.quick else 4, {
        "pinned": lambda: pinned(bench, messages),
        "free": lambda: deliver(bench, messages)})
    pg.reset("outbox.retention")
    line = compare("pinned xmin", [r[0] for r in runs["pinned"]],
                   [r[0] for r in runs["free"]], "msg/s", ">= 0.95")
    note = "; ".join(f"{side}: first quarter {first:,.0f} msg/s, last {last:,.0f}"
                     for side in runs for _, first, last in runs[side][-1:])
    dead = pg.psql(DEAD_TUPLES)
    return [line], [f"pinned xmin, {note}; dead tuples in outbox.* since: {dead}"]
