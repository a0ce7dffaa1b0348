//! What a program leaves running when it ends goes with it.

use crate::kernel;
use crate::sandbox::{Needs, Out, SVC, World, binary, entries, eventually, test};
use nix::sys::signal::Signal;
use std::fs;

/// A start of that script; its log is in a directory of the user's.
fn run(world: &World, script: &str) -> Out {
    if !world.path("log").exists() {
        world.directory("log", SVC, 0o755);
    }
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
        let out = run(world, "echo away I go\nsetsid sleep 1071 &\nsleep 0.05\n");
        assert!(out.err.contains("the last it said is: away I go"), "{}", out.err);
        assert!(out.err.contains("must be told to stay in the foreground"), "{}", out.err);
    });
}

/// A runtime directory is removed if it is empty, and else it is said by who ends the daemon.
#[test]
fn what_a_program_leaves_in_its_directory_is_named() {
    test("leftover::what_a_program_leaves_in_its_directory_is_named", Needs::Root, |world| {
        let directory = world.text("runtime");
        let line = ["--spec", "daemon", "--name", "it", "--user", "svc", "--pidfile", "it.pid", "--logfile="];
        let start = |script: &str| {
            let more = ["--runtime-directory", &directory, "--", "sh", "-c", script];
            world.fine(&[&["run"], &line[..], &more].concat());
        };
        let stop = || world.fine(&["stop", "--spec", "daemon", "--name", "it", "--pidfile", "it.pid"]);
        start("exec sleep 1077");
        assert_eq!(stop().err, "");
        assert!(!world.path("runtime").exists());
        start(&format!("echo x >{directory}/state; exec sleep 1077"));
        assert_eq!(stop().err, format!("  kept: {directory}: it is not empty\n"));
        assert_eq!(entries(&world.path("runtime")), [world.path("runtime/state")]);
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

/// The kernel ends the program itself, and the guard its workers, so that the next start finds the port free.
#[test]
fn a_killed_keeper_leaves_no_worker() {
    test("leftover::a_killed_keeper_leaves_no_worker", Needs::Root, |world| {
        let as_svc = &["--user", "svc"][..];
        for (who, orphaned, worker) in [
            (as_svc, "KILL", "sleep 1091"),
            (as_svc, "TERM", "sleep 1092"),
            (as_svc, "none", "sleep 1093"),
            (&[], "KILL", "sleep 1090"),
        ] {
            let script = format!("(trap '' TERM; exec {worker}) &\nexec sleep 1094\n");
            let line = [who, &["--pidfile", "it.pid", "--logfile=", "--orphaned", orphaned]].concat();
            let port = ["--listen", "tcp:127.0.0.1:891", "--", "sh", "-c", &script];
            let start = || world.rsd(&[&["run", "--spec", "daemon"], &line[..], &port].concat());
            assert_eq!(start().code, 0, "{orphaned}");
            eventually(worker, || kernel::running(worker).first().copied());
            kernel::kill(world.pid("it.pid"), Signal::SIGKILL);
            if orphaned == "none" {
                eventually("the guard tidied up", || (!world.path("it.pid").exists()).then_some(()));
                let left = [kernel::running(worker), kernel::running("sleep 1094")].concat();
                assert_eq!(left.len(), 2, "they are to go on");
                left.iter().for_each(|pid| kernel::kill(*pid, Signal::SIGKILL));
                eventually("they are gone", || left.iter().all(|pid| kernel::gone(*pid)).then_some(()));
                continue;
            }
            eventually("the worker is gone", || kernel::running(worker).is_empty().then_some(()));
            eventually("the guard tidied up", || (!world.path("it.pid").exists()).then_some(()));
            assert_eq!(start().code, 0, "{orphaned}: the next start");
            world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);
        }
    });
}

/// In the middle of a start the launcher is the reaper of what comes to it.
#[test]
fn a_keeper_that_is_killed_while_it_starts_leaves_no_worker() {
    test("leftover::a_keeper_that_is_killed_while_it_starts_leaves_no_worker", Needs::Root, |world| {
        let line = ["--spec", "daemon", "--pidfile", "it.pid", "--logfile=", "--ready", "alive:60s"];
        let script = "setsid sleep 1095 & exec sleep 1096";
        let mut start = world
            .command(binary())
            .arg("run")
            .args(line)
            .args(["--", "sh", "-c", script])
            .spawn()
            .expect("rsd");
        eventually("its worker", || kernel::running("sleep 1095").first().copied());
        eventually("its PID file", || fs::read_to_string(world.path("it.pid")).ok());
        kernel::kill(world.pid("it.pid"), Signal::SIGKILL);
        assert_eq!(start.wait().expect("its end").code(), Some(1));
        assert_eq!([kernel::running("sleep 1095"), kernel::running("sleep 1096")].concat(), [0; 0]);
        assert!(!world.path("it.pid").exists());
    });
}

/// The keeper is not killed before it has killed what does not heed TERM.
#[test]
fn an_impatient_stop_leaves_nothing() {
    test("leftover::an_impatient_stop_leaves_nothing", Needs::Root, |world| {
        let out = run(world, "(trap '' TERM; exec setsid sleep 1075) &\nsleep 0.1\nexec sleep 1076\n");
        assert_eq!(out.code, 0, "{out:?}");
        for sleeper in ["sleep 1075", "sleep 1076"] {
            eventually(sleeper, || kernel::running(sleeper).first().copied());
        }
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid", "--kill-after", "500ms"]);
        for sleeper in ["sleep 1075", "sleep 1076"] {
            assert_eq!(kernel::running(sleeper), [0; 0], "{sleeper} was left running");
        }
    });
}

/// A program that starts daemons with rsd leaves a process of the very program that keeps it.
#[test]
fn a_leftover_may_be_rsd_itself() {
    test("leftover::a_leftover_may_be_rsd_itself", Needs::Root, |world| {
        world.directory("log", SVC, 0o755);
        let inner = world.directory("inner", SVC, 0o755);
        let rsd = crate::stop::readable(world, &crate::sandbox::binary());
        let text = format!(
            "cd {}\nexport HOME=$PWD\nsetsid {} run -n --spec daemon --pidfile in.pid --logfile= -- sleep 1077 &\n\
             exec sleep 1078\n",
            inner.display(),
            rsd.display()
        );
        let (script, log) = (world.file("script.sh", &text, 0o755), world.text("log/it.log"));
        let files = ["--spec", "daemon", "--user", "svc", "--pidfile", "it.pid", "--logfile", &log];
        let line = [&["run"], &files[..], &["--", "sh", script.to_str().expect("text")]].concat();
        let out = crate::sandbox::done(world.command(&rsd).args(line));
        assert_eq!(out.code, 0, "{out:?}");
        eventually("the inner daemon", || kernel::running("sleep 1077").first().copied());
        let keeper = world.pid("inner/in.pid");
        let out = crate::sandbox::done(world.command(&rsd).arg("stop").args(files));
        assert_eq!(out.code, 0, "{out:?}");
        assert!(kernel::gone(keeper), "it was left running");
        assert_eq!(kernel::running("sleep 1077"), [0; 0], "it was left running");
    });
}

/// What workers say when they are told to end is in the log, and more of it than a pipe holds.
#[test]
fn last_words_of_workers_are_in_the_log() {
    test("leftover::last_words_of_workers_are_in_the_log", Needs::Root, |world| {
        let text = "(trap 'echo the worker says bye; exit 0' TERM; touch /tmp/rsd-one; while :; do sleep 0.05; done) &\n\
                    (trap 'head -c 300000 /dev/zero | tr \"\\0\" x; echo; echo all is said; exit 0' TERM; touch /tmp/rsd-two; while :; do sleep 0.05; done) &\n\
                    exec sleep 1079\n";
        let place = world.directory("place", SVC, 0o755);
        let text = text.replace("/tmp/rsd-", &format!("{}/", place.display()));
        let out = run(world, &text);
        assert_eq!(out.code, 0, "{out:?}");
        for worker in ["one", "two"] {
            eventually(worker, || place.join(worker).exists().then_some(()));
        }
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);
        let log = fs::read_to_string(world.path("log/it.log")).expect("the log");
        let said = |words: &str| log.lines().any(|line| line.ends_with(words));
        assert!(said("the worker says bye") && said("all is said"), "{}", log.replace("xxxx", ""));
        assert_eq!(log.matches('x').count() / 1_000, 300, "{}", log.replace("xxxx", ""));
    });
}

/// The main process is the child of another one, which takes its status.
#[test]
fn a_crash_of_a_named_main_process_is_no_success() {
    test("leftover::a_crash_of_a_named_main_process_is_no_success", Needs::Root, |world| {
        if !std::path::Path::new("/usr/bin/python3").exists() {
            let name = "leftover::a_crash_of_a_named_main_process_is_no_success";
            crate::sandbox::skip(name, "there is no python3 to speak sd_notify");
            return;
        }
        for (end, codes) in [("os.abort()", [134, 1]), ("os._exit(7)", [7, 1]), ("os._exit(0)", [0, 1])] {
            let text = format!(
                "import os, socket, time\nchild = os.fork()\nif child == 0:\n    time.sleep(0.5)\n    {end}\n\
                 s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])\n\
                 s.send(b'MAINPID=%d\\nREADY=1' % child)\nos.waitpid(child, 0)\ntime.sleep(1000)\n"
            );
            world.file("main.py", &text, 0o644);
            let line =
                ["run", "-n", "--spec", "daemon", "--user", "svc", "--pidfile", "m.pid", "--ready", "notify"];
            let out = world.rsd(&[&line[..], &["--", "/usr/bin/python3", &world.text("main.py")]].concat());
            // Before Linux 6.15 nobody is told how it ended.
            let known = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's version");
            let mut numbers = known.trim().split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
            let told = (numbers.next(), numbers.next()) >= (Some(6), Some(15));
            assert_eq!(out.code, codes[usize::from(!told)], "{end} {known}: {out:?}");
        }
    });
}
