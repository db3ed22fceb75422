# Copyright (c) 2026, the outbox developers
"""consumers: how fast a backlog drains into what consumers' own clients fill.

As in delivery: messages of 200 bytes, committed while Redis is cut off.  Against
it what the client library sends for each, by pipeline.c: for asynq the call of a
script that writes the task's hash and pushes its id, for Watermill an XADD of
its three fields.  Both clients send one and wait for its reply ("one by one");
"by 1000s" is what they could reach with pipelining.

Both sides are timed by polling the length of the list or stream, from the first
that is seen to the last; beside it the CPU time of Redis for each message.
"""

import time

from cpu import Meter
from delivery import Run, compare_drains
from report import column, compare, in_turns
from servers import BenchError, wait_until

PAYLOAD_BYTES = 200
TASK_BYTES = PAYLOAD_BYTES + 94     # with its type, id, queue, retry and timeout
TASK = ("if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end "
        "redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', "
        "'pending_since', ARGV[3]) "
        "redis.call('LPUSH', KEYS[2], ARGV[2]) return 1")


def forget(bench):
    bench.redis.command("EVAL", "for _, k in ipairs(redis.call('KEYS', 'asynq:{*')) do "
                        "redis.call('DEL', k) end redis.call('DEL', 'topic', 'plain')", 0)


def drain(bench, queue, messages, more, length):
    forget(bench)
    bench.cut_redis()
    bench.stage(queue, messages, PAYLOAD_BYTES, more=more)
    meter = Meter(redis=bench.redis.pid, relay=bench.relay_pid())
    bench.join_redis()
    wait_until("the backlog to begin", lambda: length() > 0, 60)
    begin, had = time.monotonic(), length()
    wait_until("the backlog to drain", lambda: length() >= messages, 600)
    rate = (messages - had) / (time.monotonic() - begin)
    redis_us = meter.microseconds("redis", messages)
    bench.wait_delivered()
    if length() != messages:
        raise BenchError(f"{queue}: {messages} messages were enqueued, {length()} arrived")
    return Run(rate, redis_us, meter.microseconds("relay", messages))


def plain(bench, messages, payload_bytes, way, *words):
    forget(bench)
    meter = Meter(redis=bench.redis.pid)
    seconds, cpu = map(float, bench.helper(
        "pipeline", bench.redis.socket_path, messages, payload_bytes, way,
        *words).split())
    return Run(messages / seconds, meter.microseconds("redis", messages),
               cpu * 1e6 / messages)


def run(bench):
    messages = 10_000 if bench.quick else 100_000
    psql, redis = bench.postgres.psql, bench.redis.command
    psql("SELECT outbox_create_queue('bench', 'asynq')")
    psql("SELECT outbox_create_queue('topic', 'watermill')")
    sha = redis("SCRIPT", "LOAD", TASK)
    task = ("EVALSHA", sha, 2, "asynq:{plain}:t:%id", "asynq:{plain}:pending", "%payload",
            "%id", "1795384488779554000")
    entry = ("XADD", "plain", "*", "_watermill_message_uuid", "%id", "metadata", "",
             "payload", "%payload")
    lines = []
    for name, ours, size, words in (
            ("asynq", lambda: drain(bench, "bench", messages, ", type => 'bench'",
                                    lambda: redis("LLEN", "asynq:{bench}:pending")),
             TASK_BYTES, task),
            ("Watermill", lambda: drain(bench, "topic", messages, "",
                                        lambda: redis("XLEN", "topic")),
             PAYLOAD_BYTES, entry)):
        runs = in_turns(bench.rounds(7), {
            "idiom": lambda: plain(bench, messages, size, "idiom", *words),
            "ours": ours,
            "single": lambda: plain(bench, messages // 10, size, "single", *words)})
        lines += compare_drains(f"{name}, its client's commands by 1000s", runs["ours"],
                                runs["idiom"], 0.9)
        lines.append(compare(f"{name}, its client's commands one by one",
                             column(runs["ours"], "rate"), column(runs["single"], "rate"),
                             "msg/s"))
    forget(bench)
    return lines, []
