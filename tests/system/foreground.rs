//! `-n`: no fork, the caller's terminal, the program's own end.

use crate::kernel;
use crate::sandbox::{Needs, World, done, eventually, test};
use nix::sys::signal::Signal;
use std::process::{Child, Stdio};

fn start(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.command(crate::sandbox::binary());
    command.args(["run", "-n"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("start")
}

#[test]
fn the_status_of_the_program_is_passed_on() {
    test("foreground::the_status_of_the_program_is_passed_on", Needs::Anyone, |world| {
        for code in [0, 1, 3, 77] {
            let out =
                world.rsd(&["run", "-n", "--", "sh", "-c", &format!("echo out; echo err >&2; exit {code}")]);
            assert_eq!(out.code, code, "{out:?}");
            assert!(out.out.lines().any(|l| l == "out") && out.err.lines().any(|l| l == "err"), "{out:?}");
            assert!(!world.path("twistd.pid").exists() && !world.path("twistd.log").exists());
        }
        for signal in ["TERM", "KILL", "USR1", "34"] {
            let mut command = world.command(crate::sandbox::binary());
            command.args(["run", "-n", "--", "sh", "-c", &format!("kill -{signal} $$")]);
            let status = command.stderr(Stdio::null()).stdout(Stdio::null()).status().expect("start");
            use std::os::unix::process::ExitStatusExt;
            let number = signal.parse::<i32>().ok().or(Some(match signal {
                "TERM" => 15,
                "KILL" => 9,
                _ => 10,
            }));
            assert_eq!(status.signal(), number, "{status:?}");
        }
    });
}

#[test]
fn term_and_int_stop_it() {
    test("foreground::term_and_int_stop_it", Needs::Anyone, |world| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let child = start(world, &["--", "sleep", "1060"]);
            let pid = child.id() as i32;
            eventually("it is up", || (!kernel::running("sleep 1060").is_empty()).then_some(()));
            assert_eq!(world.pid("twistd.pid"), pid, "no fork");
            eventually("its holder is gone", || {
                (kernel::children(pid) == kernel::running("sleep 1060")).then_some(())
            });
            kernel::kill(pid, signal);
            let out = child.wait_with_output().expect("wait");
            assert_eq!(out.status.code(), Some(0), "{out:?}");
            assert!(kernel::running("sleep 1060").is_empty() && !world.path("twistd.pid").exists());
            assert_eq!(world.timeline(None)["outcome"], "completed");
        }
    });
}

#[test]
fn the_log_is_reopened_and_rotated() {
    test("foreground::the_log_is_reopened_and_rotated", Needs::Anyone, |world| {
        let script = "trap 'echo told' HUP; echo up; while :; do sleep 0.02; done";
        let child = start(world, &["--logfile", "f.log", "--", "bash", "-c", script]);
        let pid = child.id() as i32;
        let text = |name: &str| std::fs::read_to_string(world.path(name)).unwrap_or_default();
        eventually("it is up", || text("f.log").contains("up").then_some(()));
        // Not the holder of the undo, which may be about to leave.
        let is_program =
            |p: &i32| std::fs::read_to_string(format!("/proc/{p}/comm")).is_ok_and(|c| c == "bash\n");
        let program: Vec<i32> = kernel::children(pid).into_iter().filter(is_program).collect();
        assert_eq!(program.len(), 1);
        kernel::kill(pid, Signal::SIGUSR1);
        eventually("it is rotated", || {
            (text("f.log.1") == "up\n" && world.path("f.log").exists()).then_some(())
        });
        std::fs::rename(world.path("f.log"), world.path("moved")).expect("as logrotate does");
        kernel::kill(pid, Signal::SIGHUP);
        eventually("it is reopened", || (text("f.log") == "told\n").then_some(()));
        assert_eq!(text("moved"), "");
        assert!(program.iter().all(|p| !kernel::gone(*p)));
        kernel::kill(pid, Signal::SIGTERM);
        assert_eq!(child.wait_with_output().expect("wait").status.code(), Some(0));
    });
}

#[test]
fn a_failure_is_said_once() {
    test("foreground::a_failure_is_said_once", Needs::Anyone, |world| {
        world.file("garbage", "\x01\x02", 0o755);
        let before = world.listing();
        let out = done(world.command(crate::sandbox::binary()).args([
            "run",
            "-n",
            "--logfile",
            "f.log",
            "--",
            "./garbage",
        ]));
        assert_eq!(out.code, 1, "{out:?}");
        assert_eq!(out.err.matches("startApplication failed").count(), 1, "{}", out.err);
        assert_eq!(world.listing(), before);
        assert_eq!(world.timeline(None)["outcome"], "unwound");
    });
}
