"""Real programs under `rsd run --spec daemon`: started, asked, rotated, reloaded, restarted, killed, stopped.

    tests/programs/run [--only redis,nginx,…] [--verbose] [--write]

Each file of tests/programs is a program; README.md there says what may be in it. Every program runs in namespaces of
its own. `--write` writes the table of docs/programs.md, which is else only compared. RSD_TEST_BIN is the rsd to test,
otherwise target/release/rsd; RSD_TEST_PROGRAMS the environment of those from PyPI, otherwise target/programs-venv.
"""

import argparse
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import document  # noqa: E402
import sandbox  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/programs"
PAGE = ROOT / "docs/programs.md"
ONE = "RSD_PROGRAM"
# What Debian's packages have made below these, with its owner and mode, is there in the namespaces, too.
PACKAGED = ("/var/lib", "/var/log")
DIRECTORIES = "RSD_PROGRAM_DIRECTORIES"
PATIENCE = 40.0


def venv():
    return os.path.abspath(os.environ.get("RSD_TEST_PROGRAMS", ROOT / "target/programs-venv"))


def packaged():
    places = [entry for place in PACKAGED for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    stats = [(entry.path, entry.stat(follow_symlinks=False)) for entry in places if entry.name != "rsd"]
    return [(path, stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) for path, stat in stats]


def known():
    return {path.stem: {"name": path.stem, **tomllib.loads(path.read_text())} for path in sorted(FOLDER.glob("*.toml"))}


def found(program):
    """The file that must be there, its pattern expanded; or None."""
    files = sorted(glob.glob(program["needs"].replace("{venv}", venv())))
    return files[-1] if files else None


def filled(text, program):
    return text.replace("{venv}", venv()).replace("{needs}", found(program) or program["needs"])


def line(program, verb, *more):
    """The words behind `rsd`, as a user types them."""
    words = [verb, "--spec", "daemon", "--name", program["name"], "--user", program["user"]]
    if verb in ("run", "check", "restart"):
        words += [filled(word, program) for word in program["options"]]
        words += [*more, "--", *(filled(word, program) for word in program["command"])]
    else:
        words = words[:5] + list(more)
    return words


class Failure(Exception):
    pass


class Run:
    """One program, in its place."""

    def __init__(self, program):
        self.program = program
        self.rsd = os.environ["RSD_TEST_BIN"]
        self.name = program["name"]
        self.log = Path(f"/var/log/{self.name}/{self.name}.log")
        self.environment = {**sandbox.ENVIRONMENT, "HOME": "/root"}
        self.environment["PATH"] = f"{sandbox.TOP}/bin:{self.environment['PATH']}"
        tools = sandbox.TOP / "bin"
        tools.mkdir()
        for name in ("talk", "dns", "fastcgi"):
            (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} -B {ROOT}/tests/reliability/clients.py {name} "$@"\n')
            (tools / name).chmod(0o755)
        sandbox.sh("mount", "-t", "tmpfs", "-o", "mode=1777", "test", "/dev/shm")
        sandbox.sh("mount", "-t", "tmpfs", "-o", "mode=0755", "test", "/srv")
        for path, uid, gid, mode in json.loads(os.environ[DIRECTORIES]):
            os.makedirs(path, exist_ok=True)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
        for path, text in program.get("files", {}).items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text.lstrip("\n"))
        for command in program.get("prepare", []):
            code, said = self.shell(filled(command, program))
            if code != 0:
                raise Failure(f"prepare: {command}: {said}")
        self.before = set(Path("/run").rglob("*"))

    def shell(self, command):
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout

    def command(self, verb, *more, code=0):
        words = [self.rsd, *line(self.program, verb, *more)]
        done = subprocess.run(words, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE * 2, cwd="/")  # fmt: skip
        if done.returncode != code:
            raise Failure(f"rsd {shlex.join(words[1:])}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def answers(self, ask, answer, what):
        said = [""]

        def asked():
            said[0] = self.shell(filled(ask, self.program))[1]
            return re.search(answer, said[0])

        if not sandbox.eventually(asked, PATIENCE):
            raise Failure(f"{what}: `{ask}` says {said[0]!r}, and never /{answer}/")

    def logged(self, pattern, what):
        def there():
            try:
                return re.search(pattern, self.log.read_text(errors="replace"))
            except OSError:
                return None

        if not sandbox.eventually(there, PATIENCE):
            raise Failure(f"{what}: the log never says /{pattern}/")

    def keeper(self):
        return int(Path(f"/run/{self.name}.pid").read_text())

    def family(self):
        """The keeper, the guard, and every process of the program."""
        keeper = self.keeper()
        mine = os.readlink(f"/proc/{keeper}/exe")
        guards, program = [], []
        for pid in sandbox.living():
            if pid == keeper:
                continue
            try:
                (guards if os.readlink(f"/proc/{pid}/exe") == mine else program).append(pid)
            except OSError:
                pass
        return keeper, guards, program

    def identity(self):
        """Every process of the program is its own user's, with what was kept and nothing else."""
        import grp
        import pwd

        user = pwd.getpwnam(self.program["user"])
        groups = {g.gr_gid for g in grp.getgrall() if user.pw_name in g.gr_mem} | {user.pw_gid}
        # A process that serves one connection, such as that of the question whether it is ready, is gone in a moment.
        sandbox.eventually(lambda: len(self.family()[2]) == self.program.get("processes", len(self.family()[2])), 10)
        keeper, guards, program = self.family()
        if len(guards) != 1 or not program:
            raise Failure(f"{len(guards)} guards and {len(program)} processes of the program")
        if self.program.get("processes", len(program)) != len(program):
            raise Failure(f"{len(program)} processes of the program")
        bits = {"cap_net_bind_service": 1 << 10}
        held = sum(bits[name] for name in self.program.get("capabilities", []))
        for pid in [keeper, *program]:
            try:
                status = sandbox.status(pid)
            except OSError:
                continue  # a child of a connection, or a worker, that has just gone
            expected = {
                "Uid": [str(user.pw_uid)] * 4,
                "Gid": [str(user.pw_gid)] * 4,
                "NoNewPrivs": ["1"],
                "CapBnd": [f"{held:016x}"],
            }
            for key, value in expected.items():
                if status[key] != value:
                    raise Failure(f"process {pid} ({status['Name'][0]}): {key} is {status[key]}, not {value}")
            if not {int(g) for g in status["Groups"]} | {user.pw_gid} == groups:
                raise Failure(f"process {pid}: groups are {status['Groups']}, not {groups}")
            for key in ("CapPrm", "CapEff", "CapAmb"):
                if int(status[key][0], 16) & ~held:
                    raise Failure(f"process {pid} ({status['Name'][0]}): {key} is {status[key]}")

    def listening(self):
        ports = set()
        for kind, wanted in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
            for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == wanted:
                    ports.add(f"{kind[:3]}:{int(fields[1].rpartition(':')[2], 16)}")
        return ports

    def up(self, what):
        self.answers(self.program["ask"], self.program["answer"], what)
        missing = set(self.program.get("listens", [])) - self.listening()
        if missing:
            raise Failure(f"{what}: nobody listens on {missing}")

    def rotated(self):
        before = self.log.stat()
        os.kill(self.keeper(), 10)

        def new():
            try:
                return self.log.stat().st_ino != before.st_ino and self.log.with_name(self.log.name + ".1").exists()
            except OSError:
                return False

        if not sandbox.eventually(new):
            raise Failure("the log was not rotated")
        old = self.log.with_name(self.log.name + ".1").stat()
        now = self.log.stat()
        if old.st_ino != before.st_ino or (now.st_uid, now.st_gid, now.st_mode) != (old.st_uid, old.st_gid, old.st_mode):
            raise Failure(f"the rotated log is another: {before} {old} {now}")
        self.shell(filled(self.program["speak"], self.program))
        self.logged(self.program["spoken"], "after the rotation")

    def reloaded(self):
        again = self.program.get("reload", [])
        if again is False:
            return
        if "change" in self.program:
            code, said = self.shell(self.program["change"])
            if code != 0:
                raise Failure(f"change: {said}")
        keeper = self.keeper()
        self.command("reload", *again)
        if "change" in self.program:
            self.answers(self.program["changed"], self.program["changes_to"], "after the reload")
        else:
            self.answers(self.program["ask"], self.program["answer"], "after the reload")
        if self.keeper() != keeper:
            raise Failure("the reload has ended it")

    def gone(self, what, but=()):
        """Nothing is left of it but its log and its data, and what is below these directories."""
        sandbox.eventually(lambda: not sandbox.processes(), 20)
        names = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in sandbox.processes()]
        left = sorted(str(path) for path in set(Path("/run").rglob("*")) - self.before)
        left = [path for path in left if not path.startswith(tuple(but))]
        if names or left or self.listening():
            raise Failure(f"{what}: left are {names or ''} {left or ''} {self.listening() or ''}")

    def all(self):
        times, begin = {}, time.monotonic()

        def step(name):
            nonlocal begin
            now = time.monotonic()
            times[name], begin = round(now - begin, 2), now

        self.command("check", "--deny", "warnings")
        self.command("run")
        step("run")
        self.up("started")
        self.logged(self.program["log"], "started")
        self.identity()
        step("asked")
        self.rotated()
        step("rotated")
        self.reloaded()
        step("reloaded")
        self.identity()
        self.command("restart")
        again = self.program.get("after_restart", self.program.get("changed", self.program["ask"]))
        answer = self.program.get("changes_to", self.program["answer"])
        self.answers(again, answer, "restarted")
        step("restarted")
        os.kill(self.keeper(), 9)
        # The guard looks at a runtime directory when the keeper is gone. What the program had in it may still be
        # there; the next start takes the directory over.
        options = self.program["options"]
        runtime = [there for name, there in zip(options, options[1:]) if name == "--runtime-directory"]
        self.gone("after kill -9 of the keeper", runtime)
        step("killed")
        self.command("run")
        self.answers(self.program.get("changed", self.program["ask"]), answer, "started after kill -9")
        step("again")
        self.command("stop")
        self.gone("stopped")
        self.command("status", code=3)
        step("stopped")
        return times

    def story(self):
        texts = []
        for path in sorted(Path(f"/var/log/{self.name}").glob("*")):
            texts.append(f"--- {path}\n" + path.read_text(errors="replace")[-3000:])
        texts.append(subprocess.run(["ps", "axo", "pid,ppid,user,args"], capture_output=True, text=True).stdout)
        return "\n".join(texts)


def inside():
    """In the place of one program: its times, or why not."""
    program = known()[os.environ[ONE]]
    sandbox.enter(keep=[ROOT, os.environ["RSD_TEST_BIN"], venv()])
    run = None
    try:
        run = Run(program)
        print("fine:", run.all())
        sys.exit(0)
    except (Failure, OSError, subprocess.SubprocessError, ValueError) as why:
        print(f"{type(why).__name__}: {why}")
        if run is not None:
            print(run.story())
        sys.exit(1)


def outside(name):
    command = [sys.executable, "-B", __file__]
    done = subprocess.run(command, env={**os.environ, ONE: name, DIRECTORIES: json.dumps(packaged())}, capture_output=True, text=True, errors="replace")
    return name, done.returncode == 0, (done.stdout + done.stderr).strip()


def page(programs):
    """The table of docs/programs.md."""
    for title, program in programs.items():
        command = shlex.join(line_shown(program))
        yield f"### {title}"
        yield ""
        yield f"{program['about']}."
        yield ""
        yield "```sh"
        yield from wrapped(command)
        yield "```"
        yield ""
        again = program.get("reload", [])
        if again is False:
            yield "It has nothing to reload, and HUP would end it."
        else:
            words = shlex.join(["rsd", "reload", "--spec", "daemon", "--name", program["name"], *again])
            effect = "" if "change" in program else ". It does not read its configuration again; `rsd restart` does that"
            yield f"Reload: `{words}`{effect}."
        for path, text in program.get("files", {}).items():
            if path.startswith("/etc"):
                yield ""
                yield f"`{path}` in the test:"
                yield ""
                yield "```"
                yield text.strip("\n")
                yield "```"
        yield ""


def line_shown(program):
    examples = {"{needs}": program.get("shown", program["needs"]), "{venv}": "/srv/venv"}

    def fill(word):
        for name, text in examples.items():
            word = word.replace(name, text)
        return word

    words = ["rsd", "run", "--spec", "daemon", "--name", program["name"], "--user", program["user"]]
    return words + [fill(w) for w in program["options"]] + ["--"] + [fill(w) for w in program["command"]]


def wrapped(command, width=110):
    rest, indent = command, ""
    while len(indent + rest) > width:
        at = rest.rfind(" --", 0, width - 6)
        if at <= 0:
            break
        yield f"{indent}{rest[:at]} \\"
        rest, indent = rest[at + 1 :], "    "
    yield indent + rest


def main():
    if ONE in os.environ:
        inside()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/programs.md")
    arguments = parser.parse_args()
    os.environ["RSD_TEST_BIN"] = os.path.abspath(os.environ.get("RSD_TEST_BIN", ROOT / "target/release/rsd"))
    programs = known()
    failed = []
    if arguments.write:
        document.put("programs", list(page(programs)), PAGE)
    elif document.get("programs", PAGE) != "\n".join(page(programs)) + "\n":
        failed.append("docs/programs.md is not what tests/programs has: tests/programs/run --write")
    why = sandbox.possible()
    if why:
        print(f"skipped: real programs: {why}")
        sys.exit(1 if failed else 0)
    chosen = [name for name in programs if not arguments.only or name in arguments.only]
    for name in [name for name in chosen if not found(programs[name])]:
        print(f"skipped: {name}: {programs[name]['needs']} is not there")
        chosen.remove(name)
    with ThreadPoolExecutor(2) as pool:
        for name, fine, said in pool.map(outside, chosen):
            if not fine:
                failed.append(f"{name}: {said}")
            if arguments.verbose or not fine:
                print(f"== {name}: {said}", flush=True)
    print(f"{len(chosen)} programs, {len(failed)} failed")
    for text in failed:
        print(f"failed: {text.splitlines()[0]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
