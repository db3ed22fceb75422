# Copyright (c) 2026, the outbox developers
"""Recovery: read a queue's cursor, judge whose it is, take it over, go on."""

import judge
from judge import CLIP, FENCED, FOREIGN, GO_ON, OURS, SET_BACK
from rules import rule
from words import NOTHING, QUEUES, Known

LINE = 8                # how many runs of its history a cursor names
LONGER_THAN_A_LOOK = 120


def recover(relay, queues=None):
    """All queues when it connects, else those that stood still or differed."""
    server = relay.server
    now = server.snapshot() if queues is None else relay.prev
    if rule("run flushed"):
        server.flush()
    if queues is None:
        connect(relay)
        if rule("standby: ticks"):
            relay.rests_on(server.lsn)
    for queue in QUEUES if queues is None else queues:
        if not recover_queue(relay, queue, now):
            relay.connected = False
            return
    if queues is None:
        relay.prev = now
        relay.connected = True


def connect(relay):
    server = relay.server
    relay.start_connection()
    relay.line = tuple(server.runs[-LINE if rule("line") else -1:])
    relay.token = server.world.new("token") if rule("token") else 0


def recover_queue(relay, queue, now):
    """Returns whether it can go on."""
    server = relay.server
    place, moving_from = server.where[queue]
    relay.at[queue] = moving_from or place
    sealed = relay.redis.hash(relay.key(queue))
    if moving_from is None:
        if sealed.moved and rule("move: mark"):
            return has_moved(relay, queue, sealed)
    elif sealed.moved is None:
        return (recover_here(relay, queue, now) and
                seal(relay, queue, place) and False)
    elif not arrive(relay, queue, place, sealed):
        return False
    return recover_here(relay, queue, now)


def judged(relay, key, cursor):
    """Whose is it?  Returns whether it may be dealt with."""
    outcome, _ = judge.judge(cursor, relay.server)
    if outcome in (FENCED, SET_BACK, FOREIGN):
        relay.stop(outcome, cursor, key)
        return False
    return outcome != GO_ON or not waits_for_place(relay, cursor)


def has_moved(relay, queue, sealed):
    """A move that this server does not know of: the operator does it again."""
    server = relay.server
    if judged(relay, relay.key(queue), sealed.cursor):
        server.log("alter", (queue, sealed.moved[1], relay.at[queue]))
        server.world.tally["a move is done again"] += 1
    return False


def seal(relay, queue, place):
    """It is taken over, and nothing of it is under way."""
    server, at = relay.server, relay.cursor[queue]
    relay.batches = [batch for batch in relay.batches if batch[0] != queue]
    token = server.world.new("token")
    move = server.world.new("move")
    server.world.tally["moves begun"] += 1
    if not rule("move: seal"):
        sealed = relay.redis.hash(relay.key(queue))._replace(moved=(move, place))
        return arrive(relay, queue, place, sealed)
    return relay.ask("seal", queue, relay.expects(queue),
                     at._replace(token=token), (move, place)) == "ok"


def arrive(relay, queue, place, sealed):
    """The cursor is sealed where the queue was: it goes on where the queue is."""
    move, destination = sealed.moved
    if not judged(relay, relay.key(queue), sealed.cursor):
        return False
    if destination != place:
        server = relay.server           # by another history: the operator follows
        server.log("alter", (queue, destination, relay.at[queue]))
        return False
    relay.at[queue] = place
    there = relay.redis.hash(relay.key(queue))
    if there.moved and there.arrived == move and rule("move: moved on"):
        return has_moved(relay, queue, there)
    if (there.cursor is not None and rule("move: who is there") and
            not judged(relay, relay.key(queue), there.cursor)):
        return False
    if there.arrived != move or not rule("move: arrived"):
        if relay.ask("settle", queue, (there.cursor, there.count),
                     sealed) == "differs":
            return False
    relay.arrived_at[queue] = relay.server.world.time
    return True


def recover_here(relay, queue, now):
    server = relay.server
    key = relay.key(queue)
    have = relay.redis.hash(key)
    relay.count[queue] = have.count
    lsn = server.flushed
    if have.cursor is None:
        cursor, skipped = relay.position(NOTHING, NOTHING, 0, lsn), frozenset()
    else:
        outcome, base = judge.judge(have.cursor, server)
        server.world.tally[outcome] += 1
        if outcome in (FENCED, SET_BACK, FOREIGN):
            relay.stop(outcome, have.cursor, key)
            return False
        if outcome == GO_ON:
            if waits_for_place(relay, have.cursor):
                return False
            server.world.check.goes_on(server, key, have.cursor)
        if outcome == CLIP:
            if not have_looked(relay, base):
                return False    # the cursor is read again then
            cursor, skipped = clip(relay, key, have, base, lsn)
        else:
            server.world.check.same_history(server, have.cursor, outcome)
            at = have.cursor
            stays = outcome == OURS and not rule("token")
            cursor = relay.position(at.prev, at.cur, at.seq,
                                    at.lsn if stays else lsn)
            skipped = have.skipped
    expected = have.cursor, have.count
    if relay.ask("take_over", queue, expected, cursor, skipped) == "differs":
        return False
    relay.cursor[queue] = cursor
    count_lost(relay, key, have.count, cursor, skipped)
    compare_tables(server, queue, cursor, skipped)
    plan(relay, queue, cursor, now, lsn)
    return True


def waits_for_place(relay, cursor):
    """Are we a clone of a server that lives?  Read again later (6a.10)."""
    server, run = relay.server, cursor.run
    if (not rule("place") or server.waited_for_place or
            run.place == server.place or
            (run.system, run.timeline) != (server.system, server.timeline)):
        return False
    server.waited_for_place = True
    relay.unreachable = LONGER_THAN_A_LOOK
    server.world.tally["waits whether the cursor moves"] += 1
    return True


def clip(relay, key, have, base, lsn):
    """Promoted since: what only the cursor's history has is not covered."""
    server, queue = relay.server, key[1]
    limit, in_progress = given_out_since(relay, base)
    cursor = relay.position(have.cursor.prev.clip(limit, in_progress),
                            have.cursor.cur.clip(limit, in_progress),
                            have.cursor.seq, lsn)
    server.world.check.clips(server, key, have, base, cursor, in_progress)
    if not rule("clip skipped"):
        return cursor, have.skipped
    covered = {row.seq for row in server.rows_of(queue)
               if cursor.covers(row)}
    return cursor, have.skipped & covered


def have_looked(relay, base):
    """Which transactions are ours alone?  It takes a moment to see, and is kept.

    It is those from the first on that has written a row since; without rows it
    makes no difference.  In others one sees no rows yet.
    """
    server = relay.server
    _, at = server.leaves(base)
    if at in relay.given_out:
        return True
    now = server.snapshot()
    since = [row.xid for row in server.every_row()
             if row.lsn >= at and rule("row position")]
    relay.given_out[at] = min(since, default=now.xmax), now.in_progress
    return False


def given_out_since(relay, base):
    """The first of them, and others that the cursor must not cover.

    What was in progress here when one looked, or prepared, has perhaps ended there.
    To us it had not, so our next tick must have it, even if it comes again.
    """
    server = relay.server
    _, at = server.leaves(base)
    limit, in_progress = relay.given_out[at]
    if not rule("clip then"):
        in_progress = server.snapshot().in_progress
    return (limit if rule("clip") else 10**9,
            in_progress if rule("clip prepared") else frozenset())


def count_lost(relay, key, count, cursor, skipped):
    """Redis has applied less than it had when a table was last emptied: what is in
    our tables is sent again, and the rest is counted."""
    server, queue = relay.server, key[1]
    known = server.known.get(key[:2])
    if known is None or count >= known.count:
        return
    again = [row for row in server.rows_of(queue)
             if known.cursor.covers(row) and row.seq not in known.skipped and
             (not cursor.covers(row) or row.seq in skipped)]
    beyond = max(0, known.count - count - len(again))
    server.world.check.counted[queue] += beyond
    server.world.tally["counted: lost beyond the retention"] += beyond
    server.log("known", (key[:2], Known(count, cursor, skipped)))
    server.flush()


def compare_tables(server, queue, cursor, skipped):
    """The skip list knows what was applied, our tables what becomes of it."""
    for row in server.rows_of(queue):
        reason = server.reason(row)
        if not cursor.covers(row):
            if reason == "applied":
                server.defer(row, "evacuated")  # Redis has lost it: it goes again
        elif row.seq in skipped:
            if row.seq not in server.dead and rule("record"):
                server.defer(row, "skipped")
        elif reason == "skipped":
            server.defer(row, "applied")        # before the relay died


def plan(relay, queue, cursor, now, lsn):
    """What is not covered: the rest of the cursor's own tick, then the next."""
    server = relay.server
    if queue in server.paused:
        relay.still.add(queue)
        return
    relay.still.discard(queue)
    rows = [row for row in server.rows_of(queue)
            if not cursor.covers(row) and now.sees(row.xid)]
    if not rule("two stages"):
        relay.batches += [
            (queue, [(row, relay.position(NOTHING, now, row.seq, lsn))])
            for row in rows]
        return
    rest = [row for row in rows if cursor.cur.sees(row.xid)]
    later = [row for row in rows if not cursor.cur.sees(row.xid)]
    relay.batches += [
        (queue, [(row, relay.position(cursor.prev, cursor.cur, row.seq,
                                      cursor.lsn))])
        for row in rest]
    relay.batches += [
        (queue, [(row, relay.position(cursor.cur, now, row.seq, lsn))])
        for row in later]
