//! The real machine. Every effect ends here in system calls whose results are checked.

mod bind;
pub mod confine;
mod credential;
mod daemonize;
pub mod directories;
mod draft;
mod fail;
mod guard;
mod holder;
mod mounts;
mod orphans;
pub mod pid_file;
pub mod protocol;
mod settings;
mod undo;

use crate::application::{self, Application as Hosted, Around, Listening, ReadTimeline};
use crate::log::{Log, Shared, Was};
use crate::notify::Manager;
use crate::sys::{channel::Channel, failed, identity, io_failed, lock, process, walk};
use engine::effect::{
    Application, CapabilitySet, Done, Effect, ErrorKind, Facts, Handle, Identity, NamespaceSet, News, Owner,
    Performed, Program, Rotation, Standing, Starting, System, SystemError, Undo, Undoer, Verdict,
};
use engine::plan::{DropStep, Plan};
use engine::timeline::{Divergence, Event, What};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Pid};
use orphans::Orphans;
use protocol::Held;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What this process is in the run.
#[derive(Debug)]
enum Role {
    /// the only one
    Alone,
    /// it stayed behind and holds the undo; the other one's number
    Holder { peer: Pid, channel: Channel, ours: bool },
    /// it runs the phases, and another holds the undo: our child (foreground) or the launcher
    Runner { channel: Channel, holder: Option<Pid> },
    /// it keeps the starting credential for the end
    Guard { daemon: OwnedFd, launcher: OwnedFd, last: Option<OwnedFd>, over: bool },
}

/// The machine, as this process can change it.
pub struct Host {
    role: Role,
    signals: SignalFd,
    null: File,
    journal: Option<Arc<File>>,
    root: PathBuf,
    /// the root of its mount namespace, by the name that it had outside
    top: PathBuf,
    root_inode: identity::Inode,
    /// those that it has left the starter's for
    namespaces: NamespaceSet,
    /// nothing that it mounts reaches the machine
    own_mounts: bool,
    bounding: CapabilitySet,
    /// the application is a program, and not hosted in this process
    runs_a_program: bool,
    /// what the application is confined by when it is started
    confining: confine::Confining,
    /// code of others ran in this process since the bounding set was read
    others_ran: bool,
    held: BTreeMap<u32, Held>,
    next_handle: u32,
    deadline: Option<u64>,
    step: usize,
    /// asked to stop before the start was complete
    stop: Option<Signal>,
    /// came during the start and are for the application
    later: Vec<Signal>,
    log: Option<Shared>,
    listening: Vec<(Handle, Listening)>,
    /// sockets that have a path, for those that remove them at the end
    sockets: Vec<(PathBuf, Handle)>,
    /// sockets that the caller has handed to us, with their names
    handed: Vec<(String, OwnedFd)>,
    application: Option<Box<dyn Hosted>>,
    pid_files: Vec<pid_file::PidFile>,
    /// directories that were made or found, for those that remove them at the end
    directories: Vec<(PathBuf, Handle)>,
    timeline: ReadTimeline,
    daemon: Option<Pid>,
    /// the process that was waited for and is gone
    gone: Option<i32>,
    ready_at: Option<u64>,
    speaks: bool,
    /// tells people what differs from the prediction
    show: Option<Show>,
    /// as it was last read back, until something is performed that may change it
    identity: Option<Identity>,
    /// the drop of this plan, if it has one
    drop: Option<DropStep>,
    /// handles that came from a process that had dropped: they are undone as its user only
    distrusted: BTreeSet<u32>,
    /// this process becomes the program when it is to serve
    replace: bool,
    /// names of the phases, by step
    phases: Vec<String>,
    /// who started this process, and wants to be told
    manager: Manager,
    /// the guard that was forked from this process, and how many PID files it has the locks of
    guard: Option<(OwnedFd, usize)>,
    /// children of this process that are no application's
    guards: Vec<Pid>,
    /// as the first process of a PID namespace: closing it tells the guard
    last_words: Option<OwnedFd>,
    /// a phase of the guard has a path that begins at the working directory
    guard_stays: bool,
    /// what a guard ends that a killed keeper has left
    orphans: Orphans,
}

/// How long the first process of a PID namespace waits for its guard at the end.
const GUARD_MS: i32 = 5_000;

/// Tells people at once where the machine is not as predicted.
pub type Show = Box<dyn Fn(&Divergence)>;

impl Host {
    /// Takes the machine over: signals arrive at a descriptor from now on. `journal` is the
    /// run's journal, for an application that shows its own start; `start` is who this process was
    /// found to be.
    pub fn new(
        signals: SignalFd,
        journal: Option<Arc<File>>,
        timeline: ReadTimeline,
        start: &Identity,
    ) -> Result<Host, SystemError> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|e| {
            io_failed(&e, "open /dev/null")
                .help("the null device is needed for the daemon's standard descriptors")
        })?;
        Ok(Host {
            role: Role::Alone,
            signals,
            null,
            journal,
            root: PathBuf::from("/"),
            top: PathBuf::from("/"),
            root_inode: identity::root_inode().map_err(|e| failed(e, "look at the root directory"))?,
            namespaces: NamespaceSet::EMPTY,
            own_mounts: false,
            bounding: start.bounding,
            runs_a_program: false,
            confining: confine::Confining::default(),
            others_ran: false,
            held: BTreeMap::new(),
            next_handle: 0,
            deadline: None,
            step: 0,
            stop: None,
            later: Vec::new(),
            log: None,
            listening: Vec::new(),
            sockets: Vec::new(),
            handed: Vec::new(),
            application: None,
            pid_files: Vec::new(),
            directories: Vec::new(),
            timeline,
            daemon: None,
            gone: None,
            ready_at: None,
            speaks: true,
            show: None,
            identity: None,
            drop: None,
            distrusted: BTreeSet::new(),
            replace: false,
            phases: Vec::new(),
            manager: Manager::default(),
            guard: None,
            guards: Vec::new(),
            last_words: None,
            guard_stays: false,
            orphans: Orphans::default(),
        })
    }

    /// The same, which tells people through `show` where the machine is not as predicted: in the process that
    /// has the terminal, as long as there is one.
    pub fn showing(mut self, show: Show) -> Host {
        self.show = Some(show);
        self
    }

    /// The same, which can take over sockets that the caller has handed to us.
    pub fn handed(mut self, sockets: Vec<(String, OwnedFd)>) -> Host {
        self.handed = sockets;
        self
    }

    /// The same, which tells the service manager that started it.
    pub fn managed_by(mut self, manager: Manager) -> Host {
        self.manager = manager;
        self
    }

    /// The service manager that started this process.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// When the daemon was ready, on CLOCK_MONOTONIC, in the process that waited for it. The daemon said so.
    pub fn ready_at(&self) -> Option<u64> {
        self.ready_at
    }

    /// The daemon, in the process that waited for it.
    pub fn daemon(&self) -> Option<Pid> {
        self.daemon
    }

    /// Whether this process is the one to tell people how it went. The child that holds the undo in
    /// the foreground, and a daemon that has a launcher, leave that to the other.
    pub fn speaks(&self) -> bool {
        self.speaks
    }

    /// The daemon is over: whatever else it has forked and left, its PID file's lock is nobody's. Where there is
    /// a guard, the lock is the guard's until it is done with what the daemon has left.
    ///
    /// For the daemon and the guard alone: a launcher may share the lock with it.
    pub fn let_go(&mut self) {
        let guard = self.guard.take();
        if let (Some(alive), Some((guard, _))) = (self.last_words.take(), &guard) {
            drop(alive);
            let _ = process::wait_readable([guard.as_fd()], GUARD_MS);
        }
        let lives = |guard: &OwnedFd| process::wait_readable([guard.as_fd()], 0).is_ok_and(|[gone]| !gone);
        let not_ours = match (guard, &self.role) {
            (_, Role::Guard { over: false, .. }) => return,
            (Some((guard, its)), _) if lives(&guard) => its,
            _ => 0,
        };
        for lock in self.pid_files.iter().skip(not_ours).filter_map(|p| p.lock.as_ref()) {
            let _ = lock::let_go(lock);
        }
    }

    /// Takes the signals that wait: those that ask to stop, and those to pass on once it serves.
    fn sort_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                    self.stop.get_or_insert(signal);
                }
                Ok(signal @ (Signal::SIGHUP | Signal::SIGUSR1 | Signal::SIGUSR2))
                    if !self.later.contains(&signal) =>
                {
                    self.later.push(signal);
                }
                _ => {}
            }
        }
    }

    fn keep(&mut self, held: Held) -> Handle {
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        self.held.insert(handle.0, held);
        handle
    }

    /// A path of the present root, as whoever stayed outside calls it.
    fn outside(&self, path: &Path) -> PathBuf {
        engine::effect::outside(&self.root, path)
    }

    fn read_identity(&self) -> Result<Identity, SystemError> {
        let read = identity::read(&self.root, self.root_inode, self.bounding)
            .map_err(|e| failed(e, "read the identity"))?;
        Ok(Identity { namespaces: self.namespaces, ..read })
    }

    fn open_log(
        &mut self,
        path: &Path,
        owner: Option<Owner>,
        mode: u32,
        rotate_at: Option<u64>,
        rotation: &Rotation,
    ) -> Result<Done, SystemError> {
        let (mut log, was) = Log::open(path, owner, mode, rotate_at)?;
        log.rotates(rotation);
        let undo = match was {
            Was::AsItIs => Undo::Nothing,
            Was::Absent | Was::Of(_) => {
                let dir = log.dirfd().try_clone_to_owned().map_err(|e| {
                    log.take_back(was);
                    io_failed(&e, "keep the log's directory")
                })?;
                let (dev, ino) = log.inode();
                let handle = self.keep(Held::File { dir, name: log.name().to_owned(), dev, ino });
                let path = self.outside(path);
                Undo::Effect(Box::new(match was {
                    Was::Of(owner) => Effect::GiveBack { handle, path, owner },
                    _ => Effect::Remove { handle, path, only_if_empty: true },
                }))
            }
        };
        self.log = Some(Shared::new(log));
        if self.application.is_none() {
            return Ok(Done::with(undo));
        }
        match self.hosted("tell the application of its log", |h, around| h.log_opened(around)) {
            Ok(notes) => Ok(noted(undo, notes)),
            Err(error) => {
                // The effect did not come about, so nobody else takes the file back.
                if let Undo::Effect(effect) = &undo {
                    let _ = self.perform(effect);
                }
                Err(error)
            }
        }
    }

    /// fork(2). An application that has threads of its own is asked to hold still; in whichever of
    /// the two processes it goes on it must be told ([`Host::forked`]).
    fn fork(&mut self) -> Result<ForkResult, Errno> {
        let Some(application) = &mut self.application else { return process::fork() };
        application.before_fork();
        let forked = process::fork_beside_threads();
        if forked.is_err() {
            self.forked(false);
        }
        forked
    }

    /// The application goes on in this process after a [`Host::fork`].
    fn forked(&mut self, child: bool) {
        if let Some(application) = &mut self.application {
            application.after_fork(child);
        }
    }

    /// For all who share it: its lock is let go.
    fn close_log(&mut self) {
        if let Some(log) = self.log.take() {
            log.close();
        }
    }

    /// What a new root will be called.
    fn root_named(&self, path: &Path) -> PathBuf {
        // Where it really is: what a link on the way says leads elsewhere from in there.
        let inside = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // From a directory that the present root does not reach it leads there, not below that root.
        let cwd = if path.is_relative() { identity::cwd() } else { PathBuf::new() };
        let outside = cwd.strip_prefix("(unreachable)").ok().map(|cwd| {
            let cwd = Path::new("/").join(cwd);
            let named = walk::named_outside(path, &cwd, (&self.root, self.root_inode));
            named.unwrap_or_else(|| cwd.join(path))
        });
        let inside = inside.strip_prefix("/").unwrap_or(&inside);
        match outside {
            Some(outside) => outside,
            None if inside.as_os_str().is_empty() => self.root.clone(),
            None => self.root.join(inside),
        }
    }

    fn chroot(&mut self, path: &Path) -> Result<Done, SystemError> {
        let root = self.root_named(path);
        walk::chroot(path).map_err(|refused| match refused.errno() {
            nix::errno::Errno::EPERM => refused
                .about(format!("chroot {}", path.display()))
                .lacks(engine::effect::Capability::SysChroot),
            _ => refused.about(format!("chroot {}", path.display())),
        })?;
        self.root_inode = identity::root_inode().map_err(|e| failed(e, "look at the new root directory"))?;
        self.root = root;
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn load(&mut self, program: &Program) -> Result<Done, SystemError> {
        let mut program = program.clone();
        if program.root.as_ref() == Some(&self.root) {
            // The root it is to run in is the present one already.
            program.root = None;
        }
        let mut application = application::make(&program, self.timeline)?;
        for guard in &self.guards {
            application.has_beside(*guard);
        }
        self.application = Some(application);
        self.runs_a_program = !program.command.is_empty();
        let loaded = self.hosted("load the application", |h, around| h.load(around))?;
        let mut done = noted(Undo::EndsWithProcess, loaded.notes);
        done.learned.brought = loaded.brought.map(Box::new);
        Ok(done)
    }

    /// Runs something of the application with what is around it.
    fn hosted<T>(
        &mut self,
        what: &str,
        call: impl FnOnce(&mut dyn Hosted, &mut Around) -> Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        let Some(mut hosted) = self.application.take() else {
            return Err(SystemError::new(format!("{what}: no application was loaded"))
                .help("a phase of kind `load-application` must come before"));
        };
        let identity = match &self.identity {
            Some(known) => known.clone(),
            None => self.read_identity()?,
        };
        let listening: Vec<Listening> = self
            .listening
            .iter()
            .map(|(_, l)| {
                Ok(Listening { socket: l.socket.clone(), name: l.name.clone(), fd: l.fd.try_clone()? })
            })
            .collect::<std::io::Result<_>>()
            .map_err(|e| io_failed(&e, "hand over the sockets"))?;
        let mut extended = None;
        let mut around = Around {
            listening: &listening,
            log: self.log.as_ref(),
            signals: &self.signals,
            deadline: self.deadline,
            journal: self.journal.as_deref(),
            identity: &identity,
            confining: &self.confining,
            foreground: !matches!(self.role, Role::Runner { holder: None, .. }),
            manager: &self.manager,
            drop_ahead: self.drop.as_ref().is_some_and(|drop| drop.step > self.step),
            on_signal: &mut |signal, then| {
                if matches!(signal, "SIGTERM" | "SIGINT") {
                    self.manager.stopping();
                }
                say(What::Signal { signal: signal.to_owned(), then: then.to_owned() });
            },
            on_end: &|| {
                for lock in self.pid_files.iter().filter_map(|p| p.lock.as_ref()) {
                    // Where it fails a start that comes meanwhile is refused.
                    let _ = lock::name_end(lock);
                }
            },
            on_longer_stop: &|until| {
                for lock in self.pid_files.iter().filter_map(|p| p.lock.as_ref()) {
                    // Where it fails it is killed after the time that whoever stops it has given.
                    let _ = lock::let_stop_by(lock, until);
                }
            },
            on_status: &mut |text| say(What::Status { text: text.to_owned() }),
            on_extend: &mut |until| {
                // The holder of the undo has a clock of its own.
                self.tell_step(self.step, Some(until.saturating_sub(process::monotonic())));
                self.manager.extend(until.saturating_sub(process::monotonic()) / 1_000);
                extended = Some(until);
            },
        };
        let result = call(hosted.as_mut(), &mut around);
        if self.deadline.is_some() {
            self.deadline = extended.max(self.deadline);
        }
        self.others_ran = true;
        self.application = Some(hosted);
        result
    }

    fn start_application(&mut self, starting: &Starting) -> Result<Done, SystemError> {
        if self.application.is_some() && !self.runs_a_program {
            self.confine_hosted()?;
        }
        let (started, notes) = self.hosted("start the application", |h, around| h.start(starting, around))?;
        self.replace = starting.replace;
        let undo = match started {
            Some(started) => {
                say(What::Fork {
                    parent: process::id(),
                    role: "program".to_owned(),
                    child: Some(started.pid as u32),
                });
                let handle = self.keep(Held::Process { pid: started.pid, pidfd: started.pidfd, alive: None });
                Undo::Effect(Box::new(Effect::End { handle, name: started.name }))
            }
            None => Undo::EndsWithProcess,
        };
        Ok(noted(undo, notes))
    }

    fn serve(&mut self) -> Result<Done, SystemError> {
        // Pending again, for whoever takes signals from here on: they are blocked, so nothing is lost.
        for signal in std::mem::take(&mut self.later) {
            nix::sys::signal::raise(signal).map_err(|e| failed(e, format!("pass {signal} on")))?;
        }
        // What was not taken by now is nobody's.
        self.handed.clear();
        if self.replace {
            return Err(self.become_the_program());
        }
        let served = self.hosted("serve", |h, around| h.serve(around))?;
        let mut done = Done::with(Undo::Nothing);
        done.learned = Facts { ended: served.ended, asked: served.asked, ..Facts::default() };
        Ok(done)
    }

    /// exec(2) in place. The run is over with it, as far as it is ours: what is in the journal says so.
    fn become_the_program(&mut self) -> SystemError {
        let phase = self.phases.get(self.step).cloned().unwrap_or_default();
        say(What::Note { phase: phase.clone(), note: "from here on this process is the program".to_owned() });
        say(What::Exit { phase, state: engine::state::Phase::Done, error: None, why: None });
        say(What::End { outcome: engine::timeline::Outcome::Completed, code: 0 });
        let keep: Vec<_> = self
            .pid_files
            .iter()
            .filter_map(|p| Some(std::os::fd::AsRawFd::as_raw_fd(p.lock.as_ref()?)))
            .collect();
        self.tell_replacing();
        self.manager.replaced();
        let error = match self.hosted("become the program", |h, around| Ok(h.replace(around, &keep))) {
            Ok(error) | Err(error) => error,
        };
        self.tell_not_replaced(&error);
        error
    }

    /// Undo: end a process that was started, politely first.
    fn end(&mut self, handle: Handle, name: &str) -> Result<Done, SystemError> {
        let Some(Held::Process { pid, pidfd, .. }) = self.held.get(&handle.0) else {
            return Err(SystemError::new(format!("end {name}: its handle was lost"))
                .help(format!("look whether {name} still runs")));
        };
        for (signal, patience) in [(Signal::SIGTERM, 3_000), (Signal::SIGKILL, 3_000)] {
            let there = self
                .signal_as_whoever_started(handle, pidfd, signal)
                .map_err(|e| failed(e, format!("end {name}")))?;
            if !there || process::wait_readable([pidfd.as_fd()], patience).is_ok_and(|[gone]| gone) {
                let _ =
                    nix::sys::wait::waitpid(Pid::from_raw(*pid), Some(nix::sys::wait::WaitPidFlag::WNOHANG));
                return Ok(Done::with(Undo::Nothing));
            }
        }
        Err(SystemError::new(format!("end {name}: process {pid} is still there"))
            .help(format!("look at process {pid}: it may hang in the kernel")))
    }
}

fn noted(undo: Undo, notes: Vec<String>) -> Done {
    notes.into_iter().fold(Done::with(undo), Done::note)
}

fn asked_to_stop(signal: Signal) -> String {
    format!("{signal} asked to stop before the start was complete")
}

/// Records what only the host knows.
fn say(what: What) {
    engine::run::traced(Event { t: process::monotonic(), pid: process::id(), what });
}

impl System for Host {
    fn open(&mut self, plan: &Plan) -> Result<Performed, SystemError> {
        self.drop = plan.drop_step();
        self.guard_stays = plan.guard_stays();
        self.orphans = Orphans::of(plan);
        self.phases = plan.steps().iter().map(|s| s.phase.clone()).collect();
        if plan.daemonizes() { Ok(Performed::Done(Done::with(Undo::Nothing))) } else { self.fork_holder() }
    }

    fn perform(&mut self, effect: &Effect) -> Result<Performed, SystemError> {
        if effect.changes_identity() {
            self.identity = None;
        }
        let done = match effect {
            Effect::CheckPidFile { path } => self.when_cleared(path, || pid_file::check(path)),
            Effect::OpenLog { path, owner, mode, rotate_at, rotation } => {
                self.open_log(path, *owner, *mode, *rotate_at, rotation)
            }
            Effect::Chroot { path } => self.chroot(path),
            Effect::Chdir { path } => nix::unistd::chdir(path.as_path())
                .map(|()| Done::with(Undo::EndsWithProcess))
                .map_err(|e| failed(e, format!("chdir {}", path.display()))),
            Effect::Umask { mask } => {
                umask(Mode::from_bits_truncate(*mask));
                Ok(Done::with(Undo::EndsWithProcess))
            }
            Effect::Daemonize => return self.daemonize(),
            Effect::CreatePidFile { path, owner, mode } => self.create_pid_file(path, *owner, *mode),
            Effect::Bind { socket, options } => self.bind(socket, options),
            Effect::SetCredential { uid, gid, groups, effective, keep } => {
                self.set_credential(*uid, *gid, groups.as_deref(), *effective, *keep)
            }
            Effect::Process(setting) => self.set(setting),
            Effect::Environment(environment) => self.set_environment(environment),
            Effect::MakeDirectory { path, owner, mode, any_owner } => {
                self.make_directory(path, *owner, *mode, *any_owner)
            }
            Effect::RemoveDirectory { path } => self.remove_directory(path),
            Effect::KeepGuard => return self.keep_guard().map_err(application::explain::too_many_files),
            Effect::Application(Application::Load(program)) => self.load(program),
            Effect::Application(Application::PrivilegedStart) => match self.application {
                None => Ok(Done::with(Undo::Nothing)),
                Some(_) => self
                    .hosted("privileged start", |h, around| h.privileged_start(around))
                    .map(|notes| noted(Undo::EndsWithProcess, notes)),
            },
            Effect::Application(Application::Start(starting)) => self.start_application(starting),
            Effect::Serve => self.serve(),
            Effect::RemovePidFile { path } => self.remove_pid_file(path),
            Effect::Remove { handle, path, only_if_empty } => {
                self.listening.retain(|(h, _)| h != handle);
                self.as_whoever_made(*handle, |host| host.remove(*handle, path, *only_if_empty))
            }
            Effect::GiveBack { handle, path, owner } => {
                self.as_whoever_made(*handle, |host| host.give_back(*handle, path, *owner))
            }
            Effect::Unbind { handle, .. } => {
                self.listening.retain(|(h, _)| h != handle);
                Ok(Done::with(Undo::Nothing))
            }
            Effect::End { handle, name } => self.end(*handle, name),
            Effect::Fail(fault) => fail::fail(fault),
            Effect::Unshare { namespaces } => self.unshare(*namespaces),
            Effect::Mount { mounts } => self.mount(mounts),
            Effect::PivotRoot { path } => self.pivot_root(path),
            Effect::RemoveSocket { path } => self.remove_socket(path),
        };
        done.map(Performed::Done).map_err(application::explain::too_many_files)
    }

    fn identity(&mut self) -> Result<Identity, SystemError> {
        if std::mem::take(&mut self.others_ran) {
            self.bounding = identity::bounding();
        }
        let identity = self.read_identity()?;
        self.identity = Some(identity.clone());
        Ok(identity)
    }

    fn standing(&mut self) -> Result<Standing, SystemError> {
        identity::standing().map_err(|e| failed(e, "read back what this process is"))
    }

    fn differs(&mut self, divergence: &Divergence) {
        self.show_or_send(divergence);
    }

    fn now(&mut self) -> u64 {
        process::monotonic()
    }

    fn pid(&self) -> u32 {
        process::id()
    }

    fn begin(&mut self, step: usize, timeout: Option<u64>) {
        self.step = step;
        self.deadline = timeout.map(|t| process::monotonic().saturating_add(t));
        self.tell_step(step, timeout);
    }

    fn interrupted(&mut self) -> Option<SystemError> {
        if matches!(self.role, Role::Guard { .. }) {
            // The start is long over: everybody may be told to end now, and this is what it is kept for.
            return None;
        }
        self.sort_signals();
        if let Some(signal) = self.stop {
            return Some(SystemError::new(asked_to_stop(signal)).kind(ErrorKind::Interrupted));
        }
        if self.deadline.is_some_and(|d| process::monotonic() > d) {
            return Some(SystemError::new("the time of this phase is up").kind(ErrorKind::Timeout));
        }
        None
    }

    fn hold(&mut self, step: usize, undo: &Undo) -> Result<(), SystemError> {
        self.send_undo(step, undo)
    }

    fn tell(&mut self, news: &News) -> Undoer {
        self.tell_holder(news)
    }

    fn learned(&mut self, plan: &Plan) -> Result<(), SystemError> {
        let drop = plan.drop_step();
        self.guard_stays = plan.guard_stays();
        // Behind the drop it is over and done, and the holder would not believe another word on it.
        if drop == self.drop {
            return Ok(());
        }
        self.drop = drop;
        self.tell_drop()
    }

    fn wait(&mut self) -> Verdict {
        self.wait_for_the_start()
    }

    fn clear_away(&mut self, effect: &Effect, root: &Path) -> Vec<String> {
        // As it is called from the root that this process has.
        let Ok(root) = root.strip_prefix(&self.root) else { return Vec::new() };
        let here = |path: &Path| {
            pid_file::open_parent(&engine::effect::outside(&Path::new("/").join(root), path)).ok()
        };
        match effect {
            Effect::CreatePidFile { path, owner, .. } => here(path)
                .map(|(dir, name)| pid_file::clear_drafts(&dir, &name, *owner, self.gone))
                .unwrap_or_default(),
            Effect::MakeDirectory { path, owner, .. } => here(path)
                .map(|(dir, name)| directories::clear_drafts(&dir, &name, *owner, self.gone))
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn wait_as_guard(&mut self) -> bool {
        self.wait_for_the_end()
    }

    fn sleep(&mut self, duration: u64) {
        // The limit of the phase is one of each try, not of the time between them.
        self.deadline = None;
        self.tell_step(self.step, None);
        let until = process::monotonic().saturating_add(duration);
        while self.stop.is_none() {
            let left = until.saturating_sub(process::monotonic());
            let ms = left.div_ceil(1_000_000).min(i32::MAX as u64) as i32;
            if ms == 0 || process::wait_readable([self.signals.as_fd()], ms).is_err() {
                break;
            }
            self.sort_signals();
        }
    }
}
