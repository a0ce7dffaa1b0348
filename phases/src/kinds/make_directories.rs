//! `make-directories`: places of the daemon's own.

use super::{optional, several};
use engine::effect::Effect;
use engine::kind::{Kind, Type};
use std::path::{Path, PathBuf};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "make-directories",
    about: "Makes directories, and gives them to the daemon's user.",
    details: "For what systemd calls RuntimeDirectory, StateDirectory, CacheDirectory and LogsDirectory. Only the \
              last name is made. What is there stays as it is, and must be a directory of that owner and no \
              symbolic link: nothing of another's is given away, and nothing is changed below it. `of` names files \
              instead: the directory of each is made if it is missing, and may be anybody's if it is there. A \
              directory that this start made is removed when the start fails and nothing is in it.",
    params: &[
        several("paths", Type::Path, "directories"),
        several("of", Type::Path, "files whose directories are made"),
        optional("owner", Type::Owner, None, "who they are given to: `dropped`, a user, or USER:GROUP"),
        optional("mode", Type::Mode, Some("0755"), "permission bits of a new one, before the umask"),
    ],
    learns: None,
    effects: |args, _| {
        let (owner, mode) = (args.owner("owner"), args.mode("mode").unwrap_or(0o755));
        let make = |any_owner| move |path: PathBuf| Effect::MakeDirectory { path, owner, mode, any_owner };
        let of = args.paths("of").into_iter().filter_map(|p| p.parent().map(Path::to_owned));
        let of = of.filter(|dir| dir.file_name().is_some());
        Ok(args.paths("paths").into_iter().map(make(false)).chain(of.map(make(true))).collect())
    },
};
