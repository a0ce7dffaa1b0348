#!/usr/bin/python3
"""`rsd twistd` beside Twisted's twistd: time to "reactor running", paths without Python, memory.

    cargo build --release && tests/all --install && benches/twistd.py [--rounds N] [--write]

Both are started in turn, in one place, so that whatever else the machine does falls on both; what is
told are medians. `--write` puts the figures into docs/twistd.md.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "twistd"))

import place as p  # noqa: E402

BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
AIMS = {"running": 1.03, "without Python": 30.0, "memory": 3.0}

TAC = """\
import os, time
from twisted.application import service
from twisted.internet import reactor
application = service.Application("speed")
service.MultiService().setServiceParent(application)
def running():
    now = time.monotonic_ns()
    with open("/proc/self/status") as lines:
        memory = [line.split()[1] for line in lines if line.startswith("VmRSS")][0]
    with open("/mnt/seen/running.part", "w") as out:
        out.write(f"{now} {memory} {os.getpid()}")
    os.rename("/mnt/seen/running.part", "/mnt/seen/running")
reactor.callWhenRunning(running)
"""

# What needs no Python, and the words of both; where twistd has no such command, its cheapest, `--version`.
FAST = {
    "PID file refuses": (["-y", "app.tac"], ["twistd", "-y", "app.tac"]),
    "bad option": (["--no-such-option"], ["twistd", "--no-such-option"]),
    "--version": (["--version"], ["twistd", "--version"]),
    "--help": (["--help"], ["twistd", "--help"]),
    "status": (["--version"], ["status", "--pidfile=twistd.pid"]),
    "check": (["--version"], ["check", "--spec=twistd", "-y", "app.tac"]),
}


def started(b, *words):
    """One start in the foreground: milliseconds to running, and KiB of memory."""
    seen = p.SEEN / "running"
    seen.unlink(missing_ok=True)
    begin = time.monotonic_ns()
    process = b.spawn(b.command(*words))
    assert p.eventually(seen.exists, 60), "it never ran"
    now, memory, pid = map(int, seen.read_text().split())
    if "-n" not in words:
        process.wait()
    beside = sum(rss(each) for each in p.others(pid))
    os.kill(pid, signal.SIGTERM)
    process.wait()
    assert p.eventually(lambda: not p.others())
    return (now - begin) / 1e6, memory, memory + beside


def rss(pid):
    return int(p.status(pid).get("VmRSS", ["0"])[0])


def timed(b, command):
    begin = time.monotonic_ns()
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=b.clean)
    return (time.monotonic_ns() - begin) / 1e6


def measure(b):
    rounds = range(b.settings["rounds"])
    b.environment["PYTHONDONTWRITEBYTECODE"] = ""
    b.clean = {
        "PATH": f"{p.VENV}/bin:/usr/bin:/bin", "VIRTUAL_ENV": str(p.VENV), "LC_ALL": "C.UTF-8",
    }
    b.file("app.tac", TAC)
    found = {"rounds": len(rounds)}
    for name, words in {"foreground": ["-n", "-y", "app.tac"], "daemon": ["-y", "app.tac"]}.items():
        runs = {"theirs": [], "ours": []}
        for number in range(len(rounds) + 1):
            for side in ("theirs", "ours") if number % 2 else ("ours", "theirs"):
                b.theirs = side == "theirs"
                runs[side].append(started(b, *words))
        found[name] = {side: list(zip(*each[1:])) for side, each in runs.items()}
    # A daemon that runs, for what looks at one.
    b.theirs = False
    (p.SEEN / "running").unlink()
    assert b.finish(b.spawn(b.command("-y", "app.tac"))).code == 0
    their = [str(p.VENV / "bin/python"), str(p.VENV / "bin/twistd")]
    fast = {}
    for name, (theirs, ours) in FAST.items():
        pairs = [(timed(b, their + theirs), timed(b, [str(p.RSD), *ours])) for _ in rounds]
        fast[name] = list(zip(*pairs))
    stops = [timed(b, [str(p.RSD), "stop", "--pidfile=none.pid"]) for _ in rounds]
    fast["stop, nothing runs"] = [fast["--version"][0], stops]
    found["fast"] = fast
    return found


def report(found):
    """The figures as Markdown, and whether every aim is met."""
    lines, good = [], True
    lines.append(f"Medians of {found['rounds']} rounds, both in turn; aims in brackets.\n\n")
    lines.append("| to \"reactor running\" | twistd, ms | rsd twistd, ms | ratio |\n|---|---|---|---|\n")
    for name in ("foreground", "daemon"):
        theirs, ours = (found[name][side][0] for side in ("theirs", "ours"))
        ratio = statistics.median(o / t for t, o in zip(theirs, ours))
        good &= ratio <= AIMS["running"]
        lines.append(
            f"| {name} | {statistics.median(theirs):.1f} | {statistics.median(ours):.1f} "
            f"| {ratio:.3f} (at most {AIMS['running']}) |\n"
        )
    lines.append("\n| without Python | twistd, ms | rsd, ms | times faster |\n|---|---|---|---|\n")
    for name, (theirs, ours) in found["fast"].items():
        theirs, ours = statistics.median(theirs), statistics.median(ours)
        good &= theirs / ours >= AIMS["without Python"]
        lines.append(f"| {name} | {theirs:.1f} | {ours:.2f} | {theirs / ours:.0f} (at least 30) |\n")
    lines.append("\n| memory once it runs | twistd, MiB | rsd twistd, MiB | more, MiB |\n|---|---|---|---|\n")
    for name in ("foreground", "daemon"):
        for what, column in (("the daemon", 1), ("with all processes beside it", 2)):
            theirs, ours = (statistics.median(found[name][s][column]) / 1024 for s in ("theirs", "ours"))
            good &= ours - theirs <= AIMS["memory"]
            lines.append(
                f"| {name}, {what} | {theirs:.1f} | {ours:.1f} "
                f"| {ours - theirs:.1f} (at most {AIMS['memory']:.0f}) |\n"
            )
    return "".join(lines), good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        p.inside(measure, "theirs")
    settings = {
        "venv": os.environ.get("RSD_TEST_TWISTED", str(ROOT / "target/twisted-venv")),
        "rsd": os.environ.get("RSD_TEST_BIN", str(ROOT / "target/release/rsd")),
        "rounds": arguments.rounds,
    }
    p.LIMIT = 600.0
    got = p.outside(str(Path(__file__).resolve()), "speed", "theirs", settings)
    if "result" not in got:
        print("\n".join(str(value) for value in got.values()))
        return 1
    text, good = report(got["result"])
    print(text)
    if arguments.write:
        document = ROOT / "docs" / "twistd.md"
        whole = document.read_text()
        before, after = whole.partition(BEGIN)[0], whole.partition(END)[2]
        document.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
