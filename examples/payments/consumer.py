# Copyright (c) 2026, the outbox developers
"""A consumer of payments: python3 consumer.py NAME, with REDIS_URL set.

It reads the stream with the consumer group "workers", together with as many
others as there are, in whatever language.  What it can't process it returns:
the entry's own fields and one more, "error", in the stream payments:retry.
Whatever an entry leads to happens in one transaction with its acknowledgement,
so if the consumer dies the entry is still its own, and nothing has happened.
"""

import json
import os
import sys

import redis

STREAM, GROUP, NAME = "payments", "workers", sys.argv[1]

r = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def process(message):
    """Pay, or raise an error that says why not.  Returns the reply."""
    payment = json.loads(message["payload"])
    limit = float(r.get("payments:limit"))
    if payment["amount"] > limit:
        raise ValueError(f"{payment['amount']} is over the limit of {limit:g}")
    return {"status": "paid", "amount": payment["amount"]}


def handle(entry, message):
    with r.pipeline(transaction=True) as done:
        try:
            reply = process(message)
        except Exception as e:
            done.xadd(STREAM + ":retry", message | {"error": f"{NAME}: {e}"})
        else:
            done.xadd(message["h:reply-to"], reply | {
                "correlation-id": message["h:correlation-id"],
                "attempt": message["attempt"],
                "by": NAME,
            })
        done.xack(STREAM, GROUP, entry)
        done.execute()


try:
    r.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
except redis.ResponseError as e:
    if "BUSYGROUP" not in str(e):
        raise

# first what was given to us before we died, then what is new
since = "0"
while True:
    streams = r.xreadgroup(GROUP, NAME, {STREAM: since}, count=10, block=1000)
    entries = [e for _, found in streams for e in found]
    for entry, message in entries:
        handle(entry, message)
    if not entries:
        since = ">"
