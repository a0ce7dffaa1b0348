//! A small world in memory: credentials, capabilities, root, cwd, umask, processes, files with
//! owners and modes, listening addresses, a clock. It answers as the kernel would, as far as the
//! effects of a start-up reach (path_resolution(7), capabilities(7), credentials(7)).

mod application;
mod confine;
mod credential;
mod directories;
mod files;
mod mounting;
mod mounts;
mod named;
mod namespaces;
mod paths;
mod ports;
mod process;
mod settings;
mod view;

pub use files::{Access, Files, Node};
pub use ports::nothing_handed;
use process::Whose;
pub use process::{CALLERS_SESSION, Ids, Role};
pub use settings::OOM_SCORE;

use crate::effect::{
    Application, Brought, Capability, CapabilitySet, Done, Effect, Flaw, Identity, News, Performed, Settings,
    Socket, Standing, System, SystemError, Undo, Undoer, Verdict,
};
use crate::plan::Plan;
use crate::snapshot::{FileKind, Interpreter, NoPython, Python, Restrictions, Snapshot};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EACCES: i32 = 13;
const EPERM: i32 = 1;
const ELOOP: i32 = 40;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;

/// The world.
#[derive(Clone, Debug)]
pub struct Model {
    identity: Identity,
    /// what was taken away from it
    confined: confine::Confined,
    settings: Settings,
    /// how low its oom score may go without CAP_SYS_RESOURCE
    oom_floor: i32,
    processes: process::Processes,
    files: Files,
    programs: BTreeMap<String, Option<PathBuf>>,
    interpreters: BTreeMap<PathBuf, Interpreter>,
    pythons: BTreeMap<String, Result<Python, NoPython>>,
    /// the version of Landlock that the kernel has, 0 for none
    landlock: Option<u32>,
    /// the processors that there are for it
    cpus: Option<Vec<u32>>,
    network: ports::Network,
    restrictions: Restrictions,
    listening: Vec<ports::Bound>,
    /// sockets with a path that were made, for those that remove them at the end
    sockets: Vec<named::Asked>,
    /// files that were made, by handle
    made: Vec<named::Made>,
    pid_files: Vec<named::PidFile>,
    /// directories that a phase has made or found, and may remove
    directories: Vec<directories::Directory>,
    /// of how many PID files and directories this process has handles
    known: named::Known,
    /// files that are longer than any PID file, with their sizes
    long_files: BTreeMap<PathBuf, u64>,
    /// logs that were found with something in them, with their sizes
    logs: BTreeMap<PathBuf, u64>,
    /// files of variables that cannot be taken
    flaws: BTreeMap<PathBuf, Flaw>,
    /// a log is open
    logging: bool,
    application: Option<application::Loaded>,
    /// what is mounted where when a step begins, where it is not as at the start
    views: BTreeMap<usize, view::View>,
    /// what was mounted where for the daemon, once another process goes on
    left: Option<view::View>,
    /// what a Twisted application will turn out to bring
    brings: Option<Brought>,
    clock: u64,
    /// how long the step may take, if it says so
    patience: Option<u64>,
}

impl Model {
    /// The world that a snapshot shows.
    pub fn new(snapshot: &Snapshot) -> Self {
        Model {
            identity: snapshot.identity.clone(),
            confined: confine::Confined::default(),
            settings: snapshot.settings.clone(),
            oom_floor: snapshot.settings.oom_score.min(0),
            processes: process::Processes::new(&snapshot.identity),
            files: Files::new(snapshot),
            programs: snapshot.programs.clone(),
            interpreters: snapshot.interpreters.clone(),
            pythons: snapshot.pythons.clone(),
            landlock: snapshot.landlock,
            cpus: snapshot.cpus.clone(),
            network: ports::Network::new(snapshot),
            restrictions: snapshot.restrictions.clone(),
            listening: Vec::new(),
            sockets: Vec::new(),
            made: Vec::new(),
            pid_files: Vec::new(),
            directories: Vec::new(),
            known: named::Known::default(),
            long_files: snapshot.long_files.clone(),
            logs: snapshot.logs.clone(),
            flaws: snapshot.flaws.clone(),
            logging: false,
            application: None,
            views: BTreeMap::new(),
            left: None,
            brings: None,
            clock: 0,
            patience: None,
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

    /// Addresses that are bound, in the order in which they are handed over.
    pub fn listening(&self) -> impl Iterator<Item = &Socket> {
        self.listening.iter().map(|bound| &bound.socket)
    }

    /// Makes the process somebody else, so that a rule can ask what would happen then.
    pub(crate) fn assume(&mut self, identity: Identity) {
        self.identity = identity;
    }

    fn has(&self, capability: Capability) -> bool {
        self.identity.caps.has(capability)
    }

    fn denied(&self, capability: Capability, what: impl std::fmt::Display) -> SystemError {
        let who = format!("this needs {capability}, and the process is {}", describe(&self.identity));
        SystemError::errno(EPERM, what).why(who).lacks(capability)
    }

    /// Its files as they were found when a step of the plan began: mounts of its own may cover some later.
    pub fn files_at(&self, step: usize) -> std::borrow::Cow<'_, Files> {
        self.files.seen_with(self.views.get(&step))
    }

    fn chroot(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("chroot {}", path.display());
        let node = self.files.root(&self.identity, path).map_err(|e| e.of(&what))?;
        if !self.has(Capability::SysChroot) {
            return Err(self.denied(Capability::SysChroot, what));
        }
        self.identity.cwd = self.files.seen(&node, &self.files.standing(&self.identity));
        self.identity.root = node;
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn chdir(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("chdir {}", path.display());
        let node = self.files.directory(&self.identity, path).map_err(|e| e.of(&what))?;
        self.identity.cwd = self.files.seen(&self.identity.root, &node);
        Ok(Done::with(Undo::EndsWithProcess))
    }
}

/// What stands where a file is to be written, and is none.
fn irregular(at: &Path, node: &Node, what: &str) -> SystemError {
    let (errno, kind) = match &node.kind {
        FileKind::Symlink(_) => (ELOOP, "a symbolic link, and none is followed in the last place"),
        FileKind::Directory => (EISDIR, "a directory"),
        _ => (EINVAL, "no regular file"),
    };
    let help = match &node.kind {
        // A device is not to be removed, and a socket is somebody's.
        FileKind::Other => "name a file",
        _ => "name a file, or remove what stands there",
    };
    SystemError::errno(errno, what).why(format!("{} is {kind}", at.display())).help(help)
}

/// Who a process is, in a few words.
pub fn describe(identity: &Identity) -> String {
    let caps = match identity.caps.len() {
        0 => "no capabilities".to_owned(),
        n => crate::text::count(n, "capability"),
    };
    format!("{}:{} with {caps}", identity.uid[1], identity.gid[1])
}

impl System for Model {
    fn open(&mut self, plan: &Plan) -> Result<Performed, SystemError> {
        self.processes.open(plan);
        Ok(Performed::Done(Done::with(Undo::Nothing)))
    }

    fn perform(&mut self, effect: &Effect) -> Result<Performed, SystemError> {
        self.clock += 1_000;
        self.lets_through(effect)?;
        let done = match effect {
            Effect::CheckPidFile { path } => self.check_pid_file(path),
            Effect::OpenLog { path, owner, mode, .. } => {
                let opened = self.open_log(path, *owner, *mode);
                self.logging |= opened.is_ok();
                opened
            }
            Effect::Chroot { path } => self.chroot(path),
            Effect::Chdir { path } => self.chdir(path),
            Effect::Umask { mask } => {
                self.identity.umask = mask & 0o777;
                Ok(Done::with(Undo::EndsWithProcess))
            }
            Effect::Daemonize => Ok(self.daemonize()),
            Effect::CreatePidFile { path, owner, mode } => self.create_pid_file(path, *owner, *mode),
            Effect::Bind { socket, options } => self.bind(socket, options),
            Effect::SetCredential { uid, gid, groups, effective, keep } => {
                self.set_credential(*uid, *gid, groups.as_deref(), *effective, *keep)
            }
            Effect::Process(setting) => self.set(setting),
            Effect::Environment(environment) => self.read_environment(environment),
            Effect::MakeDirectory { path, owner, mode, any_owner } => {
                self.make_directory(path, *owner, *mode, *any_owner)
            }
            Effect::RemoveDirectory { path } => self.by_handle(|model| model.remove_directory(path)),
            Effect::KeepGuard => Ok(self.keep_guard()),
            Effect::Application(Application::Load(program)) => self.load(program),
            Effect::Application(Application::PrivilegedStart) => Ok(Done::with(Undo::Nothing)),
            Effect::Serve => self.serve(),
            Effect::Application(Application::Start(starting)) => self.start_application(starting),
            Effect::RemovePidFile { path } => self.by_handle(|model| model.remove_pid_file(path)),
            Effect::Remove { handle, path, only_if_empty } => {
                self.close_sockets(*handle);
                self.as_whoever_made(*handle, Whose::Files, |model| {
                    model.by_handle(|model| model.remove(*handle, path, *only_if_empty))
                })
            }
            Effect::GiveBack { handle, path, owner } => {
                self.as_whoever_made(*handle, Whose::Files, |model| {
                    model.by_handle(|model| model.give_back(*handle, path, *owner))
                })
            }
            Effect::Unbind { handle, .. } => {
                self.close_sockets(*handle);
                Ok(Done::with(Undo::Nothing))
            }
            Effect::End { handle, name } => {
                self.as_whoever_made(*handle, Whose::Processes, |model| model.end(*handle, name))
            }
            Effect::Fail(fault) => fault.answer(),
            Effect::Unshare { namespaces } => self.unshare(*namespaces),
            Effect::Mount { mounts } => self.mount(mounts),
            Effect::PivotRoot { path } => self.pivot_root(path),
            Effect::RemoveSocket { path } => self.by_handle(|model| model.remove_socket(path)),
        };
        done.map(Performed::Done)
    }

    fn identity(&mut self) -> Result<Identity, SystemError> {
        Ok(self.identity.clone())
    }

    fn standing(&mut self) -> Result<Standing, SystemError> {
        let ids = self.processes.ids();
        Ok(Standing { pid: ids.pid, sid: ids.sid })
    }

    fn now(&mut self) -> u64 {
        self.clock
    }

    fn pid(&self) -> u32 {
        self.processes.ids().pid
    }

    fn begin(&mut self, step: usize, timeout: Option<u64>) {
        self.patience = timeout;
        self.processes.begin(step);
        self.remember_view(step);
    }

    fn learned(&mut self, plan: &Plan) -> Result<(), SystemError> {
        self.processes.learned(plan);
        Ok(())
    }

    fn interrupted(&mut self) -> Option<SystemError> {
        None
    }

    fn hold(&mut self, _step: usize, _undo: &Undo) -> Result<(), SystemError> {
        Ok(())
    }

    fn tell(&mut self, news: &News) -> Undoer {
        match news {
            News::Ready => self.processes.ready(),
            // Whoever holds the undo goes on, as it was when it was left behind.
            News::Failed { .. } => {
                (self.identity, self.confined) = self.processes.fail(&self.identity);
                self.goes_on_in(self.processes.view_of_the_undoer());
            }
        }
        Undoer::Me
    }

    fn wait(&mut self) -> Verdict {
        Verdict { held: Vec::new(), end: crate::effect::End::Ready }
    }

    fn wait_as_guard(&mut self) -> bool {
        let Some(guard) = self.processes.guard() else { return false };
        self.identity = guard.identity;
        self.known = guard.known;
        self.confined = guard.confined;
        self.goes_on_in(guard.view);
        true
    }

    fn sleep(&mut self, duration: u64) {
        self.clock += duration;
    }
}

/// The capabilities a process of uid 0 has where nothing is taken away.
pub fn all_capabilities() -> CapabilitySet {
    CapabilitySet(Capability::ALL.iter().fold(0, |bits, c| bits | 1 << *c as u8))
}
