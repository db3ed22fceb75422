# Copyright (c) 2026, the outbox developers
"""refused: how fast messages that Redis refuses are recorded, and accepted again.

A queue with on_failure 'retry' whose key holds a string, so that Redis says
WRONGTYPE to each message.  20,000 are committed; recorded is what
outbox.deferred has, polled.  Then the string goes and all are made due: the rate is
by the entries' own ids, from the first to the last.  Against it stand goals, not
another side: ten times what these were at first, 900 and 8,000 a second.
"""

import statistics
import time
from dataclasses import dataclass

from cpu import Meter
from report import against_goal, column
from servers import TEXT, wait_until

STREAM = "bench_refused"
POLICY = "on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour'"


@dataclass
class Run:
    recorded: float
    recorded_us: float          # CPU time of the relay for each message
    accepted: float
    accepted_us: float


def count(bench):
    return int(bench.postgres.psql("SELECT count(*) FROM outbox.deferred"
                                   " WHERE reason = 'retry'"))


def one_round(bench, messages):
    bench.redis.command("SET", STREAM, "of another type")
    meter = Meter(relay=bench.relay_pid())
    begin = time.monotonic()
    bench.postgres.psql(f"SELECT count(outbox_enqueue('{STREAM}', repeat('x', 200)))"
                        f" FROM generate_series(1, {messages})")
    wait_until("all to be recorded", lambda: count(bench) == messages, 1200)
    recorded = messages / (time.monotonic() - begin)
    recorded_us = meter.microseconds("relay", messages)

    bench.redis.command("DEL", STREAM)
    meter = Meter(relay=bench.relay_pid())
    bench.postgres.psql("UPDATE outbox.deferred SET due_at = now() WHERE reason = 'retry'")
    # a relay that connects looks at once for what is due
    bench.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    bench.wait_for_entries(STREAM, messages, 1200)
    accepted = messages / bench.redis.stream_seconds(STREAM)
    wait_until("the records to go", lambda: count(bench) == 0, 600)
    run = Run(recorded, recorded_us, accepted, meter.microseconds("relay", messages))
    bench.expect_entries(STREAM, messages)
    bench.postgres.psql("VACUUM outbox.deferred")
    return run


def run(bench):
    messages = 2_000 if bench.quick else 20_000
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}', {POLICY}, {TEXT})")
    runs = [one_round(bench, messages) for _ in range(bench.rounds(4))]
    lines = [against_goal(f"{messages:,} {what}", column(runs, which), ">=", goal, "msg/s")
             for what, which, goal in (("refused and recorded", "recorded", 9_000),
                                       ("accepted again", "accepted", 80_000))]
    notes = [f"refused: CPU of the relay, median: "
             f"{statistics.median(column(runs, which)):,.1f} us for each message {what}"
             for what, which in (("recorded", "recorded_us"),
                                 ("accepted again", "accepted_us"))]
    return lines, notes
