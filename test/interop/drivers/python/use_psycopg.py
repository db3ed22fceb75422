# Copyright (c) 2026, the outbox developers
#
# psycopg 3: parameters in text or in binary format, or as literals; prepared
# at once, or never.
import psycopg
from psycopg.types.json import Json, Jsonb
from cells import JSON, MANY, PLAIN, cast, dumps, host, listed, run

print("client psycopg", psycopg.__version__)


def ways(connection, placeholder):
    def call(sql, convert=lambda value: value):
        def one(queue, value):
            with connection.cursor() as cursor:
                cursor.execute(sql.replace("?", placeholder), (queue, convert(value)))
                return cursor.fetchone()[0]
        return one

    def wrap(type):
        def one(value):
            dumps(value)
            return type(value)
        return one
    return {
        "plain": call(PLAIN), "json()": call(JSON), "dumped": call(PLAIN, dumps),
        "dumped json()": call(JSON, dumps), "Json": call(PLAIN, wrap(Json)),
        "Jsonb": call(PLAIN, wrap(Jsonb)), "Jsonb json()": call(JSON, wrap(Jsonb)),
        "::jsonb": call(cast("jsonb")), "::text": call(cast("text")),
        "::bytea": call(cast("bytea")),
        "many": call(MANY, lambda value: Jsonb(listed(value))),
    }


for mode, cursor, placeholder, prepare in (
        ("text", psycopg.Cursor, "%t", 5), ("binary", psycopg.Cursor, "%b", 5),
        ("default", psycopg.Cursor, "%s", 5), ("prepared", psycopg.Cursor, "%s", 0),
        ("client", psycopg.ClientCursor, "%s", None),
        ("default@transaction", psycopg.Cursor, "%s", None),
        ("client@transaction", psycopg.ClientCursor, "%s", None),
        ("default@statement", psycopg.Cursor, "%s", None)):
    with psycopg.connect(**host(mode), autocommit=True, cursor_factory=cursor,
                         prepare_threshold=prepare) as c:
        run(mode, ways(c, placeholder), lambda error: getattr(error, "sqlstate", None))
