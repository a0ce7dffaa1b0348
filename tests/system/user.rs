//! Users and groups: what a drop takes, and who may ask for it.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, OTHER, Out, SVC, World, done, test};

/// rsd as that user, with nothing of root's.
fn as_user(world: &World, uid: u32, arguments: &[&str]) -> Out {
    let binary = crate::stop::readable(world, &crate::sandbox::binary());
    let id = uid.to_string();
    done(
        world
            .command("setpriv")
            .args(["--reuid", &id, "--regid", &id, "--init-groups"])
            .arg(binary)
            .args(arguments)
            .env("HOME", world.path("home"))
            .env("XDG_STATE_HOME", world.path("home/state")),
    )
}

#[test]
fn a_group_alone_leaves_none_of_roots() {
    test("user::a_group_alone_leaves_none_of_roots", Needs::Root, |world| {
        let mut start = world.command("setpriv");
        start.args(["--groups", "0,4,27,44"]).arg(crate::sandbox::binary());
        let out = done(start.args(["run", "--gid", "svc", "--", "sleep", "1040"]));
        assert_eq!(out.code, 0, "{out:?}");
        let keeper = world.pid("twistd.pid");
        for pid in [keeper, kernel::children(keeper)[0]] {
            process(pid).is(0, SVC, &[SVC]);
        }
        world.fine(&["stop"]);
    });
}

#[test]
fn a_user_brings_its_groups() {
    test("user::a_user_brings_its_groups", Needs::Root, |world| {
        let cases: [(&[&str], u32, u32, &[u32]); 4] = [
            (&["--uid", "svc"], SVC, SVC, &[SVC, EXTRA]),
            (&["--uid", "4000"], SVC, SVC, &[SVC, EXTRA]),
            (&["--uid", "svc", "--gid", "other"], SVC, OTHER, &[EXTRA, OTHER]),
            (&["--uid", "31337", "--gid", "4100"], 31337, OTHER, &[OTHER]),
        ];
        for (options, uid, gid, groups) in cases {
            world.fine(&[&["run"], options, &["--", "sleep", "1041"]].concat());
            let keeper = world.pid("twistd.pid");
            for pid in [keeper, kernel::children(keeper)[0]] {
                process(pid).is(uid, gid, groups);
                process(pid).has_no_capability();
            }
            world.fine(&["stop"]);
        }
    });
}

#[test]
fn a_number_without_an_entry_needs_a_group() {
    test("user::a_number_without_an_entry_needs_a_group", Needs::Root, |world| {
        let before = world.listing();
        let out = world.rsd(&["run", "--uid", "31337", "--", "sleep", "1042"]);
        assert_eq!(out.code, 6, "{out:?}");
        assert!(out.err.contains("31337") && out.err.contains("gid"), "{}", out.err);
        assert_eq!(world.listing(), before);
    });
}

#[test]
fn an_ordinary_user_may_name_itself_and_nobody_else() {
    test("user::an_ordinary_user_may_name_itself_and_nobody_else", Needs::Root, |world| {
        world.directory("home", OTHER, 0o755);
        let options = ["--pidfile", "home/u.pid", "--logfile", "home/u.log", "--uid"];
        let start = |user| [&["run"], &options[..], &[user, "--", "sleep", "1043"]].concat();
        let before = world.listing();
        let out = as_user(world, OTHER, &start("svc"));
        assert_eq!(out.code, 4, "{out:?}");
        let out =
            as_user(world, OTHER, &[&["check"], &options[..], &["svc", "--", "sleep", "1043"]].concat());
        assert_eq!(out.code, 6, "{out:?}");
        let after: Vec<_> = world.listing().into_iter().filter(|l| !l.contains("/rsd ")).collect();
        assert_eq!(after, before);

        let out = as_user(world, OTHER, &start("other"));
        assert_eq!(out.code, 0, "{out:?}");
        let keeper = world.pid("home/u.pid");
        for pid in [keeper, kernel::children(keeper)[0]] {
            process(pid).is(OTHER, OTHER, &[OTHER]);
            process(pid).has_no_capability();
        }
        let out = as_user(world, OTHER, &[&["status"], &options[..], &["other"]].concat());
        assert_eq!(out.code, 0, "{out:?}");
        let out = as_user(world, OTHER, &[&["stop"], &options[..], &["other"]].concat());
        assert_eq!(out.code, 0, "{out:?}");
        assert!(kernel::gone(keeper));
    });
}
