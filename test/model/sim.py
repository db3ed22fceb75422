#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
"""Random schedules of the delivery protocol.

Exits with 1 if a promise was broken in one.  README.md says what is in them.

    sim.py SCHEDULES                    all rules
    sim.py SCHEDULES --without RULE     a rule left out; the first failure ends it
    sim.py --rules                      the rules
"""

import argparse
import sys
from collections import Counter

import rules
from world import EVENTS, World


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("schedules", type=int, nargs="?", default=500)
    parser.add_argument("--steps", type=int, default=300,
                        help="of each schedule")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--without", metavar="RULE")
    parser.add_argument("--only", default="", metavar="EVENT,EVENT...",
                        help="no other events: " + ", ".join(EVENTS))
    parser.add_argument("--count", action="store_true",
                        help="go on after a failure; how often what happened")
    parser.add_argument("--rules", action="store_true",
                        help="name; schedules; events, for test/model/run")
    return parser.parse_args()


def kind(message):
    """A violation without the names in it."""
    return " ".join(word for word in message.split() if word.isalpha())[:70]


def main():
    options = arguments()
    if options.rules:
        for rule in rules.RULES:
            print(rule.name, rule.schedules, rule.events, sep=";")
        return 0
    if options.without:
        rules.leave_out(options.without)
    only = [kind for kind in options.only.split(",") if kind]
    tally, kinds, failed, ran = Counter(), Counter(), 0, 0
    for seed in range(options.first, options.first + options.schedules):
        world = World(seed, only)
        bad = world.run(options.steps)
        ran += 1
        tally.update(world.tally)
        if bad:
            failed += 1
            kinds[kind(bad[0])] += 1
            if failed <= 5:
                print("seed", seed, bad[:3])
            if options.without and not options.count:
                break
    print(f"{ran} schedules, {failed} failed")
    if options.count or failed:
        for counter in kinds, tally if options.count else {}:
            for name in sorted(counter):
                print(f"  {counter[name]:7} {name}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
