# Words of twistd's command line: Twisted itself reads them.
import sys


def load(tac, words):
    from twisted.application import app
    from twisted.python import usage
    from twisted.scripts.twistd import ServerOptions

    config = state.config = ServerOptions()
    try:
        config.parseOptions((["--python=" + tac] if tac else []) + words)
        if not (config.subCommand or tac or any(config[o] for o in ("python", "source")) or has_file(words)):
            raise usage.UsageError("no application: neither a file nor a plug-in is named")
    except usage.UsageError as error:
        raise Refused(first_line(error), advice(config, str(error))) from None
    config["nodaemon"] = config["nodaemon"] or config["debug"]
    # The profiler is looked up now: a wrong name is an error of the command line.
    state.profiler = app.AppProfiler(config)
    if config.subCommand:
        from twisted.application import service

        plug = config.loadedPlugins[config.subCommand]
        made = plug.makeService(config.subOptions)
        application = service.Application(plug.tapname)
        made.setServiceParent(application)
        return application
    if config["encrypted"]:
        app.getPassphrase(True)
    from twisted.application import service
    from twisted.python import log

    name, style = [(config[o], s) for o, s in (("python", "python"), ("source", "source"), ("file", "pickle")) if config[o]][0]
    state.tac = name
    log.msg("Loading %s..." % name)
    application = service.loadApplication(name, style)
    log.msg("Loaded.")
    return application


def has_file(words):
    return any(w.startswith(("-f", "--f")) for w in words)


def first_line(error):
    return (str(error).splitlines() or ["it cannot be used"])[0]


def advice(config, text):
    import difflib

    if "reactor" in text:
        from twisted.application import reactors

        known = sorted(r.shortName for r in reactors.getReactorTypes())
        return "reactors: " + ", ".join(known)
    if text.startswith("Unknown command"):
        known = sorted(name for name, *_ in config.subCommands)
        near = difflib.get_close_matches(text.split(": ", 1)[-1], known, 1)
        start = "did you mean `%s`? " % near[0] if near else ""
        return start + "plug-ins that Twisted finds: " + ", ".join(known)
    if config.subCommand:
        return "see `twistd %s --help`" % config.subCommand
    return "see `twistd --help`"


def run(reactor):
    config = state.config
    if config["profile"]:
        state.profiler.run(reactor)
        return
    import pdb
    import signal

    from twisted.application import app

    sys.stdout, sys.stderr = state.streams
    for number in (signal.SIGUSR2, signal.SIGINT):
        signal.signal(number, lambda *_: pdb.set_trace())
    own = pdb.Pdb.set_quit
    app.fixPdb()

    def set_quit(self):
        # twistd leaves by os._exit here, and its PID file stays
        own(self)
        reactor.crash()

    pdb.Pdb.set_quit = set_quit
    pdb.runcall(reactor.run)
