# Copyright (c) 2026, the outbox developers
"""PostgreSQL: transactions, our tables, WAL, and what a restart makes of it."""

from relay import Relay
from rules import rule
from words import QUEUES, Deferred, Row, Run, Snapshot


class Standby:
    """The synchronous standby of a server."""

    def __init__(self):
        self.has = 0            # LSN up to which it has flushed
        self.confirmed = 0      # LSN that it has told the server
        self.away = False
        self.gone = False       # promoted, or it is another server's


class Commit:
    """A commit record.  visible: when, first, for the checks."""

    def __init__(self, xid):
        self.xid = xid
        self.visible = None


class Prepared:
    """A prepared transaction.  Its coordinator decides once, for all histories."""

    def __init__(self, xid):
        self.xid = xid
        self.commits = None


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
        self.standby = Standby() if world.synchronous else None
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
        if self.standby:
            self.standby.confirmed = 0
        self.replay()
        at_once = self.world.runs_at_once or self.name[0] in "BC"
        if at_once and not self.held and rule("run at once"):
            self.record_run()
        self.waited_for_place = False
        self.relay = Relay(self, self.world.redis)

    def crash(self):
        del self.wal[self.flushed:]
        self.start_run()

    def restart(self):
        self.flush()
        self.start_run()

    # WAL

    def log(self, what, value=None):
        self.wal.append((what, value))
        if what != "fill":
            getattr(self, "redo_" + what)(value)

    def flush(self, lsn=None):
        """All of it, or what is needed."""
        self.flushed = max(self.flushed, self.lsn if lsn is None else lsn)

    def replay(self):
        """Our tables and the next numbers, from WAL."""
        self.next_xid, self.seq, self.ended = 3, 0, 3
        self.in_progress = {}   # by xid: what a commit will do, as records
        # by committed xid: where WAL has to be flushed, if the committer did not
        self.commit_log = {}
        self.prepared = {}      # by xid
        self.hanging = []       # (LSN, commit) that await the standby
        self.staged = []        # rows of the staging tables
        self.current = 0        # the table that takes new rows
        self.deferred, self.dead = {}, {}       # by seq
        self.replayed = set()   # of dead: the seqs of marks
        self.known = {}         # by source and queue
        # by queue: its place, and from where it moves there
        self.where = {queue: ("A", None) for queue in QUEUES}
        self.runs = []
        self.source, self.held = "source0", None
        self.history = {}       # for the checks: all rows, when visible
        for what, value in self.wal:
            if what != "fill":
                getattr(self, "redo_" + what)(value)
        self.in_progress = {xid: self.in_progress.get(xid, [])
                            for xid in sorted(self.prepared)}
        self.ended = self.next_xid

    def redo_row(self, row):
        self.redo_of_transaction(row.xid, "row", row)
        self.seq = max(self.seq, row.seq)

    def redo_delay(self, entry):
        self.redo_of_transaction(entry.row.xid, "delay", entry)
        self.seq = max(self.seq, entry.row.seq)

    def redo_due(self, value):
        xid, seq = value
        self.redo_of_transaction(xid, "due", seq)

    def redo_replay(self, value):
        xid, seq = value
        self.redo_of_transaction(xid, "replay", seq)

    def redo_of_transaction(self, xid, what, value):
        self.in_progress.setdefault(xid, []).append((what, value))
        self.next_xid = max(self.next_xid, xid + 1)

    def redo_prepare(self, prepared):
        self.prepared[prepared.xid] = prepared

    def redo_commit(self, commit):
        xid = commit.xid
        if commit.visible is None:
            commit.visible = self.world.time
        self.commit_log[xid] = 0
        for what, value in self.in_progress.get(xid, ()):
            if what == "row":
                self.staged.append(value)
            if what in ("row", "emptied"):
                self.history[value] = commit.visible
            if what == "delay":
                self.deferred[value.row.seq] = value
            if what == "due":
                self.deferred.pop(value, None)
            if what == "replay" and rule("replayed mark"):
                self.replayed.add(value)
            elif what == "replay":
                self.dead.pop(value, None)
        self.redo_abort(xid)

    def redo_abort(self, xid):
        self.in_progress.pop(xid, None)
        self.prepared.pop(xid, None)
        self.next_xid = max(self.next_xid, xid + 1)
        self.ended = max(self.ended, xid + 1)

    def redo_defer(self, entry):
        self.deferred[entry.row.seq] = entry

    def redo_forget(self, seq):
        self.deferred.pop(seq, None)

    def redo_bury(self, row):
        self.deferred.pop(row.seq, None)
        self.dead[row.seq] = row

    def redo_current(self, table):
        self.current = table

    def redo_empty(self, value):
        table, evacuated = value
        for row in evacuated:
            self.deferred.setdefault(row.seq, Deferred(row, "evacuated"))
        for row in self.staged:
            if row.table == table and row.seq in self.replayed:
                self.forget_replayed(row.seq)
        self.staged = [row for row in self.staged if row.table != table]
        for xid, records in self.in_progress.items():
            self.in_progress[xid] = [
                ("emptied" if what == "row" and value.table == table else what,
                 value) for what, value in records]

    def forget_replayed(self, seq):
        """Nothing can find the message under its old identity any more."""
        self.replayed.discard(seq)
        self.dead.pop(seq, None)

    def redo_known(self, value):
        key, known = value
        self.known[key] = known

    def redo_alter(self, value):
        queue, place, moving_from = value
        self.where[queue] = place, moving_from

    def redo_run(self, run):
        self.runs.append(run)

    def redo_hold(self, reason):
        self.held = reason

    def redo_release(self, source):
        self.held = None
        self.source = source

    # what applications do

    def begin(self):
        xid = self.next_xid
        self.next_xid += 1
        self.in_progress[xid] = []
        return xid

    def enqueue(self, xid, queue, id, key, due=None):
        row = Row(self.seq + 1, xid, self.flushed, queue, id, key, self.current)
        if due is None:
            self.log("row", row)
        else:
            self.log("delay", Deferred(row, "delayed", due))

    def replay_dead(self, row):
        """outbox_replay(): staged with a new identity.  A mark stays."""
        xid = self.begin()
        self.log("replay", (xid, row.seq))
        self.enqueue(xid, row.queue, row.id, row.key)
        self.end(xid, True, True)

    def prepare(self, xid):
        self.log("prepare", Prepared(xid))
        self.flush()

    def end(self, xid, commits, synchronous):
        if xid in self.prepared:
            prepared = self.prepared[xid]
            if prepared.commits is None:
                prepared.commits = commits
            commits = prepared.commits
        if not commits:
            self.log("abort", xid)
        elif not synchronous:
            self.log("commit", Commit(xid))
            self.commit_log[xid] = self.lsn
        else:
            commit = Commit(xid)
            self.wal.append(("commit", commit))
            self.flush()
            self.hanging.append((self.lsn, commit))
            self.finish_commits()

    def finish_commits(self, cancelled=False):
        """Commits are visible when the standby has them, or are cancelled."""
        for lsn, commit in list(self.hanging):
            if cancelled or self.standby_has(lsn):
                self.hanging.remove((lsn, commit))
                self.redo_commit(commit)

    def open_transactions(self):
        hanging = {commit.xid for _, commit in self.hanging}
        return [xid for xid in self.in_progress if xid not in hanging]

    def snapshot(self):
        return Snapshot(self.ended, (xid for xid in self.in_progress
                                     if xid < self.ended))

    def standby_has(self, lsn):
        return self.standby is None or self.standby.confirmed >= lsn

    # our tables

    def rows_of(self, queue):
        """The messages of a queue that we have, wherever they lie."""
        rows = {row.seq: row for row in self.staged if row.queue == queue}
        for entry in self.deferred.values():
            if entry.row.queue == queue and entry.reason != "delayed":
                rows[entry.row.seq] = entry.row
        for row in self.dead.values():
            if row.queue == queue:
                rows[row.seq] = row
        return sorted(rows.values())

    def every_row(self):
        return (self.staged + [entry.row for entry in self.deferred.values()] +
                list(self.dead.values()))

    def rows_in_progress(self):
        """What open and prepared transactions have written."""
        rows = []
        for records in self.in_progress.values():
            rows += [value for what, value in records if what == "row"]
            rows += [value.row for what, value in records if what == "delay"]
        return rows

    def reason(self, row):
        """Why it is deferred, if it is."""
        entry = self.deferred.get(row.seq)
        return entry and entry.reason

    def skipped(self, queue):
        """Of the rows that a cursor covers: those that were not applied."""
        return {row.seq for row in self.rows_of(queue)
                if row.seq in self.dead or self.reason(row) == "skipped"}

    def defer(self, row, reason):
        """A crash may undo this: Redis knows what was skipped and applied."""
        if self.reason(row) != reason:
            self.log("defer", Deferred(row, reason))

    def bury(self, row):
        """A dead letter, flushed before the next of its key goes (6a.11)."""
        self.log("bury", row)
        self.world.check.buried.add(row.id)
        if rule("burial flushed"):
            self.flush()

    # runs

    def this_run(self):
        return Run(self.run_id, self.system, self.timeline, self.start,
                   self.place)

    def record_run(self):
        if not self.runs or self.runs[-1].id != self.run_id:
            self.log("run", self.this_run())
            self.run_recorded = self.lsn
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
        self.was_held = True
        self.world.tally["held: " + reason] += 1
        if rule("hold recorded"):
            self.log("hold", reason)
            self.flush()
        else:
            self.held = reason

    def release(self):
        """The operator's decision: new cursors."""
        self.was_held = self.is_drill = self.restored = False
        self.log("release", self.world.new("source"))
        self.flush()
        self.relay = Relay(self, self.world.redis)
