//! `create-pid-file`: say which process the daemon is, and keep others out.

use super::{optional, required};
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "create-pid-file",
    about: "Makes the PID file: exclusively, locked for the daemon's life, complete when it appears.",
    details: "The file is written and locked under another name and then renamed without replacing anything, so \
              nobody ever sees half of it and two daemons never share one. A stale file (its lock is free) is \
              replaced. The daemon holds an open-file-description lock on byte 0, which excludes, and a record \
              lock on byte 1, by which the kernel names the holder (fcntl(2), F_GETLK). If the lock is held the \
              start ends with exit code 5.",
    params: &[
        required("path", Type::Path, "the PID file"),
        optional("owner", Type::Owner, None, "who it is given to: `dropped`, a user, or USER:GROUP"),
        optional("mode", Type::Mode, Some("0644"), "permission bits, before the umask"),
    ],
    learns: None,
    effects: |args, _| {
        let Some(path) = args.path("path") else { return Ok(Vec::new()) };
        Ok(vec![Effect::CreatePidFile {
            path,
            owner: args.owner("owner"),
            mode: args.mode("mode").unwrap_or(0o644),
        }])
    },
};
