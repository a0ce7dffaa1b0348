//! The effect `Bind`: sockets for the application to be handed.

use super::{Host, draft, pid_file};
use crate::application::Listening;
use crate::host::protocol::Held;
use crate::sys::bind::bind_in;
use crate::sys::{failed, process, socket as sys};
use engine::effect::{Capability, Done, Effect, Handle, Socket, SocketOptions, Sort, SystemError, Undo};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, bind, setsockopt, socket, sockopt,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest path of a Unix socket in bytes, without the NUL behind it.
const LONGEST: usize = 107;

/// The name of a socket in its directory.
struct Name {
    dir: OwnedFd,
    name: OsString,
    stat: FileStat,
}

impl Host {
    pub(super) fn bind(&mut self, socket: &Socket, options: &SocketOptions) -> Result<Done, SystemError> {
        let refused = |e: Errno| explain(socket, e);
        let mut note = "";
        let (fd, undo): (OwnedFd, _) = match socket {
            Socket::Tcp(a) => {
                (internet(*a, SockType::Stream, options).map_err(refused)?, self.unbind(socket))
            }
            Socket::Udp(a) => {
                (internet(*a, SockType::Datagram, options).map_err(refused)?, self.unbind(socket))
            }
            Socket::Abstract(name) => (nameless(name, options).map_err(refused)?, self.unbind(socket)),
            Socket::Inherited(name) => return self.take_over(socket, name, options),
            Socket::Unix(path) => {
                let (fd, at, stale) = at_path(path, socket, options)?;
                if stale {
                    note = ", in place of a stale socket";
                }
                let Name { dir, name, stat } = at;
                let handle = self.keep(Held::File { dir, name, dev: stat.st_dev, ino: stat.st_ino });
                self.sockets.push((path.clone(), handle));
                (fd, Effect::Remove { handle, path: self.outside(path), only_if_empty: false })
            }
        };
        let handle = match &undo {
            Effect::Unbind { handle, .. } | Effect::Remove { handle, .. } => *handle,
            _ => Handle(u32::MAX),
        };
        let listening = Listening { socket: socket.clone(), name: socket.fd_name(options), fd };
        let note = format!("listening on {}{note}", listening.address());
        self.listening.push((handle, listening));
        Ok(Done::with(Undo::Effect(Box::new(undo))).note(note))
    }

    fn unbind(&mut self, socket: &Socket) -> Effect {
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        Effect::Unbind { handle, socket: socket.clone() }
    }

    /// Sockets that the caller has bound, as copies.
    fn take_over(
        &mut self,
        socket: &Socket,
        name: &str,
        options: &SocketOptions,
    ) -> Result<Done, SystemError> {
        let undo = self.unbind(socket);
        let Effect::Unbind { handle, .. } = undo else { return Ok(Done::with(Undo::Nothing)) };
        let what = || format!("take over what was handed to us as {name}");
        let mut taken = Vec::new();
        for (_, fd) in self.handed.iter().filter(|(theirs, _)| theirs == name) {
            let fd = fd.try_clone().map_err(|e| crate::sys::io_failed(&e, what()))?;
            taken.push(Listening { socket: socket.clone(), name: socket.fd_name(options), fd });
        }
        if taken.is_empty() {
            let others: Vec<&str> = self.handed.iter().map(|(name, _)| name.as_str()).collect();
            return Err(engine::model::nothing_handed(name, others.into_iter()));
        }
        let mut done = Done::with(Undo::Effect(Box::new(undo)));
        for one in &taken {
            done = done.note(format!("listening on {}, which was handed to us", one.address()));
        }
        self.listening.extend(taken.into_iter().map(|one| (handle, one)));
        Ok(done)
    }

    pub(super) fn remove_socket(&mut self, path: &Path) -> Result<Done, SystemError> {
        let Some(handle) = self.sockets.iter().rev().find(|(p, _)| p == path).map(|(_, handle)| *handle)
        else {
            return Ok(Done::with(Undo::Never).note(format!("{} was not made by this run", path.display())));
        };
        let done = self.remove(handle, path, false).map_err(|mut error| {
            error.message = error.message.replacen("remove ", "remove socket ", 1);
            error
        });
        done.map(|mut done| {
            done.undo = Undo::Never;
            done
        })
    }
}

/// The name leads elsewhere by now.
fn moved(what: &str) -> SystemError {
    SystemError::new(format!("{what}: the way to it changed meanwhile"))
        .why("a directory or a link on the way was replaced at this very moment")
        .help("see who may change the directories on the way, and look where a socket was left")
}

fn explain(socket: &Socket, error: Errno) -> SystemError {
    let mut explained = failed(error, format!("bind {socket}"));
    match error {
        Errno::EADDRINUSE => explained.help("see who has it: `ss -lntup`; or choose another address"),
        Errno::EACCES if matches!(socket, Socket::Tcp(_) | Socket::Udp(_)) => {
            explained.lacks = Some(Capability::NetBindService);
            explained.help("bind it before the drop, or choose a port from 1024 up")
        }
        Errno::EADDRNOTAVAIL => explained.why("no interface of this machine has that address").help(
            "see those that it has: `ip address`; one that is yet to come is taken with `free-bind`, or waited for where the phase is retried (`on-failure`)",
        ),
        _ => explained,
    }
}

fn backlog(options: &SocketOptions) -> i32 {
    options.backlog.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1)
}

fn internet(address: SocketAddr, sort: SockType, options: &SocketOptions) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, sort, SockFlag::SOCK_CLOEXEC, None)?;
    if sort == SockType::Stream {
        // Connections of an earlier daemon that are not quite over keep nobody out; one that listens does.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    if options.reuse_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if let (Some(only), SocketAddr::V6(_)) = (options.v6_only, address) {
        setsockopt(&fd, sockopt::Ipv6V6Only, &only)?;
    }
    if options.free_bind {
        // For both families: one flag of the socket.
        setsockopt(&fd, sockopt::IpFreebind, &true)?;
    }
    match address {
        SocketAddr::V4(a) => bind(fd.as_raw_fd(), &SockaddrIn::from(a))?,
        SocketAddr::V6(a) => bind(fd.as_raw_fd(), &SockaddrIn6::from(a))?,
    }
    if sort == SockType::Stream {
        sys::listen(&fd, backlog(options))?;
    }
    Ok(fd)
}

fn unix(options: &SocketOptions) -> Result<OwnedFd, Errno> {
    let sort = match options.sort {
        Sort::Stream => SockType::Stream,
        Sort::Datagram => SockType::Datagram,
        Sort::SeqPacket => SockType::SeqPacket,
    };
    socket(AddressFamily::Unix, sort, SockFlag::SOCK_CLOEXEC, None)
}

fn listens(fd: OwnedFd, options: &SocketOptions) -> Result<OwnedFd, Errno> {
    if options.sort != Sort::Datagram {
        sys::listen(&fd, backlog(options))?;
    }
    Ok(fd)
}

fn nameless(name: &str, options: &SocketOptions) -> Result<OwnedFd, Errno> {
    let fd = unix(options)?;
    bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    listens(fd, options)
}

/// A socket at a path, its name, and whether a stale socket had to go. bind(2) knows paths only, and
/// who is handed the socket may ask for its path (sd_is_socket_unix(3)): so the way there is walked
/// before and after, and must have led to the same directory.
fn at_path(
    path: &Path,
    socket: &Socket,
    options: &SocketOptions,
) -> Result<(OwnedFd, Name, bool), SystemError> {
    let what = || format!("bind {socket}");
    let (before, name) = pid_file::open_parent(path)?;
    clear_asides(&before, &name, path, options);
    let bytes = path.as_os_str().as_bytes();
    let stale = bytes.len() <= LONGEST
        && !bytes.ends_with(b"/")
        && !bytes.ends_with(b"/.")
        && clear_stale(&before, &name, path).map_err(|e| failed(e, what()))?;
    if bytes.len() > LONGEST {
        return Err(SystemError::new(format!("{}: its path is longer than {LONGEST} bytes", what())));
    }
    let fd = unix(options).map_err(|e| failed(e, what()))?;
    // With the mode that was asked for from the first moment on: nobody can connect in between. The umask is
    // that of the process, which has one thread.
    let own = options.mode.map(|mode| umask(Mode::from_bits_truncate(!mode & 0o777)));
    let bound = bind_in(&fd, &before, path);
    if let Some(own) = own {
        umask(own);
    }
    bound.map_err(|e| explain(socket, e))?;
    let kept = listens(fd, options).map_err(|e| explain(socket, e)).and_then(|fd| {
        let at = same_place(path, &before, &what())?;
        // What the kernel itself says is ours, where it does.
        let file = sys::bound_file(&fd).ok();
        if file.as_ref().and_then(|file| fstat(file).ok()).is_some_and(|own| !same(own, at.stat)) {
            return Err(moved(&what()));
        }
        give(file, &at.dir, &at.name, options, &what())?;
        Ok((fd, at, stale))
    });
    // The effect did not come about, so nobody else takes its name back. Where the way changed, that name may
    // be another's.
    if kept.as_ref().is_err_and(|error| error.errno.is_some()) {
        take_back(&before, &name);
    }
    kept
}

fn same(a: FileStat, b: FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Takes away the name of a socket that was just bound in that directory.
fn take_back(dir: &OwnedFd, name: &OsStr) {
    let is_socket = |stat: FileStat| stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFSOCK;
    if look(dir, name).is_ok_and(is_socket) {
        let _ = unlinkat(dir, name, UnlinkatFlags::NoRemoveDir);
    }
}

/// The name that was bound, if the way to it leads where it led before.
fn same_place(path: &Path, before: &OwnedFd, what: &str) -> Result<Name, SystemError> {
    let (dir, name) = pid_file::open_parent(path)?;
    match (fstat(before), fstat(&dir), look(&dir, &name)) {
        (Ok(then), Ok(now), Ok(stat)) if same(then, now) => Ok(Name { dir, name, stat }),
        (Err(error), ..) | (_, Err(error), _) | (_, _, Err(error)) => {
            Err(failed(error, format!("keep {}", path.display())))
        }
        _ => Err(moved(what)),
    }
}

fn look(dir: &OwnedFd, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Gives the name away: the file that the kernel says is ours, or what has the name and can be nothing else.
fn give(
    file: Option<OwnedFd>,
    dir: &OwnedFd,
    name: &OsStr,
    options: &SocketOptions,
    what: &str,
) -> Result<(), SystemError> {
    if options.uid.is_none() && options.gid.is_none() {
        return Ok(());
    }
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let (file, sure) = match file {
        Some(file) => (file, true),
        None => (openat(dir, name, flags, Mode::empty()).map_err(|e| failed(e, what))?, false),
    };
    let stat = fstat(&file).map_err(|e| failed(e, what))?;
    let own = is_socket(&stat) && stat.st_uid == nix::unistd::geteuid().as_raw() && stat.st_nlink == 1;
    if !sure && !own {
        return Err(moved(what));
    }
    let (uid, gid) = (options.uid.unwrap_or(stat.st_uid), options.gid.unwrap_or(stat.st_gid));
    if (uid, gid) == (stat.st_uid, stat.st_gid) {
        return Ok(());
    }
    let (new_uid, new_gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fchownat(&file, "", Some(new_uid), Some(new_gid), AtFlags::AT_EMPTY_PATH).map_err(|e| {
        let error = failed(e, format!("{what}: give it to {uid}:{gid}"));
        if e == Errno::EPERM { error.lacks(Capability::Chown) } else { error }
    })
}

/// Removes dead sockets that a start was killed over while it looked at them once more ([`pid_file::take_away`]).
fn clear_asides(dir: &OwnedFd, name: &OsStr, path: &Path, options: &SocketOptions) {
    let ours = |uid| uid == nix::unistd::geteuid().as_raw() || options.uid == Some(uid);
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    draft::clear(dir, name, None, |aside| {
        let Ok(file) = openat(dir, aside, flags, Mode::empty()) else { return false };
        let Ok(stat) = fstat(&file) else { return false };
        is_socket(&stat)
            && ours(stat.st_uid)
            && process::is_dead_socket(&file, &path.with_file_name(aside))
            && look(dir, aside).is_ok_and(|named| same(named, stat))
            && unlinkat(dir, aside, UnlinkatFlags::NoRemoveDir).is_ok()
    });
}

fn is_socket(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK
}

/// Removes the name of a socket that nobody listens behind: what a daemon that is gone has left. True if there
/// was one. A socket that is closed never listens again, so the very file that was found dead is removed, and
/// not what has taken its name since.
fn clear_stale(dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<bool, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // Held open, its number is nobody else's.
    let Ok(file) = openat(dir, name, flags, Mode::empty()) else { return Ok(false) };
    let Ok(stat) = fstat(&file) else { return Ok(false) };
    if !is_socket(&stat) || !process::is_dead_socket(&file, path) {
        return Ok(false);
    }
    pid_file::take_away(dir, name, &stat)?;
    Ok(true)
}
