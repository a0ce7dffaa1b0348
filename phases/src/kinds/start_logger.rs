//! `start-logger`: open the log.

use super::optional;
use engine::effect::{Effect, Rotation};
use engine::kind::{Kind, Learns, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "start-logger",
    about: "Opens the log for appending, or makes it.",
    details: "A symbolic link as last component is refused. A log that this start made is removed again when \
              the start fails before anything was written to it. HUP reopens it, USR1 rotates it. A rotated log \
              is NAME.1, the one before it NAME.2; lines stay whole. Time is looked at when there is something \
              to write, so that an idle daemon sleeps: the first line of a new hour, day or week (UTC, from \
              midnight, from Monday) begins a new file. `compress` is done by a child, NAME.1.gz. What is to be \
              done after the drop is done by the dropped user. A full disk loses lines, which the log says as \
              soon as it can, and never stops the program. Without a `path` there is no log: the application's \
              output goes to the terminal. A Twisted application that has a logger of its own keeps it, and no \
              log is opened.",
    params: &[
        optional("path", Type::Path, None, "the log file"),
        optional("owner", Type::Owner, None, "who the log is given to: `dropped`, a user, or USER:GROUP"),
        optional("mode", Type::Mode, Some("0644"), "permission bits of a new log, before the umask"),
        optional("rotate-at", Type::Size, None, "size at which it is rotated to NAME.1, NAME.2 …"),
        optional("rotate-every", Type::String, None, "hourly, daily, weekly or a duration, such as 6h"),
        optional("keep", Type::Integer, None, "how many rotated files are kept; all where it is absent"),
        optional("max-age", Type::Duration, None, "rotated files that are older are removed, such as 14d"),
        optional("compress", Type::Flag, None, "rotated files are compressed (gzip)"),
    ],
    learns: Some(Learns::Log),
    effects: |args, _| {
        let Some(path) = args.path("path") else { return Ok(Vec::new()) };
        let every = match args.string("rotate-every").as_deref() {
            None => None,
            Some("hourly") => Some(3_600),
            Some("daily") => Some(86_400),
            Some("weekly") => Some(7 * 86_400),
            Some(text) => match engine::options::duration_text(text) {
                Ok(ns) if ns >= 1_000_000_000 => Some(ns / 1_000_000_000),
                _ => {
                    return Err(Unfit::new(
                        format!("`{text}` is not a period to rotate a log by"),
                        "write hourly, daily, weekly or a duration of a second and more, such as 6h",
                    )
                    .of("rotate-every"));
                }
            },
        };
        let keep = match args.integer("keep") {
            None => None,
            Some(n) => match u32::try_from(n).ok().filter(|n| *n > 0) {
                Some(n) => Some(n),
                None => {
                    return Err(Unfit::new(
                        format!("{n} rotated files cannot be kept"),
                        "write 1 or more, or leave `keep` away to keep all of them",
                    )
                    .of("keep"));
                }
            },
        };
        Ok(vec![Effect::OpenLog {
            path,
            owner: args.owner("owner"),
            mode: args.mode("mode").unwrap_or(0o644),
            rotate_at: args.size("rotate-at"),
            rotation: Rotation {
                every,
                keep,
                max_age: args.duration("max-age").map(|ns| ns / 1_000_000_000),
                compress: args.flag("compress").unwrap_or(false),
            },
        }])
    },
};
