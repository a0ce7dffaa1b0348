//! `switch-user`: the drop.

use super::optional;
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "switch-user",
    about: "Gives up the starting user: supplementary groups, group, user, in that order, for good.",
    details: "setgroups, setresgid, setresuid with all three ids, read back, and a way back to the old ids refused \
              (credentials(7); CVE-2006-2607, python/cpython#112617). Without `gid` the user's own group is taken; \
              with `gid` alone the supplementary groups become that group alone. What is already so is not asked \
              of the kernel, so an ordinary user may name itself. Without both there is no drop.",
    params: &[
        optional("uid", Type::User, None, "the user"),
        optional("gid", Type::Group, None, "the group; the user's own if absent"),
    ],
    effects: |args, _| {
        let (user, group) = (args.user("uid"), args.group("gid").map(|g| g.gid));
        if user.is_none() && group.is_none() {
            return Ok(Vec::new());
        }
        let gid = group.or(user.as_ref().and_then(|u| u.gid));
        let (Some(gid), user) = (gid, user) else {
            let name = args.user("uid").map(|u| u.name).unwrap_or_default();
            return Err(format!("user {name} has no entry that tells its group: give `gid` too"));
        };
        let mut groups = match &user {
            Some(user) => user.groups.clone(),
            None => Vec::new(),
        };
        // As initgroups(3): the group itself is always among them.
        if let (Some(user), Some(group)) = (&user, group) {
            groups.retain(|g| Some(*g) != user.gid || *g == group);
        }
        groups.push(gid);
        groups.sort_unstable();
        groups.dedup();
        Ok(vec![Effect::SetCredential { uid: user.map(|u| u.uid), gid: Some(gid), groups: Some(groups) }])
    },
};
