# Copyright (c) 2026, the outbox developers
#
# pg8000: in its own way, and in that of the DB-API.
import pg8000
import pg8000.dbapi
import pg8000.native
from importlib.metadata import version
from cells import JSON, MANY, PLAIN, cast, dumps, host, listed, run

print("client pg8000", version("pg8000"))


def sqlstate(error):
    first = error.args[0] if error.args else None
    return first.get("C") if isinstance(first, dict) else None


def ways(execute):
    def call(sql, convert=lambda value: value):
        return lambda queue, value: execute(sql, queue, convert(value))
    return {
        "plain": call(PLAIN), "json()": call(JSON), "dumped": call(PLAIN, dumps),
        "dumped json()": call(JSON, dumps), "::jsonb": call(cast("jsonb")),
        "::text": call(cast("text")), "::bytea": call(cast("bytea")),
        "many": call(MANY, lambda value: dumps(listed(value))),
    }


def connection(mode, connect):
    h = host(mode)
    return connect(host=h["host"], port=h["port"], user=h["user"], database=h["dbname"])


def native(mode):
    c = connection(mode, pg8000.native.Connection)

    def execute(sql, queue, payload):
        sql = sql.replace("?", ":queue", 1).replace("?", ":payload", 1)
        return c.run(sql, queue=queue, payload=payload)[0][0]
    run(mode, ways(execute), sqlstate)


def dbapi(mode):
    c = connection(mode, pg8000.dbapi.connect)
    c.autocommit = True

    def execute(sql, queue, payload):
        cursor = c.cursor()
        cursor.execute(sql.replace("?", "%s"), (queue, payload))
        return cursor.fetchone()[0]
    run(mode, ways(execute), sqlstate)


native("native")
dbapi("dbapi")
