//! The built-in application: a small HTTP service that tells who it is and how it came up.
//!
//! It trusts no client: heads, connections and time are bounded, and nothing a client sends is
//! used but the method and the path.

use super::http::{Answer, Asked, HEAD_LIMIT, parse};
use super::{Application, Around, Listening, Loaded, ReadTimeline, Served, Started, facts};
use crate::keeper::{self, Taken};
use crate::log::stamp;
use engine::effect::{Sort, Starting, SystemError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::read;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// How long a client may take in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many clients are served at once; more wait in the kernel's queue.
const CLIENTS: usize = 64;
/// After a failed accept (no descriptors left) it is not tried again for this long.
const PAUSE: Duration = Duration::from_millis(200);

/// The application.
#[derive(Debug)]
pub struct Whoami {
    timeline: ReadTimeline,
    listeners: Vec<Listener>,
}

impl Whoami {
    /// The application, with what turns a journal into a timeline.
    pub fn new(timeline: ReadTimeline) -> Self {
        Whoami { timeline, listeners: Vec::new() }
    }
}

impl Application for Whoami {
    fn load(&mut self, _around: &mut Around) -> Result<Loaded, SystemError> {
        Ok(Loaded { notes: vec!["no program was named: the built-in whoami runs".into()], brought: None })
    }

    fn start(
        &mut self,
        starting: &Starting,
        around: &mut Around,
    ) -> Result<(Option<Started>, Vec<String>), SystemError> {
        super::only_kept(starting)?;
        let mut notes = Vec::new();
        self.listeners.clear();
        for one in around.listening {
            match Listener::new(one) {
                Ok(Some(listener)) => {
                    notes.push(format!("whoami answers at {}", one.address()));
                    self.listeners.push(listener);
                }
                Ok(None) => notes.push(format!("whoami does not serve {}", one.socket)),
                Err(e) => {
                    let errno = e.raw_os_error().unwrap_or(libc::EIO);
                    return Err(SystemError::errno(errno, format!("start whoami on {}", one.socket)));
                }
            }
        }
        if self.listeners.is_empty() {
            return Err(SystemError::new("start whoami: there is no address to serve")
                .why("no phase before it has bound a TCP or unix socket, and it serves nothing else")
                .help("add --listen tcp:127.0.0.1:8707"));
        }
        Ok((None, notes))
    }

    fn serve(&mut self, around: &mut Around) -> Result<Served, SystemError> {
        let mut clients: Vec<Client> = Vec::new();
        let mut pause: Option<Instant> = None;
        let mut buffer = vec![0u8; 4096];
        loop {
            let now = Instant::now();
            clients.retain(|c| c.deadline > now);
            pause = pause.filter(|until| *until > now);
            let accepting = clients.len() < CLIENTS && pause.is_none();
            let next = clients.iter().map(|c| c.deadline).chain(pause).min();

            let mut watched = vec![PollFd::new(around.signals.as_fd(), PollFlags::POLLIN)];
            watched.extend(clients.iter().map(|c| PollFd::new(c.fd.as_fd(), c.wants())));
            if accepting {
                watched.extend(self.listeners.iter().map(|l| PollFd::new(l.as_fd(), PollFlags::POLLIN)));
            }
            match poll(&mut watched, until(next, now)) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(SystemError::errno(e as i32, "serve whoami")),
            }
            let happened: Vec<bool> = watched.iter().map(|w| w.any().unwrap_or(true)).collect();
            drop(watched);

            if happened[0] {
                while let Some(taken) = keeper::take(around.signals)? {
                    if stops(taken, around) {
                        return Ok(Served { ended: None, asked: true });
                    }
                }
            }
            let known = clients.len();
            let mut turn = happened[1..=known].iter();
            clients.retain_mut(|client| {
                !turn.next().is_some_and(|it| *it) || client.go_on(&mut buffer, self.timeline, around)
            });
            for (listener, _) in self.listeners.iter().zip(&happened[1 + known..]).filter(|(_, it)| **it) {
                while clients.len() < CLIENTS {
                    match listener.accept() {
                        Ok((fd, peer)) => clients.push(Client::new(fd, peer)),
                        Err(Errno::EAGAIN) => break,
                        Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                        Err(_) => {
                            pause = Some(Instant::now() + PAUSE);
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// What a signal means here; true if it is the end.
fn stops(taken: Taken, around: &mut Around) -> bool {
    let log = around.log;
    let then = match taken.signal {
        Signal::SIGTERM | Signal::SIGINT => "stopping".to_owned(),
        Signal::SIGHUP => keeper::reopen(log),
        Signal::SIGUSR1 => keeper::rotate(log).unwrap_or_else(|| "no log to rotate".into()),
        Signal::SIGCHLD => {
            // a guard or another helper of the start: only not left as a zombie
            while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
            return false;
        }
        _ => "ignored".to_owned(),
    };
    (around.on_signal)(taken.signal.as_str(), &then);
    matches!(taken.signal, Signal::SIGTERM | Signal::SIGINT)
}

fn until(moment: Option<Instant>, now: Instant) -> PollTimeout {
    let Some(moment) = moment else { return PollTimeout::NONE };
    let ms = moment.saturating_duration_since(now).as_micros().div_ceil(1000);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// A copy of the socket, nonblocking; `None` where it is not one for streams.
    fn new(listening: &Listening) -> std::io::Result<Option<Listener>> {
        let listener = match listening.kind() {
            Some((Sort::Stream, false)) => Listener::Tcp(TcpListener::from(listening.fd.try_clone()?)),
            Some((Sort::Stream, true)) => Listener::Unix(UnixListener::from(listening.fd.try_clone()?)),
            _ => return Ok(None),
        };
        match &listener {
            Listener::Tcp(l) => l.set_nonblocking(true)?,
            Listener::Unix(l) => l.set_nonblocking(true)?,
        }
        Ok(Some(listener))
    }

    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Listener::Tcp(l) => l.as_fd(),
            Listener::Unix(l) => l.as_fd(),
        }
    }

    fn accept(&self) -> Result<(OwnedFd, String), Errno> {
        let accepted = match self {
            Listener::Tcp(l) => l.accept().and_then(|(stream, peer)| {
                stream.set_nonblocking(true)?;
                Ok((stream.into(), peer.to_string()))
            }),
            Listener::Unix(l) => l.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok((stream.into(), "unix".to_owned()))
            }),
        };
        accepted.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
    }
}

/// Where a client is in its one exchange.
#[derive(Debug)]
enum Stage {
    Asking(Vec<u8>),
    Answering { bytes: Vec<u8>, sent: usize },
    // what it still sends is read and dropped: closing before would take the answer back
    Leaving,
}

#[derive(Debug)]
struct Client {
    fd: OwnedFd,
    peer: String,
    deadline: Instant,
    stage: Stage,
}

impl Client {
    fn new(fd: OwnedFd, peer: String) -> Client {
        Client { fd, peer, deadline: Instant::now() + PATIENCE, stage: Stage::Asking(Vec::new()) }
    }

    fn wants(&self) -> PollFlags {
        match self.stage {
            Stage::Answering { .. } => PollFlags::POLLOUT,
            _ => PollFlags::POLLIN,
        }
    }

    /// One step; false when it is over.
    fn go_on(&mut self, buffer: &mut [u8], timeline: ReadTimeline, around: &mut Around) -> bool {
        match &mut self.stage {
            Stage::Asking(head) => {
                let room = buffer.len().min(HEAD_LIMIT - head.len());
                match read(&self.fd, &mut buffer[..room]) {
                    Ok(0) => return false,
                    Ok(n) => head.extend_from_slice(&buffer[..n]),
                    Err(Errno::EAGAIN | Errno::EINTR) => return true,
                    Err(_) => return false,
                }
                let answer = match parse(head) {
                    Asked::More => return true,
                    asked => answer(asked, &self.peer, timeline, around),
                };
                self.stage = Stage::Answering { bytes: answer.bytes, sent: 0 };
                self.go_on(buffer, timeline, around)
            }
            Stage::Answering { bytes, sent } => {
                match send(self.fd.as_raw_fd(), &bytes[*sent..], MsgFlags::MSG_NOSIGNAL) {
                    Ok(n) => *sent += n,
                    Err(Errno::EAGAIN | Errno::EINTR) => return true,
                    Err(_) => return false,
                }
                if *sent == bytes.len() {
                    self.stage = Stage::Leaving;
                    return shutdown(self.fd.as_raw_fd(), Shutdown::Write).is_ok();
                }
                true
            }
            Stage::Leaving => match read(&self.fd, buffer) {
                Ok(0) => false,
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => true,
                Err(_) => false,
            },
        }
    }
}

fn answer(asked: Asked, peer: &str, timeline: ReadTimeline, around: &mut Around) -> Answer {
    let (line, answer) = match asked {
        Asked::Request { method, path } => {
            let head = method == "HEAD";
            let known = matches!(path.as_str(), "/" | "/timeline");
            let answer = match (method.as_str(), path.as_str()) {
                ("GET" | "HEAD", "/") => match facts::whoami(around) {
                    Ok(facts) => Answer::json(200, &facts, head),
                    Err(e) => Answer::error(500, &format!("the kernel refuses to say: {e}"), head),
                },
                ("GET" | "HEAD", "/timeline") => match around.journal.map(facts::read_journal) {
                    Some(Ok(bytes)) => Answer::json(200, &timeline(&bytes), head),
                    Some(Err(e)) => Answer::error(500, &format!("the journal cannot be read: {e}"), head),
                    None => Answer::error(404, "this run has no journal", head),
                },
                ("GET" | "HEAD", _) => Answer::error(404, "there is / and /timeline", head),
                _ if known => Answer::error(405, "only GET and HEAD are answered", false),
                _ => Answer::error(404, "there is / and /timeline", false),
            };
            (format!("{method} {path}"), answer)
        }
        Asked::Refused(status) => {
            ("-".to_owned(), Answer::error(status, "that is not a request it reads", false))
        }
        Asked::More => ("-".to_owned(), Answer::error(400, "the request was cut", false)),
    };
    if let Some(log) = around.log {
        let line = engine::text::clean(&line);
        let size = answer.bytes.len();
        log.write(format!("{} {peer} \"{line}\" {} {size}\n", stamp(), answer.status).as_bytes());
    }
    answer
}
