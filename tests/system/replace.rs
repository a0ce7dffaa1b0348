//! `--replace`: the process becomes the program, and nothing of us is left.

use crate::kernel;
use crate::sandbox::{Needs, SVC, World, eventually, test};
use nix::sys::signal::Signal;

fn program(world: &World) -> i32 {
    world.pid("twistd.pid")
}

#[test]
fn the_process_is_the_program() {
    test("replace::the_process_is_the_program", Needs::Anyone, |world| {
        let script = "echo out; echo err >&2; exec sleep 1080";
        world.fine(&["run", "--replace", "--listen", "tcp:127.0.0.1:0", "--", "sh", "-c", script]);
        let pid = program(world);
        eventually("it sleeps", || (kernel::running("sleep 1080") == [pid]).then_some(()));
        assert_eq!(kernel::children(pid), Vec::<i32>::new());
        let status = kernel::process(pid);
        assert_eq!(status.field("SigBlk"), "0000000000000000");
        let environment = kernel::environment(pid);
        assert!(environment.contains(&format!("LISTEN_PID={pid}")), "{environment:?}");
        assert!(environment.contains(&"LISTEN_FDS=1".to_owned()), "{environment:?}");
        // 0 to 2, the socket, and the PID file with its locks: nothing else of ours. Its loader is not done with
        // its libraries at once.
        let open = eventually("it has five descriptors", || {
            Some(kernel::process(pid).descriptors()).filter(|open| open.len() == 5)
        });
        let text = open.into_values().map(|to| to.display().to_string()).collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("twistd.pid") && text.contains("socket:") && text.contains("twistd.log"),
            "{text}"
        );
        let log = std::fs::read_to_string(world.path("twistd.log")).expect("the log");
        assert_eq!(log, "out\nerr\n");
        // It is found, it keeps a second one out, and the trace says what became of it.
        assert!(world.fine(&["status"]).out.contains(&format!("process {pid}")));
        let second = world.rsd(&["run", "--logfile", "two.log", "--", "sleep", "1081"]);
        assert_eq!(second.code, 5, "{second:?}");
        let timeline = world.timeline(world.journals().first().map(|p| p.as_path()));
        assert_eq!(timeline["outcome"], "completed");
        assert!(timeline["ready_ns"].is_u64(), "{timeline}");
        world.fine(&["stop"]);
        assert!(kernel::gone(pid));
    });
}

#[test]
fn dropped_with_a_guard() {
    test("replace::dropped_with_a_guard", Needs::Root, |world| {
        let own = world.directory("own", SVC, 0o755);
        let log = own.join("d.log");
        let log = log.to_str().expect("text");
        let args = [
            "run",
            "--spec",
            "twistd-safe",
            "--replace",
            "--uid",
            "svc",
            "--logfile",
            log,
            "--",
            "sleep",
            "1082",
        ];
        world.fine(&args);
        let pid = program(world);
        assert_eq!(kernel::running("sleep 1082"), [pid]);
        kernel::kill(pid, Signal::SIGKILL);
        eventually("the guard has removed the PID file", || {
            (!world.path("twistd.pid").exists()).then_some(())
        });
    });
}

/// Of `daemon` too nothing is left: no keeper, and no guard that its program would find among its children.
#[test]
fn of_daemon_nothing_is_left() {
    test("replace::of_daemon_nothing_is_left", Needs::Root, |world| {
        let line = [
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile",
            "it.pid",
            "--logfile",
            "log/it.log",
            "--replace",
        ];
        let out = world.rsd(&[&["check"], &line[..], &["--", "sleep", "1083"]].concat());
        assert!(
            out.code == 0 && out.err.contains("RSD0507") && !out.err.contains("RSD0402"),
            "what stays is foreseen: {out:#?}"
        );
        world.fine(&[&["run"], &line[..], &["--", "sleep", "1083"]].concat());
        let pid = world.pid("it.pid");
        assert_eq!(kernel::running("sleep 1083"), [pid]);
        assert_eq!(kernel::children(pid), Vec::<i32>::new());
        kernel::process(pid).is(SVC, SVC, &[SVC, crate::sandbox::EXTRA]);
        let out = world.fine(&[&["stop"], &line[..]].concat());
        assert!(
            kernel::gone(pid) && out.err.contains("left behind, and stale: the program had taken"),
            "{out:#?}"
        );
        // Which blocks no start.
        world.fine(&[&["run"], &line[..], &["--", "sleep", "1083"]].concat());
        world.fine(&[&["stop"], &line[..]].concat());
    });
}

#[test]
fn what_cannot_be_executed_is_undone() {
    test("replace::what_cannot_be_executed_is_undone", Needs::Anyone, |world| {
        world.file("broken", "neither a program nor a script", 0o755);
        world.file("script", "#!/no/such/interpreter\n", 0o755);
        let out = world.rsd(&["run", "--replace", "--", "./script"]);
        assert!(out.code == 6 && out.err.contains("its interpreter /no/such/interpreter"), "{out:?}");
        for (name, errno) in [("./broken", "Exec format error"), ("./script", "No such file")] {
            let out = world.rsd(&["run", "--unchecked", "--replace", "--", name]);
            assert_eq!(out.code, 1, "{out:?}");
            assert!(out.err.contains("startReactor failed") && out.err.contains(errno), "{out:?}");
            assert!(!world.path("twistd.pid").exists() && !world.path("twistd.log").exists(), "{out:?}");
            let out = world.rsd(&["run", "--unchecked", "-n", "--replace", "--", name]);
            assert!(out.code != 0 && out.err.contains(errno), "{out:?}");
            assert!(!world.path("twistd.pid").exists(), "{out:?}");
        }
    });
}

#[test]
fn in_the_foreground() {
    test("replace::in_the_foreground", Needs::Anyone, |world| {
        let out = world.rsd(&[
            "run",
            "-n",
            "--replace",
            "--",
            "sh",
            "-c",
            "echo $PPID; ps -o pid= --ppid $$ | wc -l; exit 7",
        ]);
        assert_eq!(out.code, 7, "{out:?}");
        // The children of the shell are those of its own pipe: no holder of the undo was left to it.
        assert!(
            out.out.lines().nth(1).is_some_and(|n| n.trim().parse::<u32>().is_ok_and(|n| n <= 2)),
            "{out:?}"
        );
    });
}
