//! A small world in memory: credentials, capabilities, root, cwd, umask, processes, files with
//! owners and modes, listening addresses, a clock. It answers as the kernel would, as far as the
//! effects of a start-up reach (path_resolution(7), capabilities(7), credentials(7)).

mod credential;
mod directories;
mod files;
mod mounts;
mod ports;
mod settings;

pub use files::{Access, Files, Node};
pub use settings::OOM_SCORE;

use crate::effect::{
    Application, Brought, Capability, CapabilitySet, Done, Effect, Environment, ErrorKind, Handle, Identity,
    News, Owner, Performed, Program, Settings, Socket, Standing, System, SystemError, Undo, Undoer, Verdict,
};
use crate::plan::Plan;
use crate::snapshot::{FileKind, NoPython, Python, Restrictions, Snapshot};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EACCES: i32 = 13;
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const ELOOP: i32 = 40;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;

/// Process, parent, session: as `ps` would show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// process id
    pub pid: u32,
    /// its parent
    pub ppid: u32,
    /// its session
    pub sid: u32,
}

/// The world.
#[derive(Clone, Debug)]
pub struct Model {
    identity: Identity,
    settings: Settings,
    start: Identity,
    ids: Ids,
    files: Files,
    programs: BTreeMap<String, Option<PathBuf>>,
    pythons: BTreeMap<String, Result<Python, NoPython>>,
    network: ports::Network,
    restrictions: Restrictions,
    listening: Vec<Socket>,
    /// PID files and sockets that were made: the path asked for, and where it really is
    made: Vec<(PathBuf, PathBuf)>,
    /// how much of that was made before the guard was forked: it has handles of no more
    guard_knows: usize,
    /// PID files whose lock this run holds: the path asked for, and where it really is
    locked: Vec<(PathBuf, PathBuf)>,
    program: Option<Program>,
    /// what a Twisted application will turn out to bring
    brings: Option<Brought>,
    guard: Option<(Identity, Ids)>,
    next_pid: u32,
    clock: u64,
}

impl Model {
    /// The world that a snapshot shows.
    pub fn new(snapshot: &Snapshot) -> Self {
        Model {
            identity: snapshot.identity.clone(),
            settings: snapshot.settings.clone(),
            start: snapshot.identity.clone(),
            ids: Ids { pid: 1000, ppid: 1, sid: 900 },
            files: Files::new(snapshot),
            programs: snapshot.programs.clone(),
            pythons: snapshot.pythons.clone(),
            network: ports::Network::new(snapshot),
            restrictions: snapshot.restrictions.clone(),
            listening: Vec::new(),
            made: Vec::new(),
            guard_knows: 0,
            locked: Vec::new(),
            program: None,
            brings: None,
            guard: None,
            next_pid: 1001,
            clock: 0,
        }
    }

    /// The same, where a Twisted application turns out to bring this when it is loaded.
    pub fn bringing(mut self, brought: Brought) -> Self {
        self.brings = Some(brought);
        self
    }

    /// Its files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Process, parent and session of the process that goes on.
    pub fn ids(&self) -> Ids {
        self.ids
    }

    /// Addresses that are bound.
    pub fn listening(&self) -> &[Socket] {
        &self.listening
    }

    /// Makes the process somebody else, so that a rule can ask what would happen then.
    pub(crate) fn assume(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// PID files that were made and are still there: the path asked for.
    pub fn pid_files(&self) -> impl Iterator<Item = &Path> {
        self.locked.iter().filter(|(_, at)| self.files.get(at).is_some()).map(|(asked, _)| asked.as_path())
    }

    fn has(&self, capability: Capability) -> bool {
        self.identity.caps.has(capability)
    }

    fn denied(&self, capability: Capability, what: impl std::fmt::Display) -> SystemError {
        let who = format!("this needs {capability}, and the process is {}", describe(&self.identity));
        SystemError::errno(EPERM, what).why(who).lacks(capability)
    }

    fn fork(&mut self) -> u32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        pid
    }

    fn chroot(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("chroot {}", path.display());
        let node = self.files.directory(&self.identity, path).map_err(|e| e.of(&what))?;
        if !self.has(Capability::SysChroot) {
            return Err(self.denied(Capability::SysChroot, what));
        }
        let cwd_outside = self.files.join(&self.identity.root, &self.identity.cwd);
        self.identity.cwd = match cwd_outside.strip_prefix(&node) {
            Ok(inside) => Path::new("/").join(inside),
            // What getcwd(2) says of a directory that the root does not reach.
            Err(_) => PathBuf::from(format!("(unreachable){}", cwd_outside.display())),
        };
        self.identity.root = node;
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn chdir(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("chdir {}", path.display());
        let node = self.files.directory(&self.identity, path).map_err(|e| e.of(&what))?;
        let inside = node.strip_prefix(&self.identity.root).unwrap_or(&node);
        self.identity.cwd = Path::new("/").join(inside);
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn daemonize(&mut self) -> Done {
        let middle = self.fork();
        let pid = self.fork();
        self.ids = Ids { pid, ppid: 1, sid: middle };
        Done::with(Undo::Nothing)
    }

    fn open_log(&mut self, path: &Path, owner: Option<Owner>, mode: u32) -> Result<Done, SystemError> {
        let what = format!("open log {}", path.display());
        let at = self.files.parent(&self.identity, path).map_err(|e| e.of(&what))?;
        let made = match self.files.get(&at) {
            Some(node) if !node.is_file() => return Err(irregular(&at, node, &what)),
            Some(_) => {
                self.files.may(&self.identity, &at, Access::Write).map_err(|e| e.of(&what))?;
                false
            }
            None => {
                self.files.create(&self.identity, &at, mode).map_err(|e| e.of(&what))?;
                true
            }
        };
        self.give(&at, owner, &what)?;
        Ok(Done::with(if made { self.remove(&at, path, true) } else { Undo::Nothing }))
    }

    fn give(&mut self, at: &Path, owner: Option<Owner>, what: &str) -> Result<(), SystemError> {
        let Some(owner) = owner else { return Ok(()) };
        let Some(node) = self.files.get(at) else { return Ok(()) };
        if (node.uid, node.gid) == (owner.uid, owner.gid) {
            return Ok(());
        }
        self.files.may_give(&self.identity, at, owner).map_err(|e| e.of(what))?;
        let own = node.uid == self.identity.uid[1] && node.uid == owner.uid;
        let member = self.identity.gid[1] == owner.gid || self.identity.groups.contains(&owner.gid);
        if !(self.has(Capability::Chown) || own && member) {
            return Err(
                self.denied(Capability::Chown, format!("{what}: give it to {}:{}", owner.uid, owner.gid))
            );
        }
        self.files.chown(at, owner);
        Ok(())
    }

    fn remove(&mut self, at: &Path, path: &Path, only_if_empty: bool) -> Undo {
        self.made.push((path.to_owned(), at.to_owned()));
        let handle = Handle(self.made.len() as u32 - 1);
        Undo::Effect(Box::new(Effect::Remove { handle, path: path.to_owned(), only_if_empty }))
    }

    fn check_pid_file(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("check PID file {}", path.display());
        let at = match self.files.parent(&self.identity, path) {
            Ok(at) => at,
            Err(refusal) if refusal.errno() == ENOENT => return Ok(Done::with(Undo::Nothing)),
            Err(refusal) => return Err(refusal.of(&what)),
        };
        self.clear_stale(&at, &what)?;
        Ok(Done::with(Undo::Nothing))
    }

    fn clear_stale(&mut self, at: &Path, what: &str) -> Result<(), SystemError> {
        match self.files.get(at) {
            None => Ok(()),
            Some(node) if !node.is_file() => Err(irregular(at, node, what)),
            Some(_) => {
                self.files.may(&self.identity, at, Access::Read).map_err(|e| e.of(what))?;
                if self.locked.iter().any(|(_, locked)| locked == at) {
                    return Err(SystemError::new(format!("{what}: already running"))
                        .why("this very start has made it and holds its lock")
                        .help("check for a running daemon before the PID file is made")
                        .kind(ErrorKind::AlreadyRunning));
                }
                // To take its lock it must be opened for writing, too.
                self.files.may(&self.identity, at, Access::Write).map_err(|e| e.of(what))?;
                self.files.unlink(&self.identity, at).map_err(|e| e.of(what))
            }
        }
    }

    fn create_pid_file(&mut self, path: &Path, owner: Option<Owner>, mode: u32) -> Result<Done, SystemError> {
        let what = format!("create PID file {}", path.display());
        let at = self.files.parent(&self.identity, path).map_err(|e| e.of(&what))?;
        self.clear_stale(&at, &what)?;
        self.files.create(&self.identity, &at, mode).map_err(|e| e.of(&what))?;
        self.give(&at, owner, &what)?;
        self.locked.push((path.to_owned(), at.clone()));
        Ok(Done::with(self.remove(&at, path, false)))
    }

    fn remove_pid_file(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("remove PID file {}", path.display());
        // By handle: what this process has not made, or been given, it does not touch.
        let made = self.made.iter().rev().find(|(asked, _)| asked == path).map(|(_, at)| at.clone());
        if let Some(at) = made.filter(|at| self.files.get(at).is_some()) {
            self.files.unlink(&self.identity, &at).map_err(|e| e.of(&what))?;
        }
        Ok(Done::with(Undo::Never))
    }

    fn load(&mut self, program: &Program) -> Result<Done, SystemError> {
        self.program = Some(program.clone());
        if let Some(word) = program.command.first()
            && let Some(None) = self.programs.get(word)
        {
            let place = match &program.root {
                Some(root) => format!("in {}", root.display()),
                None if word.contains('/') => "there".to_owned(),
                None => "on PATH".to_owned(),
            };
            return Err(SystemError::errno(ENOENT, format!("load {word}"))
                .why(format!("no executable file of this name was found {place}"))
                .help("give the whole path, or install the program"));
        }
        let mut done = Done::with(Undo::Nothing);
        if program.is_twisted() {
            self.read_application(program)?;
            done.learned.brought = self.brings.clone().map(Box::new);
        }
        Ok(done)
    }

    /// As whoever reads it, where paths lead at that moment.
    fn read_application(&self, program: &Program) -> Result<(), SystemError> {
        if let Some(tac) = &program.tac {
            let what = format!("load {}", tac.display());
            let help = "name a Twisted application configuration file that this process may read";
            let refused = |e: files::Refusal| e.of(&what).help(help);
            let at = self.files.resolve(&self.identity, tac).map_err(refused)?;
            if !self.files.get(&at).is_some_and(Node::is_file) {
                let errno = if self.files.get(&at).is_some_and(Node::is_dir) { EISDIR } else { EINVAL };
                let error = SystemError::errno(errno, &what);
                return Err(error.why(format!("{} is no regular file", at.display())).help(help));
            }
            self.files.may(&self.identity, &at, Access::Read).map_err(refused)?;
        }
        let name = program.twisted.interpreter.as_deref().unwrap_or_default();
        match self.pythons.get(name) {
            Some(Err(none)) => {
                let mut error = SystemError::new(none.message.clone());
                error.help.clone_from(&none.help);
                Err(error)
            }
            // It was found outside: behind a change of the root it must be there, too.
            Some(Ok(python)) if self.identity.root != Path::new("/") => {
                let what = format!("host {}", python.executable.display());
                let found = self.files.resolve(&self.identity, &python.executable);
                found
                    .map(drop)
                    .map_err(|e| e.of(&what).help("read the application before the root is changed"))
            }
            _ => Ok(()),
        }
    }

    /// Its files are read as whoever runs the phase.
    fn read_environment(&self, environment: &Environment) -> Result<Done, SystemError> {
        for path in &environment.files {
            let what = format!("read the environment file {}", path.display());
            let at = self.files.resolve(&self.identity, path).map_err(|e| e.of(&what))?;
            self.files.may(&self.identity, &at, Access::Read).map_err(|e| e.of(&what))?;
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn loaded(&self, what: &str) -> Result<Program, SystemError> {
        self.program.clone().ok_or_else(|| {
            SystemError::new(format!("{what}: no application was loaded"))
                .help("a phase that loads one must come before; `rsd kinds` lists them")
        })
    }

    fn start_application(&mut self) -> Result<Done, SystemError> {
        let program = self.loaded("start the application")?;
        let Some(word) = program.command.first() else {
            let answers = self.listening.iter().any(|s| !matches!(s, Socket::Udp(_)));
            if !program.is_twisted() && !answers {
                return Err(SystemError::new("start whoami: there is no address to serve").why(
                    "it serves TCP and unix sockets that a phase before it has bound, and there is none",
                ));
            }
            return Ok(Done::with(Undo::Nothing));
        };
        if let Some(Some(path)) = self.programs.get(word) {
            let what = format!("execute {}", path.display());
            let path = path.clone();
            let at = self.files.resolve(&self.identity, &path).map_err(|e| e.of(&what))?;
            self.files.may(&self.identity, &at, Access::Execute).map_err(|e| e.of(&what))?;
            self.files.executable(&at).map_err(|e| e.of(&what))?;
        }
        let pid = self.fork();
        let _ = pid;
        Ok(Done::with(Undo::Nothing))
    }
}

/// What stands where a file is to be written, and is none.
fn irregular(at: &Path, node: &Node, what: &str) -> SystemError {
    let (errno, kind) = match &node.kind {
        FileKind::Symlink(_) => (ELOOP, "a symbolic link, and none is followed in the last place"),
        FileKind::Directory => (EISDIR, "a directory"),
        _ => (EINVAL, "no regular file"),
    };
    SystemError::errno(errno, what)
        .why(format!("{} is {kind}", at.display()))
        .help("name a file, or remove what stands there")
}

/// Who a process is, in a few words.
pub fn describe(identity: &Identity) -> String {
    let caps = match identity.caps.len() {
        0 => "no capabilities".to_owned(),
        n => format!("{n} capabilities"),
    };
    format!("{}:{} with {caps}", identity.uid[1], identity.gid[1])
}

impl System for Model {
    fn open(&mut self, _plan: &Plan) -> Result<Performed, SystemError> {
        Ok(Performed::Done(Done::with(Undo::Nothing)))
    }

    fn perform(&mut self, effect: &Effect) -> Result<Performed, SystemError> {
        self.clock += 1_000;
        let done = match effect {
            Effect::CheckPidFile { path } => self.check_pid_file(path),
            Effect::OpenLog { path, owner, mode, .. } => self.open_log(path, *owner, *mode),
            Effect::Chroot { path } => self.chroot(path),
            Effect::Chdir { path } => self.chdir(path),
            Effect::Umask { mask } => {
                self.identity.umask = mask & 0o777;
                Ok(Done::with(Undo::EndsWithProcess))
            }
            Effect::Daemonize => Ok(self.daemonize()),
            Effect::CreatePidFile { path, owner, mode } => self.create_pid_file(path, *owner, *mode),
            Effect::Bind { socket } => self.bind(socket),
            Effect::SetCredential { uid, gid, groups, effective, keep } => {
                self.set_credential(*uid, *gid, groups.as_deref(), *effective, *keep)
            }
            Effect::Process(setting) => self.set(setting),
            Effect::Environment(environment) => self.read_environment(environment),
            Effect::MakeDirectory { path, owner, mode, any_owner } => {
                self.make_directory(path, *owner, *mode, *any_owner)
            }
            Effect::RemoveDirectory { path } => self.remove_directory(path),
            Effect::KeepGuard => {
                let pid = self.fork();
                self.guard = Some((self.identity.clone(), Ids { pid, ..self.ids }));
                Ok(Done::with(Undo::Nothing))
            }
            Effect::Application(Application::Load(program)) => self.load(program),
            Effect::Application(Application::PrivilegedStart) => Ok(Done::with(Undo::Nothing)),
            Effect::Serve => self.loaded("serve").map(|_| Done::with(Undo::Nothing)),
            Effect::Application(Application::Start) => self.start_application(),
            Effect::RemovePidFile { path } => self.remove_pid_file(path),
            Effect::Remove { handle, .. } => {
                if let Some((_, at)) = self.made.get(handle.0 as usize) {
                    // The launcher undoes: it kept the starting credential.
                    let (start, at) = (self.start.clone(), at.clone());
                    if self.files.get(&at).is_some() && self.files.is_empty(&at) {
                        self.files.unlink(&start, &at).map_err(|e| e.of("undo"))?;
                    }
                }
                Ok(Done::with(Undo::Nothing))
            }
            Effect::Unbind { socket, .. } => {
                self.listening.retain(|s| s != socket);
                Ok(Done::with(Undo::Nothing))
            }
            Effect::End { .. } => Ok(Done::with(Undo::Nothing)),
        };
        if *effect == Effect::KeepGuard {
            self.guard_knows = self.made.len();
        }
        done.map(Performed::Done)
    }

    fn identity(&mut self) -> Result<Identity, SystemError> {
        Ok(self.identity.clone())
    }

    fn standing(&mut self) -> Result<Standing, SystemError> {
        Ok(Standing { pid: self.ids.pid, sid: self.ids.sid })
    }

    fn now(&mut self) -> u64 {
        self.clock
    }

    fn pid(&self) -> u32 {
        self.ids.pid
    }

    fn begin(&mut self, _step: usize, _timeout: Option<u64>) {}

    fn interrupted(&mut self) -> Option<SystemError> {
        None
    }

    fn hold(&mut self, _step: usize, _undo: &Undo) {}

    fn tell(&mut self, _news: &News) -> Undoer {
        Undoer::Me
    }

    fn wait(&mut self) -> Verdict {
        Verdict { held: Vec::new(), end: crate::effect::End::Ready }
    }

    fn wait_as_guard(&mut self) -> bool {
        match self.guard.take() {
            Some((identity, ids)) => {
                self.made.truncate(self.guard_knows);
                self.identity = identity;
                self.ids = ids;
                true
            }
            None => false,
        }
    }

    fn sleep(&mut self, duration: u64) {
        self.clock += duration;
    }
}

/// The capabilities a process of uid 0 has where nothing is taken away.
pub fn all_capabilities() -> CapabilitySet {
    CapabilitySet(Capability::ALL.iter().fold(0, |bits, c| bits | 1 << *c as u8))
}
