//! One order, run for real and looked at with the kernel's eyes: `/proc`, stat(2), kill(2), and an
//! application that tries to be root again. Nothing here asks rsd how it went.

use crate::sandbox::{Line, Sandbox};
use crate::worlds::{EXTRA, JAIL, Jail, START, SVC, TOP, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What was seen of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// why it is not up as declared; empty where it is
    pub not_up: Vec<String>,
    /// what was promised for later and did not come true, by the name of the promise
    pub broken: BTreeSet<Promise>,
    /// processes, files and sockets that should not be there afterwards
    pub left: Vec<String>,
    /// how `rsd run` ended, if it did
    pub code: Option<i32>,
    /// what it said
    pub said: String,
    /// what a process has open that, as was said, could not be ended
    #[serde(skip)]
    pub excused: BTreeSet<String>,
    /// more to read, for `--one`
    pub story: Vec<String>,
}

/// What is promised beyond being up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Promise {
    /// USR1 rotates the log
    Rotation,
    /// the PID file goes with the daemon
    PidFileGone,
    /// there is no way back to root
    NoWayBack,
    /// what the application says is in the log
    Heard,
    /// the application has the socket that was bound
    Handed,
    /// the application may use its working directory
    Cwd,
    /// the log's mode is not wider than the declared umask allows
    LogMode,
    /// the PID file's mode likewise
    PidFileMode,
}

/// The exit code of a start that could not be undone.
const STUCK: i32 = 7;

/// Arguments of `rsd` that every subcommand gets.
pub fn arguments(world: &World, order: &str) -> Vec<String> {
    // The spec lies where some worlds let others write, and that is not what is tried here.
    let spec = format!("{TOP}/orders.yaml");
    let own = ["--trust-spec", "--spec", &spec, "--order", order].map(str::to_owned);
    own.into_iter().chain(world.arguments()).collect()
}

/// `rsd` as the world starts it.
pub fn rsd(world: &World, binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.env("XDG_STATE_HOME", format!("{START}/.state")).current_dir(START).stdin(Stdio::null());
    if world.by_user {
        command.uid(SVC).gid(SVC);
    }
    command
}

/// Runs it and looks.
#[allow(clippy::zombie_processes)] // all that end are waited for in the sandbox
pub fn observe(world: &World, order: &[&str], unchecked: bool, binary: &Path, sandbox: &mut Sandbox) -> Seen {
    let mut seen = Seen::default();
    let before = listing();
    let said = File::create("/var/lib/said").expect("a file for what it says");
    let mut command = rsd(world, binary);
    command.arg("run").args(unchecked.then_some("--unchecked")).args(arguments(world, &order.join(",")));
    command.arg("--").args(World::command());
    command.stdout(said.try_clone().expect("a second handle")).stderr(said);
    let launcher = command.spawn().expect("start rsd").id() as i32;
    if sees_it_serve(world, launcher, sandbox, &mut seen) {
        look(world, order, launcher, sandbox, &mut seen);
    }
    let up = seen.not_up.is_empty();
    let ends = up || seen.not_up.iter().all(|why| why.starts_with("the start failed"));
    let said = || fs::read_to_string("/var/lib/said").unwrap_or_default();
    // Whoever could not be ended and was named may stay; a guard goes by itself as soon as the others have.
    let named = |s: &Sandbox| {
        s.ended.get(&launcher) == Some(&STUCK) && strangers().iter().all(|(_, name)| is_named(&said(), name))
    };
    if ends {
        sandbox.until(|s| s.alone || !up && named(s));
    }
    seen.code = sandbox.ended.get(&launcher).copied();
    seen.said = said();
    if ends && !sandbox.alone {
        for (pid, name) in strangers() {
            if seen.code == Some(STUCK) && is_named(&seen.said, &name) {
                seen.excused.extend(descriptors(pid).iter().map(|d| d.display().to_string()));
            } else {
                seen.left.push(format!("process {pid} {name}"));
            }
        }
    }
    let ends =
        up || seen.code != Some(0) && seen.not_up.iter().all(|why| why.starts_with("the start failed"));
    if ends {
        left_behind(world, &before, up, &mut seen);
    }
    // Whoever is still there must not meet the next order's.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    seen
}

/// Waits until the application runs and the daemon serves; says why not.
fn sees_it_serve(world: &World, launcher: i32, sandbox: &mut Sandbox, seen: &mut Seen) -> bool {
    let spoke = |s: &Sandbox| s.lines.iter().any(|l| l.count("hello") > 0);
    if !world.foreground {
        // The launcher leaves when the daemon is ready, or when it is not to be.
        sandbox.until(|s| s.ended.contains_key(&launcher));
        match sandbox.ended.get(&launcher) {
            Some(0) => {}
            Some(code) => seen.not_up.push(format!("the start failed: exit code {code}")),
            None => seen.not_up.push("the launcher does not come back".to_owned()),
        }
        if !seen.not_up.is_empty() {
            return false;
        }
    }
    sandbox.until(|s| spoke(s) || s.alone || s.ended.contains_key(&launcher) && world.foreground);
    if !spoke(sandbox) || world.foreground && sandbox.ended.contains_key(&launcher) {
        let code = sandbox.ended.get(&launcher).copied();
        seen.not_up.push(match code {
            Some(code) if world.foreground => format!("the start failed: exit code {code}"),
            _ => "the application does not run".to_owned(),
        });
        return false;
    }
    if world.foreground {
        // What is to be passed on is passed on once it serves.
        let _ = kill(Pid::from_raw(launcher), Signal::SIGUSR2);
        sandbox.until(|s| s.ended.contains_key(&launcher) || s.lines.iter().any(|l| l.count("usr2") > 0));
        if let Some(code) = sandbox.ended.get(&launcher) {
            seen.not_up.push(format!("the start failed: exit code {code}"));
            return false;
        }
    }
    true
}

fn look(world: &World, order: &[&str], launcher: i32, sandbox: &mut Sandbox, seen: &mut Seen) {
    let Some(program) = sandbox.lines.iter().rev().find(|l| l.count("hello") > 0).map(|l| l.pid) else {
        return;
    };
    let daemon = field(program, "PPid").and_then(|t| t.parse().ok()).unwrap_or(0);
    if daemon <= 1 {
        seen.not_up.push("the application has lost the daemon's process over it".to_owned());
        return;
    }
    seen.story.push(format!("launcher {launcher}, daemon {daemon}, application {program}"));
    let meant_parent =
        if world.foreground { daemon == launcher } else { field(daemon, "PPid").as_deref() == Some("1") };
    if !meant_parent {
        seen.not_up.push("the daemon is not the process it was to be".to_owned());
    }
    identity(world, "the daemon", daemon, seen);
    identity(world, "the application", program, seen);
    port(world, daemon, program, seen);
    let pid_file = pid_file(world, daemon, seen);
    let log = world.log.then(|| log(world, order, daemon, seen)).flatten();
    if !seen.not_up.is_empty() {
        // It is no daemon that could be waited for.
        return;
    }
    regain(world, program, sandbox, seen);
    if let Some(log) = &log {
        rotation(log, daemon, program, sandbox, seen);
        let heard = [log.clone(), log.with_extension("log.1")]
            .iter()
            .any(|f| fs::read_to_string(f).is_ok_and(|t| t.contains("the probe speaks")));
        if !heard {
            seen.broken.insert(Promise::Heard);
        }
    }
    let _ = kill(Pid::from_raw(daemon), Signal::SIGTERM);
    if seen.not_up.is_empty() {
        sandbox.until(|s| s.alone);
    }
    if pid_file.is_some_and(|file| file.symlink_metadata().is_ok()) {
        seen.broken.insert(Promise::PidFileGone);
    }
}

/// A line of /proc/PID/status.
fn field(pid: i32, key: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':').map(str::trim))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Device and inode, links followed.
fn inode(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

fn identity(world: &World, who: &str, pid: i32, seen: &mut Seen) {
    let me = world.meant();
    let ids = match world.effective {
        true => None,
        false => Some(format!("{me} {me} {me} {me}")),
    };
    let mut wrong = |what: &str, meant: &str| {
        let is = field(pid, what).unwrap_or_default();
        if is != meant {
            seen.not_up.push(format!("{who} has {what} {is}, meant is {meant}"));
        }
    };
    match &ids {
        Some(ids) => {
            wrong("Uid", ids);
            wrong("Gid", ids);
        }
        None => {
            // The daemon keeps root in its real and saved ids; a program that is executed keeps the real one.
            let saved = if who == "the daemon" { 0 } else { me };
            wrong("Uid", &format!("0 {me} {saved} {me}"));
            wrong("Gid", &format!("0 {me} {saved} {me}"));
        }
    }
    if world.user {
        wrong("Groups", &format!("{SVC} {EXTRA}"));
    } else if world.by_user {
        wrong("Groups", "");
    }
    if me != 0 {
        wrong("CapEff", "0000000000000000");
    }
    if me != 0 && !world.effective {
        for set in ["CapPrm", "CapInh", "CapAmb"] {
            wrong(set, "0000000000000000");
        }
    }
    wrong("Umask", &format!("{:04o}", world.meant_umask()));
    for (what, meant) in [("root", world.meant_root()), ("cwd", world.meant_cwd())] {
        let link = PathBuf::from(format!("/proc/{pid}/{what}"));
        if inode(&link).is_none() || inode(&link) != inode(&meant) {
            let is = fs::read_link(&link).unwrap_or_default();
            seen.not_up.push(format!("{who} has {what} {}, meant is {}", is.display(), meant.display()));
        }
    }
}

/// What a process has open, as the links of its descriptors say.
fn descriptors(pid: i32) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    all.filter_map(|e| fs::read_link(e.ok()?.path()).ok()).collect()
}

fn listeners() -> Vec<(u16, String)> {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let row = |line: &str| -> Option<(u16, String)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok()?;
        (*words.get(3)? == "0A").then(|| (port, format!("socket:[{}]", words.get(9).unwrap_or(&""))))
    };
    text.lines().skip(1).filter_map(row).collect()
}

fn port(world: &World, daemon: i32, program: i32, seen: &mut Seen) {
    let Some((_, socket)) = listeners().into_iter().find(|(port, _)| *port == world.port) else {
        return seen.not_up.push(format!("nobody listens on port {}", world.port));
    };
    let has = |pid: i32| descriptors(pid).iter().any(|d| d.as_os_str() == socket.as_str());
    match (has(program), has(daemon)) {
        (true, _) => {}
        (false, true) => drop(seen.broken.insert(Promise::Handed)),
        (false, false) => seen.not_up.push(format!("a stranger listens on port {}", world.port)),
    }
}

/// Outside and inside.
fn both(name: &str) -> [PathBuf; 2] {
    [Path::new(TOP).join(name), Path::new(JAIL).join("mnt").join(name)]
}

fn pid_file(world: &World, daemon: i32, seen: &mut Seen) -> Option<PathBuf> {
    let says = |f: &PathBuf| fs::read_to_string(f).unwrap_or_default() == format!("{daemon}\n");
    let found = both("run/t.pid").into_iter().find(says);
    match &found {
        None => seen.not_up.push("no PID file names the daemon".to_owned()),
        Some(file) => {
            if fs::metadata(file).is_ok_and(|m| m.mode() & world.meant_umask() != 0) {
                seen.broken.insert(Promise::PidFileMode);
            }
        }
    }
    found
}

fn log(world: &World, order: &[&str], daemon: i32, seen: &mut Seen) -> Option<PathBuf> {
    let open: Vec<_> = descriptors(daemon);
    let inodes: Vec<_> = open.iter().filter_map(inode).collect();
    let jailed = |f: &&PathBuf| inode(f).is_some_and(|i| inodes.contains(&i));
    let files = both("logs/t.log");
    let Some(file) = files.iter().find(jailed) else {
        seen.not_up.push(format!("the daemon has no log open: {open:?}"));
        return None;
    };
    let Ok(meta) = fs::metadata(file) else { return None };
    let place = |name: &str| order.iter().position(|p| *p == name);
    let mask = match place("umask") < place("startLogger") {
        true => world.meant_umask(),
        false => crate::worlds::START_UMASK,
    };
    if !world.old_log && meta.mode() & 0o7777 != 0o644 & !mask {
        seen.not_up.push(format!("the log's mode is {:o}", meta.mode() & 0o7777));
    }
    if !world.old_log && meta.mode() & world.meant_umask() != 0 {
        seen.broken.insert(Promise::LogMode);
    }
    let dropped = place("switchUidGid") < place("startLogger") && world.user;
    let owner = match world.safe && world.user {
        true => SVC,
        false if dropped && !world.old_log || world.by_user => SVC,
        false => 0,
    };
    if meta.uid() != owner {
        seen.not_up.push(format!("the log belongs to {}, meant is {owner}", meta.uid()));
    }
    Some(file.clone())
}

fn line(sandbox: &mut Sandbox, pid: i32) -> Option<&mut Line> {
    sandbox.lines.iter_mut().find(|l| l.pid == pid)
}

/// Lets the application try to be root again, and to leave its root directory.
fn regain(world: &World, program: i32, sandbox: &mut Sandbox, seen: &mut Seen) {
    if let Some(line) = line(sandbox, program) {
        line.tell("try");
    }
    let answer = |s: &Sandbox| {
        let line = s.lines.iter().find(|l| l.pid == program)?;
        line.heard.lines().find_map(|l| l.strip_prefix("tried ").map(str::to_owned))
    };
    sandbox.until(|s| answer(s).is_some() || s.ended.contains_key(&program));
    let Some(said) = answer(sandbox) else {
        return seen.not_up.push("the application did not answer".to_owned());
    };
    seen.story.push(format!("the application tried: {said}"));
    if said.contains("closed=1") {
        seen.broken.insert(Promise::Cwd);
    }
    if world.meant() == 0 {
        return;
    }
    if ["root=1", "capable=1"].iter().any(|w| said.contains(w)) || said.contains("group=1") && !world.by_user
    {
        seen.broken.insert(Promise::NoWayBack);
    }
    if said.contains("escaped=1") && world.jail != Jail::None && !world.effective {
        seen.not_up.push("the application left its root directory".to_owned());
    }
}

/// USR1 rotates; USR2 is passed on behind it, so its echo says that rotation was tried.
fn rotation(log: &Path, daemon: i32, program: i32, sandbox: &mut Sandbox, seen: &mut Seen) {
    let old = inode(log);
    let echoes = |s: &Sandbox| s.lines.iter().find(|l| l.pid == program).map_or(0, |l| l.count("usr2"));
    let before = echoes(sandbox);
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
        let _ = kill(Pid::from_raw(daemon), signal);
    }
    if !sandbox.until(|s| echoes(s) > before || s.ended.contains_key(&daemon)) {
        seen.not_up.push("signals are not passed on".to_owned());
    }
    let rotated = log.with_extension("log.1");
    let inodes: Vec<_> = descriptors(daemon).iter().filter_map(inode).collect();
    let anew = inode(log).is_some_and(|i| Some(i) != old && inodes.contains(&i));
    if !anew || inode(&rotated) != old {
        seen.broken.insert(Promise::Rotation);
        if inode(log) != old || rotated.exists() {
            seen.not_up.push("the log was rotated by half".to_owned());
        }
    } else if let (Ok(new), Ok(old)) = (fs::metadata(log), fs::metadata(&rotated))
        && new.mode() != old.mode()
    {
        seen.not_up.push(format!("the new log has mode {:o}, the old one {:o}", new.mode(), old.mode()));
    }
}

/// Every name below the top, and what it is.
fn listing() -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    let mut todo = vec![PathBuf::from(TOP)];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            // The journals of an ordinary user, and what the application made when it tried to get out.
            if path.ends_with(".state") || path.ends_with("way-out") {
                continue;
            }
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                todo.push(path.clone());
            }
            all.insert(path);
        }
    }
    all
}

/// Who is there besides us: numbers and names.
fn strangers() -> Vec<(i32, String)> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |e: fs::DirEntry| e.file_name().to_str()?.parse::<i32>().ok();
    all.filter_map(number)
        .filter(|pid| *pid != 1)
        .filter_map(|pid| Some((pid, field(pid, "Name")?)))
        .collect()
}

/// It was said that it could not be ended.
fn is_named(said: &str, name: &str) -> bool {
    said.contains(&format!("LEFT BEHIND: end {name}"))
}

fn left_behind(world: &World, before: &BTreeSet<PathBuf>, was_up: bool, seen: &mut Seen) {
    let mut allowed: Vec<PathBuf> = Vec::new();
    if world.log {
        // A log that was written to is kept, and after a start that worked any log is.
        let logs = both("logs/t.log").into_iter().chain(both("logs/t.log.1"));
        allowed.extend(logs.filter(|f| was_up || fs::metadata(f).is_ok_and(|m| m.len() > 0)));
    }
    if seen.broken.contains(&Promise::PidFileGone) {
        allowed.extend(both("run/t.pid"));
    }
    // What cannot be undone any more is said, with its path as it is in the root of whoever made it.
    let told = |path: &Path| {
        let inside = path.strip_prefix(JAIL).map_or_else(|_| path.to_owned(), |p| Path::new("/").join(p));
        seen.said.lines().any(|l| {
            (l.contains("LEFT BEHIND") && seen.code == Some(STUCK) || l.trim_start().starts_with("kept: "))
                && l.contains(&*inside.to_string_lossy())
        })
    };
    let silent = |p: &&PathBuf| !allowed.contains(p) && (was_up || !told(p));
    let found: Vec<String> =
        listing().difference(before).filter(silent).map(|p| p.display().to_string()).collect();
    seen.left.extend(found);
    for (port, _) in
        listeners().into_iter().filter(|(_, socket)| !seen.excused.contains(socket)).collect::<Vec<_>>()
    {
        seen.left.push(format!("a listener on port {port}"));
    }
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let names = sockets.lines().skip(1).filter_map(|l| l.split_whitespace().nth(7));
    seen.left.extend(names.filter(|n| *n != "@rsd-orders").map(str::to_owned));
}
