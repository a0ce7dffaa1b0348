"""Exit status and messages of the launching command: cases as data."""

import os
import re
from dataclasses import dataclass, field

import place as p
import registry
import tacs


@dataclass
class Case:
    """One start. `says` names what a good message holds, as patterns."""

    name: str
    words: list
    tac: object = tacs.PROBE
    files: dict = field(default_factory=dict)
    says: dict = field(default_factory=dict)
    user: object = None
    prepare: object = None
    how: dict = field(default_factory=dict)


ADVICE = {"advice": r"^\s*(?:= )?(?:do|help): "}


def sets_up(place, case):
    if case.tac is not None:
        place.file("app.tac", case.tac)
    for name, text in case.files.items():
        place.file(name, text)
    if case.user:
        os.chown(p.WORK, case.user, case.user)
    if case.prepare:
        case.prepare(place)


def told(where, text, says):
    found = [label for label, pattern in says.items() if re.search(pattern, text, re.M)]
    return f"{where}: {', '.join(found)}" if found else None


def left_over(before):
    """What a start leaves behind, once what ends has ended."""
    left = [] if p.eventually(lambda: not p.others(), 1.5) else ["a process"]
    return left + sorted(listed() - before)


def listed():
    """Every name below the work directory, but not what is mounted there."""
    found = set()
    for at, directories, files in os.walk(p.WORK):
        directories[:] = [name for name in directories if name not in ("mnt", "usr")]  # mounted in a jail
        found |= {os.path.relpath(os.path.join(at, name), p.WORK) for name in directories + files}
    return found


def observe(place, case):
    """How the launcher ended, what was said where, and what is left."""
    sets_up(place, case)
    before = listed()
    out = place.twistd(*case.words, user=case.user, **case.how)
    parts = [out.status]
    if out.code == 0 and p.others():
        parts.append("daemon up")
        pid = place.the_one()
        if not p.eventually(lambda: (p.SEEN / "running").exists(), 2.0):
            parts.append("not running")
        place.stop(pid)
    if out.out.strip() == "" and out.err.strip() == "":
        parts.append("silent")
    left = left_over(before)
    parts += [
        told("stderr", out.err, case.says),
        told("stdout", out.out, case.says),
        told("log", place.log(), case.says),
    ]
    parts.append("left: " + ", ".join(left) if left else "nothing left")
    return {case.name: "; ".join(filter(None, parts))}


def pid_file(text):
    return {"files": {"twistd.pid": text}}


PID_FILE = [
    Case("pid-file-live", ["-y", "app.tac"], says={"who": r"PID \d+|process \d+"},
         prepare=lambda b: b.file("twistd.pid", str(os.getpid()))),
    Case("pid-file-of-the-starter", ["-y", "app.tac"], prepare=lambda b: b.file("twistd.pid", str(os.getppid()))),
    Case("pid-file-zero", ["-y", "app.tac"], **pid_file("0")),
    Case("pid-file-minus-one", ["-y", "app.tac"], **pid_file("-1")),
    Case("pid-file-stale", ["-y", "app.tac"], says={"stale": r"[Ss]tale"}, **pid_file("99999")),
    Case("pid-file-empty", ["-y", "app.tac"], **pid_file("")),
    Case("pid-file-garbage", ["-y", "app.tac"],
         says={"reason": r"non-numeric|no number|not a (number|process id|PID)", "file": r"twistd\.pid"},
         **pid_file("nonsense")),
    Case("pid-file-not-utf8", ["-y", "app.tac"], files={"twistd.pid": b"\xff\xfe12"},
         says={"file": r"twistd\.pid"}),
    Case("pid-file-twenty-digits", ["-y", "app.tac"],
         says={"traceback": "Traceback", "file": r"twistd\.pid"}, **pid_file("12345678901234567890")),
    Case("pid-file-is-a-directory", ["-y", "app.tac"], prepare=lambda b: b.directory("twistd.pid"),
         says={"traceback": "Traceback", "reason": r"[Ii]s a directory|EISDIR", "file": r"twistd\.pid"}),
    Case("pid-file-unreadable", ["-y", "app.tac"], user=p.TWU,
         prepare=lambda b: b.file("twistd.pid", "99999", mode=0o600),
         says={"traceback": "Traceback", "reason": r"[Pp]ermission denied", "file": r"twistd\.pid"}),
    Case("pid-file-of-another-user's-process", ["-y", "app.tac"], user=p.TWU,
         prepare=lambda b: b.file("twistd.pid", "1"),
         says={"reason": r"not permitted|another user|not (yours|allowed)"}),
    Case("pid-file-directory-missing", ["-y", "app.tac", "--pidfile=no/such/x.pid"],
         says={"reason": r"No such file or directory|does not exist|no such directory", "file": r"no/such/x\.pid"}),
    Case("pid-file-directory-not-writable", ["-y", "app.tac", "--pidfile=root/x.pid"], user=p.TWU,
         prepare=lambda b: b.directory("root"),
         says={"reason": r"[Pp]ermission denied|may not|cannot (make|create)", "file": r"root/x\.pid"}),
    Case("pid-file-symlink-to-nowhere", ["-y", "app.tac"],
         prepare=lambda b: os.symlink("elsewhere", "twistd.pid"), says={"reason": r"symbolic|symlink|ELOOP"}),
    Case("pid-file-none", ["-y", "app.tac", "--pidfile="]),
]

TAC = [
    Case("tac-raises", ["-y", "app.tac"], tac="x = 1\nraise RuntimeError('bo' + 'om')\n",
         says={"reason": r"RuntimeError: boom", "line": r'app\.tac(", line | line |:)2'}),
    Case("tac-syntax-error", ["-y", "app.tac"], tac="x = 1\nx = = 2\n",
         says={"reason": "SyntaxError", "line": r'app\.tac(", line | line |:)2'}),
    Case("tac-missing", ["-y", "nothing.tac"],
         says={"reason": r"No such file|does not exist|no such", "file": r"nothing\.tac"}),
    Case("tac-is-a-directory", ["-y", "dir"], prepare=lambda b: b.directory("dir"),
         says={"reason": r"[Ii]s a directory", "file": r"\bdir\b"}),
    Case("tac-not-utf8", ["-y", "app.tac"], tac=b"x = 1\ny = '\xff\xfe'\n",
         says={"reason": r"codec can't decode|not (valid )?UTF-8|utf-?8", "file": r"app\.tac"}),
    Case("tac-without-application", ["-y", "app.tac"], tac="x = 1\n",
         says={"reason": r"'?`?application'?`?", "file": r"app\.tac"}),
    Case("tac-application-of-wrong-type", ["-y", "app.tac"], tac="application = 42\n",
         says={"reason": r"getComponent|not an application|is (an? )?int\b|type `?int", "file": r"app\.tac"}),
    Case("tac-exits", ["-y", "app.tac"], tac="import sys\nsys.exit(7)\n", says={"reason": r"exit"}),
    Case("tac-kills-itself", ["-y", "app.tac"], tac="import os\nos.kill(os.getpid(), 9)\n"),
    Case("tac-imports-nothing-there", ["-y", "app.tac"], tac="\nimport no_such_module\n",
         says={"reason": "No module named 'no_such_module'", "line": r'app\.tac(", line | line |:)2'}),
]

BOOM = "raise RuntimeError('bo' + 'om')"
LONG = "raise RuntimeError('bo' + 'om ' + 'x' * 200 + ' end' + 'ing')"


def port_in_use(place):
    import socket

    place.socket = socket.create_server(("127.0.0.1", 18765))


PHASES = [
    Case("privileged-start-raises", ["-y", "app.tac"], tac=tacs.in_phase("privilegedStartService", BOOM),
         says={"reason": "RuntimeError: boom", "line": r'app\.tac(", line | line |:)\d'}),
    Case("start-raises", ["-y", "app.tac"], tac=tacs.in_phase("startService", BOOM),
         says={"reason": "RuntimeError: boom", "line": r'app\.tac(", line | line |:)\d'}),
    Case("start-raises-at-length", ["-y", "app.tac"], tac=tacs.in_phase("startService", LONG),
         says={"reason": "RuntimeError: boom", "all of it": "RuntimeError: .*ending"}),
    Case("start-stops-the-reactor", ["-y", "app.tac"],
         tac=tacs.in_phase("startService", "from twisted.internet import reactor\nreactor.stop()"),
         says={"reason": "ReactorNotRunning"}),
    Case("start-exits", ["-y", "app.tac"], tac=tacs.in_phase("startService", "sys.exit(7)"),
         says={"reason": r"exit(ed)?\b.*7"}),
    Case("privileged-start-exits", ["-y", "app.tac"],
         tac=tacs.in_phase("privilegedStartService", "sys.exit(7)"), says={"reason": r"exit(ed)?\b.*7"}),
    Case("start-underscore-exits", ["-y", "app.tac"], tac=tacs.in_phase("startService", "os._exit(7)"),
         says={"reason": r"exit(ed)?\b.*7"}),
    Case("start-is-killed", ["-y", "app.tac"],
         tac=tacs.in_phase("startService", "os.kill(os.getpid(), signal.SIGKILL)"),
         says={"reason": r"SIGKILL|killed|signal 9"}),
    Case("start-is-terminated", ["-y", "app.tac"],
         tac=tacs.in_phase("startService", "import time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(3)"),
         says={"reason": r"SIGTERM|interrupted"}),
    Case("start-is-interrupted", ["-y", "app.tac"],
         tac=tacs.in_phase("startService", "raise KeyboardInterrupt"), says={"reason": "KeyboardInterrupt"}),
    Case("running-raises", ["-y", "app.tac"], tac=tacs.while_running(BOOM), says={"reason": "RuntimeError: boom"}),
    Case("running-fails-in-a-deferred", ["-y", "app.tac"],
         tac=tacs.PROBE + "from twisted.internet import defer\n"
         "Probe.startService = lambda self, s=Probe.startService: (s(self), defer.fail(RuntimeError('boom')))[1]\n"),
    Case("port-in-use", ["-y", "app.tac"], tac=tacs.PROBE + tacs.PORT.format(port=18765), prepare=port_in_use,
         says={"reason": "Address a", "whole": "Address already in use", "port": "18765"}),
    Case("port-of-root-as-user", ["-y", "app.tac"], tac=tacs.PROBE + tacs.PORT.format(port=79), user=p.TWU,
         prepare=lambda b: (p.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("1024")),
         says={"reason": "Permission d", "whole": "Permission denied", "port": r"\b79\b"}),
]

IDS = [
    Case("uid-of-another-as-user", ["-y", "app.tac", "--uid", "twv"], user=p.TWU,
         says={"reason": r"not permitted|cap_setuid|cannot|root"}),
    Case("gid-of-another-as-user", ["-y", "app.tac", "--gid", "twv"], user=p.TWU,
         says={"reason": r"not permitted|cap_setgid|cannot|root"}),
    Case("uid-of-the-application-as-user", ["-y", "app.tac"],
         tac=tacs.PROBE.replace('"bench"', '"bench", uid=0'), user=p.TWU,
         says={"reason": r"not permitted|cap_setuid|cannot|root"}),
    Case("uid-own-as-user", ["-y", "app.tac", "--uid", "twu"], user=p.TWU),
    Case("uid-unknown-name", ["-y", "app.tac", "--uid", "nobody-here"],
         says={"traceback": "Traceback", "who": "nobody-here"}),
    Case("uid-without-entry", ["-y", "app.tac", "--uid", "6789"], says={"who": r"6789"}),
    Case("uid-without-entry-with-gid", ["-y", "app.tac", "--uid", "6789", "--gid", "twu"], says={"who": r"6789"}),
]

PLACES = [
    Case("log-directory-missing", ["-y", "app.tac", "-l", "no/such/x.log"],
         says={"traceback": "Traceback", "reason": r"[Nn]o such|does not exist|no directory", "file": r"no/such"}),
    Case("log-is-a-directory", ["-y", "app.tac", "-l", "dir"], prepare=lambda b: b.directory("dir"),
         says={"traceback": "Traceback", "reason": r"[Ii]s a directory", "file": r"\bdir\b"}),
    Case("log-to-stdout-as-daemon", ["-y", "app.tac", "-l", "-"], says={"reason": r"cannot log to stdout|stdout"}),
    Case("chroot-missing", ["-y", "app.tac", "--chroot", "no-jail"],
         says={"reason": r"No such file|does not exist|no such", "file": "no-jail"}),
    Case("chroot-without-null-device", ["-y", "app.tac", "--chroot", "jail", "--pidfile=/var/t.pid"],
         prepare=lambda b: b.jail(null=False), says={"reason": r"/dev/null"}),
    Case("chroot-without-passwd", ["-y", "app.tac", "--chroot", "jail", "--pidfile=/var/t.pid", "--uid", "twu"],
         prepare=lambda b: b.jail(etc=False), says={"reason": r"uid not found|KeyError"}),
    Case("chroot-without-python's-files", ["-y", "app.tac", "--chroot", "bare", "--pidfile=/t.pid"],
         prepare=lambda b: (b.directory("bare/dev"), b.file("bare/dev/null", "")),
         tac=tacs.HEAD + tacs.in_phase("startService", "import sqlite3").replace(tacs.HEAD, ""),
         says={"reason": r"No module named '_?sqlite3'", "line": r'app\.tac(", line | line |:)\d'}),
    Case("rundir-missing", ["-y", "app.tac", "-d", "no-dir"],
         says={"reason": r"No such file|does not exist|no such", "file": "no-dir"}),
    Case("rundir-not-to-be-entered", ["-y", "app.tac", "-d", "shut"], user=p.TWU,
         prepare=lambda b: b.directory("shut", mode=0o700),
         says={"reason": r"[Pp]ermission denied|may not", "file": "shut"}),
]

USAGE = [
    Case("option-unknown", ["--no-such-option"], says={"which": "no-such-option|no_such_option"}),
    Case("option-without-value", ["-y"], says={"which": r"-y\b"}),
    Case("option-with-bad-umask", ["-y", "app.tac", "--umask=9"], says={"which": r"umask|\b9\b"}),
    Case("option-with-minus", ["-y", "app.tac", "--no-save"], says={"which": r"no.save"}),
    Case("plug-in-unknown", ["-n", "no-such-plug-in"], says={"which": "no-such-plug-in"}),
    Case("reactor-unknown", ["-y", "app.tac", "-r", "no-such-reactor"], says={"which": "no-such-reactor"}),
    Case("profiler-unknown", ["-y", "app.tac", "-p", "x", "--profiler=nope"], says={"which": "nope"}),
    Case("logger-unknown", ["-y", "app.tac", "--logger=no.such.thing"], says={"which": r"no\.such\.thing|No module named 'no'"}),
    Case("no-arguments", [], says={"usage": r"Usage: "}),
    Case("help", ["--help"], says={"usage": r"Usage: ", "chroot": "--chroot="}),
    Case("version", ["--version"], says={"version": r"26\.10\.0|rsd \d"}),
    Case("help-reactors", ["--help-reactors"], says={"asyncio": "asyncio", "epoll": "epoll"}),
]

FOREGROUND = [
    Case("foreground-start-raises", ["-n", "-y", "app.tac"], tac=tacs.in_phase("startService", BOOM),
         says={"reason": "RuntimeError: boom"}),
    Case("foreground-start-exits", ["-n", "-y", "app.tac"], tac=tacs.in_phase("startService", "sys.exit(7)"),
         says={"reason": r"exit(ed)?\b.*7"}),
    Case("foreground-reactor-stops", ["-n", "-y", "app.tac"],
         tac=tacs.while_running("reactor.stop()"), says={"end": "Main loop terminated"}),
    Case("foreground-reactor-raises", ["-n", "-y", "app.tac"],
         tac=tacs.PROBE + "from twisted.internet import reactor\n"
         "def run(*a, **k): raise RuntimeError('bo' + 'om')\nreactor.run = run\n",
         says={"reason": "RuntimeError: boom"}),
    Case("foreground-ends-by-itself", ["-n", "-y", "app.tac"],
         tac=tacs.while_running("os.kill(os.getpid(), signal.SIGTERM)"), says={"end": "Main loop terminated"}),
]

# An option as the user may write it, all of which must bring the daemon up.
SPELLINGS = [
    Case("spelling-cluster", ["-oy", "app.tac"]),
    Case("spelling-cluster-with-value", ["-oyapp.tac"]),
    Case("spelling-unique-prefix", ["--pyth=app.tac", "--logf=twistd.log"]),
    Case("spelling-value-apart", ["--python", "app.tac", "--pidfile", "twistd.pid"]),
    Case("spelling-no_save", ["--no_save", "--python=app.tac"]),
    Case("spelling-ambiguous-prefix", ["--pro=x", "-y", "app.tac"], says={"which": r"\bpro\b"}),
    Case("spelling-uid-with-zeros", ["-u", "05001", "-y", "app.tac"], prepare=lambda b: os.chmod(".", 0o777)),
    Case("spelling-empty-logfile", ["--logfile=", "-y", "app.tac"]),
    Case("option-reactor-poll", ["--reactor=poll", "-y", "app.tac"]),
    Case("option-reactor-asyncio", ["--reactor=asyncio", "-y", "app.tac"]),
    Case("option-reactor-select", ["-r", "select", "-y", "app.tac"]),
    Case("option-encrypted-and-save", ["-e", "-y", "app.tac"]),
    Case("option-originalname", ["--originalname", "-y", "app.tac"]),
    Case("option-syslog-without-socket", ["--syslog", "--prefix=me", "-y", "app.tac"]),
    Case("option-spew", ["--spew", "-y", "app.tac"]),
    Case("option-profile", ["--profile=prof", "-y", "app.tac"]),
    Case("option-profile-stats", ["--profile=prof", "--savestats", "--profiler=cprofile", "-y", "app.tac"]),
    Case("option-file-missing", ["-f", "nothing.tap"], says={"reason": r"No such file|nothing\.tap"}),
    Case("option-source-missing", ["-s", "nothing.tas"], says={"reason": r"No such file|nothing\.tas"}),
]

GROUPS = {
    "PID file in the way": PID_FILE,
    "The TAC": TAC,
    "Failures while it starts": PHASES,
    "Users": IDS,
    "Places": PLACES,
    "In the foreground": FOREGROUND,
    "The command line": USAGE + SPELLINGS,
}

for group, cases in GROUPS.items():
    for case in cases:
        registry.add(case.name, "facts", group, lambda place, case=case: observe(place, case))
