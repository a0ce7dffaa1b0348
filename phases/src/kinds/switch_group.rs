//! `switch-group`: the groups of a user, and not yet the user.

use super::{optional, several};
use engine::effect::{CapabilitySet, Effect};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "switch-group",
    about: "Sets the supplementary groups and the group of a user, and keeps the uid.",
    details: "setgroups and setresgid, as early as systemd does it; `switch-user` finds them set. It is no drop: \
              uid 0 and its capabilities stay.",
    params: &[
        optional("uid", Type::User, None, "the user whose groups they are"),
        optional("gid", Type::Group, None, "the group; the user's own if absent"),
        several("groups", Type::Group, "supplementary groups besides the user's own"),
    ],
    learns: None,
    effects: |args, context| {
        let user = args.user("uid").filter(|u| u.uid != context.start_uid);
        let group = args.group("gid").map(|g| g.gid);
        let Some(gid) = group.or(user.as_ref().and_then(|u| u.gid)) else {
            return match user {
                None => Ok(Vec::new()),
                Some(user) => Err(Unfit::new(
                    format!("user {} has no entry that tells its group", user.name),
                    "give `gid` too, or name a user that has an entry (`getent passwd`)",
                )),
            };
        };
        let mut groups = user.as_ref().map(|u| u.groups.clone()).unwrap_or_default();
        if let (Some(user), Some(group)) = (&user, group) {
            groups.retain(|g| Some(*g) != user.gid || *g == group);
        }
        groups.push(gid);
        groups.extend(args.groups("groups"));
        groups.sort_unstable();
        groups.dedup();
        let keep = CapabilitySet::EMPTY;
        Ok(vec![Effect::SetCredential {
            uid: None,
            gid: Some(gid),
            groups: Some(groups),
            effective: false,
            keep,
        }])
    },
};
