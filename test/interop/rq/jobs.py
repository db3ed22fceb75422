"""Ordinary functions for RQ.  They write down that they have run."""
import json
import time

from rq import get_current_job


def note(name, *words):
    job = get_current_job()
    with open("processed", "a") as f:
        print(name, job.id, *words, file=f)
    return job


def add(*args, **kwargs):
    note("add", json.dumps([args, kwargs], ensure_ascii=False, sort_keys=True))
    return sum(a for a in args if isinstance(a, int))


def stamp():
    note("stamp", "%.3f" % time.time())


def limits():
    job = note("limits")
    return [job.timeout, job.result_ttl, job.failure_ttl, job.description]


def flaky(failures):
    left = get_current_job().retries_left
    job = note("flaky", "left", left)
    if job.number_of_retries is None and failures > 0 or (job.number_of_retries or 0) < failures:
        raise OSError("not yet")
    return "at last"
