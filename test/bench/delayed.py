# Copyright (c) 2026, the outbox developers
"""delayed: 500,000 messages wait for a day far in the future (--size delayed=N).

In one database; another one has none.  The CPU time of either relay while nothing
is enqueued, both in the same seconds: while the messages are counted for the first
time, which takes minutes, and when they are.  Then the latency of another queue, in
turns.
"""

import databases
from idle_latency import enqueue, measure
from report import compare, compare_quantiles, in_turns
from scale import idle
from servers import wait_until

FULL, BARE = "bench_delayed", "bench_bare"
LATENT = "bench_delayed_latency"


def latency(bench, db, messages):
    stream = f"{LATENT}_{db}"
    with databases.asleep(bench, BARE if db == FULL else FULL):
        return measure(bench, stream, enqueue(stream), messages, db=db)


def run(bench):
    delayed = bench.size("delayed", 500_000, 50_000)
    samples = 100 if bench.quick else 250
    databases.create(bench, FULL, BARE)
    for db in (FULL, BARE):
        bench.postgres.psql(f"SELECT outbox_create_queue('{LATENT}_{db}')", db)
        latency(bench, db, 10)
    bench.postgres.psql(
        "SELECT outbox_create_queue('later');"
        "SELECT count(outbox_enqueue('later', '{}'::jsonb, delay => '100 days'))"
        f" FROM generate_series(1, {delayed});"
        "ANALYZE outbox.deferred; CHECKPOINT", FULL)
    name = f"{delayed:,} delayed"
    lines = [compare(f"{name}, being counted, CPU of the relay", *idle(bench, FULL, BARE, 5),
                     "% of a core")]
    wait_until("the relay to have counted them", lambda: bench.postgres.psql(
        "SELECT sum(delayed) FROM outbox.queue_status", FULL) == str(delayed), 1200)
    lines.append(compare(f"{name}, idle, CPU of the relay", *idle(bench, FULL, BARE, 5),
                         "% of a core", "<= 1.1"))
    waits = in_turns(bench.rounds(8), {db: lambda db=db: latency(bench, db, samples)
                                       for db in (FULL, BARE)})
    lines += compare_quantiles(f"{name}, latency of another queue", waits[FULL],
                               waits[BARE], "us", {0.5: "<= 1.1", 0.9: "<= 1.1", 0.99: ""})
    databases.drop(bench, FULL, BARE)
    return lines, []
