#!/usr/bin/env python3
# Copyright (c) 2026, the outbox developers
"""Random simulation of the delivery protocol: ticks by snapshot pair, cursor and skip list in Redis, the apply
script, two-stage recovery, pauses, poison messages with keys held behind them, dead letters, crashes with lost WAL, Redis losing
its last writes, failover to a lagging standby with xid and seq reuse, a zombie primary.
Usage: sim.py SEEDS [STEPS] [BUG]   BUG names a rule to leave out, to see that the checker notices."""
import random, sys
BUG = sys.argv[3] if len(sys.argv) > 3 else ""
QS = ("a", "b", "c")                      # a: retry policy with keys; b: paused and resumed; c: plain

class Snap:
    def __init__(s, xmax=3, xip=()): s.xmax, s.xip = xmax, frozenset(xip)
    def vis(s, x): return x < s.xmax and x not in s.xip
    def clip(s, k): return Snap(min(s.xmax, k), (x for x in s.xip if x < k))
    def __eq__(s, o): return (s.xmax, s.xip) == (o.xmax, o.xip)
    def __hash__(s): return hash((s.xmax, s.xip))
    def __repr__(s): return f"{s.xmax}:{sorted(s.xip)}"
NONE = Snap()

class Cur:                                # covered: rows visible in prev, and rows visible in cur up to seq
    def __init__(s, tli, prev, cur, seq): s.t = (tli, prev, cur, seq); s.tli, s.prev, s.cur, s.seq = s.t
    def covers(s, r): return s.prev.vis(r.xid) or (s.cur.vis(r.xid) and r.seq <= s.seq)
    def __eq__(s, o): return o is not None and s.t == o.t
    def __hash__(s): return hash(s.t)
    def __repr__(s): return str(s.t)

class Row:
    def __init__(s, seq, xid, tli, q, mid, key): s.seq, s.xid, s.tli, s.q, s.mid, s.key = seq, xid, tli, q, mid, key
    def __repr__(s): return f"{s.mid}@{s.seq}/x{s.xid}/t{s.tli}/{s.q}{s.key}"

class PG:
    def __init__(s): s.tli = 1; s.wal = []; s.flushed = 0; s.nextx = 3; s.prog = {}; s.rows = []; s.seq = 0; s.ended = 3; s.defer = {}; s.dead = {}; s.paused = set()
    def log(s, *ev): s.wal.append(ev)
    def flush(s): s.flushed = len(s.wal)
    def begin(s): x = s.nextx; s.nextx += 1; s.prog[x] = []; return x
    def enqueue(s, x, q, mid, key): s.seq += 1; r = Row(s.seq, x, s.tli, q, mid, key); s.prog[x].append(r); s.log("row", r)
    def end(s, x, ok, sync):
        s.log("commit" if ok else "abort", x)
        if ok and sync: s.flush()
        rs = s.prog.pop(x); s.ended = max(s.ended, x + 1)
        if ok: s.rows += rs
    def spill(s, r): s.defer.setdefault(r.seq, r); s.log("spill", r)                  # same identity; on conflict do nothing; needn't be flushed
    def unspill(s, seq): s.defer.pop(seq, None); s.log("unspill", seq)                   # lazy: no flush needed
    def bury(s, r): s.defer.pop(r.seq, None); s.dead[r.seq] = r; s.log("bury", r)
    def snap(s): return Snap(s.ended, (x for x in s.prog if x < s.ended))
    def replay(s, n, tli):
        p = PG(); p.tli = tli; p.wal = s.wal[:n]; p.flushed = n; rows = {}; p.paused = set(s.paused)
        for ev, v in p.wal:
            if ev == "row": rows.setdefault(v.xid, []).append(v); p.nextx = max(p.nextx, v.xid + 1); p.seq = max(p.seq, v.seq)
            elif ev == "commit": p.rows += rows.pop(v, []); p.nextx = max(p.nextx, v + 1)
            elif ev == "abort": rows.pop(v, None); p.nextx = max(p.nextx, v + 1)
            elif ev == "spill": p.defer.setdefault(v.seq, v)
            elif ev == "unspill": p.defer.pop(v, None)
            elif ev == "bury": p.defer.pop(v.seq, None); p.dead[v.seq] = v
        p.ended = p.nextx; return p

class Redis:
    def __init__(s): s.cur = {}; s.skip = {q: frozenset() for q in QS}; s.lists = {q: [] for q in QS}; s.hist = []; s.poison = {}
    def keep(s): s.hist.append((dict(s.cur), dict(s.skip), {q: list(l) for q, l in s.lists.items()})); s.hist = s.hist[-40:]
    def lose(s, k):
        for _ in range(min(k, len(s.hist))): s.cur, s.skip, s.lists = s.hist.pop()
    def bad(s, r):
        if s.poison.get(r.mid, 0) > 0: s.poison[r.mid] -= 1; return True
    def apply(s, q, expect, ops, final):                                                 # ops: (row, cursor, skip?)
        have = s.cur.get(q)
        if have == final and expect != final: return "ok", None                         # an answer was lost
        if have != expect and BUG != "nocas": return "differs", None
        s.keep()
        for r, c, skip in ops:
            if skip: s.skip[q] |= {r.seq}
            elif s.bad(r): return "failed", r
            else: s.lists[q].append(r.mid)
            s.cur[q] = c
        s.cur[q] = final; return "ok", None
    def skipping(s, q, expect, ops, final):                                              # what fails is skipped, and what is of its key
        if s.cur.get(q) != expect and BUG != "nocas": return "differs", None
        s.keep(); failed = []; keys = set()
        for r, c, skip in ops:
            if skip: s.skip[q] |= {r.seq}
            elif (r.key in keys and BUG != "nobehind") or s.bad(r): s.skip[q] |= {r.seq}; failed.append(r); keys.add(r.key)
            else: s.lists[q].append(r.mid)
        s.cur[q] = final; return "ok", failed
    def takeover(s, q, expect, final, skip):
        if s.cur.get(q) != expect and BUG != "nocas": return "differs"
        s.keep(); s.cur[q] = final; s.skip[q] = frozenset(skip); return "ok"
    def retry(s, q, expect, r):                                                          # a skipped one, tried again
        if s.cur.get(q) != expect and BUG != "nocas": return "differs"
        if r.seq not in s.skip[q]: return "ok"
        s.keep()
        if s.bad(r): return "failed"
        s.lists[q].append(r.mid); s.skip[q] -= {r.seq}; return "ok"

class Relay:
    def __init__(s, pg, rd): s.pg, s.rd = pg, rd; s.up = False; s.fenced = False; s.tries = {}; s.skipping = False
    def crash(s): s.up = False
    def recover(s, only=None):
        pg = s.pg; now = pg.snap() if only is None else s.prev; pg.flush()
        if only is None: s.work = []; s.cur = {}; s.still = set()
        for q in QS if only is None else only:
            have = c = s.rd.cur.get(q); skip = s.rd.skip[q]
            if c is not None and c.tli > pg.tli: s.fenced = True; return
            if c is None: c = Cur(pg.tli, NONE, NONE, 0); skip = frozenset()
            if c.tli < pg.tli:
                old = [r for r in pg.rows if r.tli <= c.tli]
                k = max([r.xid for r in old]) + 1 if old else 3
                if BUG == "noclip": k = 10**9
                c = Cur(pg.tli, c.prev.clip(k), c.cur.clip(k), c.seq)
                if BUG != "staleskip": skip = frozenset(x for x in skip if any(r.seq == x and r.q == q and c.covers(r) for r in old))
            if s.rd.takeover(q, have, c, skip) == "differs": s.up = False; return
            s.cur[q] = c; todo = []
            for r in pg.rows:
                if r.q != q: continue
                if c.covers(r):
                    if r.seq in skip and r.seq not in pg.defer and r.seq not in pg.dead and BUG != "norespill": pg.spill(r)
                    elif r.seq not in skip and pg.defer.get(r.seq) is r: pg.unspill(r.seq)   # applied before the crash
                elif now.vis(r.xid): todo.append(r)
            if q in pg.paused: s.still.add(q); continue
            s.still.discard(q)
            one = sorted((r for r in todo if c.cur.vis(r.xid)), key=lambda r: r.seq)
            two = sorted((r for r in todo if not c.cur.vis(r.xid)), key=lambda r: r.seq)
            if BUG == "onestage": s.work += [(q, [(r, Cur(pg.tli, NONE, now, r.seq))]) for r in sorted(one + two, key=lambda r: r.seq)]
            else:
                s.work += [(q, [(r, Cur(pg.tli, c.prev, c.cur, r.seq))]) for r in one]
                s.work += [(q, [(r, Cur(pg.tli, c.cur, now, r.seq))]) for r in two]
        if only is None: s.prev = now; s.up = True
    def retry(s, rng):
        pg = s.pg; q = "a"; heads = {}
        for r in sorted(pg.defer.values(), key=lambda r: r.seq):
            if r.q == q and s.cur[q].covers(r): heads.setdefault(r.key, r)
        if not heads: return
        r = rng.choice(list(heads.values()))
        st = s.rd.retry(q, s.cur[q], r)
        if st == "differs": s.up = False
        elif st == "ok":
            if rng.random() < .2: s.up = False; return                                   # dies between Redis and PostgreSQL
            pg.unspill(r.seq)
        elif s.tries.setdefault(r.mid, 0) > 2: pg.bury(r)
        else: s.tries[r.mid] += 1
    def step(s, rng):
        if s.fenced: return
        if not s.up: return s.recover()
        pg = s.pg
        if rng.random() < .15: return s.retry(rng)
        if not s.work:
            back = [q for q in s.still if q not in pg.paused]
            if back: return s.recover(back)
            now = pg.snap()
            if BUG != "noflush": pg.flush()
            new = sorted((r for r in pg.rows if now.vis(r.xid) and not s.prev.vis(r.xid)), key=lambda r: r.seq)
            if BUG == "gap": hi = getattr(s, "hi", 0); new = [r for r in new if r.seq > hi]; s.hi = max([hi] + [r.seq for r in new])
            for q in QS:
                if q in s.still or q in pg.paused: s.still.add(q); continue               # its cursor stands still
                b = [(r, Cur(pg.tli, s.prev, now, r.seq)) for r in new if r.q == q]
                while b: k = rng.randint(1, 3); s.work.append((q, b[:k])); b = b[k:]
            s.prev = now; return
        i = 0
        if rng.random() < .5: qs = [w[0] for w in s.work]; i = qs.index(rng.choice(qs))   # another queue first; order kept within one
        q, msgs = s.work[i]
        held = {r.key for r in pg.defer.values() if r.q == q}; ops = []
        for r, c in msgs:
            if r.key in held and q == "a":
                if r.seq not in pg.dead: pg.spill(r)
                ops.append((r, c, True))
            elif r.seq in pg.dead: ops.append((r, c, True))
            else: ops.append((r, c, False))
        final = msgs[-1][1]
        if q == "a" and (s.skipping or any(o[2] for o in ops)):
            st, failed = s.rd.skipping(q, s.cur[q], ops, final)
            if st == "differs" or rng.random() < .2: s.up = False; return                     # the answer was lost, or dies before it is recorded
            for r in failed: pg.spill(r)
            s.skipping = bool(failed); s.cur[q] = final; del s.work[i]; return
        for _ in range(rng.choice((1, 1, 1, 2))):                                         # 2: the answer was lost, sent again
            st, bad = s.rd.apply(q, s.cur[q], ops, final)
            if st == "differs": s.up = False; return
            if st == "failed": s.skipping = True; s.work = [w for w in s.work if w[0] != q]; s.recover([q]); return
        s.cur[q] = final; del s.work[i]

def run(seed, steps):
    rng = random.Random(seed); pg = PG(); rd = Redis(); rl = Relay(pg, rd); zombies = []; open_ = {}; nid = 0
    start = {}; ctime = {}; key = {}; failed = False; lossy = rng.random() < .5; ha = rng.random() < .5
    for t in range(steps):
        a = rng.random()
        if a < .12: open_[pg.begin()] = []
        elif a < .38 and open_:
            x = rng.choice(list(open_)); nid += 1; m = f"m{nid}"; open_[x].append(m); start[m] = t; q = rng.choice(QS); key[m] = rng.choice("xyz") if q == "a" else q
            if q == "a" and rng.random() < .25: rd.poison[m] = rng.choice((1, 2, 3, 99))
            pg.enqueue(x, q, m, key[m])
        elif a < .52 and open_:
            x = rng.choice(list(open_)); ok = rng.random() < .8; pg.end(x, ok, rng.random() < .6)
            for m in open_.pop(x):
                if ok: ctime[m] = t
        elif a < .90: rl.step(rng)
        elif a < .915: rl.crash()
        elif a < .93: pg.paused ^= {"b"}
        elif a < .945: z = Relay(pg.replay(pg.flushed, pg.tli), rd); z.fenced = rl.fenced; pg, rl, open_ = z.pg, z, {}   # unflushed WAL is gone
        elif a < .955 and lossy: rd.lose(rng.randint(1, 6)); rl.crash()                   # losing writes always breaks the connection
        elif a < .965 and ha:
            n = rng.randint(max(0, len(pg.wal) - 15), len(pg.wal)); zombies = [(pg, rl, rng.randint(0, 30))]
            pg = pg.replay(n, pg.tli + 1); open_ = {}; rl = Relay(pg, rd); failed = True
        for zp, zr, left in list(zombies):
            if left > 0 and rng.random() < .5:
                zr.step(rng)
                if rng.random() < .3: x = zp.begin(); nid += 1; zp.enqueue(x, rng.choice(QS), f"z{nid}", "z"); zp.end(x, True, True)
        zombies = [(zp, zr, l - 1) for zp, zr, l in zombies if l > 1]
    for x in list(open_): pg.end(x, True, True); [ctime.__setitem__(m, t) for m in open_[x]]
    pg.paused = set()
    for _ in range(2500): rl.step(rng)
    bad = []
    if rl.fenced: bad.append("current relay is fenced")
    if pg.defer: bad.append(f"still deferred: {pg.defer}")
    for q in QS:
        got = rd.lists[q]; dead = [r.mid for r in pg.dead.values()]; want = [r.mid for r in pg.rows if r.q == q]
        if len(got) != len(set(got)): bad.append(f"duplicate in {q}: {[m for m in set(got) if got.count(m) > 1]}")
        miss = set(want) - set(got) - set(dead)
        if miss: bad.append(f"lost in {q}: {miss}")
        both = set(got) & set(dead)
        if both: bad.append(f"applied and dead in {q}: {both}")
        ph = set(got) - set(want)
        if ph and not failed: bad.append(f"phantom in {q}: {ph}")
        pos = {m: i for i, m in enumerate(got)}; w = [m for m in want if m in pos]
        for m in w:
            for n in w:
                if m in ctime and n in start and key[m] == key[n] and ctime[m] < start[n] and pos[m] > pos[n]: bad.append(f"order in {q}: {m} committed before {n} began, arrived after"); break
    return bad

if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500; steps = int(sys.argv[2]) if len(sys.argv) > 2 else 300; fails = 0
    for seed in range(n):
        bad = run(seed, steps)
        if bad:
            fails += 1
            if fails <= 5: print("seed", seed, bad[:3])
    print(f"{n} schedules, {fails} failed{' with ' + BUG if BUG else ''}"); sys.exit(fails > 0)
