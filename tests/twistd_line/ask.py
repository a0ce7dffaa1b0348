"""Reads lists of arguments, and writes what Twisted's own parser makes of each: JSON in, JSON out."""

import contextlib
import io
import json
import sys

from twisted.application import app
from twisted.application.reactors import NoSuchReactor, getReactorTypes
from twisted.python import failure, usage, util
from twisted.scripts.twistd import ServerOptions

installed = []
reactors = {r.shortName for r in getReactorTypes()}


def install(name):
    """Installs nothing, and refuses what the real one refuses: a process can do it once."""
    if name not in reactors:
        raise NoSuchReactor(name)
    if installed:
        raise RuntimeError("reactor already installed")
    installed.append(name)


app.installReactor = install
failure.startDebugMode = lambda: None


def spewer(*_):
    return None


util.spewer = spewer
loggers = []
find = app.namedAny


def named(name):
    loggers.append(name)
    return find(name)


app.namedAny = named


def told(args):
    installed.clear()
    loggers.clear()
    sys.settrace(None)
    options = ServerOptions(stdout=io.StringIO())
    out = io.StringIO()
    # Twisted keeps the stream for the reactors from when it was imported.
    ServerOptions.messageOutput = out
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            options.parseOptions(args)
    except usage.UsageError as e:
        return {"error": str(e)}
    except SystemExit:
        return {"answer": out.getvalue() or options.stdout.getvalue()}
    except KeyError as e:
        return {"error": "KeyError %s" % e}
    values = {k: v for k, v in options.items() if isinstance(v, (str, int, type(None)))}
    values["spew"] = sys.gettrace() is spewer
    values["logger"] = loggers[0] if loggers else None
    values["reactor"] = installed[0] if installed else None
    values["command"] = options.subCommand
    sys.settrace(None)
    return {"values": values}


json.dump([told(args) for args in json.load(sys.stdin)], sys.stdout)
