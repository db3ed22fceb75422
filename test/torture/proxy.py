#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
"""A TCP proxy in front of Redis that is cut, late and slow.

    proxy.py SOCKET      prints its port, then obeys lines on its standard input:

    cut c2s|s2c BYTES    after so many more bytes in this direction the client
                         gets a reset; Redis executes what it has got
    late BYTES           like "cut c2s", but what the client had sent beyond that
                         is kept, until:
    release              Redis gets what was kept, and then the end
    slow SECONDS         all bytes take so much longer, in each direction; 0: no more
    pass                 no cut is planned any more

A process of its own, so that no other thread's work makes it late.
"""
import collections
import os
import selectors
import socket
import struct
import sys
import threading
import time


class Pair:
    """A client's connection and the one to Redis that belongs to it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.queues = {'c2s': collections.deque(), 's2c': collections.deque()}
        self.gone = False


class Proxy:
    def __init__(self, path):
        self.path = path
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        self.pairs = []
        self.plan = None     # [ kind, direction, bytes ]
        self.kept = []       # (socket, bytes)
        self.slow = 0.0

    def run(self):
        print(self.listener.getsockname()[1], flush=True)
        while True:
            for key, _ in self.selector.select(self._until_due()):
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj is sys.stdin:
                    if not self._obey(os.read(0, 4096).decode()):
                        return
                else:
                    self._read(*key.data)
            self._pass_on()

    def _until_due(self):
        dues = [queue[0][0] for pair in self.pairs for queue in pair.queues.values() if queue]
        return max(0, min(dues) - time.monotonic()) if dues else None

    def _obey(self, text):
        for line in text.splitlines():
            verb, *words = line.split()
            if verb == 'cut':
                self.plan = ['cut', words[0], int(words[1])]
            elif verb == 'late':
                self.plan = ['late', 'c2s', int(words[0])]
            elif verb == 'pass':
                self.plan = None
            elif verb == 'slow':
                self.slow = float(words[0])
            elif verb == 'release':
                self._release()
        return bool(text)

    def _accept(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.path)
        except OSError:
            client.close()
            return
        pair = Pair(client, server)
        self.pairs.append(pair)
        self.selector.register(client, selectors.EVENT_READ, (pair, 'c2s'))
        self.selector.register(server, selectors.EVENT_READ, (pair, 's2c'))

    def _read(self, pair, direction):
        source = pair.client if direction == 'c2s' else pair.server
        try:
            data = source.recv(65536)
        except OSError:
            data = b''
        if pair.gone:
            return
        plan = self.plan
        if plan and plan[1] == direction:
            if len(data) < plan[2]:
                plan[2] -= len(data)
            else:
                self.plan = None
                self._cut(pair, direction, data, *plan[::2])
                return
        pair.queues[direction].append((time.monotonic() + self.slow, data))
        if not data:
            self.selector.unregister(source)

    def _cut(self, pair, direction, data, kind, size):
        """What is still on its way arrives; the client then has a reset."""
        head, rest = data[:size], data[size:]
        for way in ('c2s', 's2c') if direction == 's2c' else ('c2s',):
            for _, before in pair.queues[way]:
                self._write(pair, way, before)
        self._write(pair, direction, head)
        if kind == 'late':
            rest += self._last_words(pair.client)
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self._forget(pair, keep_server=kind == 'late')
        if kind == 'late':
            self.kept.append((pair.server, rest))

    @staticmethod
    def _last_words(client):
        said = b''
        client.settimeout(0.05)
        try:
            while data := client.recv(65536):
                said += data
        except OSError:
            pass
        return said

    def _release(self):
        for server, data in self.kept:
            threading.Thread(target=self._last, args=(server, data), daemon=True).start()
        self.kept = []

    @staticmethod
    def _last(server, data=b''):
        """Redis executes what it gets; the answers are for nobody."""
        try:
            server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            while server.recv(65536):
                pass
        except OSError:
            pass
        server.close()

    def _pass_on(self):
        now = time.monotonic()
        for pair in list(self.pairs):
            for direction, queue in pair.queues.items():
                while queue and queue[0][0] <= now and not pair.gone:
                    _, data = queue.popleft()
                    if not data or not self._write(pair, direction, data):
                        self._forget(pair)

    def _write(self, pair, direction, data):
        try:
            (pair.server if direction == 'c2s' else pair.client).sendall(data)
            return True
        except OSError:
            return False

    def _forget(self, pair, keep_server=False):
        pair.gone = True
        if pair in self.pairs:
            self.pairs.remove(pair)
        for end in (pair.client, pair.server):
            try:
                self.selector.unregister(end)
            except (KeyError, ValueError):
                pass
        pair.client.close()
        if not keep_server:
            threading.Thread(target=self._last, args=(pair.server,), daemon=True).start()


if __name__ == '__main__':
    Proxy(sys.argv[1]).run()
