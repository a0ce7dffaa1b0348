//! A machine on paper: it answers anything, and always the same.

use engine::effect::{CapabilitySet, Flaw, Identity, Program, Socket, Sort};
use engine::snapshot::{
    FileFact, FileKind, Group, Handed, Interpreter, Listener, Lock, Machine, Mount, NoPython, Protocol,
    Python, ReadOnly, Snapshot, User,
};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The machine.
pub struct Paper;

/// A number that depends on the bytes alone.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |n, b| (n ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)) >> 7
}

/// Who starts, as root or as somebody, and the names that are asked for.
pub fn people(root: bool, users: &[String], groups: &[String]) -> Snapshot {
    let id = if root { 0 } else { 1000 };
    let caps = if root { CapabilitySet((1 << 41) - 1) } else { CapabilitySet::EMPTY };
    let identity = Identity {
        uid: [id; 3],
        gid: [id; 3],
        groups: if root { vec![0] } else { vec![4, 1000] },
        caps,
        permitted: caps,
        bounding: CapabilitySet((1 << 41) - 1),
        root: PathBuf::from("/"),
        cwd: PathBuf::from("/srv/here"),
        umask: 0o022,
        ..Identity::default()
    };
    Snapshot {
        identity,
        cwd: PathBuf::from("/srv/here"),
        users: users.iter().map(|text| (text.clone(), user(text))).collect(),
        groups: groups.iter().map(|text| (text.clone(), group(text))).collect(),
        unprivileged_port: 1024,
        ..Snapshot::default()
    }
}

fn id(text: &str) -> Option<u32> {
    match text {
        "root" => Some(0),
        "nobody" | "nogroup" => Some(65_534),
        _ if text.starts_with("no") || text.is_empty() => None,
        _ if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().filter(|id| *id != u32::MAX),
        _ => Some(100 + (number(text.as_bytes()) % 2000) as u32),
    }
}

fn user(text: &str) -> Option<User> {
    let uid = id(text)?;
    Some(User {
        name: text.to_owned(),
        uid,
        gid: (uid % 7 != 6).then_some(uid),
        groups: vec![uid, 4],
        home: PathBuf::from(if uid == 0 { "/root" } else { "/home/somebody" }),
        shell: PathBuf::from("/bin/sh"),
    })
}

fn group(text: &str) -> Option<Group> {
    Some(Group { name: text.to_owned(), gid: id(text)? })
}

fn fact(kind: FileKind, uid: u32, mode: u32) -> Option<FileFact> {
    Some(FileFact { kind, uid, gid: uid, mode })
}

impl Machine for Paper {
    fn file(&mut self, path: &Path) -> (Option<FileFact>, Option<Mount>) {
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let chance = number(path.as_os_str().as_bytes());
        let uid = if chance & 64 == 0 { 0 } else { 1000 };
        let mount = match chance % 23 {
            0 => Some(Mount { read_only: Some(ReadOnly::Mount), nosuid: true, noexec: false }),
            1 => Some(Mount { read_only: Some(ReadOnly::System), nosuid: false, noexec: true }),
            2 => Some(Mount::default()),
            _ => None,
        };
        let fact = match (name, chance % 13) {
            (b"", _) => return (fact(FileKind::Directory, 0, 0o755), Some(Mount::default())),
            (
                b"etc" | b"usr" | b"var" | b"run" | b"bin" | b"dev" | b"proc" | b"lib" | b"self" | b"srv",
                _,
            ) => fact(FileKind::Directory, 0, 0o755),
            (b"tmp" | b"shm", _) => fact(FileKind::Directory, 0, 0o1777),
            (b"here", _) => fact(FileKind::Directory, 1000, 0o755),
            (_, 0 | 1) => None,
            (_, 2) => fact(FileKind::File, uid, 0o644),
            (_, 3) => fact(FileKind::File, uid, 0o4755),
            (_, 4) => fact(FileKind::Symlink(PathBuf::from("../run/there")), uid, 0o777),
            (_, 5) => fact(FileKind::Symlink(PathBuf::from("/tmp")), uid, 0o777),
            (_, 6) => fact(FileKind::Other, uid, 0o666),
            (_, 7) => fact(FileKind::Directory, uid, 0o700),
            (_, 8) => fact(FileKind::Directory, uid, 0o777),
            _ => fact(FileKind::Directory, uid, 0o755),
        };
        (fact, mount)
    }

    fn names(&mut self, path: &Path, most: usize) -> Vec<OsString> {
        let there = number(path.as_os_str().as_bytes()) as usize % 3;
        ["a", "b"].iter().take(there.min(most)).map(OsString::from).collect()
    }

    fn program(&mut self, wanted: &Program) -> Option<PathBuf> {
        let word = wanted.command.first()?;
        match number(word.as_bytes()) % 5 {
            0 => None,
            _ if word.starts_with('/') => Some(PathBuf::from(word)),
            _ => Some(Path::new("/usr/bin").join(word)),
        }
    }

    fn interpreter(&mut self, path: &Path) -> Option<Interpreter> {
        match number(path.as_os_str().as_bytes()) % 5 {
            0 => None,
            1 => Some(Interpreter { path: path.to_owned(), script: true }),
            2 => Some(Interpreter { path: path.with_extension("sh"), script: true }),
            _ => Some(Interpreter { path: PathBuf::from("/lib64/ld-linux-x86-64.so.2"), script: false }),
        }
    }

    fn no_address(&mut self, socket: &Socket) -> Option<i32> {
        number(socket.to_string().as_bytes()).is_multiple_of(9).then_some(99)
    }

    fn python(&mut self, name: Option<&str>) -> Result<Python, NoPython> {
        match name {
            Some(name) if number(name.as_bytes()).is_multiple_of(3) => {
                Err(NoPython { message: format!("{name} is no Python"), help: None })
            }
            name => Ok(Python {
                executable: PathBuf::from(name.unwrap_or("/usr/bin/python3")),
                libraries: vec![PathBuf::from("/usr/lib/python3"), PathBuf::from("/usr/lib/twisted")],
            }),
        }
    }

    fn lock(&mut self, path: &Path) -> Option<Lock> {
        match number(path.as_os_str().as_bytes()) % 5 {
            0 => None,
            1 => Some(Lock::Process(4711)),
            2 => Some(Lock::Somebody),
            _ => Some(Lock::Free),
        }
    }

    fn too_long(&mut self, path: &Path) -> Option<u64> {
        number(path.as_os_str().as_bytes()).is_multiple_of(7).then_some(1 << 20)
    }

    fn size(&mut self, path: &Path) -> Option<u64> {
        Some(number(path.as_os_str().as_bytes()) % 5)
    }

    fn links(&mut self, path: &Path) -> Option<u64> {
        Some(1 + number(path.as_os_str().as_bytes()) % 3)
    }

    fn flaw(&mut self, path: &Path) -> Option<Flaw> {
        match number(path.as_os_str().as_bytes()) % 6 {
            0 => Some(Flaw::Line(3)),
            1 => Some(Flaw::Text(1)),
            2 => Some(Flaw::Large(5 << 20)),
            _ => None,
        }
    }

    fn listens(&mut self, path: &Path) -> Option<bool> {
        Some(number(path.as_os_str().as_bytes()).is_multiple_of(2))
    }

    fn port(&mut self, port: u16) -> Vec<Listener> {
        let protocol = if port.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp };
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if port.is_multiple_of(10) {
            vec![Listener { protocol, address, v6_only: false, reuse_port: None, uid: None }]
        } else {
            Vec::new()
        }
    }

    fn abstract_name(&mut self, name: &str) -> Vec<Sort> {
        if number(name.as_bytes()).is_multiple_of(4) { vec![Sort::Stream] } else { Vec::new() }
    }

    fn handed(&mut self) -> Vec<Handed> {
        Vec::new()
    }

    fn landlock(&mut self) -> u32 {
        4
    }

    fn cpus(&mut self) -> Vec<u32> {
        vec![0, 1]
    }

    fn unprivileged_port(&mut self) -> u16 {
        1024
    }

    fn v6_only(&mut self) -> bool {
        false
    }

    fn protected_symlinks(&mut self) -> bool {
        true
    }
}
