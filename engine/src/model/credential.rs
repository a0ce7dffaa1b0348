//! What setgroups, setresgid and setresuid do: setresuid(2), capabilities(7) "Effect of user ID
//! changes on capabilities".

use super::Model;
use crate::effect::{Capability, CapabilitySet, Done, SystemError, Undo};

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
    ) -> Result<Done, SystemError> {
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
                self.identity.uid = after;
                if self.restrictions.keeps_capabilities() {
                    return self.capabilities_stay(before.contains(&0) && !after.contains(&0));
                }
                if before.contains(&0) && !after.contains(&0) {
                    self.identity.permitted = CapabilitySet::EMPTY;
                    self.identity.ambient = CapabilitySet::EMPTY;
                    self.identity.inheritable = CapabilitySet::EMPTY;
                }
                if before.contains(&0) && !after.contains(&0) || before[1] == 0 && uid != 0 {
                    self.identity.caps = CapabilitySet::EMPTY;
                }
                if before[1] != 0 && uid == 0 {
                    self.identity.caps = self.identity.permitted;
                }
            }
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }
}

/// What a user namespace and the securebits forbid: user_namespaces(7), capabilities(7).
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

    /// With SECBIT_NO_SETUID_FIXUP nothing is taken away with the uid, and the host, which looks,
    /// refuses a drop that leaves capabilities.
    fn capabilities_stay(&mut self, left_root: bool) -> Result<Done, SystemError> {
        let id = &mut self.identity;
        if left_root && !id.inheritable.is_empty() {
            id.caps = CapabilitySet::EMPTY;
            id.permitted = CapabilitySet::EMPTY;
            id.inheritable = CapabilitySet::EMPTY;
            id.ambient = CapabilitySet::EMPTY;
        }
        let left = [id.caps, id.permitted, id.ambient, id.inheritable];
        if left_root && left.iter().any(|set| !set.is_empty()) {
            return Err(SystemError::new("the drop did not take: capabilities are left")
                .why("securebits: no_setuid_fixup is set, so a change of the uid takes no capability away")
                .help("start it without that securebit (`setpriv --securebits -no_setuid_fixup`)"));
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }
}
