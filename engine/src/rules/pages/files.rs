//! 04xx: files.

use super::{
    Page,
    Starter::{Anyone, Root},
};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0401",
        title: "the log cannot be rotated after the drop",
        story: "
To rotate a log is to rename it, and rename(2) asks for write permission on
the directory, not on the file. The log is opened while the process is root,
and rotated by the user that serves. Where the directory belongs to root the
log grows for ever. This is the first of the two traps in the essay on twistd
that rsd began with (twisted/twisted#5296, open).",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--logfile", "/var/log/demo.log"],
        starter: Root,
        failure: "at the size that `rotate-at` names, rename(2) answers
EACCES. The daemon runs on and writes into the same file.",
        fix: "a directory of its own that belongs to the user:
install -d -o nobody /var/log/demo
A log in a directory that a user may write is opened without following a
symbolic link (CVE-2016-1247: nginx's log as root).",
    },
    Page {
        code: "RSD0402",
        title: "the PID file cannot be removed after the drop",
        story: "
unlink(2) asks for write permission on the directory. The PID file is made by
root and removed, at the end, by the user that served. Where the directory is
root's (/run), the file stays. This is the second trap in the essay on twistd
(twisted/twisted#5297, open). To give the file or its directory to the user is
no harmless way out where root later signals the number in it
(CVE-2017-11747, CVE-2018-16888); `rsd stop` asks the kernel who holds the
file's lock and does not believe the content alone.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--pidfile", "/run/demo.pid"],
        starter: Root,
        failure: "unlink(2) answers EACCES when the daemon ends. `rsd status`
exits with 1 (dead, with a PID file); the next start finds the file's lock free
and removes it.",
        fix: "keep a guard and let it do it:
  phases:
    keepGuard: { kind: keep-guard }
    removePIDFile: { privilege: privileged }
Or give the file a directory of its own that belongs to the user.",
    },
    Page {
        code: "RSD0403",
        title: "a phase will fail",
        story: "
The model carried the plan out on a picture of this machine, and the kernel
would refuse a call of this phase: a directory that is not there or may not be
entered, a file that may not be made, a program that is not found. The notes
name the path, its owner and mode, and the identity of the process then. The
same is a warning, not an error, for a phase behind `serve`.",
        spec: "
rsd: 1
name: demo
phases:
  load:  { kind: load-application }
  chdir: { kind: chdir, with: { path: /no/such/directory } }
  serve: { kind: serve, needs: [load, chdir] }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "chdir(2) answers ENOENT; the start is given up and what was
done before is undone.",
        fix: "make the directory, or change its owner or mode, as the help of
the finding says. If the machine will be another one by then, check it there.",
    },
    Page {
        code: "RSD0404",
        title: "a file is made before the umask that it was meant to have",
        story: "
umask(2) acts on files that are made later. A log or a PID file that is made
first keeps the wider mode. twistd's own order is of this sort: it opens the
log before it sets the umask to 077.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--umask", "077", "--logfile", "demo.log"],
        starter: Anyone,
        failure: "no call fails. The log can be read by everybody, and each new
one after a rotation too: rsd gives it the mode of the one before.",
        fix: "put the umask first: `order: [umask, checkPID]`. Or give the file
its mode: `with: { mode: '0600' }`.",
    },
    Page {
        code: "RSD0405",
        title: "the log stays outside the new root",
        story: "
A log that is opened before the root is changed is written to through its
descriptor, wherever the root is. Its path means another file by then. twistd
rotates by the path, so under --chroot it never does, and does not say so
(the third trap, which the essay does not name). rsd keeps the log's directory
by a handle and rotates and reopens it there. What goes by the path (an
application with a log of its own, a person in the jail) finds another file.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--chroot", "/usr", "--pidfile=", "-l", "/var/log/a.log"],
        starter: Root,
        failure: "no call of rsd fails. An application that opens
/var/log/a.log by itself gets ENOENT, or a second log inside the root.",
        fix: "put the log behind `chroot`: `order: [chdir, startLogger]`, and
give its path as it is inside. Or say that it is meant to stay outside, and
whose it is: `startLogger: { with: { owner: dropped } }`.",
    },
    Page {
        code: "RSD0406",
        title: "the PID file that is checked is not the one that is made",
        story: "
twistd looks at the PID file before it changes its root and writes it
afterwards, by the same path (twisted/twisted#3473, open since 2008). Two
daemons then run side by side, and the second overwrites the file of the
first. In rsd the making refuses, too, while another daemon holds the file's
lock. But that is later, when the application was read and has done what it
does when it is read; and a stale file outside is not the one inside.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--chroot", "/usr", "--pidfile", "/share/demo.pid"],
        starter: Root,
        failure: "with a daemon running, the check finds nothing, and the start
fails only where the file is made (exit code 5).",
        fix: "make the file before the root is changed; then one path is one
file. The spec twistd-safe does, and has no separate check.",
    },
];
