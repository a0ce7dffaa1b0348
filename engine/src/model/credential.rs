//! What setgroups, setresgid and setresuid do: setresuid(2), capabilities(7) "Effect of user ID
//! changes on capabilities".

use super::Model;
use crate::effect::{Capability, CapabilitySet, Done, SystemError, Undo};

impl Model {
    /// The three calls, in the one right order. What is already so is not asked of the kernel.
    pub(super) fn set_credential(
        &mut self,
        uid: Option<u32>,
        gid: Option<u32>,
        groups: Option<&[u32]>,
    ) -> Result<Done, SystemError> {
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
        if let Some(gid) = gid.filter(|g| self.identity.gid != [*g; 3]) {
            if !self.has(Capability::Setgid) && !self.identity.gid.contains(&gid) {
                return Err(self.denied(Capability::Setgid, format!("setresgid {gid}")));
            }
            self.identity.gid = [gid; 3];
        }
        if let Some(uid) = uid.filter(|u| self.identity.uid != [*u; 3]) {
            if !self.has(Capability::Setuid) && !self.identity.uid.contains(&uid) {
                return Err(self.denied(Capability::Setuid, format!("setresuid {uid}")));
            }
            let had_root = self.identity.uid.contains(&0);
            self.identity.uid = [uid; 3];
            if had_root && uid != 0 {
                self.identity.caps = CapabilitySet::EMPTY;
                self.identity.permitted = CapabilitySet::EMPTY;
                self.identity.ambient = CapabilitySet::EMPTY;
                self.identity.inheritable = CapabilitySet::EMPTY;
            }
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }
}
