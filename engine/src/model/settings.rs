//! What a process may change of its own settings: prctl(2), capabilities(7), setrlimit(2), sched(7).

use super::{EACCES, EINVAL, EPERM, Model};
use crate::effect::{
    Capability, CapabilitySet, Done, IoPriority, Limits, Policy, Resource, SecureBits, Setting, SystemError,
    Undo,
};
use std::path::Path;

/// Where the kernel takes it.
pub const OOM_SCORE: &str = "/proc/self/oom_score_adj";

impl Model {
    /// The settings that no identity shows.
    pub fn settings(&self) -> &crate::effect::Settings {
        &self.settings
    }

    pub(super) fn set(&mut self, setting: &Setting) -> Result<Done, SystemError> {
        match setting {
            Setting::NoNewPrivileges => self.identity.no_new_privs = true,
            Setting::Bounding(keep) => self.cut_bounding(*keep, setting)?,
            Setting::Capabilities { permitted, inheritable, ambient } => {
                self.set_capabilities(*permitted, *inheritable, *ambient, setting)?;
            }
            Setting::SecureBits(bits) => self.set_securebits(*bits, setting)?,
            Setting::Limit(resource, limits) => self.set_limit(*resource, *limits, setting)?,
            Setting::Nice(value) => self.set_nice(*value, setting)?,
            Setting::Scheduler(policy) => self.set_scheduler(*policy, setting)?,
            Setting::IoPriority(priority) => {
                let realtime = matches!(priority, IoPriority::Realtime(_)) && self.settings.io != *priority;
                if realtime && !self.has(Capability::SysNice) && !self.has(Capability::SysAdmin) {
                    return Err(self.denied(Capability::SysNice, setting));
                }
                self.settings.io = *priority;
            }
            Setting::OomScore(score) => self.set_oom_score(*score, setting)?,
            Setting::Dumpable(on) => self.settings.dumpable = *on,
            Setting::Keyring => {}
            Setting::SystemCalls(filter) => self.filter(filter, setting)?,
            Setting::Landlock(wanted) => return self.landlock(wanted, setting),
            Setting::Affinity(cpus) => self.set_affinity(cpus, setting)?,
            Setting::TimerSlack(_) => {}
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn cut_bounding(&mut self, keep: CapabilitySet, what: &Setting) -> Result<(), SystemError> {
        if !self.identity.bounding.without(keep).is_empty() {
            if !self.has(Capability::Setpcap) {
                return Err(self.denied(Capability::Setpcap, what));
            }
            self.identity.bounding = self.identity.bounding.and(keep);
        }
        Ok(())
    }

    /// capset(2), then PR_CAP_AMBIENT_LOWER and PR_CAP_AMBIENT_RAISE.
    fn set_capabilities(
        &mut self,
        permitted: Option<CapabilitySet>,
        inheritable: Option<CapabilitySet>,
        ambient: Option<CapabilitySet>,
        what: &Setting,
    ) -> Result<(), SystemError> {
        let now = self.identity.clone();
        let (new_permitted, new_inheritable) =
            (permitted.unwrap_or(now.permitted), inheritable.unwrap_or(now.inheritable));
        let missing = new_permitted.without(now.permitted);
        if let Some(first) = missing.iter().next() {
            return Err(self.denied(first, what));
        }
        let raised = new_inheritable.without(now.inheritable);
        let within = match self.has(Capability::Setpcap) {
            true => now.bounding,
            false => now.bounding.and(now.permitted),
        };
        if let Some(first) = raised.without(within).iter().next() {
            return Err(self.denied(first, what));
        }
        self.identity.permitted = new_permitted;
        self.identity.inheritable = new_inheritable;
        self.identity.caps = match permitted {
            Some(set) => set,
            None => now.caps,
        };
        self.identity.ambient = now.ambient.and(new_permitted).and(new_inheritable);
        let Some(ambient) = ambient else { return Ok(()) };
        // Lowered first, then raised one by one.
        let raised = ambient.without(self.identity.ambient);
        self.identity.ambient = self.identity.ambient.and(ambient);
        self.may_raise_ambient(raised, what)?;
        for one in raised.iter() {
            let bit = CapabilitySet(1 << one as u8);
            if bit.and(new_permitted).and(new_inheritable).is_empty() {
                return Err(self.denied(one, what));
            }
            self.identity.ambient.0 |= bit.0;
        }
        Ok(())
    }

    /// Refused where a securebit forbids it.
    pub(super) fn may_raise_ambient(
        &self,
        raised: CapabilitySet,
        what: impl std::fmt::Display,
    ) -> Result<(), SystemError> {
        if raised.is_empty() || !self.identity.securebits.has(SecureBits::NO_CAP_AMBIENT_RAISE) {
            return Ok(());
        }
        Err(SystemError::errno(EPERM, what)
            .why("the securebit no-cap-ambient-raise is set")
            .help("set that securebit behind the phase that raises ambient capabilities"))
    }

    fn set_securebits(&mut self, bits: SecureBits, what: &Setting) -> Result<(), SystemError> {
        let now = self.identity.securebits;
        if now == bits {
            return Ok(());
        }
        if !self.has(Capability::Setpcap) {
            return Err(self.denied(Capability::Setpcap, what));
        }
        let locks = SecureBits::NAMES.iter().skip(1).step_by(2).fold(0, |all, (_, bit)| all | bit);
        let changed = now.0 ^ bits.0;
        if now.0 & locks & !bits.0 != 0 || (now.0 & locks) >> 1 & changed != 0 {
            return Err(SystemError::errno(EPERM, what)
                .why(format!("the securebits are {now}, and what is locked cannot be changed")));
        }
        self.identity.securebits = bits;
        Ok(())
    }

    fn set_limit(&mut self, resource: Resource, new: Limits, what: &Setting) -> Result<(), SystemError> {
        if new.soft > new.hard {
            return Err(SystemError::errno(EINVAL, what)
                .why("the soft limit is above the hard one")
                .help("raise the hard limit, or lower the soft one"));
        }
        if let Some(now) = self.settings.limits.get(&resource).copied()
            && new.hard > now.hard
            && !self.has(Capability::SysResource)
        {
            let error = self.denied(Capability::SysResource, what);
            return Err(error.help(format!(
                "the hard limit is {}: ask for no more, or raise it where this is started from",
                Limits { soft: now.hard, hard: now.hard }
            )));
        }
        self.settings.limits.insert(resource, new);
        Ok(())
    }

    fn soft(&self, resource: Resource) -> u64 {
        self.settings.limits.get(&resource).map_or(0, |l| l.soft)
    }

    fn set_nice(&mut self, value: i32, what: &Setting) -> Result<(), SystemError> {
        let allowed = u64::try_from(20 - value).is_ok_and(|n| n <= self.soft(Resource::Nice));
        if value < self.settings.nice && !allowed && !self.has(Capability::SysNice) {
            let mut error = self.denied(Capability::SysNice, what);
            error.errno = Some(EACCES);
            error.message = SystemError::errno(EACCES, what).message;
            return Err(error);
        }
        self.settings.nice = value;
        Ok(())
    }

    fn set_scheduler(&mut self, policy: Policy, what: &Setting) -> Result<(), SystemError> {
        let now = self.settings.scheduler;
        if now == policy {
            return Ok(());
        }
        let allowed = self.soft(Resource::Rtprio);
        let another = std::mem::discriminant(&now) != std::mem::discriminant(&policy);
        let raised = policy.priority() > now.priority() && u64::from(policy.priority()) > allowed;
        let realtime = policy.priority() > 0 && (raised || another && allowed == 0);
        let leaves_idle = now == Policy::Idle
            && u64::try_from(20 - self.settings.nice).is_ok_and(|n| n > self.soft(Resource::Nice));
        if (realtime || leaves_idle) && !self.has(Capability::SysNice) {
            return Err(self.denied(Capability::SysNice, what));
        }
        self.settings.scheduler = policy;
        Ok(())
    }

    /// Those that are not there do not count; one at least must be.
    fn set_affinity(&self, cpus: &[u32], what: &Setting) -> Result<(), SystemError> {
        match &self.cpus {
            Some(there) if !cpus.iter().any(|cpu| there.contains(cpu)) => {
                let there = crate::text::ranges(there);
                Err(SystemError::errno(EINVAL, what)
                    .why(format!("the process may run on {there} (cpuset(7)), and on no other"))
                    .help(format!("name one of {there}")))
            }
            _ => Ok(()),
        }
    }

    fn set_oom_score(&mut self, score: i32, what: &Setting) -> Result<(), SystemError> {
        let path = Path::new(OOM_SCORE);
        self.files.resolve(&self.identity, path).map_err(|e| {
            e.of(&what.to_string()).help("set it before the root is changed, or mount proc in the new root")
        })?;
        super::files::left(&self.identity, path, super::Access::Write)
            .map_err(|e| e.of(&what.to_string()))?;
        let own = self.settings.dumpable || self.identity.uid[1] == 0;
        if !own && !self.has(Capability::DacOverride) {
            return Err(SystemError::errno(EACCES, what)
                .why("a process that has changed its ids does not own its files below /proc (proc(5))")
                .lacks(Capability::DacOverride)
                .help("set it before the drop"));
        }
        self.files.may_be_written_here(path).map_err(|e| {
            e.of(&what.to_string()).help("set it before its place below /proc is made read-only")
        })?;
        let privileged = self.has(Capability::SysResource);
        if score < self.oom_floor && !privileged {
            let mut error = self.denied(Capability::SysResource, what);
            error.errno = Some(EACCES);
            error.message = SystemError::errno(EACCES, what).message;
            return Err(error);
        }
        self.settings.oom_score = score;
        // Nobody else goes below what somebody with the capability has set (proc(5)).
        if privileged {
            self.oom_floor = score;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::all_capabilities;
    use super::*;
    use crate::effect::{Effect, Identity, Performed, Settings, System};
    use crate::snapshot::{FileFact, FileKind, Snapshot};

    fn world(uid: u32, caps: CapabilitySet) -> Model {
        let identity = Identity {
            uid: [uid; 3],
            gid: [uid; 3],
            caps,
            permitted: caps,
            bounding: all_capabilities(),
            root: "/".into(),
            cwd: "/".into(),
            ..Identity::default()
        };
        let limits = [
            (Resource::Nofile, Limits { soft: 10, hard: 20 }),
            (Resource::Nice, Limits { soft: 0, hard: 0 }),
        ];
        let settings = Settings { nice: 3, limits: limits.into(), ..Settings::default() };
        let fact = |kind| Some(FileFact { kind, uid, gid: uid, mode: 0o755 });
        let files =
            [("/", FileKind::Directory), ("/proc", FileKind::Directory), ("/proc/self", FileKind::Directory)]
                .into_iter()
                .map(|(path, kind)| (path.into(), fact(kind)))
                .chain([("/proc/self/oom_score_adj".into(), fact(FileKind::File))])
                .collect();
        Model::new(&Snapshot { identity, settings, files, ..Snapshot::default() })
    }

    fn set(model: &mut Model, setting: Setting) -> Result<(), (Option<i32>, Option<Capability>)> {
        match model.perform(&Effect::Process(setting)) {
            Ok(Performed::Done(_)) => Ok(()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err((error.errno, error.lacks)),
        }
    }

    fn drop_to(model: &mut Model, keep: CapabilitySet) -> Result<(), Option<i32>> {
        let effect = Effect::SetCredential {
            uid: Some(33),
            gid: Some(33),
            groups: Some(vec![33]),
            effective: false,
            keep,
        };
        model.perform(&effect).map(drop).map_err(|e| e.errno)
    }

    const PORT: CapabilitySet = CapabilitySet(1 << Capability::NetBindService as u8);
    const NONE: CapabilitySet = CapabilitySet::EMPTY;

    #[test]
    fn what_needs_a_capability_says_which() {
        let mut user = world(1000, NONE);
        let limit = |soft, hard| Setting::Limit(Resource::Nofile, Limits { soft, hard });
        assert_eq!(set(&mut user, limit(5, 20)), Ok(()));
        assert_eq!(set(&mut user, limit(5, 6)), Ok(()));
        assert_eq!(set(&mut user, limit(5, 7)), Err((Some(EPERM), Some(Capability::SysResource))));
        assert_eq!(set(&mut user, Setting::Nice(4)), Ok(()));
        assert_eq!(set(&mut user, Setting::Nice(3)), Err((Some(EACCES), Some(Capability::SysNice))));
        assert_eq!(
            set(&mut user, Setting::Scheduler(Policy::Fifo(1))),
            Err((Some(EPERM), Some(Capability::SysNice)))
        );
        assert_eq!(set(&mut user, Setting::Scheduler(Policy::Idle)), Ok(()));
        assert_eq!(set(&mut user, Setting::OomScore(-1)), Err((Some(EACCES), Some(Capability::SysResource))));
        assert_eq!(set(&mut user, Setting::OomScore(7)), Ok(()));
        assert_eq!(set(&mut user, Setting::Bounding(NONE)), Err((Some(EPERM), Some(Capability::Setpcap))));
        assert_eq!(set(&mut user, Setting::NoNewPrivileges), Ok(()));
        assert!(user.identity.no_new_privs);
    }

    #[test]
    fn the_drop_keeps_what_it_was_told_to() {
        let mut root = world(0, all_capabilities());
        assert_eq!(set(&mut root, Setting::Bounding(PORT)), Ok(()));
        assert_eq!(drop_to(&mut root, PORT), Ok(()));
        let now = &root.identity;
        assert_eq!([now.caps, now.permitted, now.inheritable, now.ambient, now.bounding], [PORT; 5]);
        // Their own files below /proc are root's from here on.
        assert_eq!(set(&mut root, Setting::OomScore(9)), Err((Some(EACCES), Some(Capability::DacOverride))));
    }

    #[test]
    fn what_is_raised_before_the_drop_is_lost_by_it() {
        let mut root = world(0, all_capabilities());
        let ambient = Setting::Capabilities { permitted: None, inheritable: Some(PORT), ambient: Some(PORT) };
        assert_eq!(set(&mut root, ambient), Ok(()));
        assert_eq!(root.identity.ambient, PORT);
        assert_eq!(drop_to(&mut root, NONE), Ok(()));
        assert_eq!(root.identity.ambient, NONE);
    }

    #[test]
    fn a_locked_securebit_stays() {
        let mut root = world(0, all_capabilities());
        let locked = SecureBits(SecureBits::KEEP_CAPS << 1 | SecureBits::NO_CAP_AMBIENT_RAISE);
        assert_eq!(set(&mut root, Setting::SecureBits(locked)), Ok(()));
        assert_eq!(set(&mut root, Setting::SecureBits(SecureBits(0))), Err((Some(EPERM), None)));
        assert_eq!(drop_to(&mut root, PORT), Err(Some(EPERM)));
    }
}
