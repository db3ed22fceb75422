# Copyright (c) 2026, the outbox developers
"""Ordinary Dramatiq actors.  They write down that they have run."""
import json
import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

broker = RedisBroker(url=os.environ["REDIS_URL"])
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


def note(*words):
    message = CurrentMessage.get_current_message()
    with open("processed", "a") as f:
        print(message.actor_name, message.message_id, *words, file=f)
    return message


@dramatiq.actor(queue_name="mail")
def add(*args, **kwargs):
    note(json.dumps([args, kwargs], ensure_ascii=False, sort_keys=True))


@dramatiq.actor(queue_name="mail")
def stamp():
    message = note("%.3f" % time.time())
    note("age", int(time.time() * 1000) - message.message_timestamp)


@dramatiq.actor(queue_name="mail", max_retries=3, min_backoff=50, max_backoff=100)
def flaky(failures):
    retries = CurrentMessage.get_current_message().options.get("retries", 0)
    note("attempt", retries + 1)
    if retries < failures:
        raise OSError("not yet")
