//! Who has which port in our network namespace: /proc/net, proc_pid_net(5), and sock_diag(7) for what
//! is not told there.

use engine::effect::{Socket, Sort};
use engine::snapshot::{Listener, Protocol};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
    SockaddrStorage, bind, recv, send, setsockopt, socket, sockopt,
};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// A bound socket and its port.
type Bound = (u16, Listener);

/// Where the kernel lists them.
pub(super) const TABLES: [(&str, Protocol); 4] =
    [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)];

/// The sockets that are bound now: of TCP those that listen, of UDP all.
pub(super) fn bound() -> Vec<Bound> {
    let mut all = Vec::new();
    // To read a table of TCP the kernel looks through all that could be connected: milliseconds, even if nothing is.
    let told = listening(&mut all).is_some();
    if !told {
        all.clear();
    }
    for (table, protocol) in TABLES.into_iter().filter(|(_, protocol)| !told || *protocol == Protocol::Udp) {
        if let Ok(file) = File::open(format!("/proc/self/net/{table}")) {
            read(BufReader::new(file), protocol, &mut all);
        }
    }
    all
}

/// Adds what listens for TCP; `None` where the kernel does not say it all.
fn listening(all: &mut Vec<Bound>) -> Option<()> {
    let protocol = Protocol::Tcp;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        dump(family, protocol, &mut |message| {
            let uid = message.uid;
            all.push((
                message.port,
                Listener { protocol, address: message.address, v6_only: false, uid, reuse_port: None },
            ));
            false
        })?;
    }
    Some(())
}

/// Reads one table. Those of TCP begin with the listening sockets: what is behind them may be very
/// long, and is nobody's that keeps rsd from listening.
fn read(table: impl BufRead, protocol: Protocol, all: &mut Vec<Bound>) {
    entries(table, protocol, |entry| all.push((entry.port, entry.listener)));
}

/// A line of a table.
pub(super) struct Entry {
    pub(super) port: u16,
    pub(super) listener: Listener,
    pub(super) inode: Option<u64>,
    /// connected to one peer (UDP)
    pub(super) connected: bool,
}

/// The same, line by line.
pub(super) fn entries(table: impl BufRead, protocol: Protocol, mut take: impl FnMut(Entry)) {
    for line in table.lines().skip(1).map_while(Result::ok) {
        let mut fields = line.split_whitespace();
        let (local, state, uid) = (fields.nth(1), fields.nth(1), fields.nth(3));
        if protocol == Protocol::Tcp && state != Some("0A") {
            return;
        }
        if let Some((address, port)) = local.and_then(place) {
            let uid = uid.and_then(|uid| uid.parse().ok());
            let inode = fields.nth(1).and_then(|inode| inode.parse().ok());
            let listener = Listener { protocol, address, v6_only: false, uid, reuse_port: None };
            take(Entry { port, listener, inode, connected: state == Some("01") });
        }
    }
}

/// The sorts of Unix sockets that have an abstract name: proc_net_unix in proc_pid_net(5), where the NUL
/// before it is shown as `@`.
pub(super) fn abstract_name(name: &str) -> Vec<Sort> {
    let Ok(table) = std::fs::read("/proc/self/net/unix") else { return Vec::new() };
    sorts_of(&table, name)
}

fn sorts_of(table: &[u8], name: &str) -> Vec<Sort> {
    let wanted = format!("@{name}");
    let mut found: Vec<Sort> = table
        .split(|b| *b == b'\n')
        .skip(1)
        .filter_map(|line| {
            // Seven words, then the name, which may have spaces in it.
            let mut rest = line;
            let mut sort = None;
            for nth in 0..7 {
                rest = rest.trim_ascii_start();
                let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                if nth == 4 {
                    sort = match word {
                        b"0001" => Some(Sort::Stream),
                        b"0002" => Some(Sort::Datagram),
                        b"0005" => Some(Sort::SeqPacket),
                        _ => None,
                    };
                }
                rest = behind;
            }
            (rest.strip_prefix(b" ") == Some(wanted.as_bytes())).then_some(sort).flatten()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// `0100007F:1F90`: the words of the address as the processor has them, the port in hexadecimal.
fn place(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word = |n: usize| {
        let digits = address.get(n * 8..n * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (n, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(n)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// Why nobody can bind to that address here: another port, chosen by the kernel, is tried for a moment.
/// Nothing listens on it.
pub(super) fn refused(wanted: &Socket) -> Option<Errno> {
    let (address, kind) = match wanted {
        Socket::Tcp(address) => (address, SockType::Stream),
        Socket::Udp(address) => (address, SockType::Datagram),
        Socket::Unix(_) | Socket::Abstract(_) | Socket::Inherited(_) => return None,
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let tried = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)
        .and_then(|fd| bind(fd.as_raw_fd(), &SockaddrStorage::from(*address)));
    match tried {
        // Its ports are used up, or none may be had: that says nothing of the address.
        Err(Errno::EADDRINUSE | Errno::EACCES | Errno::EPERM) => None,
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS) => None,
        other => other.err(),
    }
}

/// Whether the socket on `[::]` and this port leaves IPv4 alone; `None` if the kernel does not say.
pub(super) fn v6_only(protocol: Protocol, port: u16) -> Option<bool> {
    let mut only = None;
    dump(AddressFamily::Inet6, protocol, &mut |message| {
        if message.port == port && message.address.is_unspecified() {
            only = message.v6_only;
        }
        only.is_some()
    })?;
    only
}

/// Tells every socket of that family that listens, or, of UDP, is bound, until it has been told enough; `None`
/// where the kernel breaks off.
fn dump(family: AddressFamily, protocol: Protocol, tell: &mut dyn FnMut(Told) -> bool) -> Option<()> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )
    .ok()?;
    let patience = nix::sys::time::TimeVal::new(1, 0);
    setsockopt(&netlink, sockopt::ReceiveTimeout, &patience).ok()?;
    nix::sys::socket::connect(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0)).ok()?;
    send(netlink.as_raw_fd(), &request(family, protocol), MsgFlags::empty()).ok()?;
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let length = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty()).ok()?;
        match answer(buffer.get(..length)?, tell) {
            Answer::Enough => return Some(()),
            Answer::More => {}
            Answer::Broken => return None,
        }
    }
}

/// Whether a listener of our own user lets us share its port: what SO_REUSEPORT of another's socket is, the kernel
/// tells nobody, so it is tried. A TCP socket that is bound and does not listen is given no connection and keeps
/// nobody out whom the listener does not. One of UDP would take datagrams away, so there nothing is known.
pub(super) fn is_shared(listener: &Listener, port: u16) -> Option<bool> {
    if listener.protocol != Protocol::Tcp {
        return None;
    }
    let family = if listener.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let probe = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    setsockopt(&probe, sockopt::ReuseAddr, &true).ok()?;
    setsockopt(&probe, sockopt::ReusePort, &true).ok()?;
    let bound = match SocketAddr::new(listener.address, port) {
        SocketAddr::V4(a) => bind(probe.as_raw_fd(), &SockaddrIn::from(a)),
        SocketAddr::V6(a) => {
            setsockopt(&probe, sockopt::Ipv6V6Only, &listener.v6_only).ok()?;
            bind(probe.as_raw_fd(), &SockaddrIn6::from(a))
        }
    };
    match bound {
        Ok(()) => Some(true),
        Err(Errno::EADDRINUSE) => Some(false),
        Err(_) => None,
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`: all listening or bound sockets of a family.
fn request(family: AddressFamily, protocol: Protocol) -> Vec<u8> {
    const BY_FAMILY: u16 = 20;
    const REQUEST_AND_DUMP: u16 = 0x301;
    let (number, states): (u8, u32) = match protocol {
        Protocol::Tcp => (6, 1 << 10),
        Protocol::Udp => (17, 1 << 7),
    };
    let mut bytes = Vec::with_capacity(72);
    bytes.extend(72u32.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family as u8, number, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.resize(72, 0);
    bytes
}

/// What a datagram of answers told.
enum Answer {
    /// all there is, or as much as was asked for
    Enough,
    More,
    /// an error, or nothing that can be read
    Broken,
}

/// What is told of one socket.
struct Told {
    address: IpAddr,
    port: u16,
    uid: Option<u32>,
    v6_only: Option<bool>,
}

impl Told {
    /// `struct inet_diag_msg` and its attributes: the family, at 4 the port in network order, at 8 the address, at
    /// 64 the user.
    fn of(message: &[u8]) -> Option<Told> {
        const V6ONLY: u16 = 11;
        let address = match i32::from(*message.first()?) {
            nix::libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(message.get(8..12)?).ok()?),
            nix::libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(message.get(8..24)?).ok()?),
            _ => return None,
        };
        let port = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
        let uid = u32::from_ne_bytes(message.get(64..68)?.try_into().ok()?);
        let mut v6_only = None;
        let mut rest = message.get(72..)?;
        while let (Some(size), Some(kind), Some(value)) = (short(rest, 0), short(rest, 2), rest.get(4)) {
            if kind == V6ONLY {
                v6_only = Some(*value != 0);
            }
            rest = rest.get((usize::from(size).max(4) + 3) & !3..).unwrap_or_default();
        }
        Some(Told { address, port, uid: Some(uid), v6_only })
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn answer(mut bytes: &[u8], tell: &mut dyn FnMut(Told) -> bool) -> Answer {
    const DONE: u16 = 3;
    const BY_FAMILY: u16 = 20;
    while let Some(head) = bytes.get(..16) {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match short(head, 4) {
            Some(DONE) => return Answer::Enough,
            Some(BY_FAMILY) => {}
            _ => return Answer::Broken,
        }
        let Some(told) = bytes.get(16..length).and_then(Told::of) else { return Answer::Broken };
        if tell(told) {
            return Answer::Enough;
        }
        bytes = bytes.get((length + 3) & !3..).unwrap_or_default();
    }
    Answer::More
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let v4 = u32::from_ne_bytes([127, 0, 0, 1]);
        assert_eq!(place(&format!("{v4:08X}:1F90")), Some((Ipv4Addr::LOCALHOST.into(), 8080)));
        let one = u32::from_ne_bytes([0, 0, 0, 1]);
        let text = format!("{}{one:08X}:0016", "0".repeat(24));
        assert_eq!(place(&text), Some((Ipv6Addr::LOCALHOST.into(), 22)));
        for bad in ["", ":", "0:0", "0100007F", "0100007F:", "0100007F:10000", "é100007:1"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn connections_behind_the_listeners_are_not_read() {
        let table = "  sl  local_address rem_address   st\n   0: 00000000:0050 00000000:0000 0A x\n   1: 00000000:0051 00000000:0000 01 x\n   2: 00000000:0052 00000000:0000 0A x\n";
        let mut all = Vec::new();
        read(table.as_bytes(), Protocol::Tcp, &mut all);
        assert_eq!(all.iter().map(|(p, _)| *p).collect::<Vec<_>>(), [80]);
    }

    #[test]
    fn what_is_nobodys_address_is_refused() {
        let socket = |text: &str| Socket::Tcp(text.parse().unwrap());
        assert_eq!(refused(&socket("127.0.0.1:80")), None);
        assert_eq!(refused(&socket("0.0.0.0:0")), None);
        // TEST-NET-1 (RFC 5737), unless `net.ipv4.ip_nonlocal_bind` allows any.
        let any = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind").unwrap_or_default();
        let wanted = if any.trim() == "1" { None } else { Some(Errno::EADDRNOTAVAIL) };
        assert_eq!(refused(&socket("192.0.2.1:0")), wanted);
    }

    /// Against the other source: what the kernel says in /proc of what listens there, until nobody else comes or
    /// goes meanwhile.
    #[test]
    fn both_tell_the_same_of_what_listens() {
        let _own = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap()];
        let _six = TcpListener::bind("[::1]:0");
        let sorted = |mut all: Vec<Bound>| {
            all.sort_unstable_by_key(|(port, l)| (*port, l.address));
            all
        };
        for _ in 0..100 {
            let mut told = Vec::new();
            let Some(()) = listening(&mut told) else { return println!("sock_diag says nothing here") };
            let mut read_there = Vec::new();
            for table in ["tcp", "tcp6"] {
                if let Ok(file) = File::open(format!("/proc/self/net/{table}")) {
                    read(BufReader::new(file), Protocol::Tcp, &mut read_there);
                }
            }
            if sorted(told) == sorted(read_there) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("a hundred times not the same");
    }

    #[test]
    fn an_answer_that_is_cut_or_an_error_is_not_taken_for_all() {
        let message = |kind: u16, body: &[u8]| {
            let mut bytes = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(body);
            bytes
        };
        let mut body = vec![0; 72];
        body[0] = nix::libc::AF_INET as u8;
        body[4..6].copy_from_slice(&80u16.to_be_bytes());
        let one = message(20, &body);
        let count = |bytes: &[u8]| {
            let mut ports = Vec::new();
            let answer = answer(bytes, &mut |told| {
                ports.push(told.port);
                false
            });
            (matches!(answer, Answer::Enough), matches!(answer, Answer::More), ports)
        };
        assert_eq!(count(&one), (false, true, vec![80]));
        assert_eq!(count(&[one.clone(), message(3, &[0; 4])].concat()), (true, false, vec![80]));
        assert_eq!(count(&message(2, &[0; 20])), (false, false, vec![]));
        assert_eq!(count(&one[..60]), (false, false, vec![]));
    }

    #[test]
    fn what_listens_is_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let all = bound();
        let there = |protocol, address: std::net::SocketAddr| {
            let uid = Some(nix::unistd::geteuid().as_raw());
            let listener =
                Listener { protocol, address: address.ip(), v6_only: false, uid, reuse_port: None };
            all.contains(&(address.port(), listener))
        };
        assert!(there(Protocol::Tcp, tcp.local_addr().unwrap()));
        assert!(there(Protocol::Udp, udp.local_addr().unwrap()));
    }

    #[test]
    fn whether_a_listener_shares_its_port_is_tried() {
        let own = |listener: &TcpListener| {
            let address = listener.local_addr().unwrap();
            let uid = Some(nix::unistd::geteuid().as_raw());
            let protocol = Protocol::Tcp;
            is_shared(
                &Listener { protocol, address: address.ip(), v6_only: false, uid, reuse_port: None },
                address.port(),
            )
        };
        assert_eq!(own(&TcpListener::bind("127.0.0.1:0").unwrap()), Some(false));
        let shared = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        setsockopt(&shared, sockopt::ReusePort, &true).unwrap();
        bind(shared.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        nix::sys::socket::listen(&shared, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
        assert_eq!(own(&TcpListener::from(shared)), Some(true));
    }

    #[test]
    fn abstract_names_of_each_sort_are_found() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
        let name = format!("rsd test {}", std::process::id());
        assert!(abstract_name(&name).is_empty());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _stream = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(abstract_name(&name), [Sort::Stream]);
        let _datagrams = UnixDatagram::bind_addr(&address).unwrap();
        assert_eq!(abstract_name(&name), [Sort::Stream, Sort::Datagram]);
    }

    #[test]
    fn the_kernel_says_what_leaves_ipv4_alone() {
        for only in [false, true] {
            use nix::sys::socket::{Backlog, getsockname, listen};
            let family = AddressFamily::Inet6;
            let Ok(six) = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None) else { return };
            setsockopt(&six, sockopt::Ipv6V6Only, &only).unwrap();
            bind(six.as_raw_fd(), &SockaddrIn6::from("[::]:0".parse::<std::net::SocketAddrV6>().unwrap()))
                .unwrap();
            listen(&six, Backlog::new(1).unwrap()).unwrap();
            let port = getsockname::<SockaddrIn6>(six.as_raw_fd()).unwrap().port();
            let told = v6_only(Protocol::Tcp, port);
            assert!(told.is_none() || told == Some(only), "{told:?}");
            println!("sock_diag says {told:?} of {only}");
        }
    }
}
