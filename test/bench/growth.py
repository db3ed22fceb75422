"""growth: the time per message, of a large backlog against a small one.

Two million messages against 20,000, staged and drained as in delivery.py; the
small one several times before and after the large one, since it lasts only
some tens of milliseconds.  A second line has the processor time that the relay
itself used per message, which other work on the machine hardly touches.  While the large one drains, the relay's memory is
watched: RssAnon is what it allocated; VmHWM also counts the pages of shared
buffers that it has touched.
"""

import threading

from delivery import drain, pile_up
from report import compare

STREAM = "bench_growth"


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


def processor_us(pid):
    """Time that the process has run, in microseconds."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1000


def measure(bench, messages):
    """(us per message, the relay's own us per message)"""
    pile_up(bench, STREAM, messages)
    pid = bench.relay_pid()
    before = processor_us(pid)
    rate = drain(bench, STREAM, messages, 1800)
    return 1e6 / rate, (processor_us(pid) - before) / messages


def run(bench):
    large, small = (100_000, 5_000) if bench.quick else (2_000_000, 20_000)
    bench.postgres.psql(f"SELECT outbox_create_queue('{STREAM}')")
    few = [measure(bench, small) for _ in range(5)]
    watch = MemoryWatch(bench.relay_pid())
    watch.start()
    many = measure(bench, large)
    watch.finish()
    few += [measure(bench, small) for _ in range(5)]
    name = f"growth, {large:,} against {small:,}"
    lines = [compare(name, [many[0]] * len(few), [f[0] for f in few], "us/msg",
                     "<= 1.2"),
             compare("growth, the relay's own CPU", [many[1]] * len(few),
                     [f[1] for f in few], "us/msg")]
    note = (f"growth: relay memory at a backlog of {large:,}: "
            f"{watch.anon_kb / 1024:.1f} MB of its own (RssAnon), "
            f"{watch.high_water_kb / 1024:.1f} MB with shared buffers (VmHWM)")
    return lines, [note]
