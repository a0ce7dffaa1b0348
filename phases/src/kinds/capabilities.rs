//! `capabilities`: the sets of this process.

use super::several;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "capabilities",
    about: "Sets the permitted, inheritable and ambient capabilities of this process.",
    details: "A set that is not written stays; the effective set follows the permitted one. A capability can be \
              ambient only if it is permitted and inheritable, so what is written under `ambient` is made \
              inheritable too. The drop clears all of them: what the daemon is to have is kept there \
              (`switch-user`, `capabilities`), or raised behind it. A program that is not run as root has the \
              ambient ones and no other (capabilities(7), \"Transformation of capabilities during execve()\").",
    params: &[
        several("permitted", Type::Capability, "capabilities that may be used"),
        several("inheritable", Type::Capability, "capabilities that a file may pass on over execve(2)"),
        several("ambient", Type::Capability, "capabilities that every program has that is run from here"),
    ],
    learns: None,
    effects: |args, _| {
        let set = |name| args.get(name).map(|_| args.capabilities(name));
        let (permitted, mut inheritable, ambient) = (set("permitted"), set("inheritable"), set("ambient"));
        if let (Some(permitted), Some(ambient)) = (permitted, ambient)
            && let Some(first) = ambient.without(permitted).iter().next()
        {
            return Err(Unfit::new(
                format!("{first} is to be ambient and not permitted"),
                "write it under `permitted` too, or leave `permitted` away",
            ));
        }
        if let Some(ambient) = ambient {
            inheritable =
                Some(inheritable.into_iter().flat_map(|s| s.iter()).chain(ambient.iter()).collect());
        }
        if permitted.or(inheritable).or(ambient).is_none() {
            return Ok(Vec::new());
        }
        Ok(vec![Effect::Process(Setting::Capabilities { permitted, inheritable, ambient })])
    },
};
