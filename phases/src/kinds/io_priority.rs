//! `io-priority`: whose turn it is at the disk.

use super::{optional, required};
use engine::effect::{Effect, IoPriority, Setting};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "io-priority",
    about: "Sets the class and level of input and output, ioprio_set(2).",
    details: "`none` leaves it to the nice value. `realtime` needs cap_sys_nice or cap_sys_admin. Schedulers of \
              block devices that know no priorities do not look at it.",
    params: &[
        required("class", Type::String, "`none`, `realtime`, `best-effort` or `idle`"),
        optional("level", Type::Integer, Some("4"), "of `realtime` and `best-effort`: 0 (first) to 7"),
    ],
    learns: None,
    effects: |args, _| {
        let Some(class) = args.string("class") else { return Ok(Vec::new()) };
        let Some(level @ 0..=7) = args.integer("level") else {
            return Err(Unfit::new(
                "a level of input and output is 0 to 7",
                "write `level: 4` for the usual one",
            )
            .of("level"));
        };
        let priority = match class.as_str() {
            "none" => IoPriority::None,
            "realtime" => IoPriority::Realtime(level as u8),
            "best-effort" => IoPriority::BestEffort(level as u8),
            "idle" => IoPriority::Idle,
            _ => {
                return Err(Unfit::new(
                    format!("there is no class `{class}` of input and output"),
                    "write `none`, `realtime`, `best-effort` or `idle`",
                )
                .of("class"));
            }
        };
        Ok(vec![Effect::Process(Setting::IoPriority(priority))])
    },
};
