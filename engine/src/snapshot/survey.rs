//! What has to be known of a machine for a plan to be judged: asked of the machine, or of a snapshot
//! that was taken elsewhere, by the same code.

use super::{
    FileFact, FileKind, Handed, Interpreter, Listener, Lock, Mount, NoPython, Python, Snapshot, parts,
};
use crate::effect::{Application, Cover, Effect, Flaw, Program, Setting, Socket, SocketOptions, Sort};
use crate::plan::Plan;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A machine that can be looked at. Nothing on it is changed by that.
pub trait Machine {
    /// What lstat(2) says; with it the mount, where another begins there than in the directory above.
    fn file(&mut self, path: &Path) -> (Option<FileFact>, Option<Mount>);
    /// Names in a directory, at most that many; none where it cannot be read.
    fn names(&mut self, path: &Path, most: usize) -> Vec<OsString>;
    /// The program that a command names.
    fn program(&mut self, wanted: &Program) -> Option<PathBuf>;
    /// What a program at a path needs to be executed.
    fn interpreter(&mut self, path: &Path) -> Option<Interpreter>;
    /// The number of the error that bind(2) gives for an address, whatever the port.
    fn no_address(&mut self, socket: &Socket) -> Option<i32>;
    /// The interpreter that will host a Twisted application; `None` for the default.
    fn python(&mut self, name: Option<&str>) -> Result<Python, NoPython>;
    /// Who holds the lock of a PID file; `None` where it cannot be told.
    fn lock(&mut self, path: &Path) -> Option<Lock>;
    /// The bytes of a PID file that holds more than a number; `None` for any other.
    fn too_long(&mut self, path: &Path) -> Option<u64>;
    /// The size of a file in bytes; `None` where it cannot be told.
    fn size(&mut self, path: &Path) -> Option<u64>;
    /// How many names a file has; `None` where it cannot be told.
    fn links(&mut self, path: &Path) -> Option<u64>;
    /// Why a file of variables cannot be taken; `None` too where this process may not read it.
    fn flaw(&mut self, path: &Path) -> Option<Flaw>;
    /// Whether somebody listens behind a Unix socket; `None` where it is none.
    fn listens(&mut self, path: &Path) -> Option<bool>;
    /// Who has a port.
    fn port(&mut self, port: u16) -> Vec<Listener>;
    /// The sorts of sockets that have this abstract name.
    fn abstract_name(&mut self, name: &str) -> Vec<Sort>;
    /// The sockets that were handed to us.
    fn handed(&mut self) -> Vec<Handed>;
    /// `net.ipv4.ip_unprivileged_port_start`.
    fn unprivileged_port(&mut self) -> u16;
    /// `net.ipv6.bindv6only`.
    fn v6_only(&mut self) -> bool;
    /// `fs.protected_symlinks`.
    fn protected_symlinks(&mut self) -> bool;
    /// The version of Landlock, 0 for none.
    fn landlock(&mut self) -> u32;
    /// The processors that this process may be given, sorted.
    fn cpus(&mut self) -> Vec<u32>;
}

/// Something a snapshot was not asked for when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// a user, by name or number
    User(String),
    /// a group, by name or number
    Group(String),
    /// a path
    Path(PathBuf),
    /// a program, by the word it was named with
    Program(String),
    /// an interpreter; empty for the default
    Python(String),
    /// a port
    Port(u16),
    /// an abstract name of a Unix socket
    Abstract(String),
    /// the sockets that were handed over
    Handed,
    /// a setting of the kernel
    Setting(&'static str),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::User(name) => write!(f, "the user `{name}`"),
            Unknown::Group(name) => write!(f, "the group `{name}`"),
            Unknown::Path(path) => write!(f, "{}", path.display()),
            Unknown::Program(word) => write!(f, "the program `{word}`"),
            Unknown::Python(name) if name.is_empty() => f.write_str("the Python that hosts Twisted"),
            Unknown::Python(name) => write!(f, "the Python `{name}`"),
            Unknown::Port(port) => write!(f, "port {port}"),
            Unknown::Abstract(name) => write!(f, "the abstract name `@{name}`"),
            Unknown::Handed => f.write_str("the sockets that are handed over"),
            Unknown::Setting(name) => write!(f, "the setting {name}"),
        }
    }
}

/// Those of the names that a snapshot does not know.
pub fn unknown_names(snapshot: &Snapshot, users: &[String], groups: &[String]) -> BTreeSet<Unknown> {
    let users = users.iter().filter(|name| !snapshot.users.contains_key(*name)).cloned().map(Unknown::User);
    let groups =
        groups.iter().filter(|name| !snapshot.groups.contains_key(*name)).cloned().map(Unknown::Group);
    users.chain(groups).collect()
}

/// Fills a snapshot with all that the plan will meet. Without a machine nothing is added: what the
/// snapshot does not know is the answer. `hosted`: interpreters too, which can take its time.
pub fn survey(
    snapshot: &mut Snapshot,
    plan: &Plan,
    machine: Option<&mut dyn Machine>,
    hosted: bool,
) -> BTreeSet<Unknown> {
    let mut survey = Survey { snapshot, machine, unknown: BTreeSet::new() };
    survey.applications(plan, hosted);
    // First the addresses: a daemon that is just starting has its PID file before it binds, so whoever
    // sees its port in use sees its lock as well.
    survey.addresses(plan);
    survey.places(plan);
    survey.unknown
}

/// Where paths may begin, as seen from outside.
struct Ways {
    roots: BTreeSet<PathBuf>,
    stands: BTreeSet<PathBuf>,
    /// what will be mounted elsewhere: the place, and where it comes from
    binds: Vec<(PathBuf, PathBuf)>,
}

struct Survey<'a, 'm> {
    snapshot: &'a mut Snapshot,
    machine: Option<&'m mut dyn Machine>,
    unknown: BTreeSet<Unknown>,
}

impl Survey<'_, '_> {
    fn applications(&mut self, plan: &Plan, hosted: bool) {
        for (_, effect) in plan.effects() {
            let Effect::Application(Application::Load(wanted)) = effect else { continue };
            if let Some(word) = wanted.command.first()
                && !self.snapshot.programs.contains_key(word)
            {
                match &mut self.machine {
                    Some(machine) => {
                        let found = machine.program(wanted);
                        self.snapshot.programs.insert(word.clone(), found);
                    }
                    None => drop(self.unknown.insert(Unknown::Program(word.clone()))),
                }
            }
            let name = wanted.twisted.interpreter.clone().unwrap_or_default();
            if hosted && wanted.is_twisted() && !self.snapshot.pythons.contains_key(&name) {
                match &mut self.machine {
                    Some(machine) => {
                        let found = machine.python(wanted.twisted.interpreter.as_deref());
                        self.snapshot.pythons.insert(name, found);
                    }
                    None => drop(self.unknown.insert(Unknown::Python(name))),
                }
            }
        }
    }

    fn addresses(&mut self, plan: &Plan) {
        let mut asked = false;
        for (_, effect) in plan.effects() {
            let (socket, address, options) = match effect {
                Effect::Bind { socket: socket @ (Socket::Tcp(address) | Socket::Udp(address)), options } => {
                    (socket, address, options)
                }
                Effect::Bind { socket: Socket::Abstract(name), .. } => {
                    self.abstract_name(name);
                    continue;
                }
                Effect::Bind { socket: Socket::Inherited(_), .. } => {
                    self.handed();
                    continue;
                }
                _ => continue,
            };
            if !std::mem::replace(&mut asked, true)
                && let Some(machine) = &mut self.machine
            {
                self.snapshot.unprivileged_port = machine.unprivileged_port();
            }
            let any_port = socket.any_port();
            if let Some(errno) = self.machine.as_mut().and_then(|m| m.no_address(&any_port)) {
                self.snapshot.no_addresses.insert(any_port.to_string(), errno);
            }
            self.address(*address, options);
        }
    }

    fn abstract_name(&mut self, name: &str) {
        if self.snapshot.abstracts.contains_key(name) {
            return;
        }
        match &mut self.machine {
            Some(machine) => {
                let there = machine.abstract_name(name);
                self.snapshot.abstracts.insert(name.to_owned(), there);
            }
            None => drop(self.unknown.insert(Unknown::Abstract(name.to_owned()))),
        }
    }

    fn handed(&mut self) {
        if self.snapshot.handed.is_none() {
            match &mut self.machine {
                Some(machine) => self.snapshot.handed = Some(machine.handed()),
                None => drop(self.unknown.insert(Unknown::Handed)),
            }
        }
    }

    fn address(&mut self, address: SocketAddr, options: &SocketOptions) {
        let port = address.port();
        if port == 0 {
            return;
        }
        if !self.snapshot.ports.contains_key(&port) {
            match &mut self.machine {
                Some(machine) => {
                    let there = machine.port(port);
                    self.snapshot.ports.insert(port, there);
                }
                None => drop(self.unknown.insert(Unknown::Port(port))),
            }
        }
        let any = address.is_ipv6() && address.ip().is_unspecified();
        if any && options.v6_only.is_none() && self.snapshot.v6_only.is_none() {
            match &mut self.machine {
                Some(machine) => self.snapshot.v6_only = Some(machine.v6_only()),
                None => drop(self.unknown.insert(Unknown::Setting("net.ipv6.bindv6only"))),
            }
        }
    }

    /// The files that a plan will meet, in every root it may see them from.
    fn places(&mut self, plan: &Plan) {
        let top = Path::new("/");
        let cwd = self.snapshot.cwd.clone();
        let mut ways = Ways {
            roots: BTreeSet::from([top.to_owned()]),
            stands: BTreeSet::from([cwd.clone()]),
            binds: Vec::new(),
        };
        let mut paths: BTreeSet<PathBuf> = BTreeSet::from([cwd]);
        let (mut pid_files, mut sockets) = (BTreeSet::new(), BTreeSet::new());
        let (mut emptied, mut logs) = (BTreeSet::new(), BTreeSet::new());
        let mut variables: BTreeSet<&PathBuf> = BTreeSet::new();
        let mut programs: BTreeSet<PathBuf> = BTreeSet::new();
        let mut confined = false;
        for (_, effect) in plan.effects() {
            match effect {
                // As seen in every root and from every directory so far, where links lead to.
                Effect::Chroot { path } => {
                    let seen = self.everywhere(&ways, path, true);
                    ways.roots.extend(seen);
                }
                Effect::PivotRoot { path } => {
                    let seen = self.everywhere(&ways, path, true);
                    ways.stands.extend(seen.iter().cloned());
                    ways.roots.extend(seen);
                }
                Effect::Chdir { path } => {
                    let seen = self.everywhere(&ways, path, true);
                    ways.stands.extend(seen);
                    paths.insert(path.clone());
                }
                Effect::CheckPidFile { path }
                | Effect::CreatePidFile { path, .. }
                | Effect::RemovePidFile { path } => drop(pid_files.insert(path)),
                Effect::Bind { socket: Socket::Unix(path), .. } => drop(sockets.insert(path)),
                Effect::Process(Setting::Landlock(wanted)) => {
                    paths.extend(wanted.paths().map(|(path, _)| path.clone()));
                    confined = true;
                }
                Effect::Process(Setting::Affinity(_)) if self.snapshot.cpus.is_none() => {
                    match &mut self.machine {
                        Some(machine) => self.snapshot.cpus = Some(machine.cpus()),
                        None => drop(self.unknown.insert(Unknown::Setting("the processors"))),
                    }
                }
                Effect::Process(Setting::OomScore(_)) => drop(paths.insert(crate::model::OOM_SCORE.into())),
                Effect::OpenLog { path, .. } => drop(logs.insert(path)),
                Effect::MakeDirectory { path, .. } => drop(paths.insert(path.clone())),
                Effect::RemoveDirectory { path } => drop(emptied.insert(path)),
                Effect::Mount { mounts } => {
                    // Who cannot enter where it stood stands at the root then.
                    ways.stands.extend(ways.roots.iter().cloned());
                    paths.extend(mounts.iter().map(|m| m.at.clone()));
                    for mounting in mounts {
                        let Cover::Bind { from, .. } = &mounting.cover else { continue };
                        paths.insert(from.clone());
                        let places = self.everywhere(&ways, from, true);
                        let at = self.everywhere(&ways, &mounting.at, true);
                        let named = std::iter::once(mounting.at.clone()).chain(at);
                        let pairs: Vec<_> = named
                            .flat_map(|at| places.iter().map(move |from| (at.clone(), from.clone())))
                            .collect();
                        ways.binds.extend(pairs);
                    }
                }
                Effect::Environment(environment) => variables.extend(&environment.files),
                Effect::Application(Application::Load(wanted)) => {
                    paths.extend(wanted.tac.clone());
                    if let Some(root) = &wanted.root {
                        let seen = self.everywhere(&ways, root, true);
                        ways.roots.extend(seen);
                    }
                    let word = wanted.command.first();
                    programs.extend(word.filter(|w| w.contains('/')).map(PathBuf::from));
                    // Where it is not in the root, it is worth knowing that it is outside.
                    paths.extend(word.filter(|w| w.contains('/')).map(PathBuf::from));
                    let found = word.and_then(|w| self.snapshot.programs.get(w).cloned()).flatten();
                    programs.extend(found.iter().cloned());
                    paths.extend(found);
                }
                _ => {}
            }
        }
        for python in self.snapshot.pythons.values().flatten() {
            paths.insert(python.executable.clone());
            paths.extend(python.libraries.clone());
        }
        for path in &paths {
            self.everywhere(&ways, path, true);
        }
        for path in logs {
            for at in self.everywhere(&ways, path, true) {
                self.log(at);
            }
        }
        for path in variables {
            for at in self.everywhere(&ways, path, true) {
                self.variables(at);
            }
        }
        for path in &programs {
            self.program(&ways, path);
        }
        if confined {
            self.landlock();
        }
        for path in &pid_files {
            self.everywhere(&ways, path, true);
            for at in self.everywhere(&ways, path, false) {
                self.lock(&at);
                self.socket(&at);
            }
        }
        for path in &emptied {
            for at in self.everywhere(&ways, path, false) {
                self.contents(&at);
            }
        }
        for path in &sockets {
            self.everywhere(&ways, path, true);
            for at in self.everywhere(&ways, path, false) {
                self.socket(&at);
            }
        }
    }

    /// Landlock is to be put on: the kernel's version of it.
    fn landlock(&mut self) {
        if self.snapshot.landlock.is_none() {
            match &mut self.machine {
                Some(machine) => self.snapshot.landlock = Some(machine.landlock()),
                None => drop(self.unknown.insert(Unknown::Setting("the version of Landlock"))),
            }
        }
    }

    /// A path in every root, a relative one from every directory that a phase may stand in.
    fn everywhere(&mut self, ways: &Ways, path: &Path, follow_last: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for root in &ways.roots {
            match path.is_absolute() {
                true => found.extend(self.walk(root, root, path, follow_last)),
                false => {
                    found.extend(ways.stands.iter().filter_map(|dir| self.walk(root, dir, path, follow_last)))
                }
            }
            let wholes: Vec<PathBuf> = match path.strip_prefix("/") {
                Ok(inside) => vec![root.join(inside)],
                Err(_) => ways.stands.iter().map(|dir| dir.join(path)).collect(),
            };
            for (whole, (at, from)) in wholes.iter().flat_map(|w| ways.binds.iter().map(move |b| (w, b))) {
                if let Ok(rest) = whole.strip_prefix(at) {
                    let top = Path::new("/");
                    found.extend(self.walk(top, from, rest, follow_last));
                }
            }
        }
        found
    }

    /// What has to be there for a program to be executed, and for that in turn.
    fn program(&mut self, ways: &Ways, path: &Path) {
        let mut todo = self.everywhere(ways, path, true);
        while let Some(at) = todo.pop() {
            let file = self.snapshot.file(&at).is_some_and(|f| f.kind == FileKind::File);
            if !file || self.snapshot.interpreters.contains_key(&at) {
                continue;
            }
            if let Some(needs) = self.machine.as_mut().and_then(|m| m.interpreter(&at)) {
                self.snapshot.interpreters.insert(at, needs.clone());
                todo.extend(self.everywhere(ways, &needs.path, true));
            }
        }
    }

    /// What is in a directory that is removed only if it is empty: as much of it as a start may remove.
    fn contents(&mut self, at: &Path) {
        const MOST: usize = 16;
        let directory = self.snapshot.file(at).is_some_and(|f| f.kind == FileKind::Directory);
        let Some(machine) = self.machine.as_mut().filter(|_| directory) else { return };
        for name in machine.names(at, MOST) {
            self.look(&at.join(name));
        }
    }

    /// Whether it is a regular file; how many names such a one has is asked with it.
    fn links(&mut self, at: &Path) -> bool {
        let file = self.snapshot.file(at).is_some_and(|f| f.kind == FileKind::File);
        if file
            && !self.snapshot.links.contains_key(at)
            && let Some(names @ 2..) = self.machine.as_mut().and_then(|machine| machine.links(at))
        {
            self.snapshot.links.insert(at.to_owned(), names);
        }
        file
    }

    fn log(&mut self, at: PathBuf) {
        let file = self.links(&at);
        if file && let Some(size @ 1..) = self.machine.as_mut().and_then(|machine| machine.size(&at)) {
            self.snapshot.logs.insert(at, size);
        }
    }

    fn variables(&mut self, at: PathBuf) {
        let file = self.links(&at);
        if file && let Some(flaw) = self.machine.as_mut().and_then(|machine| machine.flaw(&at)) {
            self.snapshot.flaws.insert(at, flaw);
        }
    }

    fn lock(&mut self, at: &Path) {
        let file = self.links(at);
        if file
            && !self.snapshot.locks.contains_key(at)
            && let Some(lock) = self.machine.as_mut().and_then(|m| m.lock(at))
        {
            self.snapshot.locks.insert(at.to_owned(), lock);
        }
        if file
            && !self.snapshot.long_files.contains_key(at)
            && let Some(size) = self.machine.as_mut().and_then(|m| m.too_long(at))
        {
            self.snapshot.long_files.insert(at.to_owned(), size);
        }
    }

    fn socket(&mut self, at: &Path) {
        let other = self.snapshot.file(at).is_some_and(|f| f.kind == FileKind::Other);
        if other
            && !self.snapshot.sockets.contains_key(at)
            && let Some(listens) = self.machine.as_mut().and_then(|m| m.listens(at))
        {
            self.snapshot.sockets.insert(at.to_owned(), listens);
        }
    }

    /// Every directory and link on the way from a directory in `root` along `path`; where it leads to, if
    /// it is there.
    fn walk(&mut self, root: &Path, from: &Path, path: &Path, follow_last: bool) -> Option<PathBuf> {
        let mut here = from.to_owned();
        self.look(&here)?;
        let mut todo: Vec<PathBuf> = parts(path);
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == Path::new("..") {
                if here != root {
                    here.pop();
                }
                continue;
            }
            let next = here.join(&part);
            match self.look(&next).map(|fact| fact.kind) {
                // A phase may make that directory, and then the path leads on.
                None if todo.iter().any(|part| part == Path::new("..")) => here = next,
                None => return None,
                Some(FileKind::Symlink(_)) if todo.is_empty() && !follow_last => here = next,
                Some(FileKind::Symlink(target)) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    self.link_in(&here);
                    if target.is_absolute() {
                        here = root.to_owned();
                    }
                    todo.extend(parts(&target));
                }
                _ => here = next,
            }
        }
        Some(here)
    }

    /// A link stands in this directory: where anybody may make one, a setting decides who follows it.
    fn link_in(&mut self, dir: &Path) {
        let shared = self.snapshot.file(dir).is_some_and(|d| d.mode & 0o1002 == 0o1002);
        if shared && self.snapshot.protected_symlinks.is_none() {
            match &mut self.machine {
                Some(machine) => self.snapshot.protected_symlinks = Some(machine.protected_symlinks()),
                None => drop(self.unknown.insert(Unknown::Setting("fs.protected_symlinks"))),
            }
        }
    }

    fn look(&mut self, path: &Path) -> Option<FileFact> {
        if let Some(known) = self.snapshot.files.get(path) {
            return known.clone();
        }
        if self.machine.is_some() {
            // A mount begins where the one above it is another.
            path.parent().and_then(|above| self.look(above));
        }
        let Some(machine) = &mut self.machine else {
            self.unknown.insert(Unknown::Path(path.to_owned()));
            return None;
        };
        let (fact, mount) = machine.file(path);
        if let Some(mount) = mount {
            self.snapshot.mounts.insert(path.to_owned(), mount);
        }
        self.snapshot.files.insert(path.to_owned(), fact.clone());
        fact
    }
}
