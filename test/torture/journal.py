# Copyright (c) 2026, the outbox developers
"""What was meant and what became of it, written down outside PostgreSQL.

Each thing gets a number, n, when it is written down: so it is known, without a
clock, that a commit had been acknowledged before another message was meant.
That is the order that is promised.

A transaction is
    open          its commit has not been asked for
    acked         its commit was acknowledged, at n
    unknown       its commit was asked for, and nobody knows
    rolled back   it was rolled back, or ended before its commit was asked for
A message is meant at n, before it is enqueued; undone, if its savepoint was.
"""
import threading
import time


class Transaction:
    def __init__(self, name, asynchronous=False, server=None):
        self.name = name
        self.server = server       # where it was begun, or acknowledged
        self.asked = {server}      # where it may have been committed
        self.outcome = 'open'
        self.acked = None
        self.asynchronous = asynchronous
        self.messages = []


class Message:
    def __init__(self, name, transaction, queue, key, body, meant, due):
        self.name = name
        self.transaction = transaction
        self.queue = queue
        self.key = key
        self.body = body
        self.meant = meant
        self.due = due
        self.undone = False


class Journal:
    def __init__(self, path):
        self._lock = threading.Lock()
        self._file = open(path, 'w')
        self._start = time.monotonic()
        self.n = 0
        self.transactions = {}
        self.messages = {}

    def note(self, text):
        """Writes a line down; its number."""
        with self._lock:
            self.n += 1
            line = text.replace('\n', ' ')
            self._file.write(f'{self.n} {time.monotonic() - self._start:.3f} {line}\n')
            return self.n

    def begin(self, name, server, asynchronous=False):
        t = Transaction(name, asynchronous, server)
        self.transactions[name] = t
        return t

    def mean(self, t, queue, key=None, due=None, size=0, form='{name} {pad}'):
        """A message that is about to be enqueued.  Its name is in its body."""
        name = f'{t.name}.{len(t.messages) + 1}'
        body = form.format(name=name, pad='x' * size)
        n = self.note(f'meant {name} queue {queue} key {key} due {due} on {t.server}')
        m = Message(name, t, queue, key, body, n, due)
        t.messages.append(m)
        self.messages[name] = m
        return m

    def undo(self, messages):
        for m in messages:
            m.undone = True
            self.note(f'undone {m.name}')

    def ends(self, t, outcome, why=''):
        n = self.note(f'{outcome} {t.name} {why}'.rstrip())
        if outcome == 'acked':
            t.acked = n
        t.outcome = outcome

    def flush(self):
        with self._lock:
            self._file.flush()

    def close(self):
        self._file.close()
