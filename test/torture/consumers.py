# Copyright (c) 2026, the outbox developers
"""Those who keep all that arrives.

A Reader looks at streams and lists again and again, takes nothing away, and
keeps what it has seen.  When it has lost its connection, or Redis has lost
writes, it compares: what was seen and isn't there any more has to have been lost.  A
Listener subscribes, and keeps what it hears.
"""
import json
import re
import threading
import time

from checker import Arrival
from redis_server import Away, Client, Error

# A key that is refused has been put aside (events.py), in one step.
READ = """
local key = KEYS[1]
if redis.call('TYPE', key).ok == 'string' then key = KEYS[2] end
local kind = redis.call('TYPE', key).ok
if kind == 'stream' then return redis.call('XRANGE', key, ARGV[1], '+') end
if kind == 'list' then return redis.call('LRANGE', key, ARGV[2], -1) end
return {}
"""


def named(body):
    """An Arrival from a body: its name is the first word."""
    return body.split(' ', 1)[0]


def from_stream(entry):
    """Payload of an entry; of a captured row the note that was written."""
    fields = dict(zip(entry[1][::2], entry[1][1::2]))
    body = fields[b'payload'].decode()
    if body.startswith('{'):
        body = json.loads(body)['new']['note']
    milliseconds = int(entry[0].split(b'-')[0])
    return Arrival(named(body), body, milliseconds / 1000)


class Reader(threading.Thread):
    def __init__(self, world):
        super().__init__(daemon=True, name='reader')
        self.redis = world.redis
        self.journal = world.journal
        # queue -> keys of Redis that it has
        self.keys = {queue: [queue] for queue in world.streams}
        self.keys['each'] = [f'each:k{i}' for i in range(4)]
        self.seen = {key: [] for keys in self.keys.values() for key in keys}
        self.vanished = []
        self.losses = 0
        self.client = None
        self.died = None
        self.ending = threading.Event()
        self.lock = threading.Lock()

    def run(self):
        try:
            while not self.ending.wait(0.05):
                self.look()
        except Exception as e:  # pylint: disable=broad-except # told at the end of the round
            self.died = e

    def look(self):
        """Takes in what is new; all of it on a new connection."""
        with self.lock:
            try:
                whole = self.client is None
                if whole:
                    self.client = Client(self.redis.path)
                losses = self.redis.losses
                for queue, keys in self.keys.items():
                    for key in keys:
                        self._read(queue, key, whole, losses > self.losses)
                if whole:
                    self.losses = losses
                return True
            except (Away, Error) as e:
                if self.client:
                    self.client.close()
                self.client = None
                if isinstance(e, Error) and not re.match('LOADING|MASTERDOWN|BUSY|UNKILL', str(e)):
                    raise
                return False

    def _read(self, queue, key, whole, lost):
        seen = self.seen[key]
        after = f'({seen[-1][0]}' if seen and not whole else '-'
        found = self.client('EVAL', READ, 2, key, f'aside:{key}', after, 0 if whole else len(seen))
        items = [(entry[0].decode(), from_stream(entry)) if isinstance(entry, list)
                 else ('', Arrival(named(entry.decode()), entry.decode())) for entry in found]
        if whole:
            self._compare(queue, seen, items, lost)
        for item in items:
            self.journal.note(f'seen {item[1].name} in {key}')
        seen += items

    def _compare(self, queue, seen, items, lost):
        """What was seen is still there, up to where Redis has lost writes; items
        keeps what is new."""
        same = 0
        while same < min(len(seen), len(items)) and seen[same] == items[same]:
            same += 1
        for _, gone in seen[same:]:
            self.journal.note(f'gone {gone.name} from {queue}')
            if not lost:
                self.vanished.append((queue, gone.name))
        del seen[same:]
        del items[:same]

    def has(self, m):
        """A message that has come lately."""
        with self.lock:
            return any(item.name == m.name for key in self.keys[m.queue] for _, item in self.seen[key][-1000:])

    def arrived(self, queue):
        with self.lock:
            return [item for key in self.keys[queue] for _, item in self.seen[key]]


class Listener(threading.Thread):
    """A subscriber of the channel "told"."""

    def __init__(self, world):
        super().__init__(daemon=True, name='listener')
        self.redis = world.redis
        self.journal = world.journal
        self.heard = []
        self.subscribed = 0
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            try:
                client = Client(self.redis.path, timeout=None)
                client('SUBSCRIBE', 'told')
                self.subscribed += 1
                while True:
                    kind, _, body = client.reply()
                    if kind == b'message':
                        body = body.decode()
                        self.heard.append(Arrival(named(body), body))
                        self.journal.note(f'heard {named(body)}')
            except (Away, Error, OSError):
                time.sleep(0.02)
