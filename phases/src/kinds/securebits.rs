//! `securebits`: what uid 0 is worth.

use super::several;
use engine::effect::{Effect, SecureBits, Setting};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "securebits",
    about: "Sets the securebits: whether uid 0 and changes of user ids act on capabilities.",
    details: "`noroot`, `no-setuid-fixup`, `keep-caps`, `no-cap-ambient-raise`, and each with `-locked` for good \
              (capabilities(7), \"The securebits flags\"). Those that are not written are cleared. Needs \
              cap_setpcap, so it stands before the drop. The drop gives every capability up all the same that \
              it is not told to keep; to keep some it needs `keep-caps` unlocked and `no-cap-ambient-raise` unset.",
    params: &[several("bits", Type::String, "names of bits")],
    learns: None,
    effects: |args, _| {
        let names = args.strings("bits");
        let mut bits = 0;
        for name in &names {
            let Some(bit) = SecureBits::by_name(name) else {
                let known: Vec<_> = SecureBits::NAMES.iter().map(|(n, _)| *n).collect();
                return Err(Unfit::new(
                    format!("there is no securebit `{name}`"),
                    format!("the bits are {}", known.join(", ")),
                )
                .in_list("bits", name.clone()));
            };
            bits |= bit;
        }
        if args.get("bits").is_none() {
            return Ok(Vec::new());
        }
        Ok(vec![Effect::Process(Setting::SecureBits(SecureBits(bits)))])
    },
};
