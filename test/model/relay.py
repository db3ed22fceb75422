# Copyright (c) 2026, the outbox developers
"""The relay: ticks, batches, retries.  recover.py is how it begins, upkeep.py what
it does besides."""

from recover import recover
from replicas import wait
from rules import rule
from upkeep import end_moves, look, move_due, purge, rotate
from words import QUEUES, Cursor


class Died(Exception):
    pass


class Relay:

    def __init__(self, server, redis):
        self.server = server
        self.redis = redis
        self.connected = False
        self.fenced = False
        self.unreachable = 0    # steps for which it does not reach Redis
        self.dying = False
        self.attempts = {}      # by message id
        self.skipping = False   # queue a has met a refusal
        self.slot_moves = {}    # by queue, as far as nodes have said so
        self.given_out = {}     # by where our history left another: see clip()
        self.start_connection()

    def start_connection(self):
        self.line = ()
        self.token = None
        self.prev = None        # the last tick's snapshot
        self.leaves_after = 0   # LSN that the standby must have first (6b)
        self.batches = []       # (queue, [(row, position behind it)]), in order
        self.at = {}            # by queue: the server that it is delivered to
        self.arrived_at = {}    # by queue that has moved: when
        self.cursor = {}        # by queue: what Redis has
        self.count = {}
        self.still = set()      # queues whose cursor stands still
        self.seen = {}          # by queue: when Redis was last as expected
        self.looked_at = {}     # for the checks: by queue, when
        self.settled_since = {}         # by staging table
        self.kept_since = {}            # by seq of a deferred row
        self.wait = None                # see replicas.py
        self.acknowledged = {}          # by queue: what replicas have
        self.acknowledged_at = -1

    @property
    def well(self):
        return (self.connected and not self.fenced and not self.server.held and
                not self.waits_for_standby())

    def idle(self):
        server = self.server
        if server.held or self.fenced or self.waits_forever():
            return True
        return (self.connected and not self.unreachable and
                not self.waits_for_standby() and
                not self.batches and not self.still and
                not any(self.is_wanted(entry)
                        for entry in server.deferred.values()) and
                all(self.prev.sees(row.xid) for row in server.staged))

    def is_wanted(self, entry):
        return entry.reason not in ("applied", "evacuated") or (
            entry.reason == "evacuated" and
            not self.cursor[entry.row.queue].covers(entry.row))

    def ask(self, script, queue, *arguments):
        """One request.  What a dying relay sends may arrive some time later."""
        key = self.key(queue)
        request = (script, self.server, key, *arguments)
        known = self.slot_moves.get(queue, 0)
        if self.dying:
            self.redis.late.append((request, known))
            raise Died
        answer = self.redis.arrive(request, known)
        if answer is None:
            # Nothing was done.  The cursor is read, where the slot is.
            self.slot_moves[queue] = self.redis.slot_moves.get(queue, 0)
            return ("differs", None) if script in ("apply", "skip") else "differs"
        self.seen[queue] = self.server.world.time
        return answer

    def key(self, queue):
        return self.server.source, queue, self.at[queue]

    def expects(self, queue):
        return self.cursor[queue], self.count[queue]

    def position(self, prev, cur, seq, lsn):
        mark = self.server.wal[lsn - 1] if lsn else None
        return Cursor(self.line, lsn, self.token, prev, cur, seq, mark)

    def die(self, rng):
        """In the middle of something."""
        if self.connected:
            self.dying = True
            try:
                if rng.random() < .4:
                    self.retry(rng)
                else:
                    self.step(rng)
            except Died:
                pass
        self.connected = self.dying = self.skipping = False
        if rng.random() < .2:
            self.attempts = {}

    def leave(self, redis):
        """Whoever has another Redis than this one loses it."""
        if self.redis is not redis:
            self.connected = self.skipping = False

    def stop(self, outcome, cursor, key):
        self.server.world.check.stops(self.server, outcome, cursor, key)
        self.connected = False
        if outcome == "fenced":
            self.fenced = True          # asked again at each start
        else:
            self.server.hold(outcome)

    def step(self, rng):
        """One turn of the relay's loop."""
        server = self.server
        server.world.check.stays_held(server)
        if server.held or self.fenced:
            return
        server.record_run()             # whether Redis is there or not (6a.1)
        if server.restored and rule("restored"):
            server.hold("restored")     # before any cursor is read (6a.8)
        elif self.unreachable > 0:
            self.unreachable -= 1
        elif not self.connected:
            self.connect(rng)
        elif rng.random() < .2:
            self.retry(rng)
        elif server.world.looks and rng.random() < .04:
            look(self)
        elif self.redis.replica and rng.random() < .2:
            wait(self)
        elif rng.random() < .1:
            move_due(self)
        elif rng.random() < .25:
            rotate(self)
            purge(self)
            end_moves(self)
        elif not self.batches:
            self.tick(rng)
        else:
            self.send(rng)

    def connect(self, rng):
        server = self.server
        if not server.standby_has(server.run_recorded) and rule("standby: runs"):
            return
        self.redis = server.world.redis
        recover(self)
        if rng.random() < .5 and not self.dying:
            server.world.arrive()       # something late, before its first batch

    # the synchronous standby (6b)

    def rests_on(self, lsn):
        """What leaves from now on rests on WAL up to here."""
        self.leaves_after = max(self.leaves_after, lsn)

    def waits_for_standby(self):
        return not self.server.standby_has(self.leaves_after)

    def waits_forever(self):
        """The standby has gone, and nobody has told the server."""
        server = self.server
        return (server.standby is not None and server.standby.gone and
                (not server.standby_has(server.run_recorded) or
                 (self.connected and self.waits_for_standby())))

    # ticks

    def tick(self, rng):
        server = self.server
        back = [queue for queue in self.still if queue not in server.paused]
        if back:
            recover(self, back)
            return
        now = server.snapshot()
        # A row may have been evacuated before a tick has seen it.
        rows = server.staged + [entry.row for entry in server.deferred.values()
                                if entry.reason == "evacuated"]
        new = sorted(row for row in rows
                     if now.sees(row.xid) and not self.prev.sees(row.xid))
        if not rule("snapshots"):
            top = getattr(self, "top", 0)
            new = [row for row in new if row.seq > top]
            self.top = max([top] + [row.seq for row in new])
        lsn = self.flush_for(now, new) if new else None
        for queue in QUEUES:
            if queue in self.still or queue in server.paused:
                self.still.add(queue)
                continue
            messages = [(row, self.position(self.prev, now, row.seq, lsn))
                        for row in new if row.queue == queue]
            while messages:
                size = rng.randint(1, 3)
                self.batches.append((queue, messages[:size]))
                messages = messages[size:]
        self.prev = now

    def flush_for(self, now, rows):
        """What these rows rest on is on disk.  Returns up to where it is.

        Who commits synchronously has flushed before anybody sees it.
        """
        server, needed = self.server, [0]
        before = server.flushed
        if rule("flush: commits"):
            needed += [server.commit_log[row.xid] for row in rows]
        if rule("flush: ids"):
            needed.append(server.commit_log.get(now.xmax - 1, server.lsn))
        server.flush(max(needed))
        lsn = server.flushed if rule("flush: position") else server.lsn
        if not rule("flush: first"):
            lsn = before
        if rule("standby: ticks"):
            self.rests_on(lsn)
        return lsn

    # batches

    def send(self, rng):
        """The next batch of some queue."""
        if self.waits_for_standby():
            return
        i = 0
        if rng.random() < .5:
            queues = [queue for queue, _ in self.batches]
            i = queues.index(rng.choice(queues))
        queue, batch = self.batches[i]
        messages = self.prepare(queue, batch)
        if queue == "a" and (self.skipping or
                             any(skip for _, _, skip in messages)):
            done = self.send_skipping(rng, queue, messages)
        else:
            done = self.send_plain(rng, queue, messages)
        if done:
            self.cursor[queue] = batch[-1][1]
            del self.batches[i]

    def prepare(self, queue, batch):
        """What is not to be tried: dead, or behind a skipped row of its key."""
        server = self.server
        held = {entry.row.key for entry in server.deferred.values()
                if entry.row.queue == queue and entry.reason == "skipped"}
        messages = []
        for row, position in batch:
            behind = queue == "a" and row.key in held
            dead = row.seq in server.dead
            if behind and not dead:
                server.defer(row, "skipped")
            messages.append((row, position, behind or dead))
        return messages

    def send_skipping(self, rng, queue, messages):
        answer, failed = self.ask("skip", queue, self.expects(queue), messages,
                                  messages[-1][1])
        if answer == "differs" or rng.random() < .2:
            # Else the answer was lost, or it dies before this is recorded.
            self.connected = False
            return False
        for row in failed:
            self.server.defer(row, "skipped")
        self.skipping = bool(failed)
        self.count[queue] += tried(messages) - len(failed)
        return True

    def send_plain(self, rng, queue, messages):
        expected = self.expects(queue)
        final = (messages[-1][1], expected[1] + tried(messages))
        # Twice: the answer was lost, and it is sent again.
        for _ in range(rng.choice((1, 1, 1, 2))):
            answer, _ = self.ask("apply", queue, expected, messages, final)
            if answer == "differs":
                self.next_was_on_its_way(rng, queue, final)
                self.connected = False
                return False
            if answer == "failed":
                self.skipping = True
                self.batches = [batch for batch in self.batches
                                if batch[0] != queue]
                recover(self, [queue])
                return False
        self.count[queue] += tried(messages)
        return True

    def next_was_on_its_way(self, rng, queue, expected):
        """Batches are pipelined, but for those of a queue that may skip."""
        behind = [batch for name, batch in self.batches if name == queue][1:2]
        if behind and queue != "a" and rng.random() < .5:
            messages = [(row, position, False) for row, position in behind[0]]
            final = (messages[-1][1], expected[1] + len(messages))
            self.ask("apply", queue, expected, messages, final)

    def retry(self, rng):
        """The first skipped message of some key, again."""
        server, queue, first = self.server, "a", {}
        if queue in self.still or self.waits_for_standby():
            return
        for _, entry in sorted(server.deferred.items()):
            row = entry.row
            if (row.queue == queue and entry.reason == "skipped" and
                    self.cursor[queue].covers(row)):
                first.setdefault(row.key, row)
        if not first:
            return
        row = rng.choice(list(first.values()))
        answer = self.ask("retry", queue, self.expects(queue), row)
        if answer == "differs":
            self.connected = False
        elif answer == "ok":
            self.count[queue] += 1
            if rng.random() < .2:
                self.connected = False      # dies between Redis and PostgreSQL
            elif rule("applied kept"):
                server.defer(row, "applied")
            else:
                server.log("forget", row.seq)
        elif self.attempts.setdefault(row.id, 0) > 0:
            server.bury(row)
            if rule("standby: burials"):
                self.rests_on(server.lsn)
        else:
            self.attempts[row.id] += 1


def tried(messages):
    return len([row for row, _, skip in messages if not skip])
