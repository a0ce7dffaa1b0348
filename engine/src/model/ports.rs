//! What bind(2) does: the port's privilege first, then who has the address already.

use super::files::{Access, ENOENT, Refusal};
use super::{EACCES, Model};
use crate::effect::{Capability, Done, Effect, Handle, Socket, SystemError, Undo};
use crate::snapshot::{FileKind, Listener, Snapshot, network, occupant, overlap};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;
const EEXIST: i32 = 17;
/// Longest path of a Unix socket in bytes, without the NUL behind it.
const LONGEST_NAME: usize = 107;

/// What the machine had when the snapshot was taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    ports: BTreeMap<u16, Vec<Listener>>,
    unprivileged_port: u16,
    v6_only: Option<bool>,
    /// Unix sockets, and whether somebody listens behind them
    sockets: BTreeMap<PathBuf, bool>,
    /// addresses that this machine has not, as sockets with port 0
    no_addresses: BTreeMap<String, i32>,
    /// capabilities of this user namespace count for the network
    ours: bool,
}

impl Network {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Network {
            ports: snapshot.ports.clone(),
            unprivileged_port: snapshot.unprivileged_port,
            v6_only: snapshot.v6_only,
            sockets: snapshot.sockets.clone(),
            no_addresses: snapshot.no_addresses.clone(),
            ours: snapshot.restrictions.namespace.as_ref().is_none_or(|ns| ns.network),
        }
    }
}

/// Without the slashes behind it.
fn bare(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|b| *b != b'/').map_or(bytes.len().min(1), |last| last + 1);
    PathBuf::from(OsStr::from_bytes(&bytes[..end]))
}

impl Network {
    pub(super) fn is_socket(&self, at: &Path) -> bool {
        self.sockets.contains_key(at)
    }
}

impl Model {
    pub(super) fn bind(&mut self, socket: &Socket) -> Result<Done, SystemError> {
        let name = match socket {
            Socket::Tcp(address) | Socket::Udp(address) => self.bind_port(socket, *address).map(|()| None)?,
            Socket::Unix(path) => Some(self.bind_name(socket, path)?),
        };
        self.listening.push(socket.clone());
        // By its name where it has one.
        let undo = match (socket, name) {
            (Socket::Unix(path), Some(at)) => self.undo_of(&at, path, false),
            _ => {
                let handle = Handle(1_000_000 + self.listening.len() as u32);
                Undo::Effect(Box::new(Effect::Unbind { handle, socket: socket.clone() }))
            }
        };
        Ok(Done::with(undo))
    }

    fn bind_port(&self, socket: &Socket, address: SocketAddr) -> Result<(), SystemError> {
        let what = format!("bind {socket}");
        self.may_bind(socket, address.port())?;
        // IPv6 asks for the privilege first, but where a stream can never be; IPv4 for the address.
        let never = matches!(socket, Socket::Tcp(_)) && address.ip().is_multicast();
        if address.is_ipv4() || never {
            self.is_address(socket, &what)?;
        }
        if address.port() == 0 {
            return self.is_address(socket, &what);
        }
        let held = self.has(Capability::NetBindService);
        if address.port() < self.network.unprivileged_port && !(held && self.network.ours) {
            let error = SystemError::errno(EACCES, &what);
            return Err(match held {
                false => {
                    let denied = self.denied(Capability::NetBindService, &what);
                    SystemError { errno: error.errno, message: error.message, ..denied }
                }
                true => error.why(format!(
                    "ports below {} need cap_net_bind_service, and the network belongs to another user namespace, where the capabilities of this one do not count",
                    self.network.unprivileged_port
                )),
            });
        }
        self.is_address(socket, &what)?;
        let v6_only = self.network.v6_only.unwrap_or(false);
        let own =
            self.listening.iter().find(|other| match (network::internet(other), network::internet(socket)) {
                (Some((p, a)), Some((q, b))) => {
                    p == q && a.port() == b.port() && overlap((a.ip(), v6_only), (b.ip(), v6_only))
                }
                _ => false,
            });
        if let Some(own) = own {
            return Err(SystemError::errno(EADDRINUSE, what).why(match own == socket {
                true => "this very start has bound it already".to_owned(),
                false => format!("this very start has bound {own} already, which takes it too"),
            }));
        }
        match occupant(&self.network.ports, self.network.v6_only, socket) {
            Some(there) => Err(SystemError::errno(EADDRINUSE, what)
                .why(format!("{} is bound by something else on this machine", there.socket(address.port())))
                .help("see who has it: `ss -lntup`; or choose another address")),
            None => Ok(()),
        }
    }

    /// Whether this machine has that address.
    fn is_address(&self, socket: &Socket, what: &str) -> Result<(), SystemError> {
        let Some(errno) = self.network.no_addresses.get(&socket.any_port().to_string()) else {
            return Ok(());
        };
        let error = SystemError::errno(*errno, what);
        Err(match *errno {
            EADDRNOTAVAIL => error
                .why("no interface of this machine has that address")
                .help("see those that it has: `ip address`; one that comes a little later is waited for where the phase is retried (`on-failure`)"),
            _ => error,
        })
    }

    /// A name that nobody listens behind is replaced, as the host does; any other is in use.
    fn bind_name(&mut self, socket: &Socket, path: &Path) -> Result<PathBuf, SystemError> {
        let what = format!("bind {socket}");
        let refused = |e: Refusal| e.of(&what);
        let long = path.as_os_str().len() > LONGEST_NAME;
        let place = self.files.place(&self.identity, path).map_err(refused)?;
        let found = self.files.name(&self.identity, &bare(path));
        // A slash behind the name asks for a directory.
        let slash = path.as_os_str().as_bytes().ends_with(b"/");
        if !long
            && !slash
            && found.as_ref() == Ok(&place)
            && self.network.sockets.get(&place) == Some(&false)
            && self.files.may(&self.identity, &place, Access::Write).is_ok()
        {
            self.files.unlink(&self.identity, &place).map_err(refused)?;
            self.network.sockets.remove(&place);
        }
        if long {
            return Err(SystemError::new(what)
                .why(format!("a socket's path has at most {LONGEST_NAME} bytes (unix(7))"))
                .help("choose a shorter path"));
        }
        let at = found.map_err(refused)?;
        if slash && self.files.get(&at).is_none() {
            let why = format!("{} is no name of a file", path.display());
            return Err(SystemError::errno(ENOENT, &what).why(why));
        }
        self.files.make(&self.identity, &at, FileKind::Other, 0o777).map_err(|refusal| {
            match refusal.errno() {
                EEXIST => self.taken(socket, &at, &what),
                _ => refusal.of(&what),
            }
        })?;
        self.network.sockets.insert(at.clone(), true);
        Ok(at)
    }

    fn taken(&self, socket: &Socket, at: &Path, what: &str) -> SystemError {
        let error = SystemError::errno(EADDRINUSE, what);
        if self.listening.contains(socket) {
            return error.why("this very start has bound it already");
        }
        let kind = match self.files.get(at).map(|node| &node.kind) {
            _ if self.network.sockets.get(at) == Some(&true) => "a socket that somebody listens behind",
            Some(FileKind::File) => "a file",
            Some(FileKind::Directory) => "a directory",
            Some(FileKind::Symlink(_)) => "a symbolic link",
            _ => "no socket of ours",
        };
        error
            .why(format!("{} is there already: {kind}", at.display()))
            .help("choose another path, or remove what stands there")
    }
}
