//! What an effect reads and writes: the table from which the order of two phases is found to matter
//! or not.
//!
//! It errs to the side of a touch too many. A touch that is missing would hide an order that is right
//! only by luck; one too many costs a simulation, because [`crate::rules`] asks the model what the
//! other order comes to.

use super::{Application, Effect, Program, Socket, Whose};
use std::fmt;
use std::path::Path;

/// A part of the process or of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State<'a> {
    /// user and group ids, supplementary groups
    Credential,
    /// the capability sets
    Capabilities,
    /// the root directory
    Root,
    /// the working directory
    Cwd,
    /// the file mode creation mask
    Umask,
    /// which process it is: its id, its parent, its session
    Process,
    /// limits, priorities and the like
    Settings,
    /// the environment
    Environment,
    /// where output goes
    Output,
    /// the sockets that are handed over
    Sockets,
    /// the application that was loaded
    Application,
    /// a file
    Path(&'a Path),
    /// an address
    Address(&'a Socket),
    /// the system calls and files that are left to the process
    Confinement,
    /// what is mounted where
    Mounts,
    /// network, IPC and the other namespaces
    Namespaces,
    /// the PID files that are kept open, and locked
    Kept,
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Credential => f.write_str("the credential"),
            State::Capabilities => f.write_str("the capabilities"),
            State::Root => f.write_str("the root directory"),
            State::Cwd => f.write_str("the working directory"),
            State::Umask => f.write_str("the umask"),
            State::Process => f.write_str("the process"),
            State::Settings => f.write_str("the limits and priorities"),
            State::Environment => f.write_str("the environment"),
            State::Output => f.write_str("where output goes"),
            State::Sockets => f.write_str("the sockets that are handed over"),
            State::Application => f.write_str("the application"),
            State::Path(path) => write!(f, "{}", path.display()),
            State::Address(socket) => write!(f, "{socket}"),
            State::Confinement => f.write_str("what is left to the process"),
            State::Mounts => f.write_str("the mounts"),
            State::Namespaces => f.write_str("the namespaces"),
            State::Kept => f.write_str("the PID files that are kept open"),
        }
    }
}

/// How a state is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// what the effect does, or leads to, depends on it
    Reads,
    /// the effect may change it
    Writes,
}

use State::{
    Application as App, Capabilities, Confinement, Credential, Cwd, Environment, Kept, Mounts, Namespaces,
    Output, Process, Root, Settings, Sockets, Umask,
};
use Touch::{Reads, Writes};

/// What decides where a path leads and who may follow it.
fn follows<'a>(path: &'a Path, touch: &mut dyn FnMut(State<'a>, Touch)) {
    for state in [Credential, Capabilities, Root, Mounts] {
        touch(state, Reads);
    }
    if path.is_relative() {
        touch(Cwd, Reads);
    }
    // The directories further up are read by whatever makes this one.
    if let Some(dir) = path.parent() {
        touch(State::Path(dir), Reads);
    }
}

/// What code that nobody knows can look at.
fn opaque<'a>(touch: &mut dyn FnMut(State<'a>, Touch)) {
    for state in [Credential, Capabilities, Root, Cwd, Umask, Process, Settings, Environment, Output, Sockets]
    {
        touch(state, Reads);
    }
    touch(Mounts, Reads);
    touch(Namespaces, Reads);
}

impl Effect {
    /// Tells every state that the effect touches, some perhaps more than once.
    pub fn touches<'a>(&'a self, touch: &mut dyn FnMut(State<'a>, Touch)) {
        touch(Confinement, Reads);
        match self {
            Effect::CheckPidFile { path } | Effect::RemovePidFile { path } => {
                follows(path, touch);
                touch(State::Path(path), Writes);
            }
            Effect::OpenLog { path, .. } => {
                follows(path, touch);
                touch(Umask, Reads);
                touch(Output, Writes);
                touch(State::Path(path), Writes);
            }
            Effect::CreatePidFile { path, .. } => {
                follows(path, touch);
                touch(Umask, Reads);
                touch(Process, Reads);
                touch(Kept, Writes);
                touch(State::Path(path), Writes);
            }
            Effect::Chroot { path } => {
                follows(path, touch);
                touch(State::Path(path), Reads);
                touch(Root, Writes);
                // The same directory, by another name or out of reach.
                touch(Cwd, Writes);
            }
            Effect::Chdir { path } => {
                follows(path, touch);
                touch(State::Path(path), Reads);
                touch(Cwd, Writes);
            }
            Effect::Umask { .. } => touch(Umask, Writes),
            Effect::Daemonize => {
                touch(Process, Writes);
                touch(Output, Writes);
            }
            Effect::Bind { socket, options } => {
                touch(Capabilities, Reads);
                touch(Namespaces, Reads);
                touch(State::Address(socket), Writes);
                touch(Sockets, Writes);
                if options.reuse_port {
                    // Only sockets of one user share a port.
                    touch(Credential, Reads);
                }
                if let Socket::Unix(path) = socket {
                    follows(path, touch);
                    if options.mode.is_none() {
                        touch(Umask, Reads);
                    }
                    touch(State::Path(path), Writes);
                }
            }
            Effect::SetCredential { .. } => {
                touch(Credential, Writes);
                touch(Capabilities, Writes);
                // A change of user makes the process undumpable (PR_SET_DUMPABLE).
                touch(Settings, Writes);
            }
            Effect::Process(setting) => {
                touch(Credential, Reads);
                touch(Capabilities, Reads);
                // The OOM score is written below /proc.
                touch(Root, Reads);
                touch(if setting.changes_identity() { Capabilities } else { Settings }, Writes);
                // The one that starts the program depends on it, or every one.
                if let super::Setting::Landlock(wanted) = setting {
                    for (path, _) in wanted.paths() {
                        follows(path, touch);
                        touch(State::Path(path), Reads);
                    }
                }
                match setting.confines() {
                    Some(Whose::Daemon) => touch(Confinement, Writes),
                    Some(Whose::Program) => touch(App, Writes),
                    None => {}
                }
            }
            Effect::Environment(environment) => {
                for path in &environment.files {
                    follows(path, touch);
                    touch(State::Path(path), Reads);
                }
                touch(Environment, Writes);
            }
            Effect::MakeDirectory { path, .. } => {
                follows(path, touch);
                touch(Umask, Reads);
                touch(State::Path(path), Writes);
            }
            Effect::RemoveDirectory { path } => {
                follows(path, touch);
                touch(State::Path(path), Writes);
            }
            Effect::KeepGuard => {
                // It is as the process is that it is forked from, and removes what that has made by then.
                let all = [Credential, Capabilities, Root, Cwd, Umask, Process, Settings, Environment];
                for state in all.into_iter().chain([Output, Sockets, Kept, Mounts, Namespaces]) {
                    touch(state, Reads);
                }
            }
            Effect::Application(Application::Load(program)) => load(program, touch),
            Effect::Application(Application::PrivilegedStart | Application::Start(_)) | Effect::Serve => {
                opaque(touch);
                touch(App, Writes);
            }
            Effect::Remove { path, .. } | Effect::GiveBack { path, .. } => touch(State::Path(path), Writes),
            Effect::Unbind { socket, .. } => {
                touch(State::Address(socket), Writes);
                touch(Sockets, Writes);
            }
            Effect::End { .. } | Effect::Fail(_) => {}
            Effect::Unshare { namespaces } => {
                touch(Capabilities, Reads);
                // Who was forked before stays outside.
                touch(Process, Reads);
                touch(Namespaces, Writes);
                if namespaces.has(super::Namespace::Mount) {
                    touch(Root, Reads);
                    touch(Mounts, Writes);
                }
            }
            Effect::Mount { mounts } => {
                for mounting in mounts {
                    follows(&mounting.at, touch);
                    touch(State::Path(&mounting.at), Reads);
                    if let Some(source) = mounting.source() {
                        follows(source, touch);
                        touch(State::Path(source), Reads);
                    }
                }
                touch(Mounts, Writes);
                touch(Root, Writes);
                // It is entered again by its name.
                touch(Cwd, Writes);
            }
            Effect::PivotRoot { path } => {
                follows(path, touch);
                touch(State::Path(path), Reads);
                touch(Mounts, Writes);
                touch(Root, Writes);
                touch(Cwd, Writes);
            }
            Effect::RemoveSocket { path } => {
                follows(path, touch);
                touch(State::Path(path), Writes);
            }
        }
    }
}

/// A program is looked up; an application is run as far as it is read.
fn load<'a>(program: &'a Program, touch: &mut dyn FnMut(State<'a>, Touch)) {
    touch(App, Writes);
    touch(Mounts, Reads);
    if let Some(word) = program.command.first() {
        // It is looked for in the root that it will run in.
        for path in program.root.as_deref().into_iter().chain([Path::new(word)]) {
            follows(path, touch);
            touch(State::Path(path), Reads);
        }
        // A bare name is looked up on PATH.
        if !word.contains('/') {
            touch(Environment, Reads);
        }
    }
    if program.is_twisted() {
        opaque(touch);
        if let Some(tac) = &program.tac {
            touch(State::Path(tac), Reads);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(effect: &Effect) -> Vec<(String, Touch)> {
        let mut found = Vec::new();
        effect.touches(&mut |state, how| found.push((state.to_string(), how)));
        found
    }

    #[test]
    fn a_log_reads_what_decides_its_place_owner_and_mode() {
        let log = Effect::OpenLog {
            path: "/v/t.log".into(),
            owner: None,
            mode: 0o644,
            rotate_at: None,
            rotation: Default::default(),
        };
        let found = touched(&log);
        for state in ["the credential", "the capabilities", "the root directory", "the umask"] {
            assert!(found.contains(&(state.to_owned(), Reads)), "{state}: {found:?}");
        }
        assert!(found.contains(&("/v/t.log".to_owned(), Writes)));
        assert!(!found.iter().any(|(s, _)| s == "the working directory"), "the path is absolute");
    }

    #[test]
    fn a_guard_has_what_was_made_before_it() {
        let guard = touched(&Effect::KeepGuard);
        let made = Effect::CreatePidFile { path: "/run/t.pid".into(), owner: None, mode: 0o644 };
        let kept = "the PID files that are kept open".to_owned();
        assert!(guard.contains(&(kept.clone(), Reads)), "{guard:?}");
        assert!(touched(&made).contains(&(kept, Writes)));
    }

    #[test]
    fn a_relative_path_depends_on_the_working_directory() {
        let found = touched(&Effect::Chroot { path: "jail".into() });
        assert!(found.contains(&("the working directory".to_owned(), Reads)));
    }

    #[test]
    fn a_program_is_looked_up_by_whoever_does_it_and_an_application_is_run() {
        let load = |program| touched(&Effect::Application(Application::Load(program)));
        let program = |word: &str| Program { command: vec![word.into()], ..Program::default() };
        let found = load(program("/bin/true"));
        assert!(
            found.contains(&("the credential".to_owned(), Reads)),
            "a directory may be closed: {found:?}"
        );
        assert!(found.contains(&("/bin/true".to_owned(), Reads)));
        assert!(!found.contains(&("the umask".to_owned(), Reads)), "nothing is run: {found:?}");
        assert!(load(program("true")).contains(&("the environment".to_owned(), Reads)));
        let tac = Program { tac: Some("/a.tac".into()), ..Program::default() };
        assert!(load(tac).contains(&("the umask".to_owned(), Reads)));
    }
}
