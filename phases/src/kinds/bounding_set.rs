//! `bounding-set`: what no program can get back.

use super::several;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "bounding-set",
    about: "Cuts the capability bounding set: no set-id program gives the others to the daemon again.",
    details: "Everything but `keep` is taken out (prctl(2), PR_CAPBSET_DROP); without it everything is. Needs \
              cap_setpcap, so it stands before the drop. What this process holds already it keeps. Capabilities \
              that the drop keeps must stay in the set: they become inheritable.",
    params: &[several("keep", Type::Capability, "capabilities that stay in the set")],
    learns: None,
    effects: |args, _| Ok(vec![Effect::Process(Setting::Bounding(args.capabilities("keep")))]),
};
