# What rsd runs inside the interpreter. `call` is all that Rust ever calls: it answers in JSON and
# lets no exception out. `_rsd` is rsd itself: write(text) appends to the log, host(text) asks it.
import faulthandler
import gc
import json
import os
import signal
import sys
from time import perf_counter

TAKEN = (1, 2, 3, 10, 12, 14, 15, 17, 28)


class Interrupted(BaseException):
    """A signal asked to stop before the start was complete."""


class Left(BaseException):
    """os._exit was called."""


class Refused(Exception):
    """Said with all that is known: what, and the advice."""


class State:
    phase = None
    interrupted = None
    inside = False
    later = ()
    application = config = logger = save = None
    tac = arrive = None
    begun = False
    watched = False
    enable = None
    ports = ()
    streams = ()
    argv = ()


state = State()
functions = {}


def phase(function):
    functions[function.__name__] = function
    return function


def early(number, frame):
    """Signals until the reactor has its own handlers."""
    if state.phase == "serve" or number in (signal.SIGHUP, signal.SIGUSR1):
        state.later += (number,)
    elif state.interrupted is None:
        state.interrupted = number
        # A thread of the application can be given one at any time: between two phases it only counts.
        if state.inside:
            raise Interrupted(number)


def leave(code):
    """os._exit while starting: the phase fails. Children and other threads leave as ever."""
    import threading

    if os.getpid() == state.pid and threading.current_thread() is threading.main_thread():
        raise Left(code)
    os_exit(code)


os_exit = os._exit


def call(name, text):
    state.phase, state.pid = name, os.getpid()
    serving = name == "serve"
    try:
        try:
            if not serving:
                os._exit = leave
                state.inside = True
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
            elif state.interrupted:
                state.later, state.interrupted = state.later + (state.interrupted,), None
            if state.interrupted:
                raise Interrupted(state.interrupted)
            answer = {"ok": functions[name](**json.loads(text))}
        finally:
            state.inside = False
            # Handlers of what came before run in here.
            signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
            os._exit = os_exit
        if state.interrupted:
            raise Interrupted(state.interrupted)
    except BaseException as error:
        if os.getpid() != state.pid:
            end_of_child(error)
        answer = {"trouble": extra("trouble")["explain"](error, state, Interrupted, Left, Refused)}
    if os.getpid() != state.pid:
        end_of_child(None)
    # A lone surrogate, as in a name that is not UTF-8, has no place in JSON.
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace").decode()


def end_of_child(error):
    """A fork of the application came out of its code: what the start goes on with is its parent."""
    import traceback

    code = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if code and not isinstance(error.code, int):
                print(error.code, file=sys.stderr)
        elif error is not None:
            code = 1
            traceback.print_exception(type(error), error, error.__traceback__)
        elif state.phase != "serve":
            code = 1
            print("rsd: a forked child must not go on with the start: it ends here", file=sys.stderr)
        goodbye()
        flush()
    finally:
        os_exit(code & 255)


def flush():
    for stream in {sys.stdout, sys.stderr, *state.streams}:
        try:
            stream.flush()
        except (OSError, ValueError):
            pass


def extra(name, texts={}):
    """A part of this that is not always needed."""
    if name not in texts:
        texts[name] = {"__name__": "<rsd %s>" % name, "state": state, "Refused": Refused}
        exec(compile(_rsd.host("text " + name), "<rsd %s>" % name, "exec"), texts[name])
    return texts[name]


@phase
def setup(ignored):
    os.register_at_fork(after_in_child=lambda: _rsd.forked(None))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, early)
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(2)
    enable = faulthandler.enable

    def own(*arguments, **more):
        state.watched = True
        enable(*arguments, **more)

    faulthandler.enable = own
    state.enable = enable


def watch(fd):
    """The stack of a crash goes there, unless the application has said where it is to go."""
    if state.watched:
        return
    try:
        (state.enable or faulthandler.enable)(fd)
    except (OSError, ValueError):
        pass  # no stack of a crash then, and nothing else


class Imports:
    """How long the outermost imports take; and they are spared the search for garbage, a tenth of it.

    What they made is then of the oldest generation, as if a search had been."""

    def __init__(self):
        self.total, self.depth, self.count = 0.0, 0, len(sys.modules)
        self.module = sys.modules["_frozen_importlib"]
        self.real = self.module._find_and_load

    def __enter__(self):
        real, collects, disable = self.real, gc.isenabled, gc.disable

        def disabled():
            self.off = True
            disable()

        self.disable, gc.disable = disable, disabled

        def _find_and_load(name, import_):
            if self.depth:
                return real(name, import_)
            self.depth, self.off, collected = 1, False, collects()
            disable()
            begin = perf_counter()
            try:
                return real(name, import_)
            finally:
                if collected and not self.off:
                    if not gc.get_freeze_count():
                        gc.freeze()
                        gc.unfreeze()
                    gc.enable()
                self.depth = 0
                self.total += perf_counter() - begin

        self.module._find_and_load = _find_and_load
        self.begin = perf_counter()
        return self

    def __exit__(self, *_):
        self.module._find_and_load, gc.disable = self.real, self.disable
        self.whole = perf_counter() - self.begin
        self.count = len(sys.modules) - self.count


class Postponed:
    """Some modules are not run before they are used, if that will always be possible."""

    def __init__(self, wanted):
        self.wanted = wanted

    def __enter__(self):
        if self.wanted:
            extra("later")["begin"]()

    def __exit__(self, *_):
        if self.wanted:
            extra("later")["end"]()
            state.arrive = extra("later")["all"]


@phase
def load(tac, words, lazily):
    with Imports() as imports, Postponed(not lazily):
        try:
            from twisted import copyright
        except ModuleNotFoundError as error:
            if error.name != "twisted":
                raise
            raise Refused(
                "there is no Twisted in the environment of " + sys.executable,
                "install it there: `%s -m pip install twisted`, or name another Python with --interpreter"
                % sys.executable,
            ) from None
        from twisted.application import service
        from twisted.python import log

        state.tac = tac
        if nowhere():
            collect()
        if words:
            state.application = extra("words")["load"](tac, words)
        else:
            log.msg("Loading %s..." % tac)
            state.application = service.loadApplication(tac, "python")
            log.msg("Loaded.")
        application = state.application
        if not hasattr(application, "getComponent"):
            raise Refused(
                "its `application` is %s, not what twisted.application.service.Application() makes"
                % describe(application),
                "set `application = service.Application(NAME)` and attach your services to it",
            )
        process = service.IProcess(application)
        for name in ("uid", "gid"):
            value = getattr(process, name)
            if value is not None and not isinstance(value, int):
                raise Refused(
                    "its Application(%s=%r) is not a number" % (name, value),
                    "look it up: pwd.getpwnam(NAME).pw_uid, grp.getgrnam(NAME).gr_gid",
                )
        choose_logger()
        from twisted.internet import reactor  # noqa
    if lazily or process.uid is not None or process.gid is not None:
        lazy()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return {
        "twisted": copyright.version,
        "python": sys.version.split()[0],
        "name": service.IService(application).name,
        "uid": process.uid,
        "gid": process.gid,
        "process": process.processName,
        "logger": state.logger and state.logger[0],
        "imports": imports.total,
        "whole": imports.whole,
        "modules": imports.count,
        "threads": threads(),
        "original": bool(state.config and state.config["originalname"]),
    }


def nowhere():
    """A daemon already: what is printed would be lost."""
    try:
        null = os.stat(os.devnull).st_rdev
        return all(os.fstat(fd).st_rdev == null for fd in (0, 1, 2))
    except OSError:
        return False


def collect():
    """What is printed waits for the log, as what is logged does."""
    from twisted.logger import Logger, LoggingFile, LogLevel

    state.streams = sys.stdout, sys.stderr
    for name, level in (("stdout", LogLevel.info), ("stderr", LogLevel.error)):
        encoding = getattr(sys, name).encoding
        setattr(sys, name, LoggingFile(Logger(namespace=name), level, encoding))


def describe(value):
    return "None" if value is None else "of type " + type(value).__qualname__


def threads():
    module = sys.modules.get("threading")
    return [t.name for t in module.enumerate() if t is not module.main_thread()] if module else []


def lazy():
    """What is usually imported by the first use: later it may be out of reach."""
    import encodings.idna, encodings.latin_1, encodings.utf_8_sig  # noqa
    import linecache, traceback  # noqa
    import twisted.internet.process, twisted.internet.threads, twisted.python.threadpool  # noqa
    from twisted.internet import _resolver, tcp, udp, unix  # noqa

    if state.arrive:
        state.arrive()


def choose_logger():
    """The observer of the application or of the command line, if there is one: (what it is, it)."""
    from twisted import logger
    from twisted.python import log

    observer = name = None
    if state.config and state.config["logger"] is not None:
        observer, name = state.config["logger"](), "--logger"
    else:
        for interface in (logger.ILogObserver, log.ILogObserver):
            observer = state.application.getComponent(interface, None)
            if observer is not None:
                name = "its own observer " + getattr(observer, "__qualname__", type(observer).__qualname__)
                break
        else:
            if state.config and state.config["syslog"]:
                from twisted.python import syslog

                observer, name = syslog.SyslogObserver(state.config["prefix"]).emit, "syslog"
    if observer is not None:
        if not logger.ILogObserver.providedBy(observer):
            observer = logger.LegacyLogObserverWrapper(observer)
        state.logger = (name, observer)
        begin_logging(observer)


class Log:
    """The log of rsd, as a text file."""

    encoding = "utf-8"
    write = staticmethod(_rsd.write)

    @staticmethod
    def flush():
        pass


def say(form, **values):
    from twisted import logger

    logger.Logger(namespace="twisted.scripts._twistd_unix.UnixAppLogger").info(form, **values)


def begin_logging(observer):
    from twisted import copyright, logger

    state.begun = True
    state.streams = state.streams or (sys.stdout, sys.stderr)
    logger.globalLogBeginner.beginLoggingTo([observer])
    from twisted.internet import reactor

    kind = type(reactor)
    say(
        "twistd {version} ({exe} {pyVersion}) starting up.",
        version=copyright.version,
        exe=sys.executable,
        pyVersion="%d.%d.%d" % sys.version_info[:3],
    )
    say("reactor class: {reactor}.", reactor=kind.__module__ + "." + kind.__qualname__)


@phase
def log(fd):
    """The log is there (a descriptor for crashes), or there is none."""
    faulthandler.enable = state.enable
    if state.begun:
        return False
    from twisted import logger

    begin_logging(logger.textFileLogObserver(sys.stdout if fd is None else Log))
    watch(2 if fd is None else fd)
    return True


def ports():
    """What listens now and did not before."""
    if "twisted.internet.reactor" not in sys.modules:
        return []
    from twisted.internet import reactor
    from twisted.internet.interfaces import IListeningPort

    now = [r for r in reactor.getReaders() if IListeningPort.providedBy(r)]
    new = [port for port in now if port not in state.ports]
    state.ports = now
    found = []
    for port in new:
        try:
            host = port.getHost()
        except Exception:
            continue
        if hasattr(host, "port"):
            place = "[%s]" % host.host if ":" in host.host else host.host
            found.append("%s:%s:%s" % (host.type.lower(), place, host.port))
        elif getattr(host, "name", None):
            name = host.name
            found.append("unix:" + (os.fsdecode(name) if isinstance(name, bytes) else str(name)))
    return sorted(found)


def names():
    from twisted.application import service

    found, todo = [], [service.IService(state.application)]
    while todo:
        for child in todo.pop():
            found.append(child.name or type(child).__qualname__)
            if service.IServiceCollection.providedBy(child):
                todo.append(service.IServiceCollection(child))
    return found


@phase
def privileged(lazily):
    from twisted.application import service

    service.IService(state.application).privilegedStartService()
    if lazily:
        lazy()
    return {"ports": ports(), "threads": threads()}


@phase
def start(dropped):
    from twisted.application import service
    from twisted.internet import reactor
    from twisted.python import log

    if dropped:
        log.msg("set " + dropped)
    root = service.IService(state.application)
    root.startService()
    if state.config and not state.config["no_save"]:
        from twisted.persisted import sob

        persistent = sob.IPersistable(state.application)
        reactor.addSystemEventTrigger("after", "shutdown", persistent.save, "shutdown")
    reactor.addSystemEventTrigger("before", "shutdown", root.stopService)
    return {"ports": ports(), "services": names(), "threads": threads()}


@phase
def serve():
    from twisted.internet import reactor
    from twisted.python import log

    stopping, asked = [], []

    def stopper(handler):
        def stop(number, frame):
            name = signal.Signals(number).name
            if asked:
                log.msg("Received %s again: not waiting any longer." % name)
                _rsd.host("signal %s the stop is forced" % name)
                reactor._exitSignal = number
                reactor.callFromThread(reactor.crash)
            elif stopping:
                _rsd.host("signal %s it is stopping already" % name)
            else:
                _rsd.host("signal %s the application is stopped" % name)
                handler(number, frame)
            asked.append(number)

        return stop

    def logs(number, frame):
        _rsd.host("signal %s" % signal.Signals(number).name)

    def running():
        # Twisted's own handlers are in place, and nothing of the application's start-up has run.
        for number, name in ((signal.SIGTERM, "sigTerm"), (signal.SIGINT, "sigInt")):
            own = getattr(reactor, name, None)
            if own is not None and signal.getsignal(number) == own:
                signal.signal(number, stopper(own))
        for number in state.later:
            os.kill(state.pid, number)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    for number in (signal.SIGHUP, signal.SIGUSR1):
        if signal.getsignal(number) is early:
            signal.signal(number, logs)
    for number, handler in ((signal.SIGQUIT, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is early:
            signal.signal(number, handler)
    # What the application does at the startup may start programs, and they inherit the mask. SIGINT is
    # an exception until Twisted has its handler.
    signal.pthread_sigmask(signal.SIG_SETMASK, (signal.SIGINT,))
    reactor.addSystemEventTrigger("during", "startup", running)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: stopping.append(True))
    if state.config and (state.config["profile"] or state.config["debug"]):
        extra("words")["run"](reactor)
    else:
        reactor.run()
    number = getattr(reactor, "_exitSignal", None)
    say("Server Shut Down.")
    if number is None:
        goodbye()
    flush()
    return number


def goodbye():
    """What the interpreter does at its end."""
    import atexit

    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
