//! What is taken away: seen in /proc, and by what the running process is refused.

use crate::kernel::{self, process};
use crate::sandbox::{Needs, SVC, World, eventually, test};
use nix::sys::signal::Signal;
use std::fs;

/// What a program under a filter gets for an answer, told in its log.
const PROBE: &str = "import ctypes, mmap, os, socket, sys, time
c = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    c.syscall.restype = ctypes.c_long
    done = c.syscall(*[ctypes.c_long(n) for n in numbers])
    return 'ok' if done >= 0 else os.strerror(ctypes.get_errno())
def tried(name, what):
    try:
        what()
        print(name, 'ok')
    except OSError as error:
        print(name, error.strerror)
tried('mkdir', lambda: os.mkdir('logs/made'))
tried('open', lambda: open('/etc/passwd').close())
tried('inet', lambda: socket.socket(socket.AF_INET))
tried('setuid', lambda: os.setuid(os.getuid()))
ARCHITECTURE
print('end', flush=True)
time.sleep(600)
";

/// System calls by number: ptrace, one of x32, one that nobody has, and one of i386 in a child.
const X86: &str = "print('ptrace', call(101, 0, 0, 0, 0))
print('x32', call(0x40000000 + 39))
print('unknown', call(9999))
sys.stdout.flush()
child = os.fork()
if child == 0:
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
    at = ctypes.addressof(ctypes.c_char.from_buffer(code))
    ctypes.CFUNCTYPE(ctypes.c_int)(at)()
    os._exit(0)
print('i386', os.WIFSIGNALED(os.waitpid(child, 0)[1]))
";

/// Starts the probe with these phases more and waits until it has told everything: its process, the keeper's,
/// and what it told.
fn probed(world: &World, probe: &str, phases: &str, order: &str) -> (i32, i32, String) {
    let text = format!(
        "rsd: 1\nname: demo\nextends: twistd\nphases:\n  startLogger: {{ with: {{ owner: dropped }} }}\n{phases}order: [{order}]\n"
    );
    world.file("spec.yaml", &text, 0o644);
    world.file("probe.py", probe, 0o644);
    world.directory("logs", SVC, 0o755);
    let line = ["run", "--spec", "spec.yaml", "--uid", "svc", "--logfile", "logs/t.log", "--"];
    world.fine(&[&line[..], &["/usr/bin/python3", "probe.py"]].concat());
    let told = eventually("the probe has told everything", || {
        fs::read_to_string(world.path("logs/t.log")).ok().filter(|t| t.contains("end\n"))
    });
    let program = *kernel::running("/usr/bin/python3 probe.py").first().expect("it runs");
    (program, world.pid("twistd.pid"), told)
}

fn probe() -> String {
    PROBE.replace("ARCHITECTURE", if cfg!(target_arch = "x86_64") { X86 } else { "" })
}

fn filters(pid: i32) -> (String, String) {
    let process = process(pid);
    (process.field("Seccomp").to_owned(), process.field("Seccomp_filters").to_owned())
}

fn are(mode: &str, count: &str) -> (String, String) {
    (mode.to_owned(), count.to_owned())
}

#[test]
fn a_filter_is_the_programs_and_not_its_keepers() {
    test("confine::a_filter_is_the_programs_and_not_its_keepers", Needs::Root, |world| {
        let phases = "  locked: { kind: no-new-privileges }\n  \
                      calls: { kind: system-calls, with: { allow: '@system-service', deny: [mkdir, mkdirat, socket, '@setuid'] } }\n";
        let order = "switchUidGid, locked, calls, startApplication";
        let (program, keeper, told) = probed(world, &probe(), phases, order);
        assert_eq!(filters(program), are("2", "1"));
        assert_eq!(filters(keeper), are("0", "0"));
        let mut expected = "mkdir Operation not permitted\nopen ok\ninet Operation not permitted\n\
                            setuid Operation not permitted\n"
            .to_owned();
        if cfg!(target_arch = "x86_64") {
            expected += "ptrace Operation not permitted\nx32 Function not implemented\n\
                         unknown Function not implemented\ni386 True\n";
        }
        assert_eq!(told, format!("{expected}end\n"));
        // What the keeper does is more than its program may: a log is rotated.
        kernel::kill(keeper, Signal::SIGUSR1);
        eventually("the log was rotated", || world.path("logs/t.log.1").exists().then_some(()));
        world.fine(&["stop", "--spec", "spec.yaml"]);
    });
}

/// Without a filter the same probe gets what it asks for: it is the filter that is seen above.
#[test]
fn without_a_filter_nothing_is_denied() {
    test("confine::without_a_filter_nothing_is_denied", Needs::Root, |world| {
        let probe = PROBE.replace("ARCHITECTURE", "");
        let (program, _, told) =
            probed(world, &probe, "  locked: { kind: no-new-privileges }\n", "locked, startApplication");
        assert_eq!(filters(program), are("0", "0"));
        assert_eq!(told, "mkdir ok\nopen ok\ninet ok\nsetuid ok\nend\n");
        world.fine(&["stop", "--spec", "spec.yaml"]);
    });
}

/// Everything that a keeper does it can do under the filter that the check finds nothing wrong with, and a
/// filter that kills shows that by its life.
#[test]
fn a_keeper_lives_under_its_own_filter() {
    test("confine::a_keeper_lives_under_its_own_filter", Needs::Root, |world| {
        let phases = "  locked: { kind: no-new-privileges }\n  \
                      calls: { kind: system-calls, with: { who: daemon, allow: '@system-service', deny: '@chown', otherwise: kill } }\n  \
                      startLogger: { with: { owner: dropped } }\n";
        let spec = format!(
            "rsd: 1\nname: demo\nextends: twistd\nphases:\n{phases}order: [switchUidGid, locked, calls, startApplication]\n"
        );
        let refused = world.file("refused.yaml", &spec, 0o644);
        world.directory("logs", SVC, 0o755);
        let files = ["--pidfile", "logs/t.pid", "--logfile", "logs/t.log"];
        let line = [&["--uid", "svc"], &files[..], &["--", "sleep", "1060"]].concat();
        let checked = world.rsd(&[&["check", "--spec", "refused.yaml"], &line[..]].concat());
        assert_eq!(checked.code, 6, "a rotation gives the new log away: {checked:?} {refused:?}");
        assert!(checked.err.contains("RSD0318") && checked.err.contains("fchown"), "{checked:?}");
        world.file("spec.yaml", &spec.replace(", deny: '@chown'", ""), 0o644);
        let checked = world.rsd(&[&["check", "--spec", "spec.yaml"], &line[..]].concat());
        assert_eq!(checked.code, 0, "{checked:?}");
        world.fine(&[&["run", "--spec", "spec.yaml"], &line[..]].concat());
        let program = eventually("it sleeps", || kernel::running("sleep 1060").first().copied());
        let keeper = world.pid("logs/t.pid");
        assert_eq!(filters(keeper), are("2", "1"));
        assert_eq!(filters(program), are("2", "1"));
        kernel::kill(keeper, Signal::SIGUSR1);
        eventually("the log was rotated", || world.path("logs/t.log.1").exists().then_some(()));
        world.fine(&["status", "--spec", "spec.yaml", "--pidfile", "logs/t.pid"]);
        world.fine(&["stop", "--spec", "spec.yaml", "--pidfile", "logs/t.pid"]);
        assert!(!world.path("logs/t.pid").exists());
        let timeline = world.timeline(None);
        let spans = timeline["spans"].as_array().expect("spans");
        let calls = spans.iter().find(|s| s["phase"] == "calls").expect("the phase");
        assert_eq!(calls["identity_before"]["seccomp"], serde_json::Value::Null);
        assert_eq!(calls["identity_after"]["seccomp"], true);
    });
}

#[test]
fn a_program_that_does_what_it_may_not_is_killed() {
    test("confine::a_program_that_does_what_it_may_not_is_killed", Needs::Root, |world| {
        let spec = "rsd: 1\nname: demo\nextends: twistd\nphases:\n  \
                    calls: { kind: system-calls, with: { deny: [mkdir, mkdirat], otherwise: kill } }\n\
                    order: [calls, switchUidGid, startApplication]\n";
        world.directory("logs", SVC, 0o755);
        // The filter is prepared as root and put on behind the drop, where nothing allows it any more.
        world.file("spec.yaml", spec, 0o644);
        let line = ["--spec", "spec.yaml", "--uid", "svc", "--pidfile=", "--nodaemon", "--logfile=", "--"];
        let run = |verb: &[&str]| world.rsd(&[verb, &line[..], &["mkdir", "logs/made"]].concat());
        let checked = run(&["check"]);
        assert!(checked.code == 6 && checked.err.contains("RSD0317"), "{checked:?}");
        let ran = run(&["run", "--unchecked"]);
        assert!(ran.code == 1 && ran.err.contains("confine it: Permission denied"), "{ran:?}");
        world.file(
            "spec.yaml",
            &spec
                .replace("phases:\n", "phases:\n  locked: { kind: no-new-privileges }\n")
                .replace("[calls, ", "[locked, calls, "),
            0o644,
        );
        let ran = run(&["run"]);
        assert_eq!(ran.code, 128 + 31, "SIGSYS: {ran:?}");
        assert!(!world.path("logs/made").exists());
    });
}

/// What is hosted in this very process is confined with it.
#[test]
fn what_is_built_in_is_confined_with_its_process() {
    test("confine::what_is_built_in_is_confined_with_its_process", Needs::Root, |world| {
        let spec = "rsd: 1\nname: demo\nextends: twistd\nphases:\n  locked: { kind: no-new-privileges }\n  \
                    calls: { kind: system-calls, with: { allow: '@system-service', otherwise: kill } }\n  \
                    files: { kind: landlock, with: { read: /proc, write: . } }\n\
                    order: [switchUidGid, locked, calls, files, startApplication]\n";
        world.file("spec.yaml", spec, 0o644);
        world.fine(&["run", "--spec", "spec.yaml", "--uid", "svc"]);
        let daemon = world.pid("twistd.pid");
        assert_eq!(filters(daemon), are("2", "1"));
        process(daemon).is(SVC, SVC, &[SVC, crate::sandbox::EXTRA]);
        world.fine(&["stop", "--spec", "spec.yaml"]);
    });
}

/// What is left to a program and what is not, files and ports.
const FILES: &str = "import os, socket, subprocess, time
def tried(name, what):
    try:
        what()
        print(name, 'ok')
    except OSError as error:
        print(name, error.strerror)
def port(number, how, family=socket.AF_INET, protocol=0):
    def act():
        with socket.socket(family, socket.SOCK_STREAM, protocol) as s:
            getattr(s, how)(('127.0.0.1', number))
    return act
tried('read below /etc', lambda: open('/etc/passwd').close())
tried('list /', lambda: os.listdir('/'))
tried('write below /etc', lambda: open('/etc/made', 'w').close())
tried('make', lambda: open('own/a', 'w').close())
tried('rename', lambda: os.rename('own/a', 'own/b'))
tried('rename away', lambda: os.rename('own/b', 'other/b'))
tried('truncate', lambda: os.truncate('own/b', 0))
tried('execute what it made', lambda: (os.chmod('own/b', 0o755), subprocess.run(['own/b'])))
tried('execute', lambda: subprocess.run(['/usr/bin/true'], check=True))
tried('remove', lambda: os.unlink('own/b'))
tried('read its log', lambda: open('logs/t.log').close())
tried('bind 8081', port(8081, 'bind'))
tried('bind 8082', port(8082, 'bind'))
tried('bind 8082 by MPTCP', lambda: port(8082, 'bind', protocol=262)())
tried('bind 8082 by SMC', lambda: port(8082, 'bind', family=43)())
tried('connect 8083', port(8083, 'connect'))
tried('connect 8084', port(8084, 'connect'))
print('end', flush=True)
time.sleep(600)
";

#[test]
fn landlock_leaves_what_is_listed() {
    const NAME: &str = "confine::landlock_leaves_what_is_listed";
    test(NAME, Needs::Root, |world| {
        if phases::sys::landlock::version() < 4 {
            return crate::sandbox::skip(NAME, "this kernel has no Landlock for ports");
        }
        world.directory("own", SVC, 0o755);
        world.directory("other", SVC, 0o755);
        let with = "execute: [/usr, /lib, /lib64], read: [/etc, probe.py], write: [own, /dev/null], bind: 8081, connect: 8083";
        let phases = format!(
            "  locked: {{ kind: no-new-privileges }}\n  files: {{ kind: landlock, with: {{ {with} }} }}\n"
        );
        let order = "switchUidGid, locked, files, startApplication";
        let (_, keeper, told) = probed(world, FILES, &phases, order);
        let expected = [
            ("read below /etc", "ok"),
            ("list /", "Permission denied"),
            ("write below /etc", "Permission denied"),
            ("make", "ok"),
            ("rename", "ok"),
            ("rename away", "Permission denied"),
            ("truncate", "ok"),
            ("execute what it made", "Permission denied"),
            ("execute", "ok"),
            ("remove", "ok"),
            ("read its log", "Permission denied"),
            ("bind 8081", "ok"),
            ("bind 8082", "Permission denied"),
            ("bind 8082 by MPTCP", "Protocol not supported"),
            ("bind 8082 by SMC", "Protocol not supported"),
            ("connect 8083", "Connection refused"),
            ("connect 8084", "Permission denied"),
        ];
        let expected: String = expected.iter().map(|(what, how)| format!("{what} {how}\n")).collect();
        assert_eq!(told, format!("{expected}end\n"));
        kernel::kill(keeper, Signal::SIGUSR1);
        eventually("the keeper rotated the log", || world.path("logs/t.log.1").exists().then_some(()));
        world.fine(&["stop", "--spec", "spec.yaml"]);
    });
}

/// What the check says of files that are out of reach is what happens.
#[test]
fn what_is_out_of_reach_is_refused_and_fails() {
    const NAME: &str = "confine::what_is_out_of_reach_is_refused_and_fails";
    test(NAME, Needs::Root, |world| {
        if phases::sys::landlock::version() < 3 {
            return crate::sandbox::skip(NAME, "this kernel has no Landlock");
        }
        world.file("script", "#!/bin/sh\nexit 0\n", 0o755);
        let script = world.text("script");
        let all = "execute: [/usr, /lib, /lib64]";
        for (with, order, program, phase) in [
            ("execute: /etc, read: /usr", "files, startApplication", "/usr/bin/sleep", "startApplication"),
            (&format!("{all}, who: daemon"), "files, startApplication", script.as_str(), "startApplication"),
            ("execute: [script]", "files, startApplication", script.as_str(), "startApplication"),
            (
                &format!("{all}, write: /tmp, who: daemon"),
                "files, openPIDFile",
                "/usr/bin/sleep",
                "openPIDFile",
            ),
            (
                &format!("{all}, write: /tmp, who: daemon"),
                "files, startLogger",
                "/usr/bin/sleep",
                "startLogger",
            ),
            (&format!("{all}, write: /nowhere"), "files, startApplication", "/usr/bin/sleep", "files"),
        ] {
            let spec = format!(
                "rsd: 1\nname: demo\nextends: twistd\nphases:\n  files: {{ kind: landlock, with: {{ {with} }} }}\norder: [{order}]\n"
            );
            world.file("spec.yaml", &spec, 0o644);
            let log = if phase == "startLogger" { "--logfile=made.log" } else { "--logfile=" };
            let line = ["--spec", "spec.yaml", "--nodaemon", log, "--", program, "1061"];
            let checked = world.rsd(&[&["check"], &line[..]].concat());
            assert_eq!(checked.code, 6, "{with}: {checked:?}");
            let ran = world.rsd(&[&["run", "--unchecked"], &line[..]].concat());
            assert_eq!(ran.code, 1, "{with}: {ran:?}");
            assert!(ran.err.contains(&format!("{phase} failed")), "{with}: {ran:?}");
            let why = if with.contains("nowhere") { "No such file" } else { "Permission denied" };
            assert!(ran.err.contains(why), "{with}: {ran:?}");
        }
    });
}

/// `rsd run --spec daemon` with both, as it is typed.
#[test]
fn any_program_by_options() {
    const NAME: &str = "confine::any_program_by_options";
    test(NAME, Needs::Root, |world| {
        let mut line = vec![
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile",
            "/mnt/work/d.pid",
            "--logfile",
            "/mnt/work/log/d.log",
        ];
        line.extend(["--system-calls", "@system-service", "--deny-system-calls", "@network-io"]);
        let files = phases::sys::landlock::version() >= 3;
        if files {
            for (option, path) in [
                ("execute", "/usr"),
                ("execute", "/lib"),
                ("execute", "/lib64"),
                ("read", "/etc"),
                ("write", "/tmp"),
            ] {
                line.extend([
                    ["--landlock-read", "--landlock-write", "--landlock-execute"]
                        [["read", "write", "execute"].iter().position(|o| *o == option).expect("one")],
                    path,
                ]);
            }
        }
        line.extend(["--", "/usr/bin/python3", "-c"]);
        let text = "import os, socket, time\n\
                    for what in (lambda: socket.socket(), lambda: os.listdir('/var')):\n    \
                        try: what(); print('ok')\n    \
                        except OSError as e: print(e.strerror)\n\
                    print('end', flush=True); time.sleep(1062)\n";
        line.push(text);
        let checked = world.rsd(&[&["check"], &line[..]].concat());
        assert_eq!((checked.code, checked.err.contains("RSD")), (0, false), "{checked:?}");
        world.fine(&[&["run"], &line[..]].concat());
        let told = eventually("it told", || {
            fs::read_to_string("/mnt/work/log/d.log").ok().filter(|t| t.ends_with("end\n"))
        });
        assert_eq!(
            told,
            format!("Operation not permitted\n{}\nend\n", if files { "Permission denied" } else { "ok" })
        );
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "/mnt/work/d.pid"]);
    });
}
