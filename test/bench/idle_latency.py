# Copyright (c) 2026, the outbox developers
"""latency: from COMMIT returning to the entry being visible.

latency.c commits one message, waits until a blocked XREAD has seen it, pauses,
and goes on.  Against it: an INSERT into a hand-written table whose trigger
notifies, and hand_relay.c listening.  The table's relay runs only in its own
turns; ours has nothing to do in theirs.  Figures are microseconds and signed.

Three times: idle; with 1,000 transactions a second that enqueue to another queue
(theirs: insert rows for another stream into the same table); idle with
synchronous_commit = off, where the relay has to flush what the commit did not.

The floor is taken in turns with them by floor.c, a bare program: a signal, one
XADD, a blocked XREAD.

Of each sample that took more than three times the median the cause is named, by what
latency.c has seen meanwhile of relay, Redis and reader: they had no CPU; the relay
was at work, with something else than the message; the relay wrote to disk; none of these.

A busy machine shows in each wake-up.  So beside the clock, for the idle cases: the
CPU time of Redis, and of the relay with what it has PostgreSQL do (theirs: its
process and its backend), for each message, chores between them included.
"""

from dataclasses import dataclass

from cpu import Meter
from report import column, compare, compare_quantiles, in_turns, quantile

STREAM = "bench_latency"
OTHER = "bench_other"
HAND = "hand_latency"
HAND_OTHER = "hand_other"
SETUP = f"""
CREATE TABLE {HAND} (id bigserial PRIMARY KEY, stream text NOT NULL,
	payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION hand_notify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NOTIFY hand_outbox; RETURN NULL; END $$;
CREATE TRIGGER hand_notify AFTER INSERT ON {HAND}
	FOR EACH STATEMENT EXECUTE FUNCTION hand_notify();
SELECT outbox_create_queue(q) FROM unnest('{{{STREAM},{OTHER}}}'::text[]) AS q;
"""
PAYLOAD = """'{"user_id": 4711, "template": "verify_email"}'::jsonb"""


def enqueue(queue):
    return f"SELECT outbox_enqueue('{queue}', {PAYLOAD})"


def insert(stream):
    return f"INSERT INTO {HAND} (stream, payload) VALUES ('{stream}', {PAYLOAD})"


SELECT = (f"SELECT id, stream, payload::text AS payload FROM {HAND}"
          " ORDER BY id LIMIT 1000")
DELETE = f"DELETE FROM {HAND} WHERE id = ANY($1::bigint[])"
GAP_US = 3000
LOAD_RATE = 1000
LOAD_CLIENTS = 8


@dataclass
class Case:
    name: str
    goals: dict                 # quantile: goal
    load: bool = False
    settings: tuple = ()


CASES = (
    Case("latency idle", {0.5: "<= 0.45", 0.9: "<= 0.6", 0.99: ""}),
    Case("latency beside 1,000 tx/s", {0.5: "<= 0.45", 0.9: "<= 0.6", 0.99: ""},
         load=True),
    Case("latency idle, synchronous_commit off", {0.5: "", 0.9: "", 0.99: ""},
         settings=("synchronous_commit=off",)),
)


@dataclass
class Sample:
    us: float
    delay_us: float             # relay, Redis and reader had no CPU
    busy_us: float              # the relay ran
    written: float              # bytes it wrote to disk


@dataclass
class Run:
    samples: list               # microseconds
    seen: list                  # the same, as Samples
    relay_us: float             # CPU time for each message
    redis_us: float
    load: float                 # messages a second that came to the other stream


def observe(bench, pids, stream, statement, messages, settings=(), db="postgres"):
    """Samples of so many messages, with what these processes did."""
    bench.redis.command("DEL", stream)
    out = bench.helper("latency", bench.postgres.conninfo(db, settings),
                       bench.redis.socket_path, stream, messages, GAP_US, statement, *pids)
    bench.redis.command("DEL", stream)
    return [Sample(*map(float, line.split())) for line in out.splitlines()]


def measure(bench, *args, **words):
    """Microseconds of so many messages."""
    return [sample.us for sample in observe(bench, (), *args, **words)]


def metered(bench, pids, *args):
    """The same, and the CPU time of Redis and of those processes."""
    meter = Meter(redis=bench.redis.pid, **{str(pid): pid for pid in pids})
    seen = observe(bench, (pids[0], bench.redis.pid, *pids[1:]), *args)
    samples = [sample.us for sample in seen]
    relay_us = sum(meter.microseconds(str(pid), len(samples)) for pid in pids)
    return Run(samples, seen, relay_us, meter.microseconds("redis", len(samples)), 0)


def floor(bench, messages):
    out = bench.helper("floor", bench.redis.socket_path, "floor", messages, GAP_US)
    bench.redis.command("DEL", "floor")
    return [float(line) for line in out.split()]


def with_load(bench, case, statement, other, function):
    """Call function, for a case with load while 1,000 transactions a second do what
    statement says."""
    if not case.load:
        return function()
    load = bench.postgres.start_pgbench(statement + ";\n", LOAD_CLIENTS, ("-T", 3600),
                                        rate=LOAD_RATE)
    try:
        bench.wait_for_entries(other, LOAD_RATE // 4)
        run = function()
        run.load = bench.redis.stream_length(other) / bench.redis.stream_seconds(other)
    finally:
        load.kill()
        load.wait()
    return run


def ours(bench, case, messages):
    pids = [bench.relay_pid()]
    run = with_load(bench, case, enqueue(OTHER), OTHER, lambda: metered(
        bench, pids, STREAM, enqueue(STREAM), messages, case.settings))
    bench.wait_delivered()
    bench.redis.command("DEL", OTHER)
    return run


def theirs(bench, case, messages):
    relay = bench.start_hand_relay(HAND, "notify", SELECT, DELETE)
    try:
        backend = int(bench.postgres.psql(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'hand_relay'"))
        return with_load(bench, case, insert(HAND_OTHER), HAND_OTHER, lambda: metered(
            bench, [relay.pid, backend], HAND, insert(HAND), messages, case.settings))
    finally:
        bench.stop_helper(relay)
        bench.redis.command("DEL", HAND_OTHER)
        bench.postgres.psql(f"TRUNCATE {HAND}")


def late(samples):
    """How many took more than three times the median, and how many there are."""
    return f"{sum(x > 3 * quantile(samples, 0.5) for x in samples)} of {len(samples)}"


def causes(seen):
    """Why those took so long, as text: how many of which cause."""
    usual = quantile([sample.us for sample in seen], 0.5)
    busy = quantile([sample.busy_us for sample in seen], 0.5)
    counts = {}
    for sample in seen:
        if sample.us <= 3 * usual:
            continue
        half = (sample.us - usual) / 2
        cause = ("no CPU" if sample.delay_us >= half else
                 "the relay at work" if sample.busy_us - busy >= half else
                 "the relay's disk" if sample.written > 0 else "none of these")
        counts[cause] = counts.get(cause, 0) + 1
    return ", ".join(f"{n} {cause}" for cause, n in sorted(counts.items())) or "none"


def flat(runs):
    return [x for samples in runs for x in samples]


def measure_case(bench, case, messages):
    bench.forget_turns()
    runs = in_turns(bench.rounds(10), {
        "ours": lambda: ours(bench, case, messages),
        "theirs": lambda: theirs(bench, case, messages),
        "floor": lambda: floor(bench, messages)})
    mine, others = runs["ours"], runs["theirs"]
    lines = compare_quantiles(case.name, column(mine, "samples"), column(others, "samples"),
                              "us", case.goals)
    if not case.load:
        lines += [compare(f"{case.name}, CPU of {what}", column(mine, which),
                          column(others, which), "us/msg")
                  for what, which in (("the relay", "relay_us"), ("Redis", "redis_us"))]
    if case is CASES[0]:
        lines += compare_quantiles(f"{case.name}, the floor", column(mine, "samples"),
                                   runs["floor"], "us", {0.5: "", 0.9: ""})
    all_mine = flat(column(mine, "samples"))
    notes = [f"{case.name}: {sum(x < 0 for x in all_mine) / len(all_mine):.0%} were visible "
             "before the committer had its answer; more than three times the median took "
             f"{late(all_mine)}, theirs {late(flat(column(others, 'samples')))}, of the bare "
             f"program {late(flat(runs['floor']))}; the relay's longest turn "
             + bench.longest_turn(),
             f"{case.name}: causes of those: {causes(flat(column(mine, 'seen')))}; "
             f"theirs: {causes(flat(column(others, 'seen')))}"]
    if case.load:
        notes.append(f"{case.name}: came to the other queue "
                     f"{quantile(column(mine, 'load'), 0.5):,.0f}/s, theirs "
                     f"{quantile(column(others, 'load'), 0.5):,.0f}/s")
    return lines, notes


def run(bench):
    bench.postgres.psql(SETUP)
    lines, notes = [], []
    for case in CASES:
        got, said = measure_case(bench, case, 100 if bench.quick else 250)
        lines += got
        notes += said
    return lines, notes
