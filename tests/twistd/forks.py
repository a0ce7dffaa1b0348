"""Processes of the application's own making: what they must not take along, hold up or bring down."""

import os
import signal

import place as p
from registry import ours

SERVICE = """import os, signal, sys, time
from twisted.application import service
from twisted.internet import reactor
class S(service.Service):
    def startService(self):
        %s
application = service.Application("bench")
S().setServiceParent(application)
"""
WORKER = "os.fork() or (time.sleep(60), os._exit(0))"


@ours("forks")
def a_worker_does_not_keep_the_launcher_waiting(b):
    """It has all that the daemon had, the way to the launcher too, and outlives it."""
    for spec in ("twistd", "twistd-safe"):
        b.spec = spec
        b.file("app.tac", SERVICE % f"{WORKER}; os.kill(os.getpid(), signal.SIGKILL)")
        out = b.twistd("-y", "app.tac")
        assert not out.hung and out.code == 1 and out.seconds < 30, out
        assert "SIGKILL" in out.err and not b.path("twistd.pid").exists(), out


@ours("forks")
def a_worker_does_not_hold_the_lock_of_the_pid_file(b):
    b.file("app.tac", SERVICE % WORKER)
    out = b.twistd("-y", "app.tac")
    assert out.code == 0, out
    first = int(b.text("twistd.pid"))
    os.kill(first, signal.SIGKILL)
    assert p.eventually(lambda: p.state(first) is None) and p.others(), "the worker lives on"
    out = b.twistd("-y", "app.tac")
    assert out.code == 0 and int(b.text("twistd.pid")) != first, out


@ours("forks")
def a_child_that_exits_does_not_end_the_start(b):
    for code in ("sys.exit(3)", "raise ValueError"):
        fork = f"pid = os.fork()\nif pid == 0: {code}\nwaited = os.waitpid(pid, 0)[1]\n"
        text = SERVICE % "print('waited', os.waitstatus_to_exitcode(waited))"
        b.file("app.tac", text.replace("class S", f"{fork}class S"))
        pid = b.daemon("-y", "app.tac")
        wanted = "waited 3" if "exit" in code else "waited 1"
        assert p.eventually(lambda: wanted in b.log()), b.log()
        assert b.stop(pid)


@ours("forks")
def a_child_does_not_go_on_with_the_start(b):
    text = SERVICE % "reactor.callWhenRunning(reactor.callLater, 0.1, reactor.stop)"
    b.file("app.tac", text.replace("class S", "os.fork()\nclass S"))
    out = b.twistd("-n", "-y", "app.tac")
    assert out.code == 0 and out.err.count("forked child") == 1, out
    assert out.out.count("Main loop terminated") == 1, out


@ours("forks")
def the_guard_keeps_no_port(b):
    """A port that the application closes is free, and no connection waits at it for ever."""
    b.spec = "twistd-safe"
    b.file("app.tac", """from twisted.application import service, internet
from twisted.internet import reactor, protocol
application = service.Application("bench")
server = internet.TCPServer(2879, protocol.Factory())
server.setServiceParent(application)
reactor.callWhenRunning(reactor.callLater, 0.1, server.stopService)
""")
    out = b.twistd("-u", "twu", "-y", "app.tac")
    assert out.code == 0 and len(p.others()) == 2, (out, p.others())
    assert p.eventually(lambda: not p.listening(), 5), "the port is still open"
    pid = int(b.text("twistd.pid"))
    assert b.stop(pid) and not b.path("twistd.pid").exists()


@ours("forks")
def programs_of_the_startup_have_no_blocked_signals(b):
    """Whatever is started before Twisted has taken the signals."""
    look = "lambda: print(open('/proc/self/status').read().partition('SigBlk:')[2][:17].strip())"
    b.file("app.tac", SERVICE % f"reactor.addSystemEventTrigger('before', 'startup', {look})")
    pid = b.daemon("-y", "app.tac")
    sigint = 1 << signal.SIGINT - 1
    masks = lambda: [int(w, 16) for w in b.log().split() if len(w) == 16 and set(w) <= set("0123456789abcdef")]
    assert p.eventually(masks), b.log()
    assert not masks()[0] & ~sigint, b.log()
    assert b.stop(pid)


@ours("forks")
def an_application_may_be_read_behind_the_drop(b):
    b.file("late.yaml", """rsd: 1
name: late
about: The application is read by the user who will serve.
options: { python: { type: path, short: y, help: the application } }
phases:
  drop: { kind: switch-user, with: { uid: twu } }
  load: { kind: load-application, needs: [drop], with: { tac: "${python}" } }
  start: { kind: start-application, needs: [load] }
  serve: { kind: serve, needs: [start] }
""")
    b.file("app.tac", (SERVICE % "pass") + "reactor.callWhenRunning(reactor.callLater, 0.1, reactor.stop)\n")
    out = b.run([str(p.RSD), "run", "--spec", "late.yaml", "-y", "app.tac"])
    assert out.code == 0 and not out.err, out


@ours("forks")
def a_thread_does_not_swallow_what_calls_the_start_off(b):
    """In the launcher, too, there are the threads that the application began while it was read."""
    work = "hashlib.pbkdf2_hmac, args=('sha1', b'', b'', 9000000), daemon=True"
    thread = f"import hashlib, threading\nfor _ in range(2): threading.Thread(target={work}).start()\n"
    text = SERVICE % "open('/mnt/seen/cause', 'w').close(); time.sleep(20)"
    b.file("app.tac", text.replace("class S", f"{thread}class S"))
    for number in (signal.SIGTERM, signal.SIGINT):
        (p.SEEN / "cause").unlink(missing_ok=True)
        launcher = b.spawn(b.command("-y", "app.tac"))
        assert p.eventually((p.SEEN / "cause").exists)
        launcher.send_signal(number)
        out = b.finish(launcher)
        assert not out.hung and out.code == 1 and out.seconds < 15, out
        assert "SIG" in out.err and not b.path("twistd.pid").exists(), out
