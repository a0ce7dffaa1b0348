//! `remove-sockets`: take the names of Unix sockets away.

use super::several;
use engine::effect::{Effect, Listen, Socket};
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "remove-sockets",
    about: "Removes the names of the Unix sockets that `privileged-start` has bound.",
    details: "close(2) leaves the name of a Unix socket where it is (unix(7)). By handle, as `remove-pid-file` does: \
              what has taken the name since stays. Addresses without a path, and those with `keep`, are passed over. \
              In a directory of root's only the guard may do it after the drop: declare `privilege: privileged`.",
    params: &[several("listen", Type::Socket, "addresses, as `privileged-start` has them")],
    learns: None,
    effects: |args, _| {
        let path = |Listen { socket, options }| match socket {
            Socket::Unix(path) if !options.keep => Some(Effect::RemoveSocket { path }),
            _ => None,
        };
        Ok(args.sockets("listen").into_iter().rev().filter_map(path).collect())
    },
};
