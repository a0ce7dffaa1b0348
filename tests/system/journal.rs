//! The journal is a copy for people: it never fails a run.

use crate::kernel;
use crate::sandbox::{Needs, eventually, sh, test};
use nix::sys::signal::Signal;
use std::os::unix::fs::MetadataExt;

#[test]
fn twenty_are_kept_and_nobody_else_reads_them() {
    test("journal::twenty_are_kept_and_nobody_else_reads_them", Needs::Anyone, |world| {
        world.fine(&["run", "--pidfile", "first.pid", "--logfile=", "--", "sleep", "1070"]);
        let first = world.journals()[0].clone();
        for _ in 0..24 {
            world.fine(&["run", "-n", "--", "true"]);
        }
        let kept = world.journals();
        assert!(kept.contains(&first), "that of a daemon that runs is kept");
        assert!((20..=21).contains(&kept.len()), "{}", kept.len());
        for journal in &kept {
            assert_eq!(journal.metadata().expect("it").mode() & 0o777, 0o600);
            assert_eq!(
                journal.parent().expect("its directory").metadata().expect("it").mode() & 0o777,
                0o700
            );
        }
        world.fine(&["stop", "--pidfile", "first.pid"]);
    });
}

#[test]
fn a_killed_daemon_has_vanished() {
    test("journal::a_killed_daemon_has_vanished", Needs::Anyone, |world| {
        world.fine(&["run", "--", "sleep", "1071"]);
        assert_eq!(world.timeline(None)["outcome"], "running");
        kernel::kill(world.pid("twistd.pid"), Signal::SIGKILL);
        eventually("nobody holds the journal", || {
            (world.timeline(None)["outcome"] == "vanished").then_some(())
        });
        let text = world.fine(&["trace"]).out;
        assert!(text.contains("vanished"), "{text}");
    });
}

#[test]
fn a_name_stays_in_its_place() {
    test("journal::a_name_stays_in_its_place", Needs::Anyone, |world| {
        let out = world.rsd(&["run", "-n", "--name", "../../escaped", "--", "true"]);
        if out.code == 0 {
            assert_eq!(world.journals().len(), 1, "{out:?}");
        }
    });
}

#[test]
fn no_place_for_a_journal_is_only_a_warning() {
    test("journal::no_place_for_a_journal_is_only_a_warning", Needs::Root, |world| {
        sh("mount", &["-t", "tmpfs", "-o", "ro", "test", "/var/lib"]);
        let out = world.fine(&["run", "--", "sleep", "1072"]);
        assert!(out.err.contains("warning: no journal is written"), "{out:?}");
        assert!(!kernel::gone(world.pid("twistd.pid")));
        world.fine(&["stop"]);
    });
}

#[test]
fn a_full_disk_does_not_stop_a_run() {
    test("journal::a_full_disk_does_not_stop_a_run", Needs::Root, |world| {
        sh("mount", &["-t", "tmpfs", "-o", "size=4k", "test", "/var/lib"]);
        world.fine(&["run", "--", "sleep", "1073"]);
        assert!(!kernel::gone(world.pid("twistd.pid")));
        world.fine(&["stop"]);
        assert!(!world.path("twistd.pid").exists());
    });
}
