# Copyright (c) 2026, the outbox developers
"""capture: a statement that inserts 50,000 rows into a captured table.

Six columns, one of them the primary key.  Against it the same statement on a table
like it that is not captured.  The relay stands still, so that only what the
statement costs is measured: by the clock, and in CPU time of the backend.  All that
was captured arrives afterwards.
"""

from dataclasses import dataclass

from report import column, compare, in_turns

STREAM = "bench_capture"
COLUMNS = """(id bigserial PRIMARY KEY, name text NOT NULL, email text NOT NULL,
	amount numeric NOT NULL, active boolean NOT NULL, at timestamptz NOT NULL)"""
SETUP = f"""
CREATE TABLE captured {COLUMNS};
CREATE TABLE uncaptured {COLUMNS};
SELECT outbox_create_queue('{STREAM}');
SELECT outbox_capture('captured', '{STREAM}');
"""


@dataclass
class Run:
    seconds: float
    cpu: float


def insert(bench, table, rows):
    pg = bench.postgres
    pg.psql(f"TRUNCATE {table}; CHECKPOINT")
    with pg.backends_cpu() as used:
        tps, _ = pg.pgbench(
            f"INSERT INTO {table} (name, email, amount, active, at)"
            " SELECT 'alice ' || i, 'alice@example.com', i / 100.0, true, now()"
            f" FROM generate_series(1, {rows}) AS i;\n", 1, ("-t", 1))
    return Run(1 / tps, used[0])


def run(bench):
    rows = 5_000 if bench.quick else 50_000
    bench.postgres.psql(SETUP)

    def captured():
        result = bench.run_without_relay(insert, bench, "captured", rows)
        bench.expect_entries(STREAM, rows)
        return result

    runs = in_turns(bench.rounds(8), {
        "captured": captured,
        "uncaptured": lambda: insert(bench, "uncaptured", rows)})
    bench.postgres.psql("DROP TABLE captured, uncaptured")
    return [compare(f"capture, {rows:,} rows in a statement{what}",
                    column(runs["captured"], which), column(runs["uncaptured"], which),
                    "s", "<= 2.5")
            for what, which in (("", "seconds"), (", CPU of the backend", "cpu"))], []
