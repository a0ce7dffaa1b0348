//! Programs as applications.

use super::world::{Daemon, Setup, become_nobody, command, eventually, finished, root, sh, tcp};
use super::{Skipped, Test};
use engine::effect::{Program, Starting};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use phases::application::program;
use std::fs::{self, read_to_string};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("command_exit_status_is_passed_on", status),
    ("command_output_goes_to_the_log", output),
    ("command_starts_clean", clean),
    ("command_gets_its_sockets", sockets),
    ("command_accepts_on_descriptor_3", accepts),
    ("command_that_is_not_there_is_refused_at_load", missing),
    ("command_that_cannot_be_executed_says_why", denied),
    ("command_is_found_inside_another_root", inside),
    ("command_is_told_to_stop", stopped),
    ("command_that_does_not_stop_is_killed", killed),
    ("command_hup_and_usr1", log_signals),
    ("command_without_log_gets_usr1", no_log),
    ("command_grandchild_does_not_hold_the_end_up", grandchild),
    ("command_ends_with_its_keeper", orphaned),
    ("command_that_is_traced_does_not_spin_its_keeper", traced),
    ("command_keeper_sleeps_while_nothing_happens", idle),
    ("command_talks_a_lot", flood),
    ("command_and_tac_and_neither", made),
];

fn run(program: Program, log: bool) -> Daemon {
    Setup { program, log, foreground: true, ..Default::default() }.start()
}

fn status() -> Result<(), Skipped> {
    let report = run(sh("exit 7"), true).end();
    assert!(report.contains("served Served { ended: Some(Exit(7)), asked: false }"), "{report}");
    let report = run(sh("kill -9 $$"), false).end();
    assert!(report.contains("ended: Some(Signal(9)), asked: false"), "{report}");
    Ok(())
}

fn output() -> Result<(), Skipped> {
    let daemon = run(sh("echo out; echo err >&2"), true);
    daemon.end();
    assert_eq!(daemon.log(), "out\nerr\n");
    Ok(())
}

fn clean() -> Result<(), Skipped> {
    // SAFETY: the harness has one thread. A descriptor that would leak, and variables not meant for it
    unsafe {
        assert!(libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) >= 3);
        std::env::set_var("LISTEN_FDS", "4");
        std::env::set_var("NOTIFY_SOCKET", "/x");
    }
    let daemon = run(command(&["cat", "/proc/self/status"]), true);
    daemon.end();
    for zero in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(daemon.log().contains(&format!("{zero}:\t0000000000000000")), "{}", daemon.log());
    }
    let daemon = run(command(&["ls", "/proc/self/fd"]), true);
    daemon.end();
    assert_eq!(daemon.log(), "0\n1\n2\n3\n", "3 is the directory that ls reads");
    let daemon = run(sh("echo [$LISTEN_FDS$LISTEN_PID$NOTIFY_SOCKET]"), true);
    daemon.end();
    assert_eq!(daemon.log(), "[]\n");
    // SAFETY: as above
    unsafe {
        std::env::remove_var("LISTEN_FDS");
        std::env::remove_var("NOTIFY_SOCKET");
    }
    Ok(())
}

fn sockets() -> Result<(), Skipped> {
    let ((one, first), (two, _)) = (tcp(), tcp());
    let script = "echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && echo mine; ls /proc/$$/fd";
    let setup = Setup { program: sh(script), log: true, listening: vec![one, two], ..Default::default() };
    let daemon = setup.start();
    daemon.end();
    let log = daemon.log();
    assert!(log.starts_with(&format!("2 tcp-{}:tcp-", first.port())), "{log}");
    assert!(log.contains("mine\n0\n1\n2\n3\n4\n") && !log.contains("\n5\n"), "{log}");
    Ok(())
}

fn accepts() -> Result<(), Skipped> {
    if !Path::new("/usr/bin/python3").exists() {
        return Err(Skipped("there is no python3"));
    }
    let (one, address) = tcp();
    std::net::TcpListener::from(one.fd.try_clone().unwrap()).set_nonblocking(true).unwrap();
    let script =
        "import socket; s = socket.socket(fileno=3); c, _ = s.accept(); c.sendall(b'hello'); c.close()";
    let program = command(&["/usr/bin/python3", "-c", script]);
    let daemon = Setup { program, listening: vec![one], ..Default::default() }.start();
    daemon.program();
    let mut text = String::new();
    std::net::TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert!(daemon.end().contains("Exit(0)"));
    Ok(())
}

fn missing() -> Result<(), Skipped> {
    let report = run(command(&["no-such-program-here"]), false).end();
    assert!(report.contains("error Some(2) find program no-such-program-here: no such program"), "{report}");
    assert!(report.contains("searched /") && report.contains("install it"), "{report}");
    let report = run(command(&["/no/such"]), false).end();
    assert!(report.contains("error Some(2) find program /no/such: No such file"), "{report}");
    let report = run(command(&["/etc/passwd"]), false).end();
    assert!(report.contains("error Some(13)") && report.contains("its mode is 0644"), "{report}");
    let report = run(command(&["/usr"]), false).end();
    assert!(report.contains("is not a regular file"), "{report}");
    let report = run(command(&[""]), false).end();
    assert!(report.contains("its name is empty"), "{report}");
    Ok(())
}

fn denied() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let script = |name: &str, text: &str| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        command(&[&at(name)])
    };
    let report = run(script("lost", "#!/no/interpreter\n"), true).end();
    assert!(
        report.contains("error Some(2) run /") && report.contains("/no/interpreter, is not in this root"),
        "{report}"
    );
    assert!(!report.contains("started"));
    let report = run(script("garbage", "\u{1}\u{2}"), true).end();
    assert!(report.contains("error Some(8)") && report.contains("#!"), "{report}");
    if !root() {
        return Err(Skipped("only root can drop (the rest passed)"));
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let program = script("mine", "#!/bin/sh\n");
    let setup = Setup { program, before: Some(become_nobody), ..Default::default() };
    let report = setup.start().end();
    assert!(
        report.contains("error Some(13) run /")
            && report.contains("0:0 0700 and this process is 65534:65534"),
        "{report}"
    );
    // a dynamic program in an empty root
    let jail = tempfile::tempdir().unwrap();
    fs::copy("/bin/true", jail.path().join("true")).unwrap();
    let name = format!("{}/true", jail.path().display());
    let mut program = command(&["/true"]);
    program.root = Some(jail.path().to_owned());
    let before = |_: &Path| {
        let jail = std::env::var_os("TEST_JAIL").unwrap();
        nix::unistd::chroot(Path::new(&jail)).unwrap();
        nix::unistd::chdir("/").unwrap();
    };
    // SAFETY: the harness has one thread.
    unsafe { std::env::set_var("TEST_JAIL", jail.path()) };
    let report = Setup { program, before: Some(before), ..Default::default() }.start().end();
    assert!(report.contains("error Some(2) run /true") && report.contains("ld-linux"), "{name}: {report}");
    Ok(())
}

fn inside() -> Result<(), Skipped> {
    let jail = tempfile::tempdir().unwrap();
    fs::create_dir_all(jail.path().join("opt/real")).unwrap();
    fs::create_dir_all(jail.path().join("usr/bin")).unwrap();
    fs::copy("/bin/true", jail.path().join("opt/real/tool")).unwrap();
    symlink("/opt/real/tool", jail.path().join("usr/bin/tool")).unwrap();
    let find =
        |name: &str| program::find(&Program { root: Some(jail.path().to_owned()), ..command(&[name]) });
    let found = find("tool").unwrap();
    assert_eq!(found.path, Path::new("/usr/bin/tool"));
    assert!(found.notes[0].starts_with("tool is /usr/bin/tool inside /"), "{:?}", found.notes);
    assert_eq!(find("/opt/real/tool").unwrap().notes, Vec::<String>::new());
    let error = find("sh").unwrap_err();
    assert!(error.why.unwrap().contains("inside /") && error.help.unwrap().contains("put the program"));
    assert!(find("./x").unwrap_err().message.contains("outside"));
    Ok(())
}

const TRAP: &str = "; echo up; while :; do sleep 0.02; done";

fn stopped() -> Result<(), Skipped> {
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT")] {
        let daemon = run(sh(&format!("trap 'exit 3' {name}{TRAP}")), true);
        daemon.until_logged("up\n");
        daemon.signal(signal);
        let report = daemon.end();
        assert!(report.contains(&format!("signal SIG{name}: forwarded to sh")), "{report}");
        assert!(report.contains("ended: Some(Exit(3)), asked: true"), "{report}");
    }
    Ok(())
}

fn killed() -> Result<(), Skipped> {
    let daemon = run(sh(&format!("trap '' TERM{TRAP}")), true);
    daemon.until_logged("up\n");
    daemon.signal(Signal::SIGTERM);
    daemon.line("signal SIGTERM: forwarded");
    daemon.signal(Signal::SIGTERM);
    let report = daemon.end();
    assert!(report.contains("signal SIGTERM: sh killed"), "{report}");
    assert!(report.contains("ended: Some(Signal(9)), asked: true"), "{report}");
    Ok(())
}

fn log_signals() -> Result<(), Skipped> {
    let daemon = run(sh(&format!("trap 'echo hup' HUP; trap 'echo usr2' USR2{TRAP}")), true);
    daemon.until_logged("up\n");
    let (log, moved) = (daemon.log_path(), daemon.dir.path().join("logs/moved"));
    fs::rename(&log, &moved).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("hup\n");
    assert_eq!(read_to_string(&moved).unwrap(), "up\n");
    daemon.signal(Signal::SIGUSR1);
    daemon.line("signal SIGUSR1: log rotated");
    let first = daemon.dir.path().join("logs/d.log.1");
    assert_eq!(read_to_string(first).unwrap(), "hup\n");
    daemon.signal(Signal::SIGUSR2);
    daemon.until_logged("usr2\n");
    assert_eq!(daemon.log(), "usr2\n");
    daemon.signal(Signal::SIGTERM);
    let report = daemon.end();
    assert!(report.contains("signal SIGHUP: log reopened, forwarded to sh"), "{report}");
    assert!(report.contains("Some(Signal(15)), asked: true"), "{report}");
    Ok(())
}

fn no_log() -> Result<(), Skipped> {
    let ready = tempfile::NamedTempFile::new().unwrap();
    let path = ready.path().display();
    let daemon =
        run(sh(&format!("trap 'exit 5' USR1; echo up >{path}; while :; do sleep 0.02; done")), false);
    eventually("up", || fs::metadata(ready.path()).is_ok_and(|m| m.len() > 0).then_some(()));
    daemon.signal(Signal::SIGUSR1);
    let report = daemon.end();
    assert!(report.contains("Exit(5)") && report.contains("asked: false"), "{report}");
    Ok(())
}

fn grandchild() -> Result<(), Skipped> {
    let begun = Instant::now();
    let daemon = run(sh("sleep 30 & echo $!"), true);
    let report = daemon.end();
    assert!(begun.elapsed() < Duration::from_secs(10));
    let log = daemon.log();
    let sleeper: i32 = log.lines().next().and_then(|l| l.parse().ok()).expect("its number was logged");
    assert!(log.contains(&format!("left process {sleeper} running, which was ended as well")), "{log}");
    assert!(kill(Pid::from_raw(sleeper), None).is_err(), "it still runs");
    assert!(report.contains("Exit(0)"), "{report}");
    Ok(())
}

fn orphaned() -> Result<(), Skipped> {
    let flag = tempfile::NamedTempFile::new().unwrap();
    let script = format!("trap 'echo term > {}; exit' TERM{TRAP}", flag.path().display());
    let starting = Starting { orphaned: Some(libc::SIGTERM), ..Default::default() };
    let daemon =
        Setup { program: sh(&script), log: true, starting, foreground: true, ..Default::default() }.start();
    daemon.until_logged("up\n");
    daemon.signal(Signal::SIGKILL);
    finished(daemon.pid);
    eventually("the program was told", || (read_to_string(flag.path()).unwrap() == "term\n").then_some(()));
    // One that does not listen does not stay either.
    let daemon = run(sh("trap '' TERM HUP INT; echo up; while :; do sleep 1; done"), true);
    daemon.until_logged("up\n");
    let program = daemon.program();
    daemon.signal(Signal::SIGKILL);
    finished(daemon.pid);
    eventually("the program is gone", || kill(Pid::from_raw(program), None).is_err().then_some(()));
    Ok(())
}

/// The end of a program that is traced is its tracer's to see first: the keeper waits without turning round.
fn traced() -> Result<(), Skipped> {
    let daemon = run(sh("echo up; exec sleep 60"), true);
    daemon.until_logged("up\n");
    let program = daemon.program();
    // SAFETY: plain numbers.
    let seized = unsafe {
        libc::ptrace(libc::PTRACE_SEIZE, program, std::ptr::null_mut::<u8>(), std::ptr::null_mut::<u8>())
    };
    if seized != 0 {
        daemon.signal(Signal::SIGKILL);
        finished(daemon.pid);
        return Err(Skipped("ptrace(2) is not allowed"));
    }
    kill(Pid::from_raw(program), Signal::SIGKILL).unwrap();
    let state = |pid: i32| read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    eventually("it is dead", || state(program).contains(") Z ").then_some(()));
    let worked = || -> u64 {
        let stat = state(daemon.pid.as_raw());
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = worked();
    std::thread::sleep(Duration::from_millis(700));
    assert!(worked() - before < 20, "it turned round for {} ticks", worked() - before);
    let mut status = 0;
    // SAFETY: the tracer takes the status, and with that lets the parent have it.
    unsafe { libc::waitpid(program, &mut status, libc::__WALL) };
    assert!(daemon.end().contains("ended: Some(Signal(9))"), "{}", daemon.report());
    Ok(())
}

/// How often a process went to sleep so far: others taking its processor do not count.
pub fn switches(pid: Pid) -> u64 {
    let text = read_to_string(format!("/proc/{pid}/status")).unwrap();
    let count = |l: &str| {
        l.split_once(":\t")
            .filter(|(k, _)| *k == "voluntary_ctxt_switches")
            .map(|(_, v)| v.parse::<u64>().unwrap())
    };
    text.lines().filter_map(count).sum()
}

/// Waits until a process sleeps and is not woken for a while: one that wakes while nothing happens never does.
pub fn at_rest(pid: Pid) {
    eventually("it sleeps while nothing happens", || {
        let before = switches(pid);
        std::thread::sleep(Duration::from_millis(500));
        (switches(pid) == before).then_some(())
    });
}

fn idle() -> Result<(), Skipped> {
    // its output is closed early: a pipe that hung up must not spin
    let daemon = run(sh("echo up; exec >/dev/null 2>&1; exec sleep 30"), true);
    daemon.until_logged("up\n");
    at_rest(daemon.pid);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end().contains("Signal(15)"));
    Ok(())
}

fn flood() -> Result<(), Skipped> {
    let daemon = run(sh("yes 0123456789 | head -c 3000000"), true);
    daemon.end();
    assert_eq!(fs::metadata(daemon.log_path()).unwrap().len(), 3_000_000);
    Ok(())
}

fn made() -> Result<(), Skipped> {
    let tac = Program { tac: Some("x.tac".into()), ..Default::default() };
    let report = run(tac, false).end();
    let python = report.contains("load x.tac: ") || report.contains("Python");
    assert!(report.starts_with("error") && python, "{report}");
    let report = run(Program::default(), false).end();
    assert!(report.contains("--listen tcp:127.0.0.1:8707"), "{report}");
    Ok(())
}
