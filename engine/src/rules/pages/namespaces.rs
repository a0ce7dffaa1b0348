//! 0414 to 0419: what a namespace of the daemon's own takes out of reach.

use super::{Page, Starter::Root};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0414",
        title: "written where an earlier phase has made it read-only",
        story: "
A phase of kind `mounts` has made a place read-only for this daemon, and a later
one makes or writes a file below it. From then on nobody in this mount namespace
can, root neither. What was opened before is not touched by it: the log can
still be rotated, and the PID file still be removed, by the handles of their
directories, which belong to the mounts of before (mount_namespaces(7)).",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  protect: { kind: mounts, with: { read-only: [/run] } }
order: [daemonize, protect, openPIDFile]",
        args: &["--spec", "spec.yaml", "--logfile=", "--pidfile", "/run/demo.pid"],
        starter: Root,
        failure: "openat(2) answers EROFS, \"Read-only file system\".",
        fix: "put the phase before the mounts, or name its directory as an
exception under `read-write`.",
    },
    Page {
        code: "RSD0415",
        title: "bound in a network of its own",
        story: "
In a new network namespace there is the loopback device and nothing else: no
address of this machine, and nobody but the daemon and what it starts
(network_namespaces(7)). A port that is bound there is reachable for them
alone; an address that is none of the loopback device's does not exist
(EADDRNOTAVAIL). A socket stays in the namespace it was made in: bound before,
it serves the machine, and the daemon can reach nobody by itself.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  alone: { kind: namespaces, with: { network: true } }
order: [daemonize, alone, privilegedStartService]",
        args: &["--spec", "spec.yaml", "--logfile="],
        starter: Root,
        failure: "no call fails, and every client is refused (ECONNREFUSED).",
        fix: "bind first, then leave the network:
  order: [privilegedStartService, alone]",
    },
    Page {
        code: "RSD0416",
        title: "needed, and hidden by an earlier phase",
        story: "
A phase of kind `mounts` has made a place inaccessible or empty for this daemon,
or has put another in its place, and a later phase needs what was there: the
program, a directory. It is there on the machine, and not for this process.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  hide: { kind: mounts, with: { inaccessible: [/usr/bin] } }
order: [daemonize, hide, startApplication]",
        args: &["--spec", "spec.yaml", "--logfile=", "--", "/usr/bin/sleep", "60"],
        starter: Root,
        failure: "the call answers ENOENT, or EACCES to all but root.",
        fix: "leave that place away, or bind what is needed into it: a `temporary`
place with `bind-read-only` for what is to be found there.",
    },
    Page {
        code: "RSD0417",
        title: "made where nobody else sees it",
        story: "
A PID file, a log or a Unix socket is made in a directory that is this daemon's
own, such as a private /tmp. Others look for it at the same path and find
nothing: `rsd stop` and `rsd status` no PID file, a client no socket, people no
log. All of it is gone with the last process of the daemon.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  own: { kind: mounts, with: { private-tmp: true } }
order: [daemonize, own, openPIDFile]",
        args: &["--spec", "spec.yaml", "--logfile=", "--pidfile", "/tmp/demo.pid"],
        starter: Root,
        failure: "no call fails, and the file is not there for anybody else.",
        fix: "make it before the mounts: it stays in the directory that others
see; or name another place.",
    },
];
