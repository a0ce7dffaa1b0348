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
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--chroot", "/usr"],
        starter: Root,
        failure: "no call fails. getcwd(2) in the daemon answers
`(unreachable)/…`, and open(\"../etc/passwd\") may find the real one.",
        fix: "a phase of kind `chdir` that needs the chroot.",
    },
];
