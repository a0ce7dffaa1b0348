"""Where a scenario runs: namespaces of its own, with users, devices and a network that nobody else has.

`outside` starts this program again in new mount, network and process namespaces; `Place` is what a
scenario sees there. Whatever it starts ends with the namespace.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TWU, TWV, EXTRA = 5001, 5002, (5100, 5101)
TOP = Path("/mnt")
WORK = TOP / "work"
SEEN = TOP / "seen"
VENV = TOP / "venv"
RSD = TOP / "rsd"
LIMIT = 100.0  # seconds that a scenario may take


def outside(program, name, side, settings):
    """Runs one scenario in a place of its own; what it returned, or a text that says why it did not."""
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    command += ["--propagation", "private", "--", "/usr/bin/python3", "-B", program, "--inside", name, side]
    done = None
    try:
        done = subprocess.run(
            command, input=json.dumps(settings), capture_output=True, text=True, timeout=LIMIT
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as late:
        return {"broken": f"not done after {LIMIT} s", "said": str(late.stderr)}
    except (IndexError, ValueError):
        return {"broken": "the scenario ended without a result", "said": done.stdout + done.stderr}


def inside(scenario, side):
    """The first process of the namespace buries orphans; its child runs the scenario."""
    settings = json.load(sys.stdin)
    child = os.fork()
    if child == 0:
        os._exit(_scenario(scenario, side, settings))
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status))


def _scenario(scenario, side, settings):
    import traceback

    place = None
    try:
        place = Place(side, settings)
        result = {"result": scenario(place)}
    except AssertionError:
        result = {"failed": traceback.format_exc()}
    except BaseException:
        result = {"broken": traceback.format_exc()}
    if place is not None and "result" not in result:
        result["said"] = place.story()
    print(json.dumps(result), flush=True)
    return 0


def sh(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


class Out:
    """What came of a command."""

    def __init__(self, words, code, out, err, seconds):
        self.words, self.code, self.out, self.err, self.seconds = words, code, out, err, seconds
        self.hung = code is None

    @property
    def status(self):
        if self.hung:
            return "hangs"
        if self.code < 0:
            return f"dies by {signal.Signals(-self.code).name}"
        return f"exit {self.code}"

    def __repr__(self):
        head = f"$ {' '.join(self.words)}\n{self.status} after {self.seconds:.2f} s"
        return f"{head}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Place:
    def __init__(self, side, settings):
        self.side = side
        self.theirs = side == "theirs"
        self.settings = settings
        self.spec = None  # the spec that ours takes; none is the default
        self.history = []
        self.environment = {}
        sh("mount", "-t", "tmpfs", "-o", "mode=0755", "bench", TOP)
        for name in ("work", "seen", "venv"):
            (TOP / name).mkdir()
        os.chmod(SEEN, 0o777)
        sh("mount", "--bind", settings["venv"], VENV)
        RSD.touch()
        sh("mount", "--bind", settings["rsd"], RSD)
        if settings.get("docs"):
            (TOP / "docs").mkdir()
            sh("mount", "--bind", settings["docs"], TOP / "docs")
        self._devices()
        for place in ("/var/lib", "/tmp", "/run"):
            sh("mount", "-t", "tmpfs", "-o", "mode=1777" if place == "/tmp" else "mode=0755", "bench", place)
        self._people()
        sh("ip", "link", "set", "lo", "up")
        os.umask(0o022)
        os.chdir(WORK)

    def _devices(self):
        dev = TOP / "dev"
        dev.mkdir()
        for name in ("null", "zero", "random", "urandom", "full"):
            (dev / name).touch()
            sh("mount", "--bind", f"/dev/{name}", dev / name)
        os.symlink("/proc/self/fd", dev / "fd")
        sh("mount", "--rbind", dev, "/dev")

    def _people(self):
        more = {
            "/etc/passwd": f"twu:x:{TWU}:{TWU}::/mnt:/bin/sh\ntwv:x:{TWV}:{TWV}::/mnt:/bin/sh\n",
            "/etc/group": f"twu:x:{TWU}:\ntwv:x:{TWV}:\ntwe:x:{EXTRA[0]}:twu\ntwf:x:{EXTRA[1]}:twu\n",
        }
        for file, text in more.items():
            own = TOP / Path(file).name
            own.write_text(Path(file).read_text().rstrip() + "\n" + text)
            sh("mount", "--bind", own, file)

    # Files

    def path(self, name):
        return WORK / name

    def file(self, name, text, mode=0o644, owner=0):
        path = WORK / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        os.chown(path, owner, owner)
        return str(path)

    def directory(self, name, mode=0o755, owner=0):
        path = WORK / name
        path.mkdir(parents=True, exist_ok=True)
        os.chmod(path, mode)
        os.chown(path, owner, owner)
        return path

    def text(self, name):
        """What a file holds, or None."""
        try:
            return (WORK / name).read_text(errors="backslashreplace")
        except OSError:
            return None

    def jail(self, name="jail", null=True, etc=True):
        """A directory to be the root of somebody: with the interpreter's files, or with less."""
        jail = self.directory(name)
        for inner in ("dev", "etc", "var", "mnt/seen", "mnt/venv", "usr", "tmp"):
            (jail / inner).mkdir(parents=True, exist_ok=True)
        sh("mount", "--rbind", SEEN, jail / "mnt/seen")
        sh("mount", "--rbind", VENV, jail / "mnt/venv")
        sh("mount", "--rbind", "/usr", jail / "usr")
        for link in ("lib", "lib64", "bin"):
            if Path("/", link).is_symlink():
                os.symlink(os.readlink(Path("/", link)), jail / link)
        if null:
            (jail / "dev/null").touch()
            sh("mount", "--bind", "/dev/null", jail / "dev/null")
        if etc:
            for file in ("passwd", "group"):
                shutil.copy(Path("/etc", file), jail / "etc" / file)
        return jail

    # Commands

    def command(self, *words):
        if self.theirs:
            return [str(VENV / "bin/python3"), str(VENV / "bin/twistd"), *words]
        if self.spec:
            return [str(RSD), "twistd", "--spec", self.spec, *words]
        return [str(RSD), "twistd", *words]

    def twistd(self, *words, **how):
        """twistd's command line, by twistd or by rsd."""
        return self.run(self.command(*words), **how)

    def spawn(self, command, user=None, closed=(), ignored=(), umask=None, out=None, cwd=None, keep=()):
        def prepare():
            if umask is not None:
                os.umask(umask)
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            for fd in closed:
                os.close(fd)

        environment = {
            "PATH": f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "VIRTUAL_ENV": str(VENV),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
            "XDG_STATE_HOME": "/tmp/state",
            **self.environment,
        }
        if user is not None:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", *command]
        base = f"/tmp/out.{len(self.history)}.{time.monotonic_ns()}"
        files = [open(f"{base}.{which}", "w+", errors="backslashreplace") for which in ("out", "err")]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=files[0],
            stderr=files[1],
            env=environment,
            cwd=cwd or os.getcwd(),
            preexec_fn=prepare,
            pass_fds=keep,
        )
        process.files = files
        process.words = command
        process.begun = time.monotonic()
        return process

    def run(self, command, limit=40.0, **how):
        return self.finish(self.spawn(command, **how), limit)

    def finish(self, process, limit=40.0):
        """Waits for a command. One that waits for nobody hangs: it is ended, and its code is None."""
        code, ticks, alone = None, None, None
        while True:
            code = process.poll()
            now = time.monotonic()
            if code is not None:
                break
            spent = cpu(process.pid)
            if others(process.pid) or ticks != spent or state(process.pid) != "S":
                alone = now
            if now - (alone or now) > 1.5 or now - process.begun > limit:
                process.kill()
                process.wait()
                code = None
                break
            ticks = spent
            time.sleep(0.01)
        texts = [Path(file.name).read_text(errors="backslashreplace") for file in process.files]
        out = Out([str(w) for w in process.words], code, *texts, time.monotonic() - process.begun)
        self.history.append(out)
        return out

    def daemon(self, *words, **how):
        """Starts a daemon that must come up; its process id."""
        out = self.twistd(*words, **how)
        assert out.code == 0, f"it did not start: {out}"
        return self.the_one()

    def the_one(self):
        """The daemon: the only process there is, or the one that answers to the PID file."""
        alive = others()
        assert alive, "no daemon is running"
        if len(alive) == 1:
            return alive[0]
        text = (self.text("twistd.pid") or "").strip()
        assert text.isdigit() and int(text) in alive, f"which of {alive} is the daemon?"
        return int(text)

    def stop(self, pid, number=signal.SIGTERM):
        """Ends a daemon and waits until nothing is left; whether it went."""
        os.kill(pid, number)
        return self.gone(pid)

    def gone(self, pid, limit=20.0):
        return eventually(lambda: state(pid) in (None, "Z"), limit) and eventually(lambda: not others(), 8.0)

    def seen(self, moment, limit=20.0):
        """What the probe saw at a moment of the start."""
        path = SEEN / moment
        assert eventually(path.exists, limit), f"the application never came to `{moment}`"
        return json.loads(path.read_text())

    def log(self, name="twistd.log"):
        return self.text(name) or ""

    def story(self):
        texts = [repr(out) for out in self.history[-4:]]
        for path in sorted(WORK.iterdir()):
            if path.is_file() and path.stat().st_size < 20000 and path.name != "app.tac":
                texts.append(f"=== {path.name}\n{path.read_text(errors='backslashreplace')}")
        return "\n".join(texts)


def eventually(true, limit=20.0):
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# Processes


def stat_fields(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def state(pid):
    fields = stat_fields(pid)
    return fields and fields[0]


def cpu(pid):
    fields = stat_fields(pid)
    return fields and (fields[11], fields[12])


def others(*but):
    """The living processes of this place, without those of the bench and those named."""
    own = {1, os.getpid(), *but}
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in sorted(pids) if pid not in own and state(pid) not in (None, "Z", "X")]


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


def signals(pid, which):
    mask = int(status(pid)[which][0], 16)
    return [signal.Signals(n).name[3:] for n in range(1, 32) if mask >> (n - 1) & 1]


def mode(path):
    found = os.stat(path)
    return f"{found.st_mode & 0o7777:04o}"


def owner(path):
    found = os.stat(path)
    return f"{found.st_uid}:{found.st_gid}"


def listening():
    """The TCP ports that somebody listens on, and the UDP ports that are bound."""
    ports = set()
    for kind, wanted in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == wanted:
                ports.add((kind[:3], int(fields[1].rpartition(":")[2], 16)))
    return sorted(ports)


def talk(port, question, host="127.0.0.1", limit=5.0):
    """What a TCP server answers before it closes or falls silent."""
    with socket.create_connection((host, port), timeout=limit) as stream:
        stream.sendall(question)
        stream.settimeout(limit)
        answer = b""
        try:
            while not answer.endswith(b"\n") and (some := stream.recv(65536)):
                answer += some
        except (TimeoutError, ConnectionResetError):
            pass  # closed with or without our question read: which is chance
        return answer


def first(pattern, text):
    found = re.search(pattern, text, re.M)
    return found and found.group(0)
