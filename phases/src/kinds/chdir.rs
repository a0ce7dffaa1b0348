//! `chdir`: change the working directory.

use super::required;
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "chdir",
    about: "Changes the working directory, chdir(2).",
    details: "The path is seen inside the root at that time. Where it stands behind the drop, the directory \
              must be one that the dropped user may enter.",
    params: &[required("path", Type::Path, "the new working directory")],
    learns: None,
    effects: |args, _| Ok(args.path("path").map(|path| Effect::Chdir { path }).into_iter().collect()),
};
