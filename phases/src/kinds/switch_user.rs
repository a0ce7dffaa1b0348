//! `switch-user`: the drop.

use super::{optional, several};
use engine::effect::Effect;
use engine::kind::{Kind, Learns, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "switch-user",
    about: "Gives up the starting user: supplementary groups, group, user, in that order, for good.",
    details: "setgroups, setresgid, setresuid with all three ids, read back, and a way back to the old ids refused \
              (credentials(7); CVE-2006-2607, python/cpython#112617). Without `gid` the user's own group is taken; \
              with `gid` alone the supplementary groups become that group alone. What is already so is not asked \
              of the kernel, so an ordinary user may name itself. What is left open here a Twisted application may \
              name, each of the two for itself: `Application(uid=, gid=)`. Without any of them there is no drop. \
              With `effective` only the effective ids change, as twistd's `--euid` has it, and root can be taken \
              back. `capabilities` stay: keepcaps, setresuid, then permitted, inheritable and ambient, so that the \
              program has them too; keepcaps off, and all sets read back.",
    params: &[
        optional("uid", Type::User, None, "the user"),
        optional("gid", Type::Group, None, "the group; the user's own if absent"),
        several("groups", Type::Group, "supplementary groups besides the user's own"),
        several("capabilities", Type::Capability, "capabilities that the daemon and its program keep"),
        optional("effective", Type::Flag, None, "set only the effective ids: root can be taken back"),
    ],
    learns: Some(Learns::Credential),
    effects: |args, context| {
        let brought = context.brought.clone().unwrap_or_default();
        let user = args.user("uid").or(brought.user);
        let group = args.group("gid").map(|g| g.gid).or(brought.gid);
        if user.is_none() && group.is_none() {
            return Ok(Vec::new());
        }
        let effective = args.flag("effective").unwrap_or(false);
        let keep = args.capabilities("capabilities");
        let more = args.groups("groups");
        if effective && !keep.is_empty() {
            return Err(Unfit::new(
                "capabilities are to be kept, and root can be taken back",
                "leave `effective` or `capabilities` away",
            ));
        }
        // An ordinary user that names itself stays who it is: it could not ask the kernel for more.
        if let Some(user) = user.as_ref().filter(|u| u.uid == context.start_uid && u.uid != 0) {
            let groups = (!more.is_empty()).then(|| [user.groups.as_slice(), &more].concat());
            return Ok(vec![Effect::SetCredential {
                uid: Some(user.uid),
                gid: group,
                groups,
                effective,
                keep,
            }]);
        }
        let Some(gid) = group.or(user.as_ref().and_then(|u| u.gid)) else {
            let name = user.map(|u| u.name).unwrap_or_default();
            return Err(Unfit::new(
                format!("user {name} has no entry that tells its group"),
                "give `gid` too, or name a user that has an entry (`getent passwd`)",
            ));
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
        groups.extend(more);
        groups.sort_unstable();
        groups.dedup();
        let uid = user.map(|u| u.uid);
        Ok(vec![Effect::SetCredential { uid, gid: Some(gid), groups: Some(groups), effective, keep }])
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use engine::effect::{Brought, CapabilitySet};
    use engine::kind::{Args, Context, Value};
    use engine::snapshot::{Group, User};

    fn user(uid: u32, gid: Option<u32>) -> User {
        let groups = gid.into_iter().chain([uid + 100]).collect();
        User { name: format!("u{uid}"), uid, gid, groups, home: "/".into(), shell: Default::default() }
    }

    type Set = (Option<u32>, Option<u32>, Vec<u32>);

    /// What is set: user, group, groups; from the command line and from the application.
    fn set(
        line: (Option<User>, Option<u32>),
        application: (Option<User>, Option<u32>),
    ) -> Result<Option<Set>, String> {
        let mut args = Args::default();
        args.0.extend(line.0.map(|u| ("uid", Value::User(u))));
        args.0.extend(line.1.map(|gid| ("gid", Value::Group(Group { name: gid.to_string(), gid }))));
        let brought = Brought { user: application.0, gid: application.1, logger: None };
        let context = Context { brought: Some(brought), ..Context::default() };
        Ok((KIND.effects)(&args, &context).map_err(|unfit| unfit.why)?.pop().map(|effect| match effect {
            Effect::SetCredential { uid, gid, groups, effective: false, .. } => {
                (uid, gid, groups.unwrap_or_default())
            }
            other => panic!("{other}"),
        }))
    }

    /// TWISTD 1, row 10: the command line beats the application, each field for itself.
    #[test]
    fn the_command_line_comes_first_field_by_field() {
        let (line, own) = (user(2, Some(20)), user(1, Some(10)));
        let wanted = |uid, gid, groups: &[u32]| Ok(Some((uid, Some(gid), groups.to_vec())));
        assert_eq!(set((None, None), (None, None)), Ok(None));
        assert_eq!(set((None, None), (Some(own.clone()), None)), wanted(Some(1), 10, &[10, 101]));
        assert_eq!(set((None, None), (Some(own.clone()), Some(50))), wanted(Some(1), 50, &[50, 101]));
        assert_eq!(
            set((Some(line.clone()), None), (Some(own.clone()), Some(50))),
            wanted(Some(2), 50, &[50, 102])
        );
        assert_eq!(set((None, Some(60)), (Some(own.clone()), Some(50))), wanted(Some(1), 60, &[60, 101]));
        assert_eq!(set((Some(line), Some(60)), (Some(own), Some(50))), wanted(Some(2), 60, &[60, 102]));
    }

    #[test]
    fn a_group_alone_keeps_none_of_roots_groups() {
        assert_eq!(set((None, None), (None, Some(50))), Ok(Some((None, Some(50), vec![50]))));
    }

    #[test]
    fn an_ordinary_user_may_name_itself_whatever_its_groups_are_now() {
        let mut args = Args::default();
        args.0.push(("uid", Value::User(user(7, Some(7)))));
        let context = Context { start_uid: 7, start_gid: 9, ..Context::default() };
        let own = Effect::SetCredential {
            uid: Some(7),
            gid: None,
            groups: None,
            effective: false,
            keep: CapabilitySet::EMPTY,
        };
        assert_eq!((KIND.effects)(&args, &context), Ok(vec![own]));
    }

    #[test]
    fn a_number_without_an_entry_has_no_group() {
        assert!(set((None, None), (Some(user(7, None)), None)).is_err());
        let with = set((None, None), (Some(user(7, None)), Some(8)));
        assert_eq!(with, Ok(Some((Some(7), Some(8), vec![8, 107]))));
    }
}
