//! `nice`: the nice value.

use super::required;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "nice",
    about: "Sets the nice value, setpriority(2): -20 (first) to 19 (last).",
    details: "Not a step but the value itself, whatever the caller's was. Less than the present one needs \
              cap_sys_nice or a limit `nice` that allows it.",
    params: &[required("value", Type::Integer, "the nice value")],
    learns: None,
    effects: |args, _| match args.integer("value") {
        None => Ok(Vec::new()),
        Some(value @ -20..=19) => Ok(vec![Effect::Process(Setting::Nice(value as i32))]),
        Some(value) => Err(Unfit::new(
            format!("a nice value is -20 to 19, and this is {value}"),
            "write 0 for the usual one",
        )
        .of("value")),
    },
};
