"""Every TAC of Twisted's own documentation, from its source distribution: both must do the same with it."""

import os
import re
import shutil
import socket
import time
from pathlib import Path

import place as p
import registry

HERE = p.TOP / "docs"
# What the launcher or twistd itself says, not the application.
OWN = re.compile(
    r"starting up|reactor class|Loading |Loaded|set uid/gid|delete pid file|Shut Down|shutting down"
    r"|Main loop terminated|PID file|pidfile"
)
# How often a client tries again, and when a failure is collected as garbage, is a matter of time.
CHANCE = re.compile(r"^\t|Scheduling retry|defer#critical")


def collect(docs):
    """A scenario for each TAC below the directory."""
    if not docs:
        return
    for tac in sorted(Path(docs).rglob("*.tac")):
        name = str(tac.relative_to(docs))
        registry.add(f"docs: {name}", "same", "docs", lambda place, name=name: run(place, name))


def own_etc(more):
    """/etc as it is and some files more."""
    copy = p.TOP / "etc"
    shutil.copytree("/etc", copy, symlinks=True, ignore_dangling_symlinks=True)
    for name, text in more.items():
        (copy / name).write_text(text)
    p.sh("mount", "--bind", copy, "/etc")


def plain(line):
    """A line without what differs from run to run."""
    line = re.sub(r"^\d{4}-\d\d-\d\dT\S+ ", "", line)
    line = re.sub(r"0x[0-9a-f]+", "0xADDRESS", line)
    line = re.sub(r"\b(3[2-9]|[45]\d|6[0-5])\d{3}\b", "PORT", line)
    line = re.sub(r"[\d.]+(e-\d+)? seconds", "N seconds", line)
    return line


def steady(b):
    """Waits until the log and the ports stay as they are."""
    before, since = None, time.monotonic()
    end = since + 8
    while time.monotonic() < end:
        now = (b.log(), p.listening())
        if now != before:
            before, since = now, time.monotonic()
        if time.monotonic() - since > 0.8:
            return
        time.sleep(0.05)


def reason(out):
    """The exception that a start ended with."""
    found = re.findall(r"([\w.]*(?:Error|Exception|NotFound))\b'?>?: ([^\n]*)", out.err + out.out)
    wanted = [(kind.rpartition(".")[2], text.strip()) for kind, text in found if "Error" in kind or text]
    return f"{wanted[-1][0]}: {wanted[-1][1]}".rstrip("\"'") if wanted else "no exception is named"


def answer(port):
    """What a server says to a line, until it is silent; of SSH only what is the same each time."""
    said = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            stream.sendall(b"moshez\r\n")
            stream.settimeout(1.0)
            while some := stream.recv(4096):
                said += some
    except (TimeoutError, ConnectionResetError):
        pass  # closed with or without our line read: which is chance
    except OSError as error:
        said += type(error).__name__.encode()
    text = said.decode("latin-1")
    text = text.splitlines()[0] if text.startswith("SSH-") else text[:200]
    return re.sub(r"\w{3}, \d+ \w{3} \d{4} [\d:]+ [+-]\d{4}", "DATE", text)


def run(b, name):
    tac = HERE / name
    shutil.copytree(tac.parent, p.WORK, dirs_exist_ok=True)
    own_etc({"users": "moshez: Happy and well\nshawn: alive\n"})
    b.environment["PYTHONPATH"] = "."
    out = b.twistd("-y", tac.name)
    if out.code != 0:
        return {"start": out.status if not out.hung else "hangs", "reason": reason(out)}
    assert p.others(), f"it is gone: {out}"
    pid = b.the_one()
    steady(b)
    ports = p.listening()
    shown = {
        "start": "up",
        "ids": p.status(pid)["Uid"] + p.status(pid)["Gid"] + sorted(p.status(pid)["Groups"]),
        "ports": [port for port in ports if not 32768 <= port[1]],
        "answers": [answer(port) for kind, port in ports if kind == "tcp" and port < 32768],
    }
    steady(b)
    alive = p.state(pid) is not None
    shown["alive"] = alive
    if alive:
        shown["stopped"] = b.stop(pid)
    lines = [plain(line) for line in b.log().splitlines() if not OWN.search(line)]
    shown["log"] = sorted({line for line in lines if not CHANCE.search(line)})
    return shown
