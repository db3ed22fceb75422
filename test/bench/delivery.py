# Copyright (c) 2026, the outbox developers
"""delivery: how fast a backlog drains into a stream.

200,000 messages of 200 bytes are committed while the relay's URL points at a
socket where nobody listens; then the URL is put right.  Against it: XADD of
entries with the same fields and sizes by pipeline.c, which has nothing to
read and no cursor to keep.  Both sides are timed from the first entry to the
last by the entries' own ids: Redis' clock, no polling, and neither the wait of
a backoff nor the start of a process counts.
"""

from report import compare, in_turns
from servers import TEXT, wait_until

PAYLOAD_BYTES = 200
STREAM = "bench_delivery"
PLAIN = "plain_delivery"


def pile_up(bench, queue, messages):
    """A backlog, with Redis cut off."""
    bench.cut_redis()
    bench.redis.command("DEL", queue)
    bench.stage(queue, messages, PAYLOAD_BYTES)


def drain(bench, queue, messages, seconds=600):
    """Messages per second, of a backlog that was piled up."""
    bench.join_redis()
    wait_until("the backlog to drain",
               lambda: bench.redis.stream_length(queue) >= messages, seconds)
    rate = messages / bench.redis.stream_seconds(queue)
    bench.wait_delivered()
    bench.redis.command("DEL", queue)
    return rate


def plain(bench, messages, way):
    bench.redis.command("DEL", PLAIN)
    bench.helper("pipeline", bench.redis.socket_path, messages, PAYLOAD_BYTES,
                 way, "XADD", PLAIN, "*", "id", "%id", "payload", "%payload")
    rate = messages / bench.redis.stream_seconds(PLAIN)
    bench.redis.command("DEL", PLAIN)
    return rate


def run(bench):
    messages = 20_000 if bench.quick else 200_000
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT})")

    def ours():
        pile_up(bench, STREAM, messages)
        return drain(bench, STREAM, messages)

    runs = in_turns(3 if bench.quick else 10, {
        "idiom": lambda: plain(bench, messages, "idiom"),
        "ours": ours,
        "full": lambda: plain(bench, messages, "full")})
    return [compare("delivery, XADD by 1000s", runs["ours"], runs["idiom"],
                    "msg/s", ">= 0.8"),
            compare("delivery, XADD full pipe", runs["ours"], runs["full"],
                    "msg/s", ">= 0.8")], []
