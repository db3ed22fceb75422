# Copyright (c) 2026, the outbox developers
"""cluster: three primaries and a queue of 12 partitions, against one Redis.

Two foreign servers: a cluster of three primaries (no replicas, by TCP on free ports)
and a single Redis by TCP, each with a queue of 12 partitions.  Messages of 200
bytes are committed while the queue is paused; then it is resumed.  Timed from the first
entry of any partition to the last, by the servers' own clocks.

All servers, the relay and PostgreSQL share the machine's cores: with two cores three
primaries have no more to work with than one.  The figure says what the cluster
costs here; it can't say what it gives where each primary has a machine.
"""

import subprocess
from dataclasses import dataclass

from cpu import Meter, cpu_seconds
from report import column, compare, in_turns, unmeasured
from servers import BenchError, Redis, wait_until
from tls import free_port

PARTITIONS = 12
PAYLOAD_BYTES = 200
GOAL = ""


@dataclass
class Run:
    rate: float
    redis_us: float
    relay_us: float


def start_cluster(bench):
    """Three primaries that have agreed on their slots, and the URL of them."""
    ports = [free_port() for _ in range(3)]
    nodes = [Redis(bench.new_directory(f"node{i}"), "--port", port, "--bind", "127.0.0.1",
                   "--cluster-enabled", "yes", "--cluster-port", free_port(),
                   "--cluster-node-timeout", "30000") for i, port in enumerate(ports)]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    done = subprocess.run(["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise BenchError(f"redis-cli: {done.stdout}")
    wait_until("the cluster to agree", lambda: all(
        "cluster_state:ok" in node.command("CLUSTER", "INFO") for node in nodes), 60)
    return nodes, "redis+cluster://" + ",".join(addresses)


def keys(bench, queue):
    return bench.postgres.psql(
        f"SELECT redis_key FROM outbox.partitions WHERE queue = '{queue}'").split()


def entries(nodes, streams):
    """The streams that exist, each with the node that has it."""
    return [(node, key) for node in nodes for key in node.command("KEYS", "*")
            if key in streams]


def drain(bench, queue, nodes, messages):
    psql = bench.postgres.psql
    streams = set(keys(bench, queue))
    psql(f"SELECT outbox_pause_queue('{queue}')")
    psql("SET synchronous_commit = off;" + "".join(
        f"SELECT count(outbox_enqueue('{queue}', '{{}}'::jsonb || jsonb_build_object("
        f"'s', repeat('x', {PAYLOAD_BYTES - 10})))) FROM generate_series(1, 1000);"
        for _ in range(messages // 1000)))
    psql("CHECKPOINT")
    used = sum(cpu_seconds(node.pid) for node in nodes)
    meter = Meter(relay=bench.relay_pid())
    psql(f"SELECT outbox_resume_queue('{queue}')")

    def arrived():
        return sum(node.stream_length(key) for node, key in entries(nodes, streams))

    wait_until(f"{queue} to drain", lambda: arrived() >= messages, 300)
    used = sum(cpu_seconds(node.pid) for node in nodes) - used
    bench.wait_delivered()
    got, there = arrived(), entries(nodes, streams)
    if got != messages:
        raise BenchError(f"{messages} messages were enqueued, {queue} has {got}")
    times = [node.stream_times(key) for node, key in there]
    seconds = max(last for _, last in times) - min(first for first, _ in times)
    for node, key in there:
        node.command("DEL", key)
    return Run(messages / seconds, used * 1e6 / messages,
               meter.microseconds("relay", messages))


def create(bench, name, url):
    """Why a queue there is of no use, or nothing."""
    try:
        bench.postgres.psql(
            f"CREATE SERVER {name} FOREIGN DATA WRAPPER outbox OPTIONS (url '{url}');"
            f"SELECT outbox_create_queue('{name}', settings => '{{\"server\": \"{name}\","
            f" \"partitions\": {PARTITIONS}}}')")
    except BenchError as e:
        return " ".join(str(e).split())
    bench.postgres.psql(f"SELECT outbox_enqueue('{name}', '1')")
    try:
        wait_until(f"a first message of {name}", lambda: bench.waiting() == 0 and
                   bench.postgres.psql("SELECT state FROM outbox.server_status"
                                       f" WHERE server = '{name}'") == "running", 30)
    except BenchError:
        return bench.postgres.psql("SELECT coalesce(why, last_error) FROM"
                                   f" outbox.server_status WHERE server = '{name}'")
    return ""


def run(bench):
    messages = 10_000 if bench.quick else 100_000
    name = f"drain, cluster of three, {PARTITIONS} partitions"
    nodes, single = [], None
    try:
        port = free_port()
        single = Redis(bench.new_directory("single"), "--port", port, "--bind", "127.0.0.1")
        nodes, url = start_cluster(bench)
        why = create(bench, "bench_cluster", url)
        if why:
            return [unmeasured(name, GOAL, why)], []
        why = create(bench, "bench_single", f"redis://127.0.0.1:{port}")
        if why:
            raise BenchError(why)
        for node, key in (entries(nodes, set(keys(bench, "bench_cluster")))
                          + entries([single], set(keys(bench, "bench_single")))):
            node.command("DEL", key)
        runs = in_turns(bench.rounds(7), {
            "cluster": lambda: drain(bench, "bench_cluster", nodes, messages),
            "single": lambda: drain(bench, "bench_single", [single], messages)})
        return [compare(f"{name}{what}", column(runs["cluster"], which),
                        column(runs["single"], which), unit, GOAL)
                for what, which, unit in (("", "rate", "msg/s"),
                                          (", CPU of the Redises", "redis_us", "us/msg"),
                                          (", CPU of the relay", "relay_us", "us/msg"))], []
    finally:
        for queue in ("bench_cluster", "bench_single"):
            bench.postgres.psql(f"SELECT outbox_drop_queue(name, force => true) FROM outbox.queue"
                                f" WHERE name = '{queue}'")
            bench.postgres.psql(f"DROP SERVER IF EXISTS {queue}")
        for server in [*nodes, *([single] if single else [])]:
            server.stop()
