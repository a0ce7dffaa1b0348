//! What sockets a process and all below it have open, by proc_pid_fd(5), the tables of proc_pid_net(5) and sock_diag(7).

use super::network::{TABLES, entries};
use super::unix;
use crate::notify::{MOST, Tree};
use engine::effect::Socket;
use engine::snapshot::Protocol;
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

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
    let tree = Tree::open();
    let all = tree.below(vec![pid]);
    held.whole = all.len() < MOST;
    for one in all {
        held.whole &= sockets_of(one, &tree, &mut inodes);
    }
    held.internet("self", true, &inodes);
    held.unix(unix::named(), true, &inodes);
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let pid = pid.to_string();
    if network(&pid).is_some_and(|its| Some(its) != network("self")) {
        held.internet(&pid, false, &inodes);
        held.unix(named_there(&pid), false, &inodes);
    }
    held
}

/// The Unix sockets of the network namespace of that process. Only root may look there.
fn named_there(pid: &str) -> Option<Vec<unix::Named>> {
    let network = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    // This process stays where it is.
    let there = move || {
        setns(network, CloneFlags::CLONE_NEWNET).ok()?;
        unix::named()
    };
    std::thread::spawn(there).join().ok()?
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

    fn unix(&mut self, all: Option<Vec<unix::Named>>, ours: bool, inodes: &BTreeSet<u64>) {
        self.whole &= all.is_some();
        for one in all.into_iter().flatten().filter(|one| inodes.contains(&one.inode)) {
            if let (Socket::Abstract(name), true) = (&one.name, ours) {
                self.abstracts.push(name.clone());
            }
            if one.waits {
                self.waiting.push(one.name);
            }
        }
    }
}

/// The inodes of the sockets that a process has open; false where they cannot be seen.
fn sockets_of(pid: i32, tree: &Tree, inodes: &mut BTreeSet<u64>) -> bool {
    let seen = open_in(Path::new(&format!("/proc/{pid}")), inodes);
    if !tree.is_ending(pid) {
        return seen;
    }
    // Its first thread has ended. Others may go on with the descriptors; without any it is gone.
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let others: Vec<_> = tasks.filter_map(|task| Some(task.ok()?.path())).collect();
    let mut others = others.iter().filter(|task| !task.ends_with(pid.to_string()));
    // Threads share them.
    others.next().is_none_or(|task| open_in(task, inodes))
}

/// False where it may not be looked.
fn open_in(task: &Path, inodes: &mut BTreeSet<u64>) -> bool {
    let Ok(fds) = std::fs::read_dir(task.join("fd")) else { return false };
    for fd in fds.map_while(Result::ok) {
        let Ok(to) = std::fs::read_link(fd.path()) else { continue };
        let inode =
            to.to_str().and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
        inodes.extend(inode);
    }
    true
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
