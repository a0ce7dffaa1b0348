"""The first table: what the daemon program really gets, from a caller that is dirty on purpose."""

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import bench
import sandbox

GROUPS = [0, 4, 27, 44]
CAP_NET_RAW = 13
# Of signals only those that a program starts with at their default and unblocked.
ORDINARY = [s for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP) and s < signal.SIGRTMIN]


def dirty():
    """Groups, a secret descriptor, umask, signals, a capability, niceness and a directory of the caller's."""
    os.dup2(os.open("/etc/shadow", os.O_RDONLY), 7)
    os.umask(0)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.setpriority(os.PRIO_PROCESS, 0, 3)
    os.setgroups(GROUPS)
    os.chdir("/root")
    inherit(CAP_NET_RAW)


def inherit(capability):
    """Makes a capability inheritable and ambient: what every program is given that is run from here."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    data[2] |= 1 << capability
    if libc.capset(header, data) != 0 or libc.prctl(47, 2, capability, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "capset")


@dataclass
class Cell:
    """What is in the table, and whether it is as it should be."""

    text: str
    clean: bool

    def __str__(self):
        return self.text if self.clean or self.text == "–" else f"**{self.text}**"


def names(bits):
    return [s.name[3:] for s in ORDINARY if bits >> (s - 1) & 1]


def ids(status, stat):
    got = [status["Uid"][:3], status["Gid"][:3]]
    right = [[str(sandbox.USER)] * 3, [str(sandbox.GROUP)] * 3]
    return Cell("the user's" if got == right else " · ".join("/".join(ids) for ids in got), got == right)


def groups(status, stat):
    got = {int(g) for g in status["Groups"]} | {int(status["Gid"][0])}
    right = {sandbox.GROUP, sandbox.EXTRA}
    if got == right:
        return Cell("right", True)
    if got == {sandbox.GROUP}:
        return Cell("its primary one alone", False)
    return Cell("no right one: " + " ".join(str(g) for g in sorted(got)), False)


def umask(status, stat):
    return Cell(status["Umask"][0][1:], status["Umask"][0] == "0022")


def descriptors(pid, application):
    # What an application has opened itself is nobody's leak.
    extra = {fd: to for fd, to in sandbox.descriptors(pid).items() if fd > 2 and (fd == 7 or not application)}
    found = [f"{fd} ({'the secret' if to == '/etc/shadow' else kind(to)})" for fd, to in extra.items()]
    return Cell(", ".join(found) or "none", not found)


def kind(target):
    head = target.partition(":")[0]
    return Path(target).name if target.startswith("/") else head.replace("anon_inode", "event")


def environment(pid):
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    found = dict(line.partition("=")[::2] for line in raw if line)
    gone, home = "SECRET" not in found, found.get("HOME")
    whose = {"/mnt/home": "the user's", "/root": "root's", None: "none"}.get(home, home)
    return Cell("gone" if gone else "there", gone), Cell(whose, whose == "the user's")


def signals(status, stat):
    ignored, blocked = names(int(status["SigIgn"][0], 16)), names(int(status["SigBlk"][0], 16))
    # A program that is not ours handles its own: what is left of the caller's is meant.
    text = "; ".join(
        f"{words} {' '.join(some)}" for words, some in (("ignored", ignored), ("blocked", blocked)) if some
    )
    return Cell(text or "reset", not text)


def session(pid, stat):
    tty, leads = stat[4] != "0", stat[3] == str(pid)
    words = ["kept" if tty else "none", "leader" if leads else "no leader"]
    return Cell(", ".join(words), not tty and not leads)


def capabilities(status, stat):
    held = {name: int(status[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    text = ", ".join(f"{name[3:].lower()} {bits:x}" for name, bits in held.items() if bits)
    return Cell(text or "none", not text)


def bounding(status, stat):
    empty = int(status["CapBnd"][0], 16) == 0
    return Cell("empty" if empty else "full", empty)


def no_new_privs(status, stat):
    return Cell("on" if status["NoNewPrivs"] == ["1"] else "off", status["NoNewPrivs"] == ["1"])


def place(pid, stat):
    where = os.readlink(f"/proc/{pid}/cwd")
    return Cell(where, where == "/")


def priority(stat):
    return Cell(stat[16], stat[16] == "0")


def owned(path, wanted):
    if not path or not os.path.exists(path):
        return Cell("–", False)
    found = os.stat(path)
    who = {0: "root", sandbox.USER: "user"}.get(found.st_uid, str(found.st_uid))
    text = f"{who} {found.st_mode & 0o7777:04o}"
    return Cell(text, text in wanted)


COLUMNS = [
    "ids", "groups", "umask", "descriptors", "caller's environment", "HOME", "signals", "terminal, session", "nice",
    "directory", "capabilities", "bounding set", "no_new_privs", "PID file", "log",
]  # fmt: skip


def measure(starter):
    """One row: the cells of COLUMNS."""
    job = bench.job(starter)
    code, hang_up = bench.on_a_terminal(starter.command(job), dirty)
    try:
        found = sandbox.eventually(lambda: bench.daemons(starter, job), 30)
        if not found:
            raise RuntimeError(f"{starter.name} did not start the program")
        if starter.application:
            # It is what the starter becomes: it is looked at when the starter has gone.
            sandbox.eventually(lambda: exited(code), 30)
            found = bench.settled(lambda: bench.daemons(starter, job))
        if len(found) != 1:
            raise RuntimeError(f"{starter.name} started {len(found)} of the program")
        pid = found[0]
        if not sandbox.eventually(lambda: waits(pid), 30):
            raise RuntimeError(f"{starter.name}: the program never came to rest")
        if starter.log:
            sandbox.eventually(lambda: os.path.exists(job.log) and os.path.getsize(job.log), 10)
        if not starter.stays:
            sandbox.eventually(lambda: exited(code), 30)
        status, stat = sandbox.status(pid), sandbox.stat_fields(pid)
        gone, home = environment(pid)
        return [
            ids(status, stat), groups(status, stat), umask(status, stat), descriptors(pid, starter.application), gone, home,
            signals(status, stat), session(pid, stat), priority(stat), place(pid, stat), capabilities(status, stat),
            bounding(status, stat), no_new_privs(status, stat),
            owned(job.pidfile, {"root 0644"}), owned(job.log, {"user 0640", "user 0644"}),
        ]  # fmt: skip
    finally:
        hang_up()
        bench.clear()


def waits(pid):
    """In the middle of exec(2) a process has no environment yet."""
    return sandbox.state(pid) == "S" and Path(f"/proc/{pid}/environ").read_bytes()


def exited(read):
    try:
        return os.read(read, 16)
    except BlockingIOError:
        return None
