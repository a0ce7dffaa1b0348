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
entered, a file that may not be made, a program that is not found. Or the
phase itself would give up: a line of a file of variables is no NAME=VALUE.
The notes name the path, its owner and mode, and the identity of the process
then. The same is a warning, not an error, for a phase behind `serve`.",
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
        fix: "put the log behind the umask: `order: [umask, startLogger]`. Or
give the file its mode: `with: { mode: '0600' }`.",
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
    Page {
        code: "RSD0407",
        title: "root makes or enters a name that somebody else controls",
        story: "
Whoever may write a directory chooses what the names in it lead to. Logs in the
hands of their daemon became ways to root: CVE-2016-1247 (nginx), CVE-2016-9566
(Nagios). Where rsd makes a file or enters a new root as root, it follows no
link of a stranger's but to what is the stranger's own, so that the stranger
can do no more than be in the way: a note, and none where the stranger is the
daemon's own user. If a directory above the jail is not root's alone, its
owner can put another directory there, of their own: that is a note too.",
        spec: "
rsd: 1
name: demo
extends: twistd-safe",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "-l", "/tmp/demo.log", "--pidfile="],
        starter: Root,
        failure: "somebody makes the directory /tmp/demo.log, and the start
fails with EISDIR. With `--chroot home/jail`, and `home` the daemon's user's,
chroot(2) alone would follow a link in place of `jail` to the root of the
machine; rsd does not start.",
        fix: "let every directory above the jail belong to root, and keep logs
and PID files out of directories that everybody may write:
install -d -o svc /var/log/demo",
    },
    Page {
        code: "RSD0408",
        title: "the daemon's user may rewrite the PID file",
        story: "
A PID file says which process to signal, and it is root that signals: an init
script, `kill $(cat FILE)`, what runs after a log was rotated. Where the file
belongs to the daemon's user (`owner: dropped`, or made after the drop),
whoever takes the daemon over has root end any process: CVE-2017-11747
(tinyproxy), CVE-2017-14159 (slapd), CVE-2018-16888 (systemd's PIDFile=). `rsd
stop` believes the lock on the file, not the number in it.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  openPIDFile: { with: { owner: dropped } }",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--pidfile", "/run/demo.pid"],
        starter: Root,
        failure: "no call fails. Root's `kill $(cat /run/demo.pid)` ends
another process than the daemon.",
        fix: "leave the file to root and let the guard remove it, as the spec
twistd-safe does.",
    },
    Page {
        code: "RSD0409",
        title: "the daemon may not use its working directory",
        story: "
chdir(2) asks for the right to enter a directory once, when it is called. Done
as root it succeeds for a directory that the daemon's user may not enter, and
stays there over the drop. systemd changes directory as the user for that
reason. The same is true of the directory a start was made from, such as /root,
where no phase changes it.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--rundir", "/root", "-l", "/var/log/a"],
        starter: Root,
        failure: "no call of the start fails. Each open(2) of a relative path
by the application answers EACCES.",
        fix: "name a directory that the user may enter (`--rundir /`), or let
it: chmod o+x.",
    },
    Page {
        code: "RSD0410",
        title: "a path that exists outside and not inside the new root",
        story: "
After chroot(2) every path begins at the new root. A phase behind it names a
path that is there on this machine and is not there in the jail: the directory
of a PID file or a log, a program, the place of a socket. What was opened
before stays open, so a phase that only needs the old path can come first.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--chroot", "/usr", "--pidfile", "/run/demo.pid"],
        starter: Root,
        failure: "open(2) answers ENOENT in the jail; the start is given up.",
        fix: "put the phase before the chroot, as the spec twistd-safe does, or
make the directory inside: install -d /usr/run.",
    },
    Page {
        code: "RSD0411",
        title: "a file that everybody may write",
        story: "
The mode of a new file is what the phase asks for, less the umask: 0666 under a
umask of 0 is a file that any user of the machine may write. A daemon that
clears its umask and leaves the mode to others makes them (daemonize(1) and
busybox's start-stop-daemon do: PID files of mode 0666).",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  openPIDFile: { with: { mode: '0666' } }",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--umask", "0", "--pidfile", "/run/a.pid"],
        starter: Anyone,
        failure: "no call fails. Any user writes a number into the PID file,
and root's `kill $(cat /run/a.pid)` signals that process.",
        fix: "mode 0644 (which is the default), or a umask of 022.",
    },
    Page {
        code: "RSD0412",
        title: "a read-only file system",
        story: "
A phase makes, writes or removes a file where nothing can be written: the file
system is mounted read-only, or this mount of it is (a bind mount of a
container, `ProtectSystem=` of systemd). No capability helps, root's neither.
Which mount a path is on is asked of the kernel, directory by directory
(statx(2), statvfs(3)). The example has /srv mounted read-only:
`mount -t tmpfs -o ro none /srv`.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--pidfile", "/srv/demo.pid"],
        starter: Root,
        failure: "openat(2) answers EROFS, \"Read-only file system\".",
        fix: "name a place that can be written, as /run for a PID file, or mount
this one read-write.",
    },
    Page {
        code: "RSD0413",
        title: "a mount that does not let the program be what it is",
        story: "
A program on a file system that is mounted `noexec` cannot be executed,
whoever may execute it by its mode (mount(8)). Where it is mounted `nosuid`,
or no_new_privs is set, set-id bits do nothing, and a program that counts on
them runs as the daemon's user: that is a note. The example has a program on
such a mount: `mount -t tmpfs -o noexec none /srv; cp /bin/sleep /srv`.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--", "/srv/sleep", "100"],
        starter: Root,
        failure: "execve(2) answers EACCES, and the mode of the file shows no
reason for it.",
        fix: "install the program elsewhere (/usr/local), or mount the place
with `exec`.",
    },
];
