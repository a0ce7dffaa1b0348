//! `--spec daemon` from the dirtiest caller: every cell of what a daemon program really gets is clean.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, OTHER, SVC, World, binary, done, entries, eventually, sh, test};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Groups of root's, a secret descriptor, umask 0, signals ignored and blocked, a secret and root's home in
/// the environment, niceness, and a terminal of its own to be started on.
const DIRTY: &str = "import os, pty, resource, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    secret = os.open('/etc/shadow', os.O_RDONLY)
    os.dup2(secret, 7)
    os.umask(0)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.nice(3)
    os.environ.update(SECRET='hunter2', HOME='/root', LD_LIBRARY_PATH='/mnt', PATH=os.environ['PATH'] + ':/mnt/evil')
    os.setgroups([0, 4, 27, 44])
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    said += more
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";

/// What the program tries, and may not.
const PROBE: &str = "try() { \"$@\" >/dev/null 2>&1 && echo \"could: $*\"; }
try cat /etc/shadow
try chroot / true
try chown 0:0 \"$0\"
try kill -0 1
try python3 -c 'import os; os.nice(-1)'
try mount -t tmpfs none /mnt
try python3 -c 'import os; os.setuid(0)'
try python3 -c 'import os; os.setgroups([0])'
try python3 -c 'import os; os.setresgid(0, 0, 0)'
try python3 -c 'import resource; resource.setrlimit(resource.RLIMIT_CORE, (1, 1))'
try python3 -c 'open(\"/dev/tty\")'
echo \"set-id: $(/mnt/work/set-id -u)\"
echo \"core: $(ulimit -c) $(ulimit -Hc)\"
echo end
exec sleep 1050";

fn dirty(world: &World, arguments: &[&str]) -> crate::sandbox::Out {
    done(world.command("/usr/bin/python3").args(["-c", DIRTY]).arg(binary()).args(arguments))
}

/// mount(8) keeps notes in /run, so that comes last.
fn empty_places() {
    for place in ["/var/log", "/run"] {
        sh("mount", &["-t", "tmpfs", "-o", "mode=0755", "test", place]);
    }
}

/// Processes that run the binary under test; one that goes meanwhile is none.
fn our_own() -> Vec<i32> {
    let ours = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == binary());
    kernel::all().into_iter().filter(ours).collect()
}

fn log(path: &Path) -> String {
    eventually("the probe spoke", || fs::read_to_string(path).ok().filter(|t| t.ends_with("end\n")))
}

#[test]
fn every_cell_is_clean() {
    test("daemon::every_cell_is_clean", Needs::Root, |world| {
        let directories = world.directory("var", 0, 0o755);
        empty_places();
        sh("install", &["-m", "4755", "/usr/bin/id", &world.text("set-id")]);
        world.file("probe.sh", PROBE, 0o644);
        let probe = world.text("probe.sh");
        let state = directories.join("state").display().to_string();
        let line = [
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--listen",
            "tcp:127.0.0.1:80",
            "--runtime-directory",
            "/run/app",
            "--state-directory",
            &state,
            "--",
            "sh",
            &probe,
        ];
        let checked = world.rsd(&[&["check", "--deny", "warnings"], &line[..]].concat());
        assert!(checked.code == 0 && checked.out.contains("no findings"), "{checked:?}");
        let out = dirty(world, &[&["run"], &line[..]].concat());
        assert_eq!(out.code, 0, "{out:?}");
        let logged = log(Path::new("/var/log/daemon/daemon.log"));
        assert_eq!(logged, "set-id: 4000\ncore: 0 0\nend\n");

        let keeper: i32 =
            fs::read_to_string("/run/daemon.pid").expect("it").trim().parse().expect("a number");
        let program = eventually("it sleeps", || kernel::running("sleep 1050").first().copied());
        assert_eq!(process(program).parent(), keeper);
        for pid in [program, keeper] {
            let seen = process(pid);
            seen.is(SVC, SVC, &[SVC, EXTRA]);
            seen.has_no_capability();
            assert_eq!(seen.field("CapBnd"), "0000000000000000");
            assert_eq!(seen.field("NoNewPrivs"), "1");
            assert_eq!(seen.umask(), 0o022);
            assert_eq!(seen.nice(), 0);
            assert_eq!(seen.terminal(), 0, "no terminal");
            assert_ne!(seen.session(), pid, "no session leader");
            assert_eq!(kernel::link(pid, "cwd"), Path::new("/"));
            assert_eq!(kernel::link(pid, "root"), Path::new("/"));
            for fd in seen.descriptors().into_values() {
                assert_ne!(fd, Path::new("/etc/shadow"));
            }
        }
        let seen = process(program);
        for set in ["SigBlk", "SigIgn", "SigCgt"] {
            assert_eq!(seen.signals(set), [0; 0], "{set}");
        }
        // Its loader is not done with its libraries at once.
        eventually("the socket and no other", || seen.descriptors().into_keys().eq(0..4).then_some(()));
        let mut environment = kernel::environment(program);
        environment.sort();
        let fixed = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let listen_pid = format!("LISTEN_PID={program}");
        let wanted = [
            "HOME=/mnt",
            "LISTEN_FDNAMES=tcp-80",
            "LISTEN_FDS=1",
            &listen_pid,
            "LOGNAME=svc",
            fixed,
            "SHELL=/bin/sh",
            "USER=svc",
        ];
        // The shell of the probe adds where it is.
        let own = |e: &&String| !e.starts_with("PWD=") && !e.starts_with("OLDPWD=");
        let wanted: Vec<_> =
            wanted.into_iter().filter(|e| !e.starts_with("PWD=") && !e.starts_with("OLDPWD=")).collect();
        assert_eq!(environment.iter().filter(own).collect::<Vec<_>>(), wanted);
        // Neither the keeper nor the guard shows the caller's to anybody.
        let ours = our_own();
        assert_eq!(ours.len(), 2, "keeper and guard");
        for pid in ours {
            let shown = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
            assert!(!String::from_utf8_lossy(&shown).contains("hunter2"), "of process {pid}");
            let memory = kernel::environment(pid);
            assert!(!memory.iter().any(|e| e.contains("SECRET")), "{memory:?}");
        }
        // Who owns what, and with which mode.
        let owned = |path: &str| {
            use std::os::unix::fs::MetadataExt;
            let m = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{path}: {e}"));
            (m.uid(), m.gid(), m.mode() & 0o7777)
        };
        assert_eq!(owned("/run/daemon.pid"), (0, 0, 0o644));
        assert_eq!(owned("/var/log/daemon"), (SVC, SVC, 0o755));
        assert_eq!(owned("/var/log/daemon/daemon.log"), (SVC, SVC, 0o640));
        assert_eq!(owned("/run/app"), (SVC, SVC, 0o755));
        assert_eq!(owned(&state), (SVC, SVC, 0o755));

        let stopped = world.fine(&["stop", "--spec", "daemon"]);
        assert!(stopped.err.is_empty(), "{stopped:?}");
        eventually("the guard tidied up", || entries(Path::new("/run")).is_empty().then_some(()));
        assert!(Path::new(&state).exists() && Path::new("/var/log/daemon/daemon.log").exists());
        eventually("all are gone", || our_own().is_empty().then_some(()));
    });
}

#[test]
fn what_was_asked_for_and_no_more() {
    test("daemon::what_was_asked_for_and_no_more", Needs::Root, |world| {
        empty_places();
        world.file("secrets", "TOKEN='a b'\nNAME=from the file\n", 0o600);
        let secrets = world.text("secrets");
        let line = [
            "--spec",
            "daemon",
            "--name",
            "web",
            "--user",
            "svc",
            "--groups",
            "other",
            "--capability",
            "net_bind_service",
            "--env",
            "NAME=set",
            "--env-file",
            &secrets,
            "--keep-env",
            "LC_*",
            "--umask",
            "077",
            "--rundir",
            "/tmp",
            "--limit-nofile",
            "64:128",
            "--nice",
            "5",
            "--oom-score",
            "100",
            "--",
            "sleep",
            "1051",
        ];
        world.fine(&[&["check", "--deny", "warnings"], &line[..]].concat());
        world.fine(&[&["run"], &line[..]].concat());
        let program = eventually("it sleeps", || kernel::running("sleep 1051").first().copied());
        let seen = process(program);
        seen.is(SVC, SVC, &[SVC, EXTRA, OTHER]);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(seen.field(set), "0000000000000400", "{set}");
        }
        assert_eq!((seen.umask(), seen.nice()), (0o077, 5));
        assert_eq!(kernel::link(program, "cwd"), Path::new("/tmp"));
        let environment = kernel::environment(program);
        for wanted in ["TOKEN=a b", "NAME=set", "LC_ALL=C.UTF-8", "HOME=/mnt"] {
            assert!(environment.iter().any(|e| e == wanted), "{wanted}: {environment:?}");
        }
        assert!(!environment.iter().any(|e| e.starts_with("XDG_")), "{environment:?}");
        let limits = fs::read_to_string(format!("/proc/{program}/limits")).expect("its limits");
        let files = limits.lines().find(|l| l.starts_with("Max open files")).expect("a line");
        assert_eq!(
            files.split_whitespace().collect::<Vec<_>>(),
            ["Max", "open", "files", "64", "128", "files"]
        );
        assert_eq!(fs::read_to_string(format!("/proc/{program}/oom_score_adj")).expect("it").trim(), "100");
        // A secret is not told by what is shown of a start.
        let told = world.timeline(None).to_string();
        assert!(!told.contains("a b"), "{told}");
        let planned = world.fine(&[&["plan"], &line[..]].concat()).out;
        assert!(planned.contains("read /mnt/work/secrets, set ") && !planned.contains("=set"), "{planned}");
        world.fine(&["stop", "--spec", "daemon", "--name", "web"]);
    });
}

/// Resident memory, KiB: the aim, and where nothing is optimized so much that what is not given back is seen.
const SMALL: u64 = if cfg!(debug_assertions) { 5_000 } else { 3_072 };

/// Small, and no wake-up while there is nothing to do, also after there was something.
#[test]
fn keeper_and_guard_are_small_and_still() {
    test("daemon::keeper_and_guard_are_small_and_still", Needs::Root, |world| {
        let log = world.directory("log", SVC, 0o755).join("it.log").display().to_string();
        let line = [
            "--user",
            "svc",
            "--pidfile",
            "it.pid",
            "--logfile",
            &log,
            "--log-every",
            "1h",
            "--log-age",
            "1d",
        ];
        let script = "trap 'echo again' HUP; while :; do sleep 1078; done";
        world.fine(&[&["run", "--spec", "daemon"], &line[..], &["--", "sh", "-c", script]].concat());
        let keeper = world.pid("it.pid");
        let field = |pid: i32, name: &str| -> u64 {
            let process = process(pid);
            process.field(name).split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
        };
        let ours = our_own();
        assert!(ours.len() == 2 && ours.contains(&keeper), "{ours:?}, keeper {keeper}");
        for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGUSR1] {
            kernel::kill(keeper, signal);
            for pid in &ours {
                eventually("it is small", || (field(*pid, "VmRSS") <= SMALL).then_some(()));
            }
        }
        for pid in ours {
            eventually("it is still", || {
                let before = field(pid, "voluntary_ctxt_switches");
                std::thread::sleep(Duration::from_secs(2));
                (field(pid, "voluntary_ctxt_switches") == before).then_some(())
            });
        }
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);
    });
}

/// What a start that fails has made is gone: directories, log, PID file.
#[test]
fn a_failed_start_leaves_no_directory() {
    test("daemon::a_failed_start_leaves_no_directory", Needs::Root, |world| {
        empty_places();
        world.file("not-a-program", "#!/nowhere\n", 0o755);
        let program = world.text("not-a-program");
        let line = ["--spec", "daemon", "--user", "svc", "--runtime-directory", "/run/app", "--", &program];
        let out = world.rsd(&[&["run"], &line[..]].concat());
        assert!(out.code == 6 && out.err.contains("its interpreter /nowhere"), "{out:?}");
        let out = world.rsd(&[&["run", "--unchecked"], &line[..]].concat());
        assert_eq!(out.code, 1, "{out:?}");
        assert!(out.err.contains("undone: remove /run/app"), "{out:?}");
        for place in ["/run", "/var/log"] {
            assert!(entries(Path::new(place)).is_empty(), "{place}: {:?}", entries(Path::new(place)));
        }
    });
}

/// What is there is not given away, and no link is followed.
#[test]
fn another_ones_directory_is_left_alone() {
    test("daemon::another_ones_directory_is_left_alone", Needs::Root, |world| {
        use std::os::unix::fs::MetadataExt;
        empty_places();
        let roots = world.directory("roots", 0, 0o700);
        std::os::unix::fs::symlink(&roots, world.path("link")).expect("a link");
        world.file("file", "", 0o644);
        for (name, errno) in
            [("roots", "File exists"), ("link", "symbolic links"), ("file", "Not a directory")]
        {
            let line = [
                "--spec",
                "daemon",
                "--user",
                "svc",
                "--state-directory",
                &world.text(name),
                "--",
                "sleep",
                "1052",
            ];
            let checked = world.rsd(&[&["check"], &line[..]].concat());
            assert!(
                checked.code == 6 && checked.err.contains("RSD0403") && checked.err.contains(errno),
                "{name}: {checked:?}"
            );
            let ran = world.rsd(&[&["run", "--unchecked"], &line[..]].concat());
            assert!(ran.code == 1 && ran.err.contains(errno), "{name}: {ran:?}");
        }
        let meta = fs::metadata(&roots).expect("it");
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (0, 0o700));
        assert!(entries(Path::new("/run")).is_empty() && entries(Path::new("/var/log")).is_empty());
    });
}

/// The same spec for somebody who is not root: nothing to drop, and the rest as clean.
#[test]
fn as_an_ordinary_user() {
    test("daemon::as_an_ordinary_user", Needs::Anyone, |world| {
        let mut caller = world.command("/usr/bin/env");
        let arguments = ["run", "--spec", "daemon", "--", "sleep", "1053"];
        if world.root {
            let place = world.directory("user", SVC, 0o755);
            fs::copy(binary(), place.join("rsd")).expect("a copy that the user may run");
            caller = world.command("setpriv");
            caller.args(["--reuid", "svc", "--regid", "svc", "--init-groups"]).arg(place.join("rsd"));
            caller.current_dir(&place).env("XDG_STATE_HOME", place.join(".state"));
        } else {
            caller.arg(binary());
        }
        let out = done(caller.env("SECRET", "hunter2").args(arguments));
        assert_eq!(out.code, 0, "{out:?}");
        let program = eventually("it sleeps", || kernel::running("sleep 1053").first().copied());
        let keeper = process(program).parent();
        let seen = process(program);
        seen.has_no_capability();
        assert_eq!(seen.field("NoNewPrivs"), "1");
        for pid in [program, keeper] {
            let environment = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
            assert!(!String::from_utf8_lossy(&environment).contains("hunter2"), "of {pid}");
        }
        kernel::kill(keeper, nix::sys::signal::Signal::SIGTERM);
        eventually("it is gone", || kernel::gone(keeper).then_some(()));
    });
}
