//! `dumpable`: whether this process can be looked into.

use super::required;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "dumpable",
    about: "Says whether this process can be traced by its own user and leaves core files, PR_SET_DUMPABLE.",
    details: "The drop turns it off and execve(2) turns it on again, so it is for what runs in this very process: \
              the keeper, a Twisted application. For core files of any program see `limits`, `core: 0`.",
    params: &[required("value", Type::Flag, "true or false")],
    learns: None,
    effects: |args, _| {
        Ok(args.flag("value").map(|on| Effect::Process(Setting::Dumpable(on))).into_iter().collect())
    },
};
