"""The starters of the tables in docs/reliability.md, and how each is told to do the same job.

A job is: run a program as a user, in a directory, with a umask, its number in a PID file, its output in a log.
A starter that has no option for a part of it leaves that part out. `command` is what a user would type.
"""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Job:
    """What is to be started, and where its files are to be."""

    program: list
    place: Path
    user: str = "svc"
    directory: str = "/"
    pidfile: str = ""
    log: str = ""
    lock: str = ""
    raises: bool = False  # for twistd, whose program is an application: it raises where another dies at once

    def __post_init__(self):
        self.pidfile = self.pidfile or str(self.place / "run/subject.pid")
        self.log = self.log or str(self.place / "log/subject.log")
        self.lock = self.lock or str(self.place / "run/subject.lock")


@dataclass
class Starter:
    """A program that starts daemons."""

    name: str  # on the command line of tests/peers
    title: str  # in the tables
    needs: str  # the program that must be there
    package: str  # Debian's, for the version
    command: object  # Job -> words
    # What must run before, as the words of it: a supervisor. And whether it is there.
    service: object = None
    up: object = None
    # It stays in front of the program or becomes it: there is no exit to wait for.
    stays: bool = False
    # It does these parts of the job.
    pidfile: bool = True
    log: bool = True
    directory: bool = True
    # It makes the PID file as the user, so that this lies in a directory of the user's.
    pidfile_of_user: bool = False
    # The command with its lock, where that is no matter of course: Job -> words.
    locked: object = None
    # What it starts is an application, and not any program.
    application: bool = False

    def there(self):
        return os.access(self.needs, os.X_OK)

    def version(self):
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", self.package], capture_output=True, text=True)
        return said.stdout if self.package else ""


def dpkg(job):
    return [
        "/usr/sbin/start-stop-daemon", "--start", "--background", "--make-pidfile", "--pidfile", job.pidfile,
        "--chuid", job.user, "--chdir", job.directory, "--umask", "022", "--output", job.log,
        "--startas", job.program[0], "--", *job.program[1:],
    ]  # fmt: skip


def busybox(job):
    # It has no option for the umask, the directory or the log.
    return [
        "/bin/busybox", "start-stop-daemon", "-S", "-b", "-m", "-p", job.pidfile, "-c", f"{job.user}:{job.user}",
        "-x", job.program[0], "--", *job.program[1:],
    ]  # fmt: skip


def daemonize(job, lock=False):
    words = ["/usr/bin/daemonize", "-a", "-u", job.user, "-p", job.pidfile, "-o", job.log, "-e", job.log]
    return words + (["-l", job.lock] if lock else []) + ["-c", job.directory, *job.program]


def daemon(job):
    return [
        "/usr/bin/daemon", "--noconfig", f"--pidfile={job.pidfile}", "--name=subject", f"--user={job.user}",
        "--umask=022", f"--chdir={job.directory}", f"--stdout={job.log}", f"--stderr={job.log}", "--", *job.program,
    ]  # fmt: skip


def setpriv(job):
    return ["/usr/bin/setpriv", f"--reuid={job.user}", f"--regid={job.user}", "--init-groups", "--", *job.program]


def chpst(job):
    return ["/usr/bin/chpst", "-u", job.user, *job.program]


def s6(job):
    return ["/usr/bin/s6-setuidgid", job.user, *job.program]


def script(job, chain):
    """A service directory with a `run` of that chain."""
    service = job.place / "service"
    service.mkdir(exist_ok=True)
    text = f"#!/bin/sh\nexec >>{job.log} 2>&1\numask 022\ncd {job.directory} || exit 1\nexec {shlex.join(chain)}\n"
    (service / "run").write_text(text)
    (service / "run").chmod(0o755)
    return str(service)


def runsv(job):
    return ["/usr/bin/runsv", script(job, chpst(job))]


def s6_supervise(job):
    return ["/usr/bin/s6-supervise", script(job, s6(job))]


def supervisor_conf(job, autostart):
    conf = job.place / "supervisord.conf"
    conf.write_text(
        f"""[unix_http_server]
file={job.place}/run/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
user=root
logfile={job.place}/run/supervisord.log
pidfile={job.place}/run/supervisord.pid
childlogdir={job.place}/run
[supervisorctl]
serverurl=unix://{job.place}/run/supervisor.sock
[program:subject]
command={shlex.join(job.program)}
directory={job.directory}
user={job.user}
umask=022
autostart={autostart}
autorestart=false
redirect_stderr=true
stdout_logfile={job.log}
environment=HOME="/mnt/home",USER="{job.user}"
"""
    )
    return str(conf)


def supervisord(job):
    return ["/usr/bin/supervisord", "-c", supervisor_conf(job, "true")]


def supervisor_service(job):
    return ["/usr/bin/supervisord", "-n", "-c", supervisor_conf(job, "false")]


def supervisorctl(job):
    return ["/usr/bin/supervisorctl", "-c", str(job.place / "supervisord.conf"), "start", "subject"]


TAC = """from twisted.application import service
application = service.Application("subject")
class Subject(service.Service):
    def startService(self):
        {body}
        service.Service.startService(self)
Subject().setServiceParent(application)
"""


def twistd(job):
    tac = job.place / "subject.tac"
    tac.write_text(TAC.format(body="raise RuntimeError('no such luck')" if job.raises else "pass"))
    venv = os.environ["RSD_TEST_TWISTED"]
    return [
        f"{venv}/bin/python3", f"{venv}/bin/twistd", "--uid", job.user, "--gid", job.user, "--umask", "022",
        "--rundir", job.directory, "--pidfile", job.pidfile, "--logfile", job.log, "-y", str(tac),
    ]  # fmt: skip


def rsd(job):
    return [
        os.environ["RSD_TEST_BIN"], "run", "--spec", "daemon", "--name", "subject", "--user", job.user,
        "--rundir", job.directory, "--pidfile", job.pidfile, "--logfile", job.log, "--", *job.program,
    ]  # fmt: skip


def sv_service(job):
    words = runsv(job)
    (job.place / "service/down").touch()
    return words


def sv(job):
    return ["/usr/bin/sv", "-w", "5", "start", str(job.place / "service")]


def s6_service(job):
    words = s6_supervise(job)
    (job.place / "service/down").touch()
    return words


def s6_svc(job):
    return ["/usr/bin/s6-svc", "-uwu", "-T", "5000", str(job.place / "service")]


def is_up(path):
    return lambda job: (job.place / path).exists()


OURS = Starter("rsd", "**rsd** `--spec daemon`", os.environ.get("RSD_TEST_BIN", "/nonexistent"), "", rsd)
DPKG = Starter("dpkg", "dpkg start-stop-daemon", "/usr/sbin/start-stop-daemon", "dpkg", dpkg)
BUSYBOX = Starter(
    "busybox", "busybox start-stop-daemon", "/bin/busybox", "busybox", busybox, log=False, directory=False
)
DAEMONIZE = Starter(
    "daemonize", "daemonize(1)", "/usr/bin/daemonize", "daemonize", daemonize,
    locked=lambda job: daemonize(job, lock=True),
)  # fmt: skip
DAEMON = Starter("daemon", "daemon(1)", "/usr/bin/daemon", "daemon", daemon, pidfile_of_user=True)
TWISTD = Starter(
    "twistd", "twistd", os.environ.get("RSD_TEST_TWISTED", "/nonexistent") + "/bin/twistd", "", twistd, application=True
)

# What the program gets: from those that put it into the background, and from those that stay or become it.
GIVERS = [
    OURS, DPKG, BUSYBOX, DAEMONIZE, DAEMON, TWISTD,
    Starter("supervisor", "supervisord", "/usr/bin/supervisord", "supervisor", supervisord, pidfile=False),
    Starter("runit", "runsv, chpst -u", "/usr/bin/runsv", "runit", runsv, stays=True, pidfile=False),
    Starter("s6", "s6-supervise, s6-setuidgid", "/usr/bin/s6-supervise", "s6", s6_supervise, stays=True, pidfile=False),
    Starter("setpriv", "setpriv", "/usr/bin/setpriv", "util-linux", setpriv, stays=True, pidfile=False, log=False),
]  # fmt: skip

# What the starter says when it fails: supervisors are asked by their own command.
TELLERS = [
    OURS, DPKG, BUSYBOX, DAEMONIZE, DAEMON, TWISTD,
    Starter(
        "supervisor", "supervisorctl start", "/usr/bin/supervisord", "supervisor", supervisorctl,
        service=supervisor_service, up=is_up("run/supervisor.sock"), pidfile=False,
    ),
    Starter(
        "runit", "sv start", "/usr/bin/runsv", "runit", sv,
        service=sv_service, up=is_up("service/supervise/ok"), pidfile=False,
    ),
    Starter(
        "s6", "s6-svc -uwu", "/usr/bin/s6-supervise", "s6", s6_svc,
        service=s6_service, up=is_up("service/supervise/control"), pidfile=False,
    ),
]  # fmt: skip
