# Copyright (c) 2026, the outbox developers
"""An ordinary Celery application.  Its tasks write down that they have run."""
import json
import os
import time

import psycopg
from celery import Celery

app = Celery("proj", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True


def note(task, *words):
    with open("processed", "a") as f:
        print(task.name, task.request.id, *words, file=f)


@app.task(bind=True, name="proj.add")
def add(self, *args, **kwargs):
    note(self, json.dumps([args, kwargs], ensure_ascii=False, sort_keys=True))
    return sum(a for a in args if isinstance(a, int))


@app.task(bind=True, name="proj.stamp")
def stamp(self):
    note(self, "%.3f" % time.time())


@app.task(bind=True, name="proj.quiet", ignore_result=True)
def quiet(self, n):
    note(self, n)
    return n


@app.task(bind=True, name="proj.headers")
def headers(self):
    note(self, json.dumps(self.request.headers, ensure_ascii=False), self.request.traceparent)


@app.task(bind=True, name="proj.flaky", autoretry_for=(OSError,), max_retries=3,
          default_retry_delay=0)
def flaky(self, failures):
    note(self, "attempt", self.request.retries + 1)
    if self.request.retries < failures:
        raise OSError("not yet")
    return "at last"


@app.task(bind=True, name="proj.slow")
def slow(self):
    note(self, "limits", json.dumps(self.request.timelimit))


@app.task(bind=True, name="proj.invoice", acks_late=True)
def invoice(self, order):
    """Once, however often it is delivered: its id is kept with what it does."""
    with psycopg.connect() as db:
        done = db.execute("INSERT INTO processed VALUES ('invoice', %s)"
                          " ON CONFLICT DO NOTHING", [self.request.id])
        note(self, "new" if done.rowcount else "known")
        if done.rowcount:
            db.execute("INSERT INTO invoice VALUES (%s)", [order])
