# Copyright (c) 2026, the outbox developers
"""A redis-server that writes down all it does, and a client for it.

With appendonly, Redis writes what it has done before it answers: kill -9 loses
nothing, and losing the last writes is cutting the file short.
"""
import glob
import os
import signal
import socket
import subprocess
import time

from postgres import freeze, send, wait_for


class Away(Exception):
    """Nobody answers."""


class Error(Exception):
    """Redis says no."""


class Client:
    def __init__(self, path, timeout=60):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as e:
            self._socket.close()
            raise Away(str(e)) from e
        self._file = self._socket.makefile('rb')

    def close(self):
        self._file.close()
        self._socket.close()

    def __call__(self, *words):
        """A reply; numbers are int, strings bytes.  Raises Away, Error."""
        out = b'*%d\r\n' % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out += b'$%d\r\n%s\r\n' % (len(word), word)
        try:
            self._socket.sendall(out)
            return self.reply()
        except (OSError, ValueError) as e:
            raise Away(str(e)) from e

    def reply(self):
        line = self._file.readline()
        if not line.endswith(b'\r\n'):
            raise Away('the connection ended')
        kind, rest = line[:1], line[1:-2]
        if kind == b'+':
            return rest
        if kind == b'-':
            raise Error(rest.decode(errors='replace'))
        if kind == b':':
            return int(rest)
        if kind == b'$':
            size = int(rest)
            data = None if size < 0 else self._file.read(size + 2)
            if data is not None and len(data) < size + 2:
                raise Away('the connection ended')
            return data if data is None else data[:-2]
        if kind == b'*':
            return [self.reply() for _ in range(int(rest))]
        raise Away(f'a reply that begins with {line[:20]!r}')


class Redis:
    def __init__(self, directory):
        self.directory = directory
        self.path = f'{directory}/redis.sock'
        self.up = False
        self.frozen = False
        self.losses = 0

    def start(self):
        command = os.environ.get('OUTBOX_REDIS_SERVER', 'redis-server').split()
        with open(f'{self.directory}/redis.log', 'a') as log:
            self.process = subprocess.Popen(
                [*command, '--port', '0', '--unixsocket', self.path, '--dir', self.directory,
                 '--save', '', '--appendonly', 'yes', '--appendfsync', 'no',
                 '--auto-aof-rewrite-percentage', '0', '--enable-debug-command', 'yes'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not wait_for(self._answers):
            raise Away(f'redis-server does not answer; see {self.directory}/redis.log')
        self.up = True

    def _answers(self):
        try:
            return self.now('PING') == b'PONG'
        except (Away, Error):
            return False

    def now(self, *words):
        """One command on a connection of its own."""
        client = Client(self.path)
        try:
            return client(*words)
        finally:
            client.close()

    def freeze(self):
        freeze([self.process.pid])
        self.frozen = True

    def thaw(self):
        send(self.process.pid, signal.SIGCONT)
        self.frozen = False

    def kill(self):
        """Between two system calls and not within one: half a script in its file
        would be run at the start after the next."""
        self.up = False
        self.freeze()
        self.process.kill()
        self.process.wait()
        self.frozen = False

    def stop(self):
        self.up = False
        self.thaw()
        self.process.terminate()
        self.process.wait()

    def written(self):
        """How much is in its file, while it stands still."""
        frozen = self.frozen
        self.freeze()
        size = os.path.getsize(self._file())
        if not frozen:
            self.thaw()
        return size, time.monotonic()

    def kill_and_lose(self, size):
        """It dies, and nothing beyond this size had reached its disk."""
        self.kill()
        lost = os.path.getsize(self._file()) - size
        self.losses += lost > 0
        os.truncate(self._file(), size)
        return lost

    def _file(self):
        found = glob.glob(f'{self.directory}/appendonlydir/*.incr.aof')
        return found[0] if found else f'{self.directory}/appendonly.aof'
