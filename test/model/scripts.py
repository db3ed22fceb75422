# Copyright (c) 2026, the outbox developers
"""Redis: its cursors, what has been delivered, and the scripts that move both.

A script does nothing but answer "differs" if the cursor is not as the request
expects it: position and count of applied messages (6a.6).
"""

from collections import namedtuple

from rules import rule
from words import QUEUES

# A cursor's hash.  moved: the move by which its queue has gone, and where to.
# arrived: the move by which it has come.  movers: the servers that have moved it,
# for the checks.
Hash = namedtuple("Hash", "cursor count skipped movers moved arrived")
EMPTY = Hash(None, 0, frozenset(), (), None, None)

REMEMBERED = 40         # how many writes can be lost, all in all


class Redis:

    def __init__(self):
        self.hashes = {}
        self.lists = {queue: () for queue in QUEUES}
        self.earlier = []       # the states before the last writes
        self.poison = {}        # id: how many more times it is refused
        self.late = []          # requests of relays that have died
        self.marker = None      # see replicas.py
        self.replica = None     # its Replica, if what it has matters
        self.split = {}         # by queue whose slot is between two nodes of a
                                # cluster: which of its keys is where nobody looks
        self.slot_moves = {}    # by queue: how often its slot has moved

    def hash(self, key):
        return self.hashes.get(key, EMPTY)

    def lose(self, writes):
        for _ in range(min(writes, len(self.earlier))):
            self.hashes, self.lists, self.marker = self.earlier.pop()

    def promoted(self):
        """Its replica becomes a Redis of its own, with what it has got."""
        new = Redis()
        new.hashes, new.lists, new.marker = self.hashes, self.lists, self.marker
        new.poison = self.poison
        new.split, new.slot_moves = self.split, self.slot_moves
        if self.replica.behind:
            new.hashes, new.lists, new.marker = self.earlier[-self.replica.behind]
        return new

    def arrive(self, request, known):
        """At the node that has had the slot when it had moved so often."""
        script, server, key, *arguments = request
        if self.redirects(key[1], known):
            return None
        return getattr(self, script)(server, key, *arguments)

    def redirects(self, queue, known):
        """Does that node answer that the slot is elsewhere, or on its way?"""
        # A script names both keys, and Redis looks for all that it names.
        return (self.slot_moves.get(queue, 0) != known or
                (queue in self.split and (rule("slot: both keys") or
                                          self.split[queue] == "cursor")))

    # what scripts are made of

    def refuses(self, row):
        if self.poison.get(row.id, 0) > 0:
            self.poison[row.id] -= 1
            return True
        return False

    def is_at(self, key, place):
        """place: (cursor, count)"""
        have = self.hash(key)
        if not rule("count"):
            return have.cursor == place[0]
        return (have.cursor, have.count) == place

    def differs(self, key, expected):
        return not self.is_at(key, expected) and rule("compare")

    def remember(self):
        self.earlier.append((self.hashes, self.lists, self.marker))
        if self.replica:
            self.replica.behind += 1
        del self.earlier[:-(self.replica.behind if self.replica else REMEMBERED)]

    def set_marker(self, marker):
        self.remember()
        self.marker = marker

    def begin_write(self, server, key):
        self.remember()
        self.hashes, self.lists = dict(self.hashes), dict(self.lists)
        movers = server.world.check.moves(server, self.hash(key).movers)
        self.set(key, movers=movers)

    def set(self, key, **fields):
        self.hashes[key] = self.hash(key)._replace(**fields)

    def push(self, server, key, row):
        server.world.check.applied(row)
        if self.split.get(key[1]) != "data":    # else a second list arises
            self.lists[key[1]] += (row,)
        self.set(key, count=self.hash(key).count + 1)

    def add_skipped(self, key, row):
        self.set(key, skipped=self.hash(key).skipped | {row.seq})

    # the scripts; messages: (row, position behind it, whether to skip it)

    def apply(self, server, key, expected, messages, final):
        """expected and final: (cursor, count)"""
        if final[0] != expected[0] and self.is_at(key, final):
            return "ok", None               # an answer was lost
        if self.differs(key, expected):
            return "differs", None
        self.begin_write(server, key)
        for row, position, skip in messages:
            if skip:
                self.add_skipped(key, row)
            elif self.refuses(row):
                return "failed", row
            else:
                self.push(server, key, row)
            self.set(key, cursor=position)
        return "ok", None

    def skip(self, server, key, expected, messages, final):
        """What is refused is skipped, and what is behind it in its key."""
        if self.differs(key, expected):
            return "differs", None
        self.begin_write(server, key)
        failed, keys = [], set()
        for row, _, skip in messages:
            if skip:
                self.add_skipped(key, row)
            elif row.key in keys or self.refuses(row):
                self.add_skipped(key, row)
                failed.append(row)
                keys.add(row.key)
            else:
                self.push(server, key, row)
        self.set(key, cursor=final)
        return "ok", failed

    def retry(self, server, key, expected, row):
        """A skipped message, tried again."""
        if self.differs(key, expected):
            return "differs"
        if row.seq not in self.hash(key).skipped:
            return "differs"
        self.begin_write(server, key)
        if self.refuses(row):
            return "failed"
        self.push(server, key, row)
        self.set(key, skipped=self.hash(key).skipped - {row.seq})
        return "ok"

    def take_over(self, server, key, expected, final, skipped):
        if self.differs(key, expected):
            return "differs"
        self.begin_write(server, key)
        self.set(key, cursor=final, skipped=frozenset(skipped))
        return "ok"

    def seal(self, server, key, expected, final, moved):
        """The queue goes to another server: a mark, and what nobody expects."""
        if self.differs(key, expected):
            return "differs"
        self.begin_write(server, key)
        self.set(key, cursor=final, moved=moved)
        return "ok"

    def settle(self, server, key, expected, sealed):
        """... and its cursor comes here.  It is as it was: whose it is, and who may go
        on, is for the next who reads it.  That is who takes it over, perhaps another."""
        if self.differs(key, expected) and rule("move: compare"):
            return "differs"
        self.begin_write(server, key)
        self.hashes[key] = sealed._replace(moved=None, arrived=sealed.moved[0])
        return "ok"

    def move(self, server, key, expected, final):
        """An idle cursor's LSN moves on."""
        if self.differs(key, expected):
            return "differs"
        self.begin_write(server, key)
        self.set(key, cursor=final)
        return "ok"
