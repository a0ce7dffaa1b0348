//! What bind(2) does: the port's privilege first, then who has the address already.

use super::files::{Access, ENOENT, Refusal};
use super::named::Asked;
use super::{EACCES, Model};
use crate::effect::{
    Capability, Done, Effect, Handle, Owner, Socket, SocketOptions, Sort, SystemError, Undo,
};
use crate::snapshot::{FileKind, Handed, Listener, Snapshot, network, occupant, overlap};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;
const EEXIST: i32 = 17;
/// Longest path of a Unix socket in bytes, without the NUL behind it.
const LONGEST_NAME: usize = 107;

/// A socket of this start.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) socket: Socket,
    options: SocketOptions,
    /// connections are accepted from it, as byte streams
    pub(super) is_stream: bool,
    /// who made it: sockets of one user may share a port
    uid: u32,
    /// what takes it back
    handle: Handle,
    /// the network namespace that it was made in
    network: u32,
}

/// What the machine had when the snapshot was taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    ports: BTreeMap<u16, Vec<Listener>>,
    unprivileged_port: u16,
    v6_only: Option<bool>,
    /// Unix sockets, and whether somebody listens behind them
    sockets: BTreeMap<PathBuf, bool>,
    abstracts: BTreeMap<String, Vec<Sort>>,
    handed: Vec<Handed>,
    /// how many times something was bound
    bound: u32,
    /// addresses that this machine has not, as sockets with port 0
    no_addresses: BTreeMap<String, i32>,
    /// capabilities of this user namespace count for the network
    ours: bool,
    /// which namespace this is: 0 the starter's, then those of its own
    number: u32,
}

impl Network {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Network {
            ports: snapshot.ports.clone(),
            unprivileged_port: snapshot.unprivileged_port,
            v6_only: snapshot.v6_only,
            sockets: snapshot.sockets.clone(),
            abstracts: snapshot.abstracts.clone(),
            handed: snapshot.handed.clone().unwrap_or_default(),
            bound: 0,
            no_addresses: snapshot.no_addresses.clone(),
            ours: snapshot.restrictions.namespace.as_ref().is_none_or(|ns| ns.network),
            number: 0,
        }
    }

    /// A network namespace of its own: nobody else is in it. Names of files and what was handed over stay.
    pub(super) fn renew(&mut self) {
        let mut no_addresses = std::mem::take(&mut self.no_addresses);
        // A protocol that the kernel has not, it has nowhere; addresses are another matter.
        no_addresses.retain(|_, errno| *errno != EADDRNOTAVAIL);
        *self = Network {
            unprivileged_port: 1024,
            v6_only: Some(false),
            sockets: std::mem::take(&mut self.sockets),
            handed: std::mem::take(&mut self.handed),
            bound: self.bound,
            no_addresses,
            ours: true,
            number: self.number + 1,
            ..Network::default()
        };
    }

    /// Whether there is such an address: a new namespace has those of its loopback device.
    fn has(&self, address: SocketAddr, options: &SocketOptions, what: &str) -> Result<(), SystemError> {
        let ip = address.ip().to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[0] == 0);
        let everywhere = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast;
        if self.number == 0 || everywhere || options.free_bind {
            return Ok(());
        }
        Err(SystemError::errno(EADDRNOTAVAIL, what)
            .why("the network namespace of its own has no addresses but those of its loopback device")
            .help("bind it before the phase that leaves the network"))
    }
}

/// Without the slashes behind it.
fn bare(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|b| *b != b'/').map_or(bytes.len().min(1), |last| last + 1);
    PathBuf::from(OsStr::from_bytes(&bytes[..end]))
}

impl Network {
    /// Of a file that is kept there.
    pub(super) fn is_socket(&self, at: &Path) -> bool {
        self.sockets.contains_key(at)
    }
}

impl Model {
    pub(super) fn bind(&mut self, socket: &Socket, options: &SocketOptions) -> Result<Done, SystemError> {
        let name = match socket {
            Socket::Tcp(address) | Socket::Udp(address) => {
                self.bind_port(socket, *address, options)?;
                None
            }
            Socket::Unix(path) => Some(self.bind_name(socket, path, options)?),
            Socket::Abstract(name) => {
                self.bind_abstract(socket, name, options)?;
                None
            }
            Socket::Inherited(name) => return self.take_over(socket, name, options),
        };
        // By its name where it has one.
        let (handle, undo) = match (socket, name) {
            (Socket::Unix(path), Some(at)) => {
                let undo = self.undo_of(&at, path, false);
                self.sockets.push(Asked { asked: path.clone(), made: self.known_file(&at) });
                self.known.sockets = self.sockets.len();
                match &undo {
                    Undo::Effect(effect) => match **effect {
                        Effect::Remove { handle, .. } => (handle, undo),
                        _ => (Handle(u32::MAX), undo),
                    },
                    _ => (Handle(u32::MAX), undo),
                }
            }
            _ => self.unbind(socket),
        };
        self.have(socket, options, socket.is_stream(options), handle);
        Ok(Done::with(undo))
    }

    fn unbind(&mut self, socket: &Socket) -> (Handle, Undo) {
        self.network.bound += 1;
        let handle = Handle(1_000_000 + self.network.bound);
        (handle, Undo::Effect(Box::new(Effect::Unbind { handle, socket: socket.clone() })))
    }

    fn have(&mut self, socket: &Socket, options: &SocketOptions, is_stream: bool, handle: Handle) {
        let (socket, options, uid) = (socket.clone(), options.clone(), self.identity.uid[1]);
        self.listening.push(Bound { socket, options, is_stream, uid, handle, network: self.network.number });
    }

    /// A socket is closed with what takes it back; a name that only this start had is free again.
    pub(super) fn close_sockets(&mut self, handle: Handle) {
        let (closed, open) =
            std::mem::take(&mut self.listening).into_iter().partition::<Vec<_>, _>(|b| b.handle == handle);
        self.listening = open;
        for bound in closed {
            if let Socket::Abstract(name) = &bound.socket
                && bound.network == self.network.number
                && let Some(sorts) = self.network.abstracts.get_mut(name)
            {
                sorts.retain(|sort| *sort != bound.options.sort);
            }
        }
    }

    /// Every one of that name; another phase may take the same ones again, as copies.
    fn take_over(
        &mut self,
        socket: &Socket,
        name: &str,
        options: &SocketOptions,
    ) -> Result<Done, SystemError> {
        let found: Vec<bool> = self
            .network
            .handed
            .iter()
            .filter(|handed| handed.name == name)
            .map(|handed| handed.sort == Sort::Stream)
            .collect();
        if found.is_empty() {
            return Err(nothing_handed(name, self.network.handed.iter().map(|h| h.name.as_str())));
        }
        let (handle, undo) = self.unbind(socket);
        for is_stream in found {
            self.have(socket, options, is_stream, handle);
        }
        Ok(Done::with(undo))
    }

    /// Every sort of socket has names of its own, unix(7).
    fn bind_abstract(
        &mut self,
        socket: &Socket,
        name: &str,
        options: &SocketOptions,
    ) -> Result<(), SystemError> {
        let sorts = self.network.abstracts.entry(name.to_owned()).or_default();
        if !sorts.contains(&options.sort) {
            sorts.push(options.sort);
            return Ok(());
        }
        let mut here = self.listening.iter().filter(|b| b.network == self.network.number);
        let own = here.any(|b| b.socket == *socket && b.options.sort == options.sort);
        let error = SystemError::errno(EADDRINUSE, format!("bind {socket}"));
        Err(match own {
            true => error.why("this very start has bound it already"),
            false => error
                .why(format!("another socket of this network namespace has the abstract name {name}"))
                .help("see who has it: `ss -lx`; or choose another name"),
        })
    }

    fn bind_port(
        &self,
        socket: &Socket,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> Result<(), SystemError> {
        let what = format!("bind {socket}");
        self.may_bind(socket, address.port())?;
        // IPv6 asks for the privilege first, but where a stream can never be; IPv4 for the address.
        let never = matches!(socket, Socket::Tcp(_)) && address.ip().is_multicast();
        if address.is_ipv4() || never {
            self.is_address(socket, options, &what)?;
        }
        if address.port() == 0 {
            return self.is_address(socket, options, &what);
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
        self.is_address(socket, options, &what)?;
        let uid = self.identity.uid[1];
        let only = |options: &SocketOptions| options.v6_only.or(self.network.v6_only).unwrap_or(false);
        let shares = |other: &&Bound| options.reuse_port && other.options.reuse_port && other.uid == uid;
        let here = self.listening.iter().rev().filter(|other| other.network == self.network.number);
        let mut overlapping =
            here.filter(|other| match (network::internet(&other.socket), network::internet(socket)) {
                (Some((p, a)), Some((q, b))) => {
                    let (ours, theirs) = ((a.ip(), only(&other.options)), (b.ip(), only(options)));
                    p == q && a.port() == b.port() && overlap(ours, theirs)
                }
                _ => false,
            });
        let own = match socket {
            // The kernel looks no further than the one that was bound last (udp_lib_lport_inuse).
            Socket::Udp(_) => overlapping.next().filter(|other| !shares(other)),
            _ => overlapping.find(|other| !shares(other)),
        };
        if let Some(own) = own {
            let mut why = match own.socket == *socket {
                true => "this very start has bound it already".to_owned(),
                false => format!("this very start has bound {} already, which takes it too", own.socket),
            };
            if options.reuse_port {
                why.push_str(match own.options.reuse_port {
                    true => ", as another user: only sockets of one user share a port",
                    false => ", without `reuse-port`: all must have it to share a port",
                });
            }
            return Err(SystemError::errno(EADDRINUSE, what).why(why));
        }
        let Some(there) = occupant(&self.network.ports, self.network.v6_only, socket, options, uid) else {
            return Ok(());
        };
        let mut why = format!("{} is bound by something else on this machine", there.socket(address.port()));
        if let (true, Some(theirs)) = (options.reuse_port, there.uid) {
            why.push_str(&match theirs == uid {
                true => ", without `reuse-port`: all must have it to share a port".to_owned(),
                false => format!(", by uid {theirs}: only sockets of one user share a port"),
            });
        }
        Err(SystemError::errno(EADDRINUSE, what)
            .why(why)
            .help("see who has it: `ss -lntup`; or choose another address"))
    }

    /// Whether this machine has that address.
    fn is_address(&self, socket: &Socket, options: &SocketOptions, what: &str) -> Result<(), SystemError> {
        if let Some((_, address)) = network::internet(socket) {
            self.network.has(address, options, what)?;
        }
        let Some(errno) = self.network.no_addresses.get(&socket.any_port().to_string()) else {
            return Ok(());
        };
        if *errno == EADDRNOTAVAIL && options.free_bind {
            return Ok(());
        }
        let error = SystemError::errno(*errno, what);
        Err(match *errno {
            EADDRNOTAVAIL => error
                .why("no interface of this machine has that address")
                .help("see those that it has: `ip address`; one that is yet to come is taken with `free-bind`, or waited for where the phase is retried (`on-failure`)"),
            _ => error,
        })
    }

    /// A name that nobody listens behind is replaced, as the host does; any other is in use.
    fn bind_name(
        &mut self,
        socket: &Socket,
        path: &Path,
        options: &SocketOptions,
    ) -> Result<PathBuf, SystemError> {
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
            && self.network.sockets.get(&*self.files.view.kept(&place)) == Some(&false)
            && self.files.permits(&self.identity, &place, Access::Write).is_ok()
        {
            self.files.unlink(&self.identity, &place).map_err(refused)?;
            self.network.sockets.remove(&*self.files.view.kept(&place));
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
        let mut maker = self.identity.clone();
        if let Some(mode) = options.mode {
            maker.umask = !mode & 0o777;
        }
        self.files.make(&maker, &at, FileKind::Other, 0o777).map_err(|refusal| match refusal.errno() {
            EEXIST => self.taken(socket, &at, &what),
            _ => refusal.of(&what),
        })?;
        let made = self.files.get(&at).map_or((0, 0), |node| (node.uid, node.gid));
        let owner = Owner { uid: options.uid.unwrap_or(made.0), gid: options.gid.unwrap_or(made.1) };
        if let Err(error) = self.give(&at, Some(owner), &what) {
            self.files.forget(&at);
            return Err(error);
        }
        self.network.sockets.insert(self.files.view.kept(&at).into_owned(), true);
        Ok(at)
    }

    /// Paths of sockets that were made and are still there, as they were asked for.
    pub fn sockets_left(&self) -> impl Iterator<Item = &Path> {
        self.sockets.iter().filter(|s| self.is_there(&s.made)).map(|s| s.asked.as_path())
    }

    /// By its handle, if this run has made it; another is left alone.
    pub(super) fn remove_socket(&mut self, path: &Path) -> Result<Done, SystemError> {
        let known = self.sockets.get(..self.known.sockets).unwrap_or_default();
        if let Some(made) = known.iter().rev().find(|s| s.asked == path).map(|s| s.made.clone()) {
            self.take_away(&made, &format!("remove socket {}", path.display()))?;
        }
        Ok(Done::with(Undo::Never))
    }

    fn taken(&self, socket: &Socket, at: &Path, what: &str) -> SystemError {
        let error = SystemError::errno(EADDRINUSE, what);
        if self.listening.iter().any(|bound| bound.socket == *socket) {
            return error.why("this very start has bound it already");
        }
        let kind = match self.files.get(at).map(|node| &node.kind) {
            _ if self.network.sockets.get(&*self.files.view.kept(at)) == Some(&true) => {
                "a socket that somebody listens behind"
            }
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

/// The error where nothing of that name was handed over; what was handed over has the other names.
pub fn nothing_handed<'a>(name: &str, others: impl Iterator<Item = &'a str>) -> SystemError {
    let others: Vec<&str> = others.collect();
    SystemError::new(format!("take over what was handed to us as {name}"))
        .why(match others.is_empty() {
            true => "nobody has handed a socket to this process (LISTEN_FDS, sd_listen_fds(3))".to_owned(),
            false => format!(
                "no socket that was handed to this process has this name; they are named {}",
                others.join(", ")
            ),
        })
        .help("start it from a socket unit with `FileDescriptorName=`, or name an address to bind")
}
