//! What really happens differs from what the check said: told at once, recorded, and with `--strict` the end.
//!
//! Nothing is pretended: applications of Twisted change the process that hosts them, and directories are
//! replaced while a start runs.

use crate::kernel;
use crate::sandbox::{Needs, Out, SVC, World, diverging, eventually, skip, test};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// The Python that has Twisted.
fn python(name: &str) -> Option<String> {
    let made = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/twisted-venv");
    let venv = std::env::var_os("RSD_TEST_TWISTED").map_or_else(made, PathBuf::from);
    let python = venv.join("bin/python");
    if !python.exists() {
        skip(name, "Twisted is not there; `tests/all --install` installs it below target/");
        return None;
    }
    python.to_str().map(str::to_owned)
}

/// An application: what is done when it is read, and in the methods of its service.
fn tac(read: &str, methods: &str) -> String {
    format!(
        "import os, ctypes\nfrom twisted.application import service\n\
         prctl = lambda *a: ctypes.CDLL(None, use_errno=True).prctl(*a)\n\
         application = service.Application('t')\n{read}\n\
         class Odd(service.Service):\n    name = 'odd'\n{methods}\n\
         Odd().setServiceParent(application)\n"
    )
}

/// A method of the service.
fn method(name: &str, body: &str) -> String {
    format!("    def {name}(self):\n        {body}\n")
}

struct Started {
    out: Out,
    timeline: Value,
}

/// Starts `t.tac` as a daemon.
fn start(world: &World, python: &str, text: &str, more: &[&str]) -> Started {
    world.file("t.tac", text, 0o644);
    let line = ["run", "--python", "t.tac", "--interpreter", python, "--pidfile", "t.pid", "--logfile="];
    let out = world.rsd(&[&line[..], more].concat());
    Started { timeline: world.timeline(None), out }
}

/// (phase, field, predicted, observed) of each.
fn differences(timeline: &Value) -> Vec<[String; 4]> {
    let text = |d: &Value, key: &str| d[key].as_str().unwrap_or_default().to_owned();
    let all = timeline["divergences"].as_array().expect("a list");
    all.iter().map(|d| ["phase", "field", "predicted", "observed"].map(|key| text(d, key))).collect()
}

fn fields(timeline: &Value) -> Vec<String> {
    differences(timeline).into_iter().map(|[_, field, ..]| field).collect()
}

/// Every view of the newest run says it.
fn every_view_says(world: &World, sentence: &str) {
    for format in ["text", "html"] {
        let out = world.fine(&["trace", "--format", format]).out;
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&out).contains(sentence), "{format}: {out}");
    }
}

/// A start that is strict leaves nothing: it fails with 1, and the place is as it was.
fn strict_leaves_nothing(world: &World, python: &str, text: &str, more: &[&str], phase: &str) -> Out {
    world.file("t.tac", text, 0o644);
    let before = world.listing();
    let started = start(world, python, text, &[more, &["--strict"]].concat());
    let out = started.out;
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.err.contains(&format!("{phase} failed: ")), "{out:#?}");
    assert!(out.err.contains("nothing is left behind"), "{out:#?}");
    assert_eq!(world.listing(), before, "something is left behind");
    assert_eq!(started.timeline["outcome"], "unwound");
    let spans = started.timeline["spans"].as_array().expect("spans");
    let state = |name: &str| spans.iter().find(|s| s["phase"] == name).map(|s| s["state"].clone());
    assert!(matches!(state(phase).as_ref().and_then(Value::as_str), Some("failed" | "undone")), "{spans:#?}");
    assert_eq!(state("startReactor"), Some(Value::from("pending")));
    assert_eq!(kernel::all().len(), kernel::all().iter().filter(|p| !is_daemon(**p)).count());
    out
}

fn is_daemon(pid: i32) -> bool {
    kernel::command_line(pid).contains("t.tac")
}

fn stop(world: &World, python: &str) {
    world.fine(&["stop", "--python", "t.tac", "--interpreter", python, "--pidfile", "t.pid"]);
    // Who has dropped cannot remove it in a directory of root.
    let _ = fs::remove_file(world.path("t.pid"));
}

/// Before the fork, in the process that has the terminal; it ends as soon as the umask is set anyway.
#[test]
fn a_umask_set_by_the_application() {
    const NAME: &str = "diverge::a_umask_set_by_the_application";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        let text = tac("os.umask(0)", "    pass");
        let Started { out, timeline } = start(world, &python, &text, &["--uid", "svc"]);
        assert_eq!(out.code, 0, "{out:#?}");
        let sentence = "umask was predicted to be 022 and is 000 after load /mnt/work/t.tac";
        assert!(
            out.err.contains(&format!("twistd: readTacFile: {sentence}\n  it may mean that ")),
            "{out:#?}"
        );
        assert_eq!(differences(&timeline), [["readTacFile", "umask", "022", "000"]]);
        every_view_says(world, sentence);
        // What was made in between has the mode that follows from it.
        stop(world, &python);
        strict_leaves_nothing(world, &python, &text, &["--uid", "svc"], "readTacFile");
        assert_eq!(start(world, &python, &tac("", "    pass"), &["--strict"]).out.code, 0, "nothing differs");
        stop(world, &python);
    });
}

/// Behind the fork: the launcher says it before it ends, and undoes where that is asked for.
#[test]
fn a_directory_left_by_the_daemon() {
    const NAME: &str = "diverge::a_directory_left_by_the_daemon";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        world.directory("elsewhere", SVC, 0o755);
        let text = tac("", &method("privilegedStartService", "os.chdir('/mnt/work/elsewhere')"));
        let Started { out, timeline } = start(world, &python, &text, &["--uid", "svc"]);
        assert_eq!(out.code, 0, "{out:#?}");
        assert!(
            out.err.contains("privilegedStartService: cwd was predicted to be /mnt/work and is"),
            "{out:#?}"
        );
        // Said once, for as long as it lasts.
        let expected = ["privilegedStartService", "cwd", "/mnt/work", "/mnt/work/elsewhere"];
        assert_eq!(differences(&timeline), [expected]);
        assert_eq!(out.err.matches("was predicted").count(), 1, "{out:#?}");
        stop(world, &python);
        strict_leaves_nothing(world, &python, &text, &["--uid", "svc"], "privilegedStartService");
    });
}

/// What is no part of the identity of a process, and of its capabilities.
#[test]
fn switches_and_sets_of_the_kernel() {
    const NAME: &str = "diverge::switches_and_sets_of_the_kernel";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        // PR_SET_NO_NEW_PRIVS; PR_CAPBSET_DROP of CAP_NET_RAW; PR_SET_SECUREBITS to SECBIT_NOROOT.
        for (call, field) in [
            ("prctl(38, 1, 0, 0, 0)", "no_new_privs"),
            ("prctl(24, 13, 0, 0, 0)", "bounding"),
            ("prctl(28, 1, 0, 0, 0)", "securebits"),
            ("os.setgroups([4001])", "groups"),
            ("os.setegid(4000)", "gid"),
        ] {
            let text = tac(&format!("assert not {call}"), "    pass");
            let started = start(world, &python, &text, &[]);
            assert_eq!(started.out.code, 0, "{:#?}", started.out);
            assert_eq!(fields(&started.timeline), [field], "{:#?}", started.out);
            assert!(started.out.err.contains(&format!("readTacFile: {field} ")), "{:#?}", started.out);
            stop(world, &python);
            strict_leaves_nothing(world, &python, &text, &[], "readTacFile");
        }
    });
}

/// A session of its own, in the background and in the foreground, where the undo is held by a child.
#[test]
fn a_session_that_the_application_made() {
    const NAME: &str = "diverge::a_session_that_the_application_made";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        for more in [&[][..], &["--nodaemon"]] {
            let out =
                strict_leaves_nothing(world, &python, &tac("os.setsid()", "    pass"), more, "readTacFile");
            assert_eq!(fields(&world.timeline(None)), ["session"]);
            assert_eq!(out.err.matches("readTacFile: session was predicted to be ").count(), 1, "{out:#?}");
        }
    });
}

/// The root changes where no phase changes it.
#[test]
fn a_root_that_the_application_changed() {
    const NAME: &str = "diverge::a_root_that_the_application_changed";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        world.directory("jail", 0, 0o755);
        let text = tac("", &method("privilegedStartService", "os.chroot('/mnt/work/jail')"));
        let out = strict_leaves_nothing(world, &python, &text, &[], "privilegedStartService");
        assert!(out.err.contains("root was predicted to be / and is (another directory)"), "{out:#?}");
    });
}

/// The plan is made again with the user that the application names, and compared with the newer one.
#[test]
fn behind_a_plan_made_again() {
    const NAME: &str = "diverge::behind_a_plan_made_again";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        let named = |methods: &str| {
            tac("", methods).replace("Application('t')", "Application('t', uid=4000, gid=4000)")
        };
        let fine = start(world, &python, &named("    pass"), &["--strict"]);
        assert_eq!((fine.out.code, fields(&fine.timeline)), (0, vec![]), "{:#?}", fine.out);
        stop(world, &python);
        // It regains nothing; it only leaves the directory, as the user that it became.
        world.directory("elsewhere", SVC, 0o755);
        let text = named(&method(
            "startService",
            "os.chdir('/mnt/work/elsewhere'); service.Service.startService(self)",
        ));
        let out = strict_leaves_nothing(world, &python, &text, &[], "startApplication");
        assert!(out.err.contains("is /mnt/work/elsewhere"), "{out:#?}");
    });
}

/// Behind ready nobody waits at a terminal: the journal has it, of the daemon and of its guard.
#[test]
fn on_the_way_down_and_in_the_guard() {
    const NAME: &str = "diverge::on_the_way_down_and_in_the_guard";
    diverging(NAME, Needs::Root, |world| {
        let Some(python) = python(NAME) else { return };
        let methods =
            method("privilegedStartService", "os.umask(0o027)") + &method("stopService", "os.chdir('/')");
        world.directory("logs", SVC, 0o755);
        for (more, outcome) in [(&[][..], "completed"), (&["--strict"], "failed")] {
            let methods = match more {
                [] => methods.clone(),
                _ => method("stopService", "os.chdir('/')"),
            };
            world.file("t.tac", &tac("", &methods), 0o644);
            let line = ["--spec", "twistd-safe", "--python", "t.tac", "--interpreter", &python];
            let line =
                [&line[..], &["--pidfile", "t.pid", "--logfile", "logs/t.log", "--uid", "svc"]].concat();
            world.fine(&[&["run"], &line[..], more].concat());
            world.fine(&[&["stop"], &line[..]].concat());
            eventually("the guard removes the PID file", || (!world.path("t.pid").exists()).then_some(()));
            let expected: Vec<[&str; 2]> = match more {
                [] => vec![
                    ["privilegedStartService", "umask"],
                    ["startReactor", "cwd"],
                    ["removePIDFile", "umask"],
                ],
                _ => vec![["startReactor", "cwd"]],
            };
            let timeline = eventually("the record is complete", || {
                let timeline = world.timeline(None);
                (differences(&timeline).len() == expected.len()).then_some(timeline)
            });
            let mut found: Vec<[String; 2]> =
                differences(&timeline).into_iter().map(|[phase, field, ..]| [phase, field]).collect();
            found.sort();
            let mut expected = expected;
            expected.sort();
            assert_eq!(found, expected);
            assert_eq!(timeline["outcome"], outcome);
        }
    });
}

/// No application at all: while a phase is tried again, a directory is replaced by a link to another, and
/// what the check said must fail works.
#[test]
fn a_directory_replaced_while_it_starts() {
    const SPEC: &str = "rsd: 1\nname: t\nphases:\n\
        \x20 wait: { kind: chdir, with: { path: late }, on-failure: { retry: { times: 1000, delay: 30ms } } }\n\
        \x20 go: { kind: chdir, needs: [wait], with: { path: here } }\n\
        \x20 fork: { kind: daemonize, needs: [go] }\n";
    diverging("diverge::a_directory_replaced_while_it_starts", Needs::Anyone, |world| {
        world.file("t.yaml", SPEC, 0o644);
        fs::create_dir(world.path("here")).expect("a directory");
        let journal = world.text("journal");
        let mut run = world.command(crate::sandbox::binary());
        run.args(["run", "--spec", "t.yaml", "--unchecked", "--journal", &journal]);
        let run = run.stderr(std::process::Stdio::piped()).spawn().expect("start it");
        eventually("it tries", || {
            fs::read_to_string(&journal).ok().filter(|text| text.contains("\"ev\":\"enter\""))
        });
        fs::rename(world.path("here"), world.path("there")).expect("move it");
        symlink(world.path("there"), world.path("here")).expect("a link in its place");
        fs::create_dir(world.path("late")).expect("what it waits for");
        let out = run.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&out.stderr);
        let timeline = world.timeline(Some(&PathBuf::from(&journal)));
        let all = differences(&timeline);
        let (late, there, here) = (world.text("late"), world.text("there"), world.text("here"));
        assert_eq!(all[0][..2], ["wait", "state"], "{all:?}\n{said}");
        assert_eq!(
            all[1],
            ["wait".to_owned(), "cwd".to_owned(), world.text(""), late]
                .map(|t| t.trim_end_matches('/').to_owned())
        );
        assert_eq!(all[2], ["go".to_owned(), "cwd".to_owned(), here.clone(), there.clone()]);
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(said.contains(&format!("go: cwd was predicted to be {here} and is {there}")), "{said}");
        assert!(out.status.success(), "{said}");
    });
}

/// The way to a root may lead through links: that is no difference.
#[test]
fn a_link_to_the_root_is_foreseen() {
    test("diverge::a_link_to_the_root_is_foreseen", Needs::Root, |world| {
        world.directory("jail", 0, 0o755);
        symlink("jail", world.path("link")).expect("a link");
        let line = [
            "--chroot",
            "link",
            "--uid",
            "svc",
            "--pidfile=",
            "--logfile=",
            "--strict",
            "--listen",
            "tcp:127.0.0.1:8707",
        ];
        let out = world.fine(&[&["run"], &line[..]].concat());
        assert!(!out.err.contains("predicted"), "{out:#?}");
    });
}
