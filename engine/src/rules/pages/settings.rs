//! 0316 to 0329 and 0509 to 0519: settings of the process, and what makes them void; what fails on purpose.

use super::{
    Page,
    Starter::{Anyone, Root},
};

pub(super) const PRIVILEGE: &[Page] = &[
    Page {
        code: "RSD0316",
        title: "capabilities are given, and the drop takes them away",
        story: "
A process that leaves uid 0 for good loses its permitted, effective and ambient
capabilities (capabilities(7), \"Effect of user ID changes on capabilities\"),
and rsd clears the inheritable ones with them (CVE-2022-24769). With keepcaps
the permitted set stays; the ambient set, the only one that a program gets
which is no root's, is cleared all the same. So what the daemon is to have is
kept by the drop itself: keepcaps, setresuid, then the sets, then keepcaps off.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  grant: { kind: capabilities, with: { ambient: [cap_net_bind_service] } }
order: [grant, switchUidGid]",
        args: &["--spec", "spec.yaml", "--uid", "nobody"],
        starter: Root,
        failure: "no call fails. CapAmb in /proc/PID/status of the program
is 0, and its bind(2) of port 80 answers EACCES.",
        fix: "name them where the drop is:
  switchUidGid: { with: { capabilities: [cap_net_bind_service] } }",
    },
    Page {
        code: "RSD0317",
        title: "a process is confined that could still gain privileges",
        story: "
seccomp(2) and landlock(7) take something away, and what is taken away stays so
over execve(2). If the program that is executed then were set-id, a program of
root's would run with half its system calls denied, and that is a way to make it
do what its author never tried (sendmail's bug of 2000, where setuid(2) failed
and nobody looked). So the kernel wants one of two: no_new_privs, after which no
program gains anything, or cap_sys_admin. A program's own confinement is put on
when it is started: what holds then is what counts.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  calls: { kind: system-calls, with: { deny: '@mount' } }
order: [switchUidGid, calls, startApplication]",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--", "sleep", "60"],
        starter: Root,
        failure: "seccomp(2) answers EACCES, landlock_restrict_self(2) EPERM,
and the start is given up.",
        fix: "put a phase of kind `no-new-privileges` before it.",
    },
    Page {
        code: "RSD0318",
        title: "a phase needs what an earlier one has taken away",
        story: "
A filter of system calls or Landlock is on, and a later phase needs a system
call, a file or a port that was not left to the process. Of a filter the check
knows what each phase may need: a table of the system calls that rsd makes for
every effect. Of a program it knows that it must be executed: execve(2), its
file, the interpreter of a script, the dynamic loader. What else a program
needs it does not know; `otherwise: log` lets it through and shows it in the
kernel's log.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  calls: { kind: system-calls, with: { who: daemon, deny: '@setuid' } }
order: [calls, switchUidGid]",
        args: &["--spec", "spec.yaml", "--uid", "nobody"],
        starter: Root,
        failure: "setgroups(2) answers EPERM; with `otherwise: kill` SIGSYS
ends the process. A file that is out of reach answers EACCES.",
        fix: "put the phase before the one that confines, leave it what it
needs, or confine the program alone (`who: program`).",
    },
];

pub(super) const PROCESS: &[Page] = &[
    Page {
        code: "RSD0509",
        title: "the environment is changed after the application has read it",
        story: "
A Twisted application runs in this very process. Python copies the environment
when it begins (os.environ), which is when the application is read. What is set
or taken away later it does not see: a secret of the caller's stays where its
code finds it, and PATH and HOME are the caller's.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  environment: { kind: environment, needs: [readTacFile] }",
        args: &["--spec", "spec.yaml", "--python", "/etc/passwd"],
        starter: Anyone,
        failure: "no call fails. os.environ of the application holds what the
caller's environment held.",
        fix: "put the phase before the one that loads the application. For a
program (`-- COMMAND`) the order of the two does not matter.",
    },
    Page {
        code: "RSD0510",
        title: "a setting comes after the program was started",
        story: "
Settings of a process (limits, the nice value, no_new_privs, capabilities …)
are inherited by what it starts from then on. A program that runs already keeps
what it has: only rsd's keeper would be limited.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  limits: { kind: limits, with: { nofile: 99 } }
order: [startApplication, limits]",
        args: &["--spec", "spec.yaml", "--", "sleep", "60"],
        starter: Anyone,
        failure: "no call fails. /proc/PID/limits of the program shows the
limits of the caller.",
        fix: "put the phase before the one that starts the application.",
    },
    Page {
        code: "RSD0511",
        title: "a set-id program that gets no other id",
        story: "
no_new_privs tells the kernel that execve(2) may not give privileges: set-id
bits and file capabilities are without effect from then on, for the program and
for all that it runs (prctl(2), PR_SET_NO_NEW_PRIVS). Most daemons need neither.
One that is itself set-id, or that runs sudo, su or ping, does not work as
before.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  noNewPrivileges: { kind: no-new-privileges }
order: [switchUidGid, noNewPrivileges, startApplication]",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--", "su"],
        starter: Root,
        failure: "no call fails. The program runs as the daemon's user; what it
needs its owner's id for answers EPERM or EACCES.",
        fix: "let the daemon have what it needs itself, as a user, a group or
kept capabilities; or leave that phase away for this program.",
    },
    Page {
        code: "RSD0512",
        title: "a phase fails on purpose",
        story: "
A phase of kind `fail` is there to be seen failing: what a start leaves behind
that fails at this point, what it says, what your monitoring makes of it. It is
a warning and no error, because that is the plan which is to be run: with
`--unchecked` it would be another one. `--deny warnings` refuses it, so that
none is forgotten.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  full: { kind: fail, with: { errno: ENOSPC } }
order: [openPIDFile, full]",
        args: &["--spec", "spec.yaml", "--", "sleep", "60"],
        starter: Anyone,
        failure: "the start fails there with that error, everything done so far
is taken back, and the exit status is 1.",
        fix: "take the phase away, or run with `--skip full`.",
    },
];
