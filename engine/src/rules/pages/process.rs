//! 05xx: processes.

use super::{
    Page,
    Starter::{Anyone, Root},
};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0501",
        title: "the PID file would name a process that exits",
        story: "
`daemonize` forks twice, and the daemon is the grandchild. A PID file that is
made before holds the number of the launcher, which leaves as soon as the
daemon is ready. Later that number may be another process's. A lock that is
taken before is not the daemon's either (fcntl(2): record locks are not
inherited over fork).",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  openPIDFile: { needs: [checkPID] }
order: [openPIDFile, daemonize]",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "kill(2) with the number from the file answers ESRCH, or it
reaches a stranger.",
        fix: "put the PID file behind daemonize.",
    },
    Page {
        code: "RSD0502",
        title: "the working directory stays outside the new root",
        story: "
chroot(2) changes where `/` is, and not the working directory. A process whose
working directory is outside its root can walk up from it with `..` and out of
the jail; the manual page of chroot(2) says so. A daemon that cannot be root
again still sees every file there that it may read.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  chdir: null",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--chroot", "/usr", "--pidfile="],
        starter: Root,
        failure: "no call fails. getcwd(2) in the daemon answers
`(unreachable)/…`, and open(\"../etc/passwd\") may find the real one.",
        fix: "a phase of kind `chdir` that needs the chroot.",
    },
    Page {
        code: "RSD0503",
        title: "code of the application runs as root",
        story: "
A TAC is a program. twistd evaluates it before the drop, so all it does when it
is read (imports, opening its own logs, starting threads) is done as root, and
what it makes belongs to root: its own log cannot be rotated later. Whoever may
change the TAC, or what it imports, is root at the next start. If that is the
user whom the daemon serves as, the drop protects from nothing.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--python", "demo.tac"],
        starter: Root,
        failure: "no call fails. A TAC with LogFile.fromFullPath in it leaves a
log of root's, and rotating it as the user answers EACCES.",
        fix: "let root own the TAC and its directory, and open files in a
service's startService, which runs after the drop. An application that must
bind its own ports needs this; say so, and the note goes:
  readTacFile: { privilege: privileged }",
    },
    Page {
        code: "RSD0504",
        title: "Python's library is out of reach once the daemon serves",
        story: "
A Twisted application runs in the Python that is loaded into the daemon. What
it imports later is read from the interpreter's library then, by the user that
serves and inside the root that it has. Many modules are imported late: codecs,
name resolvers, what a first request needs. Behind chroot the library is not
there unless somebody put it there; an interpreter below a home directory that
is closed to others (/root/.pyenv) cannot be read after the drop.",
        spec: "
rsd: 1
name: demo
extends: twistd-safe",
        args: &["--spec", "spec.yaml", "--chroot", "/usr/share", "--pidfile=", "--python", "app.tac"],
        starter: Root,
        failure: "a later `import` raises ModuleNotFoundError or
PermissionError, in the middle of serving.",
        fix: "use a Python that everybody may read, such as Debian's; for a
chroot, mount its library inside (mount --bind), or import in the TAC all that
will be needed.",
    },
    Page {
        code: "RSD0505",
        title: "the daemon is forked after the application's code ran",
        story: "
A Twisted application lives in the daemon's own process, and its code runs when
it is read. fork(2) takes along the one thread that calls it: threads that the
application started by then are gone in the daemon, and a lock that one of them
held stays locked for ever. twistd's own order is so; most applications start
no thread when they are read, but a library that they import may.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--python", "app.tac"],
        starter: Anyone,
        failure: "no call fails: what the thread did is not done any more.",
        fix: "fork first, as the spec twistd-safe does: `daemonize` before the
application is read.",
    },
    Page {
        code: "RSD0520",
        title: "the program is started before the daemon is what it is to be",
        story: "
A program is a process of its own from the moment it is started. What changes
afterwards (the drop, the root, the umask) is not its; and a program that is
started before `daemonize` is the launcher's child: the daemon cannot wait for
it (wait(2): ECHILD), so that nobody learns of its end or stops it.",
        spec: "
rsd: 1
name: demo
phases:
  load:  { kind: load-application, with: { command: [sleep, '60'] } }
  start: { kind: start-application, needs: [load] }
  fork:  { kind: daemonize, needs: [start] }
  serve: { kind: serve, needs: [fork] }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "the program keeps running as who it was. Here the daemon ends
at once, and the program is left without anybody who stops it.",
        fix: "start it last: behind the fork, the drop and everything else that
it is to have.",
    },
    Page {
        code: "RSD0521",
        title: "the log is opened when the program runs already",
        story: "
A program is given its standard output when it is started. A log that is opened
afterwards is the daemon's, and not the program's.",
        spec: "
rsd: 1
name: demo
phases:
  fork:  { kind: daemonize }
  load:  { kind: load-application, with: { command: [sh, -c, 'echo hello'] } }
  start: { kind: start-application, needs: [load, fork] }
  log:   { kind: start-logger, needs: [start], with: { path: demo.log } }
  serve: { kind: serve, needs: [log] }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "what the program says goes to the null device; the log is
there, and empty.",
        fix: "open the log first.",
    },
    Page {
        code: "RSD0522",
        title: "the daemon is running already",
        story: "
The lock of a PID file that this plan checks or makes is held by a process
that is up. A start would say so and change nothing. The order is judged as if
that daemon were gone, for a check is often made before a restart. The example
is asked while the daemon runs: `rsd run --spec spec.yaml`.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "`rsd run` ends with exit status 5. twistd believes the number
in the file and asks whether a process has it, whichever it is.",
        fix: "`rsd stop` first, or give the second daemon a PID file and a name
of its own.",
    },
];
