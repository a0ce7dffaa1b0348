//! What setgroups, setresgid and setresuid do: setresuid(2), capabilities(7) "Effect of user ID
//! changes on capabilities".

use super::EPERM;
use super::Model;
use crate::effect::{Capability, CapabilitySet, Done, SecureBits, SystemError, Undo};

/// What the three ids are to become: all of them, or only the effective one.
fn wanted(now: [u32; 3], id: u32, effective: bool) -> [u32; 3] {
    if effective { [now[0], id, now[2]] } else { [id; 3] }
}

impl Model {
    /// The three calls, in the one right order. What is already so is not asked of the kernel.
    pub(super) fn set_credential(
        &mut self,
        uid: Option<u32>,
        gid: Option<u32>,
        groups: Option<&[u32]>,
        effective: bool,
        keep: CapabilitySet,
    ) -> Result<Done, SystemError> {
        let left_root = uid.is_some_and(|uid| {
            self.identity.uid.contains(&0) && !wanted(self.identity.uid, uid, effective).contains(&0)
        });
        if !keep.is_empty() && left_root {
            self.may_keep()?;
        }
        let permitted = self.identity.permitted;
        let kind = if effective { "e" } else { "res" };
        if let Some(groups) = groups {
            let mut wanted = groups.to_vec();
            wanted.sort_unstable();
            wanted.dedup();
            if wanted != self.identity.groups {
                if !self.has(Capability::Setgid) {
                    return Err(self.denied(Capability::Setgid, format!("setgroups {wanted:?}")));
                }
                self.groups_allowed(&wanted)?;
                self.identity.groups = wanted;
            }
        }
        if let Some(gid) = gid {
            let ids = wanted(self.identity.gid, gid, effective);
            if ids != self.identity.gid {
                self.has_gid(gid, &format!("set{kind}gid {gid}"))?;
                if !self.has(Capability::Setgid) && !self.identity.gid.contains(&gid) {
                    return Err(self.denied(Capability::Setgid, format!("set{kind}gid {gid}")));
                }
                self.may_be_traced(ids[1] == self.identity.gid[1]);
                self.identity.gid = ids;
            }
        }
        if let Some(uid) = uid {
            let (before, after) = (self.identity.uid, wanted(self.identity.uid, uid, effective));
            if after != before {
                self.has_uid(uid, &format!("set{kind}uid {uid}"))?;
                if !self.has(Capability::Setuid) && !before.contains(&uid) {
                    return Err(self.denied(Capability::Setuid, format!("set{kind}uid {uid}")));
                }
                self.may_be_traced(after[1] == before[1]);
                self.identity.uid = after;
                self.capabilities_follow(before, after);
            }
        }
        // The host leaves none in any set, inheritable ones neither (CVE-2022-24769), whatever the securebits.
        if left_root || !keep.is_empty() {
            let kept = self.keep(keep, permitted);
            if kept.is_err() && left_root {
                let id = &mut self.identity;
                [id.permitted, id.caps, id.inheritable, id.ambient] = [CapabilitySet::EMPTY; 4];
            }
            kept?;
        }
        self.verify()?;
        Ok(Done::with(Undo::EndsWithProcess))
    }

    /// With other effective ids its files below /proc are root's (proc(5), PR_SET_DUMPABLE in prctl(2)).
    fn may_be_traced(&mut self, same: bool) {
        self.settings.dumpable &= same;
    }

    /// capabilities(7), "Effect of user ID changes on capabilities"; with SECBIT_NO_SETUID_FIXUP there is
    /// none.
    pub(super) fn capabilities_follow(&mut self, before: [u32; 3], after: [u32; 3]) {
        let left_root = before.contains(&0) && !after.contains(&0);
        let id = &mut self.identity;
        if id.securebits.has(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        if left_root {
            id.ambient = CapabilitySet::EMPTY;
        }
        let cleared = left_root && !id.securebits.has(SecureBits::KEEP_CAPS);
        if cleared {
            id.permitted = CapabilitySet::EMPTY;
        }
        if cleared || before[1] == 0 && after[1] != 0 {
            id.caps = CapabilitySet::EMPTY;
        }
        if before[1] != 0 && after[1] == 0 {
            id.caps = id.permitted;
        }
    }

    /// The host looks whether a drop of the effective ids took.
    fn verify(&self) -> Result<(), SystemError> {
        let id = &self.identity;
        if id.uid[1] == 0 || !id.uid.contains(&0) || id.caps.is_empty() {
            return Ok(());
        }
        Err(SystemError::new("the drop did not take: effective capabilities are left")
            .why(format!("the process is {}, with securebits {}", super::describe(id), id.securebits))
            .help("start it without the securebit no-setuid-fixup, or set all three ids"))
    }

    /// PR_SET_KEEPCAPS: refused where its securebit is locked.
    fn may_keep(&self) -> Result<(), SystemError> {
        let bits = self.identity.securebits;
        if bits.locked(SecureBits::KEEP_CAPS) && !bits.has(SecureBits::KEEP_CAPS) {
            return Err(SystemError::errno(EPERM, "keep capabilities over setresuid")
                .why("the securebit keep-caps is locked, and off")
                .help("lock it behind the phase that drops"));
        }
        Ok(())
    }

    /// What is kept, in every set but the bounding one: as it was permitted before the change of ids.
    fn keep(&mut self, keep: CapabilitySet, permitted: CapabilitySet) -> Result<(), SystemError> {
        let names: Vec<_> = keep.iter().map(Capability::name).collect();
        let what = format!("keep {}", names.join(" "));
        let bounding = self.identity.bounding;
        if let Some(first) = keep.without(permitted).iter().next() {
            return Err(self.denied(first, what));
        }
        if let Some(first) = keep.without(self.identity.inheritable).without(bounding).iter().next() {
            let who = format!("{first} is not in the bounding set, so it cannot become inheritable");
            return Err(SystemError::errno(EPERM, what)
                .why(who)
                .help("keep it in the bounding set, or cut that set behind the drop"));
        }
        let id = &mut self.identity;
        [id.permitted, id.caps, id.inheritable] = [keep; 3];
        id.ambient = id.ambient.and(keep);
        let raised = keep.without(id.ambient);
        self.may_raise_ambient(raised, what)?;
        self.identity.ambient = keep;
        Ok(())
    }
}

/// What a user namespace forbids: user_namespaces(7).
impl Model {
    fn unmapped(what: &str, kind: &str, id: u32) -> SystemError {
        SystemError::errno(22, what)
            .why(format!("{kind} {id} does not exist in this user namespace"))
            .help("run it where the id exists: map more ids (`unshare --map-auto`, a container with a range of ids), or drop to one that is mapped")
    }

    pub(super) fn has_uid(&self, uid: u32, what: &str) -> Result<(), SystemError> {
        match &self.restrictions.namespace {
            Some(ns) if !ns.has_uid(uid) => Err(Self::unmapped(what, "uid", uid)),
            _ => Ok(()),
        }
    }

    pub(super) fn has_gid(&self, gid: u32, what: &str) -> Result<(), SystemError> {
        match &self.restrictions.namespace {
            Some(ns) if !ns.has_gid(gid) => Err(Self::unmapped(what, "gid", gid)),
            _ => Ok(()),
        }
    }

    pub(super) fn groups_allowed(&self, groups: &[u32]) -> Result<(), SystemError> {
        let Some(ns) = &self.restrictions.namespace else { return Ok(()) };
        let what = format!("setgroups {groups:?}");
        if !ns.setgroups {
            return Err(SystemError::errno(1, what)
                .why("setgroups(2) is forbidden in this user namespace: /proc/self/setgroups says `deny`")
                .help("let newgidmap(1) write the map of groups, or start it outside of the namespace"));
        }
        groups.iter().try_for_each(|gid| self.has_gid(*gid, &what))
    }
}
