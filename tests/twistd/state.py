"""What the kernel and the file system show of a daemon that runs."""

import os
import re
import signal

import place as p
import tacs
from registry import add, facts


def names(pid, launcher=None):
    """A process id in words."""
    return {1: "1", launcher: "the launcher"}.get(pid, "another")


def what(target):
    """The target of a descriptor in words."""
    if target == "/dev/null":
        return "null device"
    if target.endswith(".jsonl"):
        return "the journal"
    if target.startswith("/mnt/work/"):
        return target.rpartition("/")[2]
    return re.sub(r":\[.*", "", target.replace("anon_inode:", "").strip("[]"))


def counted(words):
    """`log, pipe x2`"""
    return ", ".join(w if words.count(w) == 1 else f"{w} x{words.count(w)}" for w in dict.fromkeys(words))


def identity(pid):
    status = p.status(pid)
    return {
        "user ids (r e s)": " ".join(status["Uid"][:3]),
        "group ids (r e s)": " ".join(status["Gid"][:3]),
        "groups": " ".join(sorted(status["Groups"], key=int)) or "none",
        "effective capabilities": "none" if int(status["CapEff"][0], 16) == 0 else "root's",
        "permitted capabilities": "none" if int(status["CapPrm"][0], 16) == 0 else "root's",
    }


def process(pid):
    fields = p.stat_fields(pid)
    status = p.status(pid)
    fds = p.descriptors(pid)
    flags = {fd: int(open(f"/proc/{pid}/fdinfo/{fd}").read().split("flags:")[1].split()[0], 8) for fd in fds}
    session = int(fields[3])
    # twistd's launcher leaves it as a zombie to init, which takes a moment.
    if session != pid:
        p.eventually(lambda: p.state(session) is None, 1)
    return {
        "parent": names(int(fields[1])),
        "session": "its own" if session == pid else "of a process that is gone" if p.state(session) is None else "a living one's",
        "group and session are the same": str(fields[2] == fields[3]),
        "terminal": fields[4],
        "working directory": os.readlink(f"/proc/{pid}/cwd"),
        "root directory": os.readlink(f"/proc/{pid}/root"),
        "umask": status["Umask"][0],
        "descriptors 0-2": counted([what(fds.get(fd, "closed")) for fd in range(3)]),
        "descriptors 0-2 are": counted([("read-write" if flags[fd] & 3 == 2 else "one way") + (", close-on-exec" if flags[fd] & 0o2000000 else "") for fd in range(3) if fd in fds]),
        "other descriptors": counted(sorted(what(target) for fd, target in fds.items() if fd > 2)),
        "threads": status["Threads"][0],
        "signals blocked": " ".join(p.signals(pid, "SigBlk")) or "none",
        "signals ignored": " ".join(p.signals(pid, "SigIgn")) or "none",
        "signals caught": " ".join(p.signals(pid, "SigCgt")) or "none",
        "processes of the daemon": str(len(p.others())),
    }


def prefixed(prefix, values):
    return {f"{prefix}: {name}": value for name, value in values.items()}


def pid_file(place, name="twistd.pid", pid=None):
    path = place.path(name)
    if not path.exists():
        return {"PID file": "none"}
    text = path.read_text()
    shown = text.replace(str(pid), "PID").replace("\n", "\\n")
    return {"PID file": shown, "PID file's mode": p.mode(path), "PID file's owner": p.owner(path)}


@facts("A daemon that runs")
def daemon(b):
    """The default daemon, started by root."""
    b.file("app.tac", tacs.PROBE)
    read, write = os.pipe()
    pid = b.daemon("-y", "app.tac", keep=[write])
    os.close(write)
    launcher = b.history[-1]
    b.seen("running")
    rows = process(pid) | identity(pid)
    rows["command line"] = "as typed" if "app.tac" in open(f"/proc/{pid}/cmdline").read() else "changed"
    rows["environment"] = "as it was" if "VIRTUAL_ENV=" in open(f"/proc/{pid}/environ").read() else "changed"
    rows["a descriptor of the starter's"] = "kept" if any("pipe:" in t and os.fstat(read).st_ino == int(t[6:-1]) for t in p.descriptors(pid).values()) else "closed"
    rows |= pid_file(b, pid=pid)
    rows["what it says when all is well"] = (launcher.out + launcher.err).strip() or "nothing"
    rows["log's mode"] = p.mode("twistd.log")
    rows["log's owner"] = p.owner("twistd.log")
    rows["stopped by TERM within 10 s"] = str(b.stop(pid))
    rows["PID file after the stop"] = "none" if not b.path("twistd.pid").exists() else "left"
    return prefixed("daemon", rows)


@facts("A daemon that runs")
def moments(b):
    """What the application sees of itself at each moment."""
    b.file("app.tac", tacs.PROBE)
    b.directory("run")
    process_ = b.spawn(b.command("-y", "app.tac", "-u", "twu", "-d", "run", "--umask=027", "--pidfile=x.pid"))
    assert b.finish(process_).code == 0
    b.seen("running")
    rows = {}
    pid = b.seen("running")["pid"]
    for moment in ("load", "privileged", "start", "running"):
        seen = b.seen(moment)
        who = "the launcher" if seen["pid"] == process_.pid else "the daemon" if seen["pid"] == pid else "another"
        rows[moment] = (
            f"{who}, uid {'/'.join(map(str, seen['uid']))}, gid {'/'.join(map(str, seen['gid']))}, "
            f"groups {' '.join(map(str, seen['groups']))}, umask {seen['umask']}, in {seen['cwd']}, "
            f"blocked signals: {' '.join(seen['masked']) or 'none'}"
        )
    seen = b.seen("load")
    rows["sys.argv"] = "twistd's own" if seen["argv"][:2] == ["-y", "app.tac"] else " ".join(seen["argv"])
    rows["__name__ and __file__"] = f"{seen['name']}, {seen['file']}"
    rows["the directory is on sys.path"] = str(seen["path"])
    b.stop(pid)
    rows["at the stop"] = f"uid {'/'.join(map(str, b.seen('stop')['uid']))}"
    return prefixed("application", rows)


def dropped(b, *words, tac=tacs.PROBE, groups=None):
    b.file("app.tac", tac)
    os.chmod(p.WORK, 0o777)
    command = b.command("-y", "app.tac", *words)
    if groups is not None:
        command = ["setpriv", f"--groups={groups}", "--", *command]
    out = b.run(command)
    if out.code != 0:
        return out.status
    pid = b.the_one()
    b.seen("running")
    rows = identity(pid)
    b.stop(pid)
    return "; ".join(f"{name} {value}" for name, value in rows.items())


def application(ids):
    return tacs.PROBE.replace('"bench"', f'"bench", {ids}')


DROPS = {
    "--uid": (["-u", "twu"], None, None),
    "--uid as a number": (["-u", "5001"], None, None),
    "--uid and --gid": (["-u", "twu", "-g", "twv"], None, None),
    "--gid alone": (["-g", "twu"], None, "4,27,5100"),
    "--euid": (["-u", "twu", "--euid"], None, None),
    "--euid without a uid": (["--euid"], None, None),
    "Application(uid, gid)": ([], application("uid=5001, gid=5100"), None),
    "Application(uid)": ([], application("uid=5001"), None),
    "Application(gid)": ([], application("gid=5001"), "4,27,5100"),
    "--uid over Application(uid, gid)": (["-u", "twv"], application("uid=5001, gid=5100"), None),
    "--gid over Application(uid)": (["-g", "5101"], application("uid=5001"), None),
    "Application(uid=0)": ([], application("uid=0, gid=0"), None),
}


for _name, (_words, _tac, _groups) in DROPS.items():
    add(
        f"drop by {_name}",
        "facts",
        "The drop",
        lambda b, name=_name, words=_words, tac=_tac, groups=_groups: {
            f"drop by {name}": dropped(b, *words, tac=tac or tacs.PROBE, groups=groups)
        },
    )


@facts("In the foreground")
def foreground(b):
    b.file("app.tac", tacs.PROBE)
    runs = b.spawn(b.command("-n", "-y", "app.tac"))
    seen = b.seen("running")
    rows = {
        "process": "the command itself" if seen["pid"] == runs.pid else "another",
        "umask": seen["umask"],
        "processes": str(len(p.others())),
        "signals blocked": " ".join(seen["masked"]) or "none",
    }
    rows |= pid_file(b, pid=runs.pid)
    os.kill(seen["pid"], signal.SIGTERM)
    out = b.finish(runs)
    rows["after TERM"] = out.status
    rows["log on stdout"] = "yes" if "reactor class" in out.out else "no"
    rows["stderr"] = out.err.strip() or "empty"
    rows["PID file after the stop"] = "left" if b.path("twistd.pid").exists() else "none"
    return prefixed("foreground", rows)


@facts("The PID file")
def pid_files(b):
    rows = {}
    b.file("app.tac", tacs.PROBE)
    for name, where, mode, own in (
        ("a directory of root", "rootdir", 0o755, 0),
        ("a directory of the user", "userdir", 0o755, p.TWU),
        ("a sticky directory", "sticky", 0o1777, 0),
    ):
        b.directory(where, mode, own)
        for moment in p.SEEN.iterdir():
            moment.unlink()
        pid = b.daemon("-y", "app.tac", "-u", "twu", f"--pidfile={where}/t.pid", f"--logfile={where}.log")
        b.seen("running")
        shown = pid_file(b, f"{where}/t.pid", pid)
        b.stop(pid)
        after = "left" if b.path(f"{where}/t.pid").exists() else "removed"
        said = " (the log says so)" if re.search("delete pid file|PID file", b.log(f"{where}.log")) else ""
        shown = "mode {}, owner {}".format(*list(shown.values())[1:])
        rows[f"in {name}"] = f"{shown}; after the stop: {after}{said}"
    return prefixed("PID file", rows)


@facts("The PID file")
def pid_file_after_death(b):
    rows = {}
    b.file("app.tac", tacs.PROBE)
    for number in (signal.SIGKILL, signal.SIGQUIT, signal.SIGUSR2):
        for moment in p.SEEN.iterdir():
            moment.unlink()
        pid = b.daemon("-y", "app.tac")
        b.seen("running")
        os.kill(pid, number)
        ended = p.eventually(lambda: p.state(pid) in (None, "Z"), 2.0)
        p.eventually(lambda: not p.others(), 2.0)
        left = b.path("twistd.pid").exists()
        again = b.twistd("-y", "app.tac")
        rows[f"after {number.name}"] = (
            ("ends" if ended else "lives on") + ", " + ("left" if left else "none") + f"; next start: {again.status}"
        )
        for other in p.others():
            os.kill(other, signal.SIGKILL)
        p.eventually(lambda: not p.others())
        for name in ("twistd.pid",):
            if b.path(name).exists():
                b.path(name).unlink()
    return prefixed("PID file", rows)


@facts("Another root")
def jailed(b):
    b.file("app.tac", tacs.PROBE)
    b.jail()
    out = b.twistd("-y", "app.tac", "--chroot", "jail", "-u", "twu", "--pidfile=/var/t.pid", "-l", "h.log")
    rows = {"start": out.status}
    if out.code == 0:
        pid = p.others()[0] if len(p.others()) == 1 else b.the_one()
        seen = b.seen("running")
        pid = seen["pid"]
        rows["root and directory"] = f"{os.readlink(f'/proc/{pid}/root')}, {seen['cwd']}"
        rows["user ids"] = " ".join(map(str, seen["uid"]))
        rows["groups"] = " ".join(map(str, seen["groups"]))
        rows["PID file"] = "inside" if b.path("jail/var/t.pid").exists() else "outside" if os.path.exists("/var/t.pid") else "none"
        rows["log"] = "outside" if b.path("h.log").exists() else "inside"
        b.stop(pid)
    return prefixed("chroot", rows)
