"""What each signal does, in each way of logging."""

import os
import signal

import place as p
import tacs
from logs import OWN_LOGGER, Syslog
from registry import add, facts

MODES = {
    "file log": ([], tacs.WRITER),
    "stdout": (["-n"], tacs.WRITER),
    "syslog": (["--syslog"], tacs.WRITER),
    "own logger": ([], OWN_LOGGER),
}
SIGNALS = ["TERM", "INT", "USR1", "HUP", "USR2", "QUIT"]


def one(b, name, words, tac):
    """Starts, sends one signal; how the daemon took it."""
    b.file("app.tac", tac)
    foreground = b.spawn(b.command("-y", "app.tac", *words)) if "-n" in words else None
    if foreground is None:
        assert b.twistd("-y", "app.tac", *words).code == 0
    seen = b.seen("running")
    pid = seen["pid"]
    os.kill(pid, getattr(signal, f"SIG{name}"))
    if foreground:
        p.eventually(lambda: foreground.poll() is not None, 1.0)
        ended = foreground.poll() is not None
    else:
        ended = p.eventually(lambda: p.state(pid) is None, 1.0)
    parts = []
    if not ended:
        parts.append("lives on")
        if os.path.exists("twistd.log.1"):
            parts.append("log rotated")
    elif foreground:
        parts.append(b.finish(foreground).status)
    else:
        parts.append("ends")
    if ended:
        parts.append("stopService run" if (p.SEEN / "stop").exists() else "stopService not run")
        parts.append("PID file left" if b.path("twistd.pid").exists() else "PID file removed")
    return ", ".join(parts)


def sent(mode, name):
    words, tac = MODES[mode]

    def body(b):
        syslog = Syslog() if mode == "syslog" else None
        answer = {f"{name} to a daemon with {mode}": one(b, name, words, tac)}
        del syslog
        return answer

    return body


for _mode in MODES:
    for _name in SIGNALS:
        add(f"signal {_name}, {_mode}", "facts", "Signals", sent(_mode, _name))


NEVER = tacs.PROBE + """
from twisted.internet import defer
def never(self):
    see("stop")
    return defer.Deferred()
Probe.stopService = never
"""


@facts("Signals")
def second_term(b):
    """A stop that never ends."""
    rows = {}
    for name in ("TERM", "INT"):
        for moment in p.SEEN.iterdir():
            moment.unlink()
        b.file("app.tac", NEVER)
        pid = b.daemon("-y", "app.tac")
        b.seen("running")
        os.kill(pid, getattr(signal, f"SIG{name}"))
        b.seen("stop")
        os.kill(pid, getattr(signal, f"SIG{name}"))
        ended = p.eventually(lambda: p.state(pid) is None, 2.0)
        rows[f"second {name} while it stops"] = "forces the stop" if ended else "logged, stops nothing"
        if not ended:
            os.kill(pid, signal.SIGKILL)
            p.eventually(lambda: not p.others())
        else:
            rows[f"second {name} while it stops"] += ", PID file " + ("left" if b.path("twistd.pid").exists() else "removed")
        b.path("twistd.pid").unlink(missing_ok=True)
    return rows


@facts("Signals")
def ignored_by_the_starter(b):
    """A script starts it with `&`: INT is ignored."""
    b.file("app.tac", tacs.PROBE)
    pid = b.daemon("-y", "app.tac", ignored=[signal.SIGINT])
    b.seen("running")
    os.kill(pid, signal.SIGINT)
    ended = p.eventually(lambda: p.state(pid) is None, 1.0)
    return {"INT that the starter ignores": "ends" if ended else "ignored"}


OWN_HANDLER = tacs.while_running("signal.signal(signal.SIGHUP, lambda *_: see('hup'))\nsignal.signal(signal.SIGUSR1, lambda *_: see('usr1'))\nsee('handlers')")


@facts("Signals")
def handlers_of_the_application(b):
    b.file("app.tac", OWN_HANDLER)
    pid = b.daemon("-y", "app.tac")
    b.seen("handlers")
    os.kill(pid, signal.SIGHUP)
    hup = p.eventually((p.SEEN / "hup").exists, 2)
    os.kill(pid, signal.SIGUSR1)
    usr1 = p.eventually((p.SEEN / "usr1").exists, 2)
    return {"handlers of the application for HUP and USR1": f"{'called' if hup else 'not called'}, {'called' if usr1 else 'not called'}"}
