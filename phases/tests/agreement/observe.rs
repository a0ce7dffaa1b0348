//! What can be seen of a world, by means that are not rsd's: lstat(2), /proc, and what was counted.

use super::seen::Settings;
use engine::effect::{CapabilitySet, Identity, Namespace, NamespaceSet, SecureBits};
use engine::snapshot::{FileFact, FileKind};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file, in words: kind, owner, mode.
pub type Tree = BTreeMap<PathBuf, String>;

/// Everything below the root but /proc and /dev.
pub fn tree() -> Tree {
    let system = |path: &Path| path == Path::new("/proc") || path == Path::new("/dev");
    below(Path::new("/"), system).into_iter().map(|(path, (text, _))| (path, text)).collect()
}

/// Everything below a directory, by its path there, with what it is and its path here.
fn below(root: &Path, closed: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, (String, PathBuf)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![PathBuf::from("/")];
    while let Some(path) = todo.pop() {
        let real = root.join(path.strip_prefix("/").expect("absolute"));
        let Ok(meta) = fs::symlink_metadata(&real) else { continue };
        if meta.is_dir() && !closed(&path) {
            let names = fs::read_dir(&real).into_iter().flatten();
            todo.extend(names.filter_map(|e| Some(path.join(e.ok()?.file_name()))));
        }
        let kind = match meta.mode() & 0o170000 {
            0o100000 => "file".to_owned(),
            0o040000 => "directory".to_owned(),
            0o120000 => format!("link to {}", fs::read_link(&real).unwrap_or_default().display()),
            _ => "other".to_owned(),
        };
        found.insert(path, (describe(&kind, meta.uid(), meta.gid(), meta.mode() & 0o7777), real));
    }
    found
}

pub fn describe(kind: &str, uid: u32, gid: u32, mode: u32) -> String {
    format!("{kind} {uid}:{gid} {mode:04o}")
}

/// The file that [`describe`] has told of.
pub fn undescribe(text: &str) -> Option<FileFact> {
    let mut words = text.rsplitn(3, ' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let (uid, gid) = words.next()?.split_once(':')?;
    let kind = match words.next()? {
        "file" => FileKind::File,
        "directory" => FileKind::Directory,
        kind => kind.strip_prefix("link to ").map_or(FileKind::Other, |to| FileKind::Symlink(to.into())),
    };
    Some(FileFact { kind, uid: uid.parse().ok()?, gid: gid.parse().ok()?, mode })
}

/// A directory that was removed under a process is told by the path that it had.
pub fn there(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned()
}

/// Who a process is, from its /proc/PID/status; root and cwd are where they really are.
pub fn identity(pid: u32) -> Option<Identity> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    let ids = |name: &str| -> Option<[u32; 3]> {
        let mut all = field(name)?.split_whitespace().map(|n| n.parse().unwrap_or(u32::MAX));
        Some([all.next()?, all.next()?, all.next()?])
    };
    let set = |name: &str| Some(CapabilitySet(u64::from_str_radix(field(name)?.trim(), 16).ok()?));
    let mut groups: Vec<u32> = field("Groups")?.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    groups.sort_unstable();
    Some(Identity {
        uid: ids("Uid")?,
        gid: ids("Gid")?,
        groups,
        caps: set("CapEff")?,
        permitted: set("CapPrm")?,
        inheritable: set("CapInh")?,
        ambient: set("CapAmb")?,
        bounding: set("CapBnd")?,
        root: there(&fs::read_link(format!("/proc/{pid}/root")).ok()?),
        cwd: there(&fs::read_link(format!("/proc/{pid}/cwd")).ok()?),
        umask: u32::from_str_radix(field("Umask")?.trim(), 8).ok()?,
        no_new_privs: field("NoNewPrivs")?.trim() == "1",
        securebits: SecureBits::default(),
        namespaces: namespaces(pid),
        seccomp: field("Seccomp")?.trim() != "0",
        landlock: Default::default(),
    })
}

/// Those in which it is and this process is not.
fn namespaces(pid: u32) -> NamespaceSet {
    let of = |pid: &str, n: Namespace| fs::read_link(format!("/proc/{pid}/ns/{}", n.file())).ok();
    Namespace::ALL.iter().copied().filter(|n| of(&pid.to_string(), *n) != of("self", *n)).collect()
}

/// Whether it is below /proc or /dev, or is one of them, wherever they are mounted, too.
pub fn is_system(path: &Path) -> bool {
    path.components().any(|c| ["proc", "dev"].iter().any(|name| c.as_os_str() == *name))
}

/// Everything that a process finds below its root but /proc and /dev, and where it finds it read-only.
pub fn view(pid: u32) -> Tree {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    below(&root.join(""), is_system)
        .into_iter()
        .map(|(path, (text, real))| {
            let read_only = nix::sys::statvfs::statvfs(&real)
                .is_ok_and(|s| s.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY));
            let sealed = if read_only && !text.starts_with("link") { SEALED } else { "" };
            (path, format!("{text}{sealed}"))
        })
        .collect()
}

/// What stands behind a file that cannot be written for its mount.
pub const SEALED: &str = ", read-only";

/// Its settings that no identity shows, from /proc/PID and ioprio_get(2).
pub fn settings(pid: u32) -> Settings {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let stat = read("stat");
    let back: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, back)| back).split_whitespace().collect();
    let field = |n: usize| back.get(n - 3).copied().unwrap_or_default();
    let scheduler = match field(41) {
        "0" => "other".to_owned(),
        "1" => format!("fifo {}", field(40)),
        "2" => format!("rr {}", field(40)),
        "3" => "batch".to_owned(),
        "5" => "idle".to_owned(),
        other => other.to_owned(),
    };
    let io = super::kernel::io_priority(pid);
    let io = match (io >> 13, io & 7) {
        (0, _) => "none".to_owned(),
        (1, level) => format!("realtime {level}"),
        (2, level) => format!("best-effort {level}"),
        (3, _) => "idle".to_owned(),
        (class, level) => format!("{class} {level}"),
    };
    let owner = fs::metadata(format!("/proc/{pid}/status")).map_or(u32::MAX, |m| m.uid());
    let mut all: Settings = [
        ("nice", field(19).to_owned()),
        ("scheduler", scheduler),
        ("io priority", io),
        ("oom score", read("oom_score_adj").trim().to_owned()),
        ("owner of /proc/PID", owner.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for line in read("limits").lines() {
        let Some((_, name)) = LIMITS.iter().find(|(text, _)| line.starts_with(text)) else { continue };
        let mut numbers = line[26..].split_whitespace().map(|n| n.parse().unwrap_or(u64::MAX));
        let (soft, hard) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        all.insert(format!("limit {name}"), format!("{soft}:{hard}"));
    }
    all
}

/// As /proc/PID/limits calls them.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "cpu"),
    ("Max file size", "fsize"),
    ("Max data size", "data"),
    ("Max stack size", "stack"),
    ("Max core file size", "core"),
    ("Max resident set", "rss"),
    ("Max processes", "nproc"),
    ("Max open files", "nofile"),
    ("Max locked memory", "memlock"),
    ("Max address space", "as"),
    ("Max file locks", "locks"),
    ("Max pending signals", "sigpending"),
    ("Max msgqueue size", "msgqueue"),
    ("Max nice priority", "nice"),
    ("Max realtime priority", "rtprio"),
    ("Max realtime timeout", "rttime"),
];

/// A process, as /proc/PID/stat has it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub pid: u32,
    pub ppid: u32,
    pub sid: u32,
    pub name: String,
    pub zombie: bool,
}

/// Every process of this PID namespace but the observer.
pub fn processes() -> Vec<Seen> {
    let mut found: Vec<Seen> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != 1)
        .filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (front, back) = text.rsplit_once(')')?;
            let back: Vec<&str> = back.split_whitespace().collect();
            Some(Seen {
                pid,
                ppid: back.get(1)?.parse().ok()?,
                sid: back.get(3)?.parse().ok()?,
                name: front.split_once('(')?.1.to_owned(),
                zombie: back[0] == "Z",
            })
        })
        .collect();
    found.sort_by_key(|p| p.pid);
    found
}

/// Every address that is bound in the network namespace of this process, or of another one.
pub fn listening_for(pid: Option<u32>) -> Vec<String> {
    let mut all = listening("self");
    if let Some(pid) = pid.filter(|pid| namespaces(*pid).has(Namespace::Network)) {
        all.extend(listening(&pid.to_string()));
        all.sort();
    }
    all
}

/// Every address of the network namespace of a process that is bound, `tcp:127.0.0.1:80`; the port is 0 where the
/// kernel has chosen it.
fn listening(process: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (file, scheme, state) in
        [("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07")]
    {
        let text = fs::read_to_string(format!("/proc/{process}/net/{file}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, is, ..] = fields[..]
                && is == state
                && let Some(address) = address(local)
            {
                found.push(format!("{scheme}:{address}"));
            }
        }
    }
    let text = fs::read(format!("/proc/{process}/net/unix")).unwrap_or_default();
    for line in text.split(|b| *b == b'\n').skip(1) {
        // Seven words, then the name, which may hold anything: flags of a listening socket are in the fourth,
        // in the fifth that it takes datagrams.
        let mut rest = line;
        let mut words = Vec::new();
        while words.len() < 7 {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
            words.push(&rest[..end]);
            rest = &rest[end..];
        }
        let receives = words[3] == b"00010000" || words[4] == b"0002";
        if receives && !rest.is_empty() {
            found.push(format!("unix:{}", Path::new(std::ffi::OsStr::from_bytes(&rest[1..])).display()));
        }
    }
    found.sort();
    found
}

/// `0100007F:0050` as the kernel writes it: words in the order of this machine's bytes.
fn address(text: &str) -> Option<std::net::SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let port = if port >= EPHEMERAL { 0 } else { port };
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(&ip[i * 8..i * 8 + 8], 16).map(u32::to_ne_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    let ip = match words[..] {
        [v4] => std::net::IpAddr::from(v4),
        [a, b, c, d] => {
            let mut all = [0u8; 16];
            for (part, word) in all.chunks_mut(4).zip([a, b, c, d]) {
                part.copy_from_slice(&word);
            }
            std::net::IpAddr::from(all)
        }
        _ => return None,
    };
    Some(std::net::SocketAddr::new(ip, port))
}

/// The kernel chooses from here; no list asks for such a port.
pub const EPHEMERAL: u16 = 20_000;
