//! A socket to be handed to an application: its address, and what it is given besides.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Socket {
    /// a TCP listener
    Tcp(SocketAddr),
    /// a bound UDP socket
    Udp(SocketAddr),
    /// a Unix socket at a path
    Unix(PathBuf),
    /// a Unix socket with a name that is in no directory, unix(7); without the NUL before it
    Abstract(String),
    /// what the caller has handed over under this name (sd_listen_fds_with_names(3)), however many they are
    Inherited(String),
}

impl Socket {
    /// The same address, with a port that the kernel chooses.
    pub fn any_port(&self) -> Socket {
        let any = |address: &SocketAddr| {
            let mut any = *address;
            any.set_port(0);
            any
        };
        match self {
            Socket::Tcp(address) => Socket::Tcp(any(address)),
            Socket::Udp(address) => Socket::Udp(any(address)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Tcp(a) => write!(f, "tcp:{a}"),
            Socket::Udp(a) => write!(f, "udp:{a}"),
            Socket::Unix(p) => write!(f, "unix:{}", p.display()),
            Socket::Abstract(name) => write!(f, "unix:@{name}"),
            Socket::Inherited(name) => write!(f, "inherit:{name}"),
        }
    }
}

/// How a Unix socket transports, socket(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// SOCK_STREAM
    #[default]
    Stream,
    /// SOCK_DGRAM
    #[serde(rename = "dgram")]
    Datagram,
    /// SOCK_SEQPACKET
    SeqPacket,
}

impl Sort {
    /// Every one, with the word for it.
    pub const ALL: [(&'static str, Sort); 3] =
        [("stream", Sort::Stream), ("dgram", Sort::Datagram), ("seqpacket", Sort::SeqPacket)];

    /// The word for it.
    pub fn name(self) -> &'static str {
        Sort::ALL.iter().find(|(_, sort)| *sort == self).map_or("stream", |(name, _)| name)
    }
}

/// What a socket is given besides its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketOptions {
    /// its name in `LISTEN_FDNAMES`; `None`: one that is made of its address
    pub name: Option<String>,
    /// of a Unix socket
    pub sort: Sort,
    /// how many connections may wait to be accepted, listen(2); `None`: as many as the kernel allows
    pub backlog: Option<u32>,
    /// SO_REUSEPORT: sockets of the same user share the address
    pub reuse_port: bool,
    /// of `[::]`: whether IPv4 is left to others (IPV6_V6ONLY); `None`: as `net.ipv6.bindv6only` says
    pub v6_only: Option<bool>,
    /// IP_FREEBIND: the address need not be on this machine yet
    pub free_bind: bool,
    /// permission bits of the name at a path, whatever the umask is; `None`: 0777 without the umask
    pub mode: Option<u32>,
    /// who the name at a path is given to
    pub uid: Option<u32>,
    /// which group it is given to
    pub gid: Option<u32>,
    /// the name at a path stays when the daemon ends
    pub keep: bool,
}

impl SocketOptions {
    /// True where nothing was said of it.
    pub fn is_default(&self) -> bool {
        *self == SocketOptions::default()
    }
}

impl fmt::Display for SocketOptions {
    /// Each with a comma before it, to go behind the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sort != Sort::Stream {
            write!(f, ", {}", self.sort.name())?;
        }
        if let Some(mode) = self.mode {
            write!(f, ", mode {mode:04o}")?;
        }
        match (self.uid, self.gid) {
            (Some(uid), Some(gid)) => write!(f, ", owner {uid}:{gid}")?,
            (Some(uid), None) => write!(f, ", owner {uid}")?,
            (None, Some(gid)) => write!(f, ", group {gid}")?,
            (None, None) => {}
        }
        match self.v6_only {
            Some(true) => f.write_str(", IPv6 only")?,
            Some(false) => f.write_str(", IPv4 too")?,
            None => {}
        }
        for (is, text) in
            [(self.reuse_port, ", port shared"), (self.free_bind, ", free bind"), (self.keep, ", kept")]
        {
            f.write_str(if is { text } else { "" })?;
        }
        if let Some(backlog) = self.backlog {
            write!(f, ", backlog {backlog}")?;
        }
        match &self.name {
            Some(name) => write!(f, ", named {name}"),
            None => Ok(()),
        }
    }
}

/// A socket as a spec asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// its address
    pub socket: Socket,
    /// what it is given besides
    pub options: SocketOptions,
}

impl Socket {
    /// Its name in `LISTEN_FDNAMES`: the one that it was given, or one of its address. No colon is allowed
    /// in one.
    pub fn fd_name(&self, options: &SocketOptions) -> String {
        if let Some(name) = &options.name {
            return name.clone();
        }
        let safe = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_graphic() && c != ':' { c } else { '-' }).collect()
        };
        match self {
            Socket::Tcp(a) => format!("tcp-{}", a.port()),
            Socket::Udp(a) => format!("udp-{}", a.port()),
            Socket::Unix(p) => format!("unix-{}", safe(&p.file_name().unwrap_or_default().to_string_lossy())),
            Socket::Abstract(name) => format!("unix-{}", safe(name)),
            Socket::Inherited(name) => name.clone(),
        }
    }

    /// Whether connections are accepted from it, as a byte stream: what the built-in application serves. Of
    /// what is inherited nothing is known here.
    pub fn is_stream(&self, options: &SocketOptions) -> bool {
        match self {
            Socket::Tcp(_) | Socket::Inherited(_) => true,
            Socket::Udp(_) => false,
            Socket::Unix(_) | Socket::Abstract(_) => options.sort == Sort::Stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_descriptors_have_no_colon() {
        let none = SocketOptions::default();
        let name = |socket: Socket| socket.fd_name(&none);
        assert_eq!(name(Socket::Tcp("[::1]:80".parse().unwrap())), "tcp-80");
        assert_eq!(name(Socket::Unix("/run/a:b c.sock".into())), "unix-a-b-c.sock");
        assert_eq!(name(Socket::Abstract("é:x".into())), "unix---x");
        let named = SocketOptions { name: Some("http".into()), ..SocketOptions::default() };
        assert_eq!(Socket::Udp("127.0.0.1:53".parse().unwrap()).fd_name(&named), "http");
    }

    #[test]
    fn what_a_socket_is_given_is_said() {
        let options = SocketOptions {
            name: Some("http".into()),
            sort: Sort::Datagram,
            mode: Some(0o660),
            uid: Some(33),
            gid: Some(4),
            ..SocketOptions::default()
        };
        assert_eq!(options.to_string(), ", dgram, mode 0660, owner 33:4, named http");
        let shared = SocketOptions { reuse_port: true, v6_only: Some(true), ..SocketOptions::default() };
        assert_eq!(shared.to_string(), ", IPv6 only, port shared");
        assert_eq!(SocketOptions::default().to_string(), "");
    }
}
