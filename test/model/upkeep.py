# Copyright (c) 2026, the outbox developers
"""What the relay does besides delivering: it looks at idle cursors, stages what is
due, and forgets what Redis has had for long enough."""

from replicas import may_forget, replicas_have
from rules import rule
from words import QUEUES, Known

RETENTION = 15          # steps


def look(relay):
    """Has Redis lost idle cursors, has somebody else moved them? (6a.7)"""
    server = relay.server
    if not relay.connected or not rule("look"):
        return
    # Batches that wait for the standby are not on their way.
    busy = {queue for queue, _ in relay.batches
            if not relay.waits_for_standby()}
    for queue in QUEUES:
        if queue in busy:
            continue
        if not relay.redis.is_at(relay.key(queue), relay.expects(queue)):
            relay.connected = False
            return
        relay.seen[queue] = relay.looked_at[queue] = server.world.time
        if not rule("look moves"):
            continue
        if rule("look writes"):
            server.log("fill")          # on an idle server WAL stands still
        if rule("look flushed"):
            server.flush()
        at = relay.cursor[queue]
        moved = relay.position(at.prev, at.cur, at.seq, server.lsn)
        if relay.ask("move", queue, relay.expects(queue), moved) == "ok":
            relay.cursor[queue] = moved


def move_due(relay):
    """A delayed message that is due is staged, with a new identity."""
    server = relay.server
    due = [entry for _, entry in sorted(server.deferred.items())
           if entry.reason == "delayed" and entry.due <= server.world.time]
    for entry in due[:3]:
        row = entry.row
        xid = server.begin()
        server.log("due", (xid, row.seq))
        if not rule("one transaction"):
            server.end(xid, True, True)
            xid = server.begin()
        if rule("new identity"):
            server.enqueue(xid, row.queue, row.id, row.key)
        else:
            server.log("row", row)
            server.end(row.xid, True, False)
        server.world.check.moved(row)
        server.end(xid, True, False)


# retention


def retained(relay, queues, since):
    """Has the retention passed, and did Redis have all of it even then?

    A loss within the retention is noticed by the look, and sent again.
    """
    until = since + (RETENTION if rule("retention") else 0)
    if relay.server.world.time < until:
        return True
    if not rule("look before emptying"):
        return False
    if any(relay.seen[queue] < until for queue in queues):
        look(relay)
    return (not relay.connected or
            any(relay.seen[queue] < until for queue in queues))


def rotate(relay):
    """Empty the staging table that takes no new rows, or begin to use it."""
    server = relay.server
    table = 1 - server.current
    rows = [row for row in server.staged if row.table == table]
    unended = rule("open transactions") and any(
        row.table == table for row in server.rows_in_progress())
    if not rows and not unended:
        if any(row.table == server.current for row in server.staged):
            server.log("current", table)
        return
    safe = {queue: may_forget(relay, queue) for queue in QUEUES}
    waiting = [row for row in rows if safe[row.queue] is None or
               not safe[row.queue].covers(row)]
    standing = [row for row in waiting if row.queue in relay.still]
    if unended or len(standing) < len(waiting):
        relay.settled_since.pop(table, None)
        return
    _, stood = relay.settled_since.get(table, (0, standing))
    if stood != standing and rule("retention begins"):
        del relay.settled_since[table]  # what stood still has gone on
    since, _ = relay.settled_since.setdefault(table,
                                              (server.world.time, standing))
    if retained(relay, QUEUES, since):
        return
    for queue in QUEUES:
        record_count(relay, queue)
    evacuated = [row for row in standing if row.seq not in server.dead or
                 not rule("dead letters stay")]
    server.log("empty", (table, evacuated if rule("evacuate") else []))
    server.flush()
    del relay.settled_since[table]
    server.world.tally["a table is emptied"] += 1
    server.world.tally["rows evacuated"] += len(evacuated)


def record_count(relay, queue):
    """What is forgotten can be counted, at least, when Redis loses it."""
    if rule("count recorded"):
        server = relay.server
        server.log("known", ((server.source, queue), Known(
            relay.count[queue], relay.cursor[queue], server.skipped(queue))))


def purge(relay):
    """Copies of rows that have left staging are retained as well."""
    server = relay.server
    if not relay.connected:
        return
    for seq, entry in list(server.deferred.items()):
        if relay.is_wanted(entry):
            relay.kept_since.pop(seq, None)
            continue
        since = relay.kept_since.setdefault(seq, server.world.time)
        if rule("wait: copies") and not replicas_have(relay, since):
            continue
        if not rule("evacuated kept") and entry.reason == "evacuated":
            since -= RETENTION
        if not retained(relay, [entry.row.queue], since):
            record_count(relay, entry.row.queue)
            server.log("forget", seq)
            server.world.tally["deferred rows forgotten"] += 1
        if not relay.connected:
            return


def end_moves(relay):
    """A server that has a queue's cursor since a while may forget where it came from.

    Until then it may lose it, and get it again from there.
    """
    server = relay.server
    for queue, since in list(relay.arrived_at.items()):
        if not relay.connected or queue in relay.still:
            continue
        if rule("wait: moves") and not replicas_have(relay, since):
            continue
        if not rule("move: kept"):
            since -= RETENTION
        if not retained(relay, [queue], since):
            del relay.arrived_at[queue]
            server.log("alter", (queue, server.where[queue][0], None))
            server.world.tally["moves ended"] += 1
