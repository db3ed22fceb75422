# Copyright (c) 2026, the outbox developers
#
# psycopg2 puts parameters into the statement as literals.
import psycopg2
from psycopg2.extras import Json
from cells import JSON, MANY, PLAIN, cast, dumps, host, listed, run

print("client psycopg2", psycopg2.__version__.split()[0])


def ways(connection):
    def call(sql, convert=lambda value: value):
        def one(queue, value):
            with connection.cursor() as cursor:
                cursor.execute(sql.replace("?", "%s"), (queue, convert(value)))
                return cursor.fetchone()[0]
        return one

    def wrap(value):
        dumps(value)
        return Json(value)
    # without register_uuid() an array of ids is text
    def many(queue, value):
        return call(MANY, lambda value: Json(listed(value)))(queue, value).strip("{}")
    return {
        "plain": call(PLAIN), "json()": call(JSON), "dumped": call(PLAIN, dumps),
        "dumped json()": call(JSON, dumps), "Json": call(PLAIN, wrap),
        "::jsonb": call(cast("jsonb")), "::text": call(cast("text")),
        "::bytea": call(cast("bytea")), "many": many,
    }


for mode in ("literals", "literals@transaction", "literals@statement"):
    c = psycopg2.connect(**host(mode))
    c.autocommit = True
    run(mode, ways(c), lambda error: getattr(error, "pgcode", None))
