//! Confinements: those of this process are put on at once, those of the application are tried and kept.

use super::Host;
use crate::sys::confine::{Filter, is_filtered};
use crate::sys::landlock::{Ruleset, version};
use crate::sys::{child, failed};
use engine::effect::{Capability, Done, Landlock, Setting, SystemCalls, SystemError, Undo, Whose};
use nix::errno::Errno;

/// What is put on the application when it is started.
#[derive(Debug, Default)]
pub struct Confining {
    filters: Vec<Filter>,
    rulesets: Vec<Ruleset>,
}

impl Confining {
    /// Puts all of it on this process.
    pub fn put_on(&self) -> Result<(), Errno> {
        // The filter may deny what Landlock is put on by.
        self.rulesets.iter().try_for_each(Ruleset::put_on)?;
        self.filters.iter().try_for_each(Filter::put_on)
    }

    /// True if there is nothing to put on.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.rulesets.is_empty()
    }
}

/// The error of a confinement that could not be put on.
pub fn refused(errno: Errno, what: impl std::fmt::Display) -> SystemError {
    let error = failed(errno, what);
    match errno {
        Errno::EACCES | Errno::EPERM => error
            .lacks(Capability::SysAdmin)
            .why("no_new_privs is not set, and the process has no cap_sys_admin")
            .help("set no_new_privs before: a phase of kind `no-new-privileges`"),
        Errno::EINVAL | Errno::ENOSYS => {
            error.why("this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)")
        }
        Errno::ESRCH => error.why("a thread of this process has a filter of its own"),
        _ => error,
    }
}

impl Host {
    pub(super) fn filter(&mut self, calls: &SystemCalls, setting: &Setting) -> Result<(), SystemError> {
        let filter = Filter::of(calls).map_err(|why| SystemError::new(setting.to_string()).why(why))?;
        match calls.whose {
            Whose::Daemon => {
                filter.put_on().map_err(|e| refused(e, setting))?;
                super::settings::read_back(is_filtered(), setting)
            }
            Whose::Program => {
                // In a child that does nothing else: what is wrong with it is found where it stands.
                child::attempt(|| filter.put_on()).map_err(|e| refused(e, setting))?;
                self.confining.filters.push(filter);
                Ok(())
            }
        }
    }

    /// What is hosted in this process is confined with it.
    pub(super) fn confine_hosted(&mut self) -> Result<(), SystemError> {
        if self.confining.is_empty() {
            return Ok(());
        }
        let what = "confine the application";
        let confining = std::mem::take(&mut self.confining);
        if !confining.rulesets.is_empty() && threads() > 1 {
            return Err(SystemError::new(format!("{what}: it has more than one thread"))
                .why("Landlock is put on one thread, and the application made others while it was loaded")
                .help("let it make its threads when it starts, or confine a program instead"));
        }
        confining.put_on().map_err(|e| refused(e, what))?;
        match is_filtered() || confining.filters.is_empty() {
            true => Ok(()),
            false => Err(SystemError::new(format!("{what}: it did not take"))),
        }
    }

    pub(super) fn landlock(&mut self, wanted: &Landlock, setting: &Setting) -> Result<Done, SystemError> {
        let done = Done::with(Undo::EndsWithProcess);
        let has = version();
        if has < wanted.version() && wanted.required {
            let why = match has {
                0 => "this kernel has no Landlock, or it is not enabled (CONFIG_LSM, `lsm=`)".to_owned(),
                has => format!(
                    "this kernel has version {has} of Landlock, and {} is asked for",
                    wanted.version()
                ),
            };
            return Err(SystemError::new(format!("{setting}: the kernel cannot")).why(why));
        }
        if has == 0 {
            return Ok(done.note("this kernel has no Landlock: nothing is confined"));
        }
        let ruleset = Ruleset::of(wanted, has).map_err(|(errno, path)| match path {
            Some(path) => failed(errno, format!("{setting}: open {}", path.display())),
            None => failed(errno, setting),
        })?;
        match wanted.whose {
            Whose::Daemon => ruleset.put_on().map_err(|e| refused(e, setting))?,
            Whose::Program => {
                child::attempt(|| ruleset.put_on()).map_err(|e| refused(e, setting))?;
                self.confining.rulesets.push(ruleset);
            }
        }
        Ok(match has < wanted.version() {
            true => done.note(format!("version {has} of Landlock cannot do all of it")),
            false => done,
        })
    }
}

/// How many threads this process has; 1 where nobody can tell.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |all| all.count())
}
