# Copyright (c) 2026, the outbox developers
"""server: the latency of a queue while the server of another one hangs.

The same as latency, on the default server, with two servers more that have a queue
each.  In one side's turns one of these is stopped (SIGSTOP), and messages wait for it;
in the other's all are well.  Nothing is traded for the other: only the ratio counts.
"""

import os
import signal

from idle_latency import enqueue, measure
from report import compare_quantiles, in_turns
from servers import BenchError, Redis, wait_until

STREAM = "bench_server"
OTHERS = ("jobs", "events")


def state(bench, queue):
    return bench.postgres.psql("SELECT state FROM outbox.queue_status"
                               f" WHERE queue = '{queue}'").strip()


def well(bench, messages):
    return measure(bench, STREAM, enqueue(STREAM), messages)


def one_hangs(bench, redis, messages):
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        bench.postgres.psql("SELECT outbox_enqueue('jobs', '1') FROM generate_series(1, 100)")
        wait_until("the relay to notice that a server hangs",
                   lambda: state(bench, "jobs") == "waiting for redis", 60)
        return well(bench, messages)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
        wait_until("the server to be back",
                   lambda: state(bench, "jobs") == "flowing", 60)


def run(bench):
    messages, rounds = (100 if bench.quick else 250), bench.rounds(8)
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}')")
    servers = {}
    try:
        for name in OTHERS:
            servers[name] = Redis(bench.new_directory(name))
            bench.postgres.psql(
                f"CREATE SERVER {name} FOREIGN DATA WRAPPER outbox"
                f" OPTIONS (url 'unix://{servers[name].socket_path}?db=0');"
                f"SELECT outbox_create_queue('{name}', settings => '{{\"server\": \"{name}\"}}')")
        runs = in_turns(rounds, {
            "hangs": lambda: one_hangs(bench, servers["jobs"], messages),
            "well": lambda: well(bench, messages)})
        bench.wait_delivered()
        got = servers["jobs"].stream_length("jobs")
        if got != 100 * rounds:
            raise BenchError(f"jobs: {100 * rounds} messages were enqueued, {got} arrived")
    finally:
        for name in OTHERS:
            bench.postgres.psql(f"SELECT outbox_drop_queue('{name}', force => true)")
        for server in servers.values():
            server.stop()
    return compare_quantiles("latency while another server hangs", runs["hangs"],
                             runs["well"], "us", {0.5: "<= 1.2", 0.9: "<= 1.2", 0.99: ""}), []
