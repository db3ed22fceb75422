# Copyright (c) 2026, the outbox developers
"""backlog: how long a fresh message of one queue takes while another one drains three
million (--size backlog=N).

The backlog is committed while Redis is cut off.  As soon as Redis is there again,
latency.c sends messages to the other queue, one after the other, until the backlog
is gone: the first of them come while the relay reads cursors and plans.  Against it
stands the goal, not another side: 50 ms for p99.
"""

import delivery
from idle_latency import enqueue, measure
from report import against_goal, quantile
from servers import TEXT, BenchError

STREAM = "bench_backlog"
FRESH = "bench_fresh"
AT_ONCE = 20


def one_round(bench, messages):
    delivery.pile_up(bench, [STREAM], messages, 100)
    bench.join_redis()
    samples = []
    while bench.redis.stream_length(STREAM) < messages:
        samples += measure(bench, FRESH, enqueue(FRESH), AT_ONCE)
    bench.wait_delivered()
    bench.expect_entries(STREAM, messages)
    if len(samples) < AT_ONCE:
        raise BenchError("the backlog drained before a fresh message was sent")
    return samples


def run(bench):
    messages = bench.size("backlog", 3_000_000, 100_000)
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT});"
                        f"SELECT outbox_create_queue('{FRESH}')")
    bench.forget_turns()
    runs = [one_round(bench, messages) for _ in range(bench.rounds(2))]
    lines = [against_goal(f"fresh message beside a backlog of {messages:,}, p{q * 100:.0f}",
                          [quantile(s, q) / 1000 for s in runs], "<=", 50, "ms")
             for q in (0.5, 0.99)]
    return lines, [f"backlog: {', '.join(str(len(s)) for s in runs)} fresh messages; the "
                   f"slowest {max(map(max, runs)) / 1000:,.1f} ms; the relay's longest turn "
                   + bench.longest_turn()]
