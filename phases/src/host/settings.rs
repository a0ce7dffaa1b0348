//! Settings of this process: each is set, and read back where it can be.

use super::Host;
use crate::sys::{failed, identity, io_failed, settings};
use engine::effect::{Capability, CapabilitySet, Done, Setting, SystemError, Undo};
use nix::errno::Errno;

impl Host {
    pub(super) fn set(&mut self, setting: &Setting) -> Result<Done, SystemError> {
        let lacks = |capability| {
            move |error: Errno| match error {
                Errno::EPERM | Errno::EACCES => failed(error, setting).lacks(capability),
                _ => failed(error, setting),
            }
        };
        match setting {
            Setting::NoNewPrivileges => {
                settings::set_no_new_privs().map_err(|e| failed(e, setting))?;
                read_back(settings::no_new_privs(), setting)?;
            }
            Setting::Bounding(keep) => {
                settings::cut_bounding(*keep).map_err(lacks(Capability::Setpcap))?;
                self.bounding = identity::bounding();
                read_back(self.bounding.without(*keep).is_empty(), setting)?;
            }
            Setting::Capabilities { permitted, inheritable, ambient } => {
                self.set_capabilities(*permitted, *inheritable, *ambient, setting)?;
            }
            Setting::SecureBits(bits) => {
                if settings::securebits() != *bits {
                    settings::set_securebits(*bits).map_err(lacks(Capability::Setpcap))?;
                }
                read_back(settings::securebits() == *bits, setting)?;
            }
            Setting::Limit(resource, limits) => {
                settings::set_limits(*resource, *limits).map_err(|e| match e {
                    Errno::EPERM => failed(e, setting).lacks(Capability::SysResource),
                    _ => failed(e, setting),
                })?;
                read_back(settings::limits(*resource) == Ok(*limits), setting)?;
            }
            Setting::Nice(value) => settings::set_nice(*value).map_err(lacks(Capability::SysNice))?,
            Setting::Scheduler(policy) => {
                if settings::scheduler() != *policy {
                    settings::set_scheduler(*policy).map_err(lacks(Capability::SysNice))?;
                }
                read_back(settings::scheduler() == *policy, setting)?;
            }
            Setting::IoPriority(priority) => {
                if settings::io_priority() != *priority {
                    settings::set_io_priority(*priority).map_err(lacks(Capability::SysNice))?;
                }
                read_back(settings::io_priority() == *priority, setting)?;
            }
            Setting::OomScore(score) => settings::set_oom_score(*score)
                .map_err(|e| io_failed(&e, setting).why(format!("write {}", settings::OOM_SCORE)))?,
            Setting::Dumpable(on) => settings::set_dumpable(*on).map_err(|e| failed(e, setting))?,
            Setting::Keyring => settings::new_keyring().map_err(|e| failed(e, setting))?,
            Setting::SystemCalls(calls) => self.filter(calls, setting)?,
            Setting::Affinity(cpus) => {
                settings::set_affinity(cpus).map_err(|e| failed(e, setting))?;
                let now = settings::affinity().map_err(|e| failed(e, setting))?;
                read_back(now.iter().all(|cpu| cpus.contains(cpu)), setting)?;
                if now.len() < cpus.len() {
                    let now = engine::text::ranges(&now);
                    return Ok(Done::with(Undo::EndsWithProcess)
                        .note(format!("of those there is only {now} for this process")));
                }
            }
            Setting::TimerSlack(ns) => {
                settings::set_timer_slack(*ns).map_err(|e| failed(e, setting))?;
                // It is told as an int, and no higher.
                let told = (*ns).min(i32::MAX as u64);
                read_back(*ns == 0 || settings::timer_slack() == Ok(told), setting)?;
            }
            Setting::Landlock(wanted) => return self.landlock(wanted, setting),
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn set_capabilities(
        &mut self,
        permitted: Option<CapabilitySet>,
        inheritable: Option<CapabilitySet>,
        ambient: Option<CapabilitySet>,
        setting: &Setting,
    ) -> Result<(), SystemError> {
        let now = self.read_identity()?;
        let permitted_now = permitted.unwrap_or(now.permitted);
        let inheritable_now = inheritable.unwrap_or(now.inheritable);
        settings::set_capabilities(permitted.unwrap_or(now.caps), permitted_now, inheritable_now)
            .map_err(|e| failed(e, setting))?;
        if let Some(ambient) = ambient {
            let left = self.read_identity()?.ambient;
            settings::set_ambient(left, ambient).map_err(|e| failed(e, setting))?;
        }
        let now = self.read_identity()?;
        let same = now.permitted == permitted_now
            && now.inheritable == inheritable_now
            && ambient.is_none_or(|a| now.ambient == a);
        read_back(same, setting)
    }
}

pub(super) fn read_back(taken: bool, setting: &Setting) -> Result<(), SystemError> {
    if taken {
        return Ok(());
    }
    Err(SystemError::new(format!("{setting}: it did not take"))
        .why("the kernel accepted it, and shows another value")
        .help("a security module or a system call filter may be in the way"))
}
