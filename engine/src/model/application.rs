//! What an application does: it is found, read, started, and served.

use super::files::{self, Access, ENOENT, Node, Refusal};
use super::{EACCES, EINVAL, EISDIR, ELOOP, Model};
use crate::effect::{
    Done, Environment, ErrorKind, Identity, Program, READY_WITHIN, Ready, Resource, Starting, SystemError,
    Undo,
};
use crate::text::duration;
use std::path::{Component, Path, PathBuf};

const ECHILD: i32 = 10;
const ELIBBAD: i32 = 80;
const EMFILE: i32 = 24;
/// So often a script's interpreter may be a script (`exec_binprm` of the kernel).
const MOST_SCRIPTS: usize = 5;

/// An application that a phase has named.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    program: Program,
    /// where a program was found, as seen in the root it will run in
    path: Option<PathBuf>,
    /// it was found or read
    ready: bool,
    started: bool,
    /// this process is to become it when it is to serve
    replaces: bool,
}

impl Model {
    pub(super) fn load(&mut self, program: &Program) -> Result<Done, SystemError> {
        let mut program = program.clone();
        // The present root is the one that was meant.
        program.root = program.root.filter(|root| *root != self.identity.root);
        let program = &program;
        self.application = Some(Loaded {
            program: program.clone(),
            path: None,
            ready: false,
            started: false,
            replaces: false,
        });
        let mut done = Done::with(Undo::EndsWithProcess);
        let mut path = None;
        if let Some(word) = program.command.first() {
            path = self.find_program(program, word)?;
        } else if program.is_twisted() {
            self.read_application(program)?;
            done.learned.brought = self.brings.clone().map(Box::new);
        }
        self.application =
            Some(Loaded { program: program.clone(), path, ready: true, started: false, replaces: false });
        Ok(done)
    }

    /// A path is followed in the root that the program will run in; a bare word was looked for on `PATH`
    /// when the snapshot was taken, and must be there as this process sees it.
    fn find_program(&self, program: &Program, word: &str) -> Result<Option<PathBuf>, SystemError> {
        let what = format!("load {word}");
        let place = match &program.root {
            Some(root) => format!("in {}", root.display()),
            None if word.contains('/') => "there".to_owned(),
            None => "on PATH".to_owned(),
        };
        let help = "give the whole path, or install the program";
        let missing = || {
            SystemError::errno(ENOENT, &what)
                .why(format!("no executable file of this name was found {place}"))
                .help(help)
        };
        let mut who = self.identity.clone();
        if let Some(root) = program.root.as_deref().filter(|root| *root != Path::new("/")) {
            who.root = self.files.open_directory(&who, root).map_err(|e| e.of(&what))?;
        }
        let found = match self.programs.get(word) {
            Some(Some(found)) if !word.contains('/') => found.clone(),
            Some(None) if !word.contains('/') => return Err(missing()),
            // Nobody looked: it is taken to be there.
            None if !word.contains('/') => return Ok(None),
            _ => self.seen_inside(program, Path::new(word), &what)?,
        };
        match self.is_program(&who, &found) {
            Ok(()) => Ok(Some(found)),
            Err(_) if !word.contains('/') => Err(missing()),
            Err(refusal) if refusal.errno() == ENOENT => Err(missing()),
            Err(refusal) => Err(refusal.of(&what).help(help)),
        }
    }

    /// As an absolute path inside the root of the program.
    fn seen_inside(&self, program: &Program, given: &Path, what: &str) -> Result<PathBuf, SystemError> {
        if given.is_absolute() {
            return Ok(given.to_owned());
        }
        let cwd = &self.identity.cwd;
        let removed = self.files.get(&self.files.standing(&self.identity)).is_none();
        if !cwd.is_absolute() || removed {
            return Err(SystemError::new(format!("{what}: the working directory has no path here"))
                .help("give the program's whole path"));
        }
        let whole: PathBuf =
            cwd.join(given).components().filter(|c| !matches!(c, Component::CurDir)).collect();
        match program.root.as_deref().filter(|root| *root != Path::new("/")) {
            None => Ok(whole),
            Some(root) => match whole.strip_prefix(root) {
                Ok(inside) => Ok(Path::new("/").join(inside)),
                Err(_) => Err(SystemError::new(format!("{what}: it is outside {}", root.display()))
                    .help("give the program's path as seen inside the new root")),
            },
        }
    }

    /// A regular file that somebody may execute; who, is for execve(2) to say.
    fn is_program(&self, who: &Identity, path: &Path) -> Result<(), Refusal> {
        let at = self.files.resolve(who, path)?;
        match self.files.get(&at) {
            Some(node) if !node.is_file() => {
                Err(Refusal::ours(format!("{} is no regular file", at.display())))
            }
            Some(node) if node.mode & 0o111 == 0 => {
                let mode = node.mode & 0o7777;
                Err(Refusal::new(
                    EACCES,
                    format!("{} is not executable: its mode is {mode:04o}", at.display()),
                ))
            }
            _ => Ok(()),
        }
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

    /// Files of variables are read as whoever runs the phase.
    pub(super) fn read_environment(&self, environment: &Environment) -> Result<Done, SystemError> {
        for path in &environment.files {
            let what = format!("read the environment file {}", path.display());
            let at = self.files.read_for_others(&self.identity, path).map_err(|e| e.of(&what))?;
            self.files.may(&self.identity, &at, Access::Read).map_err(|e| e.of(&what))?;
            match self.files.get(&at) {
                Some(node) if !node.is_file() => return Err(super::irregular(&at, node, &what)),
                _ => self.files.may_hand_out(&self.identity, path, &at).map_err(|e| e.of(&what))?,
            }
            let kept = &*self.files.kept(&at);
            if let Some(flaw) = self.flaws.get(kept).filter(|_| self.files.birth_kept(kept) == 0) {
                return Err(flaw.of(path));
            }
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn loaded(&self, what: &str) -> Result<Loaded, SystemError> {
        self.application.clone().ok_or_else(|| {
            SystemError::new(format!("{what}: no application was loaded"))
                .help("a phase that loads one must come before; `rsd kinds` lists them")
        })
    }

    pub(super) fn start_application(&mut self, starting: &Starting) -> Result<Done, SystemError> {
        let what = "start the application";
        let loaded = self.loaded(what)?;
        let Some(word) = loaded.program.command.first() else {
            self.confine_hosted()?;
            return self.start_hosted(&loaded);
        };
        if loaded.started || !loaded.ready {
            let (why, help) = match loaded.started {
                true => ("it was started already", "start it in one phase only"),
                false => ("it was not loaded before", "mend the phase that loads it"),
            };
            return Err(SystemError::new(format!("{what}: {why}")).help(help));
        }
        self.may_execute(word)?;
        self.can_be_ready(starting)?;
        if let Some(path) = loaded.path.as_ref().filter(|_| !starting.replace) {
            self.has_descriptors(starting)?;
            self.execute(path)?;
        }
        // The keeper of a confined program lets nobody write into its memory.
        self.settings.dumpable &= starting.replace || !self.confined.waits();
        self.application = Some(Loaded { started: true, replaces: starting.replace, ..loaded.clone() });
        let name = word.rsplit('/').next().unwrap_or(word).to_owned();
        Ok(self.start_program(&name))
    }

    /// What is to live, or to be idle, for longer than it is waited for is never ready.
    fn can_be_ready(&self, starting: &Starting) -> Result<(), SystemError> {
        let limit = self.patience.unwrap_or(READY_WITHIN);
        match starting.ready {
            Ready::Alive(ns) | Ready::Idle(ns) if ns >= limit => Err(SystemError::new("start the application")
                .kind(ErrorKind::Timeout)
                .why(format!(
                    "it is ready when it has {} {}, and is given up after {}",
                    if matches!(starting.ready, Ready::Idle(_)) { "been idle for" } else { "lived" },
                    duration(ns),
                    duration(limit)
                ))
                .help("choose a shorter time, or give the phase a longer `timeout`, in a spec that `extends` this one")),
            _ => Ok(()),
        }
    }

    /// The limit of open files (RLIMIT_NOFILE in getrlimit(2)) is that of whoever starts the program, too. What is
    /// counted here is open at the same time in every start; whatever else is, is not known.
    fn has_descriptors(&self, starting: &Starting) -> Result<(), SystemError> {
        let Some(limit) = self.settings.limits.get(&Resource::Nofile).map(|l| l.soft) else { return Ok(()) };
        let sockets = self.listening.len() as u64;
        let number = if let Ready::Fd(number) = starting.ready { Some(u64::from(number)) } else { None };
        // What the child copies from lies above all that it copies to.
        let least = (3 + sockets).max(number.map_or(0, |n| n + 1));
        let copies = sockets + 2 + if self.logging { 2 } else { 0 } + u64::from(number.is_some());
        // Three standard ones, the signals and the null device; a pipe, before its two ends are copied.
        let needed = (least + copies).max(5 + copies + 2);
        if limit >= needed {
            return Ok(());
        }
        Err(SystemError::errno(EMFILE, "start the application")
            .why(format!("the limit of open files is {limit}, and a start has {needed} open at the least"))
            .help(format!("raise it to {} or more, or leave it away", 64 + 4 * sockets)))
    }

    /// execve(2): the file itself, and what it needs to be executed.
    fn execute(&self, path: &Path) -> Result<(), SystemError> {
        let what = format!("execute {}", path.display());
        let refused = |e: Refusal| e.of(&what);
        let mut at = self.files.resolve(&self.identity, path).map_err(refused)?;
        self.is_left_to_the_program(&at, &what)?;
        self.is_executable(&at).map_err(refused)?;
        let mut scripts = 0;
        while let Some(needs) = self.interpreters.get(&at) {
            let kind = if needs.script { "interpreter" } else { "loader" };
            let next = self.files.resolve(&self.identity, &needs.path).and_then(|next| {
                self.is_executable(&next)?;
                Ok(next)
            });
            at = next.map_err(|e| {
                let error = e.of(&what);
                let why = error.why.clone().unwrap_or_default();
                let help = match self.identity.root == Path::new("/") {
                    true => "install it, or mend what the program says it needs",
                    false => {
                        "put it into the new root, too, or take a program that needs nothing (a static one)"
                    }
                };
                error.why(format!("its {kind} {}: {why}", needs.path.display())).help(help)
            })?;
            if !needs.script {
                let script = self.interpreters.get(&at).is_some_and(|loader| loader.script);
                let why = format!("its loader {} is a script", needs.path.display());
                return if script { Err(SystemError::errno(ELIBBAD, &what).why(why)) } else { Ok(()) };
            }
            scripts += 1;
            if scripts > MOST_SCRIPTS {
                let why = "the interpreters of scripts are scripts themselves, too many in a row";
                return Err(SystemError::errno(ELOOP, &what).why(why));
            }
        }
        Ok(())
    }

    fn is_executable(&self, at: &Path) -> Result<(), Refusal> {
        if !self.files.get(at).is_some_and(Node::is_file) {
            return Err(Refusal::new(EACCES, format!("{} is no regular file", at.display())));
        }
        self.files.may(&self.identity, at, Access::Execute)?;
        self.files.executable(at)
    }

    /// The built-in needs an address to answer at.
    fn start_hosted(&self, loaded: &Loaded) -> Result<Done, SystemError> {
        if !loaded.program.is_twisted() && !self.listening.iter().any(|bound| bound.is_stream) {
            return Err(SystemError::new("start whoami: there is no address to serve")
                .why("no phase before it has bound a TCP or unix socket, and it serves nothing else")
                .help("add --listen tcp:127.0.0.1:8707"));
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    /// Until it is told to stop: a program has ended then.
    pub(super) fn serve(&mut self) -> Result<Done, SystemError> {
        let loaded = self.loaded("serve")?;
        if !loaded.program.command.is_empty() {
            if !loaded.started {
                return Err(SystemError::new("the program was not started before it was to serve")
                    .help("a phase that starts it must come before; `rsd kinds` lists them"));
            }
            if let Some(path) = loaded.path.as_ref().filter(|_| loaded.replaces) {
                self.execute(path)?;
            }
            if !self.program_ended() {
                return Err(SystemError::errno(ECHILD, "serve")
                    .why("the program was started before this process was forked, and is another's child")
                    .help("start the application behind `daemonize`"));
            }
        }
        Ok(Done::with(Undo::Nothing))
    }
}
