# Copyright (c) 2026, the outbox developers
"""roundtrip: draining to a Redis that is 2 ms away, into one queue and into ten.

A backlog as in delivery, through delay_proxy.c, which hands each chunk of bytes on
1 ms later, in both directions; against the same through a proxy that hands it on at
once.
"""

import delivery
from report import in_turns
from servers import TEXT

QUEUES = 10
ONE_WAY_US = 1000


def run(bench):
    messages = 10_000 if bench.quick else 100_000
    names = [f"bench_far_{i}" for i in range(QUEUES)]
    for name in names:
        bench.postgres.psql(f"SELECT outbox_create_queue('{name}', {TEXT})")
    url = bench.postgres.redis_url
    proxies = {}
    for name, us in (("far", ONE_WAY_US), ("near", 0)):
        path = f"{bench.directory}/{name}.sock"
        proxies[f"unix://{path}"] = bench.start_helper(
            "delay_proxy", path, bench.redis.socket_path, us)
    far, near = proxies

    def drain(url, queues):
        delivery.pile_up(bench, queues, messages)
        bench.postgres.redis_url = url
        return delivery.drain(bench, queues, messages)

    lines = []
    for count in (1, QUEUES):
        runs = in_turns(bench.rounds(8), {
            "far": lambda: drain(far, names[:count]),
            "near": lambda: drain(near, names[:count])})
        lines += delivery.compare_drains(
            f"drain, 2 ms further away, {count} queue{'s' * (count > 1)}", runs["far"],
            runs["near"], 0.8)
    bench.postgres.redis_url = url
    bench.join_redis()
    for proxy in proxies.values():
        bench.stop_helper(proxy)
    return lines, []
