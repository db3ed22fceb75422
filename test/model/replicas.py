# Copyright (c) 2026, the outbox developers
"""WAIT: Redis has a replica that takes over from it, and has perhaps not got the
last writes.  What may be forgotten then?"""

from collections import namedtuple

from rules import rule

# A round that is under way: its marker, when that was written, the cursors then;
# and on the second connection: the Redis that has it, the writes that its replica
# did not have when it waited.
Wait = namedtuple("Wait", "marker at cursors redis due", defaults=(None, None))


class Replica:

    def __init__(self):
        self.behind = 0         # writes that it does not have
        self.received = 0       # writes that it has got, ever
        self.stopped = False

    def goes_on(self, rng):
        if not self.stopped and rng.random() < .25:
            got = rng.randint(0, self.behind)
            self.behind -= got
            self.received += got


def wait(relay):
    """One step of a round: a marker on the connection that delivers, then another
    connection, on which WAIT may block."""
    world, now = relay.server.world, relay.wait
    if now is None:
        marker = world.new("marker")
        relay.redis.set_marker(marker)
        relay.wait = Wait(marker, world.time, dict(relay.cursor))
    elif now.redis is None:
        # By the same address; perhaps another Redis has that by now.
        redis = world.redis
        if redis.marker != now.marker and rule("wait: marker"):
            relay.wait = None
            return
        redis.set_marker(redis.marker)          # a write of this connection
        relay.wait = now._replace(
            redis=redis, due=redis.replica.received + redis.replica.behind)
    elif now.redis is not world.redis:
        relay.wait = None                       # it is gone
    elif now.redis.replica.received >= now.due:
        relay.acknowledged.update(now.cursors)
        relay.acknowledged_at = now.at
        relay.wait = None
        world.tally["replicas have it"] += 1


def may_forget(relay, queue):
    """The cursor up to which rows of the queue may be forgotten; None: unknown."""
    if relay.redis.replica is None or not rule("wait"):
        return relay.cursor[queue]
    return relay.acknowledged.get(queue)


def replicas_have(relay, since):
    """Have they what Redis had at that time?"""
    return relay.redis.replica is None or relay.acknowledged_at > since
