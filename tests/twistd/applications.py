"""Applications of many makes, which must do the same under both."""

import os
import re
import signal
import time

import place as p
import tacs
from exits import listed
from logs import writes
from registry import add, same


def up(b, *words, tac=None, **how):
    """Starts the application; the process that runs it."""
    if tac is not None:
        b.file("app.tac", tac)
        words = ("-y", "app.tac", *words)
    out = b.twistd(*words, **how)
    assert out.code == 0, f"it did not start: {out}"
    assert p.others(), f"nothing runs: {out}"
    return b.the_one()


def ended(b, pid):
    assert b.stop(pid), f"it does not end: {p.others()}"
    assert not b.path("twistd.pid").exists(), "its PID file is left"


def asks(port, question):
    assert p.eventually(lambda: ("tcp", port) in p.listening(), 15), f"nobody listens on {port}"
    return p.talk(port, question)


# Own log files, as buildbot does it.


def buildbot(b, ids="", directory_owner=0, pidfile="twistd.pid"):
    base = b.directory("base", 0o755, directory_owner)
    b.file("base/buildbot.tac", tacs.BUILDBOT.format(length=100_000, ids=ids, log="worker.log") + BUILDBOT_MORE)
    before = listed()
    pid = up(b, "-y", "base/buildbot.tac", f"--pidfile={pidfile}")
    seen = b.seen("running")
    assert seen["pid"] == pid
    assert not b.path("twistd.log").exists(), "a log beside the application's own"
    assert writes(5_000)
    logs = sorted(path.name for path in base.iterdir() if path.name.startswith("worker.log"))
    text = "".join((base / name).read_text() for name in logs)
    assert b.stop(pid)
    more = listed() - before
    return {
        "uid": seen["uid"],
        "groups": seen["groups"],
        "logs": logs,
        "last line": str("line 005000" in text),
        "starts with": text.count("starting up") >= 0,
        "left": sorted(name for name in more if "worker.log" not in name),
        "shut down is logged": "Main loop terminated" in (base / "worker.log").read_text(),
    }


BUILDBOT_MORE = tacs.WRITER.replace(tacs.HEAD, "import json, os, signal, sys\nfrom twisted.python import log\n")


@same("own log")
def buildbot_as_root(b):
    return buildbot(b)


@same("own log")
def buildbot_with_a_uid_in_a_directory_of_the_user(b):
    """The TAC opens its log as root, so it rotates only where the file is the user's."""
    b.directory("base", 0o755, p.TWU)
    b.file("base/worker.log", "", owner=p.TWU)
    shown = buildbot(b, ", uid=5001, gid=5001", p.TWU, pidfile="base/x.pid")
    assert shown["uid"] == [5001] * 3 and shown["logs"] == [f"worker.log{n}" for n in ("", ".1", ".2", ".3")], shown
    assert shown["left"] == [], shown
    return shown


@same("own log")
def daily_log_file(b):
    tac = tacs.PROBE + """
from twisted.python.log import FileLogObserver, ILogObserver
from twisted.python.logfile import DailyLogFile
application.setComponent(ILogObserver, FileLogObserver(DailyLogFile("daily.log", "/mnt/work")).emit)
"""
    pid = up(b, tac=tac)
    b.seen("running")
    ended(b, pid)
    return ["Main loop terminated" in b.log("daily.log"), b.path("twistd.log").exists()]


@same("own log")
def json_observer_of_the_new_kind(b):
    tac = tacs.PROBE + """
from twisted.logger import ILogObserver, jsonFileLogObserver
application.setComponent(ILogObserver, jsonFileLogObserver(open("/mnt/work/log.json", "a")))
"""
    pid = up(b, tac=tac)
    b.seen("running")
    ended(b, pid)
    text = b.text("log.json")
    return ["Main loop terminated" in text, b.path("twistd.log").exists()]


@same("own log")
def a_log_started_by_the_application(b):
    """log.startLogging in the TAC, as many programs do it."""
    tac = tacs.PROBE + "log.startLogging(open('/mnt/work/mine.log', 'a'), setStdout=False)\nlog.msg('mine')\n"
    pid = up(b, tac=tac)
    b.seen("running")
    ended(b, pid)
    return ["mine" in (b.text("mine.log") or ""), b.path("twistd.log").exists()]


# Services


MANY = tacs.PROBE + """
from twisted.application import internet, strports
from twisted.internet import endpoints, protocol, defer
from twisted.protocols import amp, basic
from twisted.web import resource, server

class Echo(basic.LineReceiver):
    def lineReceived(self, line):
        self.sendLine(b"echo " + line + b" " + str(os.getuid()).encode())

class Hello(resource.Resource):
    isLeaf = True
    def render_GET(self, request):
        return b"hello from " + str(os.getuid()).encode() + b"\\n"

class Sum(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer())]

class Math(amp.AMP):
    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}

class Ping(protocol.DatagramProtocol):
    def datagramReceived(self, data, address):
        self.transport.write(data, address)

collection = service.IServiceCollection(application)
multi = service.MultiService()
multi.setName("multi")
multi.setServiceParent(collection)
internet.TCPServer(81, protocol.Factory.forProtocol(Echo)).setServiceParent(multi)
internet.UDPServer(82, Ping()).setServiceParent(multi)
internet.UNIXServer("/mnt/work/echo.sock", protocol.Factory.forProtocol(Echo)).setServiceParent(multi)
strports.service("tcp:83:interface=127.0.0.1", server.Site(Hello())).setServiceParent(multi)
internet.StreamServerEndpointService(
    endpoints.TCP4ServerEndpoint(reactor, 8084), protocol.Factory.forProtocol(Math)).setServiceParent(multi)
ticks = []
def tick():
    ticks.append(1)
    if len(ticks) == 3:
        open("/mnt/seen/ticked", "w").close()
internet.TimerService(0.05, tick).setServiceParent(multi)
internet.CooperatorService().setServiceParent(multi)
"""


@same("services")
def many_at_once_with_low_ports(b):
    """Ports below 1024 are root's; everything is served after the drop."""
    os.chmod(p.WORK, 0o777)
    pid = up(b, "-u", "twu", tac=MANY)
    b.seen("running")
    assert asks(81, b"x\r\n") == b"echo x 5001\r\n"
    assert b"hello from 5001" in asks(83, b"GET / HTTP/1.0\r\n\r\n")
    answer = asks(8084, b"\0\4_ask\0\0011\0\10_command\0\3Sum\0\1a\0\00240\0\1b\0\0012\0\0")
    assert b"total" in answer and b"42" in answer, answer
    assert p.eventually((p.SEEN / "ticked").exists)
    ports = p.listening()
    ended(b, pid)
    return {"ports": ports, "sock": b.path("echo.sock").exists()}


@same("services")
def a_service_that_stops_slowly(b):
    """stopService answers with a Deferred."""
    tac = tacs.PROBE + """
from twisted.internet import task
def slow(self):
    return task.deferLater(reactor, 0.5, see, "stopped")
Probe.stopService = slow
"""
    pid = up(b, tac=tac)
    b.seen("running")
    ended(b, pid)
    return (p.SEEN / "stopped").exists()


@same("services")
def triggers_of_the_reactor(b):
    tac = tacs.PROBE + """
def wrote(what):
    open("/mnt/seen/order", "a").write(what + " ")
for phase in ("before", "during", "after"):
    for event in ("startup", "shutdown"):
        reactor.addSystemEventTrigger(phase, event, wrote, f"{phase}-{event}")
"""
    pid = up(b, tac=tac)
    b.seen("running")
    ended(b, pid)
    return (p.SEEN / "order").read_text()


# Programs that look at twistd itself


PLUGIN = """\
from twisted.application.service import ServiceMaker
kept = ServiceMaker("Kept", "benchplug", "Looks at twistd's own options.", "benchplug")
"""
PLUGIN_MODULE = """\
import json, os
from twisted.application import service
from twisted.python import usage

class Options(usage.Options):
    optParameters = [["port", "p", "1", "A port."], ["config", "c", None, "A file."]]
    optFlags = [["debug", "d", "More."]]
    def parseArgs(self, *rest):
        self["rest"] = rest
    def postOptions(self):
        # As Carbon does it: the options of twistd itself are its parent's.
        parent = self.parent
        self["seen"] = {key: parent[key] for key in ("nodaemon", "pidfile", "logfile", "umask", "rundir", "uid", "reactor") if key in parent}
        self["subcommand"] = parent.subCommand

class Tell(service.Service):
    def __init__(self, options):
        self.options = options
    def startService(self):
        shown = {key: value for key, value in self.options.items()}
        shown["class"] = type(self.options.parent).__name__
        with open("/mnt/seen/options", "w") as out:
            json.dump(shown, out, default=str, sort_keys=True)

def makeService(options):
    return Tell(options)
"""


@same("twistd's own classes")
def a_plug_in_that_reads_the_options_of_twistd(b):
    b.directory("twisted/plugins")
    b.file("twisted/plugins/bench_plugin.py", PLUGIN)
    b.file("benchplug.py", PLUGIN_MODULE)
    b.environment["PYTHONPATH"] = "/mnt/work"
    pid = up(b, "--umask=027", "--pidfile=x.pid", "--logfile=x.log", "benchplug", "--port=2", "-d", "one", "two")
    shown = b.seen("options")
    assert b.stop(pid)
    return shown


@same("twistd's own classes")
def a_TAC_that_instantiates_ServerOptions(b):
    tac = tacs.PROBE + """
from twisted.scripts.twistd import ServerOptions
options = ServerOptions()
options.parseOptions()
with open("/mnt/seen/options", "w") as out:
    json.dump({key: options[key] for key in ("python", "pidfile", "logfile", "nodaemon", "umask")}, out)
"""
    pid = up(b, "--pidfile=x.pid", "--umask", "022", tac=tac)
    shown = b.seen("options")
    assert b.stop(pid)
    return shown


@same("twistd's own classes")
def a_TAC_that_parses_sys_argv(b):
    tac = tacs.PROBE + """
with open("/mnt/seen/argv", "w") as out:
    json.dump([os.path.basename(sys.argv[0]), sys.argv[1:], os.path.basename(sys.executable), sys.prefix], out)
"""
    pid = up(b, "-o", "--pidfile=x.pid", tac=tac)
    shown = b.seen("argv")
    assert b.stop(pid)
    return shown


@same("twistd's own classes")
def a_subclass_of_ServiceMaker_and_Options(b):
    b.directory("twisted/plugins")
    b.file("twisted/plugins/bench_plugin.py", """\
from zope.interface import implementer
from twisted.plugin import IPlugin
from twisted.application.service import IServiceMaker
from twisted.scripts.twistd import ServerOptions, _SomeApplicationRunner
from twisted.application import service
import benchplug

@implementer(IServiceMaker, IPlugin)
class Maker:
    tapname = "benchplug"
    description = "A maker of its own."
    options = benchplug.Options
    def makeService(self, options):
        # The runner and the options of twistd are there for who leans on them.
        assert issubclass(_SomeApplicationRunner, object) and isinstance(options.parent, ServerOptions)
        return benchplug.makeService(options)
maker = Maker()
""")
    b.file("benchplug.py", PLUGIN_MODULE)
    b.environment["PYTHONPATH"] = "/mnt/work"
    pid = up(b, "benchplug", "-c", "x")
    shown = b.seen("options")
    ended(b, pid)
    return shown


@same("twistd's own classes")
def a_script_that_calls_the_runner(b):
    """Programs that call twistd.run() themselves go on to do so: nothing of rsd is in their way."""
    tac = tacs.PROBE + """
from twisted.application import app
from twisted.scripts import twistd
names = [app.ApplicationRunner.__name__, twistd.run.__name__, app.AppLogger.__name__]
see("names")
"""
    pid = up(b, tac=tac)
    b.seen("names")
    ended(b, pid)
    return True


# Processes and threads


CHILD = tacs.while_running("""\
from twisted.internet import protocol
class Reads(protocol.ProcessProtocol):
    text = b""
    def outReceived(self, data):
        self.text += data
    def processEnded(self, why):
        with open("/mnt/seen/child.part", "w") as out:
            json.dump([self.text.decode().splitlines(), str(why.value)], out)
        os.rename("/mnt/seen/child.part", "/mnt/seen/child")
reactor.spawnProcess(Reads(), "/bin/sh", ["sh", "-c", "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; ls /proc/self/fd; exit 3"], env=os.environ)""")


@same("processes")
def a_child_is_reaped_and_its_signals_are_free(b):
    pid = up(b, tac=CHILD)
    shown = b.seen("child")
    lines = dict(line.split(":\t") for line in shown[0] if line.startswith("Sig"))
    zombies = [each for each in os.listdir("/proc") if each.isdigit() and p.state(int(each)) == "Z" and p.stat_fields(int(each))[1] == str(pid)]
    ended(b, pid)
    assert int(lines["SigBlk"], 16) == 0, f"blocked in the child: {lines}"
    return {"ended": shown[1], "blocked": lines["SigBlk"], "zombies": len(zombies), "ignored": lines["SigIgn"]}


@same("processes")
def subprocess_of_the_standard_library(b):
    tac = tacs.while_running("""\
import subprocess
shown = subprocess.run(["sh", "-c", "id -u; exit 4"], capture_output=True, text=True)
with open("/mnt/seen/sub.part", "w") as out:
    json.dump([shown.stdout, shown.returncode], out)
os.rename("/mnt/seen/sub.part", "/mnt/seen/sub")""")
    pid = up(b, "-u", "twu", tac=tac)
    shown = b.seen("sub")
    assert b.stop(pid)
    return shown


@same("threads")
def threads_of_the_reactor(b):
    tac = tacs.while_running("""\
from twisted.internet import threads
import time
def work():
    time.sleep(0.1)
    return 42
threads.deferToThread(work).addCallback(lambda n: see(f"thread-{n}"))""")
    pid = up(b, tac=tac)
    b.seen("thread-42")
    ended(b, pid)
    return True


@same("threads")
def a_thread_of_the_TAC_dies_at_the_fork(b):
    """As with twistd, where the TAC is read before; --spec twistd-safe is the cure."""
    from faults import THREAD

    pid = up(b, tac=THREAD)
    b.seen("running")
    before = (p.SEEN / "ticks").stat().st_size
    time.sleep(0.3)
    grown = (p.SEEN / "ticks").stat().st_size > before
    ended(b, pid)
    return grown


ASYNCIO = tacs.while_running("""\
import asyncio
from twisted.internet import defer
async def later():
    await asyncio.sleep(0.05)
    see("asyncio")
defer.Deferred.fromFuture(asyncio.ensure_future(later()))""")


@same("reactors")
def asyncio_futures(b):
    pid = up(b, "--reactor=asyncio", tac=ASYNCIO)
    b.seen("asyncio")
    ended(b, pid)
    return p.first(r"reactor class: .*", b.log())


@same("reactors")
def a_reactor_installed_by_the_TAC(b):
    tac = "from twisted.internet import pollreactor\npollreactor.install()\n" + tacs.PROBE
    pid = up(b, tac=tac)
    b.seen("running")
    ended(b, pid)
    return p.first(r"reactor class: .*", b.log())


# Plug-ins that come with Twisted: words, a port, what to say, what must be in the answer.

PLUGINS = {
    "web": (["web", "--path", "www", "--listen=tcp:8080"], 8080, b"GET /hello.txt HTTP/1.0\r\n\r\n", b"hello there"),
    "web with wsgi": (["web", "--wsgi=benchwsgi.app", "--listen=tcp:8080"], 8080, b"GET / HTTP/1.0\r\n\r\n", b"wsgi 42"),
    "ftp": (["ftp", "--port=2121", "--root=www"], 2121, b"", b"220 "),
    "portforward": (["portforward", "-p", "tcp:7000", "-h", "127.0.0.1", "-d", "7001"], 7000, None, None),
    "socks": (["socks", "-p", "7002", "-i", "127.0.0.1"], 7002, None, None),
    "xmpp-router": (["xmpp-router", "--port=tcp:5347:interface=127.0.0.1"], 5347, None, None),
    "dns": (["dns", "--port=5353", "--hosts-file=/etc/hosts"], 5353, None, None),
    "words": (["words", "--irc-port=tcp:6667", "--auth=memory:a:b", "--group=x"], 6667, None, None),
    "mail": (["mail", "--smtp=tcp:2525", "--pop3=tcp:1100", "--maildirdbmdomain=x=/mnt/work/mail"], 2525, b"", b"220 "),
    "manhole": (["manhole", "--telnetPort=tcp:2324:interface=127.0.0.1", "--passwd=/etc/passwd"], 2324, None, None),
    "inetd": (["inetd", "--file=inetd.conf"], None, None, None),
}


def plugin(words, port, question, wanted):
    def body(b):
        b.directory("www")
        b.file("www/hello.txt", "hello there\n")
        b.file("inetd.conf", "")
        b.file("benchwsgi.py", "def app(env, start):\n    start('200 OK', [])\n    return [b'wsgi 42']\n")
        b.environment["PYTHONPATH"] = "/mnt/work"
        out = b.twistd(*words)
        if out.code != 0:
            return [out.status, (p.first(r"\w+Error[^.\n]*", out.out + out.err) or "")[:60]]
        pid = b.the_one()
        if port:
            assert p.eventually(lambda: port in {each[1] for each in p.listening()}, 15), b.log()
        if wanted is not None:
            answer = p.talk(port, question)
            assert wanted in answer, answer
        ports = p.listening()
        ended(b, pid)
        return [ports]

    return body


for _name, _plugin in PLUGINS.items():
    add(f"plug-in: {_name}", "same", "plug-in", plugin(*_plugin))


@same("plug-in")
def its_own_usage_error(b):
    """The words of the plug-in are the plug-in's to judge."""
    out = b.twistd("-n", "web", "--no-such-option")
    assert out.code in (1, 2) and "no-such-option" in out.out + out.err, out
    return True


@same("plug-in")
def its_own_help(b):
    out = b.twistd("web", "--help")
    assert out.code == 0 and "--path=" in out.out, out
    return True


@same("foreground")
def web_in_the_foreground(b):
    b.directory("www")
    b.file("www/hello.txt", "hello there\n")
    runs = b.spawn(b.command("-n", "web", "--path", "www", "--listen=tcp:8080"))
    assert b"hello there" in asks(8080, b"GET /hello.txt HTTP/1.0\r\n\r\n")
    runs.terminate()
    out = b.finish(runs)
    lines = [re.sub(r"^\S+ ", "", line) for line in out.out.splitlines()]
    return [out.status, sum("starting on 8080" in line for line in lines)]


@same("ssh")
def a_server_with_keys(b):
    b.directory("keys", 0o700)
    b.run([str(p.VENV / "bin/python"), str(p.VENV / "bin/ckeygen"), "-t", "rsa", "-b", "2048", "-f", "keys/host", "--no-passphrase"])
    tac = tacs.PROBE + """
from twisted.conch import manhole_tap
keys = "/mnt/work/keys"
options = {"namespace": {}, "passwd": "/etc/passwd", "sshPort": "tcp:2222:interface=127.0.0.1",
           "telnetPort": None, "sshKeyDir": keys, "sshKeyName": "host", "sshKeySize": 4096}
manhole_tap.makeService(options).setServiceParent(application)
"""
    os.chmod(p.WORK, 0o777)
    pid = up(b, "-u", "twu", tac=tac)
    b.seen("running")
    banner = asks(2222, b"")
    ended(b, pid)
    return banner[:20].decode()


# What users write: options beside a TAC, as init scripts have them.


@same("as users call it")
def with_syslog_and_ids(b):
    os.chmod(p.WORK, 0o777)
    pid = up(b, "--pidfile=/run/x.pid", "--syslog", "--prefix=mine", "--uid=twu", "--gid=twu", tac=tacs.PROBE)
    seen = b.seen("running")
    os.kill(pid, signal.SIGTERM)
    assert b.gone(pid)
    return [seen["uid"], seen["gid"], seen["groups"]]


@same("as users call it")
def with_no_save_and_a_cluster(b):
    runs = b.spawn(b.command("-noy", "app.tac"))
    runs.kill()
    b.finish(runs)
    b.file("app.tac", tacs.PROBE)
    runs = b.spawn(b.command("-noy", "app.tac"))
    b.seen("running")
    runs.send_signal(signal.SIGINT)
    return b.finish(runs).status


@same("as users call it")
def lazy_imports_after_the_drop(b):
    tac = tacs.while_running("import sqlite3, decimal, xml.dom.minidom, cProfile\nsee('imported')")
    os.chmod(p.WORK, 0o777)
    pid = up(b, "-u", "twu", tac=tac)
    b.seen("imported")
    ended(b, pid)
    return True


@same("as users call it")
def a_TAC_in_another_directory(b):
    b.directory("elsewhere")
    b.file("elsewhere/my.tac", tacs.PROBE + "see('file')\n")
    pid = up(b, "-y", "elsewhere/my.tac", "-d", "/tmp", "--logfile=here.log")
    seen = b.seen("running")
    shown = [b.seen("file")["file"], seen["cwd"], b.path("here.log").exists(), b.path("twistd.pid").exists()]
    ended(b, pid)
    return shown


@same("as users call it")
def not_ascii(b):
    b.directory("grüße")
    b.file("grüße/äpp.tac", tacs.PROBE + "log.msg('Grüße, 世界 \\\\udcff')\n")
    pid = up(b, "-y", "grüße/äpp.tac", "-l", "grüße/lög")
    b.seen("running")
    ended(b, pid)
    return "Grüße, 世界" in b.log("grüße/lög")


@same("as users call it")
def by_an_ordinary_user(b):
    os.chown(p.WORK, p.TWU, p.TWU)
    b.file("app.tac", tacs.PROBE)
    out = b.twistd("-y", "app.tac", user=p.TWU)
    assert out.code == 0, out
    seen = b.seen("running")
    shown = [seen["uid"], seen["groups"], p.owner("twistd.pid"), p.owner("twistd.log")]
    ended(b, seen["pid"])
    return shown


@same("as users call it")
def ten_starts_and_stops(b):
    b.file("app.tac", tacs.PROBE)
    for _ in range(5):
        (p.SEEN / "running").unlink(missing_ok=True)
        pid = up(b, "-y", "app.tac")
        b.seen("running")
        ended(b, pid)
    return b.log().count("Main loop terminated")


# Processes and descriptors that are not the start's.


@same("processes")
def a_process_of_the_TAC_that_comes_back(b):
    """The child ends as a program would, and what was started is not its to undo."""
    tac = tacs.PROBE + """
import sys
child = os.fork()
if child == 0:
    sys.exit(3)
status = os.WEXITSTATUS(os.waitpid(child, 0)[1])
with open("/mnt/seen/waited", "w") as out:
    json.dump(status, out)
"""
    pid = up(b, tac=tac)
    b.seen("running")
    status = b.seen("waited")
    ended(b, pid)
    return status


@same("processes")
def no_child_but_its_own(b):
    """In the foreground, too."""
    b.file("app.tac", tacs.HEAD + """
from twisted.internet import reactor

def look():
    try:
        found = os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        found = "none"
    with open("/mnt/seen/part", "w") as out:
        json.dump(found, out)
    os.rename("/mnt/seen/part", "/mnt/seen/children")

reactor.callWhenRunning(look)
""")
    runs = b.spawn(b.command("-n", "-y", "app.tac"))
    found = b.seen("children")
    runs.terminate()
    b.finish(runs)
    return found


HANDED = """
import os, socket, sys
s = socket.create_server(("127.0.0.1", 8088))
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="echo")
os.execvp(sys.argv[1], sys.argv[1:])
"""


@same("descriptors")
def sockets_handed_by_systemd(b):
    b.file("app.tac", tacs.PROBE + """
from twisted.application import strports
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo
strports.service("systemd:domain=INET:index=0", Factory.forProtocol(Echo)).setServiceParent(application)
""")
    runs = b.spawn([str(p.VENV / "bin/python"), "-c", HANDED, *b.command("-n", "-y", "app.tac")])
    b.seen("running")
    answer = asks(8088, b"hello\n")
    runs.terminate()
    b.finish(runs)
    return answer.decode()
