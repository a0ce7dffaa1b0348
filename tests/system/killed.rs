//! Each process of a start is killed or told to end before the daemon is ready.

use crate::failure::{GATE, at_the_gate, ended};
use crate::kernel;
use crate::sandbox::{Needs, World, eventually, test};
use nix::sys::signal::Signal;
use std::process::Child;
use std::time::{Duration, Instant};

/// The daemon that a launcher waits for, or its holder in the foreground.
fn below(launcher: &Child) -> i32 {
    let pid = launcher.id() as i32;
    eventually("it has a child", || kernel::children(pid).first().copied())
}

/// What the work directory holds, without what the test itself put there.
fn left(world: &World) -> Vec<String> {
    let ours = ["spec.yaml", "gate.jsonl", "gate"];
    let name = |p: &std::path::PathBuf| p.file_name().expect("a name").to_string_lossy().into_owned();
    let mut all: Vec<_> = crate::sandbox::entries(&world.dir).iter().map(name).collect();
    all.retain(|n| !ours.contains(&n.as_str()) && n != ".state");
    all.sort();
    all
}

fn outcome(world: &World) -> String {
    world.timeline(Some(&world.path("gate.jsonl")))["outcome"].as_str().expect("an outcome").to_owned()
}

/// For a run that has dropped: files of root in a directory of root.
const AFTER: [&str; 4] = ["--uid", "svc", "--order", "switchUidGid,gate"];

#[test]
fn the_daemon_is_killed() {
    test("killed::the_daemon_is_killed", Needs::Anyone, |world| {
        let drop = if world.root { &AFTER[..] } else { &[] };
        let child = at_the_gate(world, &[drop, &["--listen", "unix:k.sock", "--", "sleep", "1010"]].concat());
        assert_eq!(left(world), ["k.sock", "twistd.log", "twistd.pid"]);
        let begin = Instant::now();
        kernel::kill(below(&child), Signal::SIGKILL);
        let (code, err) = ended(child);
        assert!(begin.elapsed() < Duration::from_secs(10), "the launcher notices by itself");
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("gate failed") && err.contains("SIGKILL"), "{err}");
        assert!(err.contains("undone: remove") && err.contains("nothing is left behind"), "{err}");
        assert_eq!(left(world), [""; 0]);
        assert_eq!(outcome(world), "unwound");
    });
}

#[test]
fn the_launcher_is_killed_and_the_daemon_goes_on() {
    test("killed::the_launcher_is_killed_and_the_daemon_goes_on", Needs::Anyone, |world| {
        let child = at_the_gate(world, &["--", "sleep", "1011"]);
        let daemon = below(&child);
        kernel::kill(child.id() as i32, Signal::SIGKILL);
        assert_eq!(ended(child).0, 137);
        world.directory("gate", 0, 0o755);
        eventually("the daemon is up", || kernel::children(daemon).first().copied());
        assert_eq!(world.pid("twistd.pid"), daemon);
        eventually("it is ready", || world.timeline(Some(&world.path("gate.jsonl")))["ready_ns"].as_u64());
        world.fine(&["stop"]);
        assert_eq!(left(world), ["twistd.log"]);
        assert_eq!(outcome(world), "completed");
    });
}

#[test]
fn the_launcher_is_killed_and_the_start_fails() {
    test("killed::the_launcher_is_killed_and_the_start_fails", Needs::Anyone, |world| {
        world.file("garbage", "\x01\x02", 0o755);
        let child = at_the_gate(world, &["--listen", "unix:k.sock", "--", "./garbage"]);
        let daemon = below(&child);
        kernel::kill(child.id() as i32, Signal::SIGKILL);
        assert_eq!(ended(child).0, 137);
        world.directory("gate", 0, 0o755);
        eventually("the daemon is gone", || kernel::gone(daemon).then_some(()));
        assert_eq!(left(world), ["garbage"]);
        assert_eq!(outcome(world), "unwound");
    });
}

#[test]
fn the_launcher_is_told_to_end() {
    test("killed::the_launcher_is_told_to_end", Needs::Anyone, |world| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let drop = if world.root { &AFTER[..] } else { &[] };
            let child =
                at_the_gate(world, &[drop, &["--listen", "unix:k.sock", "--", "sleep", "1012"]].concat());
            let daemon = below(&child);
            kernel::kill(child.id() as i32, signal);
            let begin = Instant::now();
            let (code, err) = ended(child);
            assert!(begin.elapsed() < Duration::from_secs(10), "it need not wait for the retries");
            assert_eq!(code, 1, "{err}");
            assert!(err.contains(signal.as_str()), "{err}");
            assert!(signal == Signal::SIGTERM || !err.contains("SIGTERM"), "{err}");
            assert!(err.contains("nothing is left behind"), "{err}");
            assert!(kernel::gone(daemon));
            assert_eq!(left(world), [""; 0]);
            assert_eq!(outcome(world), "unwound");
            std::fs::remove_file(world.path("gate.jsonl")).expect("the journal");
        }
    });
}

#[test]
fn hup_to_the_launcher_changes_nothing() {
    test("killed::hup_to_the_launcher_changes_nothing", Needs::Anyone, |world| {
        let child = at_the_gate(world, &["--", "sleep", "1013"]);
        kernel::kill(child.id() as i32, Signal::SIGHUP);
        world.directory("gate", 0, 0o755);
        let (code, err) = ended(child);
        assert_eq!(code, 0, "{err}");
        world.fine(&["stop"]);
    });
}

#[test]
fn a_signal_that_comes_too_early_reaches_the_program() {
    test("killed::a_signal_that_comes_too_early_reaches_the_program", Needs::Anyone, |world| {
        let script = "trap 'echo had USR2 >> told' USR2; while :; do sleep 0.02; done";
        let child = at_the_gate(world, &["--", "bash", "-c", &format!("cd ..; {script}")]);
        let keeper = below(&child);
        kernel::kill(keeper, Signal::SIGUSR2);
        world.directory("gate", 0, 0o755);
        let (code, err) = ended(child);
        assert_eq!(code, 0, "{err}");
        // The trap may not be set yet: then the default action ends the program, which is its answer too.
        eventually("the program was told", || {
            (world.path("told").exists() || kernel::gone(keeper)).then_some(())
        });
        let _ = world.rsd(&["stop"]);
    });
}

#[test]
fn in_the_foreground_a_holder_undoes_what_a_killed_one_cannot() {
    test("killed::in_the_foreground_a_holder_undoes_what_a_killed_one_cannot", Needs::Anyone, |world| {
        let drop = if world.root { &AFTER[..] } else { &[] };
        let options = ["-n", "--logfile", "f.log", "--listen", "unix:k.sock", "--", "sleep", "1014"];
        let mut child = at_the_gate(world, &[drop, &options].concat());
        let holder = below(&child);
        assert_eq!(left(world), ["f.log", "k.sock", "twistd.pid"]);
        kernel::kill(child.id() as i32, Signal::SIGKILL);
        assert_eq!(child.wait().expect("wait").code(), None);
        eventually("the holder is done", || kernel::gone(holder).then_some(()));
        let (_, err) = ended(child);
        assert!(err.contains("was killed") && err.contains("undone: remove"), "{err}");
        assert_eq!(left(world), [""; 0]);
        assert_eq!(outcome(world), "unwound");
    });
}

#[test]
fn in_the_foreground_term_undoes() {
    test("killed::in_the_foreground_term_undoes", Needs::Anyone, |world| {
        let child = at_the_gate(world, &["-n", "--logfile", "f.log", "--", "sleep", "1015"]);
        kernel::kill(child.id() as i32, Signal::SIGTERM);
        let (code, err) = ended(child);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("SIGTERM asked to stop"), "{err}");
        assert_eq!(left(world), [""; 0]);
    });
}

/// A phase that does not come back, as with a file system that does not answer.
fn hangs(world: &World, foreground: bool) {
    let spec = GATE.replace("        kind: chdir\n", "        kind: chdir\n        timeout: 1s\n");
    let spec = spec.replace("times: 1000, delay: 20ms", "times: 1000, delay: 100ms");
    let hanging = "      hanging: { kind: fail, with: { how: hang }, timeout: 1s }\norder: ";
    let spec = spec.replace("order: ", hanging).replace(", gate]", ", gate, hanging]");
    world.file("slow.yaml", &spec, 0o644);
    let mut start = world.command(crate::sandbox::binary());
    start.args([
        "run",
        "--unchecked",
        "--spec",
        "slow.yaml",
        "--journal",
        "gate.jsonl",
        "--logfile",
        "f.log",
    ]);
    start.args(if foreground { &["-n"][..] } else { &[] }).args(["--", "sleep", "1016"]);
    start.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = start.spawn().expect("start");
    let enters = |phase: &str| {
        let enter = format!(r#""ev":"enter","phase":"{phase}""#);
        eventually("it comes to its phase", || {
            let journal = std::fs::read_to_string(world.path("gate.jsonl")).ok()?;
            journal.contains(&enter).then_some(())
        });
    };
    enters("gate");
    // Some tries, each shorter than its limit: together they take longer, and that is no reason to kill.
    std::thread::sleep(Duration::from_millis(2_500));
    let runner = if foreground { child.id() as i32 } else { below(&child) };
    assert!(!kernel::gone(runner), "the limit is one of each try");
    world.directory("gate", 0, 0o755);
    enters("hanging");
    eventually("the runner is killed", || kernel::gone(runner).then_some(()));
    eventually("it is undone", || (left(world) == ["slow.yaml"]).then_some(()));
    let (code, err) = ended(child);
    assert_eq!(code, if foreground { 137 } else { 1 }, "{err}");
    assert!(err.contains("the time of this phase is up; the daemon was killed"), "{err}");
    assert!(err.contains("hanging failed") && err.contains("`timeout`"), "{err}");
    assert_eq!(left(world), ["slow.yaml"]);
}

#[test]
fn a_daemon_that_hangs_is_killed_when_its_time_is_up() {
    test("killed::a_daemon_that_hangs_is_killed_when_its_time_is_up", Needs::Anyone, |world| {
        hangs(world, false)
    });
}

#[test]
fn a_foreground_that_hangs_is_killed_when_its_time_is_up() {
    test("killed::a_foreground_that_hangs_is_killed_when_its_time_is_up", Needs::Anyone, |world| {
        hangs(world, true)
    });
}

#[test]
fn a_guard_goes_with_a_failed_start() {
    test("killed::a_guard_goes_with_a_failed_start", Needs::Root, |world| {
        world.file("guard.yaml", crate::stop::GUARD, 0o644);
        world.file("garbage", "\x01\x02", 0o755);
        let before = kernel::all();
        // Killed it would be after three seconds; on a busy machine a start may take as long by itself.
        let quick = (0..3).any(|_| {
            let begin = Instant::now();
            let out = world.rsd(&["run", "--spec", "guard.yaml", "--uid", "svc", "--", "./garbage"]);
            assert_eq!(out.code, 1, "{out:#?}");
            assert!(out.err.contains("undone: end the guard"), "{}", out.err);
            begin.elapsed() < Duration::from_millis(2_500)
        });
        assert!(quick, "the guard need not be killed");
        assert_eq!(left(world), ["garbage", "guard.yaml"]);
        let after: Vec<_> = kernel::all().into_iter().filter(|p| !before.contains(p)).collect();
        assert!(after.is_empty(), "{after:?}");
    });
}

#[test]
fn a_program_that_dies_after_the_start_is_told_by_status() {
    test("killed::a_program_that_dies_after_the_start_is_told_by_status", Needs::Anyone, |world| {
        // Readiness is exec: what comes later is no failure of the start.
        let script = format!("until [ -e {} ]; do sleep 0.05; done; exit 1", world.text("die"));
        world.fine(&["run", "--", "sh", "-c", &script]);
        world.file("die", "", 0o644);
        eventually("it is down", || (world.rsd(&["status"]).code == 3).then_some(()));
        let timeline =
            eventually("it has its end", || Some(world.timeline(None)).filter(|t| t["outcome"] == "failed"));
        assert!(timeline.to_string().contains("exited with status 1"));
    });
}
