//! What a careless caller leaves to a daemon.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, SVC, binary, done, eventually, test};
use std::path::Path;

#[test]
fn a_dirty_caller_leaves_no_trace() {
    test("caller::a_dirty_caller_leaves_no_trace", Needs::Root, |world| {
        let script = format!(
            "exec 7</etc/shadow 9>>leak; umask 0; trap '' USR2 PIPE INT TERM HUP CHLD; export LISTEN_FDS=3 LISTEN_PID=$$ NOTIFY_SOCKET=/x; exec {} run --uid svc -- sleep 1030",
            binary().display()
        );
        let mut caller = world.command("setpriv");
        caller.args(["--groups", "0,4,27,44", "nice", "-n", "3", "/usr/bin/python3", "-c", BLOCK]);
        let out = done(caller.args(["bash", "-c", &script]));
        assert_eq!(out.code, 0, "{out:?}");
        let keeper = world.pid("twistd.pid");
        let program = kernel::children(keeper)[0];
        for pid in [keeper, program] {
            let seen = process(pid);
            seen.is(SVC, SVC, &[SVC, EXTRA]);
            seen.has_no_capability();
            assert_eq!(seen.umask(), 0o077);
            for fd in seen.descriptors().into_values() {
                assert!(!fd.ends_with("leak") && fd != Path::new("/etc/shadow"), "{}", fd.display());
            }
        }
        let seen = process(program);
        for set in ["SigBlk", "SigIgn", "SigCgt"] {
            assert_eq!(seen.signals(set), [0; 0], "{set}");
        }
        crate::start::has_three_descriptors(program);
        assert_eq!(seen.nice(), 3, "niceness is the caller's to choose");
        let environment = kernel::environment(program);
        assert!(
            !environment.iter().any(|e| e.starts_with("LISTEN_") || e.starts_with("NOTIFY_")),
            "{environment:?}"
        );
        world.fine(&["stop", "--uid", "svc"]);
    });
}

const BLOCK: &str = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD})
os.execvp(sys.argv[1], sys.argv[1:])";

#[test]
fn closed_standard_descriptors_do_no_harm() {
    test("caller::closed_standard_descriptors_do_no_harm", Needs::Anyone, |world| {
        for which in 0..8 {
            let close: String =
                (0..3).filter(|fd| which & (1 << fd) != 0).map(|fd| format!(" {fd}>&-")).collect();
            let script =
                format!("exec {} run -- sh -c 'echo said; exec sleep 1031'{close}", binary().display());
            let out = done(world.command("bash").args(["-c", &script]));
            assert_eq!(out.code, 0, "{close}: {out:?}");
            let keeper = world.pid("twistd.pid");
            let log = eventually("the program spoke", || {
                std::fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.ends_with("said\n"))
            });
            assert_eq!(log, "said\n", "{close}");
            assert_eq!(
                std::fs::read_to_string(world.path("twistd.pid")).expect("it"),
                format!("{keeper}\n"),
                "{close}"
            );
            let program = eventually("it sleeps", || kernel::running("sleep 1031").first().copied());
            crate::start::has_three_descriptors(program);
            for fd in 0..3 {
                assert_eq!(process(keeper).descriptors()[&fd], Path::new("/dev/null"), "{close}");
            }
            let before = process(keeper).ticks();
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(process(keeper).ticks() - before <= 2, "{close}: the keeper spins");
            let journal = std::fs::read_to_string(world.journals().pop().expect("a journal")).expect("text");
            assert!(
                journal.lines().all(|l| l.starts_with(r#"{"t":"#) && l.ends_with('}')),
                "{close}: {journal}"
            );
            world.fine(&["stop"]);
            std::fs::remove_file(world.path("twistd.log")).expect("the log");
        }
    });
}

#[test]
fn in_the_foreground_with_everything_closed() {
    test("caller::in_the_foreground_with_everything_closed", Needs::Anyone, |world| {
        let script =
            format!("exec {} run -n -- sh -c 'echo lost; exit 3' 0>&- 1>&- 2>&-", binary().display());
        assert_eq!(done(world.command("bash").args(["-c", &script])).code, 3);
    });
}

#[test]
fn few_descriptors_are_enough_or_said_to_be_too_few() {
    test("caller::few_descriptors_are_enough_or_said_to_be_too_few", Needs::Anyone, |world| {
        for limit in 4..40 {
            let script =
                format!("ulimit -n {limit}; exec {} run --logfile d.log -- sleep 1032", binary().display());
            let out = done(world.command("bash").args(["-c", &script]));
            if out.code == 0 {
                assert_eq!(
                    kernel::children(world.pid("twistd.pid")),
                    kernel::running("sleep 1032"),
                    "{limit}"
                );
                world.fine(&["stop"]);
                std::fs::remove_file(world.path("d.log")).expect("the log");
                continue;
            }
            assert!(!out.err.is_empty(), "{limit}: {out:?}");
            assert!(kernel::running("sleep 1032").is_empty(), "{limit}: {out:?}");
            if out.code != 7 {
                assert!(
                    !world.path("twistd.pid").exists() && !world.path("d.log").exists(),
                    "{limit}: {out:?}"
                );
            }
            let _ = std::fs::remove_file(world.path("twistd.pid"));
            let _ = std::fs::remove_file(world.path("d.log"));
        }
    });
}

/// Whoever asks for a daemon from a directory that is gone is answered where the paths are absolute, and told what is
/// missing where they are not.
#[test]
fn a_removed_working_directory() {
    test("caller::a_removed_working_directory", Needs::Anyone, |world| {
        let (pid_file, log) = (world.text("d.pid"), world.text("log/d.log"));
        let spec = ["--spec", "daemon", "--pidfile"];
        let whole = [&spec[..], &[&pid_file, "--logfile", &log]].concat();
        world.fine(&[&["run"], &whole[..], &["--", "sh", "-c", "echo said; exec sleep 1032"]].concat());
        eventually("the program spoke", || {
            std::fs::read_to_string(&log).ok().filter(|text| text.contains("said"))
        });
        let gone = |arguments: &[&str]| {
            let script =
                format!("mkdir gone && cd gone && rmdir ../gone && exec {} \"$@\"", binary().display());
            done(world.command("bash").args(["-c", &script, "bash"]).args(arguments))
        };
        for (command, relative) in [
            (&["status"][..], &[&spec[..], &["d.pid"]].concat()),
            (&["status"], &[&whole[..], &["--chroot", "root"]].concat()),
            (&["stop"], &[&spec[..], &["d.pid"]].concat()),
            (&["stop"], &[&whole[..], &["--pivot-root", "root"]].concat()),
            (&["reload"], &[&spec[..], &["d.pid"]].concat()),
            (&["logs"], &vec!["--spec", "daemon", "--logfile", "log/d.log"]),
            (&["status"], &vec!["--spec", "./daemon.yaml"]),
            (&["status"], &vec![]),
        ] {
            let out = gone(&[command, &relative[..]].concat());
            let told = format!("{}{}", out.out, out.err);
            assert_eq!(out.code, 4, "{command:?} {relative:?}: {out:?}");
            assert!(told.contains("looked for in the working directory, and that was removed"), "{out:?}");
        }
        let unknown = gone(&["status", "--json", "--spec", "daemon", "--pidfile", "d.pid", "--logfile", "l"]);
        let document: serde_json::Value = serde_json::from_str(&unknown.out).expect("JSON");
        assert_eq!((unknown.code, &document["state"], &document["log"]), (4, &"unknown".into(), &().into()));

        let status = gone(&[&["status"], &whole[..]].concat());
        assert!(status.code == 0 && status.out.contains("is running"), "{status:?}");
        let logs = gone(&[&["logs"], &whole[..]].concat());
        assert!(logs.code == 0 && logs.out.contains("said"), "{logs:?}");
        let reload = gone(&[&["reload", "--signal", "CONT"], &whole[..]].concat());
        assert_eq!(reload.code, 0, "{reload:?}");
        // A start needs a directory of its own.
        let run = gone(&[&["run"], &whole[..], &["--", "sleep", "1032"]].concat());
        assert!(run.code == 1 && run.err.contains("the working directory cannot be told"), "{run:?}");
        let stop = gone(&[&["stop"], &whole[..]].concat());
        assert_eq!(stop.code, 0, "{stop:?}");
        assert!(kernel::running("sleep 1032").is_empty());
        assert_eq!(gone(&[&["status"], &whole[..]].concat()).code, 3);
    });
}
