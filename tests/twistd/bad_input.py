"""What is wrong is said once, whole, with phase, place, reason and advice; nothing is left behind."""

import os
import re
import socket
import time
from dataclasses import dataclass, field

import place as p
import tacs
from exits import ADVICE, listed
from registry import add

CAUSE = "import time\nopen('/mnt/seen/cause', 'w').write(str(time.time()))\n"
NUL = "\0"


@dataclass
class Bad:
    """One bad start. `phase` is the phase to be named, `says` patterns for what must be told."""

    words: list
    code: object
    says: list
    phase: str = ""
    tac: object = tacs.PROBE
    user: object = None
    prepare: object = None
    keeps: list = field(default_factory=list)  # files that may stay, such as a log that was written to


def in_use(b):
    b.socket = socket.create_server(("127.0.0.1", 18765))


def jail_without_python(b):
    b.directory("bare/dev")
    b.file("bare/dev/null", "")


def shut(b):
    b.directory("shut", mode=0o755)


LOG = ["twistd.log"]
TAC = ["-y", "app.tac"]
AT = r'app\.tac(?:", line | line |:)'
READ = "readTacFile"
BAD = {
    "a TAC that raises": Bad(TAC, 1, ["RuntimeError: boom", AT + "4"], READ, CAUSE + "x = 1\nraise RuntimeError('bo' + 'om')\n"),
    "a TAC that raises in a function": Bad(TAC, 1, ["ValueError: deep", AT + "2"], READ, "def f():\n    raise ValueError('de' + 'ep')\n\nf()\n"),
    "a TAC that raises in another module": Bad(TAC, 1, ["ValueError: deep", r"other\.py(?: line |:)2", AT + "2"], READ, "import sys; sys.path.insert(0, '.')\nimport other\n",
        prepare=lambda b: b.file("other.py", "# one\nraise ValueError('de' + 'ep')\n"), keeps=["__pycache__"]),
    "a TAC whose exception cannot be shown": Bad(TAC, 1, ["Odd", AT], READ, "class Odd(Exception):\n    def __str__(self):\n        raise TypeError\nraise Odd()\n"),
    "a TAC with a syntax error": Bad(TAC, 1, ["SyntaxError", AT + "2"], READ, "x = 1\nx = = 2\n"),
    "a TAC with a wrong indentation": Bad(TAC, 1, ["IndentationError|TabError", AT + "2"], READ, "if True:\nx = 2\n"),
    "a TAC with a NUL byte": Bad(TAC, 1, ["null byte|NUL", r"app\.tac"], READ, "x = 1\n" + NUL + "\n"),
    "a TAC with wide output": Bad(TAC, 1, ["boom", AT], READ, "raise RuntimeError('bo' + 'om \\x1b[31m\\r\\n\\x07')\n"),
    "a TAC that is missing": Bad(["-y", "nothing.tac"], (1, 6), ["nothing.tac", "[Nn]o such|does not exist"], READ, None),
    "a TAC in a directory that is missing": Bad(["-y", "no/nothing.tac"], (1, 6), ["no/nothing.tac", "[Nn]o such|does not exist"], READ, None),
    "a TAC that is a directory": Bad(["-y", "dir"], (1, 6), ["dir", "directory"], READ, None, prepare=lambda b: b.directory("dir")),
    "a TAC that may not be read": Bad(TAC, (1, 4, 6), ["app.tac", "[Pp]ermission|may not|cannot"], READ, user=p.TWU, prepare=lambda b: os.chmod("app.tac", 0o600)),
    "a TAC that is not UTF-8": Bad(TAC, (1, 6), ["app.tac", r"UTF-8|utf-8"], READ, b"x = 1\ny = '\xff\xfe'\n"),
    "a TAC without application": Bad(TAC, 1, [r"`?'?application", r"app\.tac"], READ, "x = 1\n"),
    "a TAC whose application is a number": Bad(TAC, 1, ["application", r"\bint\b", r"app\.tac"], READ, "application = 42\n"),
    "a TAC whose application is None": Bad(TAC, 1, ["application", r"None", r"app\.tac"], READ, "application = None\n"),
    "a TAC whose application is a service": Bad(TAC, 1, ["application", r"MultiService", r"app\.tac"], READ, "from twisted.application import service\napplication = service.MultiService()\n"),
    "an empty TAC": Bad(TAC, 1, ["application", r"app\.tac"], READ, ""),
    "a TAC that leaves": Bad(TAC, 1, [r"exit(ed)?\b.*7|SystemExit.*7"], READ, CAUSE + "import sys\nsys.exit(7)\n"),
    "a TAC that leaves with 0": Bad(TAC, 1, [r"exit|SystemExit"], READ, CAUSE + "import sys\nsys.exit(0)\n"),
    "a TAC that imports what is not there": Bad(TAC, 1, ["No module named 'no_such_module'", AT + "2"], READ, "\nimport no_such_module\n"),
    "a TAC that recurses without end": Bad(TAC, 1, ["RecursionError", AT], READ, "def f():\n    f()\nf()\n"),
    "a plug-in that is unknown": Bad(["-n", "no-such-plug-in"], (1, 2), ["no-such-plug-in"], "", None),
    "a plug-in's option that is unknown": Bad(["-n", "web", "--no-such"], (1, 2), ["no-such"], "", None),
    "a plug-in's port that is nonsense": Bad(["-n", "web", "--listen=nonsense:x", "--path=."], (1, 2), ["nonsense"], "", None),
    "a reactor that is unknown": Bad(["-r", "nope", *TAC], (1, 2), ["nope"], ""),
    "a logger that is unknown": Bad(["--logger=no.such.thing", *TAC], (1, 2), [r"no\.such\.thing|No module named 'no'"], ""),
    "an option that is unknown": Bad(["--no-such-option", *TAC], 2, ["no-such-option"], ""),
    "an option without its value": Bad(["-y"], 2, ["-y|--python"], ""),
    "an umask that is none": Bad([*TAC, "--umask=9"], 2, ["umask", "9"], ""),
    "a uid without an entry": Bad([*TAC, "-u", "6789"], (1, 2, 6), ["6789"], ""),
    "a user that is unknown": Bad([*TAC, "-u", "nobody-here"], (1, 2, 6), ["nobody-here"], ""),
    "a group that is unknown": Bad([*TAC, "-g", "nobody-here"], (1, 2, 6), ["nobody-here"], ""),
    "a uid of the TAC without an entry": Bad(TAC, (1, 6), ["6789"], "", tacs.PROBE.replace('"bench"', '"bench", uid=6789'), keeps=LOG),
    "a uid of the TAC that is another's": Bad(TAC, (1, 4), ["cap_setuid|cap_setgid|not permitted"], "switchUidGid", tacs.PROBE.replace('"bench"', '"bench", uid=5002'), user=p.TWU, keeps=LOG),
    "a log directory that is missing": Bad([*TAC, "-l", "no/such/x.log"], (1, 6), ["no/such", "[Nn]o such|does not exist|missing"], "startLogger"),
    "a log that is a directory": Bad([*TAC, "-l", "dir"], (1, 6), ["dir", "directory|no regular file"], "startLogger", prepare=lambda b: b.directory("dir")),
    "a log directory that may not be written": Bad([*TAC, "-l", "shut/x.log"], (1, 4, 6), ["shut", "[Pp]ermission|EACCES|may not|cannot"], "startLogger", user=p.TWU, prepare=shut),
    "a PID directory that is missing": Bad([*TAC, "--pidfile=no/such/x.pid"], (1, 6), ["no/such", "[Nn]o such|does not exist|missing"], "openPIDFile|checkPID", keeps=LOG),
    "a PID directory that may not be written": Bad([*TAC, "--pidfile=shut/x.pid"], (1, 4, 6), ["shut", "[Pp]ermission|EACCES|may not|cannot"], "openPIDFile|checkPID", user=p.TWU, prepare=shut, keeps=LOG),
    "a PID file that is a directory": Bad([*TAC, "--pidfile=dir"], (1, 5, 6), ["dir", "directory|no regular file"], "openPIDFile|checkPID", prepare=lambda b: b.directory("dir"), keeps=LOG),
    "a port in use": Bad(TAC, 1, ["18765", "Address already in use"], "privilegedStartService", tacs.PROBE + CAUSE + tacs.PORT.format(port=18765), prepare=in_use, keeps=LOG),
    "a privileged port as a user": Bad(TAC, 1, [r"\b79\b", "Permission denied"], "privilegedStartService", tacs.PROBE + tacs.PORT.format(port=79), user=p.TWU, keeps=LOG),
    "a chroot that is missing": Bad([*TAC, "--chroot=no-jail"], (1, 6), ["no-jail", "[Nn]o such|does not exist"], "chroot", keeps=LOG),
    "a chroot as a user": Bad([*TAC, "--chroot=dir"], (1, 4, 6), ["cap_sys_chroot|not permitted"], "chroot", user=p.TWU, prepare=lambda b: b.directory("dir"), keeps=LOG),
    "a chroot without Python's files": Bad([*TAC, "--chroot=bare", "--pidfile=/t.pid"], 1, ["sqlite3", "chroot|root directory|/mnt/work/bare|bare"], "startApplication",
        tacs.in_phase("startService", "import sqlite3"), prepare=jail_without_python, keeps=LOG),
    "a working directory that is missing": Bad([*TAC, "-d", "no-dir"], (1, 6), ["no-dir", "[Nn]o such|does not exist"], "chdir", keeps=LOG),
    "a working directory that may not be entered": Bad([*TAC, "-d", "/root/x"], (1, 4, 6), ["/root", "[Pp]ermission|EACCES|may not"], "chdir", user=p.TWU, keeps=LOG,
        prepare=lambda b: os.makedirs("/run/none", exist_ok=True)),
    "an exception in privilegedStartService": Bad(TAC, 1, ["RuntimeError: boom", AT], "privilegedStartService", tacs.in_phase("privilegedStartService", CAUSE + "raise RuntimeError('bo' + 'om')"), keeps=LOG),
    "an exception in startService": Bad(TAC, 1, ["RuntimeError: boom", AT], "startApplication", tacs.in_phase("startService", CAUSE + "raise RuntimeError('bo' + 'om')"), keeps=LOG),
    "an exception in startService after the drop": Bad([*TAC, "-u", "twu"], 1, ["RuntimeError: boom", AT], "startApplication", tacs.in_phase("startService", CAUSE + "raise RuntimeError('bo' + 'om')"), keeps=LOG),
    "an interpreter that is missing": Bad(["--interpreter=/no/python", *TAC], (1, 2, 6), ["/no/python"], ""),
    "an interpreter that is no program": Bad(["--interpreter=/etc/passwd", *TAC], (1, 2, 6), ["/etc/passwd"], ""),
    "an interpreter without Twisted": Bad(["--interpreter=/usr/bin/python3", *TAC], (1, 2, 6), ["/usr/bin/python3", "[Tt]wisted"], ""),
    "a TAC and a pickle that are missing": Bad(["-f", "nothing.tap"], (1, 2, 6), [r"nothing\.tap|--file|-f\b"], "", None),
    "stdout as a daemon's log": Bad([*TAC, "-l", "-"], (1, 2, 6), ["stdout"], ""),
}


def check(b, bad):
    if bad.tac is not None:
        b.file("app.tac", bad.tac)
    if bad.user:
        os.chown(p.WORK, bad.user, bad.user)
    if bad.prepare:
        bad.prepare(b)
    before, ports = listed(), p.listening()
    out = b.twistd(*bad.words, user=bad.user)
    ended = time.time()
    assert not out.hung, "it hangs"
    codes = bad.code if isinstance(bad.code, tuple) else (bad.code,)
    assert out.code in codes, f"not exit {codes}: {out}"
    text = out.err
    for pattern in bad.says:
        assert re.search(pattern, text), f"`{pattern}` is not said: {out}"
    assert not bad.phase or re.search(bad.phase, text), f"the phase {bad.phase} is not named: {out}"
    assert re.search(ADVICE["advice"], text, re.M), f"no advice: {out}"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), f"control characters on the terminal: {out}"
    assert "panicked" not in text
    cause = p.SEEN / "cause"
    if cause.exists():
        since = ended - float(cause.read_text())
        assert since < 1.0, f"{since:.2f} s after the cause"
    assert p.eventually(lambda: not p.others(), 1.0), "processes are left"
    left = {name for name in listed() - before if not any(name.startswith(keep) for keep in bad.keeps)}
    assert not left, f"left behind: {left}: {out}"
    assert p.listening() == ports, "ports are left"


for _name, _bad in BAD.items():
    add(f"bad: {_name}", "ours", "bad input", lambda b, bad=_bad: check(b, bad))
