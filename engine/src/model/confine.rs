//! What a process has taken away from itself, or will take away from its program: seccomp(2), landlock(7).

use super::files::{Access, left};
use super::{EACCES, EPERM, Model};
use crate::effect::landlock::{Domain, Landlock};
use crate::effect::{
    Capability, Done, Effect, ErrorKind, Otherwise, Socket, SystemCalls, SystemError, Undo, Whose,
};
use std::fmt::Display;
use std::path::Path;

/// It is inherited by every process that is forked, and nothing gives it back.
#[derive(Clone, Debug, Default)]
pub(super) struct Confined {
    /// filters that are on
    filters: Vec<SystemCalls>,
    /// filters that the application will have
    waiting: Vec<SystemCalls>,
    /// what Landlock will leave to the application
    domains: Vec<Domain>,
}

impl Confined {
    pub(super) fn waits(&self) -> bool {
        !(self.waiting.is_empty() && self.domains.is_empty())
    }
}

impl Model {
    /// Whether the filters that are on leave an effect what it may need.
    pub(super) fn lets_through(&self, effect: &Effect) -> Result<(), SystemError> {
        refused(&self.confined.filters, effect.system_calls(), effect)
    }

    /// A filter is put on, or kept for the application: tried at once, so that it is refused where it stands.
    pub(super) fn filter(&mut self, filter: &SystemCalls, what: impl Display) -> Result<(), SystemError> {
        self.may_be_confined(EACCES, &what)?;
        match filter.whose {
            Whose::Program => self.confined.waiting.push(filter.clone()),
            Whose::Daemon => {
                self.confined.filters.push(filter.clone());
                self.identity.seccomp = true;
            }
        }
        Ok(())
    }

    /// Whoever can still gain privileges by execve(2) may not take system calls away from what it executes.
    fn may_be_confined(&self, errno: i32, what: impl Display) -> Result<(), SystemError> {
        if self.identity.no_new_privs || self.has(Capability::SysAdmin) {
            return Ok(());
        }
        Err(SystemError::errno(errno, &what)
            .lacks(Capability::SysAdmin)
            .why("no_new_privs is not set, and the process has no cap_sys_admin")
            .help("set no_new_privs before: a phase of kind `no-new-privileges`"))
    }

    /// The program's filters are put on in its process, in the moment before it is executed.
    pub(super) fn may_execute(&self, word: &str) -> Result<(), SystemError> {
        if !self.confined.waits() {
            return Ok(());
        }
        let what = format!("run {word}: confine it");
        self.may_be_confined(self.errno_without_privilege(), &what)?;
        refused(&self.confined.waiting, ["execve"], format!("execute {word}"))
    }

    /// What is hosted in this process is confined with it.
    pub(super) fn confine_hosted(&mut self) -> Result<(), SystemError> {
        if !self.confined.waits() {
            return Ok(());
        }
        self.may_be_confined(self.errno_without_privilege(), "confine the application")?;
        self.identity.landlock.0.append(&mut self.confined.domains);
        let waiting = std::mem::take(&mut self.confined.waiting);
        self.identity.seccomp |= !waiting.is_empty();
        self.confined.filters.extend(waiting);
        Ok(())
    }

    /// Landlock comes first, and has another number for it.
    fn errno_without_privilege(&self) -> i32 {
        if self.confined.domains.is_empty() { EACCES } else { EPERM }
    }

    /// Landlock is put on, or kept for the application. The paths lead where they lead now.
    pub(super) fn landlock(&mut self, wanted: &Landlock, what: impl Display) -> Result<Done, SystemError> {
        let done = Done::with(Undo::EndsWithProcess);
        let has = self.landlock.unwrap_or(u32::MAX);
        if has < wanted.version() && wanted.required {
            return Err(too_old(has, wanted, what));
        }
        if has == 0 {
            return Ok(done);
        }
        let mut files = wanted.restricts_files().then(Vec::new);
        for (path, right) in wanted.paths() {
            let what = format!("{what}: open {}", path.display());
            let at = self.files.resolve(&self.identity, path).map_err(|e| e.of(&what))?;
            files.get_or_insert_default().push((at, right));
        }
        self.may_be_confined(EPERM, &what)?;
        let bind = wanted.bind.clone().filter(|_| has >= crate::effect::landlock::PORTS);
        let domain = Domain { files, bind };
        match wanted.whose {
            Whose::Program => self.confined.domains.push(domain),
            Whose::Daemon => self.identity.landlock.0.push(domain),
        }
        Ok(done)
    }

    /// What will be left to the program is enough to begin it: its file, and what is executed besides.
    pub(super) fn is_left_to_the_program(&self, at: &Path, what: &str) -> Result<(), SystemError> {
        let mut who = self.identity.clone();
        who.landlock.0.extend(self.confined.domains.iter().cloned());
        if who.landlock.0.is_empty() {
            return Ok(());
        }
        left(&who, at, Access::Execute).map_err(|e| e.of(what))?;
        let mut at = at.to_owned();
        while let Some(next) = self.interpreters.get(&at) {
            let what = format!("{what}: by {}", next.path.display());
            let found = self.files.resolve(&self.identity, &next.path).map_err(|e| e.of(&what))?;
            left(&who, &found, Access::Execute).map_err(|e| e.of(&what))?;
            if found == at {
                break;
            }
            at = found;
        }
        Ok(())
    }

    /// Whether Landlock leaves a port.
    pub(super) fn may_bind(&self, socket: &Socket, port: u16) -> Result<(), SystemError> {
        let taken = |d: &Domain| d.bind.as_ref().is_some_and(|left| !left.contains(&port));
        if !matches!(socket, Socket::Tcp(_)) || !self.identity.landlock.0.iter().any(taken) {
            return Ok(());
        }
        Err(SystemError::errno(EACCES, format!("bind {socket}"))
            .why(format!("Landlock is on, and port {port} is none of those that may be bound"))
            .kind(ErrorKind::Confined))
    }
}

/// The kernel cannot do all that is asked for.
fn too_old(has: u32, wanted: &Landlock, what: impl Display) -> SystemError {
    let why = match has {
        0 => "this kernel has no Landlock, or it is not enabled (CONFIG_LSM, `lsm=`)".to_owned(),
        has => format!("this kernel has version {has} of Landlock, and {} is asked for", wanted.version()),
    };
    SystemError::new(format!("{what}: the kernel cannot")).why(why).help(
        "use a newer kernel (Linux 6.2 for files, 6.7 for ports); or write `required: false`, and what it can is done",
    )
}

/// The error of the first filter that lacks something.
fn refused<'a>(
    filters: &[SystemCalls],
    calls: impl IntoIterator<Item = &'a str>,
    what: impl Display,
) -> Result<(), SystemError> {
    if filters.is_empty() {
        return Ok(());
    }
    let calls: Vec<&str> = calls.into_iter().collect();
    for filter in filters {
        let lacking = filter.refused(calls.iter().copied());
        if lacking.is_empty() {
            continue;
        }
        let lacking = crate::text::list(&lacking);
        let error = match filter.otherwise {
            Otherwise::Kill => SystemError::new(format!("{what}: SIGSYS would end this process")),
            _ => SystemError::errno(EPERM, what),
        };
        return Err(error
            .why(format!("it may need {lacking}, and a filter that is on does not let that through"))
            .kind(ErrorKind::Confined));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::all_capabilities;
    use super::*;
    use crate::effect::{Application, Identity, Program, Setting, Starting, System};
    use crate::snapshot::Snapshot;

    fn world(uid: u32, no_new_privs: bool) -> Model {
        let caps = if uid == 0 { all_capabilities() } else { Default::default() };
        let identity = Identity {
            uid: [uid; 3],
            caps,
            permitted: caps,
            no_new_privs,
            root: "/".into(),
            cwd: "/".into(),
            ..Identity::default()
        };
        Model::new(&Snapshot { identity, ..Snapshot::default() })
    }

    fn filter(allow: &str, deny: &str, whose: Whose) -> Effect {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Effect::Process(Setting::SystemCalls(SystemCalls {
            allow: words(allow),
            deny: words(deny),
            whose,
            ..SystemCalls::default()
        }))
    }

    fn errno(model: &mut Model, effect: &Effect) -> Option<i32> {
        model.perform(effect).err().map(|e| e.errno.unwrap_or(0))
    }

    #[test]
    fn a_filter_asks_for_no_new_privs_or_a_capability() {
        let deny = filter("", "@mount", Whose::Program);
        assert_eq!(errno(&mut world(1000, false), &deny), Some(EACCES));
        assert_eq!(errno(&mut world(1000, true), &deny), None);
        assert_eq!(errno(&mut world(0, false), &deny), None);
    }

    #[test]
    fn a_filter_of_the_daemon_is_on_at_once_and_one_of_the_program_is_not() {
        let umask = Effect::Umask { mask: 0o27 };
        let chroot = Effect::Chroot { path: "/".into() };
        let mut model = world(0, false);
        assert_eq!(errno(&mut model, &filter("", "@mount", Whose::Program)), None);
        assert_eq!(errno(&mut model, &chroot).filter(|n| *n == EPERM), None);
        assert!(!model.identity.seccomp);
        assert_eq!(errno(&mut model, &filter("", "@mount", Whose::Daemon)), None);
        assert!(model.identity.seccomp);
        assert_eq!(errno(&mut model, &umask), None);
        assert_eq!(errno(&mut model, &chroot), Some(EPERM));
    }

    #[test]
    fn the_program_must_be_executed_under_its_filter() {
        let start = Effect::Application(Application::Start(Starting::default()));
        let load = Effect::Application(Application::Load(Program {
            command: vec!["app".into()],
            ..Program::default()
        }));
        for (allow, deny, expected) in
            [("@basic-io", "", None), ("", "execve", Some(EPERM)), ("@network-io", "@default", Some(EPERM))]
        {
            let mut model = world(1000, true);
            assert_eq!(errno(&mut model, &load), None);
            assert_eq!(errno(&mut model, &filter(allow, deny, Whose::Program)), None);
            assert_eq!(errno(&mut model, &start), expected, "{allow} ~{deny}");
        }
    }

    #[test]
    fn what_is_hosted_is_confined_when_it_starts() {
        let load = Effect::Application(Application::Load(Program::default()));
        let start = Effect::Application(Application::Start(Starting::default()));
        let mut model = world(1000, true);
        let bind = Effect::Bind { socket: Socket::Abstract("s".into()), options: Default::default() };
        assert_eq!(errno(&mut model, &bind), None);
        for effect in [load, filter("@system-service", "unlinkat", Whose::Program), start] {
            assert_eq!(errno(&mut model, &effect), None);
        }
        assert_eq!(errno(&mut model, &Effect::RemovePidFile { path: "/p".into() }), Some(EPERM));
    }
}
