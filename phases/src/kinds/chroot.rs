//! `chroot`: change the root directory.

use super::required;
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "chroot",
    about: "Changes the root directory, chroot(2).",
    details: "Needs cap_sys_chroot, so it precedes the drop. The working directory stays outside until a \
              `chdir` follows; without one the check refuses. Users, groups and programs are looked up before.",
    params: &[required("path", Type::Path, "the new root directory")],
    learns: None,
    effects: |args, _| Ok(args.path("path").map(|path| Effect::Chroot { path }).into_iter().collect()),
};
