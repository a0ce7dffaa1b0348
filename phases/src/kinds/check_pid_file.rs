//! `check-pid-file`: refuse a second daemon.

use super::required;
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "check-pid-file",
    about: "Refuses the start while a running daemon holds the lock of this PID file; removes a stale one.",
    details: "Only the lock counts: a number in the file that happens to be another process's (a re-used PID), \
              an empty file or garbage do not block a start. A symbolic link or anything that is no regular \
              file is refused. If the lock is held the start ends with exit code 5.",
    params: &[required("path", Type::Path, "the PID file")],
    learns: None,
    effects: |args, _| Ok(args.path("path").map(|path| Effect::CheckPidFile { path }).into_iter().collect()),
};
