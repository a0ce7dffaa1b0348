"""Tickets of Twisted that a user of rsd does not have. twistd must fail each, rsd must pass."""

import os
import signal

import place as p
import tacs
from logs import files, lines, started, writes
from registry import fault


def log_of_the_user(b, **how):
    b.directory("logs", 0o755, p.TWU)
    return started(b, "-u", "twu", "-l", "logs/x.log", **how)


@fault("#5296", "2.25 MB are in ['x.log']")
def a_log_rotates_after_the_drop(b):
    b.spec = "twistd-safe"
    pid = log_of_the_user(b)
    assert writes(25_000), "it wrote no 25,000 lines"
    assert len(files(b, "logs/x.log")) == 3, f"2.25 MB are in {files(b, 'logs/x.log')}"
    assert lines(b, "logs/x.log") == 25_000, "lines are lost"
    assert b.stop(pid)


@fault("#5297", "the PID file is still there")
def the_PID_file_is_removed_after_the_drop(b):
    b.spec = "twistd-safe"
    b.directory("root", 0o755, 0)
    b.file("app.tac", tacs.PROBE)
    out = b.twistd("-y", "app.tac", "-u", "twu", "--pidfile=root/x.pid")
    assert out.code == 0, out
    pid = b.seen("running")["pid"]
    assert p.owner("root") == "0:0" and p.status(pid)["Uid"][0] == str(p.TWU)
    assert b.stop(pid), "it did not end"
    assert not b.path("root/x.pid").exists(), "the PID file is still there"


@fault("#4640", "AssertionError: 0:0")
def the_log_belongs_to_the_user(b):
    b.spec = "twistd-safe"
    pid = log_of_the_user(b)
    assert p.owner("logs/x.log") == f"{p.TWU}:{p.TWU}", p.owner("logs/x.log")
    assert b.stop(pid)


@fault("#3473", "it started beside the first")
def a_jailed_daemon_is_not_started_twice(b):
    b.file("app.tac", tacs.PROBE)
    b.jail()
    words = ["-y", "app.tac", "--chroot", "jail", "--pidfile=/var/t.pid"]
    assert b.twistd(*words).code == 0, b.history[-1]
    first = b.seen("running")["pid"]
    text = b.text("jail/var/t.pid")
    second = b.twistd(*words)
    assert second.code not in (0, None), "it started beside the first"
    assert b.text("jail/var/t.pid") == text, "the second took the PID file of the first"
    assert p.state(first), "the first did not survive"


@fault("#7745", "the launcher waits for ever")
def the_launcher_does_not_wait_for_a_dead_daemon(b):
    b.file("app.tac", tacs.in_phase("startService", "os._exit(7)"))
    out = b.twistd("-y", "app.tac")
    assert not out.hung, "the launcher waits for ever"
    assert out.code == 1, out
    assert not p.others(), "something is left"


@fault("#3851", "Another twistd server is running")
def a_process_id_that_is_somebody_elses_by_now_is_no_daemon(b):
    other = b.spawn(["sleep", "60"])
    b.file("twistd.pid", str(other.pid))
    b.file("app.tac", tacs.PROBE)
    out = b.twistd("-y", "app.tac")
    assert out.code == 0, out
    pid = b.seen("running")["pid"]
    assert (b.text("twistd.pid") or "").strip() == str(pid)
    # And one that does run is seen, whatever stands in the file.
    b.path("twistd.pid").write_text("99999")
    assert b.twistd("-y", "app.tac").code not in (0, None), "a second one started beside it"


@fault("#3363", "there is no new log")
def HUP_reopens_the_log(b):
    pid = started(b)
    assert writes(10)
    b.path("twistd.log").rename(b.path("moved.log"))
    os.kill(pid, signal.SIGHUP)
    assert p.eventually(b.path("twistd.log").exists, 2), "there is no new log"
    assert p.state(pid), "it killed the daemon"
    assert writes(10)
    assert b.log().count("] line ") == 10 and b.log("moved.log").count("] line ") == 10
    assert b.stop(pid)


@fault("#5723", "it did not rotate")
def a_log_in_a_directory_of_the_user_rotates_whoever_owns_the_file(b):
    b.directory("logs", 0o755, p.TWU)
    b.file("logs/x.log", "", mode=0o600, owner=0)
    pid = started(b, "-u", "twu", "-l", "logs/x.log")
    assert writes(25_000)
    assert len(files(b, "logs/x.log")) >= 2, "it did not rotate"
    assert lines(b, "logs/x.log") == 25_000, "lines are lost"
    assert b.stop(pid)
