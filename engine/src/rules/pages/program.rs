//! 0520 to 0529: the program or daemon beside the order of phases.

use super::{
    Page,
    Starter::{Anyone, Root},
};

pub(super) const PAGES: &[Page] = &[
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
  load:  { kind: load-application,
           with: { command: [sh, -c, 'echo hello'] } }
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
