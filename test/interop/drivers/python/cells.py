# Copyright (c) 2026, the outbox developers
#
# What the programs for Python's drivers share: see ../run for what they print.
import json
import os

QUEUES = ("json", "text", "bytea")
VALUES = {
    "string": 'hé "llo"',
    "digits": "123",
    "object": {"a": 1, "b": "é"},
    "array": [1, 2],
    "words": ["a", "b"],
    "empty": [],
    "bytes": b"\x00\xff{",
    "document": b'{"a": 1}',
    "null": None,
    "number": 42,
    "true": True,
}

# Statements with the driver's own placeholder for ?
PLAIN = "SELECT outbox_enqueue(?, ?)"
JSON = "SELECT outbox_enqueue_json(?, ?)"
MANY = "SELECT outbox_enqueue_many(?, ?)"


def cast(to):
    return f"SELECT outbox_enqueue(?, ?::{to})"


class NoWay(Exception):
    """There is no such value in this way"""


def host(mode):
    """Where a mode connects to: behind @ is the mode of a PgBouncer."""
    if "@" in mode:
        return {"host": "127.0.0.1", "port": int(os.environ["BOUNCER_PORT"]),
                "user": "postgres", "dbname": mode.split("@")[1]}
    return {"host": "127.0.0.1", "port": int(os.environ["PGPORT"]),
            "user": "postgres", "dbname": os.environ["PGDATABASE"]}


def url(mode, scheme):
    h = host(mode)
    return f"{scheme}://{h['user']}@{h['host']}:{h['port']}/{h['dbname']}"


def dumps(value):
    if isinstance(value, bytes):
        raise NoWay
    return json.dumps(value)


def listed(value):
    dumps(value)
    return [value]


def cells(ways):
    for way, call in ways.items():
        for name, value in VALUES.items():
            for queue in QUEUES:
                yield way, name, value, queue, call


def say(mode, way, name, queue, *result):
    print(mode, way, name, queue, *(str(r).replace("\n", " ")[:200] for r in result), sep="\t")


def only(ids):
    """outbox_enqueue_many() returns ids"""
    if isinstance(ids, (list, tuple)):
        assert len(ids) == 1
        return ids[0]
    return ids


def failed(mode, way, name, queue, error, state):
    if isinstance(error, NoWay):
        say(mode, way, name, queue, "none")
    elif state:
        say(mode, way, name, queue, "server", state, error)
    else:
        say(mode, way, name, queue, "driver", type(error).__name__, error)


def run(mode, ways, sqlstate):
    """ways: name -> function of queue and value that returns the message's id"""
    for way, name, value, queue, call in cells(ways):
        try:
            say(mode, way, name, queue, "id", only(call(queue, value)))
        except Exception as error:
            failed(mode, way, name, queue, error, sqlstate(error))
