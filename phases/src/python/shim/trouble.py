# An exception, as facts for rsd's words.
import linecache
import os
import sys
import traceback


def explain(error, state, Interrupted, Left, Refused):
    found = {"type": type(error).__qualname__, "text": text(error), "phase": state.phase, "frames": []}
    if isinstance(error, Refused):
        found.update(refused=error.args[0], help=error.args[1])
        return found
    if isinstance(error, Interrupted):
        found["signal"] = state.interrupted
        return found
    if isinstance(error, Left):
        found["left"] = error.args[0]
    elif isinstance(error, SystemExit):
        code = error.code
        found["exit"] = code if isinstance(code, int) else 0 if code is None else 1
        found["text"] = "" if isinstance(code, (int, type(None))) else str(code)
    if isinstance(error, SyntaxError):
        found.update(file=error.filename, line=error.lineno, source=(error.text or "").strip())
        found["text"] = error.msg
    if isinstance(error, UnicodeDecodeError) and state.phase == "load":
        undecodable(error, state.tac, found)
    if isinstance(error, OSError):
        found["errno"] = error.errno
    if isinstance(error, ImportError):
        found["module"] = error.name
    if type(error).__name__ == "CannotListenError":
        found["address"] = "%s:%s" % (error.interface or "*", error.port)
        found["errno"] = getattr(error.socketError, "errno", None)
    try:
        stack(error, state, found)
    except Exception:
        pass  # as after running out of memory: what is known already is said
    if state.begun:
        log(error)
    return found


def text(error):
    try:
        return str(error)
    except Exception:
        return ""


def stack(error, state, found):
    own = lambda f: f.filename.startswith("<") or f.filename.endswith(
        ("/twisted/persisted/sob.py", "/twisted/application/service.py")
    )
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<rsd")]
    while frames and own(frames[0]):
        frames.pop(0)
    if not frames and type(error) is KeyError and error.args == ("application",):
        found["no_application"] = True
    found["frames"] = [[f.filename, f.lineno or 0, f.name, f.line or ""] for f in frames[-12:]]
    if "file" not in found and frames:
        libraries = [os.path.dirname(os.__file__) + os.sep, os.sep + "site-packages" + os.sep]
        libraries.append(os.sep + "dist-packages" + os.sep)
        mine = [f for f in frames if not any(l in f.filename for l in libraries)]
        place = (mine or frames)[-1]
        if mine or "address" not in found:
            found.update(file=place.filename, line=place.lineno, source=place.line or "")


def undecodable(error, tac, found):
    try:
        with open(tac, "rb") as file:
            data = file.read()
    except OSError:
        return
    if data == error.object or data.startswith(error.object[:64]):
        found.update(file=tac, line=data[: error.start].count(b"\n") + 1, undecodable=error.encoding)


def log(error):
    from twisted.logger import Logger
    from twisted.python.failure import Failure

    failure = Failure(error, type(error), error.__traceback__)
    Logger(namespace="rsd").failure("The start failed.", failure=failure)
