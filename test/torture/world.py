# Copyright (c) 2026, the outbox developers
"""The servers of a round, those who use them, and how all of it comes to rest."""
import os
import subprocess
import sys
import time

import pq
from checker import History, Queue
from consumers import Listener, Reader
from journal import Journal
from postgres import LONG, Failed, Server, send, wait_for
from redis_server import Away, Error, Redis
from writers import ENQUEUE, Writer

HERE = os.path.dirname(os.path.abspath(__file__))

# Name, what outbox_create_queue() gets besides, and the order that is promised.
# What is altered in flight (keyed) promises the least of what it may be.
QUEUES = {
    'plain': ('', 'queue'),
    'list': (", 'list', format => 'raw'", 'queue'),
    'told': (", 'publish', format => 'raw'", 'queue'),
    'keyed': (", on_failure => 'retry', max_attempts => 6, retry_delay => '60 ms', retry_max_delay => '1 s'", 'key'),
    'letters': (", on_failure => 'dead_letter'", 'queue'),
    'each': (", 'commands', on_failure => 'retry', max_attempts => 1000, retry_delay => '100 ms', retry_max_delay => '500 ms',"
             """ options => '{"commands": [["RPUSH", "each:{key}", "{payload}"]]}'""", 'key'),
    'pauses': ('', 'queue'),
    'comes': ('', 'queue'),
    'later': ('', 'queue'),
    'changes': ('', 'key'),
    'probe': ('', 'queue'),
}
STAGING = 'SELECT (SELECT count(*) FROM outbox.staging_1) + (SELECT count(*) FROM outbox.staging_2)'
HELD = """SELECT split_part(why, ':', 1), state || ': ' || why FROM outbox.status
    WHERE state IN ('held', 'fenced')"""
DEFERRED = """SELECT queue, reason, count(*) FROM outbox.deferred
    WHERE reason = ANY (string_to_array($1, ' ')) GROUP BY queue, reason"""
WAITING = """SELECT queue, state, waiting, retrying, delayed FROM outbox.queue_status
    WHERE (waiting + retrying + delayed > 0) IS NOT FALSE"""
# Each failed attempt of a dead letter; and how many a queue has had in all.
ATTEMPTS = """SELECT payload #>> '{}', queue, h ->> 'error' FROM outbox.dead_letters, jsonb_array_elements(history) AS h
    WHERE h ? 'attempt'
    UNION ALL SELECT failed || '', queue, 'WRONGTYPE' FROM outbox.queue_status WHERE failed > 0"""
# No table of bookkeeping may grow with what is sent.
SMALL = """SELECT c.relname, pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'outbox' AND c.relkind = 'r'
    AND c.relname !~ '^(staging_|deferred|dead_letter|returned)'"""


def create_sql(name):
    """Creates a queue, of text."""
    return f"SELECT outbox_create_queue('{name}'{QUEUES[name][0]}" """, settings => '{"payload_type": "text"}')"""


class World:
    def __init__(self, directory, template, seed, retention):
        os.mkdir(directory)
        self.directory = directory
        self.seed = seed
        self.retention = retention
        self.journal = Journal(f'{directory}/journal')
        self.traffic = [queue for queue in QUEUES if queue != 'probe']
        self.streams = [queue for queue in QUEUES if queue not in ('told', 'each')]
        self.pace = 1.0
        self.redis = Redis(directory)
        self.redis.start()
        self.proxy = subprocess.Popen([sys.executable, f'{HERE}/proxy.py', self.redis.path],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f'redis://127.0.0.1:{int(self.proxy.stdout.readline())}/0'
        self.server = Server(directory, 'main', 5432)
        self.server.make(template, self.url, retention)
        self.others = []                  # servers besides: standbys, clones, what was given up
        self.sessions = {}                # event -> an open session
        self.children = []                # pg_dump
        self.active = {}                  # event that is going on -> what it disturbs
        self.queues = {name: Queue(order, channel=name == 'told') for name, (_, order) in QUEUES.items()}
        self.probes, self.waits, self.tables = [], [], []
        self.given_up = {}                # labels of servers that are lost, or were never the one -> since when
        self.released = 0
        self.may_be_held = False          # an operator may have to decide
        self.idle = False                 # writers pause
        self.changing = None              # the event that changes whose history goes on
        self.puts = self.servers = 0
        self.writers = []

    def begin(self, writers):
        self.server.start()
        self.server.patiently('CREATE EXTENSION outbox')
        with self.server.session() as s:
            s.run('CREATE TABLE written (t text PRIMARY KEY); CREATE TABLE captured (id text PRIMARY KEY, note text)')
            for name in QUEUES:
                self.create(s, name)
            s.run("SELECT outbox_capture('captured', 'changes', operations => '{insert,update}')")
            if self.retention < 10:      # it stands while staging is emptied again and again
                s.run("SELECT outbox_pause_queue('pauses')")
        self.reader = Reader(self)
        self.listener = Listener(self)
        self.reader.start()
        self.listener.start()
        wait_for(lambda: self.listener.subscribed)
        self.writers = [Writer(self, i + 1, self.seed) for i in range(writers)]
        for writer in self.writers:
            writer.start()

    @staticmethod
    def create(session, name):
        session.run(create_sql(name))

    def another(self):
        """Name and port of another server."""
        self.servers += 1
        return f'server{self.servers}', 5432 + self.servers

    def give_up(self, server):
        self.given_up[server.label] = self.journal.note(f'=== {server.label} is given up')

    def say(self, text):
        self.journal.note(f'=== {text}')

    def ask(self, sql, *values, **more):
        return self.server.ask(sql, *values, **more)

    def tell_proxy(self, line):
        self.proxy.stdin.write(line + '\n')
        self.proxy.stdin.flush()

    def redis_now(self, *words):
        """A command, if Redis is up; if it is frozen, that ends here."""
        if not self.redis.up:
            return None
        self.redis.thaw()
        try:
            return self.redis.now(*words)
        except (Away, Error):
            return None

    def calm(self):
        """Nothing is going on that may delay delivery as such."""
        return self.server.up and not self.server.frozen and self.redis.up and \
            not self.redis.frozen and not self.active

    def put(self, queue, key=None, server=None, prepared=False):
        """A message of the main thread's, in a transaction of its own; None if it could not."""
        self.puts += 1
        server = server or self.server
        if queue in ('keyed', 'letters', 'each', 'changes'):
            key = key or 'k0'
        t = self.journal.begin(f'm{self.puts}', server.label)
        asked = False
        try:
            with server.session() as session:
                session.run('BEGIN')
                session.run('INSERT INTO written VALUES ($1)', t.name)
                m = self.journal.mean(t, queue, key=key)
                session.run(ENQUEUE, queue, m.body, m.key, None)
                if prepared:
                    session.run(f"PREPARE TRANSACTION '{t.name}'")
                asked = True
                session.run(f"COMMIT PREPARED '{t.name}'" if prepared else 'COMMIT')
            self.journal.ends(t, 'acked')
            return m
        except (pq.Lost, pq.Refused) as e:
            self.journal.ends(t, 'unknown' if asked and isinstance(e, pq.Lost) else 'rolled back', str(e))
            return None

    def has(self, m):
        """It has arrived, or was said to nobody."""
        if m.queue == 'told':
            return self.listener.subscribed > 1 or any(a.name == m.name for a in self.listener.heard[-1000:])
        self.reader.look()
        return self.reader.has(m)

    def probe(self, word, what, queue='probe', key=None):
        """A message of an undisturbed queue arrives while something goes on: it is
        waited for, however slow the machine is."""
        if not self.calm() or self._is_held():
            return
        m = self.put(queue, key=key)
        if m is None or not self.calm():
            return
        arrived = bool(wait_for(lambda: self.has(m) or self._is_held()))
        self.probes.append((word, f'{what} (status: {self.status()})', arrived))

    def _is_held(self):
        return self.may_be_held and self.state() in ('held', 'fenced')

    def status(self):
        return self.ask("SELECT concat_ws(', ', state, why, 'waiting ' || waiting, last_error) FROM outbox.status") \
            or [[self.server.said]]

    def callers_come_back(self, what):
        """I7: what Redis does nobody waits for.  Each writer ends a transaction that
        it began while it was away."""
        if not self.server.up or self.server.frozen or set(self.active.values()) - {'redis'}:
            return
        begun = {w: w.started for w in self.writers}
        for w, n in begun.items():
            back = wait_for(lambda w=w, n=n: w.finished > n or w.ending.is_set() or not self.server.up)
            self.waits.append((w.name, what, bool(back)))

    def end_writers(self):
        for w in self.writers:
            w.ending.set()
        for w in self.writers:
            if not wait_for(lambda w=w: not w.is_alive(), 2 * LONG):
                raise Failed(f'{w.name} does not end')
            if w.died:
                raise w.died

    def rest(self):
        """Everything is mended and goes on; then nothing waits any more.  Returns what still does."""
        self.say('everything is mended')
        for session in self.sessions.values():
            session.close()
        self.sessions = {}
        self.tell_proxy('pass')
        self.tell_proxy('slow 0')
        self.tell_proxy('release')
        self.server.thaw()
        for server in self.others:
            if server.pids():
                server.end_of_machine()
        if not self.redis.up:
            self.redis.start()
        self.redis.thaw()
        if not self.server.up:
            self.server.start()
        self.end_writers()
        self._end_forgotten()
        self._mend_settings()
        return self._quiet()

    def _end_forgotten(self):
        """What was prepared, and ended on a server that is lost, is still prepared here."""
        for (gid,) in self.server.patiently('SELECT gid FROM pg_prepared_xacts'):
            self.say(f'{gid} is still prepared')
            self.server.patiently(f"ROLLBACK PREPARED '{gid}'")

    def _mend_settings(self):
        for words in (('CONFIG', 'SET', 'maxmemory', 0), ('CONFIG', 'SET', 'min-replicas-to-write', 0),
                      ('REPLICAOF', 'NO', 'ONE')):
            self.redis.now(*words)
        for key in (*self.streams, 'list', *(f'each:k{i}' for i in range(4))):
            self.redis.now('EVAL', MEND, 2, key, f'aside:{key}')
        for name in QUEUES:
            if not self.server.patiently('SELECT 1 FROM outbox.queue WHERE name = $1', name):
                self.server.patiently(create_sql(name))
            self.server.patiently('SELECT outbox_resume_queue($1)', name)
        self.server.patiently("SELECT outbox_alter_queue('keyed', on_failure => 'retry')")

    def state(self):
        """running, held, fenced ...; empty if the server can't say."""
        rows = self.ask('SELECT state FROM outbox.status')
        return rows[0][0] if rows else ''

    def release_if_held(self):
        """With copies about, this server may be held.  It says so, and an operator decides."""
        rows = self.may_be_held and self.ask(HELD)
        for reason, why in rows or ():
            if reason not in ('foreign', 'set back'):
                self.probes.append(('stalled', f'the server that goes on is {why}', False))
            self.released = self.journal.note(f'=== {why}; released')
            self.ask('SELECT outbox_release($1)', reason)

    def _last_of(self, queue, prepared=False):
        """A message that comes after all that was committed."""
        made = []

        def enqueued():
            self._end_forgotten()
            made[:] = [self.put(queue, prepared=prepared)]
            return made[0]
        if not wait_for(enqueued):
            raise Failed(f'nothing can be enqueued: {self.server.said}')
        return made[0]

    def _until_none(self, what, left):
        """Until nothing is left.  Returns what is."""
        still = []

        def none():
            self.release_if_held()
            rows = left()
            still[:] = [f'{what}: {rows}'] if rows or rows is None else []
            return not still
        wait_for(none)
        return still

    def _quiet(self):
        """Nothing is delayed, a last message of each queue has arrived, and nothing waits.  What
        is shown is counted once a second, so the table is asked, too."""
        still = self._until_none('delayed', lambda: self.ask(DEFERRED, 'delayed'))
        marks = [self._last_of(queue) for queue in QUEUES]
        still += self._until_none('not arrived', lambda: [m.name for m in marks if not self.has(m)])
        still += self._until_none('skipped', lambda: self.ask(DEFERRED, 'retry behind restored'))
        still += self._until_none('shown as waiting', lambda: self.ask(WAITING))
        last = self._last_of('plain', prepared=True)
        return still + self._until_none('was prepared', lambda: [] if self.has(last) else [last.name])

    def check_rot(self):
        """I6: staging is emptied when what it has may be forgotten, and bookkeeping is small."""
        self.server.configure("outbox.retention = '1s'\n")
        self.server.reload()
        left = []

        def emptied():
            rows = self.ask(STAGING)
            left[:] = rows or [['?']]
            return rows == [['0']]
        wait_for(emptied)
        if left != [['0']]:
            self.tables.append(('staging', f'{left[0][0]} rows stay', 1, 0))
        for name, size in self.server.patiently(SMALL):
            self.tables.append((name, 'grows', int(size), 1 << 20))

    def history(self):
        deaf = self.listener.subscribed > 1
        self.queues['told'].deaf = deaf
        self.queues['told'].losses = self.redis.losses > 0
        arrived = {q: self.reader.arrived(q) for q in self.reader.keys}
        arrived['told'] = list(self.listener.heard)
        dead = self.server.patiently("SELECT payload #>> '{}' FROM outbox.dead_letters")
        attempts = self.server.patiently(ATTEMPTS)
        return History(
            messages=list(self.journal.messages.values()),
            kept={row[0] for row in self.server.patiently('SELECT t FROM written')},
            queues=self.queues,
            arrived=arrived,
            dead=[body_name(body) for body, in dead],
            attempts=[(body_name(body), queue, error) for body, queue, error in attempts],
            probes=self.probes, writers=self.waits, tables=self.tables,
            vanished=self.reader.vanished, given_up=self.given_up, released=self.released)

    def end(self):
        """Every process that was started, whatever state it is in."""
        for child in self.children:
            child.kill()
        for server in [self.server, *self.others]:
            server.thaw()
            pids = server.pids()
            if pids:
                server.end_of_machine()
        self.proxy.kill()
        self.proxy.wait()
        if hasattr(self.redis, 'process'):
            send(self.redis.process.pid, 18)
            self.redis.process.kill()
            self.redis.process.wait()
        for thread in (*self.writers, *(t for t in (getattr(self, 'reader', None), getattr(self, 'listener', None)) if t)):
            thread.ending.set()
        self.journal.close()


def body_name(body):
    return body.split('"note": "', 1)[-1].split(' ', 1)[0]


# A key is refused by putting a string in its place, in one step, so that no message gets lost in between.
REFUSE = """
if redis.call('TYPE', KEYS[1]).ok == 'string' then return end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
redis.call('SET', KEYS[1], 'of another type')"""
MEND = """
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[1]) end"""
