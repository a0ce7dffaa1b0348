"""What both tables need: a place for each case, starting, and who runs."""

import os
import pty
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import sandbox
from starters import Job

SUBJECT = str(sandbox.TOP / "subject")
LIMIT = 40.0  # seconds that a starter may take
ENVIRONMENT = {**sandbox.ENVIRONMENT, "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass
class Out:
    """What came of a starter: its exit code, None where it did not end; and what it said."""

    code: int | None
    said: str


_cases = 0


def job(starter, program=(SUBJECT,), **how):
    """A job in a place of its own: a directory of root's for the PID file, one of the user's for the log."""
    global _cases
    _cases += 1
    place = sandbox.TOP / f"case-{_cases}"
    (place / "run").mkdir(parents=True)
    (place / "log").mkdir()
    os.chown(place / "log", sandbox.USER, sandbox.GROUP)
    if starter.pidfile_of_user:
        how.setdefault("pidfile", str(place / "log/subject.pid"))
    return Job(list(program), place, **how)


def spawn(words, out, umask=0o022):
    before = os.umask(umask)
    try:
        return os.posix_spawn(
            words[0],
            words,
            ENVIRONMENT,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, out, 2),
            ],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    finally:
        os.umask(before)


def wait(pid, limit=LIMIT):
    """The exit code; None for one that had to be killed."""
    end = time.monotonic() + limit
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = bool(poll.poll(max(0.0, end - time.monotonic()) * 1000))
        if not ended:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if ended else None
    finally:
        os.close(pidfd)


def memory():
    return os.memfd_create("said")


def text(fd):
    said = os.pread(fd, 65536, 0).decode(errors="replace")
    os.close(fd)
    return said


def run(words):
    """Starts it and waits for its end, not for those that hold its output."""
    out = memory()
    return Out(wait(spawn(words, out)), text(out))


def serve(starter, job):
    """Starts the service that a starter needs; whether that came up."""
    if starter.service is None:
        return True
    out = memory()
    pid = spawn(starter.service(job), out)
    up = sandbox.eventually(lambda: starter.up(job) or os.waitpid(pid, os.WNOHANG)[0], 20)
    os.close(out)
    return starter.up(job) if up else False


def start(starter, job):
    return run(starter.command(job))


def daemons(starter, job):
    """The daemons that run: the program, or for an application the process that hosts it."""
    found = []
    for pid in sandbox.living():
        try:
            if starter.application:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if os.fsencode(f"{job.place}/subject.tac") in words:
                    found.append(pid)
            elif os.readlink(f"/proc/{pid}/exe") == job.program[0]:
                found.append(pid)
        except OSError:
            pass
    return found


def clear():
    """Nobody of this place lives on."""
    end = time.monotonic() + 20
    while everybody := sandbox.processes():
        for pid in everybody:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                pass
        if time.monotonic() > end:
            raise RuntimeError(f"processes that cannot be killed: {everybody}")
        time.sleep(0.002)


def settled(look, quiet=0.4, limit=10.0):
    """What `look()` gives once it has not changed for a while."""
    end = time.monotonic() + limit
    value, since = look(), time.monotonic()
    while time.monotonic() - since < quiet and time.monotonic() < end:
        time.sleep(0.02)
        if (now := look()) != value:
            value, since = now, time.monotonic()
    return value


def on_a_terminal(words, prepare=lambda: None, leader=False):
    """Starts it on a terminal of its own, as its session's leader or as a child of that.

    Gives the exit code of the starter, None for one that does not end soon, and a function that takes the
    terminal away.
    """
    read, write = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.close(read)
            os.set_inheritable(write, False)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            if leader:
                prepare()
                os.execve(words[0], words, ENVIRONMENT)
            child = os.fork()
            if child == 0:
                prepare()
                os.execve(words[0], words, {**ENVIRONMENT, "SECRET": "hunter2"})
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(write, str(code).encode())
            os.close(write)
            while True:
                signal.pause()
        finally:
            os._exit(127)
    os.close(write)

    def hang_up():
        os.close(terminal)
        os.close(read)

    if leader:
        # Whoever is left writes to the terminal, or the starter would wait for its reader.
        os.set_blocking(terminal, False)
        return drain(terminal, pid), hang_up
    os.set_blocking(read, False)
    return read, hang_up


def drain(terminal, pid):
    """Reads what a session's leader says until it ends; its exit code."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            os.read(terminal, 4096)
        except (BlockingIOError, OSError):
            pass
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(code)
        time.sleep(0.0005)
    return None
