# Copyright (c) 2026, the outbox developers
"""What happens with servers beside the one that is written to: standbys, clones,
restored backups, and a volume that is put back."""
import functools
import time

from postgres import wait_for
from schedule import event


def one_at_a_time(function):
    """Where the primary's history goes on is one event's at a time."""
    @functools.wraps(function)
    def happen(world, *drawn):
        if world.changing:
            world.say(f'not {function.__name__}, while {world.changing}')
            return
        world.changing = function.__name__
        yield from function(world, *drawn)
        world.changing = None
    return happen


def _ready(world):
    """It is up and answers, and nothing of it is frozen."""
    world.server.thaw()
    if not world.server.up:
        world.server.start()
    world.server.patiently('SELECT 1')


def _backup(world, *words):
    """A base backup, with the settings that the original ought to have."""
    copy = world.server.backup(*world.another(), '-X', 'stream', *words)
    copy.configure(f"outbox.redis_url = '{world.url}'\noutbox.retention = '{world.retention}s'\n")
    return copy


def _standby(world):
    standby = _backup(world, '-R')
    standby.start()
    return standby


def _streams(world, standbys):
    """They have all that there is now."""
    wait_for(lambda: (world.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                                ' AND replay_lsn >= pg_current_wal_lsn() - 10000') or [['0']])[0][0] >= str(len(standbys)))


def _give_way(world, standby):
    standby.promote()
    world.others.append(world.server)
    world.server = standby
    world.say(f'{standby.label} is the primary')


@event(1, lasts=(0.5, 3), disturbs='server')
@one_at_a_time
def promoted(world, *_):
    """A switchover: the old one is stopped, and the standby has all of it."""
    _ready(world)
    standby = _standby(world)
    yield
    _ready(world)
    _streams(world, [standby])
    world.server.stop('fast')
    if not world.server.is_whole():      # a process had been killed just before
        world.give_up(world.server)
    _give_way(world, standby)


@event(1, lasts=(0.3, 2), disturbs='server')
@one_at_a_time
def failed_over(world, a, *_):
    """The standby has not got the last.  The old one dies, or goes on and is fenced."""
    _ready(world)
    standby = _standby(world)
    _streams(world, [standby])
    standby.configure("primary_conninfo = ''\n")
    standby.reload()
    yield
    _ready(world)
    world.give_up(world.server)
    if a < 0.6:
        world.server.end_of_machine()
    old = world.server
    _give_way(world, standby)
    if a >= 0.6:
        for queue in ('plain', 'list', 'keyed'):
            world.put(queue, server=old)


@event(1, lasts=(1, 4), disturbs='server')
@one_at_a_time
def twins_promoted(world, *_):
    """Two standbys of one parent: one, and then, when that dies, the other."""
    _ready(world)
    twins = [_standby(world), _standby(world)]
    _streams(world, twins)
    world.give_up(world.server)
    world.server.end_of_machine()
    _give_way(world, twins[0])
    yield
    world.give_up(world.server)
    world.server.end_of_machine()
    world.may_be_held = True
    _give_way(world, twins[1])


@event(1, lasts=(1, 5), disturbs='copy')
def cloned(world, a, b, _):
    """Another server of the same history at the same Redis.  One of them delivers;
    the other says that it does not."""
    _ready(world)
    world.may_be_held = True
    world.idle = a < 0.4
    clone = _backup(world)
    world.others.append(clone)
    world.give_up(clone)
    clone.start()
    for queue in ('plain', 'list', 'keyed') if b < 0.7 else ():
        world.put(queue, server=clone)
    yield
    world.idle = False
    if clone.up:
        clone.end_of_machine()


@event(1, lasts=(1, 5))
def restore_drilled(world, *_):
    """A base backup is restored beside production, with production's configuration:
    it is held, and production goes on."""
    _ready(world)
    drill = _backup(world)
    drill.configure("restore_command = 'false'\n")
    open(f'{drill.data}/recovery.signal', 'w').close()
    world.others.append(drill)
    world.give_up(drill)
    drill.start()
    for queue in ('plain', 'list', 'keyed'):
        world.put(queue, server=drill)
    world.probe('stalled', 'a backup has been restored for a drill')
    yield
    drill.end_of_machine()
    world.probe('stalled', 'a drill is over')


@event(1, lasts=(1, 4), disturbs='server')
@one_at_a_time
def set_back(world, a, *_):
    """The volume is as it was a while ago; with luck what is written from then on passes
    the cursor's position before the relay reads it."""
    _ready(world)
    world.server.stop('fast' if a < 0.5 else 'immediate')
    world.server.cold_copy('old')
    world.server.start()
    yield
    _ready(world)
    world.server.end_of_machine()
    world.give_up(world.server)
    world.may_be_held = True
    world.server.set_back('old')
    if a * 4 % 1 < 0.7 and world.redis.up:
        world.redis.freeze()
    world.server.start()
    time.sleep(1)
    world.redis.thaw()


@event(2)
def operator_decides(world, *_):
    """Somebody looks at the status, and releases what is held."""
    world.release_if_held()


COPIES = {'promoted', 'failed_over', 'twins_promoted', 'cloned', 'restore_drilled', 'set_back', 'operator_decides'}
