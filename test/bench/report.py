# Copyright (c) 2026, the outbox developers
"""Medians, verdicts and the closing table.

A ratio is the median of the ratios of the rounds, each taken between two runs
that followed one another: a machine that slows down for a minute slows both.
The smallest and largest of them are printed with it, so that noise shows.
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
    wanted: str = ""            # ">= 1.0", "<= 0.5"; empty: for information

    @property
    def verdict(self):
        if not self.wanted:
            return ""
        sign, bound = self.wanted.split()
        met = (self.ratio >= float(bound) if sign == ">="
               else self.ratio <= float(bound))
        return "ok" if met else "NOT MET"


def in_turns(rounds, sides):
    """Measure the sides one after the other, as often as there are rounds, every
    other round in the opposite order: what one leaves behind for the next (dirty
    pages, freed memory) hits them evenly.  sides: name -> function."""
    results = {name: [] for name in sides}
    for i in range(rounds):
        for name in sorted(sides, key=list(sides).index, reverse=i % 2 == 1):
            results[name].append(sides[name]())
    return results


def compare(name, ours, theirs, unit, wanted=""):
    """A line from paired figures, one of each side per round."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return Line(name, statistics.median(ours), statistics.median(theirs), unit,
                statistics.median(ratios), min(ratios), max(ratios), wanted)


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def table(lines):
    rows = [("benchmark", "outbox", "other", "unit", "ratio", "from..to",
             "wanted", "")]
    rows += [(l.name, figure(l.ours), figure(l.theirs), l.unit,
              f"{l.ratio:.3f}", f"{l.low:.2f}..{l.high:.2f}", l.wanted, l.verdict)
             for l in lines]
    widths = [max(len(r[i]) for r in rows) for i in range(8)]
    left = (0, 3, 6, 7)
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
