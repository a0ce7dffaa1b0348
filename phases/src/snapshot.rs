//! Facts of this machine, taken read-only, for the model.

use crate::application::program;
use crate::python;
use crate::sys::{failed, identity, settings};
use engine::effect::{Application, Effect, Program, Setting, Socket, SystemError};
use engine::plan::Plan;
use engine::snapshot::{FileFact, FileKind, Group, NoPython, Python, Snapshot, User, parts};
use nix::unistd::{Gid, Uid};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Who we are, and the users and groups that a spec names: all that a plan needs.
pub fn people(users: &[String], groups: &[String], cwd: &Path) -> Result<Snapshot, SystemError> {
    let identity = identity::root_inode()
        .and_then(|root| identity::read(Path::new("/"), root, identity::bounding()))
        .map_err(|e| failed(e, "read the identity"))?;
    Ok(Snapshot {
        identity,
        settings: settings::read(),
        users: users.iter().map(|text| (text.clone(), user(text))).collect(),
        groups: groups.iter().map(|text| (text.clone(), group(text))).collect(),
        unprivileged_port: unprivileged_port(),
        cwd: cwd.to_owned(),
        ..Snapshot::default()
    })
}

/// The entry of a user. A number is a number first, then a name: as twistd reads it.
pub fn user(text: &str) -> Option<User> {
    let number = text.parse::<u32>().ok();
    let entry = match number {
        Some(uid) => nix::unistd::User::from_uid(Uid::from_raw(uid)),
        None => nix::unistd::User::from_name(text),
    };
    match (entry.ok().flatten(), number) {
        (Some(entry), _) => {
            let mut groups = member_of(&entry.name, entry.gid);
            groups.sort_unstable();
            groups.dedup();
            Some(User {
                uid: entry.uid.as_raw(),
                gid: Some(entry.gid.as_raw()),
                groups,
                home: entry.dir,
                name: entry.name,
            })
        }
        (None, Some(uid)) => {
            Some(User { name: text.to_owned(), uid, gid: None, groups: Vec::new(), home: PathBuf::from("/") })
        }
        (None, None) => None,
    }
}

fn member_of(name: &str, gid: Gid) -> Vec<u32> {
    let name = CString::new(name).unwrap_or_default();
    match nix::unistd::getgrouplist(&name, gid) {
        Ok(groups) => groups.into_iter().map(|g| g.as_raw()).collect(),
        Err(_) => vec![gid.as_raw()],
    }
}

fn group(text: &str) -> Option<Group> {
    let number = text.parse::<u32>().ok();
    let entry = match number {
        Some(gid) => nix::unistd::Group::from_gid(Gid::from_raw(gid)),
        None => nix::unistd::Group::from_name(text),
    };
    match (entry.ok().flatten(), number) {
        (Some(entry), _) => Some(Group { name: entry.name, gid: entry.gid.as_raw() }),
        (None, Some(gid)) => Some(Group { name: text.to_owned(), gid }),
        (None, None) => None,
    }
}

fn unprivileged_port() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|t| t.trim().parse().ok())
        .unwrap_or(1024)
}

/// The files and programs that a plan will meet, in every root it may see them from.
pub fn places(snapshot: &mut Snapshot, plan: &Plan) {
    let mut roots: BTreeSet<PathBuf> = BTreeSet::from([PathBuf::from("/")]);
    let mut paths: BTreeSet<PathBuf> = BTreeSet::from([snapshot.cwd.clone()]);
    for (_, effect) in plan.effects() {
        match effect {
            Effect::Chroot { path } => {
                roots.insert(path.clone());
            }
            Effect::CheckPidFile { path }
            | Effect::OpenLog { path, .. }
            | Effect::Chdir { path }
            | Effect::CreatePidFile { path, .. }
            | Effect::RemovePidFile { path }
            | Effect::Bind { socket: Socket::Unix(path) } => {
                paths.insert(path.clone());
            }
            Effect::Process(Setting::OomScore(_)) => {
                paths.insert(settings::OOM_SCORE.into());
            }
            Effect::Application(Application::Load(wanted)) => {
                paths.extend(wanted.tac.clone());
                // Where it is not in the root, it is worth knowing that it is outside.
                let word =
                    wanted.command.first().filter(|word| word.starts_with('/') && wanted.root.is_some());
                paths.extend(word.map(PathBuf::from));
                if let Some((word, found)) = find(wanted) {
                    paths.extend(found.clone());
                    snapshot.programs.insert(word, found);
                }
            }
            _ => {}
        }
    }
    for python in snapshot.pythons.values().flatten() {
        paths.insert(python.executable.clone());
        paths.extend(python.libraries.clone());
    }
    // A socket that nobody listens behind is replaced by whoever binds its name.
    for (_, effect) in plan.effects() {
        if let Effect::Bind { socket: Socket::Unix(path) } = effect
            && crate::sys::process::is_stale_socket(path)
        {
            snapshot.files.insert(path.clone(), None);
        }
    }
    let outside = roots.clone();
    for root in &outside {
        walk(snapshot, Path::new("/"), root);
    }
    for root in &roots {
        for path in &paths {
            walk(snapshot, root, path);
        }
    }
}

/// The interpreters that a plan will host. For whoever is to judge or to run it: a wrapper script may
/// have to be asked, which takes its time. Before [`places`], so that their files are looked at.
pub fn pythons(snapshot: &mut Snapshot, plan: &Plan) {
    for (_, effect) in plan.effects() {
        if let Effect::Application(Application::Load(wanted)) = effect
            && wanted.is_twisted()
        {
            let name = wanted.twisted.interpreter.clone();
            let python = interpreter(name.as_deref());
            snapshot.pythons.insert(name.unwrap_or_default(), python);
        }
    }
}

fn interpreter(name: Option<&str>) -> Result<Python, NoPython> {
    let found = python::find(name).map_err(|e| NoPython { message: e.message, help: e.help })?;
    let (major, minor) = found.version;
    let installed = found.environment.map(|e| e.join(format!("lib/python{major}.{minor}/site-packages")));
    let libraries = [found.stdlib].into_iter().chain(installed).collect();
    Ok(Python { executable: found.program, libraries })
}

fn find(wanted: &Program) -> Option<(String, Option<PathBuf>)> {
    let word = wanted.command.first()?;
    Some((word.clone(), program::find(wanted).ok().map(|found| found.path)))
}

/// Every directory and link on the way from `root` to `path`.
fn walk(snapshot: &mut Snapshot, root: &Path, path: &Path) {
    let mut here = root.to_owned();
    look(snapshot, &here);
    let mut todo: Vec<PathBuf> = parts(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            if here != root {
                here.pop();
            }
            continue;
        }
        let next = here.join(&part);
        match look(snapshot, &next).map(|f| f.kind) {
            Some(FileKind::Symlink(target)) if links < 40 => {
                links += 1;
                if target.is_absolute() {
                    here = root.to_owned();
                }
                todo.extend(parts(&target));
            }
            Some(_) => here = next,
            None => return,
        }
    }
}

fn look(snapshot: &mut Snapshot, path: &Path) -> Option<FileFact> {
    if let Some(known) = snapshot.files.get(path) {
        return known.clone();
    }
    let fact = std::fs::symlink_metadata(path).ok().map(|m| {
        let kind = if m.is_file() {
            FileKind::File
        } else if m.is_dir() {
            FileKind::Directory
        } else if m.is_symlink() {
            FileKind::Symlink(std::fs::read_link(path).unwrap_or_default())
        } else {
            FileKind::Other
        };
        FileFact { kind, uid: m.uid(), gid: m.gid(), mode: m.mode() & 0o7777 }
    });
    snapshot.files.insert(path.to_owned(), fact.clone());
    fact
}

/// A running process, as /proc shows it.
#[derive(Clone, Debug)]
pub struct Process {
    /// effective user id
    pub uid: u32,
    /// effective group id
    pub gid: u32,
    /// for how long it has been up, nanoseconds
    pub up_ns: u64,
}

/// What /proc says of a process; `None` if it is gone or cannot be seen.
pub fn process(pid: i32) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let effective = |key: &str| -> Option<u32> {
        status.lines().find_map(|l| l.strip_prefix(key))?.split_whitespace().nth(1)?.parse().ok()
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything: fields are counted behind the last one.
    let started: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??.max(1) as u64;
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    let now_ns = std::time::Duration::from(now).as_nanos() as u64;
    Some(Process {
        uid: effective("Uid:")?,
        gid: effective("Gid:")?,
        up_ns: now_ns.saturating_sub(started.saturating_mul(1_000_000_000 / ticks)),
    })
}

/// Why a file in the working directory may be another's than ours: its owner, its mode, or those of
/// the directory.
pub fn others_may_write(path: &Path) -> Option<String> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let me = nix::unistd::geteuid().as_raw();
    [path, dir].into_iter().find_map(|place| {
        let meta = std::fs::metadata(place).ok()?;
        let theirs = meta.uid() != me && meta.uid() != 0;
        (theirs || meta.mode() & 0o022 != 0).then(|| {
            let mode = meta.mode() & 0o7777;
            format!("{} is {}:{} {mode:04o}, so others may write it", place.display(), meta.uid(), meta.gid())
        })
    })
}
