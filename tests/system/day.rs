//! Day to day: restart, reload, status for programs, logs, several instances.

use crate::kernel;
use crate::sandbox::{Needs, World, binary, eventually, test};
use serde_json::Value;
use std::fs;
use std::process::Stdio;

const PROGRAM: &str = "trap 'echo reloaded' HUP; echo up; while :; do sleep 0.05; done";

fn status(world: &World, arguments: &[&str]) -> Value {
    let out = world.fine(&[&["status", "--json"], arguments].concat());
    serde_json::from_str(&out.out).expect("JSON")
}

#[test]
fn a_day() {
    test("day::a_day", Needs::Anyone, |world| {
        let log = || std::fs::read_to_string(world.path("twistd.log")).unwrap_or_default();
        assert_eq!(world.rsd(&["reload"]).code, 3);
        let listen = ["--listen", "tcp:127.0.0.1:0"];
        let arguments = [&listen[..], &["--", "bash", "-c", PROGRAM]].concat();
        // Not running: it is started.
        world.fine(&[&["restart"], &arguments[..]].concat());
        let first = world.pid("twistd.pid");
        let told = status(world, &[]);
        assert_eq!((&told["state"], &told["pid"]), (&"running".into(), &first.into()), "{told:#}");
        assert!(told["memory_bytes"].as_u64().is_some_and(|n| n > 100_000), "{told:#}");
        let program = told["program"]["pid"].as_i64().expect("the program's number") as i32;
        assert_eq!(kernel::children(first), [program]);
        let address = told["listening"][0].as_str().expect("an address");
        assert!(address.starts_with("tcp:127.0.0.1:") && !address.ends_with(":0"), "{address}");
        assert!(
            told["run"].is_string() && told["ready_ns"].is_u64() && told["ready_wall_ns"].is_u64(),
            "{told:#}"
        );
        eventually("it is up", || log().contains("up").then_some(()));

        std::fs::rename(world.path("twistd.log"), world.path("old.log")).expect("as logrotate does");
        assert!(world.fine(&["reload"]).out.contains("was told to reload"));
        eventually("it has reloaded", || (log() == "reloaded\n").then_some(()));

        world.fine(&[&["restart"], &arguments[..]].concat());
        let second = world.pid("twistd.pid");
        assert!(second != first && kernel::gone(first) && kernel::gone(program));
        // What would be refused leaves it alone.
        let out = world.rsd(&["restart", "--rundir", "/no/such/place", "--", "sleep", "9"]);
        assert_eq!(out.code, 6, "{out:?}");
        assert!(out.err.contains("what runs goes on"), "{out:?}");
        assert_eq!(status(world, &[])["pid"], second);
        world.fine(&["stop"]);
    });
}

#[test]
fn the_log_is_shown_and_followed() {
    test("day::the_log_is_shown_and_followed", Needs::Anyone, |world| {
        let script =
            "for n in 1 2 3 4 5; do echo line $n; done; trap 'echo again' USR2; while :; do sleep 0.05; done";
        world.fine(&["run", "--", "bash", "-c", script]);
        let log = || std::fs::read_to_string(world.path("twistd.log")).unwrap_or_default();
        eventually("it spoke", || log().contains("line 5").then_some(()));
        assert_eq!(world.fine(&["logs", "--lines", "2"]).out, "line 4\nline 5\n");
        let seen = world.path("seen");
        let file = std::fs::File::create(&seen).expect("a file");
        let mut follows = world.command(binary());
        let mut follows = follows
            .args(["logs", "--lines", "1", "--follow"])
            .stdout(Stdio::from(file))
            .spawn()
            .expect("start");
        let seen = || std::fs::read_to_string(&seen).unwrap_or_default();
        eventually("the end is shown", || (seen() == "line 5\n").then_some(()));
        let keeper = world.pid("twistd.pid");
        kernel::kill(keeper, nix::sys::signal::Signal::SIGUSR1);
        eventually("it is rotated", || world.path("twistd.log.1").exists().then_some(()));
        kernel::kill(keeper, nix::sys::signal::Signal::SIGUSR2);
        eventually("the new file is followed", || (seen() == "line 5\nagain\n").then_some(()));
        follows.kill().and_then(|()| follows.wait()).expect("end it");
        world.fine(&["stop"]);
    });
}

/// One spec, several daemons: the name tells their journals apart, and files that are named by it.
#[test]
fn instances_by_name() {
    test("day::instances_by_name", Needs::Anyone, |world| {
        let spec = "rsd: 1\nname: many\nextends: twistd\noptions:\n  pidfile: { type: path, default: \"${name}.pid\" }\n  logfile: { type: path, default: \"${name}.log\" }\n";
        world.file("many.yaml", spec, 0o644);
        for name in ["one", "two"] {
            world.fine(&["run", "--spec", "many.yaml", "--name", name, "--", "sleep", "1090"]);
        }
        let (one, two) = (world.pid("one.pid"), world.pid("two.pid"));
        assert!(one != two && kernel::running("sleep 1090").len() == 2);
        assert_eq!(status(world, &["--spec", "many.yaml", "--name", "two"])["pid"], two);
        // A run is found by its id, and a spec's runs under every name; the name is shown.
        let run = |name: &str| {
            let told = status(world, &["--spec", "many.yaml", "--name", name]);
            told["run"].as_str().expect("a run").to_owned()
        };
        let (first, second) = (run("one"), run("two"));
        assert!(world.fine(&["trace", "diff", &first, &second]).out.contains(&first));
        assert_eq!(world.rsd(&["trace", "diff", &first, &second, "--spec", "one"]).code, 3);
        assert!(world.fine(&["trace", "--spec", "many"]).out.starts_with("two (many)  "));
        assert!(world.fine(&["trace", "--spec", "one"]).out.starts_with("one (many)  "));
        let json = |arguments: &[&str]| -> Value {
            let out = world.fine(&[&["trace"], arguments, &["--format", "json"]].concat()).out;
            serde_json::from_str(&out).expect("JSON")
        };
        assert_eq!(json(&["--spec", "many"])["run"], second.as_str());
        let told = json(&["--spec", "one"]);
        assert_eq!((&told["spec"], &told["name"]), (&"many".into(), &"one".into()));
        let html = world.fine(&["trace", &first, "--format", "html"]).out;
        assert!(html.contains("<title>one (many): timeline of run "), "{}", &html[..2_000.min(html.len())]);
        for arguments in [&["--spec", "many"][..], &[]] {
            let listed = world.fine(&[&["trace", "list"], arguments].concat()).out;
            let words: Vec<Vec<&str>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
            assert_eq!(words[0][..3], ["RUN", "SPEC", "NAME"], "{listed}");
            assert_eq!(words[1][..3], [second.as_str(), "many", "two"], "{listed}");
        }
        let out = world.rsd(&["trace", "--spec", "nothing"]);
        assert!(out.code == 3 && out.err.contains("called `nothing`"), "{out:?}");

        world.fine(&["stop", "--spec", "many.yaml", "--name", "one"]);
        assert_eq!(status(world, &["--spec", "many.yaml", "--name", "two"])["pid"], two);
        world.fine(&["stop", "--spec", "many.yaml", "--name", "two"]);
    });
}

/// What the program says shows in the status and in the timeline; the launcher waits for it.
#[test]
fn what_it_says() {
    test("day::what_it_says", Needs::Anyone, |world| {
        if !std::path::Path::new("/usr/bin/python3").exists() {
            crate::sandbox::skip("day::what_it_says", "there is no python3 to speak sd_notify");
            return;
        }
        world.file("speaks.yaml", "rsd: 1\nname: speaks\nextends: twistd\nphases:\n  startApplication: { with: { ready: notify }, timeout: 60s }\n", 0o644);
        let script = "import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to = '\\0' + os.environ['NOTIFY_SOCKET'][1:]
s.sendto(b'STATUS=warming up', to)
time.sleep(0.3)
if sys.argv[1] == 'die':
    print('out of luck', flush=True); sys.exit(9)
s.sendto(b'READY=1\\nSTATUS=serving 3 clients', to)
time.sleep(1000)
";
        world.file("speaks.py", &script.replace("\\\\", "\\"), 0o644);
        let run =
            |how| world.rsd(&["run", "--spec", "speaks.yaml", "--", "/usr/bin/python3", "speaks.py", how]);
        let out = run("die");
        assert_eq!(out.code, 1, "{out:?}");
        assert!(out.err.contains("it exited with status 9 before it was ready"), "{out:?}");
        assert!(out.err.contains("the last it said is: out of luck"), "{out:?}");
        assert!(
            !world.path("twistd.pid").exists()
                && kernel::running("/usr/bin/python3 speaks.py die").is_empty()
        );
        let out = run("live");
        assert_eq!(out.code, 0, "{out:?}");
        let told = world.fine(&["status", "--spec", "speaks.yaml"]).out;
        assert!(told.contains("  it says: serving 3 clients\n"), "{told}");
        let timeline = world.timeline(None);
        assert!(timeline["ready_ns"].as_u64().is_some_and(|ns| ns > 250_000_000), "{timeline}");
        assert!(world.fine(&["trace"]).out.contains("the program says: warming up"));
        world.fine(&["stop", "--spec", "speaks.yaml"]);
    });
}

/// What was bound for a program, and what it binds itself, in a network of its own too.
#[test]
fn where_it_listens() {
    test("day::where_it_listens", Needs::Root, |world| {
        if !std::path::Path::new("/usr/bin/python3").exists() {
            crate::sandbox::skip("day::where_it_listens", "there is no python3 to bind sockets");
            return;
        }
        let script = "import os, socket, time
stream = socket.create_server(('127.0.0.1', 8921))
local = socket.socket(socket.AF_UNIX)
local.bind('/tmp/where it listens'); local.listen(1)
told = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); told.bind(('127.0.0.1', 8922))
client = socket.create_connection(('127.0.0.1', 8921))
open(os.environ['READY'], 'w').close()
time.sleep(1000)
";
        let script = world.file("listens.py", script, 0o755);
        let ready = world.directory("ready", crate::sandbox::SVC, 0o755).join("now");
        let env = format!("READY={}", ready.display());
        let unix = world.path("given.sock");
        for more in [&[][..], &["--private-network"]] {
            let line = ["--spec", "daemon", "--user", "svc", "--pidfile", "it.pid", "--logfile="];
            let given = format!("unix:{}", unix.display());
            let script = script.to_str().expect("a path");
            let program = ["--env", &env, "--listen", &given, "--", "/usr/bin/python3", script];
            world.fine(&[&["run"], &line[..], more, &program].concat());
            eventually("it has bound them", || ready.exists().then_some(()));
            let wanted = [&given, "tcp:127.0.0.1:8921", "udp:127.0.0.1:8922", "unix:/tmp/where it listens"];
            let told = status(world, &line);
            assert_eq!(told["listening"], serde_json::json!(wanted), "{more:?} {told:#}");
            // As the kernel has them: the keeper, and its program.
            let svc = [crate::sandbox::SVC; 3];
            for who in [&told["identity"], &told["program"]["identity"]] {
                assert_eq!(
                    (&who["uid"], &who["gid"]),
                    (&svc.as_slice().into(), &svc.as_slice().into()),
                    "{told:#}"
                );
                assert_eq!(who["groups"], serde_json::json!([crate::sandbox::SVC, crate::sandbox::EXTRA]));
                assert_eq!((&who["caps"], &who["bounding"]), (&Value::Array(vec![]), &Value::Array(vec![])));
                assert_eq!((&who["umask"], &who["cwd"]), (&"022".into(), &"/".into()));
                assert_eq!(who["no_new_privs"], true);
            }
            let text = world.fine(&[&["status"], &line[..]].concat()).out;
            for socket in wanted {
                assert!(text.contains(&format!("\n  listening: {socket}\n")), "{text}");
            }
            world.fine(&[&["stop"], &line[..]].concat());
            for file in [std::path::Path::new("/tmp/where it listens"), &ready] {
                fs::remove_file(file).expect("what it has made");
            }
        }
    });
}

/// Nobody's paths need be text: JSON is, and shows them as well as it can.
#[test]
fn paths_that_are_no_text_are_shown() {
    use std::os::unix::ffi::OsStrExt;
    test("day::paths_that_are_no_text_are_shown", Needs::Root, |world| {
        let jail = world.directory("jail", 0, 0o755);
        let odd = std::ffi::OsStr::from_bytes(b"a\xff");
        fs::create_dir(jail.join(odd)).expect("a directory");
        std::os::unix::fs::symlink(odd, jail.join("app")).expect("a link to it");
        let jail = jail.to_str().expect("text");
        let line =
            ["--chroot", jail, "--rundir", "/app", "--pidfile", "/app/t.pid", "--listen", "tcp:127.0.0.1:0"];
        world.fine(&[&["run"], &line[..]].concat());
        let told = status(world, &line);
        let ends = |value: &Value, with: &str| value.as_str().is_some_and(|text| text.ends_with(with));
        assert!(ends(&told["pidfile"], "/jail/a\u{fffd}/t.pid"), "{told:#}");
        assert!(ends(&told["identity"]["cwd"], "/jail/a\u{fffd}"), "{told:#}");
        world.fine(&[&["stop"], &line[..]].concat());
    });
}

/// A stranger chooses the name of a socket of its own, and with a line break in it a line of /proc/net/unix.
#[test]
fn nobody_forges_where_it_listens() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    test("day::nobody_forges_where_it_listens", Needs::Anyone, |world| {
        let socket = format!("unix:{}", world.path("its.sock").display());
        world.fine(&["run", "--listen", &socket, "--", "sleep", "1097"]);
        let keeper = world.pid("twistd.pid");
        let program = *kernel::running("sleep 1097").first().expect("the program");
        let its = kernel::process(program).descriptors().remove(&3).expect("its socket");
        let inode = its.to_string_lossy().trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
        let name = format!("x\n0000000000000000: 00000002 00000000 00010000 0001 01 {inode} /forged");
        let _forged = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name"));
        let table = fs::read_to_string("/proc/net/unix").expect("the table");
        assert!(table.lines().any(|line| line.ends_with(" /forged")), "{table}");
        let told = status(world, &[]);
        assert_eq!((&told["listening"], &told["pid"]), (&serde_json::json!([socket]), &keeper.into()));
        world.fine(&["stop"]);
    });
}

/// Told to stop, it may ask for longer than it would be let (sd_notify(3)), and once more: as long as it asks.
#[test]
fn it_asks_for_longer_to_stop() {
    test("day::it_asks_for_longer_to_stop", Needs::Anyone, |world| {
        if !std::path::Path::new("/usr/bin/python3").exists() {
            crate::sandbox::skip("day::it_asks_for_longer_to_stop", "there is no python3 to speak sd_notify");
            return;
        }
        let script = "import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])
def stop(*_):
    ends = sys.argv[1] == 'ends'
    for _ in range(40 if ends else 1000):
        s.send(b'STOPPING=1\\nEXTEND_TIMEOUT_USEC=%d' % (2500000 if ends else 2 ** 64 - 1))
        time.sleep(0.1)
    if ends:
        open('ended', 'w').close()
        sys.exit(0)
signal.signal(signal.SIGTERM, stop)
s.send(b'READY=1')
while True:
    time.sleep(1000)
";
        world.file("slow.py", script, 0o755);
        let spec = ["--spec", "daemon", "--pidfile", "it.pid", "--logfile", "log/it.log"];
        let run = |how| {
            let out = [&["run"], &spec[..], &["--ready", "notify", "--", "/usr/bin/python3"]].concat();
            let path = world.path("slow.py");
            world.fine(&[&out[..], &[path.to_str().expect("a path"), how]].concat());
            world.pid("it.pid")
        };
        run("ends");
        let out = world.fine(&[&["stop", "--kill-after", "1s"], &spec[..]].concat());
        assert!(
            out.err.contains("asks for more time (EXTEND_TIMEOUT_USEC), and gets up to 10 s in all"),
            "{out:#?}"
        );
        assert!(out.out.contains("stopped in"), "{out:#?}");
        let told = world.fine(&["trace"]).out;
        assert!(told.contains("the program says: needs 2.5 s more to stop"), "{told}");

        // No program keeps whoever stops it for ever.
        let keeper = run("stays");
        let out = world.fine(&[&["stop", "--kill-after", "200ms"], &spec[..]].concat());
        assert!(out.err.contains("did not end within 2.0 s; it is killed"), "{out:#?}");
        assert!(kernel::gone(keeper));

        // Who asks twice is not put off.
        let keeper = run("stays");
        let mut first = world.command(binary());
        first.args(["stop", "--kill-after", "60s"]).args(spec).stdout(Stdio::null()).stderr(Stdio::null());
        let mut first = first.spawn().expect("rsd stop");
        eventually("it asks", || world.fine(&["trace"]).out.contains("more to stop").then_some(()));
        world.rsd(&[&["stop"], &spec[..]].concat());
        assert!(kernel::gone(keeper));
        first.wait().expect("the first");
        assert!(!world.path("it.pid").exists());
    });
}

/// What means nothing to a keeper is its program's, signals without a name too.
#[test]
fn other_signals_are_passed_on() {
    test("day::other_signals_are_passed_on", Needs::Anyone, |world| {
        let names =
            ["TTIN", "TTOU", "TSTP", "CONT", "URG", "PWR", "IO", "PROF", "ABRT", "RTMIN", "RTMIN+3", "RTMAX"];
        let traps: String = names.iter().map(|name| format!("trap 'echo got {name}.' {name}; ")).collect();
        let script = format!("{traps}echo up.; while :; do sleep 0.05; done");
        let line = ["--spec", "daemon", "--pidfile", "it.pid", "--logfile", "it.log"];
        world.fine(&[&["run"], &line[..], &["--", "bash", "-c", &script]].concat());
        let keeper = world.pid("it.pid");
        let said = |text: &str| {
            eventually(text, || fs::read_to_string(world.path("it.log")).ok()?.contains(text).then_some(()));
        };
        said("up.");
        for name in names {
            crate::sandbox::sh("bash", &["-c", &format!("kill -s {name} {keeper}")]);
            said(&format!("got {name}."));
        }
        assert_eq!(world.pid("it.pid"), keeper);
        let journal = fs::read_to_string(world.journals().last().expect("one")).expect("text");
        assert!(journal.contains("SIGRTMIN+3") && journal.contains("SIGTTIN"), "{journal}");
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);
    });
}

/// One that does not catch it would be ended, and the answer has what was done.
#[test]
fn a_reload_ends_nobody_and_says_what_was_done() {
    test("day::a_reload_ends_nobody_and_says_what_was_done", Needs::Anyone, |world| {
        let line = ["--spec", "daemon", "--pidfile", "it.pid", "--logfile", "log/it.log"];
        let reload = |more: &[&str]| world.rsd(&[&["reload"], &line[..], more].concat());
        let start = |program: &[&str]| world.fine(&[&["run"], &line[..], &["--"], program].concat());
        start(&["sleep", "1097"]);
        for (more, signal) in [(&[][..], "SIGHUP"), (&["--signal", "USR2"], "SIGUSR2")] {
            let out = reload(more);
            assert!(out.code == 1 && out.err.contains(&format!("does not catch {signal}")), "{out:?}");
            assert!(
                out.err.contains("nothing was sent") && out.err.contains("rsd restart --spec daemon"),
                "{out:?}"
            );
        }
        assert_eq!(kernel::running("sleep 1097").len(), 1);
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);

        start(&["bash", "-c", "trap 'echo again' HUP; while :; do sleep 0.05; done"]);
        let out = reload(&[]);
        assert!(out.code == 0 && out.out.ends_with("(SIGHUP): log reopened, forwarded to bash\n"), "{out:?}");
        fs::rename(world.path("log/it.log"), world.path("log/moved")).expect("rename");
        fs::create_dir(world.path("log/it.log")).expect("in its way");
        let out = reload(&[]);
        assert!(out.code == 1 && out.err.contains("(SIGHUP): cannot reopen it.log"), "{out:?}");
        world.fine(&["stop", "--spec", "daemon", "--pidfile", "it.pid"]);
    });
}

/// The reason is often not in the last line.
#[test]
fn the_last_lines_are_shown() {
    test("day::the_last_lines_are_shown", Needs::Anyone, |world| {
        let line =
            ["run", "--spec", "daemon", "--pidfile", "it.pid", "--logfile", "it.log", "--", "sh", "-c"];
        let script = "for n in 1 2 3 4 5 6 7; do echo line $n; done; echo; echo port taken; echo bye; exit 3";
        let out = world.rsd(&[&line[..], &[script]].concat());
        assert_eq!(out.code, 1, "{out:?}");
        let lines = "  why: the last it said is:\n    line 2\n    line 3\n    line 4\n    line 5\n    line 6\n    line 7\n    \
                     port taken\n    bye\n  do: `rsd logs --spec daemon --pidfile it.pid --logfile it.log` shows all that it said\n";
        assert!(out.err.contains(lines), "{}", out.err);
        assert!(world.fine(&["trace"]).out.contains("port taken"));
    });
}

/// A program that was killed is no daemon that is running: the next start waits until its workers are gone.
#[test]
fn a_start_waits_for_a_keeper_that_is_at_its_end() {
    test("day::a_start_waits_for_a_keeper_that_is_at_its_end", Needs::Anyone, |world| {
        let line = ["--spec", "daemon", "--pidfile", "it.pid", "--logfile="];
        let script = "(trap '' TERM; exec sleep 1098) &\nexec sleep 1099";
        let start = || world.rsd(&[&["run"], &line[..], &["--", "sh", "-c", script]].concat());
        assert_eq!(start().code, 0);
        let keeper = world.pid("it.pid");
        eventually("its worker", || kernel::running("sleep 1098").first().copied());
        kernel::kill(kernel::running("sleep 1099")[0], nix::sys::signal::Signal::SIGKILL);
        let status = || world.rsd(&[&["status"], &line[..]].concat());
        eventually("it is at its end", || (status().code == 3).then_some(()));
        let out = start();
        assert_eq!(out.code, 0, "{out:?}");
        assert!(world.pid("it.pid") != keeper && kernel::gone(keeper));
        world.fine(&[&["stop"], &line[..]].concat());
    });
}

/// A child that it leaves behind answers, and the program itself is about to go.
#[test]
fn who_goes_to_the_background_is_not_ready_by_an_answer() {
    test("day::who_goes_to_the_background_is_not_ready_by_an_answer", Needs::Anyone, |world| {
        if !std::path::Path::new("/usr/bin/python3").exists() {
            crate::sandbox::skip("day::who_goes_to_the_background_is_not_ready_by_an_answer", "no python3");
            return;
        }
        let server = "import socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('it.sock'); s.listen(); time.sleep(1000)";
        world.file("server.py", server, 0o644);
        let line =
            ["run", "--spec", "daemon", "--pidfile", "it.pid", "--logfile=", "--rundir", ".", "--ready"];
        let ready = format!("unix:{}", world.text("it.sock"));
        let script =
            "/usr/bin/python3 server.py & while ! test -S it.sock; do sleep 0.01; done; sleep 0.3; exit 0";
        let out = world.rsd(&[&line[..], &[&ready, "--", "sh", "-c", script]].concat());
        assert!(out.code == 1 && out.err.contains("must be told to stay in the foreground"), "{out:?}");
        assert_eq!(kernel::running("/usr/bin/python3 server.py"), [0; 0]);
    });
}
