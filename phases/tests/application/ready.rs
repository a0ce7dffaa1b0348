//! When a program counts as ready.

use super::player::{player, say};
use super::world::{Daemon, Setup, become_nobody, eventually, root, tcp, when};
use super::{Skipped, Test};
use engine::effect::{Ready, Starting, Watchdog};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("ready_when_it_says_so", says),
    ("ready_by_a_process_below_it", below),
    ("ready_by_nobody_else", strangers),
    ("ready_as_another_user_in_another_root", elsewhere),
    ("ready_with_another_main_process", main_process),
    ("ready_never_is_a_failure", never),
    ("ready_later_with_an_extension", extended),
    ("ready_not_when_it_says_an_error", says_error),
    ("ready_not_when_it_dies", dies),
    ("ready_not_when_its_exec_kills_it", dies_in_exec),
    ("ready_by_a_newline", newline),
    ("ready_by_closing_and_living", closing),
    ("ready_by_an_answer", answers),
    ("ready_not_by_somebody_elses_answer", answered_already),
    ("ready_by_living", living),
    ("ready_by_coming_to_rest", resting),
    ("ready_not_when_it_fails_behind_its_work", failing_late),
    ("ready_when_it_never_rests", never_resting),
    ("ready_can_be_called_off", called_off),
    ("ready_waits_do_not_block_the_output", talks),
    ("watchdog_wakes_and_kills", watchdog),
    ("watchdog_is_content_with_signs", content),
];

fn start(steps: &[&str], ready: Ready, limit: u64) -> Daemon {
    Setup {
        program: player(steps),
        log: true,
        starting: when(ready),
        limit: Some(limit),
        ..Default::default()
    }
    .start()
}

fn stop(daemon: &Daemon) -> String {
    daemon.signal(Signal::SIGTERM);
    daemon.end()
}

fn says() -> Result<(), Skipped> {
    let steps =
        ["sleep:100", "say:STATUS=warming up", "say:READY=1\\nSTATUS=here", "say:STATUS=here", "stay"];
    let daemon = start(&steps, Ready::Notify, 20_000);
    let started = daemon.line("started");
    assert!(started.contains("ready by notify after "), "{started}");
    let report = stop(&daemon);
    assert!(report.contains("status warming up\nstatus here\n"), "{report}");
    assert_eq!(report.matches("status here").count(), 1, "said once: {report}");
    assert!(report.contains("served Served { ended: Some(Signal(15)), asked: true }"), "{report}");
    Ok(())
}

fn below() -> Result<(), Skipped> {
    let daemon = start(&["child:READY=1", "stay"], Ready::Notify, 20_000);
    daemon.program();
    stop(&daemon);
    Ok(())
}

fn strangers() -> Result<(), Skipped> {
    let daemon = start(&["name", "sleep:700", "say:READY=1", "stay"], Ready::Notify, 20_000);
    daemon.until_logged(">");
    let log = daemon.log();
    let name = log.split(['<', '>']).nth(1).expect("its name").to_owned();
    for _ in 0..3 {
        say(&name, "READY=1\nSTATUS=hello\nMAINPID=1");
    }
    daemon.until_logged("which is not of");
    assert!(!daemon.report().contains("started"), "{}", daemon.report());
    daemon.program();
    let report = stop(&daemon);
    assert!(!report.contains("hello"), "{report}");
    assert_eq!(daemon.log().matches("which is not of").count(), 1, "{}", daemon.log());
    Ok(())
}

fn elsewhere() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("chroot and another user need root"));
    }
    // A root without /proc: the harness and what it loads are bound into it.
    let mut setup =
        Setup { log: true, starting: when(Ready::Notify), limit: Some(20_000), ..Default::default() };
    setup.program = player(&["say:READY=1", "stay"]);
    setup.before = Some(|dir| {
        // The program's path stays what it is: only /proc is covered, as a new root would.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("unshare");
        let run = |args: &[&str]| {
            assert!(std::process::Command::new("mount").args(args).status().expect("mount").success());
        };
        run(&["--make-rprivate", "/"]);
        let _ = dir;
        run(&["-t", "tmpfs", "none", "/proc"]);
        become_nobody(dir);
    });
    let daemon = setup.start();
    daemon.program();
    let report = stop(&daemon);
    assert!(report.contains("ended: Some(Signal(15)), asked: true"), "{report}");
    Ok(())
}

fn main_process() -> Result<(), Skipped> {
    let daemon = start(&["hand-over", "exit:7"], Ready::Notify, 20_000);
    let started = daemon.line("started");
    assert!(started.contains("its main process is"), "{started}");
    let report = daemon.end();
    assert!(report.contains("served Served { ended: Some(Exit(7)), asked: false }"), "{report}");
    Ok(())
}

fn never() -> Result<(), Skipped> {
    let daemon = start(&["print:I wait", "deaf", "stay"], Ready::Notify, 300);
    let report = daemon.end();
    assert!(report.contains("it was not ready after ") && report.contains("Timeout"), "{report}");
    assert!(report.contains("READY=1 has not come"), "{report}");
    Ok(())
}

fn extended() -> Result<(), Skipped> {
    let steps = ["say:EXTEND_TIMEOUT_USEC=15000000", "sleep:4500", "say:READY=1", "stay"];
    let daemon = start(&steps, Ready::Notify, 4_000);
    daemon.program();
    let report = stop(&daemon);
    assert!(report.contains("extended\n"), "{report}");
    Ok(())
}

fn says_error() -> Result<(), Skipped> {
    let report = start(&["print:no disk", "sleep:100", "say:ERRNO=28", "stay"], Ready::Notify, 20_000).end();
    assert!(report.contains("error Some(28)") && report.contains("it says that it failed"), "{report}");
    assert!(report.contains("the last it said is: no disk"), "{report}");
    let report = start(&["say:ERRNO=28\nSTATUS=the disk is full", "stay"], Ready::Notify, 20_000).end();
    assert!(report.contains("it says: the disk is full"), "{report}");
    Ok(())
}

fn dies() -> Result<(), Skipped> {
    for ready in [
        Ready::Notify,
        Ready::Fd(5),
        Ready::Tcp("127.0.0.1:1".parse().unwrap()),
        Ready::Alive(15_000_000_000),
    ] {
        let begin = Instant::now();
        let report = start(&["print:bad configuration", "sleep:50", "exit:3"], ready.clone(), 18_000).end();
        assert!(begin.elapsed() < Duration::from_secs(12), "{ready}: noticed at once, not by the limit");
        assert!(report.contains("it exited with status 3 before it was ready"), "{ready}: {report}");
        assert!(report.contains("the last it said is: bad configuration"), "{ready}: {report}");
    }
    Ok(())
}

/// An ELF file that the kernel takes, and cannot load once there is no way back (execve(2)).
fn dies_in_exec() -> Result<(), Skipped> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Skipped("the file is one for x86-64"));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("broken");
    let mut elf = vec![0u8; 120];
    elf[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    elf[20] = 1;
    elf[32] = 64; // program headers
    elf[52..58].copy_from_slice(&[64, 0, 56, 0, 1, 0]);
    elf[64..72].copy_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, R+X
    elf[80..88].copy_from_slice(&0xffff_8000_0000_0000_u64.to_le_bytes()); // an address of the kernel's
    elf[96..104].copy_from_slice(&120u64.to_le_bytes());
    elf[104..112].copy_from_slice(&120u64.to_le_bytes());
    elf[112..120].copy_from_slice(&4096u64.to_le_bytes());
    std::fs::write(&path, elf).expect("write");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let program = super::world::command(&[path.to_str().expect("text")]);
    let starting = when(Ready::Alive(10_000_000_000));
    let report =
        Setup { program, log: true, starting, limit: Some(20_000), ..Default::default() }.start().end();
    assert!(report.contains("it was ended by SIGSEGV before it was ready"), "{report}");
    Ok(())
}

fn newline() -> Result<(), Skipped> {
    let daemon = start(
        &["write:7=half", "sleep:200", "write:7= and more\\n", "close:7", "stay"],
        Ready::Fd(7),
        20_000,
    );
    let started = daemon.line("started");
    assert!(started.contains("ready by fd:7"), "{started}");
    stop(&daemon);
    Ok(())
}

fn closing() -> Result<(), Skipped> {
    let daemon = start(&["sleep:50", "close:4", "stay"], Ready::Fd(4), 20_000);
    daemon.program();
    stop(&daemon);
    // Taken by a socket.
    let (one, _) = tcp();
    let setup = Setup {
        program: player(&["stay"]),
        starting: when(Ready::Fd(3)),
        listening: vec![one],
        ..Default::default()
    };
    let report = setup.start().end();
    assert!(report.contains("descriptor 3 is to be a socket") && report.contains("from 4 up"), "{report}");
    Ok(())
}

fn answers() -> Result<(), Skipped> {
    let (free, address) = tcp();
    drop(free);
    let listens = format!("tcp:{address}");
    let daemon = start(&["sleep:300", &listens, "stay"], Ready::Tcp(address), 20_000);
    daemon.program();
    std::net::TcpStream::connect(address).expect("it answers");
    stop(&daemon);

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let listens = format!("unix:{}", path.display());
    let daemon = start(&["sleep:300", &listens, "stay"], Ready::Unix(path.clone()), 20_000);
    daemon.program();
    std::os::unix::net::UnixStream::connect(&path).expect("it answers");
    stop(&daemon);
    Ok(())
}

fn answered_already() -> Result<(), Skipped> {
    let (other, address) = tcp();
    let report = start(&["stay"], Ready::Tcp(address), 20_000).end();
    assert!(report.contains("answers before the program is started"), "{report}");
    assert!(report.contains("another program listens there") && !report.contains("started 1"), "{report}");
    let setup = Setup {
        program: player(&["stay"]),
        starting: when(Ready::Tcp(address)),
        listening: vec![other],
        ..Default::default()
    };
    let report = setup.start().end();
    assert!(report.contains("this start has bound it"), "{report}");
    Ok(())
}

fn living() -> Result<(), Skipped> {
    let begin = Instant::now();
    let daemon = start(&["stay"], Ready::Alive(400_000_000), 20_000);
    daemon.program();
    assert!(begin.elapsed() >= Duration::from_millis(400));
    stop(&daemon);
    Ok(())
}

/// What a child does is its own doing; a tick now and then is not.
fn resting() -> Result<(), Skipped> {
    for steps in [&["work:900", "stay"][..], &["beside:900", "stay"]] {
        let begin = Instant::now();
        let daemon = start(steps, Ready::Idle(150_000_000), 20_000);
        daemon.program();
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(900), "{steps:?}: ready after {took:?}");
        let report = stop(&daemon);
        assert!(!report.contains("it was busy"), "{report}");
    }
    Ok(())
}

fn failing_late() -> Result<(), Skipped> {
    let report =
        start(&["work:900", "print:no such setting", "exit:3"], Ready::Idle(150_000_000), 20_000).end();
    assert!(report.contains("exited with status 3 before it was ready"), "{report}");
    assert!(report.contains("no such setting"), "{report}");
    Ok(())
}

fn never_resting() -> Result<(), Skipped> {
    let begin = Instant::now();
    let daemon = start(&["work:600000"], Ready::Idle(50_000_000), 20_000);
    daemon.program();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let report = stop(&daemon);
    assert!(report.contains("in which it was busy"), "{report}");
    Ok(())
}

fn called_off() -> Result<(), Skipped> {
    let daemon = start(&["print:up", "stay"], Ready::Notify, 60_000);
    daemon.until_logged("up");
    daemon.signal(Signal::SIGTERM);
    let report = daemon.end();
    assert!(report.contains("SIGTERM called it off") && report.contains("Interrupted"), "{report}");
    Ok(())
}

/// More than a pipe holds is said before it is ready.
fn talks() -> Result<(), Skipped> {
    let long = format!("print:{}", "x".repeat(120_000));
    let daemon = start(&[&long, &long, &long, "say:READY=1", "stay"], Ready::Notify, 20_000);
    daemon.program();
    eventually("all of it is logged", || (daemon.log().len() >= 360_003).then_some(()));
    stop(&daemon);
    Ok(())
}

fn guarded(steps: &[&str], every_ms: u64) -> Daemon {
    let watchdog = Some(Watchdog { every: every_ms * 1_000_000, signal: libc::SIGABRT });
    let starting = Starting { ready: Ready::Notify, watchdog, ..Default::default() };
    Setup { program: player(steps), log: true, starting, limit: Some(20_000), ..Default::default() }.start()
}

fn watchdog() -> Result<(), Skipped> {
    let report = guarded(&["say:READY=1", "stay"], 300).end();
    assert!(report.contains("gave no sign of life: SIGABRT was sent"), "{report}");
    assert!(report.contains("served Served { ended: Some(Signal(6)), asked: false }"), "{report}");
    let report = guarded(&["say:READY=1", "sleep:50", "say:WATCHDOG=trigger", "stay"], 60_000).end();
    assert!(report.contains("ended: Some(Signal(6))"), "{report}");
    Ok(())
}

fn content() -> Result<(), Skipped> {
    let alive = "say:WATCHDOG=1";
    let mut steps = vec!["say:READY=1"];
    for _ in 0..8 {
        steps.extend(["sleep:500", alive]);
    }
    steps.push("exit:0");
    let daemon = guarded(&steps, 3_000);
    let program = daemon.program();
    let report = daemon.end();
    assert!(report.contains("served Served { ended: Some(Exit(0)), asked: false }"), "{report}");
    assert!(kill(Pid::from_raw(program), None).is_err());
    Ok(())
}
