#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
"""Rounds of everything that can happen, for so many seconds.  See README.md here.

    torture.py [--seconds N] [--seed N] [--events LIST] [--round N] [--show] DIRECTORY

A round has servers of its own, a schedule of about half a minute, and then a
rest in which everything is mended; when nothing waits any more, what arrived is
compared with what was meant.  Rounds of a seed differ; --round repeats one.  --show
prints schedules and does nothing else.  What a failed round leaves stays in
DIRECTORY.
"""
import argparse
import faulthandler
import os
import random
import shutil
import signal
import sys
import time
import traceback

import checker
import events  # pylint: disable=unused-import # they put themselves into EVENTS
import postgres
import story
from copies import COPIES
from schedule import EVENTS, schedule
from world import World

ROUND = 25    # seconds of events


class Round:
    """What the seed says of a round."""

    def __init__(self, seed, number, events):
        self.name = f'seed {seed} round {number}'
        self.seed = f'{seed} {number}'
        dice = random.Random(self.seed)
        self.retention = dice.choice((2, 2, 15, 15, 15))
        self.writers = dice.choice((2, 3, 4))
        self.pace = dice.choice((0.3, 1, 3))
        # Half of the rounds have a few kinds of events, which then meet more often.
        names = sorted(events)
        if dice.random() < 0.5 and len(names) > 12:
            names = dice.sample(names, 12)
        self.schedule = schedule(self.seed, ROUND, names)


def events_of(text):
    """Groups, names, and names to be left out: "default,cloned,-late"."""
    chosen = set()
    groups = {'default': set(EVENTS), 'copies': COPIES}
    for word in text.split(','):
        if word in groups:
            chosen |= groups[word]
        elif word.lstrip('-') not in EVENTS:
            sys.exit(f'no event {word}; there are: {" ".join(EVENTS)}')
        elif word.startswith('-'):
            chosen.discard(word[1:])
        else:
            chosen.add(word)
    return chosen


def happen(world, round_, deadline):
    """The schedule, as late as the machine is."""
    start = time.monotonic()
    running = {}
    for at, what, name, drawn in round_.schedule:
        if time.monotonic() > deadline:
            world.say('the time is up')
            break
        time.sleep(max(0, start + at - time.monotonic()))
        world.say(f'{what} {name} {" ".join(f"{d:.3f}" for d in drawn)}')
        kind = EVENTS[name]
        if what == 'end':
            next(running.pop(name), None)
            world.active.pop(name, None)
        else:
            if kind.disturbs:
                world.active[name] = kind.disturbs
            going = kind.happen(world, *drawn)
            if kind.lasts:
                next(going, None)
                running[name] = going
    for name, going in running.items():
        world.say(f'end {name}')
        next(going, None)
        world.active.pop(name, None)


def torture(round_, directory, template, deadline):
    """Runs a round.  Returns its faults."""
    world = World(directory, template, round_.seed, round_.retention)
    world.pace = round_.pace
    found = []
    try:
        world.begin(round_.writers)
        happen(world, round_, deadline)
        still = world.rest()
        if still:
            found.append(('stalled', f'at rest, and still waiting: {still}; status {world.status()}', None))
        world.check_rot()
        found += checker.faults(world.history())
        found += [('crashed', line, None) for line in story.surprises(world)]
        if found:
            world.journal.flush()
            story.tell(world, found)
        acked = sum(t.outcome == 'acked' for t in world.journal.transactions.values())
        seen = sum(len(world.reader.arrived(q)) for q in world.reader.keys)
        print(f'{round_.name}: {len(round_.schedule)} events, {acked} transactions acknowledged, {seen} messages'
              f' arrived, {len(world.probes)} probes, {len(found)} faults', flush=True)
    finally:
        world.end()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    given = os.environ.get
    parser.add_argument('--seconds', type=int, default=given('SECONDS') or 180)
    parser.add_argument('--seed', type=int, default=given('SEED') or int(time.time()) % 1000000)
    parser.add_argument('--events', default=given('EVENTS') or 'default')
    parser.add_argument('--round', type=int, default=given('ROUND') or None, help='this one only')
    parser.add_argument('--show', action='store_true')
    parser.add_argument('directory')
    options = parser.parse_args()
    chosen = events_of(options.events)

    # whoever hangs, where?
    faulthandler.dump_traceback_later(3 * options.seconds + 600, exit=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f'torture: SEED={options.seed} SECONDS={options.seconds} EVENTS={options.events}', flush=True)
    template = f'{options.directory}/template'
    if not options.show:
        postgres.tool('initdb', '-D', template, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
                      '--locale=C', '--no-sync')
    end = time.monotonic() + options.seconds
    number = options.round or 1
    done = 0
    while True:
        round_ = Round(options.seed, number, chosen)
        if options.show:
            print(f'{round_.name}: retention {round_.retention} s, {round_.writers} writers')
            print('\n'.join(f'{at:6.2f} {what:5} {name}' for at, what, name, _ in round_.schedule))
            return
        directory = f'{options.directory}/round{number}'
        try:
            found = torture(round_, directory, template, end - 12)
        except Exception:  # pylint: disable=broad-except # whatever it was, say which round
            traceback.print_exc()
            found = [('harness', 'see above', None)]
        if found:
            again = f'SEED={options.seed} ROUND={number}'
            if options.events != 'default':
                again += f' EVENTS={options.events}'
            sys.exit(f'torture: FAILED: {round_.name}; again: make torture {again}\nkept: {directory}')
        shutil.rmtree(directory)
        done += 1
        number += 1
        if options.round or time.monotonic() > end - 30:
            break
    print(f'torture: passed: {done} rounds')


if __name__ == '__main__':
    main()
