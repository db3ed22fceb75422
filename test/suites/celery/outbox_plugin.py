# Copyright (c) 2026, the outbox developers
#
# A plugin of pytest: what apply_async() publishes goes through outbox, by SQL, in
# the tests' process and in the workers.  A task that a description can't have, as
# docs/consumers/celery.md lists them, is published by Celery itself.  Each one is
# counted in the file that $OUTBOX_COUNTS names.
import json
import os
import threading
import uuid

import psycopg
from celery.app import amqp
from celery.utils.saferepr import saferepr

connections = threading.local()


def connection():
    if getattr(connections, "pid", None) != os.getpid():
        connections.pid = os.getpid()
        connections.db = psycopg.connect("", autocommit=True)
        connections.queues = set()
    return connections.db


def count(word):
    with open(os.environ["OUTBOX_COUNTS"], "a") as f:
        f.write(word + "\n")


# headers that a description says, or that Celery makes anew
KNOWN = {"lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries",
         "timelimit", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
         "replaced_task_nesting", "stamped_headers", "stamps"}

# of publish()
PROPERTIES = {"retry", "retry_policy", "delivery_mode", "declare", "timeout", "confirm_timeout",
              "correlation_id", "reply_to", "priority", "expiration"}
ARGSREPR = amqp.AMQP.argsrepr_maxsize


def why_not(body, exchange, serializer, compression, headers, properties):
    if not isinstance(body, tuple):
        return "protocol 1"
    if serializer != "json" or compression:
        return "another serializer"
    if exchange:
        return "an exchange"
    if any(body[2].values()):
        return "links, chains or chords"
    if headers["group"]:
        return "a group"
    if headers["parent_id"] or headers["root_id"] != headers["id"]:
        return "called by a task"
    if headers["retries"] or headers["replaced_task_nesting"]:
        return "tried again or replaced"
    if headers["stamped_headers"]:
        return "stamps"
    if properties.get("priority") or properties.get("expiration"):
        return "a priority"
    if set(properties) - PROPERTIES:
        return "a property of AMQP"
    if headers["argsrepr"] != saferepr(body[0], ARGSREPR) or headers["kwargsrepr"] != saferepr(body[1], ARGSREPR):
        return "arguments as they are to be shown"
    try:
        if str(uuid.UUID(headers["id"])) != headers["id"]:
            return "an id that is no UUID"
    except ValueError:
        return "an id that is no UUID"
    if any(not isinstance(v, str) for k, v in headers.items() if k not in KNOWN):
        return "headers that are not strings"
    try:
        json.dumps(body[:2], allow_nan=False)
    except (TypeError, ValueError):
        return "arguments that only Celery's JSON has"
    return None


def describe(app, body, headers):
    soft, hard = headers["timelimit"][1], headers["timelimit"][0]
    result = {"task": headers["task"], "args": list(body[0]), "kwargs": body[1]}
    for name, value in (("expires", headers["expires"]), ("shadow", headers["shadow"]),
                        ("time_limit", hard), ("soft_time_limit", soft)):
        if value is not None:
            result[name] = value
    # what is not given is left out, and so is what was declared, as a caller would
    task = app.tasks.get(headers["task"])
    given = headers["ignore_result"]
    if given is not None and given != bool(task is not None and task.ignore_result):
        result["ignore_result"] = given
    return result


def enqueue(app, queue, body, headers):
    db = connection()
    if queue not in connections.queues:
        db.execute("SELECT outbox_create_queue(%s, 'celery', if_not_exists => true)", [queue])
        connections.queues.add(queue)
    extra = {k: v for k, v in headers.items() if k not in KNOWN}
    db.execute("SELECT outbox_enqueue(%s, %s::json, id => %s, headers => %s::jsonb, deliver_at => %s)",
               [queue, json.dumps(describe(app, body, headers)), headers["id"],
                json.dumps(extra) if extra else None, headers["eta"]])


class Producer:
    """Celery's producer, but for publish()."""

    def __init__(self, app, producer):
        self.app = app
        self.producer = producer

    def __getattr__(self, name):
        return getattr(self.producer, name)

    def publish(self, body, exchange="", routing_key=None, serializer=None, compression=None,
                headers=None, **properties):
        broker = str(self.app.conf.broker_url or "")
        why = None if broker.startswith("redis") else "another broker"
        why = why or why_not(body, exchange, serializer, compression, headers, properties)
        if why is None:
            enqueue(self.app, routing_key, body, headers)
            count("by outbox")
            return None
        count("by Celery: " + why)
        return self.producer.publish(body, exchange=exchange, routing_key=routing_key,
                                     serializer=serializer, compression=compression,
                                     headers=headers, **properties)


original = amqp.AMQP._create_task_sender


def create_task_sender(self):
    send = original(self)

    def send_task_message(producer, name, message, **kwargs):
        return send(Producer(self.app, producer), name, message, **kwargs)
    return send_task_message


if os.environ.get("OUTBOX_COUNTS"):
    amqp.AMQP._create_task_sender = create_task_sender
