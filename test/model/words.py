# Copyright (c) 2026, the outbox developers
"""The words of the protocol: snapshot, row, run, cursor."""

from collections import namedtuple

# What has a cursor.  a: refused messages are retried, and keys wait; b: paused and
# resumed; the partitions of a queue c, which share its pause
PARTITIONS = ("c0", "c1")
QUEUES = ("a", "b") + PARTITIONS


def partition(key, seq):
    """Of a message of c: a row says to which queue, or partition, it belongs."""
    return PARTITIONS[(seq if key is None else ord(key)) % len(PARTITIONS)]

# Redis servers that a queue can be delivered to
PLACES = ("A", "B", "C")


class Snapshot:
    """A set of ended transactions: all below xmax but those in progress."""

    __slots__ = ("xmax", "in_progress")

    def __init__(self, xmax=3, in_progress=()):
        self.xmax = xmax
        self.in_progress = frozenset(in_progress)

    def sees(self, xid):
        return xid < self.xmax and xid not in self.in_progress

    def clip(self, limit, in_progress):
        """What it says of the transactions below limit but for some; these and all
        from limit on have not ended."""
        xmax = min(self.xmax, limit)
        return Snapshot(xmax, (xid for xid in self.in_progress | in_progress
                               if xid < xmax))

    def __eq__(self, other):
        return ((self.xmax, self.in_progress) ==
                (other.xmax, other.in_progress))

    def __hash__(self):
        return hash((self.xmax, self.in_progress))

    def __repr__(self):
        return f"{self.xmax}:{sorted(self.in_progress)}"


NOTHING = Snapshot()

# A message as it is staged.  lsn: what was flushed when it was written (6a.3).
# table: the staging table that it was written to.
Row = namedtuple("Row", "seq xid lsn queue id key table")

# A row that cannot wait in staging, and why:
# delayed: until due, then it is staged again with a new identity
# skipped: it was refused, or waits behind one that was
# applied: that went through in the end, but Redis may lose it
# evacuated: its queue stands still, or stood
Deferred = namedtuple("Deferred", "row reason due", defaults=(None,))

# What the database remembers of a cursor, to count what Redis loses.
Known = namedtuple("Known", "count cursor skipped")

# One life of shared memory (6a.1).  start: where recovery ended.  place: the
# machine and the data directory (6a.10).
Run = namedtuple("Run", "id system timeline start place")


class Cursor(namedtuple("Cursor", "line lsn token prev cur seq mark")):
    """What Redis has of a queue: its position, and whose it is (6a.2).

    line: the last runs of its mover's history, the newest is the mover's own.
    lsn: where the mover's WAL was.  token: the mover's connection (6a.5).
    mark is no part of the protocol: it is the WAL record before lsn, by which
    the checks know whose history the cursor really belongs to.
    """

    def covers(self, row):
        return (self.prev.sees(row.xid) or
                (self.cur.sees(row.xid) and row.seq <= self.seq))

    @property
    def run(self):
        return self.line[-1]
