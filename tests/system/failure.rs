//! Starts that fail: the exit code, the message, and that nothing stays.

use crate::kernel;
use crate::sandbox::{Needs, SVC, World, eventually, test};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

/// The start fails with that code; the words are in the message, and nothing is left of it.
fn fails(world: &World, arguments: &[&str], code: i32, words: &[&str]) {
    let (before, processes) = (world.listing(), kernel::all());
    let out = world.rsd(arguments);
    assert_eq!(out.code, code, "{arguments:?}: {out:#?}");
    for word in words {
        assert!(out.err.contains(word), "`{word}` is not in {arguments:?}:\n{}", out.err);
    }
    assert_eq!(world.listing(), before, "{arguments:?} left something:\n{}", out.err);
    eventually("its processes are gone", || {
        let more: Vec<_> = kernel::all().into_iter().filter(|p| !processes.contains(p)).collect();
        (!world.root || more.is_empty()).then_some(())
    });
}

fn unchecked<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--unchecked"], arguments].concat()
}

#[test]
fn a_program_that_cannot_be_run() {
    test("failure::a_program_that_cannot_be_run", Needs::Anyone, |world| {
        fails(world, &["run", "--", "no-such-program"], 6, &["no-such-program", "ENOENT"]);
        fails(
            world,
            &unchecked(&["--", "no-such-program"]),
            1,
            &["readTacFile failed", "no such program", "do: "],
        );
        world.file("garbage", "\x01\x02\x03", 0o755);
        fails(
            world,
            &["run", "--", "./garbage"],
            1,
            &["startApplication failed", "Exec format error", "why: ", "do: "],
        );
        world.file("orphan", "#!/no/such/interpreter\n", 0o755);
        fails(
            world,
            &["run", "--", "./orphan"],
            6,
            &["startApplication", "ENOENT", "its interpreter /no/such/interpreter"],
        );
        fails(
            world,
            &unchecked(&["--", "./orphan"]),
            1,
            &["startApplication failed", "No such file", "/no/such/interpreter"],
        );
    });
}

#[test]
fn a_failure_after_the_drop_is_undone_by_the_launcher() {
    test("failure::a_failure_after_the_drop_is_undone_by_the_launcher", Needs::Root, |world| {
        // Root's directories: the dropped daemon could remove nothing in them.
        world.directory("run", 0, 0o755);
        world.file("secret", "#!/bin/sh\n", 0o700);
        let options = [
            "--uid",
            "svc",
            "--pidfile",
            "run/f.pid",
            "--logfile",
            "run/f.log",
            "--listen",
            "unix:run/f.sock",
        ];
        let start = [&options[..], &["--", "./secret"]].concat();
        fails(world, &[&["run"], &start[..]].concat(), 6, &["startApplication", "EACCES"]);
        let words = [
            "startApplication failed",
            "Permission denied",
            "why: ",
            "4000",
            "do: ",
            "undone: remove",
            "nothing is left behind",
        ];
        fails(world, &unchecked(&start), 1, &words);
        world.file("garbage", "\x01\x02", 0o755);
        let start = [&["run"], &options[..], &["--", "./garbage"]].concat();
        fails(world, &start, 1, &["startApplication failed", "Exec format error", "undone: remove"]);
        let spans = world.timeline(None);
        assert_eq!(spans["outcome"], "unwound");
        assert_eq!(spans["spans"][10]["error"]["errno"], 8);
    });
}

/// In the foreground and as a daemon: root's old log is the user's only where a start came about.
#[test]
fn an_old_log_that_was_given_away_is_given_back() {
    test("failure::an_old_log_that_was_given_away_is_given_back", Needs::Root, |world| {
        world.directory("log", 0, 0o755);
        world.file("log/f.log", "old\n", 0o640);
        world.file("garbage", "\x01\x02", 0o755);
        world.directory("run", 0, 0o755);
        let options =
            ["run", "--spec", "daemon", "--user", "svc", "--pidfile", "run/f.pid", "--logfile", "log/f.log"];
        let words = ["Exec format error", "undone: give ", "back to 0:0", "nothing is left behind"];
        for more in [&[][..], &["--nodaemon"]] {
            fails(world, &[&options[..], more, &["--", "./garbage"]].concat(), 1, &words);
        }
        world.fine(&[&options[..], &["--", "sleep", "1002"]].concat());
        let owner = std::fs::metadata(world.path("log/f.log")).expect("the log");
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), SVC);
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "run/f.pid"]);
    });
}

/// Who linked it meanwhile would have a file of root's with text of their own, wherever they like.
#[test]
fn an_old_log_that_was_linked_meanwhile_is_not_given_back() {
    test("failure::an_old_log_that_was_linked_meanwhile_is_not_given_back", Needs::Root, |world| {
        world.directory("log", 0, 0o755);
        world.file("log/f.log", "old\n", 0o640);
        world.directory("run", 0, 0o755);
        world.directory("own", SVC, 0o755);
        let options =
            ["run", "--spec", "daemon", "--user", "svc", "--pidfile", "run/f.pid", "--logfile", "log/f.log"];
        let links = "ln /mnt/work/log/f.log /mnt/work/own/mine && exit 3";
        let out = world.rsd(&[&options[..], &["--", "/bin/sh", "-c", links]].concat());
        assert!(out.code != 0 && out.err.contains("it has 2 names"), "{out:#?}");
        assert!(!out.err.contains("nothing is left behind"), "{out:#?}");
        for name in ["log/f.log", "own/mine"] {
            let found = std::fs::metadata(world.path(name)).expect("the log");
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&found), SVC, "{name}");
        }
        assert!(!world.path("run/f.pid").exists());
    });
}

#[test]
fn an_address_in_use() {
    test("failure::an_address_in_use", Needs::Anyone, |world| {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = format!("tcp:{}", taken.local_addr().expect("its address"));
        let words = ["privilegedStartService failed", "Address already in use", "do: ", "undone: remove"];
        fails(world, &unchecked(&["--listen", &address, "--", "sleep", "1001"]), 1, &words);
        fails(world, &["run", "--listen", &address, "--", "sleep", "1001"], 6, &["RSD0604", "EADDRINUSE"]);
        let path = world.path("live.sock");
        let _live = std::os::unix::net::UnixListener::bind(&path).expect("bind");
        let address = format!("unix:{}", path.display());
        let words = ["privilegedStartService failed", "Address already in use"];
        fails(world, &unchecked(&["--listen", &address, "--", "sleep", "1001"]), 1, &words);
        assert_eq!(world.rsd(&["run", "--listen", &address, "--", "sleep", "1001"]).code, 6);
    });
}

#[test]
fn directories_that_are_missing() {
    test("failure::directories_that_are_missing", Needs::Anyone, |world| {
        let sleep = ["--", "sleep", "1002"];
        let cases: [(&[&str], &str); 3] = [
            (&["--pidfile", "none/x.pid"], "openPIDFile"),
            (&["--logfile", "none/x.log"], "startLogger"),
            (&["--rundir", "none"], "chdir"),
        ];
        for (options, phase) in cases {
            fails(world, &[&["run"], options, &sleep].concat(), 6, &[phase, "ENOENT"]);
            let failed = format!("{phase} failed");
            fails(world, &unchecked(&[options, &sleep].concat()), 1, &[&failed, "No such file or directory"]);
        }
        if world.root {
            let options = ["--chroot", "none"];
            fails(world, &[&["run"], &options[..], &sleep].concat(), 6, &["ENOENT"]);
            fails(
                world,
                &unchecked(&[&options[..], &sleep].concat()),
                1,
                &["failed", "No such file or directory"],
            );
        }
    });
}

#[test]
fn a_working_directory_that_the_user_may_not_enter() {
    test("failure::a_working_directory_that_the_user_may_not_enter", Needs::Root, |world| {
        world.directory("closed", 0, 0o700);
        let inside = world.file("closed/program", "#!/bin/sh\nsleep 1003\n", 0o755);
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let program = inside.to_str().expect("text");
        let words = ["startApplication failed", "Permission denied", "closed", "0700", "do: "];
        fails(world, &unchecked(&["--uid", "svc", "--", program]), 1, &words);
    });
}

/// A start that waits at its phase `gate` until there is a directory of that name.
pub const GATE: &str = "
rsd: 1
name: gate
extends: twistd
phases:
  postApplication:
    phases:
      gate:
        kind: chdir
        with: { path: gate }
        on-failure: { retry: { times: 1000, delay: 20ms } }
order: [privilegedStartService, gate]
";

/// Starts GATE and comes back when it has come to its gate.
pub fn at_the_gate(world: &World, more: &[&str]) -> std::process::Child {
    world.file("spec.yaml", GATE, 0o644);
    let mut start = world.command(crate::sandbox::binary());
    start.args(["run", "--unchecked", "--spec", "spec.yaml", "--journal", "gate.jsonl"]).args(more);
    start.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = start.spawn().expect("start");
    eventually("it comes to its gate", || {
        std::fs::read_to_string(world.path("gate.jsonl"))
            .ok()
            .filter(|j| j.contains(r#""ev":"enter","phase":"gate""#))
    });
    child
}

/// How that start ended: its exit code and what it said.
pub fn ended(child: std::process::Child) -> (i32, String) {
    use std::os::unix::process::ExitStatusExt;
    let out = child.wait_with_output().expect("wait");
    let code = out.status.code().unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0));
    (code, String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_pid_directory_that_goes_while_it_starts() {
    test("failure::a_pid_directory_that_goes_while_it_starts", Needs::Anyone, |world| {
        world.directory("run", SVC, 0o755);
        let order = ["--order", "gate,openPIDFile", "--pidfile", "run/p.pid", "--", "sleep", "1004"];
        let child = at_the_gate(world, &order);
        std::fs::remove_dir(world.path("run")).expect("the directory goes");
        world.directory("gate", 0, 0o755);
        let (code, err) = ended(child);
        assert_eq!(code, 1, "{err}");
        for word in ["openPIDFile failed", "No such file or directory", "nothing is left behind"] {
            assert!(err.contains(word), "{err}");
        }
        assert!(kernel::running("sleep 1004").is_empty());
        assert!(!world.path("twistd.log").exists(), "{err}");
    });
}

#[test]
fn a_retried_phase_works_when_its_reason_to_fail_is_gone() {
    test("failure::a_retried_phase_works_when_its_reason_to_fail_is_gone", Needs::Anyone, |world| {
        let child = at_the_gate(world, &["--", "sleep", "1005"]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        world.directory("gate", 0, 0o755);
        let (code, err) = ended(child);
        assert_eq!(code, 0, "{err}");
        assert_eq!(kernel::children(world.pid("twistd.pid")), kernel::running("sleep 1005"));
        world.fine(&["stop"]);
    });
}

#[test]
fn what_the_dropped_process_made_is_undone_as_its_user() {
    test("failure::what_the_dropped_process_made_is_undone_as_its_user", Needs::Root, |world| {
        world.file("garbage", "\x01\x02\x03", 0o755);
        world.file(
            "late.yaml",
            "rsd: 1\nname: late\nextends: twistd\nphases:\n  startApplication: { on-failure: { retry: { times: 1, delay: 500ms } } }\norder: [switchUidGid, openPIDFile]\n",
            0o644,
        );
        let arguments =
            ["run", "--spec", "late.yaml", "--uid", "svc", "--logfile=", "--pidfile", "run/f.pid"];
        let arguments = [&arguments[..], &["--", "./garbage"]].concat();
        let run = world.directory("run", SVC, 0o755);
        fails(world, &arguments, 1, &["startApplication failed", "undone: remove", "nothing is left behind"]);
        // The same, and while it waits to try again the directory becomes root's: the launcher could
        // remove the file, its maker cannot any more.
        let child = world
            .command(crate::sandbox::binary())
            .args(&arguments)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        eventually("the PID file is there", || world.path("run/f.pid").exists().then_some(()));
        nix::unistd::chown(&run, Some(0.into()), Some(0.into())).expect("chown");
        let out = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(7), "{said}");
        assert!(said.contains("LEFT BEHIND: remove") && said.contains("Permission denied"), "{said}");
        assert!(world.path("run/f.pid").exists());
    });
}
