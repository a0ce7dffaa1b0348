//! The effect `Bind`: sockets that this process listens on, for the application to be handed.

use super::{Host, pid_file};
use crate::application::Listening;
use crate::host::protocol::Held;
use crate::sys::{bind::bind_in, failed, io_failed, process};
use engine::effect::{Capability, Done, Effect, Handle, Socket, SystemError, Undo};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, socket as socket_of};
use nix::sys::stat::{FileStat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;

/// The name of a socket in its directory.
struct Name {
    dir: OwnedFd,
    name: OsString,
    stat: FileStat,
}

impl Host {
    pub(super) fn bind(&mut self, socket: &Socket) -> Result<Done, SystemError> {
        let refused = |e: std::io::Error| explain(socket, &e);
        let mut note = "";
        let (fd, undo): (OwnedFd, _) = match socket {
            Socket::Tcp(a) => (std::net::TcpListener::bind(a).map_err(refused)?.into(), self.unbind(socket)),
            Socket::Udp(a) => (std::net::UdpSocket::bind(a).map_err(refused)?.into(), self.unbind(socket)),
            Socket::Unix(path) => {
                let (fd, at, stale) = listen_at(path, socket)?;
                if stale {
                    note = ", in place of a stale socket";
                }
                let Name { dir, name, stat } = at;
                let handle = self.keep(Held::File { dir, name, dev: stat.st_dev, ino: stat.st_ino });
                (fd, Effect::Remove { handle, path: path.clone(), only_if_empty: false })
            }
        };
        let handle = match &undo {
            Effect::Unbind { handle, .. } | Effect::Remove { handle, .. } => *handle,
            _ => Handle(u32::MAX),
        };
        let listening = Listening { socket: socket.clone(), fd };
        let note = format!("listening on {}{note}", listening.address());
        self.listening.push((handle, listening));
        Ok(Done::with(Undo::Effect(Box::new(undo))).note(note))
    }

    fn unbind(&mut self, socket: &Socket) -> Effect {
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        Effect::Unbind { handle, socket: socket.clone() }
    }
}

fn explain(socket: &Socket, error: &std::io::Error) -> SystemError {
    let mut error = io_failed(error, format!("bind {socket}"));
    match error.errno {
        Some(98) => error.help("see who has it: `ss -lntup`; or choose another address"),
        Some(99) => error.why("no interface of this machine has that address").help(
            "see those that it has: `ip address`; one that comes a little later is waited for where the phase is retried (`on-failure`)",
        ),
        Some(13) => {
            error.lacks = Some(Capability::NetBindService);
            error.help("bind it before the drop, or choose a port from 1024 up")
        }
        _ => error,
    }
}

/// A listener at a path, its name, and whether a stale socket had to go. bind(2) knows paths only, and
/// who is handed the socket may ask for its path (sd_is_socket_unix(3)): so the way there is walked
/// before and after, and must have led to the same directory.
fn listen_at(path: &Path, socket: &Socket) -> Result<(OwnedFd, Name, bool), SystemError> {
    let what = || format!("bind {socket}");
    let (before, name) = pid_file::open_parent(path)?;
    // Nobody listens behind the name: what a daemon that is gone has left, as a PID file may be.
    let stale = process::is_stale_socket(path);
    if stale {
        unlinkat(&before, name.as_os_str(), UnlinkatFlags::NoRemoveDir).map_err(|e| failed(e, what()))?;
    }
    std::os::unix::net::SocketAddr::from_pathname(path).map_err(|e| explain(socket, &e))?;
    let listener = socket_of(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|e| failed(e, what()))?;
    bind_in(&listener, &before, path).map_err(|e| explain(socket, &e.into()))?;
    nix::sys::socket::listen(&listener, Backlog::MAXCONN).map_err(|e| failed(e, what()))?;
    let (dir, name) = pid_file::open_parent(path)?;
    let same = |a: FileStat, b: FileStat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    match (fstat(&before), fstat(&dir), look(&dir, &name)) {
        (Ok(then), Ok(now), Ok(stat)) if same(then, now) => Ok((listener, Name { dir, name, stat }, stale)),
        (_, _, Err(error)) => Err(failed(error, format!("keep {}", path.display()))),
        _ => Err(SystemError::new(format!("{}: the way to it changed meanwhile", what()))
            .why("a directory or a link on the way was replaced at this very moment")
            .help("see who may change the directories on the way, and look where a socket was left")),
    }
}

fn look(dir: &OwnedFd, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}
