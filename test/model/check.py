# Copyright (c) 2026, the outbox developers
"""What must hold in every schedule.  It knows more than any server does."""

from collections import Counter

from upkeep import RETENTION
from words import PARTITIONS, QUEUES


class Violation(Exception):
    pass


class Check:

    def __init__(self, world):
        self.world = world
        self.began = {}             # by message id: when
        self.applied_at = {}
        self.key = {}
        self.moved_ids = set()      # staged again, with a new identity
        self.buried = set()
        self.excused = set()        # may come twice, or out of order
        self.gone = set()           # lost by Redis after the retention
        self.counted = Counter()    # by queue: what relays have said of that
        self.arrivals_lost = set()  # queues whose lost messages can't be counted
        self.split = False          # more than one history has delivered

    # while it runs

    def applied(self, row):
        self.applied_at[row.id] = self.world.time

    def loses(self, before, after):
        """Redis loses the last of what it has applied."""
        for queue in QUEUES:
            for row in before[queue][len(after[queue]):]:
                if self.world.time - self.applied_at[row.id] >= RETENTION:
                    self.gone.add(row.id)

    def loses_arrivals(self, before, redis):
        """A known limit: a server loses that a queue has come, longer ago than the
        retention, and nobody knows any more where its cursor came from."""
        for key, have in before.items():
            _, queue, place = key
            if have.arrived == redis.hash(key).arrived or not any(
                    server.where[queue] == (place, None)
                    for server in self.world.by_name.values()):
                continue
            self.world.tally["arrivals lost after the retention"] += 1
            self.excused |= {row.id for row in redis.lists[queue]}
            self.arrivals_lost.add(queue)

    def moved(self, row):
        """What was delayed or dead is staged; perhaps by two histories."""
        self.moved_ids.add(row.id)

    def moves(self, server, movers):
        """A server moves a cursor.  Returns the movers with it."""
        if server.is_drill:
            raise Violation(f"a restore drill moves the cursor of {movers[-1:]}")
        if movers[-1:] == (server.name,):
            return movers
        if server.name in movers:
            raise Violation(f"two deliver on one cursor: {movers}, then "
                            f"{server.name} again")
        return movers + (server.name,)

    def stays_held(self, server):
        if server.was_held and not server.held:
            raise Violation(f"{server.name} was held, and runs again")

    def in_history(self, server, cursor):
        """Does the server have the WAL that was before the cursor?"""
        return (cursor.lsn == 0 or
                (cursor.lsn <= server.lsn and
                 server.wal[cursor.lsn - 1] is cursor.mark))

    def same_history(self, server, cursor, outcome):
        if not self.in_history(server, cursor):
            raise Violation(f"{server.name} takes a foreign cursor for its own: "
                            f"{outcome}")

    def stops(self, server, outcome, cursor, key):
        """Held or fenced: it must not be by a cursor of its own."""
        movers = self.world.redis.hash(key).movers
        ours = self.in_history(server, cursor)
        others = [other.name for other in self.world.servers
                  if other is not server]
        mover_lives = bool(movers) and movers[-1] in others
        if mover_lives:
            why = "who moved it lives"
        elif ours:
            why = "NEEDLESS, the cursor is in our history"
        elif len(server.timelines) > 1:
            why = "who moved it is gone; promoted"
        else:
            why = "who moved it is gone; not promoted"
        tally = self.world.tally
        tally[f"{outcome}: {why}"] += 1
        if mover_lives and server.name in movers and movers[-1][0] == "C":
            tally[f"{outcome}: A CLONE has taken over from it"] += 1
        if movers and movers[-1] == server.parent and not mover_lives:
            early = ("; runs were recorded at once" if self.world.runs_at_once
                     else "")
            tally[f"{outcome}: NEEDLESS, a failover from who moved it"
                  f"{early}"] += 1
        if movers[-1:] == (server.name,) or (ours and not mover_lives):
            raise Violation(f"{server.name} is stopped by a cursor of its own: "
                            f"{outcome}")

    def goes_on(self, server, key, cursor):
        """Not from a server that lives, unless it has not looked at its cursors
        since we were copied."""
        movers = self.world.redis.hash(key).movers
        for other in self.world.servers:
            if (other is server or movers[-1] != other.name or
                    other.timelines != server.timelines):
                continue
            if not server.took_over:
                well = " and is well" if other.relay.well else ""
                self.world.tally[
                    f"clone takes over from one that lives{well}"] += 1
            server.took_over = True
            relay = other.relay
            if (relay.connected and other.source == server.source and
                    relay.looked_at.get(key[1], -1) > server.born and
                    relay.cursor[key[1]] == cursor):
                raise Violation(f"clone {server.name} takes over from "
                                f"{other.name} that has looked since")

    def clips(self, server, key, have, base, cursor, in_progress):
        """What a failover makes come again, and nobody can help it."""
        queue = key[1]
        mover = self.world.by_name[have.movers[-1]]
        theirs = {value for what, value in mover.wal if what == "row"}
        # what both have moved since may be the same to the letter
        records = {id(record) for record in server.wal}
        lost = theirs - set(server.history) | {
            record[1] for record in mover.wal
            if record[0] == "row" and id(record) not in records}
        delivered = set(self.world.redis.lists[queue])
        ours = server.every_row()
        self.excuse("delivered by a history that was lost, and now comes back",
                    {row.id for row in ours
                     if row.queue == queue and not cursor.covers(row) and
                     row in delivered and row not in theirs})
        self.excuse("a failover lost the move of a delayed or dead message",
                    {row.id for row in lost & delivered} &
                    {row.id for row in ours + server.rows_in_progress()})
        self.excuse("a failover lost the end of a prepared transaction",
                    {row.id for row in ours + server.rows_in_progress()
                     if row.xid in in_progress and row in delivered})
        if base is not have.cursor.run:
            self.excuse("a failover lost the record of a run",
                        {row.id for row in ours
                         if have.cursor.covers(row) and
                         not cursor.covers(row) and row in theirs})

    def excuse(self, why, ids):
        """Known limits of asynchronous failovers."""
        if ids and self.world.synchronous:
            raise Violation(f"with a synchronous standby: {why}: {ids}")
        self.excused |= ids
        self.world.tally[f"may come again: {why}"] += len(ids)

    # in the end

    def only_one_is_well(self):
        well = Counter(server.source for server in self.world.servers
                       if server.relay.well)
        if max(well.values(), default=0) > 1:
            return [f"both well on one cursor: {well}"]
        return []

    def synchronous(self, main):
        """After failovers to the synchronous standby: nothing from nowhere."""
        if not main.relay.well:
            return [f"{main.name} was promoted and does not deliver"]
        bad = self.server(main, order=True) + self.scattered()
        for queue in QUEUES:
            phantoms = set(self.world.redis.lists[queue]) - set(main.history)
            if phantoms:
                bad.append(f"phantom in {queue}: {phantoms}")
        return bad

    def scattered(self):
        """Of a queue with partitions each key is in one, or it has no order."""
        keys = [{self.key[row.id] for row in self.world.redis.lists[queue]}
                for queue in PARTITIONS]
        both = set.intersection(*keys)
        return [f"order: keys in several partitions: {both}"] if both else []

    def server(self, server, order=False):
        """What a server that is not stopped has delivered."""
        relay = server.relay
        if server.held or relay.fenced or relay.waits_forever():
            return []
        if server.was_held:
            return [f"{server.name} was held, and runs again"]
        bad = []
        wanted = [entry for entry in server.deferred.values()
                  if server.relay.is_wanted(entry)]
        if wanted:
            bad.append(f"still deferred: {wanted}")
        for queue in QUEUES:
            bad += self.queue(server, queue, order)
        return bad

    def queue(self, server, queue, order):
        bad = []
        delivered = [row.id for row in self.world.redis.lists[queue]]
        wanted = [row.id for row in server.history if row.queue == queue]
        dead = {row.id for row in server.dead.values()
                if row.seq not in server.replayed}
        times = Counter(delivered)

        twice = [id for id in times
                 if times[id] > 1 and id not in self.excused]
        if twice:
            bad.append(f"twice in {queue}: {twice}")
        lost = set(wanted) - set(delivered) - dead
        if lost - self.gone:
            bad.append(f"lost in {queue} by {server.name}: {lost - self.gone}")
        counted = self.counted[queue]
        if server.source == "source0" and queue not in self.arrivals_lost and (
                len(lost) > counted or (len(lost) < counted and not self.split)):
            bad.append(f"lost beyond the retention in {queue}: {lost}, and "
                       f"{counted} were counted")
        both = [id for id in dead
                if id in times and id not in self.excused and id in wanted]
        if both:
            bad.append(f"delivered and dead in {queue}: {both}")
        phantoms = set(delivered) - set(wanted)
        if phantoms and not self.split:
            bad.append(f"phantom in {queue}: {phantoms}")
        if order:
            bad += self.order(server, queue, delivered)
        return bad

    def order(self, server, queue, delivered):
        """Of one key, what was committed before the other began comes first."""
        bad = []
        at = {id: i for i, id in enumerate(delivered)}
        exempt = self.excused | self.moved_ids
        if self.split and not self.world.synchronous:
            exempt |= self.buried       # a failover may lose a burial
        here = [(row.id, visible) for row, visible in server.history.items()
                if row.queue == queue and row.id in at and row.id not in exempt]
        for first, visible in here:
            if any(self.key[first] == self.key[second] and
                   visible < self.began[second] and
                   at[first] > at[second] for second, _ in here):
                bad.append(f"order in {queue}: {first}")
        return bad
