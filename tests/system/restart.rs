//! `rsd restart`: what is another service, or could not start, leaves the running one alone.

use crate::kernel;
use crate::sandbox::{Needs, Out, SVC, World, binary, done, eventually, test};
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;

/// Nothing of it may be in the machine's own places.
const WEB: [&str; 7] = ["--spec", "daemon", "--name", "web", "--pidfile", "web.pid", "--logfile="];

fn web(world: &World, subcommand: &str, more: &[&str]) -> Out {
    world.rsd(&[&[subcommand], &WEB[..], more].concat())
}

/// It is refused, and what runs is the very same process as before.
fn left_alone(world: &World, more: &[&str], program: &str) -> String {
    let (keeper, running) = (world.pid("web.pid"), kernel::running(program));
    let out = web(world, "restart", more);
    assert_eq!(out.code, 6, "{more:?}: {out:#?}");
    assert!(out.err.contains("nothing was touched, and what runs goes on"), "{more:?}: {out:#?}");
    assert_eq!((world.pid("web.pid"), kernel::running(program)), (keeper, running), "{more:?}: {out:#?}");
    assert_eq!(web(world, "status", &[]).code, 0);
    out.err
}

fn restarts(world: &World, more: &[&str]) {
    let before = world.pid("web.pid");
    let out = web(world, "restart", more);
    assert_eq!(out.code, 0, "{more:?}: {out:#?}");
    assert!(world.pid("web.pid") != before && kernel::gone(before), "{more:?}: {out:#?}");
}

/// A name alone is of the default spec; where that cannot be meant it is said.
#[test]
fn a_name_without_its_spec_is_told_which_was_meant() {
    test("restart::a_name_without_its_spec_is_told_which_was_meant", Needs::Anyone, |world| {
        assert_eq!(web(world, "run", &["--", "sleep", "1501"]).code, 0);
        for subcommand in ["status", "stop", "reload", "logs"] {
            let out = world.rsd(&[subcommand, "--name", "web"]);
            assert!(
                out.code != 0
                    && out.err.contains("do: say --spec, too: the last run of web was of the spec `daemon`"),
                "{subcommand}: {out:#?}"
            );
            let out = world.rsd(&[subcommand, "--name", "other"]);
            assert!(!out.err.contains("say --spec"), "{subcommand}: {out:#?}");
        }
        for subcommand in ["status", "stop", "reload", "logs"] {
            let out = world.rsd(&[subcommand, "--spec", "daemon", "--name", "web", "--logfile", "other.log"]);
            let has = format!("its PID file is {}", world.path("web.pid").display());
            assert!(
                out.code != 0
                    && out.err.contains("do: say the options that it was started with")
                    && out.err.contains(&has),
                "{subcommand}: {out:#?}"
            );
        }
        assert_eq!(web(world, "status", &[]).code, 0);
        // `web` is no beginning of a run's name, and a run may begin like another daemon's name.
        assert_eq!(world.fine(&["trace", "web"]).out, world.fine(&["trace", "--spec", "web"]).out);
        let run = world.timeline(None)["run"].as_str().expect("a name").to_owned();
        assert!(world.fine(&["trace", &run[..1]]).out.contains(&run));
        let named = |name: &str| {
            ["--spec", "daemon", "--name", name, "--pidfile", "it.pid", "--logfile=", "-n"].map(str::to_owned)
        };
        let line = named(&run[..1]);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        world.fine(&[&["run"], &line[..], &["--", "true"]].concat());
        let shown = world.fine(&["trace", &run[..1]]).out;
        assert!(!shown.contains(&run) && shown.starts_with(&run[..1]), "{shown}");
        assert_eq!(web(world, "stop", &[]).code, 0);
    });
}

/// Options are not remembered: without them it would be the built-in whoami, as root.
#[test]
fn what_was_left_away_starts_no_other_service() {
    test("restart::what_was_left_away_starts_no_other_service", Needs::Root, |world| {
        let whole = ["--user", "svc", "--", "sleep", "1500"];
        assert_eq!(web(world, "run", &whole).code, 0);
        let others: [(&[&str], &str); 5] = [
            (&[], "would start: the built-in whoami, as root (uid 0)"),
            (&["--unchecked"], "would start: the built-in whoami, as root (uid 0)"),
            (&["--user", "svc"], "would start: the built-in whoami, as svc (uid 4000)"),
            (&["--", "sleep", "1500"], "would start: sleep, as root (uid 0)"),
            (&["--user", "other", "--", "sleep", "1500"], "would start: sleep, as other (uid 4100)"),
        ];
        for (more, would) in others {
            let said = left_alone(world, more, "sleep 1500");
            assert!(said.contains("runs: sleep, as svc (uid 4000), process "), "{more:?}: {said}");
            assert!(said.contains(would), "{more:?}: {said}");
            assert!(
                said.contains("`rsd stop --spec daemon --name web --pidfile web.pid`"),
                "{more:?}: {said}"
            );
        }
        // The same service, by another spec and name: the PID file is its own.
        let out = world.rsd(&["restart", "--spec", "twistd", "--pidfile", "web.pid"]);
        assert!(out.code == 6 && out.err.contains("runs: sleep, as svc"), "{out:#?}");
        // The same options, and others that make no other service of it.
        restarts(world, &whole);
        restarts(world, &["--user", "svc", "--nice", "5", "--umask", "077", "--", "sleep", "1500"]);
        restarts(world, &["--user", "4000", "--", "/usr/bin/sleep", "1501"]);
        assert_eq!(
            (kernel::running("sleep 1500").len(), kernel::running("/usr/bin/sleep 1501").len()),
            (0, 1)
        );
        assert_eq!(web(world, "stop", &[]).code, 0);
    });
}

/// Without a journal the kernel still says as whom it runs.
#[test]
fn without_a_journal_the_user_counts() {
    test("restart::without_a_journal_the_user_counts", Needs::Root, |world| {
        let whole = ["--user", "svc", "--journal", "elsewhere.jsonl", "--", "sleep", "1502"];
        assert_eq!(web(world, "run", &whole).code, 0);
        let said = left_alone(world, &["--", "sleep", "1502"], "sleep 1502");
        assert!(said.contains("as svc (uid 4000)") && said.contains("as root (uid 0)"), "{said}");
        restarts(world, &whole);
        assert_eq!(web(world, "stop", &[]).code, 0);
    });
}

#[test]
fn a_changed_spec_is_the_same_service() {
    test("restart::a_changed_spec_is_the_same_service", Needs::Anyone, |world| {
        let spec = |mask: &str| {
            let text = format!(
                "rsd: 1\nname: s\nextends: twistd\nphases:\n  umask: {{ with: {{ mask: \"{mask}\" }} }}\n"
            );
            world.file("s.yaml", &text, 0o644);
        };
        let line = |subcommand| [subcommand, "--spec", "s.yaml", "--pidfile", "web.pid"];
        spec("077");
        world.fine(&[&line("run")[..], &["--", "sleep", "1503"]].concat());
        let first = world.pid("web.pid");
        spec("027");
        let out = world.rsd(&line("restart"));
        assert!(out.code == 6 && out.err.contains("runs: sleep, as "), "{out:#?}");
        world.fine(&[&line("restart")[..], &["--", "sleep", "1503"]].concat());
        assert!(kernel::gone(first) && kernel::running("sleep 1503").len() == 1);
        world.fine(&line("stop"));
    });
}

/// What it has itself is free when it is stopped. What others have is not, and that is known before.
#[test]
fn an_address_of_another_refuses_before_the_stop() {
    test("restart::an_address_of_another_refuses_before_the_stop", Needs::Anyone, |world| {
        let port = |listener: TcpListener| listener.local_addr().expect("it").port();
        let free = || port(TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let (tcp, udp) = (format!("tcp:127.0.0.1:{}", free()), format!("udp:127.0.0.1:{}", free()));
        let unix = format!("unix:{}", world.text("own.sock"));
        let name = format!("unix:@rsd-test-{}", std::process::id());
        let own = ["--listen", &tcp, "--listen", &udp, "--listen", &unix, "--listen", &name];
        let all = |more: &[&str], call: &mut dyn FnMut(&[&str])| {
            call(&[&own[..], more, &["--", "sleep", "1504"]].concat());
        };
        all(&[], &mut |line| assert_eq!(web(world, "run", line).code, 0));
        all(&[], &mut |line| restarts(world, line));

        let stream = TcpListener::bind("127.0.0.1:0").expect("a port");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let path = world.text("theirs.sock");
        let _socket = UnixListener::bind(&path).expect("a socket");
        let theirs = [
            format!("tcp:{}", stream.local_addr().expect("it")),
            format!("tcp:0.0.0.0:{}", stream.local_addr().expect("it").port()),
            format!("udp:{}", datagrams.local_addr().expect("it")),
            format!("unix:{path}"),
        ];
        for address in &theirs {
            all(&["--listen", address], &mut |line| {
                let said = left_alone(world, line, "sleep 1504");
                assert!(said.contains("RSD0604") && said.contains(address.as_str()), "{said}");
            });
        }
        drop(stream);
        all(&["--listen", &theirs[0]], &mut |line| restarts(world, line));
        assert_eq!(web(world, "stop", &own).code, 0);
    });
}

#[test]
fn a_start_that_fails_behind_the_stop_says_what_is_so() {
    test("restart::a_start_that_fails_behind_the_stop_says_what_is_so", Needs::Anyone, |world| {
        let fails = world.text("fails");
        let script = format!("if [ -e {fails} ]; then exit 3; fi; exec sleep 1505");
        let line = ["--", "bash", "-c", &script];
        // Not running: there is nothing to stop, and nothing is said of it.
        fs::write(&fails, "").expect("a file");
        let out = web(world, "restart", &line);
        assert!(out.code == 1 && !out.err.contains("stopped now"), "{out:#?}");
        fs::remove_file(&fails).expect("the file");
        assert_eq!(web(world, "restart", &line).code, 0);
        fs::write(&fails, "").expect("a file");
        let out = web(world, "restart", &line);
        assert_eq!(out.code, 1, "{out:#?}");
        assert!(out.out.contains("stopped in"), "{out:#?}");
        let last = out.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("web is stopped now: "), "{out:#?}");
        assert_eq!(web(world, "status", &[]).code, 3);
        assert!(kernel::running("sleep 1505").is_empty());
    });
}

/// The guard, which is root's, removes the PID file a moment after the daemon has ended.
#[test]
fn its_user_stops_it_and_nothing_is_left() {
    test("restart::its_user_stops_it_and_nothing_is_left", Needs::Root, |world| {
        for _ in 0..8 {
            assert_eq!(web(world, "run", &["--user", "svc", "--", "sleep", "1506"]).code, 0);
            let mut stop = world.command(binary());
            let out = done(stop.arg("stop").args(WEB).uid(SVC).gid(SVC));
            assert_eq!(out.code, 0, "{out:#?}");
            assert!(!out.err.contains("left behind"), "{out:#?}");
            assert!(!world.path("web.pid").exists(), "{out:#?}");
        }
    });
}

/// Who is told to stop it is told how: another name would be another daemon.
#[test]
fn hints_name_the_very_command() {
    test("restart::hints_name_the_very_command", Needs::Anyone, |world| {
        let line = ["--", "sleep", "1507"];
        assert_eq!(web(world, "run", &line).code, 0);
        let hint = "stop it first (`rsd stop --spec daemon --name web --pidfile web.pid`)";
        for subcommand in ["run", "check"] {
            let out = web(world, subcommand, &line);
            assert!(out.err.contains(hint), "{subcommand}: {out:#?}");
        }
        let advised: Vec<&str> = hint.split('`').nth(1).expect("a command").split(' ').skip(1).collect();
        world.fine(&advised);
        assert!(kernel::running("sleep 1507").is_empty());
    });
}

#[test]
fn a_file_with_the_name_of_a_built_in_spec() {
    test("restart::a_file_with_the_name_of_a_built_in_spec", Needs::Root, |world| {
        let text = "rsd: 1\nname: mine\nphases:\n  umask: { kind: umask, with: { mask: \"022\" } }\n";
        world.file("twistd.yaml", text, 0o666);
        let out = world.rsd(&["check", "--spec", "twistd.yaml"]);
        assert_eq!(out.code, 6, "{out:#?}");
        for advice in ["--spec twistd", "--spec ./twistd.yaml --trust-spec"] {
            assert!(out.err.contains(&format!("`{advice}`")), "{out:#?}");
            world.fine(&[&["check"], &advice.split(' ').collect::<Vec<_>>()[..]].concat());
        }
        let out = world.rsd(&["check", "--spec", "./twistd.yaml"]);
        assert!(out.code == 6 && out.err.contains("say `--spec twistd`"), "{out:#?}");
    });
}

/// It runs, or it cannot be told: neither is "not running".
#[test]
fn reload_and_status_say_what_stop_says() {
    test("restart::reload_and_status_say_what_stop_says", Needs::Anyone, |world| {
        let code = |subcommand, more: &[&str]| world.rsd(&[&[subcommand], more].concat()).code;
        assert_eq!((code("reload", &["--pidfile="]), code("stop", &["--pidfile="])), (2, 2));
        assert_eq!((code("reload", &[]), code("stop", &[])), (3, 3));
        std::os::unix::fs::symlink("nowhere", world.path("twistd.pid")).expect("a link");
        assert_eq!((code("reload", &[]), code("stop", &[]), code("status", &[])), (4, 4, 4));
        fs::remove_file(world.path("twistd.pid")).expect("the link");

        let ready = world.path("ready.sock");
        let mut run = world.command(binary());
        let readiness = format!("unix:{}", world.text("ready.sock"));
        run.arg("run").args(WEB).args(["--ready", &readiness, "--", "sleep", "1508"]);
        let mut run = run.spawn().expect("start");
        eventually("it is starting", || {
            let out = web(world, "status", &[]);
            (out.code == 0 && out.out.starts_with("web is starting: process ")).then_some(())
        });
        let told: serde_json::Value =
            serde_json::from_str(&web(world, "status", &["--json"]).out).expect("JSON");
        assert_eq!((&told["state"], &told["ready_ns"]), (&"running".into(), &serde_json::Value::Null));
        let _listener = UnixListener::bind(ready).expect("a socket");
        assert!(run.wait().expect("it").success());
        assert!(web(world, "status", &[]).out.starts_with("web is running: process "));

        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let mut status = world.command(binary());
        let lost = status.arg("status").args(WEB).stdout(full).status().expect("start");
        assert_eq!(lost.code(), Some(4), "1 would be: dead, with a PID file");
        assert_eq!(web(world, "stop", &[]).code, 0);
    });
}
