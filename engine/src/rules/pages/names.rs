//! 02xx: names, needs and order.

use super::{Page, Starter::Anyone};

const SPEC: &[&str] = &["--spec", "spec.yaml"];

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0201",
        title: "a need of something that is not there",
        story: "
`needs` names a phase or a group that the spec does not have. A group stands
for every phase in it.",
        spec: "
rsd: 1
name: demo
phases:
  openLog: { kind: start-logger, with: { path: demo.log } }
  serve:   { kind: serve, needs: [openlog] }",
        args: SPEC,
        starter: Anyone,
        failure: "if the need were ignored, `serve` might come first, and the
first lines of the daemon would be lost.",
        fix: "correct the name. Upper and lower case are different.",
    },
    Page {
        code: "RSD0202",
        title: "no kind of that name",
        story: "
The kind says what a phase does. The kinds are built into rsd; the spec puts
them into an order.",
        spec: "
rsd: 1
name: demo
phases:
  drop: { kind: switch-users, with: { uid: nobody } }",
        args: SPEC,
        starter: Anyone,
        failure: "the phase would do nothing, and this one is the drop.",
        fix: "`rsd kinds` lists them.",
    },
    Page {
        code: "RSD0203",
        title: "the kind has no such parameter",
        story: "
Under `with` stands a parameter that the kind does not know. It is refused,
because a parameter that is ignored looks as if it had been obeyed.",
        spec: "
rsd: 1
name: demo
phases:
  drop: { kind: switch-user, with: { uid: nobody, grp: nogroup } }",
        args: SPEC,
        starter: Anyone,
        failure: "the group that was meant would not be set.",
        fix: "`rsd kinds switch-user` shows the parameters of that kind.",
    },
    Page {
        code: "RSD0204",
        title: "a parameter is missing",
        story: "
The kind cannot work without it. Its value may be an option that is not set
(then the phase is skipped), but it must be written.",
        spec: "
rsd: 1
name: demo
phases:
  jail: { kind: chroot }",
        args: SPEC,
        starter: Anyone,
        failure: "there would be no new root directory, and a daemon that was
meant to be in one would be outside.",
        fix: "write it under `with`.",
    },
    Page {
        code: "RSD0205",
        title: "a phase needs itself",
        story: "
`needs` names the phase itself, or a group that the phase stands in. No phase
can be done before itself.",
        spec: "
rsd: 1
name: demo
phases:
  setup:
    phases:
      umask: { kind: umask, with: { mask: '027' } }
      serve: { kind: serve, needs: [setup] }",
        args: SPEC,
        starter: Anyone,
        failure: "the start would wait for ever.",
        fix: "name the phases that are meant instead of their group.",
    },
    Page {
        code: "RSD0206",
        title: "phases wait for each other",
        story: "
The needs (with what follows from them) go round in a circle, so there is no
order in which all hold. The finding shows the whole way round, with the line
of each step.",
        spec: "
rsd: 1
name: demo
phases:
  openLog: { kind: start-logger, needs: [umask], with: { path: demo.log } }
  umask:   { kind: umask, needs: [openLog], with: { mask: '027' } }",
        args: SPEC,
        starter: Anyone,
        failure: "none of them could ever begin.",
        fix: "remove one of the needs that are shown.",
    },
    Page {
        code: "RSD0207",
        title: "a name is used twice, or stands elsewhere",
        story: "
Phases and groups share one set of names, because `needs` and `order` give no
path. In an overlay it also means that a phase is named under a group which is
not its own: an overlay changes a phase where it is and does not move it.",
        spec: "
rsd: 1
name: demo
phases:
  before: { phases: { umask: { kind: umask, with: { mask: '027' } } } }
  after:  { phases: { umask: { kind: umask, with: { mask: '022' } } } }",
        args: SPEC,
        starter: Anyone,
        failure: "`needs: [umask]` could mean either.",
        fix: "give one of them another name.",
    },
    Page {
        code: "RSD0208",
        title: "the order names what is not a phase, or names it twice",
        story: "
`order`, `--order` and `--skip` name phases. Groups cannot be put in order:
their phases can.",
        spec: "
rsd: 1
name: demo
extends: twistd
order: [switchUidGid, openPidFile]",
        args: SPEC,
        starter: Anyone,
        failure: "the order that was wanted would not be made, and nobody would
notice before the file is found with the wrong owner.",
        fix: "correct the name. `rsd plan` shows all of them.",
    },
    Page {
        code: "RSD0209",
        title: "the order contradicts needs or privilege",
        story: "
`order` refines what `needs` and `privilege` leave open. Where it says the
opposite, one of the two is wrong, and rsd does not choose: the finding shows
both places. The essay's order, for one, must not put the application's start
before the ports it is to get.",
        spec: "
rsd: 1
name: demo
extends: twistd
order: [startApplication, privilegedStartService]",
        args: SPEC,
        starter: Anyone,
        failure: "the application would be started with no socket to answer
on.",
        fix: "change the order; or, where the need is no longer true, give the
phase other `needs` in the overlay. `rsd plan --why A B` shows the reasons.",
    },
    Page {
        code: "RSD0210",
        title: "something that was taken away is still asked for",
        story: "
An overlay removes a phase with `NAME: null`, and another phase needs it, or
the overlay's own order names it.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  privilegedStartService: null",
        args: SPEC,
        starter: Anyone,
        failure: "a phase would begin without what it relies on.",
        fix: "give the phases that need it other `needs`, or keep it. To leave
a phase out of one start, use `--skip`: a skipped need counts as met.",
    },
    Page {
        code: "RSD0212",
        title: "two phases do what is done once",
        story: "
A start serves once, daemonizes once and keeps one guard. Two such phases are
fine if their conditions exclude each other.",
        spec: "
rsd: 1
name: demo
phases:
  fork:      { kind: daemonize }
  forkAgain: { kind: daemonize, needs: [fork] }
  serve:     { kind: serve, needs: [forkAgain] }",
        args: SPEC,
        starter: Anyone,
        failure: "the second fork leaves the process behind that the PID file
may already name, and the launcher waits for the wrong one.",
        fix: "remove one, or add `when:` to both.",
    },
    Page {
        code: "RSD0213",
        title: "there is no such user",
        story: "
The name is not in the user database of this machine, and is no number. Names
are looked up once, before anything is done: inside a new root directory the
database would be another one (OpenRC/openrc#517).",
        spec: "
rsd: 1
name: demo
phases:
  drop:  { kind: switch-user, with: { uid: no-such-user } }
  serve: { kind: serve, needs: [drop] }",
        args: SPEC,
        starter: Anyone,
        failure: "getpwnam(3) finds nothing. A starter that looks it up late
has by then bound ports and made files.",
        fix: "create the user: useradd --system NAME. A number is taken as it
is; give `gid` with it, because there is no entry to take a group from.",
    },
    Page {
        code: "RSD0214",
        title: "there is no such group",
        story: "
The name is not in the group database of this machine, and is no number. It is
looked up before anything is done.",
        spec: "
rsd: 1
name: demo
phases:
  drop:  { kind: switch-user, with: { uid: nobody, gid: no-such-group } }
  serve: { kind: serve, needs: [drop] }",
        args: SPEC,
        starter: Anyone,
        failure: "getgrnam(3) finds nothing, and a daemon that goes on keeps
gid 0: it may then write whatever root's group may.",
        fix: "create the group (groupadd --system NAME), or leave `gid` out: the
user's own group is taken.",
    },
];
