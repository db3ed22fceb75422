# Copyright (c) 2026, the outbox developers
"""The rules of the protocol, each with a schedule that fails without it.

Code that keeps a rule says so: `if rule("clip"): ...`.  rule() is true, but for
the one rule that a run leaves out.
"""

from collections import namedtuple

# name; what it says (with its number in the design); how many schedules are
# tried at most until one fails without it; which events happen in these (none:
# all kinds).  With more than 6000 only `run --long` tries it.
Rule = namedtuple("Rule", "name says schedules events")

RULES = [Rule(*line) for line in (
    # ticks and the cursor
    ("compare",
     "a script does nothing if the cursor is not as expected",
     300, ""),
    ("two stages",
     "recovery finishes the cursor's own tick before it begins the next one",
     300, ""),
    ("snapshots",
     "a tick is what a snapshot sees and the last one did not, not what has "
     "greater numbers",
     300, ""),
    ("record",
     "what the skip list has and no table knows is recorded again",
     300, ""),
    ("flush: commits",
     "the commits of a tick's rows are flushed before the tick leaves",
     600, ""),
    ("flush: ids",
     "so is a record of the last transaction that its snapshot calls ended, or of "
     "a later one: no id that it calls ended is given out again",
     6000, ""),
    ("flush: position",
     "a cursor's position is flushed",
     600, ""),
    ("flush: first",
     "and is taken after these were, so that it is behind them",
     6000, "failover"),
    ("partition by key",
     "all messages of a key go to one partition, whatever happens to them",
     300, ""),

    # retention
    ("retention",
     "what Redis has is kept for some time, as it may lose it",
     300, "silent,redis"),
    ("retention begins",
     "for rows of a queue that stood still it begins when they have gone",
     20000, "silent,redis"),
    ("look before emptying",
     "and until a look has found the cursors as they should be after that time",
     1000, "silent"),
    ("open transactions",
     "a staging table is not emptied while an open transaction has written to it",
     300, ""),
    ("evacuate",
     "rows of a queue that stands still are copied when staging is emptied",
     300, ""),
    ("dead letters stay",
     "but rows of dead letters are not: their marks would go with staging",
     6000, "silent,redis"),
    ("evacuated kept",
     "the copies are retained as well",
     6000, "silent,redis"),
    ("applied kept",
     "so is what was skipped and went through later",
     6000, "silent,redis"),
    ("count recorded",
     "how many were applied is recorded with each emptying, to count losses",
     1000, "silent,redis"),

    # delayed messages, dead letters
    ("one transaction",
     "a delayed message leaves deferred in the transaction that stages it",
     300, ""),
    ("new identity",
     "and has a new identity",
     300, ""),
    ("replayed mark",
     "a dead letter that was replayed leaves a mark while staging has its row",
     6000, ""),

    # replicas of Redis
    ("wait",
     "with WAIT, what is forgotten is covered by cursors that replicas have",
     300, "replica"),
    ("wait: copies",
     "and copies are deleted when replicas have what made them needless",
     6000, "replica"),
    ("wait: moves",
     "and where a queue came from is forgotten when replicas have that it has come",
     300, "replica,move"),
    ("wait: marker",
     "and the connection that waits sees what the one that delivers has written",
     6000, "replica"),

    # a cluster
    ("slot: both keys",
     "a script names all its keys, and does nothing while one is at another node",
     300, "slot"),

    # runs
    ("run flushed",
     "1: the record of a run is flushed before a cursor is moved",
     600, ""),
    ("system identifier",
     "1: a run has its system identifier",
     6000, "upgrade,comeback,failover"),
    ("row position",
     "3: rows written since the fork say which transactions only we have",
     3000, "upgrade,failover,siblings"),

    # whose cursor
    ("set back",
     "4: the cursor is not ours if it goes beyond where our history leaves it",
     600, "setback"),
    ("unknown run",
     "4: the cursor is not ours if its newest run is none of ours",
     600, "setback,clone"),
    ("fork",
     "4: promoted since, only if the cursor has all that we have of its run",
     6000, "failover,siblings"),
    ("newer timeline",
     "4: promoted since, only on a newer timeline than the cursor's",
     1000, "failover,siblings"),
    ("next run",
     "4: our history leaves a run where the next run of ours starts",
     3000, "setback,upgrade"),
    ("switch point",
     "4: or where our timeline history leaves that run's timeline, if earlier",
     6000, "siblings,failover"),
    ("clip",
     "4: promoted since: transactions that only the cursor's history has are "
     "not covered",
     300, "failover"),
    ("clip prepared",
     "4: nor are transactions that have not ended here (prepared ones)",
     6000, "failover"),
    ("clip then",
     "4: nor those that had not ended when one looked, and have ended since",
     6000, "failover"),
    ("clip skipped",
     "4: and numbers that only the cursor's history has are not skipped",
     6000, "failover"),

    # connections, losses of Redis, clones
    ("token",
     "5: each connection has a token of its own in the position",
     6000, "late"),
    ("count",
     "6: the count of applied messages is compared, too",
     3000, "silent"),
    ("look",
     "7: idle cursors are looked at",
     6000, "setback,silent"),
    ("look moves",
     "7: a look moves the cursor's LSN on",
     3000, "clone"),
    ("look writes",
     "7: a look writes WAL of its own first",
     40000, "clone"),
    ("look flushed",
     "7: and flushes it",
     1000, ""),

    # holding
    ("restored",
     "8: a server that was restored from a backup is held",
     600, "drill"),
    ("restored mark",
     "8: also if it was restarted before its relay came",
     600, "drill"),
    ("hold recorded",
     "9: that a database is held is in the database",
     300, ""),
    ("burial flushed",
     "11: a dead letter is flushed before the next of its key goes",
     20000, "late"),

    # a queue gets another server
    ("move: seal",
     "the cursor where a queue was is sealed before its copy is used",
     6000, "move,late,failover"),
    ("move: compare",
     "the copy takes the place of what was read there and of nothing else",
     20000, "move,late,redis"),
    ("move: arrived",
     "a copy that has come says by which move, and is not made again",
     600, "move,late"),
    ("move: kept",
     "for the retention the copy is made again if the new server loses it",
     6000, "move,redis"),
    ("move: moved on",
     "a copy that has come and was moved on from there is not made again",
     6000, "move,failover"),
    ("move: who is there",
     "a cursor where the queue goes is judged like any other before it is replaced",
     20000, "move,failover"),
    ("move: mark",
     "who finds a seal and knows of no move delivers nothing there",
     6000, "move,failover"),

    # the synchronous standby (6b)
    ("standby: ticks",
     "a tick leaves when the standby has WAL up to its snapshot",
     300, "standby,failover"),
    ("standby: burials",
     "the next of a key leaves when the standby has the burial of the last one",
     20000, "standby,failover"),
    ("standby: runs",
     "no cursor is moved before the standby has the record of the run",
     6000, "standby,failover"),
)]

# Without these nothing is lost, but more is held or fenced than has to be:
# `sim.py --count` says how often.
AVAILABILITY = [Rule(*line) for line in (
    ("line",
     "2: a cursor names the last runs of its mover's history, not only the newest",
     0, ""),
    ("place",
     "10: who would go on from a run of another place waits and reads again",
     0, ""),
    ("run at once",
     "1: a run is recorded when the relay starts, not when it reaches Redis",
     0, ""),
)]

left_out = None


def rule(name):
    return name != left_out


def leave_out(name):
    global left_out
    if name not in (known.name for known in RULES + AVAILABILITY):
        raise SystemExit(f"there is no rule \"{name}\"")
    left_out = name
