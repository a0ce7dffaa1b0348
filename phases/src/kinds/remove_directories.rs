//! `remove-directories`: take runtime directories away.

use super::several;
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "remove-directories",
    about: "Removes directories that `make-directories` has made or found, if nothing is in them.",
    details: "By handle, as `remove-pid-file` does. A directory that is not empty stays, with a note: what is in \
              it is the daemon's. In a directory of root's only the guard may do it after the drop: declare \
              `privilege: privileged`.",
    params: &[several("paths", Type::Path, "directories, as `make-directories` has them")],
    learns: None,
    effects: |args, _| {
        Ok(args.paths("paths").into_iter().rev().map(|path| Effect::RemoveDirectory { path }).collect())
    },
};
