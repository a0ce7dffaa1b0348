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
        code: "RSD0520",
        title: "the program is started before the daemon is what it is to be",
        story: "
A program is forked when `start-application` runs, and from then on it is a
process of its own: a root, a working directory, a umask, a user that the daemon
takes later are not the program's. Started before the drop it stays root while
the daemon beside it is not, and the daemon may not even signal it (kill(2)).
Started before `daemonize` it is the launcher's child, and ends with it.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  startApplication: { privilege: any }
order: [startApplication, switchUidGid]",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--", "sleep", "1000"],
        starter: Root,
        failure: "no call fails. /proc/PID/status of the program says Uid: 0.",
        fix: "put `startApplication` behind everything that changes who the daemon is.",
    },
    Page {
        code: "RSD0521",
        title: "the log is opened when the program runs already",
        story: "
What a program writes to its standard output and error goes into the log through
a pipe that it is given when it is started. Where there is no log yet, there is
no pipe: its output is the null device's, or in the foreground the terminal's,
and opening the log later does not change that.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  startApplication: { needs: [readTacFile, privilegedStartService] }
order: [startApplication, startLogger]",
        args: &[
            "--spec",
            "spec.yaml",
            "--logfile",
            "/tmp/demo.log",
            "--",
            "sh",
            "-c",
            "echo here; exec sleep 1000",
        ],
        starter: Anyone,
        failure: "no call fails. The log stays without a word of the program.",
        fix: "put `startLogger` before `startApplication`.",
    },
];
