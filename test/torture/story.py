# Copyright (c) 2026, the outbox developers
"""A failed round in plain words: what was meant with a message, what became of
it, and what went on at that time."""
import re

from redis_server import Away, Error

SURPRISES = re.compile(r'PANIC|TRAP:|signal (?!9\b)\d+|ERROR:.*(vanished|wasn.t sent)')
WHERE = """
    SELECT 'staging_1', xid, seq, attempts::text, enqueued_at::text
    FROM outbox.staging_1 WHERE position($1::bytea IN payload) > 0
    UNION ALL
    SELECT 'staging_2', xid, seq, attempts::text, enqueued_at::text
    FROM outbox.staging_2 WHERE position($1::bytea IN payload) > 0
    UNION ALL
    SELECT 'deferred: ' || reason, xid, seq, attempts::text, due_at::text
    FROM outbox.deferred WHERE position($1::bytea IN payload) > 0
    UNION ALL
    SELECT 'dead_letter: ' || reason || coalesce(' ' || error, ''), xid, seq, attempts::text, dead_at::text
    FROM outbox.dead_letter WHERE position($1::bytea IN payload) > 0"""


def surprises(world):
    """Lines of the servers' logs that no event accounts for."""
    found = []
    for server in [world.server, *world.others]:
        with open(server.log, errors='replace') as f:
            found += [line.strip() for line in f if SURPRISES.search(line)]
    return found


def tell(world, found):
    """Prints the faults, and the story of the first of each kind; all of it is kept."""
    words = {}
    for word, text, name in found:
        words.setdefault(word, []).append((text, name))
    lines = []
    for word, some in words.items():
        lines.append(f'{word}: {len(some)}')
        lines += [f'    {text}' for text, _ in some[:10]]
        named = next((name for _, name in some if name), None)
        if named:
            lines += ['  The first of them:'] + [f'    {line}' for line in history_of(world, named)]
    print('\n'.join(lines), flush=True)
    with open(f'{world.directory}/faults', 'w') as f:
        f.write('\n'.join(f'{word} {name} {text}' for word, text, name in found))
        f.write('\n\n' + '\n'.join(lines) + '\n')


def history_of(world, name):
    """The journal's lines of a message and of its transaction, the events around
    them, and where PostgreSQL and Redis have it now."""
    transaction = name.split('.')[0]
    mine = re.compile(rf'\b({re.escape(name)}|{re.escape(transaction)})( |$)')
    with open(f'{world.directory}/journal') as f:
        lines = [line.rstrip() for line in f]
    times = [float(line.split(' ')[1]) for line in lines if mine.search(line)]
    told = []
    for line in lines:
        at = float(line.split(' ')[1])
        near = any(t - 3 < at < t + 1.5 for t in times)
        if mine.search(line) or ' === ' in line and near:
            told.append(line)
    told = told if len(told) < 60 else told[:30] + ['...'] + told[-30:]
    rows = world.ask(WHERE, '\\x' + (name + ' ').encode().hex())
    told.append(f'in PostgreSQL: {rows or "no row"}')
    m = world.journal.messages.get(name)
    if m:
        told.append(f'cursors: {cursors(world, m.queue)}')
        told.append(f'queue: {world.ask("SELECT * FROM outbox.queue_status WHERE queue = $1", m.queue)}')
    return told


def cursors(world, queue):
    try:
        keys = world.redis.now('KEYS', f'*{queue}*:outbox:*')
        return {key.decode(): [v.decode() for v in world.redis.now('HGETALL', key)] for key in keys}
    except (Away, Error) as e:
        return str(e)
