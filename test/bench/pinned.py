# Copyright (c) 2026, the outbox developers
"""pinned: the delivery rate while somebody holds an old snapshot.

Two clients commit two million messages (--size pinned=N) in transactions of 100 and
the relay delivers them meanwhile; the rate is end to end, from the first entry
to the last.  Once as is, once with a REPEATABLE READ transaction open that took its
snapshot before the first message and keeps it to the end.  The retention is
two seconds on both sides, so that staging is rotated many times while the
snapshot is held.  Beside the clock, the CPU time of relay and backends for each
message.  The rates of the first and the last quarter go into a note: a design that
rots gets slower and slower.
"""

import time
from dataclasses import dataclass

from cpu import Meter
from report import column, compare, in_turns
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


@dataclass
class Run:
    rate: float
    first: float                # rate of the first quarter
    last: float
    relay_us: float
    backends_us: float


def pinned(bench, messages):
    session = bench.postgres.open_session(SNAPSHOT)
    try:
        return deliver(bench, messages)
    finally:
        bench.postgres.close_session(session)


def deliver(bench, messages):
    bench.postgres.psql("CHECKPOINT")
    with bench.postgres.backends_cpu() as used:
        seen, relay_us = arrivals(bench, messages)
    run = Run(messages / bench.redis.stream_seconds(STREAM),
              slope(seen, 0, messages / 4), slope(seen, messages * 3 / 4, messages),
              relay_us, used[0] * 1e6 / messages)
    bench.expect_entries(STREAM, messages)
    return run


def arrivals(bench, messages):
    """(time, entries there) as they come, and the relay's CPU time for each message"""
    meter = Meter(relay=bench.relay_pid())
    load = bench.postgres.start_pgbench(
        SCRIPT, CLIENTS, ("-t", messages // PER_TRANSACTION // CLIENTS),
        variables=[("payload", "x" * 200)])
    seen = []
    end = time.monotonic() + 1800
    while not seen or seen[-1][1] < messages:
        count = bench.redis.stream_length(STREAM)
        if count > 0:
            seen.append((time.monotonic(), count))
        if time.monotonic() > end:
            raise BenchError(f"only {count} of {messages} messages arrived")
        time.sleep(0.05)
    relay_us = meter.microseconds("relay", messages)
    bench.postgres.finish_pgbench(load)
    return seen, relay_us


def slope(seen, low, high):
    part = [s for s in seen if low <= s[1] <= high]
    if len(part) < 2:
        return 0.0
    return (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


def run(bench):
    step = PER_TRANSACTION * CLIENTS
    messages = bench.size("pinned", 2_000_000, 100_000) // step * step
    pg = bench.postgres
    pg.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT})")
    pg.set("outbox.retention", "2s")
    deliver(bench, messages // 10 // step * step)   # files and caches as in the later runs
    runs = in_turns(bench.rounds(4), {
        "pinned": lambda: pinned(bench, messages),
        "free": lambda: deliver(bench, messages)})
    pg.reset("outbox.retention")
    lines = [compare(f"old snapshot, {messages:,} messages{what}",
                     column(runs["pinned"], which), column(runs["free"], which), unit, goal)
             for what, which, unit, goal in (
                 ("", "rate", "msg/s", ">= 0.95"),
                 (", CPU of the relay", "relay_us", "us/msg", "<= 1.05"),
                 (", CPU of backends", "backends_us", "us/msg", "<= 1.05"))]
    note = "; ".join(f"{side}: first quarter {run.first:,.0f} msg/s, last {run.last:,.0f}"
                     for side in runs for run in runs[side][-1:])
    dead = pg.psql(DEAD_TUPLES)
    return lines, [f"old snapshot, {note}; dead tuples in outbox.* since: {dead}"]
