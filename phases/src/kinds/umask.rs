//! `umask`: the bits that new files do not get.

use super::required;
use engine::effect::Effect;
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "umask",
    about: "Sets the file mode creation mask, umask(2).",
    details: "What was made before keeps its mode: put it before the log and the PID file.",
    params: &[required("mask", Type::Mode, "the bits that new files do not get, at most 0777")],
    learns: None,
    effects: |args, _| match args.mode("mask") {
        None => Ok(Vec::new()),
        Some(mask) if mask > 0o777 => Err(Unfit::new(
            format!("a umask is at most 0777, and this is {mask:04o}"),
            "give three octal digits, such as 022 or 077",
        )
        .of("mask")),
        Some(mask) => Ok(vec![Effect::Umask { mask }]),
    },
};
