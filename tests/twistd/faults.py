"""What goes wrong with twistd and must not here. twistd must fail each, rsd must pass."""

import os
import re
import signal
import time

import place as p
import tacs
from logs import OWN_LOGGER, Syslog, files, lines, started, writes
from registry import add, fault, ours
from signals import NEVER

# Tells when the thing happened that ends the start.
CAUSE = "import time\nopen('/mnt/seen/cause', 'w').write(str(time.time()))\n"


def ends(b, words, phase, says, codes=(1,), user=None, limit=5.0):
    """The start fails at once, says phase and reason, and leaves nothing but a log."""
    out = b.twistd(*words, user=user)
    ended = time.time()
    assert not out.hung, "the launcher hangs"
    assert out.code in codes, out
    cause = p.SEEN / "cause"
    since = ended - float(cause.read_text()) if cause.exists() else 0.0
    assert since < limit, f"it took {since:.2f} s after the cause"
    assert re.search(rf"`?{phase}`?", out.err), f"the phase {phase} is not named: {out}"
    assert re.search(says, out.err), f"the reason is not said ({says}): {out}"
    assert p.eventually(lambda: not p.others(), 5.0), f"processes are left: {p.others()}"
    left = {name for name in os.listdir(".") if name.endswith((".pid", ".sock", ".journal"))}
    assert not left, f"left behind: {left}"
    return out


ENDS = {
    "the child is killed": ("startService", "os.kill(os.getpid(), signal.SIGKILL)", r"SIGKILL|killed|signal 9"),
    "sys.exit in privilegedStartService": ("privilegedStartService", "sys.exit(7)", r"exit(ed)?\b.*\b7\b"),
    "sys.exit in startService": ("startService", "sys.exit(7)", r"exit(ed)?\b.*\b7\b"),
    "sys.exit with a text": ("startService", "sys.exit('no ' + 'way')", r"no way"),
    "sys.exit with nothing": ("startService", "sys.exit()", r"exit"),
    "os._exit in privilegedStartService": ("privilegedStartService", "os._exit(7)", r"exit(ed)?\b.*\b7\b"),
    "os._exit with 0": ("startService", "os._exit(0)", r"exit(ed)?\b.*\b0\b"),
    "KeyboardInterrupt": ("startService", "raise KeyboardInterrupt", r"KeyboardInterrupt|[Ii]nterrupted"),
    "SIGTERM during start-up": (
        "startService", "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)", r"SIGTERM|[Ii]nterrupted"),
    "SIGINT during start-up": (
        "privilegedStartService", "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)", r"SIGINT|[Ii]nterrupted"),
    "segmentation fault": (
        "startService", "import ctypes\nctypes.string_at(0)", r"SIGSEGV|signal 11|[Ss]egmentation"),
    "abort": ("startService", "os.abort()", r"SIGABRT|signal 6|[Aa]bort"),
}
PHASE = {"privilegedStartService": "privilegedStartService", "startService": "startApplication"}

for _name, (_where, _code, _says) in ENDS.items():

    def _body(b, where=_where, code=_code, says=_says):
        b.file("app.tac", tacs.in_phase(where, CAUSE + code))
        # 130 and 143: whoever interrupts it is told so.
        codes = (1, 128 + signal.SIGTERM, 128 + signal.SIGINT) if "SIG" in code else (1,)
        ends(b, ["-y", "app.tac"], PHASE[where], says, codes=codes)

    add(f"launcher: {_name}", "fault", "launcher", _body, "the launcher hangs")


DENIED = {
    "--uid of another, as a user": (["--uid", "twv"], tacs.PROBE),
    "--gid of another, as a user": (["--gid", "twv"], tacs.PROBE),
    "uid of the application, as a user": ([], tacs.PROBE.replace('"bench"', '"bench", uid=0')),
}
for _name, (_words, _tac) in DENIED.items():

    def _body(b, words=_words, tac=_tac):
        b.directory(".", 0o777)
        b.file("app.tac", tac)
        ends(b, ["-y", "app.tac", *words], "switchUidGid", r"cap_set[ug]id|[Nn]ot permitted|EPERM", codes=(1, 4, 6), user=p.TWU)

    add(f"launcher: {_name}", "fault", "launcher", _body, "the launcher hangs")


@fault("launcher", "the launcher hangs")
def no_null_device_in_the_jail(b):
    b.file("app.tac", tacs.PROBE)
    b.jail(null=False)
    out = b.twistd("-y", "app.tac", "--chroot", "jail", "--pidfile=/var/t.pid")
    assert not out.hung, "the launcher hangs"
    if out.code == 0:  # best of all: it needs none
        assert p.descriptors(b.seen("running")["pid"])[0] == "/dev/null"
    else:
        assert "/dev/null" in out.err, out


@fault("messages", "b'RuntimeError: boom xxx")
def a_long_message_is_whole(b):
    b.file("app.tac", tacs.in_phase("startService", "raise RuntimeError('bo' + 'om ' + 'x' * 3000 + ' end' + 'ing')"))
    out = b.twistd("-y", "app.tac")
    assert out.code == 1
    assert re.search(r"RuntimeError: boom x{3000} ending", out.err), out
    assert "b'" not in out.err


@fault("messages", "exit 1 after")
def a_bad_chroot_is_said_on_the_terminal(b):
    b.file("app.tac", tacs.PROBE)
    out = b.twistd("-y", "app.tac", "--chroot", "no-jail")
    assert out.code not in (0, None) and "no-jail" in out.err, out
    out = b.twistd("-y", "app.tac", "-d", "no-dir")
    assert out.code not in (0, None) and "no-dir" in out.err, out


@fault("messages", "Traceback")
def a_missing_log_directory_is_no_traceback(b):
    b.file("app.tac", tacs.PROBE)
    out = b.twistd("-y", "app.tac", "-l", "no/such/x.log")
    assert out.code not in (0, None) and "no/such" in out.err and "Traceback" not in out.err, out


SLOW = "import time\ntime.sleep(0.7)\n" + tacs.PROBE


def together(b, count):
    """As many at once, each of which takes its time to load; what came of each."""
    b.file("app.tac", SLOW)
    running = [b.spawn(b.command("-y", "app.tac")) for _ in range(count)]
    return [b.finish(each) for each in running]


@fault("PID file", "'exit 0', 'exit 0'")
def two_daemons_never_share_one(b):
    outs = together(b, 4)
    assert [out.code for out in outs].count(0) == 1, [out.status for out in outs]
    assert len({pid for pid in p.others() if "keeper" not in str(pid)}) >= 1
    pid = b.seen("running")["pid"]
    assert (b.text("twistd.pid") or "").strip() == str(pid), "the PID file is not the running one's"
    assert all(out.code in (0, 1, 5) for out in outs)


@fault("PID file", "the winner has no PID file")
def a_loser_does_not_remove_the_winner_s(b):
    b.file("app.tac", SLOW + tacs.PORT.format(port=18765))
    running = [b.spawn(b.command("-y", "app.tac")) for _ in range(3)]
    outs = [b.finish(each) for each in running]
    assert [out.code for out in outs].count(0) == 1, [out.status for out in outs]
    pid = b.seen("running")["pid"]
    assert p.state(pid) and (b.text("twistd.pid") or "").strip() == str(pid), "the winner has no PID file"


@fault("PID file", "it removed a file that was not its own")
def an_exit_does_not_remove_somebody_elses(b):
    b.file("app.tac", tacs.PROBE)
    pid = b.daemon("-y", "app.tac")
    b.seen("running")
    b.path("twistd.pid").rename(b.path("old.pid"))
    b.file("twistd.pid", "another's")
    assert b.stop(pid)
    assert b.text("twistd.pid") == "another's", "it removed a file that was not its own"


@fault("PID file", "Another twistd server is running")
def a_used_number_does_not_block(b):
    b.file("app.tac", tacs.PROBE)
    b.file("twistd.pid", str(os.getpid()))
    assert b.twistd("-y", "app.tac").code == 0, b.history[-1]


@fault("PID file", "non-numeric value")
def an_empty_file_does_not_block(b):
    b.file("app.tac", tacs.PROBE)
    b.file("twistd.pid", "")
    assert b.twistd("-y", "app.tac").code == 0, b.history[-1]


@fault("PID file", "it made a file where the link points")
def it_does_not_follow_a_symbolic_link(b):
    b.file("app.tac", tacs.PROBE)
    os.symlink("victim", "twistd.pid")
    b.twistd("-y", "app.tac")
    assert not b.path("victim").exists(), "it made a file where the link points"


@fault("descriptors", "% of a processor")
def closed_standard_ones_do_not_make_it_spin(b):
    b.file("app.tac", tacs.PROBE)
    out = b.twistd("-y", "app.tac", closed=[0, 1, 2])
    assert out.code == 0, out
    pid = b.seen("running")["pid"]
    before = p.cpu(pid)
    time.sleep(1.0)
    spent = sum(map(int, p.cpu(pid))) - sum(map(int, before))
    assert spent < 15, f"{spent} % of a processor"
    found = p.descriptors(pid)
    assert [found.get(fd) for fd in range(3)] == ["/dev/null"] * 3, found
    assert b.stop(pid)


@fault("descriptors", "a file of the starter's")
def nothing_leaks_into_the_daemon(b):
    b.file("app.tac", tacs.PROBE)
    read, write = os.pipe()
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    b.daemon("-y", "app.tac", keep=[write, secret])
    os.close(write)
    os.close(secret)
    pid = b.seen("running")["pid"]
    assert "/etc/passwd" not in p.descriptors(pid).values(), "a file of the starter's"
    os.set_blocking(read, False)
    assert os.read(read, 1) == b"", "a pipe of the starter's"


@fault("drop", "it still has [4, 27, 5100]")
def gid_alone_does_not_keep_the_groups_of_root(b):
    b.file("app.tac", tacs.PROBE)
    out = b.run(["setpriv", "--groups=4,27,5100", "--", *b.command("-y", "app.tac", "--gid", "twv")])
    assert out.code == 0, out
    groups = b.seen("running")["groups"]
    assert not {4, 27, 5100} & set(groups), f"it still has {groups}"


@fault("rotation", "the log fell silent")
def euid_does_not_stop_the_log(b):
    out = None
    b.directory("logs", 0o755, 0)
    b.file("app.tac", tacs.WRITER)
    out = b.twistd("-y", "app.tac", "-u", "twu", "--euid", "-l", "logs/x.log")
    assert out.code == 0, out
    b.seen("running")
    assert writes(25_000)
    assert lines(b, "logs/x.log") == 25_000, "the log fell silent"


@fault("rotation", "nobody is told")
def a_log_that_cannot_rotate_is_told_before(b):
    """A directory of root: the log goes on, and who starts it is told that it will not rotate."""
    b.directory("logs", 0o755, 0)
    b.file("app.tac", tacs.WRITER)
    out = b.twistd("-y", "app.tac", "-u", "twu", "-l", "logs/x.log")
    assert out.code == 0, out
    told = out.err + out.out
    if not b.theirs:
        told += b.run([str(p.RSD), "check", "--spec", "twistd", "-y", "app.tac", "-u", "twu", "-l", "logs/x.log"]).out
    assert re.search(r"rotat", told), "nobody is told"
    b.seen("running")
    assert writes(25_000)
    assert lines(b, "logs/x.log") == 25_000, "lines are lost"


@fault("rotation", "the log fell silent")
def a_sticky_directory_does_not_stop_the_log(b):
    b.directory("logs", 0o1777, 0)
    b.file("logs/x.log", "", 0o666)
    b.file("app.tac", tacs.WRITER)
    out = b.twistd("-y", "app.tac", "-u", "twu", "-l", "logs/x.log")
    assert out.code == 0, out
    b.seen("running")
    assert writes(25_000)
    assert lines(b, "logs/x.log") == 25_000, "the log fell silent"


for _number in ("USR1", "HUP"):
    for _mode, _words, _tac in (
        ("file", [], tacs.WRITER),
        ("stdout", ["-n"], tacs.WRITER),
        ("syslog", ["--syslog"], tacs.WRITER),
        ("own logger", [], OWN_LOGGER),
    ):
        if (_number, _mode) == ("USR1", "file"):
            continue  # twistd can do that

        def _body(b, number=_number, mode=_mode, words=_words, tac=_tac):
            syslog = Syslog() if mode == "syslog" else None
            b.file("app.tac", tac)
            if "-n" in words:
                b.spawn(b.command("-y", "app.tac", *words))
            else:
                assert b.twistd("-y", "app.tac", *words).code == 0, b.history[-1]
            pid = b.seen("running")["pid"]
            for _ in range(3):
                assert p.state(pid) not in (None, "Z"), f"{number} killed it"
                os.kill(pid, getattr(signal, f"SIG{number}"))
                time.sleep(0.1)
            assert p.state(pid) not in (None, "Z"), f"{number} killed it"
            assert writes(3, 3.0), "it does not work any more"
            os.kill(pid, signal.SIGTERM)
            assert p.eventually(lambda: p.state(pid) in (None, "Z"), 5), "TERM does not end it any more"
            del syslog

        add(f"signals: {_number} does not kill ({_mode})", "fault", "signals", _body, "killed it")


@fault("signals", "it goes on")
def a_second_TERM_forces_the_stop(b):
    b.file("app.tac", NEVER)
    b.daemon("-y", "app.tac")
    pid = b.seen("running")["pid"]
    os.kill(pid, signal.SIGTERM)
    b.seen("stop")
    os.kill(pid, signal.SIGTERM)
    assert p.eventually(lambda: p.state(pid) is None, 2), "it goes on"
    assert p.eventually(lambda: not p.others(), 2)
    assert not b.path("twistd.pid").exists(), "its PID file is left"


RAISES = tacs.PROBE + """
def run(*a, **k):
    raise RuntimeError('bo' + 'om')
reactor.run = run
"""


@fault("exit status", "exit 0 after")
def reactor_run_that_raises_is_one(b):
    b.file("app.tac", RAISES)
    out = b.twistd("-n", "-y", "app.tac")
    assert out.code == 1, out
    assert "RuntimeError: boom" in out.out + out.err


THREAD = tacs.PROBE + """
import threading, time
def tick():
    while True:
        with open("/mnt/seen/ticks", "a") as out:
            out.write(".")
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
"""


@fault("threads", "it died at the fork")
def a_thread_of_the_TAC_lives_on(b):
    b.spec = "twistd-safe"
    b.file("app.tac", THREAD)
    (p.SEEN / "ticks").touch()
    os.chmod(p.SEEN / "ticks", 0o666)
    assert b.twistd("-y", "app.tac").code == 0, b.history[-1]
    pid = b.seen("running")["pid"]
    before = (p.SEEN / "ticks").stat().st_size
    time.sleep(0.5)
    assert (p.SEEN / "ticks").stat().st_size > before + 10, "it died at the fork"
    assert b.stop(pid)


@fault("processName", "No module named 'twisted'")
def it_works_in_a_virtual_environment(b):
    b.file("app.tac", tacs.PROBE + "service.IProcess(application).processName = 'my-daemon'\n")
    out = b.twistd("-y", "app.tac")
    assert out.code == 0, out
    pid = b.seen("running")["pid"]
    shown = open(f"/proc/{pid}/comm").read().strip(), open(f"/proc/{pid}/cmdline").read().split("\0")[0]
    assert "my-daemon" in shown[0] + shown[1], shown
    assert b.stop(pid)


@ours("launcher")
def its_start_is_undone_when_it_is_interrupted(b):
    """TERM to the launcher itself."""
    b.file("app.tac", tacs.in_phase("privilegedStartService", CAUSE + "time.sleep(30)"))
    launcher = b.spawn(b.command("-y", "app.tac"))
    assert p.eventually((p.SEEN / "cause").exists, 10)
    launcher.terminate()
    out = b.finish(launcher)
    assert not out.hung and out.code not in (0,), out
    assert p.eventually(lambda: not p.others(), 2), "processes are left"
    assert not b.path("twistd.pid").exists()
