# Copyright (c) 2026, the outbox developers
"""delivery: how fast a backlog drains into a stream.

100,000 messages of 200 bytes, and 50,000 of 1 kB, are committed while the relay's
URL points at a socket where nobody listens; then the URL is put right.  Against
it: XADD of entries with the same fields and sizes by pipeline.c, which has nothing
to read and no cursor to keep.  Both sides are timed from the first entry to the last by
the entries' own ids: Redis' clock, no polling, and neither the wait of a
backoff nor the start of a process counts.

Beside the clock, the CPU time of Redis for each message (its one thread is what
limits both sides on an idle machine), and that of who sends: the relay, which
also reads PostgreSQL's tables, and the plain client.
"""

from dataclasses import dataclass

from cpu import Meter
from report import column, compare, in_turns
from servers import TEXT, wait_until

PAYLOAD_BYTES = 200
STREAM = "bench_delivery"
PLAIN = "plain_delivery"


@dataclass
class Run:
    rate: float
    redis_us: float             # CPU time for each message
    sender_us: float


def pile_up(bench, queues, messages, payload_bytes=PAYLOAD_BYTES, db="postgres"):
    """A backlog, with Redis cut off."""
    bench.cut_redis(db)
    for queue in queues:
        bench.redis.command("DEL", queue)
        bench.stage(queue, messages // len(queues), payload_bytes, db=db)


def drain(bench, queues, messages, seconds=600, db="postgres"):
    """What was piled up."""
    meter = Meter(redis=bench.redis.pid, relay=bench.relay_pid(db))
    bench.join_redis()
    wait_until("the backlog to drain",
               lambda: sum(map(bench.redis.stream_length, queues)) >= messages, seconds)
    redis_us = meter.microseconds("redis", messages)
    bench.wait_delivered(db=db)
    run = Run(messages / bench.redis.stream_seconds(*queues), redis_us,
              meter.microseconds("relay", messages))
    for queue in queues:
        bench.expect_entries(queue, messages // len(queues))
    return run


def plain(bench, messages, way, payload_bytes=PAYLOAD_BYTES, server=None):
    bench.redis.command("DEL", PLAIN)
    meter = Meter(redis=bench.redis.pid)
    out = bench.helper("pipeline", server or bench.redis.socket_path, messages,
                       payload_bytes, way, "XADD", PLAIN, "*", "id", "%id",
                       "payload", "%payload")
    run = Run(messages / bench.redis.stream_seconds(PLAIN),
              meter.microseconds("redis", messages),
              float(out.split()[1]) * 1e6 / messages)
    bench.expect_entries(PLAIN, messages)
    return run


def compare_drains(name, ours, theirs, goal, senders=True):
    """By the clock, by Redis' CPU time, and what the senders use.  goal: of the rate."""
    lines = [compare(name, column(ours, "rate"), column(theirs, "rate"), "msg/s",
                     f">= {goal}" if goal else ""),
             compare(f"{name}, CPU of Redis", column(ours, "redis_us"),
                     column(theirs, "redis_us"), "us/msg",
                     f"<= {1 / goal:.2f}" if goal else "")]
    if senders:
        lines.append(compare(f"{name}, CPU of relay and client", column(ours, "sender_us"),
                             column(theirs, "sender_us"), "us/msg"))
    return lines


def run(bench):
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT})")
    lines = []
    for name, payload_bytes, messages, goal in (
            ("200 B", 200, 100_000, 0.9), ("1 kB", 1000, 50_000, 0.85)):
        messages = 10_000 if bench.quick else messages

        def ours():
            pile_up(bench, [STREAM], messages, payload_bytes)
            return drain(bench, [STREAM], messages)

        runs = in_turns(bench.rounds(10), {
            "idiom": lambda: plain(bench, messages, "idiom", payload_bytes),
            "ours": ours,
            "full": lambda: plain(bench, messages, "full", payload_bytes)})
        lines += compare_drains(f"drain {name}, XADD full pipe", runs["ours"],
                                runs["full"], goal)
        lines.append(compare(f"drain {name}, XADD by 1000s", column(runs["ours"], "rate"),
                             column(runs["idiom"], "rate"), "msg/s"))
    return lines, []
