//! Who has an address: when bind(2) refuses one because of another, ip(7), ipv6(7), udp(7).

use crate::effect::{Socket, SocketOptions, Sort};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, a listening socket
    Tcp,
    /// UDP, a bound socket
    Udp,
}

/// A socket that is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// its transport
    pub protocol: Protocol,
    /// its address
    pub address: IpAddr,
    /// on `[::]`: IPv4 is left to others (IPV6_V6ONLY)
    pub v6_only: bool,
    /// the user who made it; `None`: nobody asked
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// whether it lets sockets of that user share its address (SO_REUSEPORT); `None`: the kernel does not say
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_port: Option<bool>,
}

/// A socket that was handed to us, sd_listen_fds_with_names(3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// its name in `LISTEN_FDNAMES`
    pub name: String,
    /// how it transports
    pub sort: Sort,
}

impl Listener {
    /// The socket that it is on this port, as it would be asked for.
    pub fn socket(&self, port: u16) -> Socket {
        let address = SocketAddr::new(self.address, port);
        match self.protocol {
            Protocol::Tcp => Socket::Tcp(address),
            Protocol::Udp => Socket::Udp(address),
        }
    }
}

/// Whether two addresses of one port and one transport exclude each other. `true` beside an address:
/// as `[::]` it leaves IPv4 alone.
///
/// rsd binds TCP with SO_REUSEADDR, which a *listening* socket does not give way to, and UDP without.
pub fn overlap(a: (IpAddr, bool), b: (IpAddr, bool)) -> bool {
    let plain = |(ip, only): (IpAddr, bool)| match ip {
        // ::ffff:1.2.3.4 is 1.2.3.4, and ::ffff:0.0.0.0 every address of IPv4.
        IpAddr::V6(v6) => (v6.to_ipv4_mapped().map_or(ip, IpAddr::V4), only),
        IpAddr::V4(_) => (ip, only),
    };
    let ((a, a_only), (b, b_only)) = (plain(a), plain(b));
    match (a, b) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            a == b || a.is_unspecified() || b.is_unspecified()
        }
        (IpAddr::V6(six), IpAddr::V4(_)) => six.is_unspecified() && !a_only,
        (IpAddr::V4(_), IpAddr::V6(six)) => six.is_unspecified() && !b_only,
    }
}

/// The transport and the address of a socket that has a port.
pub(crate) fn internet(socket: &Socket) -> Option<(Protocol, SocketAddr)> {
    match socket {
        Socket::Tcp(a) => Some((Protocol::Tcp, *a)),
        Socket::Udp(a) => Some((Protocol::Udp, *a)),
        Socket::Unix(_) | Socket::Abstract(_) | Socket::Inherited(_) => None,
    }
}

/// Who on the machine has this address already, so that `uid` cannot have it. Port 0 is nobody's: the kernel
/// chooses one.
///
/// Where the kernel does not say whether a socket shares its port, one of the same user is taken to do so: a
/// false alarm would keep a daemon from starting, and what is shared is asked for because it is shared.
pub(crate) fn occupant<'a>(
    ports: &'a BTreeMap<u16, Vec<Listener>>,
    v6_only: Option<bool>,
    socket: &Socket,
    options: &SocketOptions,
    uid: u32,
) -> Option<&'a Listener> {
    let (protocol, address) = internet(socket).filter(|(_, a)| a.port() != 0)?;
    let ours = (address.ip(), options.v6_only.or(v6_only).unwrap_or(false));
    let shares = |l: &Listener| options.reuse_port && l.uid == Some(uid) && l.reuse_port != Some(false);
    let there = ports.get(&address.port())?;
    there.iter().find(|l| l.protocol == protocol && overlap(ours, (l.address, l.v6_only)) && !shares(l))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clash(a: &str, a_only: bool, b: &str, b_only: bool) -> bool {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let there = overlap((parse(a), a_only), (parse(b), b_only));
        assert_eq!(there, overlap((parse(b), b_only), (parse(a), a_only)), "{a} {b}");
        there
    }

    #[test]
    fn addresses_exclude_each_other_as_in_the_kernel() {
        assert!(clash("127.0.0.1", false, "127.0.0.1", false));
        assert!(!clash("127.0.0.1", false, "127.0.0.2", false));
        assert!(clash("0.0.0.0", false, "127.0.0.2", false));
        assert!(clash("::", false, "0.0.0.0", false));
        assert!(clash("::", false, "127.0.0.1", false));
        assert!(!clash("::", true, "0.0.0.0", false));
        assert!(clash("::", true, "::1", false));
        assert!(!clash("::1", false, "0.0.0.0", false));
        assert!(!clash("::1", false, "127.0.0.1", false));
        assert!(clash("::ffff:127.0.0.1", false, "127.0.0.1", true));
        assert!(clash("::ffff:127.0.0.1", false, "0.0.0.0", false));
        assert!(clash("::ffff:127.0.0.1", false, "::", false));
        assert!(!clash("::ffff:127.0.0.1", false, "::", true));
    }
}
