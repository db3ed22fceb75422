# Copyright (c) 2026, the outbox developers
"""Redis: its cursors, what has been delivered, and the scripts that move both.

A script does nothing but answer "differs" if the cursor is not as the request
expects it: position and count of applied messages (6a.6).
"""

from collections import namedtuple

from rules import rule
from words import QUEUES

# A cursor's hash.  movers: the servers that have moved it, for the checks.
Hash = namedtuple("Hash", "cursor count skipped movers")
EMPTY = Hash(None, 0, frozenset(), ())

REMEMBERED = 40         # how many writes can be lost, all in all


class Redis:

    def __init__(self):
        self.hashes = {}
        self.lists = {queue: () for queue in QUEUES}
        self.earlier = []       # the states before the last writes
        self.poison = {}        # id: how many more times it is refused
        self.late = []          # requests of relays that have died

    def hash(self, key):
        return self.hashes.get(key, EMPTY)

    def lose(self, writes):
        for _ in range(min(writes, len(self.earlier))):
            self.hashes, self.lists = self.earlier.pop()

    def arrive(self, request):
        script, *arguments = request
        return getattr(self, script)(*arguments)

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

    def begin_write(self, server, key):
        self.earlier.append((self.hashes, self.lists))
        del self.earlier[:-REMEMBERED]
        self.hashes, self.lists = dict(self.hashes), dict(self.lists)
        movers = server.world.check.moves(server, self.hash(key).movers)
        self.set(key, movers=movers)

    def set(self, key, **fields):
        self.hashes[key] = self.hash(key)._replace(**fields)

    def push(self, server, key, row):
        server.world.check.applied(row)
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

    def move(self, server, key, expected, final):
        """An idle cursor's LSN moves on."""
        if self.differs(key, expected):
            return "differs"
        self.begin_write(server, key)
        self.set(key, cursor=final)
        return "ok"
