"""Applications that the scenarios start. Short texts; `app.tac` unless a scenario says otherwise."""

HEAD = """\
import json, os, signal, sys
from twisted.application import service
from twisted.python import log
application = service.Application("bench")
"""

# Writes what the process is at each moment of its start to /mnt/seen/MOMENT.
PROBE = HEAD + """\
def caps():
    for line in open("/proc/self/status"):
        if line.startswith("CapEff"):
            return line.split()[1]

def umask():
    mask = os.umask(0o77)
    os.umask(mask)
    return f"{mask:03o}"

def see(moment):
    seen = dict(pid=os.getpid(), ppid=os.getppid(), uid=os.getresuid(), gid=os.getresgid(),
                groups=sorted(os.getgroups()), umask=umask(), cwd=os.getcwd(),
                argv=sys.argv[1:], name=__name__, file=__file__,
                masked=sorted(s.name for s in map(signal.Signals, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
                path=os.getcwd() in sys.path or "" in sys.path)
    with open("/mnt/seen/" + moment + ".part", "w") as out:
        json.dump(seen, out)
    os.rename("/mnt/seen/" + moment + ".part", "/mnt/seen/" + moment)

class Probe(service.Service):
    def privilegedStartService(self):
        see("privileged")
    def startService(self):
        see("start")
        from twisted.internet import reactor
        reactor.callWhenRunning(see, "running")
        service.Service.startService(self)
    def stopService(self):
        see("stop")
        return service.Service.stopService(self)

Probe().setServiceParent(application)
see("load")
from twisted.internet import reactor
"""


def in_phase(phase, code):
    """An application that does something in `privilegedStartService` or `startService`."""
    lines = "".join(f"        {line}\n" for line in code.splitlines())
    return f"""{HEAD}
class Act(service.Service):
    def {phase}(self):
{lines}
Act().setServiceParent(application)
"""


def while_running(code):
    """An application that does something once the reactor runs."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    return f"""{PROBE}
from twisted.internet import reactor
def act():
{lines}
reactor.callWhenRunning(act)
"""


# Writes lines whenever its file /mnt/seen/write appears, and says in /mnt/seen/wrote how many in all.
WRITER = PROBE + """
from twisted.internet import task
written = [0]
def write():
    try:
        with open("/mnt/seen/write") as order:
            lines = int(order.read() or 0)
    except OSError:
        return
    os.unlink("/mnt/seen/write")
    for number in range(lines):
        written[0] += 1
        log.msg(f"line {written[0]:06d} " + "x" * 47)
    with open("/mnt/seen/wrote", "w") as out:
        out.write(str(written[0]))
task.LoopingCall(write).start(0.01)
"""

PORT = """
from twisted.application import internet
from twisted.internet import protocol
class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
factory = protocol.Factory.forProtocol(Echo)
internet.TCPServer({port}, factory, interface="127.0.0.1").setServiceParent(application)
"""

# As `buildbot create-worker` writes it, in short: the TAC brings its own log file and observer.
BUILDBOT = """\
import os
from twisted.application import service
from twisted.python.log import FileLogObserver, ILogObserver
from twisted.python.logfile import LogFile

basedir = os.path.abspath(os.path.dirname(__file__))
rotateLength = {length}
maxRotatedFiles = 3

application = service.Application("worker"{ids})
logfile = LogFile.fromFullPath(os.path.join(basedir, "{log}"), rotateLength=rotateLength,
                               maxRotatedFiles=maxRotatedFiles)
application.setComponent(ILogObserver, FileLogObserver(logfile).emit)
"""
