# Copyright (c) 2026, the outbox developers
"""Two databases of one server, of which one is as it is and the other full of
something: both sides of a comparison can be measured in turns, without making and
removing what takes a minute to make.  Each has a relay; while one is measured the
other one's sleeps, stopped.
"""

import os
import signal
from contextlib import contextmanager

from servers import wait_until


def create(bench, *names):
    for name in names:
        bench.postgres.psql(f"CREATE DATABASE {name}")
        bench.postgres.psql("CREATE EXTENSION outbox", name)
        wait_until(f"the relay of {name}",
                   lambda name=name: bench.relay_state(name) == "running", 120)


def drop(bench, *names):
    for name in names:
        bench.postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def asleep(bench, name):
    """The relay of this database stands still meanwhile."""
    pid = bench.stop_idle_relay(name)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
