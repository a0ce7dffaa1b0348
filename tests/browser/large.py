"""A journal of so many phases in four groups, one after the other."""
import json, sys

n = int(sys.argv[1])
out = sys.stdout


def say(t, **what):
    out.write(json.dumps({"t": t, "pid": 7, **what}, separators=(",", ":")) + "\n")


phases = [
    {"name": f"phase{i}", "groups": [f"group{i * 4 // n}"], "kind": "kind", "process": "daemon", "needs": [],
     "skipped": None, "detail": ""}
    for i in range(n)
]
say(0, ev="run", schema=1, spec="large", run="b166", version="0.1.0", wall_ns=1795325210000000000, phases=phases)
caps = ["1ffffffffff", "1ffffffffff", "0", "0", "1ffffffffff"]
say(0, ev="identity", identity={"uid": [0] * 3, "gid": [0] * 3, "groups": [], "caps": caps, "root": "/", "cwd": "/",
                                "umask": "022"})
t = 0
for i in range(n):
    say(t, ev="enter", phase=f"phase{i}")
    t += (i * 7919 % 1000 + 1) * 1000
    say(t, ev="exit", phase=f"phase{i}", state="done")
say(t, ev="ready")
say(t, ev="end", outcome="completed", code=0)
