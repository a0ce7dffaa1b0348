//! One thing done to a process or to the machine, as data; and the seam behind which it is done.
//!
//! A phase kind turns its parameters into a list of [`Effect`]s. [`System`] performs them: on the
//! real machine (`phases::host`) or in a small world in memory ([`crate::model`]). Nothing else in
//! rsd changes anything, so simulating, running, undoing and explaining are readings of one list.

pub mod calls;
mod confine;
mod environment;
mod fault;
mod identity;
pub mod landlock;
mod mount;
mod namespace;
mod needs;
mod setting;
mod socket;
mod standing;
mod start;
mod touches;

pub use confine::{Otherwise, SystemCalls, Whose};
pub use environment::{Environment, Flaw, matches as environment_matches, parse as parse_environment};
pub use fault::{Fault, Manner};
pub use identity::{Capability, CapabilitySet, Domains, Identity, Ids, outside};
pub use landlock::Landlock;
pub use mount::{Cover, Mounting};
pub use namespace::{Namespace, NamespaceSet};
pub use setting::{IoPriority, Limits, Policy, Resource, SecureBits, Setting, Settings, Unit};
pub use socket::{Listen, Socket, SocketOptions, Sort};
pub use standing::Standing;
pub use start::{NEVER_IDLE, READY_WITHIN, Ready, Rotation, Starting, Watchdog};
pub use touches::{State, Touch};

use crate::plan::Plan;
use crate::snapshot::User;
use crate::timeline::{Divergence, Failure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// A token for something the [`System`] keeps open so that it can be undone after the path to it
/// no longer resolves: a directory descriptor and a name, a socket, a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Handle(pub u32);

/// Who a file is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// numeric user id
    pub uid: u32,
    /// numeric group id
    pub gid: u32,
}

/// What is to be run: a program with its arguments, a Twisted TAC, or (neither) the built-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// program and arguments; empty for none
    pub command: Vec<String>,
    /// a Twisted application configuration file
    pub tac: Option<PathBuf>,
    /// the root directory the program will be looked for in, where it is not the present one
    pub root: Option<PathBuf>,
    /// how a Twisted application is hosted
    #[serde(default)]
    pub twisted: Twisted,
}

impl Program {
    /// True where Python is to be hosted: a TAC, or something else that twistd would run.
    pub fn is_twisted(&self) -> bool {
        self.command.is_empty() && (self.tac.is_some() || !self.twisted.words.is_empty())
    }
}

/// How a Twisted application is hosted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twisted {
    /// the Python interpreter, a path or a name to be found on `PATH`; without it that of
    /// `VIRTUAL_ENV`, then `python3`
    pub interpreter: Option<String>,
    /// words of twistd's own command line that are for Twisted: `--reactor=asyncio`, or a plug-in
    /// and its arguments
    pub words: Vec<String>,
}

/// What a loaded application brings that no plan could know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// the user it names for itself
    pub user: Option<User>,
    /// the group it names for itself
    pub gid: Option<u32>,
    /// its own logger, so that no log is to be opened for it: what it is, for people
    pub logger: Option<String>,
}

/// The three moments of an application's life that the engine orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Application {
    /// find and read it; nothing of it runs yet (a TAC is evaluated)
    Load(Program),
    /// let it do what needs the starting credential
    PrivilegedStart,
    /// start it; done when it is ready
    Start(Starting),
}

/// Everything rsd can do to a process or to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Refuse if the lock of this PID file is held; remove the file if it is stale.
    CheckPidFile {
        /// the PID file
        path: PathBuf,
    },
    /// Open (or make) the log for appending; a symlink as last component is refused.
    OpenLog {
        /// the log file
        path: PathBuf,
        /// who a new or existing log is given to; `None` leaves it to whoever opens it
        owner: Option<Owner>,
        /// permission bits of a new log, before the umask
        mode: u32,
        /// size in bytes at which it is rotated; `None` for never
        rotate_at: Option<u64>,
        /// when else it is rotated, and what becomes of the rotated files
        #[serde(default)]
        rotation: Rotation,
    },
    /// chroot(2)
    Chroot {
        /// the new root
        path: PathBuf,
    },
    /// chdir(2)
    Chdir {
        /// the new working directory, as seen inside the root at that time
        path: PathBuf,
    },
    /// umask(2)
    Umask {
        /// the bits that new files do not get
        mask: u32,
    },
    /// fork, setsid, fork; the first process stays behind until the daemon is ready
    Daemonize,
    /// Make the PID file: exclusively, locked, complete when it appears.
    CreatePidFile {
        /// the PID file
        path: PathBuf,
        /// who it is given to; `None` leaves it to whoever makes it
        owner: Option<Owner>,
        /// permission bits before the umask
        mode: u32,
    },
    /// Bind (and listen on) an address, or take over what the caller has handed to us.
    Bind {
        /// the address
        socket: Socket,
        /// what it is given besides
        #[serde(default, skip_serializing_if = "SocketOptions::is_default")]
        options: SocketOptions,
    },
    /// setgroups, setresgid, setresuid, in that order; read back, and a way back refused.
    SetCredential {
        /// real, effective and saved user id
        uid: Option<u32>,
        /// real, effective and saved group id
        gid: Option<u32>,
        /// supplementary groups
        groups: Option<Vec<u32>>,
        /// only the effective ids: the real and the saved ones stay, and with them the way back
        #[serde(default)]
        effective: bool,
        /// capabilities that stay: in every set but the bounding one, so that they survive execve(2)
        #[serde(default)]
        keep: CapabilitySet,
    },
    /// A setting of the process, inherited by what it starts.
    Process(Setting),
    /// The environment of the process and of what it starts becomes this.
    Environment(Environment),
    /// Make a directory; one that is there must be one, and its owner's.
    MakeDirectory {
        /// the directory
        path: PathBuf,
        /// who a new one is given to, and who must have one that is there; `None` for anybody
        owner: Option<Owner>,
        /// permission bits of a new one, before the umask
        mode: u32,
        /// one that is there may be anybody's
        any_owner: bool,
    },
    /// Remove a directory that [`Effect::MakeDirectory`] has made or found, if it is empty.
    RemoveDirectory {
        /// the directory
        path: PathBuf,
    },
    /// Fork the process that keeps the starting credential for the privileged down phases.
    KeepGuard,
    /// What an application does.
    Application(Application),
    /// Live here until told to stop.
    Serve,
    /// Remove the PID file, if it is still the one that was made.
    RemovePidFile {
        /// the PID file
        path: PathBuf,
    },
    /// Undo: remove a name, if it still leads to the file that was made.
    Remove {
        /// the directory and the file
        handle: Handle,
        /// the path it was made at, for people
        path: PathBuf,
        /// only if nothing was written to it
        only_if_empty: bool,
    },
    /// Undo: give a file back to whom it belonged, if its name still leads to it.
    GiveBack {
        /// the directory and the file
        handle: Handle,
        /// the path it was opened at, for people
        path: PathBuf,
        /// whose it was
        owner: Owner,
    },
    /// Undo: close a socket.
    Unbind {
        /// the socket
        handle: Handle,
        /// the address, for people
        socket: Socket,
    },
    /// Undo: end a process that was started.
    End {
        /// the process
        handle: Handle,
        /// what it is, for people
        name: String,
    },
    /// Fail, as it was asked for. Nothing is changed by it.
    Fail(Fault),
    /// unshare(2): namespaces of its own for this process and all that it starts. In a new mount namespace
    /// nothing that is mounted reaches the machine; in a new network namespace the loopback device is up.
    Unshare {
        /// which
        namespaces: NamespaceSet,
    },
    /// Mounts in a mount namespace of its own: first what they show is taken as it is, then each is put in its
    /// place, in this order. The working directory is entered again by its name.
    Mount {
        /// parents before what is below them
        mounts: Vec<Mounting>,
    },
    /// pivot_root(2): a directory becomes the root of the mount namespace of its own, and the working
    /// directory; nothing of the old one is left in it.
    PivotRoot {
        /// the new root
        path: PathBuf,
    },
    /// Remove the name of a Unix socket that [`Effect::Bind`] has made, if it is still the one that was made.
    RemoveSocket {
        /// the path
        path: PathBuf,
    },
}

impl Effect {
    /// True where the effect can change what [`Identity`] shows, so that it must be read again.
    pub fn changes_identity(&self) -> bool {
        match self {
            Effect::Chroot { .. }
            | Effect::Chdir { .. }
            | Effect::Umask { .. }
            | Effect::Daemonize
            | Effect::SetCredential { .. }
            | Effect::Unshare { .. }
            | Effect::Mount { .. }
            | Effect::PivotRoot { .. } => true,
            Effect::Process(setting) => setting.changes_identity(),
            _ => false,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owned = |f: &mut fmt::Formatter<'_>, owner: &Option<Owner>| match owner {
            Some(o) => write!(f, ", owner {}:{}", o.uid, o.gid),
            None => Ok(()),
        };
        match self {
            Effect::CheckPidFile { path } => write!(f, "check PID file {}", path.display()),
            Effect::OpenLog { path, owner, mode, rotate_at, rotation } => {
                write!(f, "open log {}, mode {mode:04o}", path.display())?;
                owned(f, owner)?;
                if let Some(n) = rotate_at {
                    write!(f, ", rotated at {}", crate::text::count(*n, "byte"))?;
                }
                write!(f, "{rotation}")
            }
            Effect::Chroot { path } => write!(f, "chroot {}", path.display()),
            Effect::Chdir { path } => write!(f, "chdir {}", path.display()),
            Effect::Umask { mask } => write!(f, "umask {mask:03o}"),
            Effect::Daemonize => f.write_str("fork, setsid, fork"),
            Effect::CreatePidFile { path, owner, mode } => {
                write!(f, "create PID file {}, mode {mode:04o}", path.display())?;
                owned(f, owner)
            }
            Effect::Bind { socket: Socket::Inherited(name), options } => {
                write!(f, "take over what was handed to us as {name}{options}")
            }
            Effect::Bind { socket, options } => write!(f, "bind {socket}{options}"),
            Effect::SetCredential { uid, gid, groups, effective, keep } => {
                let kind = if *effective { "e" } else { "res" };
                let mut first = true;
                let mut part = |f: &mut fmt::Formatter<'_>, text: String| {
                    let sep = if std::mem::take(&mut first) { "" } else { ", " };
                    write!(f, "{sep}{text}")
                };
                if let Some(groups) = groups {
                    let list: Vec<_> = groups.iter().map(u32::to_string).collect();
                    part(f, format!("setgroups [{}]", list.join(" ")))?;
                }
                if let Some(gid) = gid {
                    part(f, format!("set{kind}gid {gid}"))?;
                }
                if let Some(uid) = uid {
                    part(f, format!("set{kind}uid {uid}"))?;
                }
                if !keep.is_empty() {
                    let names: Vec<_> = keep.iter().map(Capability::name).collect();
                    part(f, format!("keep {}", names.join(" ")))?;
                }
                Ok(())
            }
            Effect::Process(setting) => write!(f, "{setting}"),
            Effect::Environment(environment) => write!(f, "{environment}"),
            Effect::MakeDirectory { path, owner, mode, .. } => {
                write!(f, "make directory {}, mode {mode:04o}", path.display())?;
                owned(f, owner)
            }
            Effect::RemoveDirectory { path } => write!(f, "remove directory {} if empty", path.display()),
            Effect::KeepGuard => f.write_str("fork the guard"),
            Effect::Application(Application::Load(p)) => match (p.command.first(), &p.tac) {
                (Some(program), _) => write!(f, "load {program}"),
                (None, Some(tac)) => write!(f, "load {}", tac.display()),
                (None, None) if p.is_twisted() => write!(f, "load Twisted's {}", p.twisted.words.join(" ")),
                (None, None) => f.write_str("load the built-in whoami"),
            },
            Effect::Application(Application::PrivilegedStart) => {
                f.write_str("privileged start of the application")
            }
            Effect::Application(Application::Start(starting)) => write!(f, "{starting}"),
            Effect::Serve => f.write_str("serve"),
            Effect::RemovePidFile { path } => write!(f, "remove PID file {}", path.display()),
            Effect::Remove { path, .. } => write!(f, "remove {}", path.display()),
            Effect::GiveBack { path, owner, .. } => {
                write!(f, "give {} back to {}:{}", path.display(), owner.uid, owner.gid)
            }
            Effect::Unbind { socket, .. } => write!(f, "close {socket}"),
            Effect::End { name, .. } => write!(f, "end {name}"),
            Effect::Fail(fault) => write!(f, "{fault}"),
            Effect::Unshare { namespaces } => {
                let s = if namespaces.iter().count() == 1 { "" } else { "s" };
                write!(f, "{namespaces} namespace{s} of its own")
            }
            Effect::Mount { mounts } => f.write_str(&mount::line(mounts)),
            Effect::PivotRoot { path } => write!(f, "pivot_root {}", path.display()),
            Effect::RemoveSocket { path } => write!(f, "remove socket {}", path.display()),
        }
    }
}

/// What takes an effect back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undo {
    /// there is nothing to take back
    Nothing,
    /// performing this takes it back; what is already gone counts as taken back
    Effect(Box<Effect>),
    /// a change of the process itself: it ends with the process
    EndsWithProcess,
    /// it cannot be taken back
    Never,
}

/// How an application ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// it called exit with this status
    Exit(i32),
    /// this signal ended it
    Signal(i32),
    /// it ended, and its status was taken by another process, its parent
    Unknown,
}

/// What performing an effect told that no plan could know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// sentences for the timeline: "removed a stale PID file (4711)"
    pub notes: Vec<String>,
    /// how the application ended, told by [`Effect::Serve`]
    pub ended: Option<Ended>,
    /// it ended because it was told to
    pub asked: bool,
    /// what the application brings, told by [`Application::Load`]
    #[serde(default)]
    pub brought: Option<Box<Brought>>,
}

/// An effect that was performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// what takes it back
    pub undo: Undo,
    /// what it told
    pub learned: Facts,
}

impl Done {
    /// Done, with this undo and nothing learned.
    pub fn with(undo: Undo) -> Self {
        Done { undo, learned: Facts::default() }
    }

    /// The same with one more sentence for the timeline.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.learned.notes.push(note.into());
        self
    }
}

/// What came back from [`System::perform`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// the loop goes on in this process
    Done(Done),
    /// the loop goes on in the child; this process stays behind and waits ([`System::wait`])
    Parent,
    /// this process is the guard: it waits for the daemon's end and runs the guard's phases
    Guard,
}

/// What sort of error it was, where the exit code depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// anything else
    #[default]
    Other,
    /// another daemon holds the lock of the PID file (exit 5)
    AlreadyRunning,
    /// the deadline of the phase passed
    Timeout,
    /// a signal asked to stop
    Interrupted,
    /// the process is not what the model said, and the run is strict
    Diverged,
    /// a confinement that this run has set forbids it
    Confined,
}

/// Why an effect failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemError {
    /// the number the kernel gave, if it was the kernel
    pub errno: Option<i32>,
    /// what failed, as a lowercase fragment: "open /run/t.pid: Permission denied"
    pub message: String,
    /// the facts that explain it, if known: "/run is 0:0 0755 and this process is 33:33"
    pub why: Option<String>,
    /// what to do
    pub help: Option<String>,
    /// what sort
    #[serde(default)]
    pub kind: ErrorKind,
    /// the capability whose lack explains it, if that is why
    #[serde(default)]
    pub lacks: Option<Capability>,
}

impl SystemError {
    /// An error that is not the kernel's.
    pub fn new(message: impl Into<String>) -> Self {
        SystemError { message: message.into(), ..Default::default() }
    }

    /// An error the kernel gave: `what` is the call and its object, "chroot /jail".
    pub fn errno(errno: i32, what: impl fmt::Display) -> Self {
        SystemError {
            errno: Some(errno),
            message: format!("{what}: {}", crate::text::errno_message(errno)),
            ..Default::default()
        }
    }

    /// The same with the facts that explain it.
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// The same with what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same as another sort.
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, explained by a capability that is not held.
    pub fn lacks(mut self, capability: Capability) -> Self {
        self.lacks = Some(capability);
        self
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the process that runs the phases tells the one that holds the undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// every phase before serve is done
    Ready,
    /// a phase failed
    Failed {
        /// its place in the plan
        step: usize,
        /// what happened
        failure: Failure,
    },
}

/// Who undoes after a failure was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undoer {
    /// this very process
    Me,
    /// the launcher or the guard, which was told
    Other {
        /// it is known that something could not be undone
        stuck: bool,
    },
}

/// What became of the start, as the process that waited saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// the daemon is ready
    Ready,
    /// a phase failed and said so
    Failed {
        /// its place in the plan
        step: usize,
        /// what happened
        failure: Failure,
    },
    /// it went away, was killed or was called off, in the middle of this step if that is known
    Gone {
        /// the step it had begun
        step: Option<usize>,
        /// what is known of it
        failure: Failure,
    },
}

/// What [`System::wait`] brings back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// what was done by the other process and must be undone if the start failed, oldest first
    pub held: Vec<(usize, Undo)>,
    /// how it ended
    pub end: End,
}

/// The one seam: a world in which effects are performed.
pub trait System {
    /// Called once before the first phase. May fork the process that holds the undo (foreground
    /// runs have no launcher); that one gets `Parent`.
    fn open(&mut self, plan: &Plan) -> Result<Performed, SystemError>;
    /// Perform one effect.
    fn perform(&mut self, effect: &Effect) -> Result<Performed, SystemError>;
    /// Who this process is, read back from the world.
    fn identity(&mut self) -> Result<Identity, SystemError>;
    /// What else this process is, read back from the world.
    fn standing(&mut self) -> Result<Standing, SystemError>;
    /// Say at once, to the people who started the run, that model and world differ.
    fn differs(&mut self, _divergence: &Divergence) {}
    /// Nanoseconds on the world's monotonic clock.
    fn now(&mut self) -> u64;
    /// The process that is speaking.
    fn pid(&self) -> u32;
    /// A step begins; `timeout` in nanoseconds is its own limit.
    fn begin(&mut self, step: usize, timeout: Option<u64>);
    /// Whether the step that was begun must stop: its time is up, or a signal asks for the end.
    fn interrupted(&mut self) -> Option<SystemError>;
    /// Give an undo to the process that would need it if this one could not. Where that fails the effect is
    /// taken back at once: nobody else would.
    fn hold(&mut self, step: usize, undo: &Undo) -> Result<(), SystemError>;
    /// Tell how the start went. After `Failed` the answer says who undoes.
    fn tell(&mut self, news: &News) -> Undoer;
    /// The plan was made again with what the application brings: who the daemon will be may have
    /// changed. Called before the next effect.
    fn learned(&mut self, _plan: &Plan) -> Result<(), SystemError> {
        Ok(())
    }
    /// In a process that stayed behind: wait for the start's end.
    fn wait(&mut self) -> Verdict;
    /// In a process that stayed behind, where the other is gone in the middle of this effect, which it performed
    /// inside of `root`: take away what nobody but that process can have made for it. A line for each.
    fn clear_away(&mut self, _effect: &Effect, _root: &Path) -> Vec<String> {
        Vec::new()
    }
    /// In the guard: wait for the daemon's end. False if there is nothing to do (it was dismissed).
    fn wait_as_guard(&mut self) -> bool;
    /// Let time pass (between retries), in nanoseconds.
    fn sleep(&mut self, duration: u64);
}
