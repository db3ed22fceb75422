# Copyright (c) 2026, the outbox developers
#
# asyncpg asks the server for the types of parameters, and encodes for these.
import asyncio
import json
import asyncpg
from cells import JSON, MANY, PLAIN, cast, cells, dumps, failed, host, listed, only, say

print("client asyncpg", asyncpg.__version__)


def ways(connection):
    def call(sql, convert=lambda value: value):
        first, second = sql.split("?", 2)[:2]
        rest = sql.split("?", 2)[2]

        async def one(queue, value):
            return await connection.fetchval(f"{first}$1{second}$2{rest}", queue, convert(value))
        return one
    return {
        "plain": call(PLAIN), "json()": call(JSON), "dumped": call(PLAIN, dumps),
        "dumped json()": call(JSON, dumps), "::jsonb": call(cast("jsonb")),
        "dumped ::jsonb": call(cast("jsonb"), dumps), "::text": call(cast("text")),
        "::bytea": call(cast("bytea")),
        "many": call(MANY, lambda value: dumps(listed(value))),
    }


async def main():
    for mode, cached in (("default", 100), ("uncached", 0), ("codec", 100),
                         ("uncached@transaction", 0), ("uncached@statement", 0)):
        h = host(mode)
        c = await asyncpg.connect(host=h["host"], port=h["port"], user=h["user"],
                                  database=h["dbname"], statement_cache_size=cached)
        if mode == "codec":
            await c.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps,
                                   decoder=json.loads)
        for way, name, value, queue, call in cells(ways(c)):
            try:
                say(mode, way, name, queue, "id", only(await call(queue, value)))
            except Exception as error:
                # the driver's own errors have an SQLSTATE, too
                own = getattr(error, "sqlstate", None) == "22000"
                state = None if own else getattr(error, "sqlstate", None)
                failed(mode, way, name, queue, error, state)
        await c.close()

asyncio.run(main())
