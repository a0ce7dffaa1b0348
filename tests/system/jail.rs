//! A new root.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, SVC, World, eventually, skip, test};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

fn get(path: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect("127.0.0.1:8707").expect("whoami");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

fn jail(world: &World) -> PathBuf {
    world.directory("logs", SVC, 0o755);
    world.file("jail.yaml", SPEC, 0o644);
    world.directory("jail", 0, 0o755)
}

/// The PID file is made before the new root is entered, and so outside.
const SPEC: &str = "
rsd: 1
name: jail
extends: twistd
order: [daemonize, openPIDFile, chroot, chdir]
";
const OUTSIDE: [&str; 10] = [
    "--spec",
    "jail.yaml",
    "--chroot",
    "jail",
    "--uid",
    "svc",
    "--pidfile",
    "logs/j.pid",
    "--logfile",
    "logs/j.log",
];

#[test]
fn whoami_in_an_empty_jail() {
    test("jail::whoami_in_an_empty_jail", Needs::Root, |world| {
        let jail = jail(world);
        let out = world.rsd(&[&["run"], &OUTSIDE[..]].concat());
        assert_eq!(out.code, 0, "{out:#?}");
        let pid = world.pid("logs/j.pid");
        process(pid).is(SVC, SVC, &[SVC, EXTRA]);
        process(pid).has_no_capability();
        assert_eq!(kernel::link(pid, "root"), jail);
        assert_eq!(kernel::link(pid, "cwd"), jail);
        let said = get("/");
        assert_eq!((&said["root"], &said["cwd"]), (&jail.to_str().into(), &"/".into()));
        assert_eq!(said["uid"], serde_json::json!([SVC, SVC, SVC]));
        assert_eq!(get("/timeline")["outcome"], "running");
        kernel::kill(pid, Signal::SIGUSR1);
        eventually("the log is rotated", || world.path("logs/j.log.1").exists().then_some(()));
        get("/");
        eventually("the new log is written", || {
            std::fs::read_to_string(world.path("logs/j.log")).ok().filter(|t| t.contains("GET /"))
        });
        assert!(crate::sandbox::entries(&jail).is_empty());
        assert!(world.fine(&[&["status"], &OUTSIDE[..]].concat()).out.contains(&pid.to_string()));
        world.fine(&[&["stop"], &OUTSIDE[..]].concat());
        assert!(kernel::gone(pid));
        assert!(!world.path("logs/j.pid").exists());
        assert_eq!(world.timeline(None)["outcome"], "completed");
    });
}

#[test]
fn the_pid_file_inside_is_found_from_outside() {
    test("jail::the_pid_file_inside_is_found_from_outside", Needs::Root, |world| {
        let jail = jail(world);
        std::os::unix::fs::chown(&jail, Some(SVC), Some(SVC)).expect("its owner");
        let options = ["--chroot", "jail", "--uid", "svc", "--pidfile", "/j.pid", "--logfile", "logs/j.log"];
        world.fine(&[&["run"], &options[..]].concat());
        let pid = world.pid("jail/j.pid");
        assert_eq!(kernel::link(pid, "root"), jail);
        world.fine(&[&["status"], &options[..]].concat());
        assert_eq!(world.rsd(&[&["run"], &options[..]].concat()).code, 5);
        world.fine(&[&["stop"], &options[..]].concat());
        assert!(kernel::gone(pid) && !jail.join("j.pid").exists());
    });
}

#[test]
fn a_static_program_in_a_jail() {
    const NAME: &str = "jail::a_static_program_in_a_jail";
    if !Path::new("/usr/bin/gcc").exists() {
        return skip(NAME, "there is no gcc to make a static program");
    }
    test(NAME, Needs::Root, |world| {
        let jail = jail(world);
        let source = world.file(
            "p.c",
            "#include <unistd.h>\nint main(void) { write(1, \"up\\n\", 3); for (;;) pause(); }\n",
            0o644,
        );
        let made = Command::new("gcc").arg("-static").arg("-o").arg(jail.join("p")).arg(&source).output();
        if !made.is_ok_and(|m| m.status.success()) {
            return skip(NAME, "gcc makes no static program");
        }
        let out = world.rsd(&[&["run"], &OUTSIDE[..], &["--", "/p", "x"]].concat());
        assert_eq!(out.code, 0, "{out:#?}");
        let keeper = world.pid("logs/j.pid");
        let program = kernel::children(keeper)[0];
        assert_eq!(kernel::command_line(program), "/p x");
        assert_eq!((kernel::link(program, "root"), kernel::link(program, "cwd")), (jail.clone(), jail));
        process(program).is(SVC, SVC, &[SVC, EXTRA]);
        crate::start::has_three_descriptors(program);
        eventually("its output is in the log", || {
            std::fs::read_to_string(world.path("logs/j.log")).ok().filter(|t| t == "up\n")
        });
        kernel::kill(keeper, Signal::SIGTERM);
        eventually("it ends", || (kernel::gone(keeper) && kernel::gone(program)).then_some(()));
    });
}

#[test]
fn a_program_that_is_not_in_the_jail() {
    test("jail::a_program_that_is_not_in_the_jail", Needs::Root, |world| {
        let jail = jail(world);
        let before = world.listing();
        let out = world.rsd(&[&["run"], &OUTSIDE[..], &["--", "sleep", "1050"]].concat());
        assert_eq!(out.code, 6, "{out:#?}");
        let out = world.rsd(&[&["run", "--unchecked"], &OUTSIDE[..], &["--", "sleep", "1050"]].concat());
        assert_eq!(out.code, 1, "{out:#?}");
        assert!(
            out.err.contains("no such program") && out.err.contains("inside") && out.err.contains("jail"),
            "{}",
            out.err
        );
        assert_eq!(world.listing(), before);
        // the program is there, what loads it is not
        std::fs::copy("/bin/sleep", jail.join("sleep")).expect("a copy");
        let before = world.listing();
        let out = world.rsd(&[&["run"], &OUTSIDE[..], &["--", "/sleep", "1050"]].concat());
        assert!(out.code == 6 && out.err.contains("its loader") && out.err.contains("ld-linux"), "{out:#?}");
        let out = world.rsd(&[&["run", "--unchecked"], &OUTSIDE[..], &["--", "/sleep", "1050"]].concat());
        assert_eq!(out.code, 1, "{out:#?}");
        assert!(out.err.contains("startApplication failed") && out.err.contains("ld-linux"), "{}", out.err);
        assert_eq!(world.listing(), before);
    });
}
