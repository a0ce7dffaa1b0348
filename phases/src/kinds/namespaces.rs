//! `namespaces`: a part of the machine of its own.

use super::optional;
use engine::effect::{Effect, Namespace, NamespaceSet};
use engine::kind::{Kind, Param, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "namespaces",
    about: "Leaves namespaces of the machine for new ones, unshare(2).",
    details: "Needs cap_sys_admin (and cap_net_admin for `network`), so it precedes the drop. What was opened or \
              bound before stays what it was: a socket that is bound before the network is left is reachable from \
              outside, and in the new network namespace there is the loopback device, up, and nothing else. A new \
              mount namespace is a copy; new mounts of the machine still come into it, and nothing that is mounted \
              in it reaches the machine (MS_SLAVE, mount_namespaces(7)): it is made by `mounts` and `pivot-root`, \
              too. Put it behind `daemonize`, so that the launcher stays outside. Namespaces end with the last \
              process in them. There is no PID namespace: its first process would have to be another one than the \
              daemon, and no user namespace: what it is for, an ordinary user cannot have without a second \
              process to write its maps.",
    params: &PARAMS,
    learns: None,
    effects: |args, _| {
        let asked = |n: &Namespace| args.flag(n.name()).unwrap_or(false);
        let namespaces: NamespaceSet = Namespace::ALL.iter().copied().filter(|n| asked(n)).collect();
        Ok(if namespaces.is_empty() { Vec::new() } else { vec![Effect::Unshare { namespaces }] })
    },
};

const PARAMS: [Param; Namespace::ALL.len()] = {
    let mut params = [optional("", Type::Flag, None, ""); Namespace::ALL.len()];
    let mut n = 0;
    while n < params.len() {
        params[n] = optional(Namespace::ALL[n].name(), Type::Flag, None, Namespace::ALL[n].about());
        n += 1;
    }
    params
};
