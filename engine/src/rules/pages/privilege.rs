//! 03xx: privilege.

use super::{
    Page,
    Starter::{Anyone, Root, User},
};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0301",
        title: "a privilege is asked for that is gone by then",
        story: "
The phase does something for which the kernel asks a capability, and by then
the process has dropped it. setresuid(2) from 0 to another id clears the
effective, permitted and ambient sets (capabilities(7)), and nothing brings
them back. Also given where privilege and needs contradict each other: a phase
that must precede the drop needs one that must follow it.",
        spec: "
rsd: 1
name: demo
extends: twistd
order: [switchUidGid, chroot, chdir]",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--chroot", "/usr"],
        starter: Root,
        failure: "chroot(2) answers EPERM. twistd's own order has it right: a
starter that drops first would run the daemon outside its jail, if it did not
look at what the call returned.",
        fix: "put the phase before the drop. `rsd plan` shows who the process is
at every step.",
    },
    Page {
        code: "RSD0302",
        title: "a privilege is asked for that this start does not have",
        story: "
The phase does something for which the kernel asks a capability, and the
process did not have it when it was started: an ordinary user, or root in a
container from which the capability was taken. No order can mend that. If all
errors are of this sort, `rsd run` exits with 4, not with 6.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "65533", "--gid", "65533"],
        starter: User,
        failure: "setgroups(2) and setresuid(2) answer EPERM.",
        fix: "start it as root, give the container the capability
(--cap-add), or leave the option out: without --uid there is no drop.",
    },
    Page {
        code: "RSD0303",
        title: "root is demanded, and this start is not root",
        story: "
The phase declares `privilege: root`, so its author wants uid 0 and nothing
less. `privileged` asks only for what the start has, and precedes the drop in
the same way.",
        spec: "
rsd: 1
name: demo
phases:
  load:  { kind: load-application }
  ports:
    kind: privileged-start
    privilege: root
    with: { listen: 'tcp:127.0.0.1:80' }
  serve: { kind: serve, needs: [load, ports] }",
        args: &["--spec", "spec.yaml"],
        starter: User,
        failure: "it is the author's rule, and what fails is what the author
had in mind: here bind(2) answers EACCES.",
        fix: "start it as root, or declare `privileged`.",
    },
    Page {
        code: "RSD0304",
        title: "privileges are dropped more than once",
        story: "
Two phases change the user away from the one that started it. The first drop
takes the right to make the second away. It works only where the second is in
truth no change, and then it says something that is not so.",
        spec: "
rsd: 1
name: demo
phases:
  drop:      { kind: switch-user, with: { uid: nobody } }
  dropAgain: { kind: switch-user, needs: [drop], with: { uid: daemon } }
  serve:     { kind: serve, needs: [dropAgain] }",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "the second setresuid(2) answers EPERM, and the start is given
up.",
        fix: "keep one, or give both conditions that exclude each other.",
    },
    Page {
        code: "RSD0305",
        title: "the drop may fail and the start would go on",
        story: "
`on-failure: continue` at a drop: if it failed, the daemon would run as root.
That setuid(2) can fail, and that programs did not look, is an old bug with
many names (vixie-cron, CVE-2006-2607; Android's adb and zygote). rsd has no
way to go on from a failed drop, `--unchecked` included.",
        spec: "
rsd: 1
name: demo
phases:
  drop:  { kind: switch-user, on-failure: continue, with: { uid: nobody } }
  serve: { kind: serve, needs: [drop] }",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "the daemon serves as root whenever the drop is refused.",
        fix: "take `on-failure` out. `retry` is allowed.",
    },
    Page {
        code: "RSD0306",
        title: "a privileged phase runs after the drop, and no guard does it",
        story: "
A phase behind `serve` is declared `privileged` or `root`, and by then the
daemon has dropped. With a guard (kind `keep-guard`) such a phase runs in a
process that was forked before the drop; without one it runs in the daemon,
with what the daemon still has. On this machine that happens to suffice.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  openPIDFile:   { with: { owner: dropped } }
  removePIDFile: { privilege: privileged }",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--pidfile", "/tmp/demo.pid"],
        starter: Root,
        failure: "none here, because the file is given to the user. With a file
of root's, unlink(2) would answer EACCES or, in /tmp, EPERM.",
        fix: "add `keepGuard: { kind: keep-guard }`, or declare what the phase
really asks.",
    },
    Page {
        code: "RSD0307",
        title: "the phase that drops privileges is skipped",
        story: "
A user was asked for, and `--skip` takes away the phase that would become that
user. Everything behind it, the application's own code first, would run with
the credential of the start: as root, where root started it.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--skip", "switchUidGid"],
        starter: Root,
        failure: "none that the kernel reports: the daemon comes up as uid 0.",
        fix: "leave `--uid` and `--gid` away if the daemon is meant to keep the
starting credential; otherwise do not skip the phase.",
    },
    Page {
        code: "RSD0308",
        title: "the drop can be taken back",
        story: "
`effective: true` (twistd's `--euid`) sets the effective ids and leaves the
real and the saved ones at root. That hides root from a mistake, not from an
attacker: seteuid(0) is allowed to whoever has a real or saved uid of 0
(setresuid(2)), and the effective capabilities come back with it. A program
that is started inherits the real uid. CVE-2006-2607 and the ping of many
systems were drops of this half kind.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--euid"],
        starter: Root,
        failure: "no call fails, and that is the failure: in the daemon
seteuid(0) answers 0, and the process is root again.",
        fix: "leave `--euid` away. What needs root later belongs to the phases
before the drop, or to a guard (kind `keep-guard`).",
    },
    Page {
        code: "RSD0309",
        title: "a user that the application names cannot be set",
        story: "
A Twisted application may say in its TAC whom it is to run as:
`Application(name, uid=, gid=)`. That is known only once it is loaded. If the
phase that switches the user comes before that, or there is none, the user
could not be set any more. At check time this is a note, because most
applications name nobody. When one does, the phase that loads it fails with
this code, and nothing of it is started.",
        spec: "
rsd: 1
name: demo
phases:
  drop:  { kind: switch-user }
  load:  { kind: load-application, needs: [drop], with: { tac: demo.tac } }
  serve: { kind: serve, needs: [load] }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "none that the kernel reports: twistd would run it as the user
it was started with. rsd ends the start in the phase that loads, exit code 1.",
        fix: "let the phase that switches the user follow the one that loads,
or name the user in the spec: `--uid`.",
    },
    Page {
        code: "RSD0310",
        title: "the order is right only by the place in the file",
        story: "
Two phases touch the same state (the credential, the root, the umask, a file),
one of them changes it, and no need, privilege or `order` says which is first:
the place in the file decides. Both orders were played. A warning: the other
one is wrong, so that whoever moves a line breaks the daemon. A note: both
work, and something comes out otherwise that no other finding speaks of. Every
order that the plan allows is tried this way, up to a bound; where it is
reached, this code says so.",
        spec: "
rsd: 1
name: demo
phases:
  fork:   { kind: daemonize }
  chroot: { kind: chroot, with: { path: /usr } }
  chdir:  { kind: chdir, with: { path: / } }
  load:   { kind: load-application }
  port:   { kind: privileged-start, needs: [load],
            with: { listen: 'tcp:127.0.0.1:8700' } }
  start:  { kind: start-application, needs: [fork, port, chroot, chdir] }
  serve:  { kind: serve, needs: [start] }",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "none in this order. With the two lines exchanged the daemon's
working directory stays outside its root, and it can walk out (RSD0502).",
        fix: "write what is meant: `needs: [chroot]` on `chdir`, or an `order`
that names both. `rsd plan --why A B` tells what orders two phases.",
    },
    Page {
        code: "RSD0311",
        title: "a phase needs more capabilities than it declares",
        story: "
The phase declares a list of capabilities, and what it does needs others, too.
It was played once more by a process that has those on the list and no more.
It works here, because this start has them all; it is the list that is not
true, and it is what an operator gives to a container or a service.",
        spec: "
rsd: 1
name: demo
phases:
  drop: { kind: switch-user, privilege: [cap_setuid],
          with: { uid: nobody } }",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "started with the capabilities on the list and no other,
setgroups(2) answers EPERM: it asks for cap_setgid.",
        fix: "write the whole list, or `privileged`.",
    },
    Page {
        code: "RSD0312",
        title: "root is demanded where nothing needs it",
        story: "
The phase declares `privilege: root`, and every effect of it succeeds for the
user who will serve (or for an ordinary one) without any capability. The line
keeps others from starting the daemon, and has more done as root than must be.",
        spec: "
rsd: 1
name: demo
phases:
  port: { kind: privileged-start, privilege: root,
          with: { listen: 'tcp:127.0.0.1:8700' } }",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "an ordinary user is refused (RSD0303), although bind(2) to
this port would succeed.",
        fix: "leave the line away; `privileged` where it is to precede the drop.",
    },
    Page {
        code: "RSD0313",
        title: "the drop keeps capabilities, or the group of root",
        story: "
setresuid(2) clears the capabilities of a process that leaves uid 0, and of no
other (capabilities(7)). A start as an ordinary user with capabilities (file
or ambient ones) keeps them over the change of user: with cap_setuid it is
root one call later. That is an error. A note is given where group 0 stays:
ProFTPD's CVE-2024-48651 left it to every session.",
        spec: "
rsd: 1
name: demo
phases:
  load:  { kind: load-application,
           with: { command: [sh, -c,
             'cat secret; grep CapEff /proc/self/status'] } }
  drop:  { kind: switch-user, needs: [load],
           with: { uid: nobody, gid: root } }
  start: { kind: start-application, needs: [drop] }
  serve: { kind: serve, needs: [start] }",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "no call fails. The daemon can read files of mode 0640
that belong to root:root.",
        fix: "start as root, so that the drop takes all of them; name a group of
the daemon's own.",
    },
    Page {
        code: "RSD0314",
        title: "the group is given up, and the user is not",
        story: "
A group is named and no user. The process stays uid 0 and keeps every
capability, so the group means nothing: root reads and writes whatever it
likes, and setgid(0) brings the old group back.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--gid", "nogroup"],
        starter: Root,
        failure: "none: the daemon serves as uid 0.",
        fix: "name the user too: `--uid`.",
    },
    Page {
        code: "RSD0315",
        title: "nothing drops root",
        story: "
Root starts the daemon, and root is what it stays. Whoever finds a way into it
has the machine. Some daemons must be root; most are by oversight.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml"],
        starter: Root,
        failure: "none: the daemon serves as uid 0.",
        fix: "name a user (`--uid`). What needs root can be done before the drop,
or in a guard.",
    },
];
