#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
"""The commands of README.md and docs: are they fenced, do they work?

    test/docs/pages.py links         links that lead nowhere
    test/docs/pages.py list          what is not run, and why
    test/docs/pages.py machine DIR   write what changes the machine, in README.md, to
                                     1.sh, 2.sh, ... there
    test/docs/pages.py run [PAGE...] run them; test/docs/run calls this

A page's blocks run in their order, in a database of its own that has the extension
(unless the page has an SQL block with CREATE EXTENSION outbox) beside an empty Redis.
What a block is comes from the line that opens it:

    ```sql                psql, one session
    ```sh                 bash, in a directory of the page
    ```python, js, go     a program, with the usual drivers; by pytest, if it imports that
    ```output             what the block before has to print: these lines, one after the
                          other, where "…" stands for anything and spaces for some
    ```text, ini, json    no command

and after the language there may be one of

    fails                 it has to fail
    again                 it is run again until it prints the output: it looks at
                          something that takes a moment
    background            it goes on until the end of the page
    machine               it changes the machine: test/docs/bare runs it, in a chroot
    syntax: REASON        only parsed
    not run: REASON
"""
import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

RUN = ("sql", "sh", "python", "js", "go")
PARSED = RUN[1:] + ("ruby",)
INERT = ("text", "ini", "json", "yaml", "mermaid", "output")
MODES = ("", "fails", "again", "background", "machine", "syntax", "not run")
FENCE = re.compile(r"^( *)```(\w*) ?(.*)$")
COMMAND = re.compile(r"    (SELECT|INSERT|CREATE|ALTER|GRANT|DROP|BEGIN|make|sudo|psql|redis-cli|apt-get|cp) ")
PATIENCE = 30

# Pages that are being written elsewhere; a link to one that is not here yet is no fault.
AWAITED = ("docs/operations.md", "docs/drivers.md")


class Block:
    def __init__(self, page, line, lang, info):
        self.page, self.line, self.lang = page, line, lang
        self.mode, _, self.reason = (w.strip() for w in info.partition(":"))
        self.text, self.output = "", None

    def __str__(self):
        return "%s:%d %s" % (self.page, self.line, self.lang)

    def fault(self):
        """What is wrong with the line that opens it."""
        if self.lang in INERT:
            return "%s has no modes" % self.lang if self.mode else None
        if self.mode not in MODES:
            return "mode \"%s\" is not known" % self.mode
        if self.mode in ("syntax", "not run"):
            if not self.reason:
                return "it has to say why: \"%s: REASON\"" % self.mode
            if self.mode == "syntax" and self.lang not in PARSED:
                return "nothing here parses it"
        elif self.lang not in RUN:
            return "nothing here runs it"
        return None


def pages():
    return ["README.md"] + sorted(glob.glob("docs/**/*.md", recursive=True))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def blocks(page):
    """Its blocks, and what is wrong with how they are written."""
    found, faults, block, indent, blank = [], [], None, "", True
    for n, line in enumerate(read(page).split("\n"), 1):
        fence = FENCE.match(line)
        if block and fence and not fence.group(2):
            if block.lang == "output":
                if found and found[-1].lang not in INERT and found[-1].mode not in ("syntax", "not run"):
                    found[-1].output = block.text
                else:
                    faults.append("%s: output of nothing that runs" % block)
            else:
                found.append(block)
            block = None
        elif block:
            block.text += line.removeprefix(indent) + "\n"
        elif fence:
            indent = fence.group(1)
            block = Block(page, n, fence.group(2), fence.group(3).strip())
            if block.fault():
                faults.append("%s: %s" % (block, block.fault()))
        elif blank and COMMAND.match(line):
            faults.append("%s:%d: a command that is not fenced is not run" % (page, n))
        blank = line == ""
    if block:
        faults.append("%s: it does not end" % block)
    return found, faults


def anchors(text):
    """Of a page's headings, as GitHub makes them."""
    text = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    names = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        names.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return names


def links():
    """Each relative link of each Markdown file leads to a file, and to a heading in it."""
    bad = []
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
                            capture_output=True, text=True, check=False).stdout.split()
    for page in listed or pages() + ["CONTRIBUTING.md", "SECURITY.md", "test/README.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if path in AWAITED and not os.path.exists(path):
                continue
            if not os.path.exists(path):
                bad.append("%s: %s: there is no such file" % (page, target))
            elif anchor and path.endswith(".md") and anchor not in anchors(read(path)):
                bad.append("%s: %s: there is no such heading" % (page, target))
    return bad


def matches(wanted, printed):
    """Are the wanted lines in what was printed, one after the other?"""
    want, have = ([" ".join(line.split()) for line in text.strip("\n").split("\n")] for text in (wanted, printed))
    want = [re.escape(line).replace("…", ".*") for line in want]
    return any(all(re.fullmatch(w, h) for w, h in zip(want, have[i:i + len(want)]))
               for i in range(len(have) - len(want) + 1))


class Page:
    """Where the blocks of a page run."""

    def __init__(self, name, number, tools):
        self.name, self.tools = name, tools
        self.dir = tempfile.mkdtemp(prefix="docs-")
        self.database = "docs_%d" % number
        self.children = []
        self.env = dict(os.environ, PGDATABASE=self.database, HOME=self.dir, FAKETTY="1",
                        PYTHONUNBUFFERED="1", NODE_PATH=tools.get("js", ""))

    def psql(self, sql, database="postgres"):
        sql = "SET client_min_messages = warning;\n" + sql
        subprocess.run(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-d", database], input=sql,
                       text=True, check=True, stdout=subprocess.PIPE)

    def begin(self, has_extension):
        subprocess.run(["redis-cli", "FLUSHALL"], check=True, stdout=subprocess.DEVNULL)
        self.psql("CREATE DATABASE %s TEMPLATE template0" % self.database)
        if has_extension:
            self.psql("CREATE EXTENSION outbox", self.database)

    def end(self):
        """Nothing of it is left to the next page."""
        for child, out in self.children:
            with contextlib.suppress(ProcessLookupError):    # it may have ended by itself
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            out.close()
        self.psql("ALTER SYSTEM RESET ALL; SELECT pg_reload_conf();")
        self.psql("DROP EXTENSION IF EXISTS outbox CASCADE", "template1")
        self.psql(r"""
            SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
            WHERE datname NOT IN ('postgres', 'template0', 'template1') \gexec
            SELECT format('DROP ROLE %I', rolname) FROM pg_roles
            WHERE oid >= 16384 \gexec""")
        shutil.rmtree(self.dir, ignore_errors=True)

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def command(self, block, parse):
        """What runs a block, or parses it; None: that is missing."""
        name = "block_%d" % block.line
        if block.lang == "sql":
            return ["psql", "-X", "-v", "ON_ERROR_STOP=1"]
        if block.lang == "sh":
            return ["bash", "-n" if parse else "-e", self.file(name + ".sh", block.text)]
        if block.lang == "ruby":
            return ["ruby", "-c", self.file(name + ".rb", block.text)] if shutil.which("ruby") else None
        if block.lang not in self.tools:
            return None
        if block.lang == "python":
            path = self.file(name + ".py", block.text)
            how = ["py_compile"] if parse else ["pytest", "-q"] if "import pytest" in block.text else None
            return [self.tools["python"]] + (["-m"] + how if how else []) + [path]
        if block.lang == "js":
            path = self.file(name + (".mjs" if re.search(r"^import ", block.text, re.MULTILINE) else ".js"), block.text)
            return ["node"] + (["--check"] if parse else []) + [path]
        path = self.file(name + "/main.go", block.text)
        for f in ("go.mod", "go.sum"):
            shutil.copy(os.path.join("examples/asynq-signup", f), os.path.dirname(path))
        if parse:
            return [self.tools["gofmt"], "-e"]    # what is a part of a file may come as its input only
        return [self.tools["go"], "run", "-C", os.path.dirname(path), "."]

    def once(self, block, command):
        done = subprocess.run(command, input=block.text if block.lang in ("sql", "go") else "", text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, env=self.env,
                              cwd=self.dir)
        return done.returncode, done.stdout

    def background(self, block, command):
        out = tempfile.TemporaryFile("w+", encoding="utf-8")
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                 env=self.env, cwd=self.dir, start_new_session=True)
        self.children.append((child, out))
        end = time.time() + PATIENCE
        while True:
            time.sleep(0.05)
            ended = child.poll() is not None
            printed = os.pread(out.fileno(), 1 << 20, 0).decode()
            if ended:
                return "it ended", printed
            if block.output is None or matches(block.output, printed):
                return None, printed
            if time.time() > end:
                return "it does not print what the page says", printed

    def run(self, block):
        """Returns what is wrong, or None; and what it printed; False: cannot be done here."""
        parse = block.mode == "syntax"
        command = self.command(block, parse)
        if command is None:
            return False, ""
        if block.mode == "background":
            return self.background(block, command)
        end = time.time() + PATIENCE
        while True:
            rc, printed = self.once(block, command)
            wrong = None
            if (rc != 0) != (block.mode == "fails"):
                wrong = "it does not fail" if rc == 0 else "it fails with %d" % rc
            elif block.output is not None and not parse and not matches(block.output, printed):
                wrong = "it does not print what the page says"
            if not wrong or block.mode != "again" or time.time() > end:
                return wrong, printed
            time.sleep(0.05)


def tools():
    """What runs a language here, from the environment that test/docs/run has made."""
    found = {}
    for lang in ("python", "js", "go", "gofmt"):
        if os.environ.get("DOCS_" + lang.upper()):
            found[lang] = os.environ["DOCS_" + lang.upper()]
    return found


def undocumented():
    """Functions and settings that are on no page."""
    text = "\n".join(read(p) for p in pages())
    names = subprocess.run(
        ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres"], text=True, check=True, stdout=subprocess.PIPE,
        input=r"""
        CREATE EXTENSION outbox;
        SELECT DISTINCT p.proname FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.deptype = 'e'
            WHERE p.proname LIKE 'outbox\_%' AND p.prorettype <> 'trigger'::regtype
        UNION SELECT name FROM pg_settings WHERE name LIKE 'outbox.%'
        UNION SELECT 'outbox.' || relname FROM pg_class
            WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'v';
        DROP EXTENSION outbox;""").stdout.split()
    return ["%s is on no page" % n for n in sorted(set(names)) if not re.search(re.escape(n) + r"\b", text)]


def run(names):
    passed, parsed, skipped, unfetched, failed = {}, [], [], [], []

    def fail(what, printed=""):
        failed.append(what)
        print("not ok - " + what)
        for line in printed.split("\n")[-40:]:
            print("#   " + line)

    for what in undocumented():
        fail(what)
    for number, name in enumerate(names):
        found, faults = blocks(name)
        for fault in faults:
            fail(fault)
        for b in found:
            if b.mode in ("not run", "machine"):
                skipped.append("%s: %s" % (b, b.reason or "changes the machine, test/docs/bare runs it"))
        todo = [b for b in found if b.lang not in INERT and b.mode not in ("not run", "machine")]
        if not todo:
            continue
        page = Page(name, number, tools())
        start, before = time.time(), len(failed)
        try:
            page.begin(not any(b.lang == "sql" and b.mode != "fails" and re.search(r"^CREATE EXTENSION outbox", b.text, re.MULTILINE) for b in todo))
            for b in todo:
                try:
                    wrong, printed = page.run(b)
                except subprocess.TimeoutExpired:
                    wrong, printed = "it does not end", ""
                if wrong:
                    fail("%s: %s" % (b, wrong), printed)
                elif wrong is False:
                    unfetched.append("%s: nothing here to %s it" % (b, "parse" if b.mode == "syntax" else "run"))
                elif b.mode == "syntax":
                    parsed.append("%s: %s" % (b, b.reason))
                else:
                    passed[b.lang] = passed.get(b.lang, 0) + 1
        finally:
            page.end()
        if len(failed) == before:
            print("ok - %s: %d blocks, %.1f s" % (name, len(todo), time.time() - start), flush=True)
    print("== run: %d blocks (%s)" % (sum(passed.values()), ", ".join("%d %s" % (passed[k], k) for k in RUN if k in passed)))
    for title, lines in (("only parsed", parsed), ("not run", skipped), ("COULD NOT FETCH", unfetched)):
        print("== %s: %d" % (title, len(lines)))
        for line in lines:
            print("#   " + line)
    if failed:
        print("test/docs/run: FAILED: %d" % len(failed))
        return 1
    return 75 if unfetched else 0


def main():
    what, names = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]
    if what == "links":
        bad = links()
        for page in pages():
            bad += blocks(page)[1]
        print("\n".join(bad), end="\n" if bad else "")
        return 1 if bad else 0
    if what == "list":
        for page in pages():
            for b in blocks(page)[0]:
                if b.mode in ("syntax", "not run", "machine"):
                    print("%s: %s%s" % (b, b.mode, ": " + b.reason if b.reason else ""))
        return 0
    if what == "machine":
        for n, b in enumerate((b for b in blocks("README.md")[0] if b.mode == "machine"), 1):
            with open(os.path.join(names[0], "%d.sh" % n), "w", encoding="utf-8") as f:
                f.write(b.text)
        return 0
    if what == "run":
        return run(names or pages())
    sys.exit(__doc__)


sys.exit(main())
