# Copyright (c) 2026, the outbox developers
"""What an event is, and the schedules that a seed makes of events.

An event begins, and if it lasts it ends later; others happen meanwhile.  A
schedule is made of the seed alone, before anything is started: the same seed
has the same events at the same times, with the same numbers drawn.  What they
meet is the machine's affair.
"""
import random
from dataclasses import dataclass

EVENTS = {}


@dataclass
class Event:
    happen: object
    weight: float
    lasts: tuple
    disturbs: str


def event(weight, lasts=None, disturbs=None):
    """Makes an event of a function of the world and three numbers of 0 to 1.  If it
    lasts it is a generator: what comes after its yield is its end.  disturbs: what
    may delay delivery meanwhile, "redis" or anything else."""
    def made(function):
        EVENTS[function.__name__] = Event(function, weight, lasts, disturbs)
        return function
    return made


def schedule(seed, seconds, names):
    """[ (time, 'begin' or 'end' or 'once', name, drawn numbers) ], in order."""
    dice = random.Random(f'{seed} schedule')
    names = sorted(names)
    weights = [EVENTS[name].weight for name in names]
    line, until = [], {}
    at = 1.0
    while names and at < seconds:
        name = dice.choices(names, weights)[0]
        lasts = EVENTS[name].lasts
        length = dice.uniform(*lasts) if lasts else 0
        drawn = tuple(dice.random() for _ in range(3))
        if until.get(name, 0) <= at:
            line.append((at, 'begin' if lasts else 'once', name, drawn))
            if lasts:
                line.append((at + length, 'end', name, drawn))
            until[name] = at + length + 0.01
        at += dice.expovariate(1 / 0.45)
    return sorted(line, key=lambda entry: entry[0])


def pick(of, drawn):
    return of[int(drawn * len(of))]
