//! What a program leaves running when it ends goes with it.

use crate::kernel;
use crate::sandbox::{Needs, Out, SVC, World, eventually, test};
use std::fs;

/// A start of that script; its log is in a directory of the user's.
fn run(world: &World, script: &str) -> Out {
    world.directory("log", SVC, 0o755);
    world.file("script.sh", script, 0o755);
    let (script, log) = (world.text("script.sh"), world.text("log/it.log"));
    let files = ["--pidfile", "it.pid", "--logfile", &log];
    world.rsd(&[&["run", "--spec", "daemon", "--user", "svc"], &files[..], &["--", "sh", &script]].concat())
}

#[test]
fn a_program_that_goes_to_the_background_is_told_and_ended() {
    test("leftover::a_program_that_goes_to_the_background_is_told_and_ended", Needs::Root, |world| {
        let out = run(world, "setsid sleep 1071 &\nsleep 0.05\n");
        assert_eq!(out.code, 1, "{out:?}");
        assert!(out.err.contains("it exited with status 0"), "{}", out.err);
        assert!(out.err.contains("must be told to stay in the foreground"), "{}", out.err);
        assert_eq!(kernel::running("sleep 1071"), [0; 0], "it was left running");
    });
}

#[test]
fn stop_ends_what_the_program_left_also_what_does_not_heed_term() {
    test("leftover::stop_ends_what_the_program_left_also_what_does_not_heed_term", Needs::Root, |world| {
        let text = "setsid sleep 1072 &\n(trap '' TERM; exec setsid sleep 1073) &\nexec sleep 1074\n";
        let out = run(world, text);
        assert_eq!(out.code, 0, "{out:?}");
        for sleeper in ["sleep 1072", "sleep 1073", "sleep 1074"] {
            eventually(sleeper, || kernel::running(sleeper).first().copied());
        }
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);
        for sleeper in ["sleep 1072", "sleep 1073", "sleep 1074"] {
            assert_eq!(kernel::running(sleeper), [0; 0], "{sleeper} was left running");
        }
        let log = fs::read_to_string(world.path("log/it.log")).expect("the log");
        assert!(log.contains("left processes running, which were ended as well"), "{log}");
    });
}
