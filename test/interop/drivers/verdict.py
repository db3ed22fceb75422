#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
#
# verdict.py EXPECTED PAGE OUTPUT...: what became of each cell
#
# Prints a row for each driver, mode and way, modes with the same rows together,
# and facts as test/interop/run wants them; the head of ../drivers/run says what
# the letters mean.  Only the rows of the drivers whose outputs are given are
# compared with EXPECTED.  OUTBOX_REGENERATE is the name of a file
# to write: EXPECTED as it should have been.
import json
import os
import re
import subprocess
import sys

QUEUES = ("json", "text", "bytea")
VALUES = ("string", "digits", "object", "array", "words", "empty", "bytes", "document", "null", "number", "true")
DOCUMENT = {"string": 'hé "llo"', "digits": "123", "object": {"a": 1, "b": "é"}, "array": [1, 2], "words": ["a", "b"],
            "empty": [], "document": {"a": 1}, "null": None, "number": 42, "true": True}
RAW = {"string": 'hé "llo"'.encode(), "digits": b"123", "bytes": b"\x00\xff{", "document": b'{"a": 1}',
       "number": b"42", "true": b"true"}
# what the server says if an argument does not fit
CLEAR = {"22004", "22021", "22023", "22P02", "22P05", "42804", "42846", "42883", "42P18", "42601"}
# ... and what jsonb's input function says of bytes that a driver sends as one
NO_JSONB = ("XX000", "unsupported jsonb version number")
HEAD = "%-12s %-25s" + " %-8s" * len(VALUES) + " %s"


def read_json(payload):
    try:
        return json.loads(payload), True
    except ValueError:
        return None, False


def same(a, b):
    return a == b and type(a) is type(b)


def kind(value, queue, payload):
    """The letter for what has arrived"""
    document, is_json = read_json(payload)
    right = value in DOCUMENT and is_json and same(document, DOCUMENT[value])
    if right or (queue != "json" and payload == RAW.get(value)):
        return "="
    if value in DOCUMENT and isinstance(document, str) and same(read_json(document)[0], DOCUMENT[value]):
        return "e"
    if value == "digits" and same(document, 123):
        return "d"
    if value == "empty" and payload == b"{}":
        return "o"
    if value in ("array", "words", "empty") and re.fullmatch(rb'\{("?[1a]"?, ?"?[2b]"?)?\}', payload):
        return "a"
    if value == "words" and payload == b"a":
        return "f"
    if value in ("bytes", "document") and is_json:
        return "j"
    if value == "true" and payload == b"\1":
        return "s"
    if value == "true" and payload in (b"1", b"t"):
        return "t"
    if value == "bytes" and payload == b"":
        return "z"
    if value == "bytes" and payload == b"\\000\\377{":
        return "b"
    if value == "null" and payload == b"":
        return "n"
    if value in ("object", "array", "words", "empty") and not is_json or payload.startswith(b"[B@"):
        return "s"
    return "x"


def is_no_jsonb(state, said="", *_):
    """XX000 is also the code of what must not happen, so the text counts"""
    return state == NO_JSONB[0] and NO_JSONB[1] in said


def payloads():
    rows = subprocess.run(
        ["psql", "-qAt", "-F", " ", "-c", "SELECT id, encode(payload, 'hex') FROM outbox.staging_1"
         " UNION ALL SELECT id, encode(payload, 'hex') FROM outbox.staging_2"
         " UNION ALL SELECT id, encode(payload, 'hex') FROM outbox.deferred"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    return {r.split(" ")[0]: bytes.fromhex(r.split(" ")[1]) for r in rows}


class Verdict:
    def __init__(self):
        self.cells = {}         # (driver, mode, way) -> {(value, queue): letter}
        self.seen = {}          # letter -> {(value, queue, payload)}
        self.wrong = []
        self.staged = payloads()

    def take(self, driver, fields):
        mode, way, value, queue, what, *rest = fields
        if what == "none":
            letter = "."
        elif what == "driver":
            letter = "c"
        elif what == "server":
            letter = "!"
            if rest[0] not in CLEAR and not is_no_jsonb(*rest):
                letter = "x"
                self.wrong.append(" ".join([driver, *fields]))
        else:
            payload = self.staged.get(rest[0])
            letter = "x" if payload is None else kind(value, queue, payload)
            if letter == "x":
                self.wrong.append(" ".join([driver, *fields, repr(payload)]))
            elif letter != "=":
                self.seen.setdefault(letter, set()).add((value, queue, payload))
        self.cells.setdefault((driver, mode, way), {})[value, queue] = letter

    def rows(self):
        """Modes of a driver whose row is the same share it"""
        rows = {}
        for (driver, mode, way), cells in self.cells.items():
            row = tuple("".join(cells.get((v, q), "?") for q in QUEUES) for v in VALUES)
            rows.setdefault((driver, way, row), []).append(mode)
        return [HEAD % (driver, way, *row, ", ".join(modes))
                for (driver, way, row), modes in sorted(rows.items(), key=lambda r: (r[0][0], r[1], r[0][1]))]


def fact(good, words, details=()):
    print(("ok - " if good else "not ok - ") + words)
    for detail in details:
        print("#   " + detail.encode("unicode_escape").decode())
    return good


def documented(page):
    """The letters that the page has a row for"""
    return set(re.findall(r"^\| `(\w)` \|", open(page, encoding="utf-8").read(), re.M))


def main(expected, page, *outputs):
    verdict = Verdict()
    drivers = []
    for output in outputs:
        drivers.append(os.path.basename(output)[:-4])
        for line in open(output, encoding="utf-8"):
            fields = line.rstrip("\n").split("\t")
            if len(fields) >= 5:
                verdict.take(drivers[-1], fields)
    rows = verdict.rows()
    head = HEAD % ("driver", "way", *VALUES, "modes")
    print("\n".join("# " + row for row in [head] + rows))
    if os.environ.get("OUTBOX_REGENERATE"):
        kept = [r for r in open(expected, encoding="utf-8").read().splitlines()[1:]
                if r.split(" ")[0] not in drivers]
        with open(os.environ["OUTBOX_REGENERATE"], "w", encoding="utf-8") as f:
            f.write("\n".join([head] + sorted(kept + rows)) + "\n")
    known = [r for r in open(expected, encoding="utf-8").read().splitlines() if r.split(" ")[0] in drivers]
    good = fact(not verdict.wrong, "each value arrived, or was refused, or is of a kind that is known", verdict.wrong)
    good &= fact(sorted(known) == sorted(rows), "each cell is as expected",
                 ["- " + r for r in sorted(set(known) - set(rows))] + ["+ " + r for r in sorted(set(rows) - set(known))])
    undocumented = set(verdict.seen) - documented(page)
    good &= fact(not undocumented, "what went wrong in silence has a row in docs/drivers.md", sorted(undocumented))
    for letter, seen in sorted(verdict.seen.items()):
        for value, queue, payload in sorted(seen):
            print(f"# {letter}: {value}, {queue} queue: {payload!r}")
    count = sum(len(c) for c in verdict.cells.values())
    print(f"# {len(drivers)} drivers, {len({k[:2] for k in verdict.cells})} modes, {count} cells")
    return 0 if good else 1


sys.exit(main(*sys.argv[1:]))
