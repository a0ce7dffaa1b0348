//! The default spec from start to stop, and many starts at once.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, SVC, World, done, entries, eventually, skip, test};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const ORDER: [&str; 13] = [
    "checkPID",
    "readTacFile",
    "startLogger",
    "chroot",
    "chdir",
    "umask",
    "daemonize",
    "openPIDFile",
    "privilegedStartService",
    "switchUidGid",
    "startApplication",
    "startReactor",
    "removePIDFile",
];

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn talk(address: &str, question: &str) -> String {
    let mut stream = eventually(address, || TcpStream::connect(address).ok());
    stream.write_all(question.as_bytes()).expect("ask");
    let mut answer = String::new();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a limit");
    if question.starts_with("GET") {
        stream.read_to_string(&mut answer).expect("an answer");
    } else {
        let mut some = [0; 64];
        let n = stream.read(&mut some).expect("an answer");
        answer = String::from_utf8_lossy(&some[..n]).into_owned();
    }
    answer
}

fn get(path: &str) -> Value {
    let answer = talk("127.0.0.1:8707", &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).expect("JSON")
}

fn outcome(world: &World) -> String {
    world.timeline(None)["outcome"].as_str().expect("an outcome").to_owned()
}

fn is_a_daemon(pid: i32) {
    let daemon = process(pid);
    assert_eq!(daemon.parent(), 1, "the daemon is an orphan");
    assert_ne!(daemon.session(), pid, "the daemon leads no session");
    assert_eq!(daemon.terminal(), 0, "the daemon has no terminal");
    let fds = daemon.descriptors();
    for fd in 0..3 {
        assert_eq!(fds[&fd], Path::new("/dev/null"), "descriptor {fd} of the daemon");
    }
}

fn is_clean(program: i32) {
    has_three_descriptors(program);
    let program = process(program);
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(program.signals(set), [0; 0], "{set} of the program");
    }
}

/// Nothing but the standard ones, once its loader is done.
pub fn has_three_descriptors(program: i32) {
    eventually("the program has 0, 1, 2 and no other descriptor", || {
        (process(program).descriptors().into_keys().collect::<Vec<_>>() == [0, 1, 2]).then_some(())
    });
}

fn redis_in(world: &World, owner: u32) {
    let run = world.directory("run", owner, 0o755);
    let port = free_port().to_string();
    let options = [
        "--uid",
        "svc",
        "--gid",
        "svc",
        "--umask",
        "027",
        "--pidfile",
        "run/r.pid",
        "--logfile",
        "run/r.log",
    ];
    let mut start = vec!["run"];
    start.extend(options);
    start.extend(["--", "redis-server", "--port", &port, "--save", "", "--daemonize", "no"]);
    world.fine(&start);
    let keeper = world.pid("run/r.pid");
    let program = kernel::children(keeper);
    assert_eq!(program.len(), 1);
    assert_eq!(talk(&format!("127.0.0.1:{port}"), "PING\r\n"), "+PONG\r\n");
    for pid in [keeper, program[0]] {
        let seen = process(pid);
        seen.is(SVC, SVC, &[SVC, EXTRA]);
        seen.has_no_capability();
        assert_eq!(seen.umask(), 0o027);
        assert_eq!(kernel::link(pid, "cwd"), world.dir);
        assert_eq!(kernel::link(pid, "root"), Path::new("/"));
    }
    is_a_daemon(keeper);
    // redis itself opens more: what it was given are 0, 1 and 2
    let fds = process(program[0]).descriptors();
    assert_eq!(fds[&0], Path::new("/dev/null"));
    assert!(fds[&1] == fds[&2] && fds[&1].to_string_lossy().starts_with("pipe:"));
    let file = run.join("r.pid").metadata().expect("the PID file");
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (0, 0, 0o640));
    assert!(kernel::is_locked(&run.join("r.pid")));
    eventually("the log has what redis says", || {
        std::fs::read_to_string(run.join("r.log")).ok().filter(|t| t.contains("Ready to accept"))
    });
    let mut status = vec!["status"];
    status.extend(options);
    assert!(world.fine(&status).out.contains(&keeper.to_string()));

    let text = world.fine(&["trace"]).out;
    for phase in ORDER {
        assert!(text.contains(phase), "{phase} is not in\n{text}");
    }
    let timeline = world.timeline(None);
    assert_eq!(timeline["outcome"], "running");
    let spans = timeline["spans"].as_array().expect("spans");
    assert_eq!(spans.iter().map(|s| s["phase"].as_str().expect("a name")).collect::<Vec<_>>(), ORDER);
    let begun: Vec<u64> = spans.iter().filter_map(|s| s["start_ns"].as_u64()).collect();
    assert!(begun.is_sorted(), "{begun:?}");
    let drop = &spans[9];
    assert_eq!(drop["identity_after"]["uid"], serde_json::json!([SVC, SVC, SVC]));
    assert_eq!(drop["identity_before"]["uid"], serde_json::json!([0, 0, 0]));

    let mut stop = vec!["stop"];
    stop.extend(options);
    world.fine(&stop);
    assert!(kernel::gone(keeper) && kernel::gone(program[0]));
    let (left, code, end) = if owner == 0 { (true, 1, "failed") } else { (false, 3, "completed") };
    assert_eq!(run.join("r.pid").exists(), left);
    assert_eq!(world.rsd(&status).code, code);
    assert_eq!(outcome(world), end);
    if left {
        let error = &world.timeline(None)["spans"][12]["error"];
        assert_eq!(error["errno"], 13, "{error}");
    }
}

#[test]
fn a_program_in_a_directory_of_root() {
    if !Path::new("/usr/bin/redis-server").exists() {
        return skip("start::a_program_in_a_directory_of_root", "there is no redis-server");
    }
    test("start::a_program_in_a_directory_of_root", Needs::Root, |world| redis_in(world, 0));
}

#[test]
fn a_program_in_a_directory_of_its_user() {
    if !Path::new("/usr/bin/redis-server").exists() {
        return skip("start::a_program_in_a_directory_of_its_user", "there is no redis-server");
    }
    test("start::a_program_in_a_directory_of_its_user", Needs::Root, |world| redis_in(world, SVC));
}

#[test]
fn a_program_gets_nothing_but_what_it_should() {
    test("start::a_program_gets_nothing_but_what_it_should", Needs::Anyone, |world| {
        world.fine(&["run", "--", "sleep", "1000"]);
        let keeper = world.pid("twistd.pid");
        assert_ne!(process(keeper).session(), keeper);
        is_clean(kernel::children(keeper)[0]);
        assert_eq!(process(keeper).umask(), 0o077);
        assert_eq!(world.path("twistd.pid").metadata().expect("it").mode() & 0o777, 0o600);
        world.fine(&["stop"]);
        assert!(!world.path("twistd.pid").exists());
        assert_eq!(outcome(world), "completed");
    });
}

#[test]
fn whoami_tells_what_the_kernel_tells() {
    test("start::whoami_tells_what_the_kernel_tells", Needs::Root, |world| {
        world.directory("run", SVC, 0o755);
        let options = ["--uid", "svc", "--pidfile", "run/w.pid", "--logfile", "run/w.log"];
        world.fine(&[&["run"], &options[..]].concat());
        let pid = world.pid("run/w.pid");
        let said = get("/");
        let seen = process(pid);
        seen.is(SVC, SVC, &[SVC, EXTRA]);
        seen.has_no_capability();
        is_a_daemon(pid);
        assert_eq!(said["pid"], pid);
        assert_eq!(said["uid"], serde_json::json!([SVC, SVC, SVC]));
        assert_eq!(said["gid"], serde_json::json!([SVC, SVC, SVC]));
        assert_eq!(said["groups"], serde_json::json!([SVC, EXTRA]));
        assert_eq!(said["capabilities"], serde_json::json!([]));
        assert_eq!(said["umask"], format!("{:03o}", seen.umask()));
        assert_eq!(said["cwd"], kernel::link(pid, "cwd").to_str().expect("text"));
        let timeline = get("/timeline");
        assert_eq!(timeline["outcome"], "running");
        assert_eq!(timeline["spans"].as_array().expect("spans").len(), 13);
        world.fine(&[&["stop"], &options[..]].concat());
        assert!(kernel::gone(pid));
    });
}

#[test]
fn a_second_start_touches_nothing() {
    test("start::a_second_start_touches_nothing", Needs::Anyone, |world| {
        let start = ["run", "--", "sh", "-c", "echo first; exec sleep 1000"];
        world.fine(&start);
        let pid = world.pid("twistd.pid");
        eventually("the log is written", || {
            std::fs::read(world.path("twistd.log")).ok().filter(|t| !t.is_empty())
        });
        let (before, processes) = (world.listing(), kernel::children(pid));
        let out = world.rsd(&start);
        assert_eq!(out.code, 5, "{out:?}");
        assert!(out.err.contains("already running") && out.err.contains(&pid.to_string()), "{}", out.err);
        assert_eq!(world.listing(), before);
        assert_eq!(kernel::children(pid), processes);
        world.fine(&["stop"]);
    });
}

#[test]
fn of_twenty_starts_one_remains() {
    test("start::of_twenty_starts_one_remains", Needs::Anyone, |world| {
        for trial in 0..5 {
            let name = format!("t{trial}");
            let dir = world.directory(&name, 0, 0o755);
            let line = format!("sleep 100{trial}");
            let options = [format!("--pidfile={name}/d.pid"), format!("--logfile={name}/d.log")];
            let starts: Vec<_> = (0..20)
                .map(|_| {
                    let mut command = world.command(crate::sandbox::binary());
                    command.arg("run").args(&options).arg("--").args(line.split(' '));
                    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                    command.spawn().expect("start one of many")
                })
                .collect();
            let mut codes: Vec<_> =
                starts.into_iter().map(|mut c| c.wait().expect("wait").code().expect("a code")).collect();
            codes.sort_unstable();
            assert_eq!(codes, [vec![0], vec![5; 19]].concat(), "trial {trial}");
            assert_eq!(kernel::running(&line).len(), 1, "trial {trial}");
            let pid = world.pid(&format!("{name}/d.pid"));
            assert_eq!(kernel::children(pid), kernel::running(&line));
            let mut left: Vec<_> =
                entries(&dir).iter().map(|p| p.file_name().expect("a name").to_owned()).collect();
            left.sort();
            assert_eq!(left, ["d.log", "d.pid"], "trial {trial}");
            let log = dir.join("d.log").metadata().expect("the log");
            let held = process(pid).descriptors().into_values().filter(|p| *p == dir.join("d.log")).count();
            assert!(held > 0 && log.nlink() == 1, "the log that is there is the one in use");
            world.fine(&["stop", &options[0], &options[1]]);
        }
    });
}

#[test]
fn the_pid_file_is_complete_when_the_launcher_exits() {
    test("start::the_pid_file_is_complete_when_the_launcher_exits", Needs::Anyone, |world| {
        for _ in 0..200 {
            let out = done(world.command(crate::sandbox::binary()).args(["run", "--", "sleep", "1000"]));
            assert_eq!(out.code, 0, "{out:?}");
            let pid = world.pid("twistd.pid");
            assert!(!kernel::gone(pid));
            kernel::kill(pid, nix::sys::signal::Signal::SIGKILL);
            eventually("the keeper is gone", || kernel::gone(pid).then_some(()));
        }
        eventually("the programs go with their keepers", || {
            kernel::running("sleep 1000").is_empty().then_some(())
        });
    });
}
