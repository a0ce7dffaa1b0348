//! twistd-safe, and what of twistd it does otherwise; a drop of the effective ids alone.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, SVC, World, eventually, test};
use nix::sys::signal::Signal;
use std::os::unix::fs::MetadataExt;

fn safe<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let options = ["--spec", "twistd-safe", "--uid", "svc", "--pidfile", "t.pid", "--logfile", "logs/t.log"];
    [&[command], &options[..], more].concat()
}

fn whole_life(world: &World, more: &[&str]) {
    let check = world.fine(&safe("check", more));
    assert!(check.out.contains("no findings"), "{check:#?}");
    world.fine(&safe("run", more));
    let pid = world.pid("t.pid");
    process(pid).is(SVC, SVC, &[SVC, EXTRA]);
    process(pid).has_no_capability();
    let owner = |name: &str| {
        let m = std::fs::metadata(world.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        (m.uid(), m.gid(), m.mode() & 0o7777)
    };
    // The umask was there before the log and the PID file.
    assert_eq!(owner("logs/t.log"), (SVC, SVC, 0o600));
    assert_eq!(owner("t.pid"), (0, 0, 0o600));
    let second = world.rsd(&safe("run", more));
    assert_eq!(second.code, 5, "{second:#?}");
    assert_eq!(world.pid("t.pid"), pid);
    kernel::kill(pid, Signal::SIGUSR1);
    eventually("the log is rotated by the user", || world.path("logs/t.log.1").exists().then_some(()));
    assert_eq!(owner("logs/t.log"), (SVC, SVC, 0o600));
    assert!(world.fine(&safe("status", more)).out.contains(&pid.to_string()));
    world.fine(&safe("stop", more));
    assert!(kernel::gone(pid));
    assert!(!world.path("t.pid").exists(), "the guard has removed it");
    let first = world.journals().remove(0);
    assert_eq!(world.timeline(Some(&first))["outcome"], "completed");
}

#[test]
fn a_whole_life_in_a_directory_of_root() {
    test("safe::a_whole_life_in_a_directory_of_root", Needs::Root, |world| {
        world.directory("logs", SVC, 0o755);
        whole_life(world, &[]);
    });
}

#[test]
fn a_whole_life_in_a_jail() {
    test("safe::a_whole_life_in_a_jail", Needs::Root, |world| {
        world.directory("logs", SVC, 0o755);
        world.directory("jail", 0, 0o755);
        whole_life(world, &["--chroot", "jail"]);
    });
}

#[test]
fn killed_it_leaves_no_pid_file() {
    test("safe::killed_it_leaves_no_pid_file", Needs::Root, |world| {
        world.directory("logs", SVC, 0o755);
        world.fine(&safe("run", &[]));
        kernel::kill(world.pid("t.pid"), Signal::SIGKILL);
        eventually("the guard removes it", || (!world.path("t.pid").exists()).then_some(()));
    });
}

#[test]
fn an_ordinary_user_needs_no_drop() {
    test("safe::an_ordinary_user_needs_no_drop", Needs::Anyone, |world| {
        let options = ["--spec", "twistd-safe", "--pidfile", "t.pid", "--logfile", "t.log"];
        let all = |command| [&[command], &options[..]].concat();
        world.fine(&all("run"));
        assert_eq!(process(world.pid("t.pid")).field("Umask"), "0077");
        world.fine(&all("stop"));
        assert!(!world.path("t.pid").exists());
    });
}

/// The model says so, too: no run of a test may have diverged.
#[test]
fn effective_ids_alone_leave_the_way_back() {
    test("safe::effective_ids_alone_leave_the_way_back", Needs::Root, |world| {
        world.directory("logs", SVC, 0o755);
        let options = ["--uid", "svc", "--euid", "--pidfile", "t.pid", "--logfile", "logs/t.log"];
        let check = world.fine(&[&["check"], &options[..]].concat());
        assert!(check.err.contains("RSD0308"), "{check:#?}");
        world.fine(&[&["run"], &options[..]].concat());
        let daemon = process(world.pid("t.pid"));
        assert_eq!(daemon.field("Uid"), format!("0\t{SVC}\t0\t{SVC}"));
        assert_eq!(daemon.field("Gid"), format!("0\t{SVC}\t0\t{SVC}"));
        assert_eq!(daemon.field("CapEff"), "0000000000000000");
        assert_ne!(daemon.field("CapPrm"), "0000000000000000");
        world.fine(&[&["stop"], &options[..]].concat());
    });
}

/// What RSD0308 foretells: a program below such a daemon is root with one call.
#[test]
fn root_is_taken_back_after_a_drop_of_effective_ids() {
    test("safe::root_is_taken_back_after_a_drop_of_effective_ids", Needs::Root, |world| {
        world.directory("logs", SVC, 0o755);
        let who = world.text("logs/who");
        for (more, expected) in [(&["--euid"][..], "0"), (&[], "")] {
            let script = format!("id -u >{who}; exec sleep 100");
            let mut line = vec!["run", "--uid", "svc", "--pidfile=", "--logfile", "logs/t.log", "--nodaemon"];
            line.extend(more);
            line.extend(["--", "setpriv", "--euid", "0", "--", "sh", "-c", &script]);
            std::fs::write(&who, "").expect("an empty file");
            std::os::unix::fs::chown(&who, Some(SVC), Some(SVC)).expect("its owner");
            let mut run = world.command(crate::sandbox::binary()).args(&line).spawn().expect("start it");
            if expected.is_empty() {
                // setpriv is refused, and the program ends.
                assert_ne!(run.wait().expect("its end").code(), Some(0));
            } else {
                let said = || std::fs::read_to_string(&who).ok().filter(|text| !text.is_empty());
                assert_eq!(eventually("it says who it is", said).trim(), expected);
                kernel::kill(run.id() as i32, Signal::SIGTERM);
                run.wait().expect("its end");
            }
        }
        assert_eq!(std::fs::read_to_string(&who).expect("what it said"), "");
    });
}

/// What RSD0406 foretells: the check finds nothing, and the making refuses.
#[test]
fn a_pid_file_inside_is_checked_where_it_is_made() {
    test("safe::a_pid_file_inside_is_checked_where_it_is_made", Needs::Root, |world| {
        world.directory("jail", SVC, 0o755);
        world.directory("logs", SVC, 0o755);
        let options = ["--chroot", "jail", "--uid", "svc", "--pidfile", "/j.pid", "--logfile", "logs/j.log"];
        let all = |command| [&[command], &options[..]].concat();
        let check = world.fine(&all("check"));
        assert!(check.err.contains("RSD0406") && check.err.contains("RSD0405"), "{check:#?}");
        world.fine(&all("run"));
        let second = world.rsd(&all("run"));
        assert_eq!(second.code, 5, "{second:#?}");
        assert!(second.err.contains("openPIDFile failed"), "{second:#?}");
        world.fine(&all("stop"));
    });
}
