# Copyright (c) 2026, the outbox developers
"""Rounds, ratios, verdicts and the closing table.

A ratio is the median of the ratios of the rounds, each taken between two runs
that followed one another: a machine that slows down for a minute slows both.
Printed with it is the spread: half of the rounds were within it.  A goal that
lies within the spread is one that these rounds can't tell: "ok ?" or "NOT MET ?"
instead of "ok" or "NOT MET".

Where the clock swings because others use the machine, a line beside it says the
same in CPU time, which does not.
"""

import json
import statistics
from dataclasses import asdict, dataclass


@dataclass
class Line:
    name: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    low: float
    high: float
    rounds: int
    wanted: str = ""            # ">= 1.0", "<= 0.5"; empty: for information
    unmeasured: str = ""        # why there is no figure

    def met(self, ratio):
        sign, bound = self.wanted.split()
        return ratio >= float(bound) if sign == ">=" else ratio <= float(bound)

    @property
    def verdict(self):
        if self.unmeasured:
            return f"NOT MEASURED: {self.unmeasured}"
        if not self.wanted:
            return ""
        told = "ok" if self.met(self.ratio) else "NOT MET"
        clear = self.met(self.low) == self.met(self.high)
        return told if clear else f"{told} ?"


def in_turns(rounds, sides):
    """Measure the sides one after the other, as often as there are rounds, every
    other round in the opposite order: what one leaves behind for the next (dirty
    pages, freed memory) hits them evenly.  sides: name -> function."""
    results = {name: [] for name in sides}
    for i in range(rounds):
        for name in sorted(sides, key=list(sides).index, reverse=i % 2 == 1):
            results[name].append(sides[name]())
    return results


def column(runs, name):
    """One figure of each run of a side."""
    return [getattr(run, name) for run in runs]


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0]
    q = statistics.quantiles(values, n=4, method="inclusive")
    return q[0], q[2]


def compare(name, ours, theirs, unit, wanted=""):
    """A line from paired figures, one of each side per round."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return Line(name, statistics.median(ours), statistics.median(theirs), unit,
                statistics.median(ratios), *quartiles(ratios), len(ratios), wanted)


def against_goal(name, ours, sign, goal, unit):
    """A line for what has a goal of its own instead of an other side."""
    return compare(f"{name} (goal)", ours, [goal] * len(ours), unit, f"{sign} 1.0")


def unmeasured(name, wanted, why):
    return Line(name, 0, 0, "", 0, 0, 0, 0, wanted, why)


def quantile(samples, q):
    samples = sorted(samples)
    return samples[min(len(samples) - 1, int(q * len(samples)))]


def compare_quantiles(name, ours, theirs, unit, wanted):
    """A line for each of the quantiles in wanted; ours, theirs: samples of rounds."""
    return [compare(f"{name}, p{q * 100:.0f}", [quantile(s, q) for s in ours],
                    [quantile(s, q) for s in theirs], unit, goal)
            for q, goal in wanted.items()]


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def cells(l):
    if l.unmeasured:
        return l.name, "", "", "", "", "", "", l.wanted, l.verdict
    return (l.name, figure(l.ours), figure(l.theirs), l.unit, f"{l.ratio:.3f}",
            f"{l.low:.2f}..{l.high:.2f}", str(l.rounds), l.wanted, l.verdict)


def table(lines):
    rows = [("benchmark", "outbox", "other", "unit", "ratio", "spread", "rounds",
             "goal", "")] + [cells(l) for l in lines]
    widths = [max(len(r[i]) for r in rows) for i in range(8)] + [0]
    left = (0, 3, 7, 8)
    return "\n".join(
        "  ".join(cell.ljust(w) if i in left else cell.rjust(w)
                  for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows)


def write_json(path, lines, notes, quick):
    with open(path, "w") as f:
        json.dump({"quick": quick, "notes": notes,
                   "lines": [dict(asdict(l), verdict=l.verdict) for l in lines]},
                  f, indent=1)
        f.write("\n")
