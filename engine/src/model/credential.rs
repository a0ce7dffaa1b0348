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
                self.identity.groups = wanted;
            }
        }
        if let Some(gid) = gid {
            let ids = wanted(self.identity.gid, gid, effective);
            if ids != self.identity.gid {
                if !self.has(Capability::Setgid) && !self.identity.gid.contains(&gid) {
                    return Err(self.denied(Capability::Setgid, format!("set{kind}gid {gid}")));
                }
                self.identity.gid = ids;
            }
        }
        if let Some(uid) = uid {
            let (before, after) = (self.identity.uid, wanted(self.identity.uid, uid, effective));
            if after != before {
                if !self.has(Capability::Setuid) && !before.contains(&uid) {
                    return Err(self.denied(Capability::Setuid, format!("set{kind}uid {uid}")));
                }
                self.identity.uid = after;
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
