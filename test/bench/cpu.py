# Copyright (c) 2026, the outbox developers
"""CPU time of other processes, which does not swing with what else runs.

A process's CPU clock counts user and system time of all of its threads in
nanoseconds; Linux lets anybody read it.  What has ended can only be asked of its
parent, in ticks of 10 ms.
"""

import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    return time.clock_gettime((~pid << 3) | 2)


def reaped_seconds(pid):
    """CPU time of the children of pid that have ended: backends, of the postmaster."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICK


class Meter:
    """What some processes use from now on.  pids: name -> pid."""

    def __init__(self, **pids):
        self.pids = pids
        self.begin = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def microseconds(self, name, messages):
        """... for each message"""
        return (cpu_seconds(self.pids[name]) - self.begin[name]) * 1e6 / messages
