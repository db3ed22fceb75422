#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
"""The checker is fed false histories, one kind each, and has to refuse each.

A checker that finds nothing in a run says nothing until it has been seen to
find.  Begins with a true history that has all that is allowed.
"""
import copy
import sys

import checker
from checker import Arrival, History, Queue
from journal import Message, Transaction


def transaction(name, outcome, acked=None, asynchronous=False):
    t = Transaction(name, asynchronous, 'old')
    t.outcome, t.acked = outcome, acked
    return t


def true_history():
    """a and b overlap; c began when a had committed; u is unknown and was committed,
    v unknown and was not; r was rolled back; s asynchronous, and lost by a crash."""
    a, b, c = transaction('a', 'acked', 10), transaction('b', 'acked', 12), transaction('c', 'acked', 20)
    u, v = transaction('u', 'unknown'), transaction('v', 'unknown')
    r, s = transaction('r', 'rolled back'), transaction('s', 'acked', 40, asynchronous=True)
    messages = []

    for t, number, n, queue, key, due in (
            (a, 1, 1, 'q', None, None), (b, 1, 2, 'q', None, None), (a, 2, 3, 'q', None, None),
            (b, 2, 4, 'q', None, None), (a, 3, 5, 'k', 'x', None), (a, 4, 6, 'dead', None, None),
            (a, 5, 7, 'told', None, None), (a, 6, 8, 'comes', None, None), (c, 1, 13, 'q', None, None),
            (c, 2, 14, 'q', None, None), (c, 3, 15, 'k', 'x', None), (c, 4, 16, 'k', 'y', None),
            (c, 5, 17, 'later', None, 100.0), (c, 6, 18, 'told', None, None), (u, 1, 21, 'q', None, None),
            (v, 1, 22, 'q', None, None), (r, 1, 23, 'q', None, None), (s, 1, 24, 'q', None, None)):
        m = Message(f'{t.name}.{number}', t, queue, key, f'{t.name}.{number} body', n, due)
        m.undone = m.name == 'b.2'
        messages.append(m)
    return History(
        messages=messages, kept=set('abcu'),
        queues={'q': Queue(), 'k': Queue('key'), 'later': Queue(), 'dead': Queue(refused=True),
                'told': Queue(channel=True), 'comes': Queue(dropped=[(9, 11)])},
        arrived={'q': arrivals('b.1 a.1 a.2 c.1 c.2 u.1'), 'k': arrivals('c.4 a.3 c.3'),
                 'later': [Arrival('c.5', 'c.5 body', 100.5)], 'dead': [], 'told': arrivals('a.5 c.6'), 'comes': []},
        dead=['a.4'], attempts=[('a.4', 'dead', 'WRONGTYPE of another type')],
        probes=[('stalled', 'a transaction is open', True)], writers=[('writer 1', 'Redis hangs', True)],
        tables=[('queue_total', 'grows', 8192, 1 << 20)])


def arrivals(names):
    return [Arrival(name, f'{name} body') for name in names.split()]


def put(queue, names):
    return lambda h: h.arrived.update({queue: arrivals(names)})


def garble(h):
    h.arrived['q'][2].body += '?'


def refuse_nothing(h):
    h.queues['dead'].refused = False


# What is wrong, the word for it, and how a true history becomes that.
FALSE = [
    ('a message that never was', 'phantom', put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 z.1')),
    ('of a transaction that was rolled back', 'phantom', put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 r.1')),
    ('of a savepoint that was rolled back', 'phantom', put('q', 'b.1 b.2 a.1 a.2 c.1 c.2 u.1')),
    ('of a commit that never was', 'phantom', put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 v.1')),
    ('of an asynchronous commit that a crash lost', 'phantom', put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 s.1')),
    ('in another queue', 'phantom', put('later', 'c.5 a.1')),
    ('a dead letter that never was', 'phantom', lambda h: h.dead.append('r.1')),
    ('an acknowledged one is not there', 'lost', put('q', 'b.1 a.1 c.1 c.2 u.1')),
    ('the last one is not there', 'lost', put('k', 'c.4 a.3')),
    ('an unknown one that was committed is not there', 'lost', put('q', 'b.1 a.1 a.2 c.1 c.2')),
    ('a queue is empty', 'lost', put('q', '')),
    ('a delayed one is not there', 'lost', put('later', '')),
    ('a dead letter is not there', 'lost', lambda h: h.dead.clear()),
    ('a listener that was there all the time misses one', 'lost', put('told', 'c.6')),
    ('of a queue that was dropped before it was meant', 'lost', lambda h: h.queues['comes'].dropped.__setitem__(0, (1, 7))),
    ('another body', 'garbled', garble),
    ('twice, at once', 'duplicate', put('q', 'b.1 a.1 a.1 a.2 c.1 c.2 u.1')),
    ('twice, much later', 'duplicate', put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 b.1')),
    ('twice to a listener, and Redis has lost nothing', 'duplicate', put('told', 'a.5 c.6 a.5')),
    ('twice, and a failover lost that the queue had been dropped before', 'duplicate', lambda h: (
        h.given_up.update(other=19), setattr(h.queues['q'], 'gone', 13), put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 c.1')(h))),
    ('a dead letter twice', 'duplicate', lambda h: h.dead.append('a.4')),
    ('delivered and a dead letter', 'both', put('dead', 'a.4')),
    ('order within a transaction', 'order', put('q', 'b.1 a.2 a.1 c.1 c.2 u.1')),
    ('before one that had been committed', 'order', put('q', 'b.1 a.1 c.1 a.2 c.2 u.1')),
    ('a whole transaction too early', 'order', put('q', 'a.1 a.2 c.1 c.2 b.1 u.1')),
    ('an unknown one too early', 'order', put('q', 'b.1 a.1 a.2 u.1 c.1 c.2')),
    ('before one that had been committed, on a server that was lost later', 'order', lambda h: (
        h.given_up.update(old=19), put('q', 'b.1 a.1 c.1 a.2 c.2 u.1')(h))),
    ('the order of a key', 'order', put('k', 'c.4 c.3 a.3')),
    ('before its time', 'early', lambda h: h.arrived.update(later=[Arrival('c.5', 'c.5 body', 99.9)])),
    ('an open transaction delays another\'s', 'stalled', lambda h: h.probes.append(('stalled', 'open', False))),
    ('a refused queue delays another', 'delayed', lambda h: h.probes.append(('delayed', 'refused', False))),
    ('a caller waits for Redis', 'waited', lambda h: h.writers.append(('writer 2', 'Redis hangs', False))),
    ('staging is not emptied', 'rot', lambda h: h.tables.append(('staging', 'stays', 1, 0))),
    ('bookkeeping grows', 'rot', lambda h: h.tables.append(('queue_total', 'grows', 2 << 20, 1 << 20))),
    ('an outage burns an attempt', 'burnt', lambda h: h.attempts.append(('a.4', 'dead', 'OOM command not allowed'))),
    ('an attempt in a queue that was never refused', 'burnt', refuse_nothing),
    ('what was seen is gone', 'vanished', lambda h: h.vanished.append(('q', 'a.1'))),
    ('PostgreSQL loses a commit', 'forgot', lambda h: (h.kept.discard('c'), h.arrived.update(
        q=arrivals('b.1 a.1 a.2 u.1'), k=arrivals('a.3'), later=[], told=arrivals('a.5')))),
]
# What looks like one of these and is allowed.
TRUE = [
    ('as it was', lambda h: None),
    ('overlapping transactions mix', put('q', 'a.1 b.1 a.2 c.1 c.2 u.1')),
    ('a listener that was away misses some', lambda h: (put('told', '')(h), setattr(h.queues['told'], 'deaf', True))),
    ('a channel repeats what Redis has lost', lambda h: (put('told', 'a.5 c.6 a.5 c.6')(h),
                                                         setattr(h.queues['told'], 'losses', True))),
    ('of commits that a failover lost some are there', lambda h: (
        h.given_up.update(old=19), h.kept.discard('c'), put('k', 'c.4 a.3')(h))),
    ('a lost server delivered what it wrote beside the new one', lambda h: (
        h.given_up.update(old=12), put('q', 'b.1 a.1 c.1 c.2 a.2 u.1')(h))),
    ('a failover has lost that the queue was dropped', lambda h: (
        h.given_up.update(other=19), setattr(h.queues['q'], 'gone', 13), put('q', 'b.1 a.1 a.2 b.1 a.1 a.2 c.1 c.2 u.1')(h))),
    ('what an operator has sent again', lambda h: (setattr(h, 'released', 50), put('q', 'b.1 a.1 a.2 c.1 c.2 u.1 a.1 c.1')(h))),
]


def words(change):
    h = copy.deepcopy(true_history())
    change(h)
    return {word for word, _, _ in checker.faults(h)}


def main():
    wrong = [f'not refused: {what}: {word}, found: {words(change) or "nothing"}'
             for what, word, change in FALSE if word not in words(change)]
    wrong += [f'refused: {what}: {words(change)}' for what, change in TRUE if words(change)]
    # Every word of the checker has a false history.
    wrong += [f'no false history for: {word}' for word in checker.WORDS if word not in {w for _, w, _ in FALSE}]
    print('\n'.join(wrong) or f'false histories: {len(FALSE)} kinds refused, {len(TRUE)} true ones passed')
    sys.exit(bool(wrong))


main()
