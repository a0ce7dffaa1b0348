//! What bind(2) does: the port's privilege first, then who has the address already.

use super::files::Access;
use super::{EACCES, Model};
use crate::effect::{Capability, Done, Effect, Handle, Socket, SystemError, Undo};
use crate::snapshot::{FileKind, Listener, Snapshot, network, occupant, overlap};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const EADDRINUSE: i32 = 98;
const EEXIST: i32 = 17;

/// What the machine had when the snapshot was taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    ports: BTreeMap<u16, Vec<Listener>>,
    unprivileged_port: u16,
    v6_only: Option<bool>,
    /// Unix sockets, and whether somebody listens behind them
    sockets: BTreeMap<PathBuf, bool>,
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
            ours: snapshot.restrictions.namespace.as_ref().is_none_or(|ns| ns.network),
        }
    }
}

impl Model {
    pub(super) fn bind(&mut self, socket: &Socket) -> Result<Done, SystemError> {
        match socket {
            Socket::Tcp(address) | Socket::Udp(address) => self.bind_port(socket, *address)?,
            Socket::Unix(path) => self.bind_name(socket, path)?,
        }
        self.listening.push(socket.clone());
        let handle = Handle(1_000_000 + self.listening.len() as u32);
        Ok(Done::with(Undo::Effect(Box::new(Effect::Unbind { handle, socket: socket.clone() }))))
    }

    fn bind_port(&self, socket: &Socket, address: SocketAddr) -> Result<(), SystemError> {
        if address.port() == 0 {
            return Ok(());
        }
        let what = format!("bind {socket}");
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
                .help("see who has it: `ss -ltnup`; or choose another address")),
            None => Ok(()),
        }
    }

    /// A name that nobody listens behind is replaced, as the host does; any other is in use.
    fn bind_name(&mut self, socket: &Socket, path: &Path) -> Result<(), SystemError> {
        let what = format!("bind {socket}");
        let at = self.files.parent(&self.identity, path).map_err(|e| e.of(&what))?;
        let stale = self.network.sockets.get(&at) == Some(&false)
            && self.files.may(&self.identity, &at, Access::Write).is_ok();
        if stale {
            self.files.unlink(&self.identity, &at).map_err(|e| e.of(&what))?;
            self.network.sockets.remove(&at);
        }
        if self.listening.contains(socket) {
            return Err(SystemError::errno(EADDRINUSE, what).why("this very start has bound it already"));
        }
        self.files.create(&self.identity, &at, 0o777).map_err(|refusal| match refusal.errno {
            EEXIST => {
                let kind = match self.files.get(&at).map(|node| &node.kind) {
                    _ if self.network.sockets.get(&at) == Some(&true) => {
                        "a socket that somebody listens behind"
                    }
                    Some(FileKind::File) => "a file",
                    Some(FileKind::Directory) => "a directory",
                    Some(FileKind::Symlink(_)) => "a symbolic link",
                    _ => "no socket of ours",
                };
                SystemError::errno(EADDRINUSE, &what)
                    .why(format!("{} is there already: {kind}", at.display()))
                    .help("choose another path, or remove what stands there")
            }
            _ => refusal.of(&what),
        })?;
        self.made.push((path.to_owned(), at));
        Ok(())
    }
}
