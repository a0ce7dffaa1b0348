//! Links of somebody else on the way to what root makes, opens and removes (CVE-2016-1247's class).

use crate::kernel;
use crate::sandbox::{Needs, SVC, World, eventually, test};
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::PathBuf;

fn link(world: &World, target: &str, name: &str, owner: u32) {
    symlink(target, world.path(name)).expect("a link");
    lchown(world.path(name), Some(owner), Some(owner)).expect("its owner");
}

/// A directory of `svc` in one of root, and beside it one of root that it would like to write to.
fn theirs(world: &World) {
    world.directory("theirs", SVC, 0o755);
    world.directory("theirs/own", SVC, 0o755);
    world.directory("roots", 0, 0o755);
}

const WAYS: [[&str; 2]; 3] =
    [["--logfile", "theirs/way/x"], ["--pidfile", "theirs/way/x"], ["--listen", "unix:theirs/way/x"]];

#[test]
fn a_strangers_link_does_not_lead_root() {
    test("ways::a_strangers_link_does_not_lead_root", Needs::Root, |world| {
        theirs(world);
        for (to, absolute) in [("../roots", false), ("roots", true)] {
            let to = if absolute { world.path(to) } else { PathBuf::from(to) };
            link(world, to.to_str().expect("text"), "theirs/way", SVC);
            for way in WAYS {
                let line = [&way[..], &["--uid", "svc", "--", "sleep", "1041"]].concat();
                let check = world.rsd(&[&["check"], &line[..]].concat());
                assert_eq!(check.code, 6, "{check:?}");
                assert!(check.err.contains("is a symbolic link of uid"), "{check:?}");
                let out = world.rsd(&[&["run", "--unchecked"], &line[..]].concat());
                assert_eq!(out.code, 1, "{out:?}");
                assert!(out.err.contains("ELOOP") || out.err.contains("symbolic link of uid"), "{out:?}");
                assert_eq!(
                    std::fs::read_dir(world.path("roots")).expect("a directory").count(),
                    0,
                    "{way:?}"
                );
                assert!(kernel::running("sleep 1041").is_empty());
            }
            std::fs::remove_file(world.path("theirs/way")).expect("the link");
        }
    });
}

#[test]
fn a_link_to_what_is_its_owners_and_a_link_of_roots_are_followed() {
    test("ways::a_link_to_what_is_its_owners_and_a_link_of_roots_are_followed", Needs::Root, |world| {
        theirs(world);
        let cases =
            [("own", SVC, "theirs/own"), ("../theirs/own", SVC, "theirs/own"), ("../roots", 0, "roots")];
        for (to, owner, place) in cases {
            link(world, to, "theirs/way", owner);
            for way in WAYS {
                let line = [&way[..], &["--uid", "svc", "--spec", "twistd-safe"]].concat();
                world.fine(&[&["run"], &line[..], &["--", "sleep", "1042"]].concat());
                let made = std::fs::symlink_metadata(world.path(place).join("x")).expect("it is made there");
                assert!([0, SVC].contains(&made.uid()));
                world.fine(&[&["stop"], &line[..]].concat());
                let _ = std::fs::remove_file(world.path(place).join("x"));
            }
            std::fs::remove_file(world.path("theirs/way")).expect("the link");
        }
    });
}

/// A daemon of root is not stopped by way of somebody's link to its PID file's directory.
#[test]
fn stop_does_not_follow_it_either() {
    test("ways::stop_does_not_follow_it_either", Needs::Root, |world| {
        theirs(world);
        world.fine(&["run", "--pidfile", "roots/x", "--", "sleep", "1043"]);
        let keeper = world.pid("roots/x");
        link(world, "../roots", "theirs/way", SVC);
        for command in ["stop", "status"] {
            let out = world.rsd(&[command, "--pidfile", "theirs/way/x"]);
            assert!(out.code != 0, "{out:?}");
            assert!(
                out.err.contains("symbolic link of uid") || out.out.contains("symbolic link of uid"),
                "{out:?}"
            );
        }
        assert!(!kernel::gone(keeper));
        world.fine(&["stop", "--pidfile", "roots/x"]);
        eventually("it ends", || kernel::gone(keeper).then_some(()));
    });
}
