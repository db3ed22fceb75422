# Copyright (c) 2026, the outbox developers
"""A schedule: one Redis, servers that descend from one, and what befalls them."""

import random
from collections import Counter

from check import Check, Violation
from replicas import Replica
from rules import rule
from scripts import REMEMBERED, Redis
from server import Server
from upkeep import look
from words import PARTITIONS, PLACES, QUEUES, Run, partition

# How often each happens, in the schedules that have it.
EVENTS = {
    "failover": 2,      # a standby, somewhat behind, is promoted
    "siblings": 1,      # two of them
    "clone": 1,         # a copy of the data directory is started
    "setback": 1,       # the server is put back to an older volume
    "drill": 1,         # a base backup is restored beside it
    "upgrade": 1,       # pg_upgrade
    "comeback": 2,      # a server that was stopped is started again
    "stop": 2,          # one beside the main one is stopped
    "resume": 1,        # outbox_release() where it is held or fenced
    "redis": 2,         # Redis loses its last writes, and all connections
    "silent": 1,        # its last writes only
    "late": 3,          # a relay dies in the middle of something
    "move": 6,          # a queue gets another server
    "standby": 4,       # the standby is synchronous; it leaves and comes back
    "slot": 6,          # a queue's slot goes to another node of a cluster
    "replica": 3,       # Redis's replica stops or goes on, or takes over; with WAIT
}

# Of these there is one kind of schedule each.
MODES = ("standby", "replica", "slot")

# With a synchronous standby there are only failovers to it.
SYNCHRONOUS = ("failover", "comeback", "stop", "redis", "silent", "late",
               "move", "standby")


class World:

    def __init__(self, seed, only=()):
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.names = Counter()
        self.time = 0
        self.tally = Counter()  # how often what happened
        self.by_name = {}
        self.redis = Redis()
        self.check = Check(self)
        self.choose_kinds(only)
        if "replica" in self.kinds:
            self.redis.replica = Replica()
        # at once, also while Redis is away; or with the relay's first step
        self.runs_at_once = rng.random() < .5
        first = Run("root", 1, 1, 0, "")
        self.main = Server(self, "P", 1, [(1, 0)], [("run", first)])
        self.servers = [self.main]
        self.stopped = []
        self.volumes = []       # older states of the main server
        self.newest_timeline = 1

    def choose_kinds(self, only):
        rng = self.rng
        kinds = [kind for kind in EVENTS if kind not in MODES]
        self.synchronous = rng.random() < .25
        if self.synchronous:
            kinds = [kind for kind in kinds if kind in SYNCHRONOUS]
        if rng.random() < .8:
            self.kinds = [kind for kind in kinds if rng.random() < .35]
        else:
            self.kinds = [rng.choice(kinds)]
        if self.synchronous:
            self.kinds.append("standby")
        if random.Random(f"replica {self.seed}").random() < .2:
            self.kinds = ["replica"] + [kind for kind in self.kinds
                                        if kind not in ("redis", "silent")]
        if random.Random(f"slot {self.seed}").random() < .1:
            self.kinds.append("slot")
        self.looks = rng.random() < .7  # or so rarely that there are none
        if only:
            self.kinds = list(only)
            self.synchronous = "standby" in only
            self.looks = rng.random() < .3

    def new(self, what):
        self.names[what] += 1
        return f"{what}{self.names[what]}"

    # the schedule

    def run(self, steps):
        """Returns what was violated."""
        try:
            for self.time in range(steps):
                self.step()
            return self.end()
        except Violation as violation:
            return [str(violation)]

    def step(self):
        rng, dice = self.rng, self.rng.random()
        self.standbys_go_on()
        if self.redis.replica:
            self.redis.replica.goes_on(rng)
        if dice < .50:
            self.write()
        elif dice < .90:
            server = self.main if rng.random() < .5 else rng.choice(self.servers)
            server.relay.step(rng)
        elif dice < .915:
            relay = rng.choice(self.servers).relay
            if "late" in self.kinds and rng.random() < .7:
                relay.die(rng)
            else:
                relay.connected = relay.skipping = False
        elif dice < .925:
            rng.choice(self.servers).paused ^= set(
                rng.choice((("a",), ("b",), ("b",), PARTITIONS)))
        elif dice < .94:
            self.restart(rng.choice(self.servers))
        elif dice < .96:
            self.arrive()
        elif dice < .98 and self.kinds:
            weights = [EVENTS[kind] for kind in self.kinds]
            self.happens(rng.choices(self.kinds, weights)[0])
        elif dice < .99:
            main = self.main
            self.volumes.append((main.system, list(main.timelines),
                                 main.wal[:main.flushed]))
            del self.volumes[:-3]

    def write(self):
        """What applications do."""
        rng = self.rng
        server = self.main if rng.random() < .6 else rng.choice(self.servers)
        transactions = server.open_transactions()
        dice = rng.random()
        if dice < .25:
            server.begin()
        elif dice < .70 and transactions:
            xid = rng.choice(transactions)
            if xid not in server.prepared:
                self.enqueue(server, xid)
                if rng.random() < .05:
                    server.prepare(xid)
        elif dice < .72:
            self.replay(server)
        elif dice < .95 and transactions:
            server.end(rng.choice(transactions), rng.random() < .8,
                       rng.random() < .6)
        elif dice >= .95:
            # much WAL, no transaction ids
            server.wal += [("fill", object()) for _ in range(rng.randint(3, 40))]

    def enqueue(self, server, xid):
        rng, check = self.rng, self.check
        queue = rng.choice(("a", "b", "c"))
        id = self.new("m")
        check.began[id] = self.time
        check.key[id] = rng.choice("xyz") if queue == "a" else queue
        if queue == "c":
            key = rng.choice(("w", "x", "y", "z", None))
            queue = partition(key, server.seq + 1)
            if not rule("partition by key"):
                queue = rng.choice(PARTITIONS)
            check.key[id] = key or queue
        if queue == "a" and rng.random() < .35:
            self.redis.poison[id] = rng.choice((1, 2, 3, 4, 5, 99))
        due = None
        if rng.random() < .1:
            due = self.time + rng.randint(0, 40)
        server.enqueue(xid, queue, id, check.key[id], due)

    def replay(self, server):
        locked = {value for records in server.in_progress.values()
                  for what, value in records if what == "replay"}
        again = [row for _, row in sorted(server.dead.items())
                 if row.seq not in server.replayed | locked]
        if again:
            row = self.rng.choice(again)
            self.check.moved(row)
            server.replay_dead(row)

    def restart(self, server):
        rng = self.rng
        self.relay_came(server)
        if rng.random() < .5:
            server.crash()
        else:
            server.restart()
        server.relay.unreachable = rng.choice((0, 0, rng.randint(1, 8)))

    def standbys_go_on(self):
        if not self.synchronous:
            return
        rng = self.rng
        for server in self.servers:
            standby = server.standby
            if standby and not standby.away and not standby.gone:
                if rng.random() < .25:
                    standby.has = rng.randint(min(standby.has, server.flushed),
                                              server.flushed)
                if rng.random() < .7:
                    standby.confirmed = standby.has
            server.finish_commits(cancelled=rng.random() < .01)

    def arrive(self):
        """A late request."""
        late = self.redis.late
        if late:
            self.redis.arrive(*late.pop(self.rng.randrange(len(late))))

    def relay_came(self, server):
        """Before a server ends its relay has recorded the run, and that it was
        restored."""
        if not server.held and (rule("run at once") or self.rng.random() < .5):
            server.record_run()
            if server.restored and rule("restored"):
                server.hold("restored")
        server.restored = False         # the signal file is gone

    # servers come and go

    def add(self, server, main=False):
        """A server beside the others; at first perhaps without Redis."""
        rng = self.rng
        server.relay.unreachable = rng.choice((0, 0, rng.randint(1, 12)))
        self.servers.append(server)
        if main:
            self.main = server
        self.check.split = True
        for other in self.servers:
            other.relay.leave(self.redis)
        while len(self.servers) > 4:
            self.remove(rng.choice([other for other in self.servers
                                    if other is not self.main]))

    def remove(self, server):
        self.servers.remove(server)
        del server.wal[server.flushed:]
        if server.standby:
            server.standby.gone = True
        if not server.is_drill:
            self.stopped.append(server)
            del self.stopped[:-3]

    def promote(self, primary, lag=15, kind="N"):
        """A standby of it becomes a primary, on a timeline that it takes to be
        free: the next one, or the next that anybody has seen."""
        rng = self.rng
        oldest = max(primary.timelines[0][1],       # not behind pg_upgrade
                     primary.flushed - rng.randint(0, lag))
        if self.synchronous:
            oldest = primary.standby.has
            primary.standby.gone = True
        lsn = rng.randint(oldest, oldest if self.synchronous
                          else primary.flushed)
        timelines = [(timeline, begin) for timeline, begin in primary.timelines
                     if begin <= lsn]
        last = timelines[-1][0]
        if rng.random() < .6:
            timeline = last + 1
        else:
            timeline = max(self.newest_timeline, last) + 1
        self.newest_timeline = max(self.newest_timeline, timeline)
        return Server(self, self.new(kind), primary.system,
                      timelines + [(timeline, lsn)], primary.wal[:lsn],
                      parent=primary.name)

    # events

    def happens(self, kind):
        self.tally["event " + kind] += 1
        anyone = self.rng.choice(self.servers)
        getattr(self, "event_" + kind)(anyone)

    def event_failover(self, _):
        old = self.main
        if self.synchronous and old.standby.has <= old.start:
            return                      # it has none yet
        new = self.promote(old)
        if self.rng.random() < .5:
            self.remove(old)            # or it goes on beside it
        self.add(new, main=True)

    def event_siblings(self, _):
        rng, old = self.rng, self.main
        one, two = self.promote(old), self.promote(old)
        if rng.random() < .5:
            self.remove(old)
        self.add(one, main=True)
        self.add(two, main=rng.random() < .5)
        other = one if self.main is two else two
        if other in self.servers and rng.random() < .5:
            self.remove(other)

    def event_clone(self, _):
        main = self.main
        self.add(Server(self, self.new("C"), main.system, main.timelines,
                        main.wal[:main.flushed]))

    def event_setback(self, _):
        if not self.volumes:
            return
        old = self.main
        system, timelines, wal = self.rng.choice(self.volumes)
        self.remove(old)
        self.add(Server(self, self.new("B"), system, timelines, wal,
                        place=old.place), main=True)

    def event_drill(self, _):
        drill = self.promote(self.main, 60, "D")
        drill.is_drill = drill.restored = True
        self.add(drill)
        if not rule("restored mark") and self.rng.random() < .3:
            drill.restored = False

    def event_upgrade(self, _):
        old = self.main
        self.relay_came(old)
        for xid in list(old.prepared):  # it refuses these
            old.end(xid, False, False)
        old.flush()
        self.remove(old)                # but it may be started again
        fill = [("fill", object()) for _ in range(self.rng.randint(1, 20))]
        name = self.new("U")
        system = self.new("system") if rule("system identifier") else old.system
        new = Server(self, name, system, [(1, old.lsn + len(fill))],
                     old.wal + fill, place=old.place)
        new.is_drill, new.was_held = old.is_drill, old.was_held
        self.add(new, main=True)

    def event_comeback(self, _):
        rng = self.rng
        if self.stopped:
            server = self.stopped.pop(rng.randrange(len(self.stopped)))
            server.restart()
            self.add(server, main=rng.random() < .3 and not self.synchronous)

    def event_stop(self, anyone):
        if anyone is not self.main:
            self.remove(anyone)

    def event_resume(self, anyone):
        if anyone.held or anyone.relay.fenced:
            self.release(anyone)

    def event_redis(self, _):
        self.lose(6)
        for server in self.servers:
            server.relay.connected = False

    def event_silent(self, _):
        self.lose(4)

    def event_late(self, anyone):
        anyone.relay.die(self.rng)

    def event_move(self, anyone):
        queue = self.rng.choice(QUEUES)
        place, moving_from = anyone.where[queue]
        if moving_from is None and not anyone.held:
            other = self.rng.choice([to for to in PLACES if to != place])
            anyone.log("alter", (queue, other, place))
            anyone.relay.connected = anyone.relay.skipping = False

    def event_standby(self, anyone):
        if anyone.standby:
            anyone.standby.away = not anyone.standby.away

    def event_slot(self, _):
        """In two steps: one of its keys, then the other one."""
        rng, redis = self.rng, self.redis
        queue = rng.choice(QUEUES)
        if queue in redis.split:
            del redis.split[queue]
            redis.slot_moves[queue] = redis.slot_moves.get(queue, 0) + 1
        else:
            redis.split[queue] = rng.choice(("cursor", "data"))

    def event_replica(self, _):
        """It stops, goes on, or takes over.  Who has the old Redis may keep it for a
        while, if there is nobody else."""
        rng, old = self.rng, self.redis
        if rng.random() < .6:
            old.replica.stopped ^= True
            return
        self.tally["a replica takes over"] += 1
        self.redis = old.promoted()
        self.redis.replica = Replica()
        if len(self.servers) > 1 or rng.random() < .5:
            for server in self.servers:
                server.relay.leave(self.redis)

    def lose(self, most):
        """Redis loses its last writes; now and then all that it remembers."""
        if self.rng.random() < .3:
            most = REMEMBERED
        before = self.redis.lists
        hashes = self.redis.hashes
        self.redis.lose(self.rng.randint(1, most))
        self.check.loses_arrivals(hashes, self.redis)
        self.check.loses(before, self.redis.lists)

    def release(self, server):
        """outbox_release(): all that is retained is delivered, perhaps again."""
        self.check.excused |= {row.id for row in server.every_row() +
                               server.rows_in_progress()}
        server.release()

    # the end

    def end(self):
        """Let everything come to rest, and check it; then with one server left."""
        rng, check = self.rng, self.check
        for server in self.servers:
            for xid in server.open_transactions():
                server.end(xid, True, True)
            if server.standby:
                server.standby.away = False
        if "late" not in self.kinds:
            self.redis.late = []
        self.rest()
        bad = [line for server in self.servers for line in check.server(server)]
        bad += check.only_one_is_well()
        if self.synchronous:
            bad += check.synchronous(self.main)

        server = rng.choice(self.servers)       # the operator's choice
        self.servers = [server]
        server.standby = None
        server.finish_commits()
        if rng.random() < .5:
            server.restart()
        self.rest()
        if server.held or server.relay.fenced:
            self.release(server)
            self.rest()
        if not server.relay.well:
            bad.append(f"{server.name} does not go on after its release")
        return bad + check.server(server, order=True)

    def rest(self):
        while self.redis.split:
            queue, _ = self.redis.split.popitem()
            self.redis.slot_moves[queue] = self.redis.slot_moves.get(queue, 0) + 1
        for server in self.servers:
            server.paused = set()
            server.relay.leave(self.redis)
            if not server.waited_for_place:
                server.relay.unreachable = 0
        for _ in range(8):
            for _ in range(300):
                self.time += 1
                self.standbys_go_on()
                if self.redis.replica:
                    self.redis.replica.stopped = False
                    self.redis.replica.goes_on(self.rng)
                for server in self.servers:
                    server.relay.step(self.rng)
                if self.redis.late:
                    self.arrive()
                elif self.all_idle():
                    break
            for server in self.servers:
                if not server.held and not server.relay.fenced:
                    look(server.relay)
            if self.all_idle():
                break

    def all_idle(self):
        return all(server.relay.idle() for server in self.servers)
