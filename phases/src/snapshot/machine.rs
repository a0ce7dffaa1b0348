//! This machine, looked at for a plan. Nothing on it is changed, and nothing is waited for.

use super::{interpreter, network};
use crate::application::program;
use crate::host::{directories, pid_file};
use crate::python;
use crate::sys::{lock::Holder, process};
use engine::effect::{Flaw, Program, Socket, Sort};
use engine::snapshot::{
    FileFact, FileKind, Handed, Interpreter, Listener, Lock, Machine, Mount, NoPython, Python, ReadOnly,
};
use nix::unistd::{Gid, Uid};
use rustix::fs::{AtFlags, CWD, FileType, StatVfsMountFlags, Statx, StatxFlags, statvfs, statx};
use rustix::process::getgroups;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// This machine.
#[derive(Default)]
pub struct This {
    /// the mount of every path that was looked at
    mounts: BTreeMap<PathBuf, MountId>,
    bound: Option<Vec<(u16, Listener)>>,
}

/// The kernel's number of a mount; where it gives none (before Linux 5.8) what the mount forbids.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MountId {
    Number(u64),
    Flags(StatVfsMountFlags),
}

impl This {
    /// What is behind a directory that this process may not enter: seen from the working directory, if
    /// that is on the way, or as the owner of that directory, who the daemon may be later. Root without
    /// CAP_DAC_READ_SEARCH (a container) sees nothing of its user's own directories otherwise.
    fn closed(&mut self, path: &Path) -> Option<FileFact> {
        if std::env::current_dir().is_ok_and(|cwd| cwd == path) {
            let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID;
            let here = statx(CWD, "", AtFlags::EMPTY_PATH, wanted).ok()?;
            let mode = u32::from(here.stx_mode) & 0o7777;
            return Some(FileFact { kind: FileKind::Directory, uid: here.stx_uid, gid: here.stx_gid, mode });
        }
        if let Some(fact) = from_here(path).and_then(|here| self.file(&here).0) {
            return Some(fact);
        }
        let owner = path.ancestors().skip(1).find_map(|dir| std::fs::symlink_metadata(dir).ok())?;
        as_another(&owner, || lstat(path))
    }
}

/// Looks as whoever this process may be later: with every capability that is permitted, as its real and its
/// saved user, and where it may choose, as the owner of a file, as one of its group, as root, as one of all the
/// others. First as a member of the groups that it is in, then as a member of none.
fn as_another<T>(file: &Metadata, look: impl Fn() -> Option<T>) -> Option<T> {
    let caps = capabilities(None).ok()?;
    let raised = CapabilitySets { effective: caps.permitted, ..caps };
    let raised = if set_capabilities(None, raised).is_ok() { raised } else { caps };
    let mut found = with_other_ids(file, raised, &look);
    let mine = getgroups().unwrap_or_default();
    if found.is_none() && !mine.is_empty() && set_thread_groups(&[]).is_ok() {
        found = with_other_ids(file, raised, &look);
        // Whoever was allowed to leave them may come back.
        let _ = set_thread_groups(&mine);
    }
    let _ = set_capabilities(None, caps);
    found
}

/// Of this thread and for files only (setfsuid(2)).
fn with_other_ids<T>(file: &Metadata, caps: CapabilitySets, look: impl Fn() -> Option<T>) -> Option<T> {
    const NOBODY: u32 = 65534;
    let (uid, gid) = (nix::unistd::getresuid().ok()?, nix::unistd::getresgid().ok()?);
    // Both go with a change of ids (prctl(2)).
    let (dumpable, signal) = (nix::sys::prctl::get_dumpable(), nix::sys::prctl::get_pdeathsig());
    let mut uids = vec![uid.effective, uid.real, uid.saved];
    let mut gids = vec![gid.effective, gid.real, gid.saved];
    if caps.effective.contains(CapabilitySet::SETUID) {
        uids.extend([file.uid(), 0, NOBODY].map(Uid::from_raw));
    }
    if caps.effective.contains(CapabilitySet::SETGID) {
        gids.extend([file.gid(), NOBODY].map(Gid::from_raw));
    }
    let first = |n: usize| !uids[..n].contains(&uids[n]);
    let others: Vec<Uid> = (0..uids.len()).filter(|n| first(*n)).map(|n| uids[n]).collect();
    let first = |n: usize| !gids[..n].contains(&gids[n]);
    let groups: Vec<Gid> = (0..gids.len()).filter(|n| first(*n)).map(|n| gids[n]).collect();
    let found = groups.iter().flat_map(|g| others.iter().map(move |u| (*u, *g))).find_map(|(user, group)| {
        nix::unistd::setfsgid(group);
        nix::unistd::setfsuid(user);
        let found = look();
        nix::unistd::setfsuid(uid.effective);
        nix::unistd::setfsgid(gid.effective);
        // Back as root it has every capability for files that is permitted: those that were in effect are
        // put back.
        let _ = set_capabilities(None, caps);
        found
    });
    let _ = dumpable.and_then(nix::sys::prctl::set_dumpable);
    let _ = signal.and_then(nix::sys::prctl::set_pdeathsig);
    found
}

/// What can be seen of the way to a path, nearest to it.
fn nearest(path: &Path) -> Option<Metadata> {
    path.ancestors().find_map(|p| std::fs::symlink_metadata(p).ok())
}

/// A path as seen from the working directory, if one of them is on the way of the other.
fn from_here(path: &Path) -> Option<PathBuf> {
    let cwd = std::env::current_dir().ok()?;
    match (path.strip_prefix(&cwd), cwd.strip_prefix(path)) {
        (Ok(inside), _) => Some(Path::new(".").join(inside)),
        (_, Ok(below)) => Some(below.components().map(|_| "..").collect()),
        _ => None,
    }
}

impl Machine for This {
    fn file(&mut self, path: &Path) -> (Option<FileFact>, Option<Mount>) {
        let wanted =
            StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID | StatxFlags::MNT_ID;
        // A kernel or a container that refuses statx(2) is older than both: then lstat(2) has to do.
        let found = match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, wanted) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => return (lstat(path), None),
            Err(rustix::io::Errno::ACCESS) => return (self.closed(path), None),
            Err(_) => return (None, None),
        };
        let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink(std::fs::read_link(path).unwrap_or_default()),
            _ => FileKind::Other,
        };
        let mount = if matches!(kind, FileKind::Symlink(_)) { None } else { self.mount(path, &found) };
        let mode = u32::from(found.stx_mode) & 0o7777;
        (Some(FileFact { kind, uid: found.stx_uid, gid: found.stx_gid, mode }), mount)
    }

    fn names(&mut self, path: &Path, most: usize) -> Vec<OsString> {
        let read = || std::fs::read_dir(path).ok();
        let another = || as_another(&std::fs::symlink_metadata(path).ok()?, read);
        let entries = read().or_else(another).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.file_name())).take(most).collect()
    }

    fn program(&mut self, wanted: &Program) -> Option<PathBuf> {
        program::find(wanted).ok().map(|found| found.path)
    }

    fn interpreter(&mut self, path: &Path) -> Option<Interpreter> {
        match interpreter::of(path) {
            Ok(needs) => needs,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let owner = nearest(path)?;
                as_another(&owner, || interpreter::of(path).ok()).flatten()
            }
            Err(_) => None,
        }
    }

    fn no_address(&mut self, socket: &Socket) -> Option<i32> {
        network::refused(socket).map(|errno| errno as i32)
    }

    fn python(&mut self, name: Option<&str>) -> Result<Python, NoPython> {
        let found = python::find(name).map_err(|e| NoPython { message: e.message, help: e.help })?;
        let (major, minor) = found.version;
        let installed = found.environment.map(|e| e.join(format!("lib/python{major}.{minor}/site-packages")));
        let libraries = [found.stdlib].into_iter().chain(installed).collect();
        Ok(Python { executable: found.program, libraries })
    }

    fn lock(&mut self, path: &Path) -> Option<Lock> {
        let found = match pid_file::look(path) {
            Err(error) if error.errno == Some(nix::libc::EACCES) => {
                let owner = nearest(path)?;
                as_another(&owner, || pid_file::look(path).ok()).flatten()
            }
            found => found.ok().flatten(),
        };
        let found = found?;
        if found.ending.is_some() || found.clearing(path).is_some() {
            // The start waits until its keeper or its guard has let go.
            return Some(Lock::Free);
        }
        Some(match found.holder {
            Holder::Nobody => Lock::Free,
            Holder::Process(pid) => Lock::Process(pid),
            Holder::Unknown => Lock::Somebody,
        })
    }

    fn too_long(&mut self, path: &Path) -> Option<u64> {
        size(path).filter(|size| *size > pid_file::LARGEST as u64)
    }

    fn size(&mut self, path: &Path) -> Option<u64> {
        size(path)
    }

    fn links(&mut self, path: &Path) -> Option<u64> {
        looked_at(path, |meta| meta.nlink())
    }

    fn flaw(&mut self, path: &Path) -> Option<Flaw> {
        // By its own rights alone, as the start would: what only root may read is not told to others.
        directories::variables(path).ok()?.err()
    }

    fn listens(&mut self, path: &Path) -> Option<bool> {
        if let Ok(found) = process::has_listener(path) {
            return found;
        }
        // Not for this one to tell, but the daemon may be somebody else by then.
        let owner = nearest(path)?;
        as_another(&owner, || process::has_listener(path).ok()).unwrap_or(Some(true))
    }

    fn port(&mut self, port: u16) -> Vec<Listener> {
        let bound = self.bound.get_or_insert_with(network::bound);
        let there = bound.iter().filter(|(p, _)| *p == port).map(|(_, listener)| *listener);
        let mut there: Vec<Listener> = there.collect();
        there.dedup();
        for listener in &mut there {
            if listener.address.is_unspecified() && matches!(listener.address, IpAddr::V6(_)) {
                listener.v6_only = network::v6_only(listener.protocol, port).unwrap_or(false);
            }
            if listener.uid == Some(nix::unistd::geteuid().as_raw()) {
                listener.reuse_port = network::is_shared(listener, port);
            }
        }
        there
    }

    fn abstract_name(&mut self, name: &str) -> Vec<Sort> {
        network::abstract_name(name)
    }

    fn handed(&mut self) -> Vec<Handed> {
        crate::sys::socket::handed()
    }

    fn unprivileged_port(&mut self) -> u16 {
        setting("net/ipv4/ip_unprivileged_port_start").unwrap_or(1024)
    }

    fn v6_only(&mut self) -> bool {
        setting("net/ipv6/bindv6only").is_some_and(|v: u8| v != 0)
    }

    fn protected_symlinks(&mut self) -> bool {
        setting("fs/protected_symlinks").is_some_and(|v: u8| v != 0)
    }

    fn cpus(&mut self) -> Vec<u32> {
        crate::sys::settings::possible_cpus()
    }

    fn landlock(&mut self) -> u32 {
        crate::sys::landlock::version()
    }
}

fn size(path: &Path) -> Option<u64> {
    looked_at(path, |meta| meta.len())
}

/// What lstat(2) says of it, as whoever this process may be later.
fn looked_at(path: &Path, what: impl Fn(&Metadata) -> u64) -> Option<u64> {
    let look = |path: &Path| std::fs::symlink_metadata(path).map(|m| what(&m));
    match look(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => from_here(path)
            .and_then(|path| look(&path).ok())
            .or_else(|| as_another(&nearest(path)?, || look(path).ok())),
        found => found.ok(),
    }
}

impl This {
    /// The mount that begins there: the first that is looked at, or another than above.
    fn mount(&mut self, path: &Path, found: &Statx) -> Option<Mount> {
        let (id, known) = match found.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
            true => (MountId::Number(found.stx_mnt_id), None),
            false => {
                let flags = statvfs(path).ok()?.f_flag;
                (MountId::Flags(flags), Some(flags))
            }
        };
        let above = path.ancestors().skip(1).find_map(|dir| self.mounts.get(dir)).copied();
        self.mounts.insert(path.to_owned(), id);
        if above == Some(id) {
            return None;
        }
        let flags = match known {
            Some(flags) => flags,
            None => statvfs(path).ok()?.f_flag,
        };
        let read_only = flags.contains(StatVfsMountFlags::RDONLY).then(|| match id {
            MountId::Number(number) => sort_of_read_only(number),
            MountId::Flags(_) => ReadOnly::System,
        });
        Some(Mount {
            read_only,
            nosuid: flags.contains(StatVfsMountFlags::NOSUID),
            noexec: flags.contains(StatVfsMountFlags::NOEXEC),
        })
    }
}

/// Whether the mount alone is read-only, or the file system on it: proc_pid_mountinfo(5).
fn sort_of_read_only(id: u64) -> ReadOnly {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    of_table(&String::from_utf8_lossy(&table), id)
}

fn of_table(table: &str, id: u64) -> ReadOnly {
    let line = table.lines().find(|l| l.split(' ').next().and_then(|n| n.parse().ok()) == Some(id));
    // Behind the optional fields: " - type source options".
    let options = line.and_then(|l| l.split_once(" - ")).and_then(|(_, rest)| rest.split(' ').nth(2));
    match options {
        Some(options) if !options.split(',').any(|o| o == "ro") => ReadOnly::Mount,
        _ => ReadOnly::System,
    }
}

fn lstat(path: &Path) -> Option<FileFact> {
    let m = std::fs::symlink_metadata(path).ok()?;
    let kind = if m.is_file() {
        FileKind::File
    } else if m.is_dir() {
        FileKind::Directory
    } else if m.is_symlink() {
        FileKind::Symlink(std::fs::read_link(path).unwrap_or_default())
    } else {
        FileKind::Other
    };
    Some(FileFact { kind, uid: m.uid(), gid: m.gid(), mode: m.mode() & 0o7777 })
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_only_is_told_apart() {
        let table = "\
            21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
            22 21 8:1 /data /srv ro,relatime shared:2 master:3 - ext4 /dev/sda1 rw,errors=remount-ro\n\
            23 21 7:0 / /media/a\\040b ro,nosuid - iso9660 /dev/loop0 ro,nojoliet\n";
        assert_eq!(of_table(table, 22), ReadOnly::Mount);
        assert_eq!(of_table(table, 23), ReadOnly::System);
        assert_eq!(of_table(table, 2), ReadOnly::System);
        assert_eq!(of_table("", 22), ReadOnly::System);
    }

    #[test]
    fn a_mount_is_told_once_where_it_begins() {
        let mut this = This::default();
        let (root, mount) = this.file(Path::new("/"));
        assert!(root.is_some_and(|f| f.kind == FileKind::Directory));
        assert!(mount.is_some());
        let (proc, mount) = this.file(Path::new("/proc"));
        assert!(proc.is_some_and(|f| f.kind == FileKind::Directory));
        assert!(mount.is_some(), "/proc is another mount than /");
        assert_eq!(this.file(Path::new("/proc/self")).1, None);
        assert!(this.file(Path::new("/proc/sys")).1.is_none());
        assert_eq!(this.file(Path::new("/nowhere/at/all")), (None, None));
    }
}
