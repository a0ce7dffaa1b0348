//! `pivot-root`: another root, and no way back.

use super::required;
use engine::effect::{Effect, Namespace};
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "pivot-root",
    about: "Makes a directory the root of a mount namespace of its own, pivot_root(2).",
    details: "In place of `chroot`: the old root is taken out of the namespace, so that not even root finds a way \
              back to it, and the working directory is the new root. What was mounted below the directory comes \
              along: put a phase of kind `mounts` before it that binds what the program needs (/usr, /etc/resolv.conf, \
              /dev/null). Needs cap_sys_admin, so it precedes the drop, and precedes a `chroot` (EINVAL otherwise). \
              A handle that was opened before stays what it was, such as that of the log's directory.",
    params: &[required("path", Type::Path, "the new root directory")],
    learns: None,
    effects: |args, _| {
        let Some(path) = args.path("path") else { return Ok(Vec::new()) };
        let own = Effect::Unshare { namespaces: [Namespace::Mount].into_iter().collect() };
        Ok(vec![own, Effect::PivotRoot { path }])
    },
};
