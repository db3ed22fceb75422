# Copyright (c) 2026, the outbox developers
"""scale: 5,000 queues are defined (--size queues=N), and one is busy.

Drain of a queue that is resumed and latency, in a database with these queues, against one
that has but the busy one; both relays are connected all the time.  Then the CPU time of either relay while
nothing is enqueued, both in the same seconds.
"""

import time

import databases
import delivery
from cpu import Meter
from idle_latency import enqueue, measure
from report import compare, compare_quantiles, in_turns
from servers import TEXT, wait_until

MANY, ONE = "bench_many", "bench_one"
BUSY = "bench_scale"
LATENT = "bench_scale_latency"
WATCHED_S = 10


def busy(bench, db, messages):
    """A backlog of a paused queue, from its first entry in Redis to its last.  The relay
    stays connected: that it reads the cursors of all queues, once, is not counted."""
    stream = f"{BUSY}_{db}"
    bench.postgres.psql(f"SELECT outbox_pause_queue('{stream}')", db)
    bench.redis.command("DEL", stream)
    bench.stage(stream, messages, delivery.PAYLOAD_BYTES, db=db)
    meter = Meter(redis=bench.redis.pid, relay=bench.relay_pid(db))
    bench.postgres.psql(f"SELECT outbox_resume_queue('{stream}')", db)
    wait_until("the backlog to drain",
               lambda: bench.redis.stream_length(stream) >= messages, 600)
    redis_us = meter.microseconds("redis", messages)
    bench.wait_delivered(db=db)
    run = delivery.Run(messages / bench.redis.stream_seconds(stream), redis_us,
                       meter.microseconds("relay", messages))
    bench.expect_entries(stream, messages)
    return run


def latency(bench, db, messages):
    stream = f"{LATENT}_{db}"
    return measure(bench, stream, enqueue(stream), messages, db=db)


def idle(bench, one, other, rounds):
    """CPU time a second of the relays of two databases with nothing to do, in percent."""
    shares = {one: [], other: []}
    for _ in range(rounds):
        begin = time.monotonic()
        meter = Meter(one=bench.relay_pid(one), other=bench.relay_pid(other))
        time.sleep(WATCHED_S / rounds)
        seconds = time.monotonic() - begin
        for name, db in (("one", one), ("other", other)):
            shares[db].append(meter.microseconds(name, seconds) / 1e4)
    return shares[one], shares[other]


def run(bench):
    queues = bench.size("queues", 5000, 500)
    messages, samples = (10_000, 100) if bench.quick else (100_000, 250)
    databases.create(bench, MANY, ONE)
    bench.postgres.psql(
        "SELECT count(outbox_create_queue('idle ' || i))"
        f" FROM generate_series(1, {queues - 2}) AS i", MANY)
    for db in (MANY, ONE):
        bench.postgres.psql(f"SELECT outbox_create_queue('{BUSY}_{db}', {TEXT});"
                            f"SELECT outbox_create_queue('{LATENT}_{db}')", db)
        busy(bench, db, 1000)
    name = f"{queues:,} queues, one busy"
    drains = in_turns(bench.rounds(7), {db: lambda db=db: busy(bench, db, messages)
                                        for db in (MANY, ONE)})
    lines = delivery.compare_drains(f"{name}, drain", drains[MANY], drains[ONE], 0.95)
    waits = in_turns(bench.rounds(7), {db: lambda db=db: latency(bench, db, samples)
                                       for db in (MANY, ONE)})
    lines += compare_quantiles(f"{name}, latency", waits[MANY], waits[ONE], "us",
                               {0.5: "<= 1.1", 0.9: "<= 1.1"})
    lines.append(compare(f"{queues:,} queues, all idle, CPU of the relay",
                         *idle(bench, MANY, ONE, 5), "% of a core"))
    databases.drop(bench, MANY, ONE)
    return lines, []
