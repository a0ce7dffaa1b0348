//! What sockets a process and all below it have open, by proc_pid_fd(5) and the tables of proc_pid_net(5).

use super::network::{TABLES, entries};
use engine::effect::Socket;
use engine::snapshot::Protocol;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The addresses of a process and of all below it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// of TCP and UDP, once for each socket, in our network namespace
    pub ports: Vec<(Protocol, IpAddr, u16)>,
    /// abstract names of Unix sockets
    pub abstracts: Vec<String>,
    /// what waits for clients: listens, or is bound and connected to nobody; in its network namespace, too
    pub waiting: Vec<Socket>,
    /// every descriptor could be looked at; otherwise there may be more
    pub whole: bool,
}

/// What addresses a process and all below it have.
pub fn held(pid: i32) -> Held {
    let mut held = Held { whole: true, ..Held::default() };
    let mut inodes = BTreeSet::new();
    let (mut todo, mut seen) = (vec![pid], BTreeSet::new());
    while let Some(pid) = todo.pop().filter(|pid| seen.insert(*pid)) {
        held.whole &= sockets_of(pid, &mut inodes);
        todo.extend(children_of(pid));
    }
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let pid = pid.to_string();
    let foreign = network(&pid).filter(|its| Some(its) != network("self").as_ref());
    for (of, ours) in [("self", true)].into_iter().chain(foreign.map(|_| (pid.as_str(), false))) {
        held.internet(of, ours, &inodes);
        held.unix(of, ours, &inodes);
    }
    held
}

impl Held {
    fn internet(&mut self, of: &str, ours: bool, inodes: &BTreeSet<u64>) {
        for (table, protocol) in TABLES {
            let Ok(file) = File::open(format!("/proc/{of}/net/{table}")) else { continue };
            entries(BufReader::new(file), protocol, |entry| {
                if !entry.inode.is_some_and(|inode| inodes.contains(&inode)) {
                    return;
                }
                let (address, port) = (entry.listener.address, entry.port);
                if ours {
                    self.ports.push((protocol, address, port));
                }
                let address = SocketAddr::new(address, port);
                match protocol {
                    Protocol::Tcp => self.waiting.push(Socket::Tcp(address)),
                    Protocol::Udp if !entry.connected => self.waiting.push(Socket::Udp(address)),
                    Protocol::Udp => {}
                }
            });
        }
    }

    fn unix(&mut self, of: &str, ours: bool, inodes: &BTreeSet<u64>) {
        let table = std::fs::read(format!("/proc/{of}/net/unix")).unwrap_or_default();
        for line in table.split(|b| *b == b'\n').skip(1) {
            let Some(unix) = Unix::of(&String::from_utf8_lossy(line)).filter(|u| inodes.contains(&u.inode))
            else {
                continue;
            };
            if let (Socket::Abstract(name), true) = (&unix.name, ours) {
                self.abstracts.push(name.clone());
            }
            if unix.waits {
                self.waiting.push(unix.name);
            }
        }
    }
}

/// A line of the table of Unix sockets that have a name.
struct Unix {
    inode: u64,
    name: Socket,
    waits: bool,
}

impl Unix {
    /// `Num RefCount Protocol Flags Type St Inode Path`.
    fn of(line: &str) -> Option<Unix> {
        const LISTENS: &str = "00010000";
        const DATAGRAMS: &str = "0002";
        let (mut words, mut rest) = ([""; 7], line);
        for word in &mut words {
            (*word, rest) = rest.trim_start().split_once(' ')?;
        }
        let [_, _, _, flags, sort, _, inode] = words;
        let (name, chosen) = match rest.strip_prefix('@') {
            // Five digits are what the kernel has chosen (unix(7), autobind), for a client that is to be answered.
            Some(name) => {
                let chosen = name.len() == 5 && name.bytes().all(|b| b.is_ascii_hexdigit());
                (Socket::Abstract(name.to_owned()), chosen)
            }
            None => (Socket::Unix(PathBuf::from(rest)), false),
        };
        let waits = flags == LISTENS || (sort == DATAGRAMS && !chosen);
        Some(Unix { inode: inode.parse().ok()?, name, waits })
    }
}

/// The inodes of the sockets that a process has open; false where they cannot be seen.
fn sockets_of(pid: i32, inodes: &mut BTreeSet<u64>) -> bool {
    let fds = match std::fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(fds) => fds,
        // It is gone.
        Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
    };
    for fd in fds.map_while(Result::ok) {
        let Ok(to) = std::fs::read_link(fd.path()) else { continue };
        let inode =
            to.to_str().and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
        inodes.extend(inode);
    }
    true
}

/// The children of all threads of a process.
fn children_of(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let children = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).ok();
    let texts: Vec<String> = tasks.filter_map(|task| children(task.ok()?)).collect();
    texts.iter().flat_map(|text| text.split_whitespace()).filter_map(|child| child.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn what_this_process_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b.sock");
        let name = format!("rsd held {}", std::process::id());
        let abstractly = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(udp.local_addr().unwrap()).unwrap();
        let _listens = UnixListener::bind(&path).unwrap();
        let _datagrams = UnixDatagram::bind_addr(&abstractly).unwrap();
        let own = held(std::process::id() as i32);
        assert!(own.whole && own.abstracts.contains(&name), "{own:?}");
        for (protocol, address) in [
            (Protocol::Tcp, tcp.local_addr().unwrap()),
            (Protocol::Udp, udp.local_addr().unwrap()),
            (Protocol::Udp, client.local_addr().unwrap()),
        ] {
            assert!(own.ports.contains(&(protocol, address.ip(), address.port())), "{own:?}");
        }
        for socket in [
            Socket::Tcp(tcp.local_addr().unwrap()),
            Socket::Udp(udp.local_addr().unwrap()),
            Socket::Unix(path),
            Socket::Abstract(name),
        ] {
            assert!(own.waiting.contains(&socket), "{socket}: {own:?}");
        }
        assert!(!own.waiting.contains(&Socket::Udp(client.local_addr().unwrap())), "{own:?}");
    }
}
