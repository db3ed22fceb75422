# Copyright (c) 2026, the outbox developers
"""Those who enqueue: threads with a session each, that write down what they mean
before they do it and what became of it afterwards, over every crash.

Which kind of transaction a writer makes next comes from its own generator, which
the seed makes.  How far it gets is the machine's affair.
"""
import random
import threading
import time

import pq

# What each queue gets: with keys, later, how.
KEYS = {'keyed': 4, 'letters': 3, 'each': 4, 'plain': 5}
ENQUEUE = 'SELECT outbox_enqueue($1, $2::text, key => $3, deliver_at => to_timestamp($4::float8))'
CAPTURED = """INSERT INTO captured AS c VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET note = excluded.note"""


def put(journal, t, session, queue, dice):
    """One message, by way of a function or of a captured table."""
    size = dice.choice((0, 0, 20, 20, 300, 5000))
    if queue == 'changes':
        m = journal.mean(t, queue, key=str(dice.randrange(6)), size=size)
        session.run(CAPTURED, m.key, m.body)
        return m
    key = f'k{dice.randrange(KEYS[queue])}' if queue in KEYS else None
    due = time.time() + dice.uniform(0.1, 3) if queue == 'later' and dice.random() < 0.6 else None
    m = journal.mean(t, queue, key=key, due=due, size=size)
    session.run(ENQUEUE, queue, m.body, key, due)
    return m


class Writer(threading.Thread):
    def __init__(self, world, number, seed):
        super().__init__(daemon=True, name=f'writer {number}')
        self.world = world
        self.journal = world.journal
        self.number = number
        self.dice = random.Random(f'{seed} writer {number}')
        self.session = None
        self.on = None             # the server, and its label then
        self.made = 0
        self.finished = 0          # transactions that have come back, however
        self.started = 0           # ... that have been begun
        self.prepared = []         # [ transaction, gid, wanted, may have been asked for ]
        self.ending = threading.Event()
        self.died = None

    def run(self):
        try:
            while not self.ending.is_set():
                while self.world.idle:
                    time.sleep(0.01)
                self._once()
                self.ending.wait(self.dice.choice((0, 0.002, 0.01, 0.03)) * self.world.pace)
            self._resolve(all_of_it=True)
        except Exception as e:  # pylint: disable=broad-except # told at the end of the round
            self.died = e
        if self.session:
            self.session.close()

    def _once(self):
        if self.session and self.on != (self.world.server, self.world.server.label):
            self.session.close()
            self.session = None
        if not self._connect():
            return
        try:
            self._resolve()
            self._transaction()
        except pq.Lost:
            self.session.close()
            self.session = None

    def _connect(self):
        if self.session is None:
            try:
                server = self.world.server
                self.on = server, server.label
                self.session = pq.Session(server.conninfo())
            except pq.Lost:
                time.sleep(0.05)
        return self.session is not None

    def _transaction(self):
        """All ways for it to end: the outcome is written down whatever happens."""
        self.made += 1
        kind = self.dice.random()
        asynchronous = 0.5 <= kind < 0.6
        t = self.journal.begin(f'w{self.number}t{self.made}', self.on[1], asynchronous)
        self.started += 1
        asked = False
        try:
            self.session.run('BEGIN')
            if asynchronous:
                self.session.run('SET LOCAL synchronous_commit = off')
            self.session.run('INSERT INTO written VALUES ($1)', t.name)
            self._messages(t, kind)
            if kind < 0.08:
                self.session.run('ROLLBACK')
                self.journal.ends(t, 'rolled back')
            elif kind < 0.2:
                self._prepare(t)
            else:
                asked = True
                self.session.run('COMMIT')
                self.journal.ends(t, 'acked')
        except pq.Refused as e:
            self.journal.ends(t, 'rolled back', str(e).split('\n')[0])
            self.session.run('ROLLBACK')
        except pq.Lost as e:
            if t.outcome == 'open' and not any(p[0] is t for p in self.prepared):
                self.journal.ends(t, 'unknown' if asked else 'rolled back', str(e).split('\n')[0])
            raise
        finally:
            self.finished += 1

    def _messages(self, t, kind):
        dice = self.dice
        queues = [dice.choice(self.world.traffic) for _ in range(dice.choice((1, 1, 2, 3, 5)))]
        if 0.08 <= kind < 0.2:     # a prepared one would lock rows for long
            queues = ['plain' if queue == 'changes' else queue for queue in queues]
        if kind > 0.995:
            queues *= 100
        for queue in queues:
            if dice.random() < 0.1:
                self._savepoint(t, queue)
            else:
                self._put(t, queue)
        if dice.random() < 0.15:
            time.sleep(dice.uniform(0, 0.05))

    def _put(self, t, queue):
        """A queue that is not there just now is not an error of the transaction."""
        if queue == 'comes':
            self._savepoint(t, queue, keep=True)
        else:
            put(self.journal, t, self.session, queue, self.dice)

    def _savepoint(self, t, queue, keep=False):
        self.session.run('SAVEPOINT s')
        before = len(t.messages)
        try:
            put(self.journal, t, self.session, queue, self.dice)
            if keep or self.dice.random() < 0.5:
                self.session.run('RELEASE s')
                return
        except pq.Refused:
            pass
        self.session.run('ROLLBACK TO s')
        self.journal.undo(t.messages[before:])

    def _prepare(self, t):
        wanted = 'COMMIT' if self.dice.random() < 0.75 else 'ROLLBACK'
        p = [t, f'outbox {t.name}', wanted, self.made + self.dice.randrange(12), False]
        self.prepared.append(p)
        t.asked.clear()
        self.journal.note(f'prepare {t.name}, to {wanted}')
        try:
            self.session.run(f"PREPARE TRANSACTION '{p[1]}'")
        except pq.Refused:
            self.prepared.remove(p)
            raise
        if self.dice.random() < 0.4:
            p[3] = 0

    def _resolve(self, all_of_it=False):
        """Ends prepared transactions, also those of which it isn't known whether they are."""
        while self.prepared and (all_of_it or self.prepared[0][3] <= self.made):
            if all_of_it and not self._connect():
                continue
            try:
                self._end_prepared(self.prepared[0])
                self.prepared.pop(0)
            except pq.Lost:
                if not all_of_it:
                    raise
                self.session.close()
                self.session = None

    def _end_prepared(self, p):
        t, gid, wanted, _, asked = p
        p[4] = True
        t.asked.add(self.on[1])
        try:
            self.session.run(f"{wanted} PREPARED '{gid}'")
            t.server = self.on[1]
            self.journal.ends(t, 'acked' if wanted == 'COMMIT' else 'rolled back')
        except pq.Refused as e:
            if e.sqlstate != '42704':      # there is none of this name
                raise
            # It was never prepared; or it has been ended, and the answer was lost.
            ended = 'unknown' if asked and wanted == 'COMMIT' else 'rolled back'
            self.journal.ends(t, ended, str(e).split('\n')[0])
