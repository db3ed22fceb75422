# Copyright (c) 2026, the outbox developers
"""PostgreSQL: transactions, our tables, WAL, and what a restart makes of it."""

from relay import Relay
from rules import rule
from words import Row, Run, Snapshot


class Server:
    """A server.  What survives is in wal, a list of records; an LSN is a length.

    timelines: its timeline history, (number, LSN at which it began).
    """

    def __init__(self, world, name, system, timelines, wal, place=None,
                 parent=None):
        self.world = world
        self.name = name
        self.system = system
        self.timelines = list(timelines)
        self.wal = list(wal)
        self.place = place or world.new("place")
        self.restored = False           # started with recovery.signal
        self.paused = set()

        # for the checks only
        self.parent = parent
        self.born = world.time
        self.is_drill = False
        self.was_held = False
        self.took_over = False

        world.by_name[name] = self
        self.start_run()

    @property
    def timeline(self):
        return self.timelines[-1][0]

    @property
    def lsn(self):
        return len(self.wal)

    # life

    def start_run(self):
        """Recovery ends, and shared memory is new."""
        self.run_id = self.world.new("run")
        self.flushed = self.start = self.lsn
        self.in_progress = {}
        self.replay()
        at_once = self.world.runs_at_once or self.name[0] in "BC"
        if at_once and not self.held and rule("run at once"):
            self.record_run()
        self.waited_for_place = False
        self.relay = Relay(self, self.world.redis)

    def replay(self):
        """Our tables and the next numbers, from WAL."""
        self.rows, self.deferred, self.dead, self.runs = [], {}, {}, []
        self.source, self.held = "source0", None
        self.next_xid, self.seq = 3, 0
        written = {}
        for what, value in self.wal:
            if what == "row":
                written.setdefault(value.xid, []).append(value)
                self.next_xid = max(self.next_xid, value.xid + 1)
                self.seq = max(self.seq, value.seq)
            elif what == "commit":
                self.rows += written.pop(value, [])
                self.next_xid = max(self.next_xid, value + 1)
            elif what == "abort":
                written.pop(value, None)
                self.next_xid = max(self.next_xid, value + 1)
            elif what == "defer":
                self.deferred.setdefault(value.seq, value)
            elif what == "settle":
                self.deferred.pop(value, None)
            elif what == "bury":
                self.deferred.pop(value.seq, None)
                self.dead[value.seq] = value
            elif what == "run":
                self.runs.append(value)
            elif what == "hold":
                self.held = value
            elif what == "release":
                self.held = None
                self.source = value
        self.ended = self.next_xid

    def log(self, what, value):
        self.wal.append((what, value))

    def flush(self):
        self.flushed = self.lsn

    def crash(self):
        del self.wal[self.flushed:]
        self.start_run()

    def restart(self):
        self.flush()
        self.start_run()

    # what applications do

    def begin(self):
        xid = self.next_xid
        self.next_xid += 1
        self.in_progress[xid] = []
        return xid

    def enqueue(self, xid, queue, id, key):
        self.seq += 1
        row = Row(self.seq, xid, self.flushed, queue, id, key)
        self.in_progress[xid].append(row)
        self.log("row", row)

    def end(self, xid, commits, synchronous):
        self.log("commit" if commits else "abort", xid)
        if commits and synchronous:
            self.flush()
        rows = self.in_progress.pop(xid)
        self.ended = max(self.ended, xid + 1)
        if commits:
            self.rows += rows
        return rows

    def snapshot(self):
        return Snapshot(self.ended, (xid for xid in self.in_progress
                                     if xid < self.ended))

    # what the relay writes

    def defer(self, row):
        """Record a skipped row.  A crash may undo it: Redis has its number."""
        self.deferred.setdefault(row.seq, row)
        self.log("defer", row)

    def settle(self, seq):
        """A deferred row was applied.  A crash may undo it: as above."""
        self.deferred.pop(seq, None)
        self.log("settle", seq)

    def bury(self, row):
        """A dead letter, flushed before the next of its key goes (6a.11)."""
        self.deferred.pop(row.seq, None)
        self.dead[row.seq] = row
        self.log("bury", row)
        self.world.check.buried.add(row.id)
        self.flush()

    # runs

    def this_run(self):
        return Run(self.run_id, self.system, self.timeline, self.start,
                   self.place)

    def record_run(self):
        if not self.runs or self.runs[-1].id != self.run_id:
            self.runs.append(self.this_run())
            self.log("run", self.runs[-1])
            if rule("run flushed"):
                self.flush()

    def leaves(self, run):
        """Where our history leaves a run of it (6a.4, "at").

        Returns the next run, and the LSN up to which what that run wrote is ours.
        """
        runs = list(self.runs)
        if not runs or runs[-1].id != self.run_id:
            runs.append(self.this_run())
        following = runs[[known.id for known in runs].index(run.id) + 1]
        at = following.start if rule("next run") else self.start
        # Perhaps no relay has recorded a run on some timeline between.
        if following.system == run.system and rule("switch point"):
            at = min([at] + [begin for timeline, begin in self.timelines
                             if timeline > run.timeline])
        return following, at

    # holding

    def hold(self, reason):
        self.held = reason
        self.was_held = True
        self.world.tally["held: " + reason] += 1
        if rule("hold recorded"):
            self.log("hold", reason)
            self.flush()

    def release(self):
        """The operator's decision: new cursors."""
        self.held = None
        self.was_held = self.is_drill = self.restored = False
        self.source = self.world.new("source")
        self.log("release", self.source)
        self.flush()
        self.relay = Relay(self, self.world.redis)
