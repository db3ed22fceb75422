# Copyright (c) 2026, the outbox developers
#
# Django: connection.cursor(), and Func with values in an expression.
import django
from django.conf import settings
from cells import JSON, MANY, PLAIN, cast, dumps, host, listed, run


def database(mode, **options):
    h = host(mode)
    return {"ENGINE": "django.db.backends.postgresql", "NAME": h["dbname"], "USER": h["user"],
            "HOST": h["host"], "PORT": h["port"], "OPTIONS": options,
            "DISABLE_SERVER_SIDE_CURSORS": "@" in mode}


MODES = {
    "default": database("default"),
    "server_side_binding": database("server_side_binding", server_side_binding=True),
    "default@transaction": database("default@transaction"),
}
settings.configure(DATABASES=MODES, INSTALLED_APPS=["django.contrib.contenttypes"])
django.setup()

from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.db import connections, models  # noqa: E402
from django.db.models import Func, Value  # noqa: E402
from django.db.models.functions import Cast  # noqa: E402
from psycopg.types.json import Jsonb  # noqa: E402

print("client django", django.get_version())


def sqlstate(error):
    return getattr(error.__cause__, "sqlstate", None)


def wrap(value):
    dumps(value)
    return Jsonb(value)


def ways(mode):
    def call(sql, convert=lambda value: value):
        def one(queue, value):
            with connections[mode].cursor() as cursor:
                cursor.execute(sql.replace("?", "%s"), (queue, convert(value)))
                return cursor.fetchone()[0]
        return one

    # an expression needs a table with a row to be selected from
    def func(name, convert, output=models.UUIDField):
        def one(queue, value):
            expression = Func(Value(queue), convert(value), function=name, output_field=output())
            row = ContentType.objects.using(mode).annotate(sent=expression).values_list("sent")
            return row.first()[0]
        return one

    def json_value(value):
        dumps(value)
        return Value(value, output_field=models.JSONField())

    def json_cast(value):
        return Cast(json_value(value), models.JSONField())

    def many(queue, value):
        return func("outbox_enqueue_many", json_cast, models.Field)(queue, listed(value))
    return {
        "plain": call(PLAIN), "json()": call(JSON), "dumped": call(PLAIN, dumps),
        "dumped json()": call(JSON, dumps), "Jsonb": call(PLAIN, wrap),
        "::jsonb": call(cast("jsonb")), "::bytea": call(cast("bytea")),
        "many": call(MANY, lambda value: Jsonb(listed(value))),
        "Func": func("outbox_enqueue", Value), "Func JSONField": func("outbox_enqueue", json_value),
        "Func json() JSONField": func("outbox_enqueue_json", json_value),
        "Func Cast": func("outbox_enqueue", json_cast), "Func many": many,
    }


connections["default"].cursor().execute(
    "CREATE TABLE django_content_type (id int PRIMARY KEY, app_label text, model text)")
connections["default"].cursor().execute("INSERT INTO django_content_type VALUES (1, 'a', 'm')")
for mode in MODES:
    run(mode, ways(mode), sqlstate)
