//! `privileged-start`: what needs the starting credential, above all ports below 1024.

use engine::effect::{Application, Effect, Listen};
use engine::kind::{Kind, Param, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "privileged-start",
    about: "Binds the addresses to listen on, and lets the application do what needs privilege.",
    details: "Every socket is handed to the program as LISTEN_FDS (sd_listen_fds(3)), in the order given, with its \
              name in LISTEN_FDNAMES, and in blocking mode. Ports below `net.ipv4.ip_unprivileged_port_start` need \
              cap_net_bind_service. The options that a socket may have stand under [Sockets](#sockets). A socket \
              that nobody listens behind is replaced, no other file is. `inherit:NAME` passes on what the caller \
              has handed to rsd itself. What has a path is removed by `remove-sockets`.",
    params: &[Param {
        name: "listen",
        ty: Type::Socket,
        list: true,
        required: false,
        default: None,
        help: "addresses: tcp:HOST:PORT, udp:HOST:PORT, unix:PATH or inherit:NAME, with options behind commas",
    }],
    learns: None,
    effects: |args, _| {
        let mut effects: Vec<_> = args
            .sockets("listen")
            .into_iter()
            .map(|Listen { socket, options }| Effect::Bind { socket, options })
            .collect();
        effects.push(Effect::Application(Application::PrivilegedStart));
        Ok(effects)
    },
};
