//! Who the daemon is behind the drop.

use super::Plan;
use crate::effect::Effect;
use serde::{Deserialize, Serialize};

/// The step that drops, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropStep {
    /// its place in the plan
    pub step: usize,
    /// user id
    pub uid: u32,
    /// group id
    pub gid: u32,
    /// supplementary groups
    pub groups: Vec<u32>,
}

impl Plan {
    /// The drop, where it is for good and to somebody else than root: what is made behind it is that user's.
    pub fn drop_step(&self) -> Option<DropStep> {
        let step = self.steps().iter().position(|s| s.drop && s.skipped.is_none())?;
        self.steps()[step].effects.iter().find_map(|e| match e {
            // With the effective ids alone it can be root whenever it likes, and root is no other than it was:
            // there is nothing to distrust.
            Effect::SetCredential { uid: Some(uid @ 1..), gid, groups, effective: false, .. } => {
                let gid = gid.unwrap_or(*uid);
                Some(DropStep { step, uid: *uid, gid, groups: groups.clone().unwrap_or_else(|| vec![gid]) })
            }
            _ => None,
        })
    }
}
