//! `start-logger`: open the log.

use super::optional;
use engine::effect::Effect;
use engine::kind::{Kind, Learns, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "start-logger",
    about: "Opens the log for appending, or makes it.",
    details: "A symbolic link as last component is refused. A log that this start made is removed again when \
              the start fails before anything was written to it. HUP reopens it, USR1 rotates it. Without a \
              `path` there is no log: the application's output goes to the terminal. A Twisted application \
              that has a logger of its own keeps it, and no log is opened.",
    params: &[
        optional("path", Type::Path, None, "the log file"),
        optional("owner", Type::Owner, None, "who the log is given to: `dropped`, a user, or USER:GROUP"),
        optional("mode", Type::Mode, Some("0644"), "permission bits of a new log, before the umask"),
        optional("rotate-at", Type::Size, None, "size at which it is rotated to NAME.1, NAME.2 …"),
    ],
    learns: Some(Learns::Log),
    effects: |args, _| {
        let Some(path) = args.path("path") else { return Ok(Vec::new()) };
        Ok(vec![Effect::OpenLog {
            path,
            owner: args.owner("owner"),
            mode: args.mode("mode").unwrap_or(0o644),
            rotate_at: args.size("rotate-at"),
        }])
    },
};
