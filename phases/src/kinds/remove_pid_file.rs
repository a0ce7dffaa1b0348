//! `remove-pid-file`: take the PID file away.

use super::required;
use engine::effect::Effect;
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "remove-pid-file",
    about: "Removes the PID file, if it is still the one this run made.",
    details: "By handle: the directory that was open when the file was made, so a chroot in between does not \
              matter. Who runs this phase needs write permission on that directory: after a drop that is often \
              not so (twisted/twisted#5297), which the check tells before the start.",
    params: &[required("path", Type::Path, "the PID file, as `create-pid-file` has it")],
    learns: None,
    effects: |args, _| Ok(args.path("path").map(|path| Effect::RemovePidFile { path }).into_iter().collect()),
};
