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
        code: "RSD0507",
        title: "a phase behind serve can never run: the process is the program",
        story: "
With `replace` no keeper stays: the process that went through the phases becomes
the program by exec(2), with the same number, parent and identity. What stands
behind serve was to be done by that process, which is another program by then
and knows nothing of it. The PID file stays when the daemon ends, and is stale:
its lock is gone, so that the next start replaces it.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--replace", "--", "sleep", "1000"],
        starter: Anyone,
        failure: "no call fails: the file is still there when the program has
ended.",
        fix: "a guard, which is a process of its own and waits for the daemon's
end whatever the daemon has become: the built-in `twistd-safe` has one. Or leave
the phase out, where a stale file does no harm.",
    },
    Page {
        code: "RSD0508",
        title: "nothing is done: every phase is skipped",
        story: "
The spec can be read, and is asked for nothing: of each phase the condition does
not hold (`when`), or --skip names it, or it has nothing to do. `rsd run` would
end at once with exit status 0, and a script that waits for a daemon would take
that for a start. Mostly an option was left away.",
        spec: "
rsd: 1
name: demo
options:
  logfile: { type: path }
phases:
  log: { kind: start-logger, when: logfile, with: { path: \"${logfile}\" } }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "no call fails, because none is made: there is no daemon.",
        fix: "give the option that the conditions ask for; `rsd plan` says of each
phase why it is skipped.",
    },
];
