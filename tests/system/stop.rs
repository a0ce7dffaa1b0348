//! `rsd stop`, PID files that lie, and the guard.

use crate::kernel;
use crate::sandbox::{Needs, OTHER, SVC, World, done, eventually, test};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub const GUARD: &str = "
rsd: 1
name: guard
extends: twistd
phases:
  postApplication:
    phases:
      keepGuard: { kind: keep-guard }
      removePIDFile: { privilege: privileged }
order: [privilegedStartService, keepGuard, switchUidGid]
";

/// A process that has nothing to do with any daemon.
fn bystander() -> Child {
    Command::new("sleep").arg("2000").spawn().expect("a process")
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn the_lock_counts_and_not_the_number() {
    test("stop::the_lock_counts_and_not_the_number", Needs::Anyone, |world| {
        world.fine(&["run", "--", "sleep", "1020"]);
        let keeper = world.pid("twistd.pid");
        let other = bystander();
        fs::write(world.path("twistd.pid"), format!("{}\n", other.id())).expect("overwrite");
        assert!(world.fine(&["status"]).out.contains(&format!("process {keeper}")));
        world.fine(&["stop"]);
        assert!(kernel::gone(keeper) && kernel::running("sleep 1020").is_empty());
        assert!(!kernel::gone(other.id() as i32));
        end(other);
    });
}

#[test]
fn a_stale_pid_file_blocks_no_start() {
    test("stop::a_stale_pid_file_blocks_no_start", Needs::Anyone, |world| {
        let other = bystander();
        for text in [
            format!("{}\n", other.id()),
            String::new(),
            "garbage\u{0}\u{7}\n".into(),
            "-1\n".into(),
            "1\n".into(),
        ] {
            fs::write(world.path("twistd.pid"), &text).expect("a stale PID file");
            assert_eq!(world.rsd(&["status"]).code, 1, "{text:?}");
            assert_eq!(world.rsd(&["stop"]).code, 3, "{text:?}");
            world.fine(&["run", "--", "sleep", "1021"]);
            assert_eq!(kernel::children(world.pid("twistd.pid")), kernel::running("sleep 1021"), "{text:?}");
            world.fine(&["stop"]);
        }
        assert!(!kernel::gone(other.id() as i32));
        end(other);
    });
}

/// Whoever may read a PID file may hold a read lock on it. That is no daemon's lock.
#[test]
fn a_strangers_read_lock_says_nothing() {
    test("stop::a_strangers_read_lock_says_nothing", Needs::Anyone, |world| {
        fs::write(world.path("twistd.pid"), "1\n").expect("a stale PID file");
        let file = fs::File::open(world.path("twistd.pid")).expect("it can be read");
        let mut lock: nix::libc::flock = nix::libc::flock {
            l_type: nix::libc::F_RDLCK as nix::libc::c_short,
            l_whence: 0,
            l_start: 0,
            l_len: 2,
            l_pid: 0,
        };
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).expect("a read lock");
        assert_eq!(world.rsd(&["status"]).code, 1);
        assert_eq!(world.rsd(&["stop"]).code, 3);
        world.fine(&["run", "--", "sleep", "1022"]);
        assert_eq!(world.rsd(&["status"]).code, 0);
        lock.l_type = nix::libc::F_UNLCK as nix::libc::c_short;
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).expect("unlocked");
        world.fine(&["stop"]);
    });
}

/// What is named by mistake as a PID file is not taken for a stale one.
#[test]
fn a_file_of_another_sort_is_not_removed() {
    test("stop::a_file_of_another_sort_is_not_removed", Needs::Anyone, |world| {
        let text = "precious ".repeat(20);
        world.file("notes", &text, 0o644);
        // Told before it is touched, and met where the check is not asked.
        for (options, code) in [(&[][..], 6), (&["--unchecked"], 1)] {
            let out =
                world.rsd(&[&["run"], options, &["--pidfile", "notes", "--", "sleep", "1023"]].concat());
            assert_eq!(out.code, code, "{out:#?}");
            assert!(out.err.contains("no PID file"), "{out:#?}");
        }
        assert_eq!(fs::read_to_string(world.path("notes")).expect("still there"), text);
    });
}

#[test]
fn a_start_after_kill_nine_works() {
    test("stop::a_start_after_kill_nine_works", Needs::Anyone, |world| {
        let address = format!("unix:{}", world.text("d.sock"));
        for _ in 0..3 {
            world.fine(&["run", "--listen", &address, "--", "sleep", "1022"]);
            let keeper = world.pid("twistd.pid");
            kernel::kill(keeper, Signal::SIGKILL);
            eventually("the program ends with its keeper", || {
                kernel::running("sleep 1022").is_empty().then_some(())
            });
            assert_eq!(world.rsd(&["status", "--listen", &address]).code, 1);
            assert_eq!(world.timeline(None)["outcome"], "vanished");
        }
        // and after an orderly end, with the socket's name still there
        world.fine(&["run", "--listen", &address, "--", "sleep", "1022"]);
        world.fine(&["stop", "--listen", &address]);
        world.fine(&["run", "--listen", &address, "--", "sleep", "1022"]);
        world.fine(&["stop", "--listen", &address]);
    });
}

#[test]
fn a_draft_of_a_killed_start_is_in_nobodys_way() {
    test("stop::a_draft_of_a_killed_start_is_in_nobodys_way", Needs::Root, |world| {
        let draft = |n: u32| world.path(&format!(".twistd.pid.rsd-{n}"));
        // As in a container, where the next start has the same numbers again.
        (1..3000).for_each(|n| fs::write(draft(n), "x").expect("a draft"));
        chown(draft(2999), Some(OTHER), Some(OTHER)).expect("give it away");
        let locked = File::options().write(true).open(draft(2998)).expect("open it");
        let whole = libc::flock { l_type: libc::F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 1, l_pid: 0 };
        fcntl(&locked, FcntlArg::F_OFD_SETLK(&whole)).expect("lock it");
        fs::write(draft(2997), "x".repeat(100)).expect("more than a number");
        let other = world.file(".other.pid.rsd-2996", "x", 0o644);
        world.fine(&["run", "--", "sleep", "1023"]);
        world.fine(&["stop"]);
        let there: Vec<u32> = (1..3000).filter(|n| draft(*n).exists()).collect();
        // Those whose process is there, and those that are no draft of a start by root that was killed.
        assert!([1, 2997, 2998, 2999].iter().all(|n| there.contains(n)) && other.exists(), "{there:?}");
        assert!(there.len() < 40, "{there:?}");
        // A directory is taken away if it is empty.
        let names = ["app.rsd-2996", "app.rsd-2995", "app.rsd-1", "other.rsd-2996"]
            .map(|n| world.path(&format!(".{n}")));
        names.iter().for_each(|path| fs::create_dir(path).expect("a draft"));
        fs::write(names[1].join("file"), "").expect("something in it");
        let words = [
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile",
            "d.pid",
            "--logfile=",
            "--runtime-directory",
            "app",
        ];
        world.fine(&[&["run"], &words[..], &["--", "sleep", "1023"]].concat());
        let owner = fs::metadata(world.path("app")).expect("it is made").uid();
        world.fine(&[&["stop"], &words[..]].concat());
        assert_eq!((owner, names.map(|path| path.exists())), (SVC, [false, true, true, true]));
    });
}

fn refused(world: &World, arguments: &[&str], phase: &str) {
    for extra in [&[][..], &["--unchecked"]] {
        let out = world.rsd(&[&["run"], extra, arguments, &["--", "sleep", "1024"]].concat());
        let code = if extra.is_empty() { [1, 6] } else { [1, 1] };
        assert!(code.contains(&out.code), "{out:#?}");
        assert!(out.err.contains(phase) && out.err.contains("symbolic link"), "{out:#?}");
        assert!(kernel::running("sleep 1024").is_empty());
    }
}

#[test]
fn links_are_not_followed() {
    test("stop::links_are_not_followed", Needs::Anyone, |world| {
        let target = world.file("precious", "4711\n", 0o644);
        let dangling = world.path("nowhere");
        for to in [&target, &dangling] {
            let link = world.path("link");
            symlink(to, &link).expect("a link");
            let before = world.listing();
            refused(world, &["--pidfile", "link", "--logfile="], "PID");
            refused(world, &["--logfile", "link"], "startLogger");
            assert_eq!(world.rsd(&["stop", "--pidfile", "link"]).code, 4);
            assert_eq!(world.rsd(&["status", "--pidfile", "link"]).code, 4);
            assert_eq!(world.listing(), before);
            fs::remove_file(link).expect("the link");
        }
    });
}

#[test]
fn a_program_that_ignores_term_is_killed() {
    test("stop::a_program_that_ignores_term_is_killed", Needs::Anyone, |world| {
        world.fine(&["run", "--", "bash", "-c", "trap '' TERM; touch deaf; while :; do sleep 0.1; done"]);
        let keeper = world.pid("twistd.pid");
        let program = kernel::children(keeper);
        eventually("it is deaf", || world.path("deaf").exists().then_some(()));
        let out = world.fine(&["stop", "--kill-after", "300ms"]);
        assert!(out.err.contains("did not end within 300 ms"), "{out:?}");
        assert!(out.out.contains("killed: it did not heed"), "{out:?}");
        assert!(kernel::gone(keeper));
        assert!(program.iter().all(|p| kernel::gone(*p)), "the program itself is gone");
        assert!(!world.path("twistd.pid").exists(), "and its keeper came down in order");
    });
}

fn guarded(world: &World) -> (i32, i32) {
    world.file("guard.yaml", GUARD, 0o644);
    world.fine(&["run", "--spec", "guard.yaml", "--uid", "svc", "--", "sleep", "1025"]);
    let keeper = world.pid("twistd.pid");
    let guard = eventually("the guard", || {
        kernel::children(keeper).into_iter().find(|p| kernel::running("sleep 1025") != [*p])
    });
    kernel::process(keeper).is(SVC, SVC, &[SVC, crate::sandbox::EXTRA]);
    (keeper, guard)
}

#[test]
fn the_guard_removes_what_the_daemon_may_not() {
    test("stop::the_guard_removes_what_the_daemon_may_not", Needs::Root, |world| {
        let (keeper, guard) = guarded(world);
        let seen = kernel::process(guard);
        assert_eq!(seen.field("Uid").split_whitespace().next(), Some("0"));
        let open: Vec<_> = seen.descriptors().into_values().collect();
        assert!(!open.iter().any(|fd| fd.ends_with("twistd.log")), "{open:?}");
        // The lock is let go by the guard, last.
        assert!(open.iter().any(|fd| fd.ends_with("twistd.pid")), "{open:?}");
        // Everybody is told to end at shutdown: the guard waits all the same.
        kernel::kill(guard, Signal::SIGTERM);
        let out = world.fine(&["stop", "--spec", "guard.yaml", "--uid", "svc"]);
        assert!(!out.err.contains("left behind"), "{out:?}");
        assert!(kernel::gone(keeper) && !world.path("twistd.pid").exists());
        eventually("the guard is gone", || kernel::gone(guard).then_some(()));
        let text = world.fine(&["trace"]).out;
        assert_eq!(world.timeline(None)["outcome"], "completed", "{text}");
    });
}

/// Nobody waits for it then, and it is said why the file is there.
#[test]
fn a_guard_that_was_killed_is_told() {
    test("stop::a_guard_that_was_killed_is_told", Needs::Root, |world| {
        let (keeper, guard) = guarded(world);
        kernel::kill(guard, Signal::SIGKILL);
        eventually("the guard is gone", || kernel::gone(guard).then_some(()));
        let out = world.fine(&["stop", "--spec", "guard.yaml", "--uid", "svc"]);
        assert!(out.err.contains("is left behind, and stale: its guard was gone before it"), "{out:#?}");
        assert!(kernel::gone(keeper));
        guarded(world);
        let out = world.fine(&["stop", "--spec", "guard.yaml", "--uid", "svc"]);
        assert!(!out.err.contains("left behind"), "{out:#?}");
    });
}

#[test]
fn the_guard_removes_it_after_kill_nine() {
    test("stop::the_guard_removes_it_after_kill_nine", Needs::Root, |world| {
        let (keeper, guard) = guarded(world);
        kernel::kill(keeper, Signal::SIGKILL);
        eventually("the PID file goes", || (!world.path("twistd.pid").exists()).then_some(()));
        eventually("the guard goes", || kernel::gone(guard).then_some(()));
        let out = world.rsd(&["status", "--spec", "guard.yaml", "--uid", "svc"]);
        assert_eq!(out.code, 3, "{out:?}");
    });
}

#[test]
fn the_guard_leaves_the_file_of_another() {
    test("stop::the_guard_leaves_the_file_of_another", Needs::Root, |world| {
        let (keeper, guard) = guarded(world);
        kernel::kill(guard, Signal::SIGSTOP);
        kernel::kill(keeper, Signal::SIGKILL);
        eventually("the program goes", || kernel::running("sleep 1025").is_empty().then_some(()));
        // Somebody helps it along by hand, and starts anew.
        fs::remove_file(world.path("twistd.pid")).expect("the PID file");
        world.fine(&["run", "--", "sleep", "1026"]);
        let inode = world.path("twistd.pid").metadata().expect("it").ino();
        kernel::kill(guard, Signal::SIGCONT);
        eventually("the guard goes", || kernel::gone(guard).then_some(()));
        assert_eq!(world.path("twistd.pid").metadata().expect("it is still there").ino(), inode);
        world.fine(&["stop"]);
    });
}

/// A daemon with a guard that removes more than the PID file.
fn with_more_to_remove(world: &World, spec: &str) -> (Vec<String>, i32, i32) {
    world.directory("run", 0, 0o755);
    let (listen, made) = (format!("unix:{}", world.text("run/app.sock")), world.text("run/app"));
    let line = ["--spec", spec, "--user", "svc", "--pidfile", "run/d.pid", "--logfile=", "--listen", &listen];
    let line = [&line[..], &["--runtime-directory", &made, "--", "sleep", "1028"]].concat();
    world.fine(&[&["run"], &line[..]].concat());
    let keeper = world.pid("run/d.pid");
    let guard = eventually("the guard", || {
        kernel::children(keeper).into_iter().find(|p| kernel::running("sleep 1028") != [*p])
    });
    (line.into_iter().map(str::to_owned).collect(), keeper, guard)
}

/// Whatever it finds when it begins, what it has made is there when it is ready.
#[test]
fn a_start_waits_for_the_guard_of_the_daemon_before() {
    test("stop::a_start_waits_for_the_guard_of_the_daemon_before", Needs::Root, |world| {
        let (line, keeper, guard) = with_more_to_remove(world, "daemon");
        kernel::kill(guard, Signal::SIGSTOP);
        kernel::kill(keeper, Signal::SIGKILL);
        eventually("the program goes", || kernel::running("sleep 1028").is_empty().then_some(()));
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let status = world.rsd(&[&["status"], &line[..]].concat());
        assert_eq!(status.code, 3, "{status:?}");
        assert!(status.out.contains(&format!("its guard, process {guard}")), "{status:?}");
        let start = world
            .command(crate::sandbox::binary())
            .arg("run")
            .args(&line)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("another start");
        let draft = |path: &std::path::PathBuf| path.to_string_lossy().contains("/.d.pid.");
        eventually("it has a PID file ready, and waits", || {
            crate::sandbox::entries(&world.path("run")).iter().any(draft).then_some(())
        });
        kernel::kill(guard, Signal::SIGCONT);
        let out = start.wait_with_output().expect("its end");
        assert!(out.status.success(), "{out:?}");
        eventually("the guard goes", || kernel::gone(guard).then_some(()));
        assert!(world.path("run/app").is_dir(), "the guard of the old one removed it");
        assert!(world.path("run/app.sock").exists(), "the guard of the old one removed it");
        assert_ne!(world.pid("run/d.pid"), keeper);
        world.fine(&[&["stop"], &line[..]].concat());
    });
}

/// In an order in which the PID file does not go last.
#[test]
fn stop_waits_for_the_guard_and_not_for_the_pid_file_alone() {
    test("stop::stop_waits_for_the_guard_and_not_for_the_pid_file_alone", Needs::Root, |world| {
        let order = "order: [serve, removePIDFile, removeSockets, removeRuntimeDirectories]";
        world.file("early.yaml", &format!("rsd: 1\nname: early\nextends: daemon\n{order}\n"), 0o644);
        let (line, keeper, guard) = with_more_to_remove(world, "early.yaml");
        kernel::kill(guard, Signal::SIGSTOP);
        let mut stop =
            world.command(crate::sandbox::binary()).arg("stop").args(&line).spawn().expect("rsd stop");
        eventually("the keeper is gone", || kernel::gone(keeper).then_some(()));
        // Longer than a stop waits for a PID file.
        std::thread::sleep(Duration::from_millis(3_500));
        assert!(stop.try_wait().expect("it").is_none(), "it did not wait");
        kernel::kill(guard, Signal::SIGCONT);
        assert!(stop.wait().expect("its end").success());
        assert!(kernel::gone(guard) && !world.path("run/app").exists());
    });
}

/// It has no business in the directory it was started in.
#[test]
fn the_guard_keeps_no_file_system_busy() {
    test("stop::the_guard_keeps_no_file_system_busy", Needs::Root, |world| {
        let stick = world.directory("stick", 0, 0o755);
        crate::sandbox::sh("mount", &["-t", "tmpfs", "stick", &world.text("stick")]);
        let pid_file = world.text("d.pid");
        let line = ["--spec", "daemon", "--user", "svc", "--pidfile", &pid_file, "--logfile="];
        let run = [&["run"], &line[..], &["--", "sleep", "1031"]].concat();
        let out = done(world.command(crate::sandbox::binary()).args(run).current_dir(&stick));
        assert_eq!(out.code, 0, "{out:?}");
        crate::sandbox::sh("umount", &[&world.text("stick")]);
        world.fine(&[&["stop"], &line[..]].concat());
        assert!(!world.path("d.pid").exists());
    });
}

#[test]
fn nobody_stops_what_is_not_his() {
    test("stop::nobody_stops_what_is_not_his", Needs::Root, |world| {
        world.fine(&["run", "--umask", "022", "--", "sleep", "1027"]);
        let keeper = world.pid("twistd.pid");
        let binary = crate::sandbox::binary();
        let out = done(
            world
                .command("setpriv")
                .args(["--reuid", "4100", "--regid", "4100", "--clear-groups"])
                .arg(readable(world, &binary))
                .args(["stop"]),
        );
        assert_eq!(out.code, 4, "{out:?}");
        assert!(!kernel::gone(keeper));
        world.fine(&["stop"]);
    });
}

/// A copy of the binary that everybody can run.
pub fn readable(world: &World, binary: &std::path::Path) -> std::path::PathBuf {
    let copy = world.path("rsd");
    if !copy.exists() {
        fs::copy(binary, &copy).expect("a copy of the binary");
    }
    copy
}

#[test]
fn a_link_inside_a_jail_does_not_lead_to_another_daemon() {
    test("stop::a_link_inside_a_jail_does_not_lead_to_another_daemon", Needs::Root, |world| {
        world.directory("run", 0, 0o755);
        world.fine(&["run", "--pidfile", "run/d.pid", "--", "sleep", "1028"]);
        let keeper = world.pid("run/d.pid");
        let jail = world.directory("jail", SVC, 0o755);
        symlink("../run", jail.join("run")).expect("a link out of the jail");
        let options = ["--chroot", jail.to_str().expect("text"), "--uid", "svc", "--pidfile", "/run/d.pid"];
        let out = world.rsd(&[&["stop"], &options[..]].concat());
        assert_eq!(out.code, 3, "{out:?}");
        assert!(!kernel::gone(keeper));
        world.fine(&["stop", "--pidfile", "run/d.pid"]);
    });
}

#[test]
fn stop_is_quick() {
    test("stop::stop_is_quick", Needs::Anyone, |world| {
        world.fine(&["run", "--", "sleep", "1029"]);
        let begin = Instant::now();
        world.fine(&["stop"]);
        assert!(begin.elapsed() < Duration::from_secs(8), "it need not be killed after ten seconds");
    });
}
