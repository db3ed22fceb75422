# Copyright (c) 2026, the outbox developers
"""What arrived and what was seen, against what was meant: the invariants.

Pure functions over a History, so that false ones can be fed to them (false_histories.py).
A fault is (word, text, message's name or None).  The words:

    I1  phantom     in Redis, and never committed
    I2  lost        committed, and nowhere
        garbled     not what was enqueued
    I3  duplicate   twice, and Redis had lost none of the two
        both        delivered and a dead letter
    I4  order       before a message that had been committed when it was enqueued
        early       before its time
    I5  stalled     something else that was open, or standing still, delayed it
    I6  rot         tables that ought to be empty, or small, aren't
    I7  waited      a caller did not come back while Redis was away
    I8  delayed     another queue's, or another key's, failure delayed it
    I9  burnt       an attempt that no refusal of Redis accounts for
        vanished    what a consumer had seen went away, and Redis had lost nothing
        forgot      PostgreSQL itself lost a commit: the harness is at fault
"""
from dataclasses import dataclass, field

WORDS = ('phantom', 'lost', 'garbled', 'duplicate', 'both', 'order', 'early', 'stalled', 'rot', 'waited',
         'delayed', 'burnt', 'vanished', 'forgot')

@dataclass
class Arrival:
    """A message in Redis, or one that had been there."""
    name: str
    body: str
    at: float = 0.0           # Redis' clock, seconds; 0: unknown
    times: int = 1


@dataclass
class Queue:
    """What is promised of a queue."""
    order: str = 'queue'      # queue, key, none
    channel: bool = False     # what nobody hears is gone; what Redis loses comes again
    deaf: bool = False        # a channel's subscriber was away for a moment
    losses: bool = False      # Redis lost writes, so that a channel may repeat itself
    refused: bool = False     # Redis has refused it something
    # (n, n): dropped between these, with what was not, or is no longer, in Redis
    dropped: list = field(default_factory=list)
    gone: int = 0             # when it was dropped last, anyhow


@dataclass
class History:
    messages: list
    kept: set                 # names of transactions that the database has
    queues: dict              # name -> Queue
    arrived: dict             # queue -> [ Arrival ] that are there, in their order
    dead: list                # names of dead letters
    attempts: list = field(default_factory=list)     # (name, queue, error)
    probes: list = field(default_factory=list)       # (word, what was going on, arrived?)
    writers: list = field(default_factory=list)      # (who, what was going on, came back?)
    tables: list = field(default_factory=list)       # (table, what is wrong, bytes, at most)
    vanished: list = field(default_factory=list)     # (queue, name)
    # servers that are lost -> since when (n): their commits may be missing, or in Redis
    given_up: dict = field(default_factory=dict)
    released: int = 0         # an operator had all sent again that was meant before this


def faults(h):
    found = []
    named = {m.name: m for m in h.messages}
    count = {}
    for queue, arrivals in h.arrived.items():
        for a in arrivals:
            found += _arrival(h, queue, a, named.get(a.name))
            count[a.name] = count.get(a.name, 0) + 1
        found += _order(h, queue, [a.name for a in arrivals], named)
    dead = {}
    for name in h.dead:
        dead[name] = dead.get(name, 0) + 1
        if name not in named or not _committed(h, named[name]):
            found.append(('phantom', f'dead letter {name} was never committed', name))
    for m in h.messages:
        found += _fate(h, m, count.get(m.name, 0), dead.get(m.name, 0))
    return found + _conduct(h)


def _committed(h, m):
    """Is, or was on a server that is lost, part of a committed transaction."""
    t = m.transaction
    if m.undone or t.outcome == 'rolled back':
        return False
    return t.name in h.kept or bool(t.asked & h.given_up.keys()) and t.outcome in ('acked', 'unknown')


def _again(h, m):
    """It may come again: an operator said so; or a lossy failover has lost that it
    was moved, since it had been delayed or refused, or that its queue was dropped, and
    with it the cursor (known limits)."""
    q = h.queues[m.queue]
    return m.meant < h.released or bool(h.given_up) and bool(m.due or q.refused or m.meant < q.gone)


def _arrival(h, queue, a, m):
    if m is None or m.queue != queue:
        return [('phantom', f'{a.name} in {queue} ' + (f'belongs to {m.queue}' if m else 'was never meant'), a.name)]
    found = []
    if not _committed(h, m):
        found.append(('phantom', f'{a.name} in {queue}: its transaction is {m.transaction.outcome}'
                      + (', its savepoint was rolled back' if m.undone else ', and not in the database'), a.name))
    if a.body != m.body:
        found.append(('garbled', f'{a.name} in {queue}: {a.body[:60]!r} instead of {m.body[:60]!r}', a.name))
    if m.due and a.at and a.at < m.due - 0.002:
        found.append(('early', f'{a.name} in {queue} came {m.due - a.at:.3f} s before its time', a.name))
    return found


def _fate(h, m, arrived, dead):
    t, q = m.transaction, h.queues[m.queue]
    found = []
    if t.outcome == 'acked' and not t.asynchronous and t.name not in h.kept and t.server not in h.given_up:
        found.append(('forgot', f'{m.name}: {t.name} was acknowledged, and the database does not have it', m.name))
    if not arrived and not dead and not m.undone and t.name in h.kept and not _may_miss(q, m):
        found.append(('lost', f'{m.name} of {m.queue}: {t.name} is in the database ({t.outcome})', m.name))
    again = _again(h, m)
    if arrived > 1 and not (q.channel and q.losses) and not again:
        found.append(('duplicate', f'{m.name} of {m.queue}, {arrived} times', m.name))
    if dead > 1:
        found.append(('duplicate', f'{m.name} of {m.queue} is a dead letter {dead} times', m.name))
    if arrived and dead and not again:
        found.append(('both', f'{m.name} of {m.queue} is delivered and a dead letter', m.name))
    return found


def _may_miss(q, m):
    """Nobody listened; or its queue was dropped when it may have waited, or before Redis
    lost it."""
    return q.channel and q.deaf or any(m.meant < end for _, end in q.dropped)


def _order(h, queue, names, named):
    promise = h.queues[queue].order
    parts = {}
    seen = set()
    for name in names:
        m = named.get(name)
        if m is None or m.due or name in seen or m.meant < h.released or _elsewhere(h, m):
            continue
        seen.add(name)
        if promise == 'queue' or promise == 'key' and m.key is not None:
            parts.setdefault(m.key if promise == 'key' else None, []).append(m)
    return [fault for part in parts.values() for fault in _in_order(queue, part)]


def _elsewhere(h, m):
    """It was written on a server beside the one that goes on: two have no order."""
    return m.meant > h.given_up.get(m.transaction.server, m.meant)


def _in_order(queue, part):
    """From the last to the first: none of what comes later may have been
    committed before this one was meant, or be an earlier one of its transaction."""
    found = []
    earliest = None      # of the later ones the one that was acknowledged first
    first = {}           # transaction -> its first one among the later ones
    for m in reversed(part):
        t = m.transaction
        if earliest and earliest.transaction.acked < m.meant:
            found.append(('order', f'{m.name} came to {queue} before {earliest.name}, which had been committed '
                          f'(n {earliest.transaction.acked}) when it was enqueued (n {m.meant})', m.name))
        if t.name in first and first[t.name].meant < m.meant:
            found.append(('order', f'{m.name} came to {queue} before {first[t.name].name} of its own transaction', m.name))
        if t.acked is not None and (earliest is None or t.acked < earliest.transaction.acked):
            earliest = m
        if t.name not in first or m.meant < first[t.name].meant:
            first[t.name] = m
    return found


def _conduct(h):
    """I5 to I9: what was looked at while it happened."""
    found = [(word, f'a message did not arrive while {what}', None) for word, what, arrived in h.probes if not arrived]
    found += [('waited', f'{who} did not come back while {what}', None) for who, what, back in h.writers if not back]
    found += [('rot', f'{table}: {wrong} ({size} bytes, at most {most})', None)
              for table, wrong, size, most in h.tables if size > most]
    found += [('vanished', f'{name} had been in {queue}', name) for queue, name in h.vanished]
    for name, queue, error in h.attempts:
        if not h.queues[queue].refused or 'WRONGTYPE' not in error:
            found.append(('burnt', f'{name} of {queue} has lost an attempt to: {error}', name))
    return found
