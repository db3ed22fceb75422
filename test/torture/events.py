# Copyright (c) 2026, the outbox developers
"""What happens to the servers while messages flow: to processes, to Redis, to the
connection, to queues, and in other sessions.  Servers beside are in copies.py."""
import os
import signal
import subprocess
import threading
import time

import pq
from postgres import BIN, environment, freeze, send, wait_for
from schedule import event, pick
from world import MEND, REFUSE, create_sql


# PostgreSQL's processes.

def _until_thawed(thaw):
    """What is frozen may be what the harness waits for before it could end this."""
    timer = threading.Timer(4, thaw)
    timer.start()
    yield
    timer.cancel()
    thaw()


def _freeze(world, title, drawn):
    pids = world.server.pids(title)
    if not pids:
        return
    pid = pick(pids, drawn)
    freeze([pid])
    yield from _until_thawed(lambda: send(pid, signal.SIGCONT))


@event(3)
def relay_killed(world, *_):
    world.server.kill('outbox relay')


@event(3)
def relay_terminated(world, *_):
    world.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay'")


@event(1)
def relay_cancelled(world, *_):
    world.ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay'")


@event(4, lasts=(0.2, 3), disturbs='relay')
def relay_frozen(world, a, *_):
    yield from _freeze(world, 'outbox relay', a)


@event(1)
def launcher_killed(world, *_):
    world.server.kill('outbox launcher')


@event(1, lasts=(0.2, 3), disturbs='launcher')
def launcher_frozen(world, a, *_):
    yield from _freeze(world, 'outbox launcher', a)


@event(2)
def backend_killed(world, a, *_):
    pids = world.server.pids(r'postgres postgres \[local\]')
    if pids:
        send(pick(pids, a), signal.SIGKILL)


@event(2)
def backend_terminated(world, a, *_):
    pids = world.server.pids(r'postgres postgres \[local\]')
    if pids:
        send(pick(pids, a), signal.SIGTERM)


# It may have a lock that others wait for.
@event(3, lasts=(0.1, 2), disturbs='backend')
def backend_frozen(world, a, *_):
    yield from _freeze(world, r'postgres postgres \[local\]', a)


@event(1)
def helper_killed(world, a, *_):
    world.server.kill(pick(('walwriter', 'checkpointer', 'background writer', 'autovacuum launcher'), a))


@event(2, lasts=(0.05, 1.5), disturbs='server')
def server_frozen(world, *_):
    server = world.server
    server.freeze(server.pids())
    yield from _until_thawed(server.thaw)


def _down(world, how):
    if world.server.up:
        how()
    yield
    if not world.server.up:
        world.server.start()


@event(1.5, lasts=(0.01, 1), disturbs='server')
def postmaster_killed(world, *_):
    yield from _down(world, world.server.kill_postmaster)


@event(1.5, lasts=(0.01, 1), disturbs='server')
def end_of_machine(world, *_):
    yield from _down(world, world.server.end_of_machine)


@event(1.5, lasts=(0.01, 1), disturbs='server')
def stopped_immediately(world, *_):
    yield from _down(world, lambda: world.server.stop('immediate'))


@event(1.5, lasts=(0.01, 1), disturbs='server')
def stopped_fast(world, *_):
    yield from _down(world, lambda: world.server.stop('fast'))


# Redis.

@event(3, lasts=(0.05, 2.5), disturbs='redis')
def redis_killed(world, *_):
    if world.redis.up:
        world.redis.kill()
    world.callers_come_back('Redis is down')
    yield
    if not world.redis.up:
        world.redis.start()


@event(1, lasts=(0.05, 2), disturbs='redis')
def redis_stopped(world, *_):
    if world.redis.up:
        world.redis.stop()
    yield
    if not world.redis.up:
        world.redis.start()


@event(4, lasts=(0.1, 4), disturbs='redis')
def redis_frozen(world, *_):
    if world.redis.up:
        world.redis.freeze()
    world.callers_come_back('Redis hangs')
    yield
    if world.redis.up:
        world.redis.thaw()


# It loses what it writes from its begin to its end, while all is well otherwise: what it has lost for
# longer than the retention nobody can send again.
@event(5, lasts=(0.1, 1.2))
def redis_loses(world, *_):
    mark = world.redis.written() if world.redis.up else None
    n = world.journal.note('from here on')
    yield
    if mark is None or not world.calm():
        return
    if world.retention < 10 or time.monotonic() - mark[1] > 4:
        return
    lost = world.redis.kill_and_lose(mark[0])
    world.say(f'Redis loses {lost} bytes')
    comes = world.queues['comes']
    if lost and comes.gone > n:      # nobody has what a queue had that there isn't any more
        comes.dropped.append((n, comes.gone))
    world.redis.start()
    wait_for(lambda: not world.calm() or world.state() in ('running', 'held', 'fenced'))
    world.probe('stalled', 'Redis had lost writes')


def _setting(world, name, bad, good):
    world.redis_now('CONFIG', 'SET', name, bad)
    world.callers_come_back(f'{name} is {bad}')
    yield
    world.redis_now('CONFIG', 'SET', name, good)


@event(2, lasts=(0.1, 2), disturbs='redis')
def redis_full(world, *_):
    yield from _setting(world, 'maxmemory', 1, 0)


@event(1, lasts=(0.1, 2), disturbs='redis')
def redis_without_replicas(world, *_):
    yield from _setting(world, 'min-replicas-to-write', 1, 0)


# A replica of nobody: it keeps its data, and refuses to write.
@event(1, lasts=(0.1, 1.5), disturbs='redis')
def redis_read_only(world, *_):
    world.redis_now('REPLICAOF', '127.0.0.1', '1')
    yield
    world.redis_now('REPLICAOF', 'NO', 'ONE')


@event(2)
def clients_killed(world, *_):
    world.redis_now('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')


@event(1)
def scripts_flushed(world, *_):
    world.redis_now('SCRIPT', 'FLUSH')


# The connection.

@event(6)
def cut(world, a, b, c):
    world.tell_proxy(f'cut {pick(("c2s", "s2c"), a)} {int(pick((50, 500, 5000, 50000), b) * c) + 1}')


@event(3, lasts=(0.3, 3))
def late(world, a, b, _):
    world.tell_proxy(f'late {int(pick((50, 500, 5000), a) * b) + 1}')
    yield
    world.tell_proxy('release')


@event(2, lasts=(0.3, 3), disturbs='slow')
def slow(world, a, *_):
    world.tell_proxy(f'slow {pick((0.002, 0.02, 0.2), a)}')
    yield
    world.tell_proxy('slow 0')


# Queues.

REFUSABLE = ('plain', 'list', 'keyed', 'letters', 'later', 'pauses', 'changes', 'each:k0', 'each:k1', 'each:k2')


def _refused(world, key):
    world.queues[key.split(':')[0]].refused = True
    world.redis_now('EVAL', REFUSE, 2, key, f'aside:{key}')
    world.probe('delayed', f'{key} is refused')
    if key.startswith('each:'):
        world.probe('delayed', f'{key} is refused, which has another key', 'each', 'k3')
    yield
    world.redis_now('EVAL', MEND, 2, key, f'aside:{key}')


@event(6, lasts=(0.05, 3))
def refused(world, a, *_):
    yield from _refused(world, pick(REFUSABLE, a))


@event(6, lasts=(0.05, 3))
def refused_too(world, a, *_):
    yield from _refused(world, pick(REFUSABLE, a))


@event(4, lasts=(0.2, 6))
def paused(world, a, *_):
    queue = pick(('pauses', 'pauses', 'plain', 'keyed', 'list', 'later'), a)
    world.ask('SELECT outbox_pause_queue($1)', queue)
    world.probe('delayed', f'{queue} is paused')
    yield
    world.ask('SELECT outbox_resume_queue($1)', queue)


@event(3)
def policy_altered(world, a, b, c):
    world.ask(f"SELECT outbox_alter_queue('keyed', on_failure => '{pick(('retry', 'retry', 'block', 'dead_letter'), a)}',"
              f" max_attempts => {1 + int(b * 8)}, retry_delay => '{10 + int(c * 90)} ms')")


@event(2)
def queue_recreated(world, *_):
    """Without force: it refuses while anything waits, and nothing gets lost."""
    world.ask("SELECT outbox_drop_queue('comes')")
    world.queues['comes'].gone = world.journal.note('comes may have been dropped')
    _create(world)


@event(1, lasts=(0.05, 1))
def queue_dropped(world, *_):
    start = world.journal.n
    world.ask("SELECT outbox_drop_queue('comes', force => true)")
    comes = world.queues['comes']
    comes.gone = world.journal.note('comes may have been dropped by force')
    comes.dropped.append((start, comes.gone))
    yield
    _create(world)


def _create(world):
    world.ask(create_sql('comes') + " WHERE NOT EXISTS (SELECT FROM outbox.queue WHERE name = 'comes')")


# Sessions.

@event(4, lasts=(0.5, 8))
def long_transaction(world, *_):
    """It has enqueued, and stays open; the others' messages arrive."""
    t, session = _open(world)
    world.probe('stalled', 'a transaction is open that has enqueued')
    yield
    if session is None:
        return
    try:
        session.run('COMMIT')
        world.journal.ends(t, 'acked')
    except (pq.Lost, pq.Refused) as e:
        world.journal.ends(t, 'unknown' if isinstance(e, pq.Lost) else 'rolled back', str(e))
    session.close()


def _open(world):
    world.puts += 1
    t = world.journal.begin(f'l{world.puts}', world.server.label)
    session = None
    try:
        if not world.server.up or world.server.frozen:
            raise pq.Lost('no server')
        session = world.server.session()
        session.run('BEGIN')
        session.run('INSERT INTO written VALUES ($1)', t.name)
        for queue in ('plain', 'list', 'pauses'):
            m = world.journal.mean(t, queue)
            session.run('SELECT outbox_enqueue($1, $2::text)', queue, m.body)
        return t, session
    except (pq.Lost, pq.Refused) as e:
        world.journal.ends(t, 'rolled back', str(e))
        if session:
            session.close()
        return t, None


@event(3, lasts=(1, 10))
def old_snapshot(world, *_):
    session = None
    try:
        if world.server.up and not world.server.frozen:
            session = world.server.session()
            session.run('BEGIN ISOLATION LEVEL REPEATABLE READ')
            session.run('SELECT count(*) FROM written')
    except (pq.Lost, pq.Refused):
        pass
    world.probe('stalled', 'an old snapshot is held')
    yield
    if session:
        session.close()


@event(2)
def vacuumed_full(world, a, *_):
    world.ask(f'VACUUM FULL outbox.{pick(("staging_1", "staging_2", "deferred", "dead_letter", "queue_total"), a)}')


@event(1)
def vacuumed(world, *_):
    world.ask('VACUUM ANALYZE')


@event(2)
def dumped(world, *_):
    """Beside the traffic; what comes out of it is another event's."""
    with open(os.devnull, 'w') as nowhere:
        world.children.append(subprocess.Popen(
            [f'{BIN}/pg_dump', '-d', world.server.conninfo()], env=environment(),
            stdin=subprocess.DEVNULL, stdout=nowhere, stderr=nowhere))


@event(1, lasts=(1, 6))
def restored(world, *_):
    """A dump of all of it in another database of this server: it is held."""
    path = f'{world.directory}/dump'
    done = None
    if world.server.up and not world.server.frozen and world.ask('CREATE DATABASE copy') is not None:
        with open(f'{world.directory}/pg_restore.log', 'a') as log:
            done = subprocess.run(f'{BIN}/pg_dump -Fc -f {path} -d "{world.server.conninfo()}" &&'
                                  f' {BIN}/pg_restore -d "{world.server.conninfo("copy")}" {path}',
                                  shell=True, env=environment(), stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, check=False)
    world.say(f'restored: {done.returncode if done else "not at all"}')
    world.probe('stalled', 'a dump was restored')
    yield
    world.ask('DROP DATABASE IF EXISTS copy WITH (FORCE)')


@event(2, lasts=(0.3, 3))
def rotation(world, *_):
    """Whatever was delivered may be forgotten at once; not where Redis loses it."""
    if world.retention < 10:
        world.server.configure("outbox.retention = '0'\n")
        world.server.reload()
    yield
    if world.retention < 10:
        world.server.configure(f"outbox.retention = '{world.retention}s'\n")
        world.server.reload()


@event(1)
def checkpoint(world, *_):
    world.ask('CHECKPOINT')


@event(1, lasts=(0.2, 2), disturbs='url')
def url_altered(world, *_):
    """To where nobody listens, and back."""
    world.server.configure(f"outbox.redis_url = 'unix://{world.directory}/nobody'\n")
    world.server.reload()
    yield
    world.server.configure(f"outbox.redis_url = '{world.url}'\n")
    world.server.reload()
