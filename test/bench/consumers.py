# Copyright (c) 2026, the outbox developers
"""consumers: how fast a backlog drains into what consumers' own clients fill.

As in delivery: messages of 200 bytes, committed while Redis is cut off.  Against
it what the client library sends for each, by pipeline.c: for asynq the call of a
script that writes the task's hash and pushes its id, for Watermill an XADD of
its three fields.  Both clients send one and wait for its reply ("one by one");
"by 1000s" is what they could reach with pipelining.

Both sides are timed by polling the length of the list or stream, from the first
that is seen to the last.
"""

import time

from report import compare, in_turns
from servers import wait_until

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
    bench.join_redis()
    wait_until("the backlog to begin", lambda: length() > 0, 60)
    begin, had = time.monotonic(), length()
    wait_until("the backlog to drain", lambda: length() >= messages, 600)
    rate = (messages - had) / (time.monotonic() - begin)
    bench.wait_delivered()
    return rate


def plain(bench, messages, payload_bytes, way, *words):
    forget(bench)
    return messages / float(bench.helper("pipeline", bench.redis.socket_path, messages,
                                         payload_bytes, way, *words))


def run(bench):
    messages = 20_000 if bench.quick else 200_000
    rounds = 3 if bench.quick else 7
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
        runs = in_turns(rounds, {
            "idiom": lambda: plain(bench, messages, size, "idiom", *words),
            "ours": ours,
            "single": lambda: plain(bench, messages // 10, size, "single", *words)})
        lines += [compare(f"{name}, its client's commands by 1000s", runs["ours"], runs["idiom"],
                          "msg/s"),
                  compare(f"{name}, as its client: one by one", runs["ours"], runs["single"],
                          "msg/s", ">= 0.7")]
    forget(bench)
    return lines, []
