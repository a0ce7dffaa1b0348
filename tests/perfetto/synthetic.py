#!/usr/bin/env python3
"""Journals that no run here makes: synthetic.py many N | parallel N

many:      N phases one behind the other in groups, each needs the one before it and the one ten before it.
parallel:  N phases in three processes at once, under three identities.
"""

import json
import random
import sys

ALL = "1ffffffffff"


def identity(uid, caps, root="/"):
    return {
        "uid": [uid] * 3,
        "gid": [uid] * 3,
        "groups": [],
        "caps": [caps, caps, "0", "0", ALL],
        "root": root,
        "cwd": "/",
        "umask": "022",
    }


def header(i, groups, needs):
    return {
        "name": f"phase{i}",
        "groups": groups,
        "kind": "kind",
        "process": "daemon",
        "needs": [f"phase{n}" for n in needs],
        "skipped": None,
        "detail": "",
    }


def write(t, pid, ev, **more):
    print(json.dumps({"t": 7_000_000_000 + t, "pid": pid, "ev": ev, **more}, separators=(",", ":")))


def begin(name, phases, pid):
    write(0, pid, "run", schema=1, spec=name, run="beef", version="0.1.0", wall_ns=1795325210000000000, phases=phases)


def many(n):
    phases = [header(i, [f"group{i * 100 // n}"], sorted({i - 1, i - 10} & set(range(i)))) for i in range(n)]
    begin("many", phases, 10)
    write(0, 10, "identity", identity=identity(0, ALL))
    t = 0
    for i in range(n):
        write(t, 10, "enter", phase=f"phase{i}")
        t += random.randint(1, 2_000_000)
        if i == n // 2:
            write(t, 10, "identity", identity=identity(1000, "0"))
        write(t, 10, "exit", phase=f"phase{i}", state="done")
        t += random.choice((0, 0, 40, 4_000))
    write(t, 10, "ready")
    write(t, 10, "end", outcome="completed", code=0)


def parallel(n):
    who = {20: (0, ALL), 21: (1000, "400"), 22: (1001, "0")}
    needs = [[random.randrange(i // 3 * 3)] if i >= 3 and i % 2 else [] for i in range(n)]
    begin("parallel", [header(i, [f"process{i % 3}"], needs[i]) for i in range(n)], 20)
    write(0, 20, "identity", identity=identity(*who[20]))
    write(900, 20, "fork", parent=20, role="helper", child=21)
    write(2_400, 20, "fork", parent=20, role="helper", child=22)
    ends = {}
    events = []
    clock = {pid: 3_000 for pid in who}
    for i in range(n):
        pid = 20 + i % 3
        start = max([clock[pid], *(ends[k] for k in needs[i])])
        ends[i] = clock[pid] = start + random.randint(500, 300_000)
        events.append((start, 1, pid, "enter", {"phase": f"phase{i}"}))
        events.append((ends[i], 0, pid, "exit", {"phase": f"phase{i}", "state": "done"}))
    for pid in (21, 22):
        write(2_500, pid, "identity", identity=identity(*who[pid]))
    for t, _, pid, ev, more in sorted(events, key=lambda e: e[:2]):
        write(t, pid, ev, **more)
    end = max(ends.values())
    write(end, 20, "ready")
    write(end + 1, 20, "end", outcome="completed", code=0)


random.seed(5)
{"many": many, "parallel": parallel}[sys.argv[1]](int(sys.argv[2]))
