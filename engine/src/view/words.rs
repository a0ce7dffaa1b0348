//! Words for who a process is, the same in every view.

use crate::effect::{CapabilitySet, Identity};

/// "0", or "1000/0/0" where real, effective and saved differ.
pub(in crate::view) fn ids(ids: [u32; 3]) -> String {
    match ids {
        [r, e, s] if r == e && e == s => e.to_string(),
        [r, e, s] => format!("{r}/{e}/{s}"),
    }
}

/// "root" or "uid 1000".
pub(in crate::view) fn user(identity: &Identity) -> String {
    match identity.uid {
        [0, 0, 0] => "root".to_owned(),
        uid => format!("uid {}", ids(uid)),
    }
}

/// "all capabilities", "no capabilities", "cap_chown", "12 capabilities".
pub(in crate::view) fn capabilities(caps: CapabilitySet) -> String {
    match caps.len() {
        0 => "no capabilities".into(),
        1..=2 => caps.iter().map(|c| c.name()).collect::<Vec<_>>().join(", "),
        n if caps.0.trailing_ones() == n && n >= 37 => "all capabilities".into(),
        n => format!("{n} capabilities"),
    }
}
