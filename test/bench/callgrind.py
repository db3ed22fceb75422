# Copyright (c) 2026, the outbox developers
"""What callgrind's files say: all instructions of a process, and those of each function.

Start-up costs far more than what is measured, so only differences mean something: of
two processes that did the same, one of them more often.
"""

import re
import subprocess

from servers import BenchError


def total(path):
    with open(path) as f:
        found = re.search(r"^totals: (\d+)", f.read(), re.MULTILINE)
    if not found:
        raise BenchError(f"{path} has no total")
    return int(found[1])


def functions(path):
    """name -> instructions, with those of the functions that it calls.  PostgreSQL's
    static functions have no name in a stripped binary, and are left out."""
    out = subprocess.check_output(
        ["callgrind_annotate", "--threshold=100", "--auto=no", "--inclusive=yes", path],
        text=True)
    found = {}
    for count, name in re.findall(r"^ *([\d,]+) \([^)]*\)  \S*:([\w.]+)(?:'\d+)? \[.*\]$",
                                  out, re.MULTILINE):
        if not name.startswith("0x"):
            found[name] = max(found.get(name, 0), int(count.replace(",", "")))
    return found


def profile(more, less, times, names):
    """Those of some functions, for each time: "name 123, ..."."""
    a, b = functions(more), functions(less)
    each = {name: (a.get(name, 0) - b.get(name, 0)) / times for name in names}
    return ", ".join(f"{name} {n:,.0f}" for name, n in each.items() if n >= 1)
