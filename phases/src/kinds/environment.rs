//! `environment`: what the program finds in its environment.

use super::{optional, several};
use engine::effect::{Effect, Environment};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "environment",
    about: "Replaces the caller's environment by one that is written down.",
    details: "Nothing of the caller's stays but what `keep` names (`LC_*` stands for all that begin so), so no \
              secret, no `LD_PRELOAD` and no home directory of another user gets through. `user` gives HOME, USER, \
              LOGNAME and SHELL; without it those of the caller stay. `files` hold one NAME=VALUE a line, with \
              quotes and `#` comments as systemd's EnvironmentFile has them, and are read by whoever runs this \
              phase: put it before the drop, and only root need be able to read them. What is set comes last and \
              wins. LISTEN_FDS and NOTIFY_SOCKET of the program are added when it is started. The memory of the \
              old environment is cleared. A program is looked up on the caller's PATH where it is loaded before.",
    params: &[
        optional("user", Type::User, None, "whose HOME, USER, LOGNAME and SHELL it is to have"),
        optional(
            "path",
            Type::String,
            Some("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            "PATH",
        ),
        several("keep", Type::String, "names that stay as the caller has them"),
        several("files", Type::Path, "files of NAME=VALUE lines"),
        several("set", Type::String, "NAME=VALUE"),
    ],
    learns: None,
    effects: |args, _| {
        let mut keep = args.strings("keep");
        let mut set: Vec<(String, String)> = Vec::new();
        match args.user("user") {
            Some(user) => {
                let shell = match user.shell.as_os_str().is_empty() {
                    true => "/bin/sh".to_owned(),
                    false => user.shell.display().to_string(),
                };
                set.push(("HOME".to_owned(), user.home.display().to_string()));
                set.push(("USER".to_owned(), user.name.clone()));
                set.push(("LOGNAME".to_owned(), user.name));
                set.push(("SHELL".to_owned(), shell));
            }
            None => keep.extend(["HOME", "USER", "LOGNAME", "SHELL"].map(str::to_owned)),
        }
        set.extend(args.string("path").map(|path| ("PATH".to_owned(), path)));
        for pair in args.strings("set") {
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Unfit::new(
                    format!("`{}` is no NAME=VALUE", engine::text::clean(&pair)),
                    "write the name, `=`, and the value",
                )
                .in_list("set", pair.clone()));
            };
            set.retain(|(n, _)| n != name);
            set.push((name.to_owned(), value.to_owned()));
        }
        Ok(vec![Effect::Environment(Environment { keep, files: args.paths("files"), set })])
    },
};
