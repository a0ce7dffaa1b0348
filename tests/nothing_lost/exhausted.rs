//! Starts on a machine that has no more of something: descriptors, processes, memory, space, a file system that
//! can be written, a terminal, a clock that goes on.

use crate::calls::{KILLED, STARTS, cleaned_up, judged};
use crate::kernel;
use crate::rows::{Row, keep};
use crate::sandbox::{Needs, Out, World, diverging, done, eventually, sh};
use crate::scene::{Scene, Way};
use crate::seen::Machine;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a set of starts came to.
struct Tried {
    what: &'static str,
    ended: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tried {
    fn new(what: &'static str) -> Tried {
        Tried { what, ended: BTreeMap::new(), wrong: Vec::new() }
    }

    fn count(&mut self, end: &str) {
        *self.ended.entry(end.to_owned()).or_insert(0) += 1;
    }

    /// A start that has ended: with one of the ends that are right, and the next one works.
    fn ended(&mut self, scene: &Scene, [before, always]: [&Machine; 2], out: &Out, dies: bool, how: &str) {
        let (end, mut found) = match judged(scene, before, out, dies) {
            Ok(end) => (end, Vec::new()),
            Err(wrong) => ("wrong", wrong),
        };
        if matches!(end, STARTS | KILLED) {
            found.extend(cleaned_up(scene, always, before));
        }
        scene.clear();
        found.extend(Machine::left(scene, before));
        self.count(end);
        if !found.is_empty() {
            self.wrong.push(format!("{}: {how}:\n  {}\n{out:#?}", scene.name(), found.join("\n  ")));
        }
    }

    fn keep(self, name: &'static str) {
        assert!(self.wrong.is_empty(), "{} are wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        let row = Row {
            matrix: "exhausted".to_owned(),
            what: self.what.to_owned(),
            way: "how it ended".to_owned(),
            tried: self.ended.values().sum(),
            of: self.ended.values().sum(),
            ended: self.ended.into_iter().collect(),
        };
        keep(name, &[row]);
    }
}

fn daemon(world: &World, root: bool) -> Scene {
    Scene::new(world, "daemon", Way { root, foreground: false, jail: false })
}

/// The users that can be tried here: root or not.
fn users(world: &World) -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|root| !root || world.root)
}

/// Starts behind each of these lines of shell.
fn limits(name: &'static str, what: &'static str, dies: bool, lines: &[String]) {
    diverging(&format!("exhausted::{name}"), Needs::Anyone, |world| {
        let mut tried = Tried::new(what);
        for (n, root) in users(world).enumerate() {
            let scene = daemon(world, root);
            let before = Machine::look(&scene);
            let always = scene.served_once(&before);
            for line in lines.iter().skip(n).step_by(crate::one_of(4)) {
                let shell = ["sh", "-c", &format!("{line}; exec \"$@\""), "sh"];
                let out = done(&mut scene.behind(&shell, &["--spec", scene.spec]));
                tried.ended(&scene, [&before, &always], &out, dies, line);
            }
        }
        tried.keep(name);
    });
}

#[test]
fn no_descriptors() {
    let lines: Vec<_> = (3..32).map(|n| format!("ulimit -n {n}")).collect();
    limits("no_descriptors", "descriptors: 3 to 31 for the launcher (RLIMIT_NOFILE)", true, &lines);
}

#[test]
fn no_processes() {
    let lines: Vec<_> = (0..10).map(|n| format!("ulimit -u {n}")).collect();
    limits("no_processes", "processes: 0 to 9 for the launcher (RLIMIT_NPROC)", false, &lines);
}

#[test]
fn no_memory() {
    let lines: Vec<_> = (2..42).step_by(2).map(|n| format!("ulimit -v {}", n * 1024)).collect();
    limits("no_memory", "memory: 2 to 40 MiB for the launcher (RLIMIT_AS)", true, &lines);
}

/// The program cannot be forked, or executed, or cannot live.
#[test]
fn limits_of_the_spec() {
    diverging("exhausted::limits_of_the_spec", Needs::Anyone, |world| {
        let mut tried = Tried::new("limits of the spec that are too low for its program");
        for root in users(world) {
            let scene = daemon(world, root);
            let before = Machine::look(&scene);
            let always = scene.served_once(&before);
            let too_low = "rsd: 1\nname: low\nextends: daemon\nphases:\n  low: { kind: limits, with: { LIMIT } }\n\
                           order: [cutBoundingSet, low, switchUser]\n";
            for limit in
                ["nproc: \"0\"", "nproc: \"1\"", "as: 1MiB", "as: 64KiB", "nofile: \"3\"", "data: \"0\""]
            {
                let spec = scene.dir.join("low.yaml");
                fs::write(&spec, too_low.replace("LIMIT", limit)).expect("a spec");
                let out = scene.rsd("run", &["--spec", "low.yaml"]);
                fs::remove_file(spec).expect("the spec");
                tried.ended(&scene, [&before, &always], &out, false, limit);
            }
        }
        tried.keep("limits_of_the_spec");
    });
}

/// A group of processes that may have so much memory, cgroups(7): version 1, or 2.
struct Group(PathBuf);

impl Group {
    fn new(mib: usize) -> Result<Group, String> {
        let fail = |what: &str, e: std::io::Error| format!("{what}: {e}");
        let name = format!("rsd-test-{}-{mib}", std::process::id());
        for (root, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            if !Path::new(root).join("cgroup.procs").exists() {
                continue;
            }
            let group = Group(Path::new(root).join(&name));
            fs::create_dir(&group.0).map_err(|e| fail("make a group", e))?;
            fs::write(group.0.join(limit), format!("{}", mib << 20)).map_err(|e| fail("limit it", e))?;
            return Ok(group);
        }
        Err("no memory controller is mounted".to_owned())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What was killed in it leaves it a moment later.
        let begin = Instant::now();
        while fs::remove_dir(&self.0).is_err() && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The kernel kills whoever has the most memory of the group: the program, or with less whoever starts it.
#[test]
fn no_memory_for_the_group() {
    diverging("exhausted::no_memory_for_the_group", Needs::Root, |world| {
        if let Err(why) = Group::new(64).map(drop) {
            return println!(
                "skipped: exhausted::no_memory_for_the_group: no memory cgroup can be made here: {why}"
            );
        }
        let mut tried = Tried::new(
            "memory of a cgroup: 1 to 24 MiB for the start, and a program that takes all there is",
        );
        for (n, root) in users(world).enumerate() {
            let scene = daemon(world, root);
            let before = Machine::look(&scene);
            let always = scene.served_once(&before);
            let inside = |group: &Group, words: &[&str]| {
                let shell = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
                // Only root may enter the group.
                let mut start = scene.with("run", words);
                let who = if root {
                    vec![]
                } else {
                    vec!["setpriv", "--reuid=svc", "--regid=svc", "--clear-groups"]
                };
                let mut command = Command::new("sh");
                command.args(["-c", &shell, "sh"]).args(who).arg(start.get_program()).args(start.get_args());
                command
                    .env_clear()
                    .envs(start.get_envs().filter_map(|(k, v)| Some((k, v?))))
                    .current_dir(&scene.dir);
                command.stdin(Stdio::null());
                start.stdin(Stdio::null());
                done(&mut command)
            };
            for mib in [1, 2, 3, 4, 6, 8, 12, 16, 24].into_iter().skip(n).step_by(crate::one_of(4)) {
                let group = Group::new(mib).expect("a group");
                let out = inside(&group, &["--spec", scene.spec]);
                tried.ended(&scene, [&before, &always], &out, true, &format!("{mib} MiB"));
            }
            let group = Group::new(64).expect("a group");
            fs::write(scene.dir.join("greedy.yaml"), GREEDY).expect("a spec");
            let out = inside(&group, &["--spec", "greedy.yaml"]);
            fs::remove_file(scene.dir.join("greedy.yaml")).expect("the spec");
            assert!(out.code == 1 && out.err.contains("SIGKILL"), "{out:#?}");
            tried.ended(&scene, [&before, &always], &out, false, "a greedy program");
        }
        tried.keep("no_memory_for_the_group");
    });
}

/// A program that wants more and more memory, and is not ready before it has all of it.
const GREEDY: &str = "rsd: 1
name: greedy
extends: daemon
phases:
  begin: { phases: { findProgram: { with: { command: [tail, /dev/zero] } } } }
  run: { phases: { startProgram: { with: { ready: \"alive:20s\" } } } }
  privileged: { phases: { limits: { with: { as: unlimited } } } }
";

/// File systems with room for so much and no more.
#[test]
fn no_space() {
    diverging("exhausted::no_space", Needs::Root, |world| {
        let mut tried = Tried::new("a disk with room for so many files, or no page more (ENOSPC)");
        for root in users(world) {
            let scene = daemon(world, root);
            let dir = scene.dir.to_str().expect("text").to_owned();
            let always = scene.served_once(&Machine::look(&scene));
            let mut on_disk = |options: &str, fill: bool| {
                sh("mount", &["-t", "tmpfs", "-o", &format!("mode=0755,{options}"), "small", &dir]);
                if scene.furnish() {
                    if fill {
                        let _ = fs::write(scene.dir.join("filler"), vec![0; 64 << 10]);
                    }
                    let before = Machine::look(&scene);
                    let out = scene.rsd("run", &["--spec", scene.spec]);
                    if fill {
                        assert_eq!(out.code, 1, "{out:#?}");
                        assert!(out.err.contains("No space left on device"), "{out:#?}");
                    }
                    if out.code == 0 {
                        let shape = Machine::look(&scene);
                        tried.wrong.extend(scene.stop(&out));
                        drop(shape);
                        scene.clear();
                        tried.wrong.extend(Machine::left(&scene, &before));
                        tried.count(STARTS);
                    } else {
                        tried.ended(&scene, [&before, &always], &out, false, options);
                    }
                }
                sh("umount", &["--lazy", &dir]);
            };
            for inodes in (9..20).step_by(crate::one_of(3)) {
                on_disk(&format!("nr_inodes={inodes}"), false);
            }
            // The PID file can be made, and not written.
            on_disk("size=16k", true);
        }
        tried.keep("no_space");
    });
}

/// It waits at `wait`, which fails for two seconds, and then for good.
const WAITS: &str = "rsd: 1
name: waits
extends: daemon
phases:
  wait: { kind: fail, on-failure: { retry: { times: 20, delay: 100ms } } }
order: [cutBoundingSet, wait, switchUser]
";

#[test]
fn a_file_system_that_becomes_read_only() {
    diverging("exhausted::a_file_system_that_becomes_read_only", Needs::Root, |world| {
        let mut tried = Tried::new("a file system that becomes read-only before the start, or in its middle");
        for root in users(world) {
            let scene = daemon(world, root);
            // Of its own, because what is open for writing keeps a file system from becoming read-only so.
            let dir = scene.dir.join("state").to_str().expect("text").to_owned();
            sh("mount", &["-t", "tmpfs", "-o", "mode=0755", "test", &dir]);
            assert!(scene.furnish());
            fs::write(scene.dir.join("waits.yaml"), WAITS).expect("a spec");
            let before = Machine::look(&scene);
            let mut start = scene.with("run", &["--spec", "waits.yaml"]);
            let child = start.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start");
            eventually("it waits", || scene.dir.join("run/t.sock").exists().then_some(()));
            sh("mount", &["-o", "remount,ro", &dir]);
            let ended = child.wait_with_output().expect("it ends");
            let err = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(7), "{err}");
            sh("mount", &["-o", "remount,rw", &dir]);
            // Each thing that is left is named; and the next start works.
            let out = Out { code: 7, out: String::new(), err };
            let end = judged(&scene, &before, &out, false);
            tried.count(end.unwrap_or_else(|wrong| panic!("{wrong:?}\n{}", out.err)));
            let next = scene.rsd("run", &["--spec", "daemon"]);
            assert_eq!(next.code, 0, "{next:#?}");
            assert_eq!(scene.stop(&next), Vec::<String>::new());
            scene.clear();
            // From the beginning: the check foresees it; run by force it fails, and leaves nothing.
            sh("mount", &["-o", "remount,ro", &dir]);
            let before = Machine::look(&scene);
            let out = scene.rsd("run", &["--spec", "daemon"]);
            assert_eq!(out.code, 6, "{out:#?}");
            let out = scene.rsd("run", &["--spec", "daemon", "--unchecked"]);
            assert!(out.code == 1 && out.err.contains("Read-only file system"), "{out:#?}");
            let end = judged(&scene, &before, &out, false);
            tried.count(end.unwrap_or_else(|wrong| panic!("{wrong:?}\n{}", out.err)));
            sh("umount", &["--lazy", &dir]);
        }
        tried.keep("a_file_system_that_becomes_read_only");
    });
}

/// Both ends of a terminal: it is gone for the other when the first is closed.
fn terminal() -> (OwnedFd, OwnedFd) {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    (pty.master, pty.slave)
}

/// A start as leader of a session with that terminal, as `ssh -t` has it.
fn on_terminal(scene: &Scene, terminal: &OwnedFd, words: &[&str]) -> Command {
    let mut command = scene.behind(&["setsid", "--ctty", "--wait"], words);
    let again = || Stdio::from(terminal.as_fd().try_clone_to_owned().expect("a second handle"));
    command.stdin(again()).stdout(again()).stderr(again());
    command
}

#[test]
fn a_terminal_that_goes_away() {
    diverging("exhausted::a_terminal_that_goes_away", Needs::Root, |world| {
        let mut tried =
            Tried::new("the launcher's terminal is gone in the middle of the start, or of the run");
        let scene = daemon(world, true);
        let clean = Machine::look(&scene);
        let always = scene.served_once(&clean);
        fs::write(scene.dir.join("waits.yaml"), WAITS).expect("a spec");
        let before = Machine::look(&scene);
        // It fails when the terminal is long gone: nothing is left all the same.
        let (ours, theirs) = terminal();
        let mut command = on_terminal(&scene, &theirs, &["--spec", "waits.yaml"]);
        let mut child = command.spawn().expect("start");
        drop((command, theirs));
        eventually("it waits", || scene.dir.join("run/t.sock").exists().then_some(()));
        drop(ours);
        child.wait().expect("it ends");
        let left = Machine::left(&scene, &before);
        assert!(left.is_empty(), "a failed start without a terminal: {left:?}");
        fs::remove_file(scene.dir.join("waits.yaml")).expect("the spec");
        tried.count("undone");
        // In the foreground HUP is passed on: the program ends, and nothing stays.
        let (ours, theirs) = terminal();
        let mut command = on_terminal(&scene, &theirs, &["--spec", "daemon", "-n"]);
        let mut child = command.spawn().expect("start");
        drop((command, theirs));
        eventually("it is up", || kernel::running(&scene.program()).first().copied());
        drop(ours);
        child.wait().expect("it ends");
        let left = Machine::left_of(&scene, &always, Machine::shape);
        assert!(left.is_empty(), "a foreground without a terminal: {left:?}");
        tried.count("ended with it, nothing left");
        tried.keep("a_terminal_that_goes_away");
    });
}

/// The kernel sends HUP to a session whose leader ends, which is the launcher: the daemon is in another.
#[test]
fn a_launcher_that_leads_its_session() {
    diverging("exhausted::a_launcher_that_leads_its_session", Needs::Root, |world| {
        let mut tried =
            Tried::new("a launcher that leads its session, as under `ssh -t`, and ends with its terminal");
        let scene = daemon(world, true);
        let always = scene.served_once(&Machine::look(&scene));
        for _ in 0..100 / crate::one_of(20) {
            let (ours, theirs) = terminal();
            let status = on_terminal(&scene, &theirs, &["--spec", "daemon"]).status().expect("start");
            assert_eq!(status.code(), Some(0));
            drop((ours, theirs));
            let status = scene.rsd("status", &["--spec", "daemon"]);
            assert_eq!(status.code, 0, "the daemon is gone with its launcher's session: {status:#?}");
            assert_eq!(kernel::running(&scene.program()).len(), 1);
            let stop = scene.rsd("stop", &["--spec", "daemon"]);
            assert_eq!(stop.code, 0, "{stop:#?}");
            let left = Machine::left_of(&scene, &always, Machine::shape);
            assert!(left.is_empty(), "{left:?}");
            tried.count("up, and stopped");
        }
        tried.keep("a_launcher_that_leads_its_session");
    });
}

/// CLOCK_REALTIME is ten years ahead and behind in turn, each time it is asked for: a library between rsd and libc.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static long jump(void) {
    static int n;
    return n++ % 2 ? 315360000L : -315360000L;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, t);
    if (!done && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += jump();
    return done;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"#;

#[test]
fn a_clock_that_jumps() {
    diverging("exhausted::a_clock_that_jumps", Needs::Root, |world| {
        let mut tried = Tried::new("a wall clock that jumps by twenty years whenever it is asked");
        let source = world.file("clock.c", CLOCK, 0o644);
        let library = world.path("clock.so");
        sh(
            "gcc",
            &["-shared", "-fPIC", "-o", library.to_str().expect("text"), source.to_str().expect("text")],
        );
        let scene = daemon(world, true);
        let before = Machine::look(&scene);
        let jumps = |subcommand: &str, words: &[&str]| {
            let begin = Instant::now();
            let out = done(scene.with(subcommand, words).env("LD_PRELOAD", &library));
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{subcommand} waits for the wall clock: {out:#?}"
            );
            (out, begin.elapsed())
        };
        for subcommand in ["run", "status", "stop"] {
            let (out, _) = jumps(subcommand, &["--spec", "daemon"]);
            assert_eq!(out.code, 0, "{subcommand}: {out:#?}");
        }
        tried.count("up, and stopped");
        scene.clear();
        // The limit of a phase is kept: neither at once nor never.
        let slow = "rsd: 1\nname: slow\nextends: daemon\nphases:\n  \
                    slow: { kind: fail, timeout: 2s, with: { how: hang } }\norder: [switchUser, slow]\n";
        fs::write(scene.dir.join("slow.yaml"), slow).expect("a spec");
        let (out, took) = jumps("run", &["--spec", "slow.yaml"]);
        fs::remove_file(scene.dir.join("slow.yaml")).expect("the spec");
        assert_eq!(out.code, 1, "{out:#?}");
        assert!(
            out.err.contains("the time of this phase is up") && took > Duration::from_secs(2),
            "{out:#?} {took:?}"
        );
        let left = Machine::left(&scene, &before);
        assert!(left.is_empty(), "{left:?}");
        tried.count("undone");
        tried.keep("a_clock_that_jumps");
    });
}
