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
        let start = self.identity.uid;
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
                self.capabilities_follow(before, after);
                self.give_up_inheritable(before, after);
            }
        }
        self.verify(start)?;
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

    /// capabilities(7), "Effect of user ID changes on capabilities"; with SECBIT_NO_SETUID_FIXUP there is
    /// none.
    pub(super) fn capabilities_follow(&mut self, before: [u32; 3], after: [u32; 3]) {
        let left_root = before.contains(&0) && !after.contains(&0);
        let id = &mut self.identity;
        if !self.restrictions.keeps_capabilities() {
            if left_root {
                id.permitted = CapabilitySet::EMPTY;
                id.ambient = CapabilitySet::EMPTY;
                id.caps = CapabilitySet::EMPTY;
            }
            if before[1] == 0 && after[1] != 0 {
                id.caps = CapabilitySet::EMPTY;
            }
            if before[1] != 0 && after[1] == 0 {
                id.caps = id.permitted;
            }
        }
    }

    /// Inheritable ones, which the kernel leaves, the host takes with all others (CVE-2022-24769).
    fn give_up_inheritable(&mut self, before: [u32; 3], after: [u32; 3]) {
        let id = &mut self.identity;
        if before.contains(&0) && !after.contains(&0) && !id.inheritable.is_empty() {
            id.caps = CapabilitySet::EMPTY;
            id.permitted = CapabilitySet::EMPTY;
            id.inheritable = CapabilitySet::EMPTY;
            id.ambient = CapabilitySet::EMPTY;
        }
    }

    /// The host looks whether the drop took, and refuses one that leaves capabilities.
    fn verify(&self, before: [u32; 3]) -> Result<(), SystemError> {
        let after = self.identity.uid;
        let id = &self.identity;
        let left = [id.caps, id.permitted, id.ambient, id.inheritable];
        let dropped = before.contains(&0) && !after.contains(&0) && left.iter().any(|set| !set.is_empty());
        let stepped_back = after[1] != 0 && after.contains(&0) && !id.caps.is_empty();
        if !dropped && !stepped_back {
            return Ok(());
        }
        let error = SystemError::new("the drop did not take: capabilities are left");
        Err(match self.restrictions.keeps_capabilities() {
            true => error
                .why("securebits: no_setuid_fixup is set, so a change of the uid takes no capability away")
                .help("start it without that securebit (`setpriv --securebits -no_setuid_fixup`)"),
            false => error.why(format!("the process is {}", super::describe(id))),
        })
    }
}
