"""The log: who owns it, what stands in it, and whether it rotates."""

import os
import re
import signal
import socket
from pathlib import Path

import place as p
import tacs
from registry import add, facts
from state import prefixed

STAMP = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} "


def started(b, *words, tac=tacs.WRITER, **how):
    b.file("app.tac", tac)
    out = b.twistd("-y", "app.tac", *words, **how)
    assert out.code == 0, f"it did not start: {out}"
    return b.seen("running")["pid"]


def writes(lines, limit=30.0):
    """Has the application write that many lines; whether it did."""
    (p.SEEN / "wrote").unlink(missing_ok=True)
    order = p.SEEN / "write.new"
    order.write_text(str(lines))
    os.chmod(order, 0o666)
    order.rename(p.SEEN / "write")
    return p.eventually((p.SEEN / "wrote").exists, limit)


def files(b, name="twistd.log"):
    return sorted(path.name for path in b.path(name).parent.iterdir() if path.name.startswith(Path(name).name))


def lines(b, name="twistd.log"):
    """How many of the application's lines stand in all files of a log."""
    where = b.path(name).parent
    return sum((where / each).read_text(errors="replace").count("] line ") for each in files(b, name))


@facts("The log")
def log(b):
    """A log from the first line to the last."""
    pid = started(b, "-u", "twu", tac=tacs.WRITER + "reactor.callWhenRunning(print, 'printed')\nlog.msg('legacy')\nlog.err(ValueError('wrong'))\n"
                  "from twisted.logger import Logger\nLogger(namespace='ns').warn('new {a}', a=1)\n")
    rows = {
        "mode": p.mode("twistd.log"),
        "owner": p.owner("twistd.log"),
        "opened": "append" if appends(pid) else "not for append",
    }
    os.kill(pid, signal.SIGTERM)
    b.gone(pid)
    text = b.log()
    said = [re.sub(STAMP, "", line) for line in text.splitlines() if re.match(STAMP, line)]
    said = [re.sub(r"\(.*\) starting up", "(EXE) starting up", re.sub(r"/mnt/\S*/|\b26\.10\.0\b", "", s)) for s in said]
    rows["format of a line"] = "stamp [system] text" if re.match(STAMP + r"\[.*?\] ", text) else text[:40]
    rows["first lines"] = " / ".join(said[:1])
    rows["lines of the start"] = " / ".join(line for line in said if re.search("Load|starting up|reactor class|set uid", line))
    rows["last three lines"] = " / ".join(said[-3:] if "delete pid" not in text else [s for s in said if "pid" not in s][-3:])
    rows["what print says"] = next((s for s in said if "printed" in s), "nothing")
    rows["what log.msg says"] = next((s for s in said if "legacy" in s), "nothing")
    rows["what a Logger says"] = next((s for s in said if "new 1" in s), "nothing")
    rows["traceback lines"] = (p.first(r"^\s+builtins.ValueError: wrong", text) or "none").replace("\t", "(tab)")
    return prefixed("log", rows)


def appends(pid):
    for fd, target in p.descriptors(pid).items():
        if target.endswith("twistd.log"):
            flags = int(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
            return bool(flags & os.O_APPEND)
    return None


@facts("The log")
def log_that_exists(b):
    b.file("twistd.log", "before\n", mode=0o640)
    pid = started(b)
    rows = {"kept": str(b.log().startswith("before\n")), "mode": p.mode("twistd.log")}
    # An outside program copies and truncates.
    assert writes(100)
    os.truncate("twistd.log", 0)
    assert writes(10)
    rows["after an outside truncation"] = "a hole of NUL bytes" if "\0" in b.log() else "no hole"
    b.stop(pid)
    return prefixed("log that exists", rows)


ROTATIONS = {
    "root's directory, new log": (0o755, 0, None, []),
    "root's directory, user's log": (0o755, 0, p.TWU, []),
    "user's directory, new log": (0o755, p.TWU, None, []),
    "user's directory, user's log": (0o755, p.TWU, p.TWU, []),
    "sticky directory, world-writable log": (0o1777, 0, -1, []),
    "root's directory, --euid": (0o755, 0, None, ["--euid"]),
    "user's directory, --euid": (0o755, p.TWU, None, ["--euid"]),
}


def rotation(b, mode, owner, log_owner, words, uid=("-u", "twu")):
    """25,000 lines of 100 bytes as the dropped user, then USR1, then ten lines more."""
    b.directory("logs", mode, owner)
    if log_owner is not None:
        b.file("logs/x.log", "", 0o666 if log_owner < 0 else 0o644, max(log_owner, 0))
    pid = started(b, *uid, *words, "-l", "logs/x.log")
    assert writes(25_000), "it wrote no 25,000 lines"
    by_size = len(files(b, "logs/x.log")) - 1
    os.kill(pid, signal.SIGUSR1)
    p.eventually(lambda: len(files(b, "logs/x.log")) - 1 > by_size, 0.5)
    by_signal = len(files(b, "logs/x.log")) - 1 - by_size
    alive = p.state(pid) not in (None, "Z")
    if alive:
        assert writes(10)
    found = lines(b, "logs/x.log")
    wanted = 25_010
    kept = "all lines kept" if found == wanted else "logging stopped" if found < 25_000 else "lines lost"
    modes = sorted({p.mode(b.path("logs") / name) for name in files(b, "logs/x.log")})
    rows = f"{by_size} by size, {by_signal} by USR1; {kept}; modes {' '.join(modes)}"
    if alive:
        b.stop(pid)
    return rows


for _name, _how in ROTATIONS.items():
    add(
        f"rotation: {_name}",
        "facts",
        "Rotation as the dropped user",
        lambda b, name=_name, how=_how: {f"rotation: {name}": rotation(b, *how)},
    )


@facts("Rotation as the dropped user")
def rotation_in_a_jail(b):
    b.jail()
    os.makedirs("jail/mnt/work")
    return {"rotation: in a jail": rotation(b, 0o777, 0, -1, ["--chroot", "jail", "--pidfile="])}


@facts("Rotation as the dropped user")
def rotation_of_root(b):
    return {"rotation: no drop": rotation(b, 0o755, 0, None, [], uid=())}


@facts("Rotation as the dropped user")
def rotation_counts_characters(b):
    """A file of characters of three bytes each."""
    tac = tacs.WRITER.replace('"x" * 47', '"\\u20ac" * 47')
    pid = started(b, tac=tac)
    assert writes(20_000)
    sizes = [b.path(name).stat().st_size for name in files(b) if name != "twistd.log"]
    rows = {"rotation: counts": "no rotation" if not sizes else "bytes" if max(sizes) < 1_100_000 else "characters"}
    b.stop(pid)
    return rows


@facts("The log")
def two_logs_one_file(b):
    """Two daemons on one log."""
    b.file("app.tac", tacs.WRITER)
    for number in (1, 2):
        assert b.twistd("-y", "app.tac", f"--pidfile={number}.pid").code == 0
    b.seen("running")
    # Which of the two takes the word to write is chance: they must both have written.
    torn = False
    for _ in range(20):
        assert p.eventually(lambda: not (p.SEEN / "write").exists())
        assert writes(200)
        text = b.log()
        torn = "\0" in text or text.count("starting up") < 2 or any(
            not re.match(STAMP + r"|\t", line) for line in text.splitlines()
        )
        if torn:
            break
    for pid in p.others():
        os.kill(pid, signal.SIGTERM)
    return {"log: shared by two daemons": "lines torn or overwritten" if torn else "whole"}


class Syslog:
    """A place where syslog lines arrive."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        self.socket.settimeout(0.2)
        self.lines = []

    def read(self):
        try:
            while True:
                self.lines.append(self.socket.recv(65536).decode(errors="replace").rstrip("\0\n"))
        except TimeoutError:
            return self.lines


@facts("The log")
def syslog(b):
    place = Syslog()
    pid = started(b, "--syslog", "--prefix=bench-prefix", tac=tacs.WRITER + "log.msg('hello there')\nlog.err(ValueError('wrong'))\n")
    b.stop(pid)
    said = place.read()
    line = next((line for line in said if "hello there" in line), "nothing")
    bad = next((line for line in said if "ValueError: wrong" in line), "nothing")
    return prefixed("syslog", {
        "line": re.sub(r"[A-Z][a-z]{2} +\d+ [\d:]{8} ", "", re.sub(r"\[\d+\]", "[PID]", line)),
        "priority of an error": bad.partition(">")[0].lstrip("<"),
        "log file": "none" if not b.path("twistd.log").exists() else "twistd.log",
    })


OWN_LOGGER = tacs.WRITER + """
from twisted.python.log import ILogObserver
def observer(event):
    with open("/mnt/seen/own", "a") as out:
        out.write(f"{event.get('message')} {event.get('log_format')}\\n")
application.setComponent(ILogObserver, observer)
"""


@facts("The log")
def own_logger(b):
    """The application's ILogObserver, and --logger over it."""
    pid = started(b, tac=OWN_LOGGER)
    rows = {
        "of the TAC": "used" if p.eventually(lambda: "starting up" in ((p.SEEN / "own").read_text() if (p.SEEN / "own").exists() else ""), 2) else "not used",
        "log file beside it": "twistd.log" if b.path("twistd.log").exists() else "none",
    }
    b.stop(pid)
    (p.SEEN / "own").unlink(missing_ok=True)
    (p.SEEN / "running").unlink()
    b.file("mylogger.py", "def make():\n    def observe(event):\n        open('/mnt/seen/mine', 'a').write(str(event.get('log_format')) + '\\n')\n    return observe\n")
    b.environment["PYTHONPATH"] = "."
    pid = started(b, "--logger=mylogger.make", tac=OWN_LOGGER)
    rows["--logger"] = "used" if p.eventually((p.SEEN / "mine").exists, 2) else "not used"
    rows["--logger beats the TAC's"] = str(not (p.SEEN / "own").exists())
    b.stop(pid)
    return prefixed("logger", rows)
