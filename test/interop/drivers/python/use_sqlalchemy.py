# Copyright (c) 2026, the outbox developers
#
# SQLAlchemy: text() and func with bound values, over several drivers.
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from cells import JSON, MANY, PLAIN, NoWay, dumps, listed, run, url

print("client sqlalchemy", sa.__version__)


def sqlstate(error):
    orig = getattr(error, "orig", None)
    if orig is None:
        return None
    state = getattr(orig, "pgcode", None) or getattr(orig, "sqlstate", None)
    first = orig.args[0] if orig.args else None
    return state or (first.get("C") if isinstance(first, dict) else None)


def ways(connection):
    def text(sql, convert=lambda value: value):
        def one(queue, value):
            statement = sa.text(sql.replace("?", ":queue", 1).replace("?", ":payload", 1))
            return connection.execute(statement, {"queue": queue, "payload": convert(value)}).scalar()
        return one

    def func(function, convert=lambda value: value):
        return lambda queue, value: connection.execute(
            sa.select(function(queue, convert(value)))).scalar()

    def typed(type):
        def one(value):
            if type is not sa.LargeBinary:
                dumps(value)
            elif not isinstance(value, bytes):
                raise NoWay
            return sa.cast(sa.literal(value, type), type)
        return one

    return {
        "text()": text(PLAIN), "text() json()": text(JSON), "text() dumped": text(PLAIN, dumps),
        "func": func(sa.func.outbox_enqueue), "func json()": func(sa.func.outbox_enqueue_json),
        "func dumped": func(sa.func.outbox_enqueue, dumps),
        "cast JSONB": func(sa.func.outbox_enqueue, typed(JSONB)),
        "cast LargeBinary": func(sa.func.outbox_enqueue, typed(sa.LargeBinary)),
        "many": func(sa.func.outbox_enqueue_many, lambda value: typed(JSONB)(listed(value))),
        "text() many": text(MANY, lambda value: dumps(listed(value))),
    }


for mode, driver, args in (
        ("psycopg2", "psycopg2", {}), ("psycopg", "psycopg", {}), ("pg8000", "pg8000", {}),
        ("psycopg@transaction", "psycopg", {"prepare_threshold": None})):
    engine = sa.create_engine(url(mode, "postgresql+" + driver), connect_args=args,
                              isolation_level="AUTOCOMMIT")
    with engine.connect() as c:
        run(mode, ways(c), sqlstate)
