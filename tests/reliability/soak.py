"""Restarts a daemon every second and rotates its log every two, for an hour, and looks for what grows.

    tests/soak [--minutes N | --seconds N] [--rsd FILE] [--report FILE] [--write]
    tests/soak --table FILE [--write]       the table of an earlier run, from its report

Two daemons of `--spec daemon` with a port below 1024 run side by side. `restarted` is restarted every second by
`rsd restart`; `kept` stays all the time, so that a growth of its keeper and its guard would be seen. The logs of both
are rotated every two seconds, `kept` is reloaded every ten, both are asked over their sockets every second, and each
answer leaves an orphan that the keeper has to bury. RSD_TEST_BIN is the rsd to test, otherwise target/release/rsd.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import document  # noqa: E402
import sandbox  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
KEPT_FILES = 5
# What a process may hold more of private memory than at first: the allocator's own steps.
GROWTH_KIB = 64
# What a keeper or a guard may have resident, a moment after it has done something; a build for tests has more code.
RESIDENT_KIB = int(os.environ.get("RSD_TEST_RESIDENT_KIB", 3 * 1024))
MOMENT = 0.2
SPEC = f"""rsd: 1
name: soak
extends: daemon
phases:
  openLog: {{ with: {{ keep: {KEPT_FILES} }} }}
"""


def is_record_lock(line):
    """Whether a line of /proc/locks is of a process of this place. The other kinds of lock may be anybody's."""
    return " POSIX " in line and int(line.replace("->", "").split()[4]) > 0


class Soak:
    def __init__(self, rsd):
        self.rsd = rsd
        self.spec = str(sandbox.TOP / "soak.yaml")
        Path(self.spec).write_text(SPEC)
        self.program = sandbox.compile_c(Path(__file__).with_name("worker.c"), sandbox.TOP / "worker")
        self.ports = {"restarted": 807, "kept": 808}
        self.counts = {"restarts": 0, "rotations": 0, "reloads": 0, "answers": 0}
        self.samples = []
        self.restart_ms = []

    def command(self, verb, name, *more):
        words = [self.rsd, verb, "--spec", self.spec, "--name", name, "--user", "svc"]
        words += ["--listen", f"tcp:127.0.0.1:{self.ports[name]}", *more, "--", self.program]
        begin = time.monotonic()
        done = subprocess.run(words, env=sandbox.ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        took = (time.monotonic() - begin) * 1000
        assert done.returncode == 0, f"rsd {verb} --name {name}: {done}"
        return took

    def keeper(self, name):
        return int(Path(f"/run/{name}.pid").read_text())

    def roles(self, name):
        """The processes of a daemon: its keeper, the guard and the program."""
        keeper = self.keeper(name)
        mine = os.readlink(f"/proc/{keeper}/exe")
        found = {"keeper": keeper}
        # The oldest child of each kind: an orphan that waits to be buried is the keeper's as well.
        for child in sorted(sandbox.children(keeper), key=lambda pid: int((sandbox.stat_fields(pid) or [0] * 20)[19])):
            if sandbox.state(child) not in (None, "Z"):
                found.setdefault("guard" if os.readlink(f"/proc/{child}/exe") == mine else "program", child)
        return found

    def restart(self):
        before = self.keeper("restarted")
        self.restart_ms.append(self.command("restart", "restarted"))
        self.counts["restarts"] += 1
        assert self.keeper("restarted") != before, "it was not restarted"

    def ask(self, name):
        """The daemon answers, and it is the program of the keeper that the PID file names."""
        with socket.create_connection(("127.0.0.1", self.ports[name]), timeout=30) as stream:
            answer = int(stream.makefile().readline())
        assert answer in sandbox.children(self.keeper(name)), f"{name}: process {answer} is not of its keeper"
        self.counts["answers"] += 1

    def rotate(self, name):
        log = Path(f"/var/log/{name}/{name}.log")
        before = log.stat().st_ino
        os.kill(self.keeper(name), signal.SIGUSR1)

        def rotated():
            try:
                return log.stat().st_ino != before
            except FileNotFoundError:
                return False

        assert sandbox.eventually(rotated), f"{name}: the log was not rotated"
        self.counts["rotations"] += 1

    def sample(self, since):
        """What there is now, once it has settled: orphans are buried, an ended daemon is gone."""
        first = self.samples[0]["counts"] if self.samples else None
        end = time.monotonic() + 20
        time.sleep(MOMENT)
        taken = before = None
        while time.monotonic() < end:
            try:
                taken = self.look()
            except OSError:
                continue  # an orphan that was just buried
            alike = before is not None and taken["counts"] == before["counts"]
            # Keeper, guard and program of each: whoever is more is an orphan that goes, or has gone.
            whole = taken["counts"]["processes"] == 3 * len(self.ports) and not taken["counts"]["zombies"]
            if alike and whole and first in (None, taken["counts"]):
                break
            before = taken
            time.sleep(0.05)
        self.samples.append({"seconds": round(time.monotonic() - since), **taken})

    def look(self):
        counts, memory = {}, {}
        for name in self.ports:
            for role, pid in self.roles(name).items():
                counts[f"descriptors, {name} {role}"] = len(sandbox.descriptors(pid))
                status = sandbox.status(pid)
                memory[f"{name} {role}"] = {"anon": int(status["RssAnon"][0]), "rss": int(status["VmRSS"][0])}
        everybody = sandbox.processes()
        counts["processes"] = len([p for p in everybody if sandbox.state(p) != "Z"])
        counts["zombies"] = len([p for p in everybody if sandbox.state(p) == "Z"])
        counts["files below /run"] = len(list(Path("/run").iterdir()))
        counts["record locks"] = sum(map(is_record_lock, Path("/proc/locks").read_text().splitlines()))
        counts["mounts"] = len(Path("/proc/self/mounts").read_text().splitlines())
        counts["listening"] = len([x for x in Path("/proc/net/tcp").read_text().splitlines() if x.split()[3] == "0A"])
        journals = {n: sorted(Path(f"/var/lib/rsd/{n}").glob("*.jsonl")) for n in self.ports}
        files = {
            "log files": sum(len(list(Path(f"/var/log/{n}").iterdir())) for n in self.ports),
            "journals of restarted": len(journals["restarted"]),
            "bytes of the journals of restarted": sum(j.stat().st_size for j in journals["restarted"]),
            "bytes of the journal of kept": sum(j.stat().st_size for j in journals["kept"]),
        }
        return {"counts": counts, "memory": memory, "files": files}

    def run(self, seconds):
        before = set(Path("/run").iterdir())
        for name in self.ports:
            self.command("run", name)
        # Twenty journals are kept, and six log files: only then is the state steady.
        warm = min(30, seconds // 3)
        begin = time.monotonic()
        every = max(1, seconds // 120)
        tick = late = 0
        while (now := time.monotonic() - begin) < seconds:
            tick += 1
            self.restart()
            for name in self.ports:
                self.ask(name)
            if tick % 2 == 0:
                for name in self.ports:
                    self.rotate(name)
            if tick % 10 == 0:
                self.command("reload", "kept")
                self.counts["reloads"] += 1
            if now >= warm and (tick % every == 0 or not self.samples):
                self.sample(begin)
            rest = begin + tick - time.monotonic()
            if rest > 0:
                time.sleep(rest)
            else:
                late += 1
        self.sample(begin)
        for name in self.ports:
            self.command("stop", name)
        sandbox.eventually(lambda: not sandbox.processes())
        left = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in sandbox.processes()]
        left += [str(path) for path in Path("/run").iterdir() if path not in before]
        assert not left, f"left at the end: {left}"
        tenth = max(1, len(self.restart_ms) // 10)
        return {
            "seconds": round(time.monotonic() - begin),
            "kernel": platform.release(),
            "version": os.popen(f"{self.rsd} --version").read().strip(),
            **self.counts,
            "late": late,
            "restart_ms": {
                "first_tenth": round(statistics.median(self.restart_ms[:tenth]), 2),
                "last_tenth": round(statistics.median(self.restart_ms[-tenth:]), 2),
                "worst": round(max(self.restart_ms), 1),
            },
            "samples": self.samples,
        }


def growth(report):
    """What grew, in words."""
    first, last = report["samples"][0], report["samples"][-1]
    for what, number in first["counts"].items():
        for sample in report["samples"]:
            if sample["counts"].get(what) != number:
                yield f"{what}: {number} at {first['seconds']} s, {sample['counts'].get(what)} at {sample['seconds']} s"
                break
    for who, was in first["memory"].items():
        more = last["memory"][who]["anon"] - was["anon"]
        if more > GROWTH_KIB:
            yield f"private memory of {who}: {more} KiB more"
    for sample in report["samples"]:
        for who, memory in sample["memory"].items():
            if memory["rss"] > RESIDENT_KIB and not who.endswith(" program"):
                yield f"resident memory of {who}: {memory['rss']} KiB at {sample['seconds']} s"
    # Each run keeps twenty journals, and a run that is going on.
    if last["files"]["journals of restarted"] > 21:
        yield f"journals of restarted: {last['files']['journals of restarted']}"
    if last["files"]["log files"] > 2 * (KEPT_FILES + 1):
        yield f"log files: {last['files']['log files']}"


def table(report):
    first, last = report["samples"][0], report["samples"][-1]
    minutes = report["seconds"] / 60
    yield (
        f"{minutes:.0f} minutes: {report['restarts']} restarts, {report['rotations']} rotations, {report['reloads']} "
        f"reloads, {report['answers']} answers, each with an orphan to bury; {len(report['samples'])} samples. "
        f"Linux {report['kernel']}."
    )
    yield ""
    yield f"| | after {first['seconds']} s | at the end | most in between |"
    yield "|---|---|---|---|"
    for what in first["counts"]:
        most = max(s["counts"].get(what, 0) for s in report["samples"])
        yield f"| {what} | {first['counts'][what]} | {last['counts'].get(what)} | {most} |"
    for who in first["memory"]:
        most = {kind: max(s["memory"][who][kind] for s in report["samples"]) for kind in ("anon", "rss")}
        at = [s["memory"][who] for s in (first, last)]
        cells = " | ".join(f"{m['anon']} ({m['rss']})" for m in [*at, most])
        yield f"| private memory of {who}, KiB (resident) | {cells} |"
    for what in first["files"]:
        most = max(s["files"][what] for s in report["samples"])
        yield f"| {what} | {first['files'][what]} | {last['files'][what]} | {most} |"
    took = report["restart_ms"]
    yield f"| a restart takes, ms (median of a tenth) | {took['first_tenth']} | {took['last_tenth']} | {took['worst']} (the worst) |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--rsd", default=os.environ.get("RSD_TEST_BIN", str(ROOT / "target/release/rsd")))
    parser.add_argument("--report", help="write every sample there, as JSON")
    parser.add_argument("--table", metavar="FILE", help="only print the table of this report")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    arguments = parser.parse_args()
    if arguments.table:
        report = json.loads(Path(arguments.table).read_text())
    else:
        # The report is opened here, where the path means what it says.
        handle = os.environ.get("RSD_SOAK_REPORT")
        if arguments.report and handle is None:
            handle = os.open(arguments.report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.environ["RSD_SOAK_REPORT"] = str(handle)
        arguments.rsd = os.path.abspath(arguments.rsd)
        sandbox.enter(keep=[ROOT, arguments.rsd], descriptors=[int(handle)] if handle else [])
        report = Soak(arguments.rsd).run(arguments.seconds or round(arguments.minutes * 60))
        if handle is not None:
            os.write(int(handle), json.dumps(report, indent=1).encode())
    lines = list(table(report))
    print("\n".join(lines))
    if arguments.write:
        document.put("soak", lines)
    grew = list(growth(report))
    for line in grew:
        print(f"grew: {line}")
    sys.exit(1 if grew else 0)


if __name__ == "__main__":
    main()
