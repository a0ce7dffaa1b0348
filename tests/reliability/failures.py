"""The second table: what the starter says when a start fails, and what is left; races, and who follows links.

A cell of a failure is the starter's exit code. It is clean where that is not 0, nothing runs, and nothing was left.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path

import bench
import sandbox
from state import Cell

NONE = Cell("–", True)
SECRET = "root's own\n"
GOING = 4.0  # seconds that one may take to go after its starter has failed


def listing(place):
    """Every file of a case, without what a supervisor keeps for itself."""
    own = ("service", "supervis", "subject.tac", "__pycache__", "subject.lock")
    return {str(p.relative_to(place)) for p in place.rglob("*") if not any(o in str(p.relative_to(place)) for o in own)}


def failing(starter, words=(bench.SUBJECT,), **how):
    """A start that cannot succeed."""
    job = bench.job(starter, words, **how)
    if not bench.serve(starter, job):
        return Cell("its configuration is refused", True)
    before = listing(job.place)
    out = bench.start(starter, job)
    # One that is on its way out is not left.
    sandbox.eventually(lambda: not bench.daemons(starter, job), GOING)
    running = bench.settled(lambda: bench.daemons(starter, job))
    left = sorted(listing(job.place) - before)
    return verdict(out.code, running, left)


def verdict(code, running, left):
    if code is None:
        return Cell("does not end", False)
    if running:
        return Cell(f"{code}, and it is left running", False)
    if code == 0:
        return Cell("0", False)
    pids = [name for name in left if name.endswith(".pid")]
    if pids:
        return Cell(f"{code}, PID file left", False)
    return Cell(str(code), True)


def missing_program(starter):
    return NONE if starter.application else failing(starter, [str(sandbox.TOP / "no-such-program")])


def closed_program(starter):
    """The user may not execute it; root may."""
    if starter.application:
        return NONE
    program = sandbox.TOP / "closed"
    program.write_bytes(Path(bench.SUBJECT).read_bytes())
    program.chmod(0o700)
    return failing(starter, [str(program)])


def no_program(starter):
    """A file that the kernel cannot execute."""
    if starter.application:
        return NONE
    program = sandbox.TOP / "no-format"
    program.write_bytes(b"\0\1\2\3")
    program.chmod(0o755)
    return failing(starter, [str(program)])


def missing_directory(starter):
    return failing(starter, directory=str(sandbox.TOP / "no/directory")) if starter.directory else NONE


def closed_directory(starter):
    """The user may not enter it; root may."""
    closed = sandbox.TOP / "closed-directory"
    closed.mkdir(mode=0o700, exist_ok=True)
    return failing(starter, directory=str(closed)) if starter.directory else NONE


def missing_log_directory(starter):
    return failing(starter, log=str(sandbox.TOP / "no/such/subject.log")) if starter.log else NONE


def unwritable_log(starter):
    """A directory lies where the log should be."""
    (sandbox.TOP / "log.is.a.directory").mkdir(exist_ok=True)
    return failing(starter, log=str(sandbox.TOP / "log.is.a.directory")) if starter.log else NONE


def unknown_user(starter):
    return failing(starter, user="nosuchuser")


def missing_pid_directory(starter):
    return failing(starter, pidfile=str(sandbox.TOP / "no/subject.pid")) if starter.pidfile else NONE


def unwritable_pid_file(starter):
    (sandbox.TOP / "pid.is.a.directory").mkdir(exist_ok=True)
    return failing(starter, pidfile=str(sandbox.TOP / "pid.is.a.directory")) if starter.pidfile else NONE


def dies_at_once(starter, trials):
    """It is repeated: a starter may be told by chance."""
    cells = []
    for _ in range(trials):
        cells.append(failing(starter, [bench.SUBJECT, "die"], raises=starter.application))
        bench.clear()
    worst = min(cells, key=lambda cell: cell.clean)
    alike = sum(cell.text == worst.text for cell in cells)
    return Cell(f"{worst.text} ({alike} of {trials})", worst.clean)


def pid_files(starter, trials):
    """How often the PID file names the daemon, or its keeper, the moment the starter exits."""
    if not starter.pidfile:
        return NONE
    good = 0
    for _ in range(trials):
        job = bench.job(starter)
        out = bench.start(starter, job)
        try:
            text = Path(job.pidfile).read_text()
        except OSError:
            text = ""
        running = sandbox.eventually(lambda: bench.daemons(starter, job), 10)
        named = int(text) if re.fullmatch(r"\d+\n?", text) else 0
        parents = [int((sandbox.stat_fields(pid) or [0, 0])[1]) for pid in running]
        good += out.code == 0 and named in [*running, *parents] and named > 1
        bench.clear()
    return Cell(f"{good} of {trials}", good == trials)


def parallel(starter, trials, at_once=20):
    """How many daemons there are after that many starts at the same time."""
    counts, codes = [], []
    for _ in range(trials):
        job = bench.job(starter)
        if not bench.serve(starter, job):
            raise RuntimeError(f"{starter.name}: its service did not come up")
        words = (starter.locked or starter.command)(job)
        out = bench.memory()
        children = [bench.spawn(words, out) for _ in range(at_once)]
        done = [bench.wait(child) for child in children]
        os.close(out)
        counts.append(len(bench.settled(lambda: bench.daemons(starter, job))))
        codes.append(done.count(0))
        bench.clear()
    clean = all(count == 1 for count in counts)
    if clean:
        return Cell(f"1, {trials} times", True)
    return Cell(", ".join(str(count) for count in counts), False)


def session_leader(starter, trials):
    """How often the daemon survives a starter that leads its session, when the terminal goes (`ssh -t`)."""
    alive = 0
    for _ in range(trials):
        job = bench.job(starter)
        if not bench.serve(starter, job):
            raise RuntimeError(f"{starter.name}: its service did not come up")
        code, hang_up = bench.on_a_terminal(starter.command(job), leader=True)
        hang_up()
        survived = bench.settled(lambda: bench.daemons(starter, job), quiet=0.15)
        alive += code == 0 and len(survived) == 1
        bench.clear()
    return Cell(f"{alive} of {trials}", alive == trials)


def link(job, path):
    """Puts a symbolic link to a file of root's where that path is."""
    victim = job.place / "victim"
    victim.write_text(SECRET)
    victim.chmod(0o600)
    os.symlink(victim, path)
    return victim


def followed(starter, job, victim, path):
    """What became of a file of root's that somebody had linked to."""
    out = bench.start(starter, job)
    running = bench.settled(lambda: bench.daemons(starter, job), quiet=0.2)
    found = os.stat(victim)
    if victim.read_text() != SECRET:
        return Cell("the target is written to", False)
    if found.st_uid != 0 or found.st_mode & 0o777 != 0o600:
        return Cell("the target is given away", False)
    if out.code:
        return verdict(out.code, running, []) if running else Cell(f"refused ({out.code})", True)
    if not running:
        return Cell("0, nothing runs", False)
    if not os.path.islink(path):
        return Cell("the link is replaced", True)
    return Cell("the link is left, and the part is missing", False)


def linked_pid_file(starter):
    if not starter.pidfile:
        return NONE
    job = bench.job(starter)
    return followed(starter, job, link(job, job.pidfile), job.pidfile)


def linked_pid_file_of_user(starter):
    """The same in a directory of the user's, with a link of the user's."""
    if not starter.pidfile:
        return NONE
    job = bench.job(starter)
    job.pidfile = str(job.place / "log/mine.pid")
    victim = link(job, job.pidfile)
    os.lchown(job.pidfile, sandbox.USER, sandbox.GROUP)
    return followed(starter, job, victim, job.pidfile)


def linked_log(starter):
    """The log, in a directory of the user's, with a link of the user's."""
    if not starter.log:
        return NONE
    job = bench.job(starter)
    victim = link(job, job.log)
    os.lchown(job.log, sandbox.USER, sandbox.GROUP)
    if not bench.serve(starter, job):
        return Cell("its configuration is refused", True)
    return followed(starter, job, victim, job.log)


def stale(starter):
    """A PID file is left from before, and its number is another process's now."""
    if not starter.pidfile:
        return NONE
    job = bench.job(starter)
    other = os.posix_spawn("/bin/sleep", ["sleep", "1000"], bench.ENVIRONMENT)
    Path(job.pidfile).write_text(f"{other}\n")
    if starter.pidfile_of_user:
        os.chown(job.pidfile, sandbox.USER, sandbox.GROUP)
    out = bench.start(starter, job)
    running = bench.settled(lambda: bench.daemons(starter, job))
    if out.code == 0:
        return Cell("starts", True) if running else Cell("0, nothing runs", False)
    return Cell(f"refuses ({out.code})", False)


def killed(starter):
    """The process that the PID file names was killed with kill -9: the program goes with it, and starts again."""
    job = bench.job(starter)
    if not bench.serve(starter, job):
        raise RuntimeError(f"{starter.name}: its service did not come up")
    out = bench.start(starter, job)
    first = sandbox.eventually(lambda: bench.daemons(starter, job), 10)
    if out.code != 0 or not first:
        raise RuntimeError(f"{starter.name} did not start: {out}")
    target = named(job) if starter.pidfile else first[0]
    os.kill(target or first[0], signal.SIGKILL)
    if not sandbox.eventually(lambda: not set(first) & set(bench.daemons(starter, job)), GOING):
        return Cell("the program runs on", False)
    if bench.settled(lambda: bench.daemons(starter, job)):
        return Cell("started again by itself", True)
    out = bench.start(starter, job)
    running = bench.settled(lambda: bench.daemons(starter, job))
    return Cell("starts", True) if out.code == 0 and len(running) == 1 else verdict(out.code, running, [])


def named(job):
    """The number in the PID file, once there is one."""

    def read():
        try:
            return int(Path(job.pidfile).read_text())
        except (OSError, ValueError):
            return None

    return sandbox.eventually(read, 10)


def after_term(starter):
    """The PID file after the daemon was ended with TERM, when everybody of it has gone."""
    if not starter.pidfile:
        return NONE
    job = bench.job(starter)
    out = bench.start(starter, job)
    running = sandbox.eventually(lambda: bench.daemons(starter, job), 10)
    number = named(job)
    if out.code != 0 or not running or not number:
        raise RuntimeError(f"{starter.name} did not start: {out}")
    os.kill(number, signal.SIGTERM)
    sandbox.eventually(lambda: not sandbox.living(), 20)
    time.sleep(0.1)
    left = os.path.lexists(job.pidfile)
    return Cell("left" if left else "removed", not left)


ROWS = {
    "program missing": missing_program,
    "program that the user may not execute": closed_program,
    "program in a format that the kernel does not know": no_program,
    "program that ends at once with an error": dies_at_once,
    "working directory missing": missing_directory,
    "working directory that the user may not enter": closed_directory,
    "log in a directory that is missing": missing_log_directory,
    "log that cannot be opened": unwritable_log,
    "PID file in a directory that is missing": missing_pid_directory,
    "PID file that cannot be made": unwritable_pid_file,
    "user unknown": unknown_user,
    "PID file complete when the starter exits": pid_files,
    "daemons after 20 starts at once": parallel,
    "daemon survives a starter that leads the session": session_leader,
    "PID file is a symbolic link to a file of root's": linked_pid_file,
    "the same, in a directory of the user's": linked_pid_file_of_user,
    "log is one, in a directory of the user's": linked_log,
    "old PID file with the number of another process": stale,
    "kill -9 of what the PID file names, and a start": killed,
    "PID file after TERM": after_term,
}
# How often: ours, others, and either where it is to be quick.
TIMES = {dies_at_once: (100, 10, 5), pid_files: (200, 40, 20), parallel: (25, 5, 2), session_leader: (100, 30, 10)}


def measure(starter, quick):
    """One column: {row: cell}."""
    cells = {}
    for row, case in ROWS.items():
        print(f"{starter.name}: {row}", file=sys.stderr, flush=True)
        try:
            if case in TIMES:
                ours, others, few = TIMES[case]
                cells[row] = case(starter, few if quick else ours if starter.name == "rsd" else others)
            else:
                cells[row] = case(starter)
        finally:
            bench.clear()
    return cells
