# Copyright (c) 2026, the outbox developers
"""growth: the time per message, of a large backlog against a small one.

Two million messages (--size growth=N) against 20,000, staged and drained as in
delivery.py; small ones several times before and after the large one, since each
lasts only some tens of milliseconds.  Redis' own share of any growth (memory that
it must first get from the system) shows in the second line: the same for plain XADD.

While the large one drains, the relay's memory is watched: RssAnon is what it
allocated; VmHWM also counts the pages of shared buffers that it has touched.
"""

import threading

from delivery import drain, pile_up, plain
from report import compare
from servers import TEXT

STREAM = "bench_growth"
FEW = 20_000


class MemoryWatch(threading.Thread):
    """The largest RssAnon seen, looked at every 20 ms; VmHWM from the kernel."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path = f"/proc/{pid}/status"
        self.done = threading.Event()
        self.anon_kb = self.high_water_kb = 0

    def run(self):
        while not self.done.wait(0.02):
            self.look()

    def look(self):
        try:
            with open(self.path) as f:
                fields = dict(line.split(":", 1) for line in f)
        except OSError:
            return
        self.anon_kb = max(self.anon_kb, int(fields["RssAnon"].split()[0]))
        self.high_water_kb = int(fields["VmHWM"].split()[0])

    def finish(self):
        self.done.set()
        self.join()
        self.look()


def ours(bench, messages):
    pile_up(bench, [STREAM], messages)
    return drain(bench, [STREAM], messages, 1800)


def run(bench):
    large = bench.size("growth", 2_000_000, 100_000)
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}', {TEXT})")
    watch = MemoryWatch(bench.relay_pid())
    beside = bench.rounds(4)
    lines = []
    for name, once, wanted in (
            (f"growth, {large:,} against {FEW:,}", ours, "<= 1.2"),
            ("growth of plain XADD", lambda b, n: plain(b, n, "idiom"), "")):
        few = [once(bench, FEW) for _ in range(beside)]
        if once is ours:
            watch.start()
        many = once(bench, large)
        if once is ours:
            watch.finish()
        few += [once(bench, FEW) for _ in range(beside)]
        lines.append(compare(name, [1e6 / many.rate] * len(few),
                             [1e6 / run.rate for run in few], "us/msg", wanted))
        if once is ours:
            lines.append(compare(f"{name}, CPU of the relay", [many.sender_us] * len(few),
                                 [run.sender_us for run in few], "us/msg", wanted))
    note = (f"growth: relay memory at a backlog of {large:,}: "
            f"{watch.anon_kb / 1024:.1f} MB of its own (RssAnon), "
            f"{watch.high_water_kb / 1024:.1f} MB with shared buffers (VmHWM)")
    return lines, [note]
