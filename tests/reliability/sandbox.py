"""Namespaces of its own for a program that needs root: mounts, network, processes, names.

`enter` starts the calling script again as the child of the first process of such a namespace. That first process
buries orphans, and everything ends with it. The machine's own files below PLACES are out of sight.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INSIDE = "RSD_RELIABILITY_INSIDE"
USER, GROUP, EXTRA = 4000, 4000, 4001
OTHER = 4100
TOP = Path("/mnt")
PLACES = {"/mnt": "0755", "/run": "0755", "/tmp": "1777", "/var/lib": "0755", "/var/log": "0755", "/var/tmp": "1777"}
PEOPLE = {
    "/etc/passwd": f"svc:x:{USER}:{GROUP}::/mnt/home:/bin/sh\nother:x:{OTHER}:{OTHER}::/mnt:/bin/sh\n",
    "/etc/group": f"svc:x:{GROUP}:\nsvcextra:x:{EXTRA}:svc\nother:x:{OTHER}:\n",
}
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def possible():
    """Why this machine cannot give such a place, or None."""
    if os.geteuid() != 0:
        return "it needs root: users, namespaces and mounts of its own"
    probe = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "true"]
    said = subprocess.run(probe, capture_output=True, text=True)
    return None if said.returncode == 0 else f"the kernel refuses new namespaces: {said.stderr.strip()}"


def enter(keep=(), descriptors=()):
    """Returns in the new place. In the old one it does not return: the exit code is the inner one's.

    `keep` names directories of this machine, below those that are hidden, that the script still needs;
    `descriptors` are open ones that it needs.
    """
    if os.environ.get(INSIDE) is None:
        why = possible()
        if why:
            sys.exit(f"{Path(sys.argv[0]).name}: {why}")
        with tempfile.TemporaryDirectory(prefix="rsd-reliability-") as kept:
            command = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--mount-proc"]
            command += ["--kill-child=SIGKILL", "--propagation", "private", "--"]
            command += [sys.executable, "-B", *sys.argv]
            place = {INSIDE: kept, INSIDE + "_KEEP": os.pathsep.join(str(path) for path in keep)}
            sys.exit(subprocess.run(command, env={**os.environ, **place}, pass_fds=descriptors).returncode)
    if os.getpid() == 1:
        child = os.fork()
        while child:
            pid, status = os.wait()
            if pid == child:
                os._exit(max(os.waitstatus_to_exitcode(status), 0) if os.WIFEXITED(status) else 1)
        _prepare()


def sh(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def _prepare():
    kept = {}
    for number, path in enumerate(filter(None, os.environ[INSIDE + "_KEEP"].split(os.pathsep))):
        hidden = any(path == place or path.startswith(place + "/") for place in PLACES)
        if hidden and os.path.exists(path):
            kept[path] = f"{os.environ[INSIDE]}/{number}"
            _stand_in(path, kept[path])
            sh("mount", "--rbind", path, kept[path])
    # The stand-ins lie below /tmp: that is hidden last, and they are moved out of it before.
    safe = Path("/media")
    sh("mount", "-t", "tmpfs", "-o", "mode=0755", "test", safe)
    moved = {}
    for path, where in kept.items():
        moved[path] = safe / Path(where).name
        _stand_in(path, moved[path])
        sh("mount", "--move", where, moved[path])
    for place, mode in PLACES.items():
        sh("mount", "-t", "tmpfs", "-o", f"mode={mode}", "test", place)
    for path, where in moved.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _stand_in(where, path)
        sh("mount", "--move", where, path)
    # A copy of the whole: whoever renames over a file of the machine's would take a mount on it away.
    sh("mount", "-t", "tmpfs", "-o", "mode=0755", "test", safe)
    sh("cp", "-a", "/etc/.", safe)
    sh("mount", "--move", safe, "/etc")
    for file, more in PEOPLE.items():
        Path(file).write_text(Path(file).read_text().rstrip() + "\n" + more)
    sh("ip", "link", "set", "lo", "up")
    (TOP / "home").mkdir()
    os.chown(TOP / "home", USER, GROUP)
    os.umask(0o022)
    os.chdir(TOP)
    # What whoever started this ignores (nohup does) is not to be inherited. Python's own are reset at each start.
    for number in set(signal.Signals) - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _stand_in(like, path):
    """An empty file or directory to mount on."""
    if os.path.isdir(like):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).touch()


def compile_c(source, program, *flags):
    sh("gcc", "-O2", "-Wall", "-Werror", *flags, "-o", program, source)
    return str(program)


def eventually(true, limit=30.0):
    """The first true value of `true()`, or what it gave last."""
    end = time.monotonic() + limit
    while not (value := true()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


# Processes


def stat_fields(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def state(pid):
    fields = stat_fields(pid)
    return fields and fields[0]


def processes():
    """Every process of this place, zombies too, without the first one and this script."""
    own = {1, os.getpid()}
    return [pid for pid in sorted(int(e) for e in os.listdir("/proc") if e.isdigit()) if pid not in own and state(pid)]


def living():
    return [pid for pid in processes() if state(pid) not in (None, "Z", "X")]


def children(pid):
    return [other for other in processes() if (stat_fields(other) or [0, 0])[1] == str(pid)]


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def descriptors(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return dict(sorted(found.items()))
