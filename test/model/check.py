# Copyright (c) 2026, the outbox developers
"""What must hold in every schedule.  It knows more than any server does."""

from collections import Counter

from words import QUEUES


class Violation(Exception):
    pass


class Check:

    def __init__(self, world):
        self.world = world
        self.began = {}             # by message id: when
        self.committed = {}
        self.key = {}
        self.buried = set()
        self.excused = set()        # may come twice, or out of order
        self.split = False          # more than one history has delivered

    # while it runs

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

    def clips(self, server, key, have, base, cursor):
        """What a failover makes come again, and nobody can help it."""
        queue = key[1]
        mover = self.world.by_name[have.movers[-1]]
        theirs = {value for what, value in mover.wal if what == "row"}
        delivered = self.world.redis.lists[queue]
        back = {row.id for row in server.rows
                if row.queue == queue and not cursor.covers(row) and
                row.id in delivered and row not in theirs}
        self.excused |= back
        self.world.tally["come again: delivered by a history that was lost, "
                         "and now comes back"] += len(back)
        if base is not have.cursor.run:
            # Known limit: a failover lost the record of their run.
            again = {row.id for row in server.rows
                     if have.cursor.covers(row) and not cursor.covers(row) and
                     row in theirs}
            self.excused |= again
            self.world.tally["may come again: a failover lost the record of a "
                             "run"] += len(again)

    # in the end

    def only_one_is_well(self):
        well = Counter(server.source for server in self.world.servers
                       if server.relay.well)
        if max(well.values(), default=0) > 1:
            return [f"both well on one cursor: {well}"]
        return []

    def server(self, server, order=False):
        """What a server that is not stopped has delivered."""
        if server.held or server.relay.fenced:
            return []
        if server.was_held:
            return [f"{server.name} was held, and runs again"]
        bad = []
        if server.deferred:
            bad.append(f"still deferred: {server.deferred}")
        for queue in QUEUES:
            bad += self.queue(server, queue, order)
        return bad

    def queue(self, server, queue, order):
        bad = []
        delivered = self.world.redis.lists[queue]
        wanted = [row.id for row in server.rows if row.queue == queue]
        dead = {row.id for row in server.dead.values()}
        times = Counter(delivered)

        twice = [id for id in times
                 if times[id] > 1 and id not in self.excused]
        if twice:
            bad.append(f"twice in {queue}: {twice}")
        lost = set(wanted) - set(delivered) - dead
        if lost:
            bad.append(f"lost in {queue} by {server.name}: {lost}")
        both = [id for id in dead
                if id in times and id not in self.excused and id in wanted]
        if both:
            bad.append(f"delivered and dead in {queue}: {both}")
        phantoms = set(delivered) - set(wanted)
        if phantoms and not self.split:
            bad.append(f"phantom in {queue}: {phantoms}")
        if order:
            bad += self.order(queue, delivered, wanted)
        return bad

    def order(self, queue, delivered, wanted):
        """Of one key, what was committed before the other began comes first."""
        bad = []
        at = {id: i for i, id in enumerate(delivered)}
        here = [id for id in wanted
                if id in at and id not in self.excused | self.buried]
        for first in here:
            if any(self.key[first] == self.key[second] and
                   self.committed[first] < self.began[second] and
                   at[first] > at[second] for second in here):
                bad.append(f"order in {queue}: {first}")
        return bad
