//! 06xx: the network.

use super::{
    Page,
    Starter::{Anyone, Root},
};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0601",
        title: "a low port is bound without the capability",
        story: "
Ports below `net.ipv4.ip_unprivileged_port_start` (1024 unless it was changed)
are given to processes with cap_net_bind_service (ip(7)). The phase binds one
after the drop, or the start never had the capability.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  privilegedStartService: { privilege: any }
order: [switchUidGid, privilegedStartService]",
        args: &["--spec", "spec.yaml", "--uid", "nobody", "--listen", "tcp:127.0.0.1:80"],
        starter: Root,
        failure: "bind(2) answers EACCES.",
        fix: "bind before the drop, as twistd does: the socket is handed to the
program as LISTEN_FDS. Or use a port from 1024 up.",
    },
    Page {
        code: "RSD0602",
        title: "an address is bound twice",
        story: "
Two phases, or one that names it twice, bind the same address, or one that
takes the other in (0.0.0.0 takes in every address of IPv4, [::] those of
IPv6, too). The kernel gives it to one socket only. An address that another
program has is RSD0604.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  moreSockets:
    kind: privileged-start
    with: { listen: ['tcp:127.0.0.1:8707'] }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "bind(2) answers EADDRINUSE.",
        fix: "bind it once: what one phase has bound is handed to the program as
LISTEN_FDS. If another program has it, `ss -ltnp` names it.",
    },
    Page {
        code: "RSD0603",
        title: "an address is bound and nobody takes it",
        story: "
A socket that is bound and listens is answered by the kernel: it accepts
connections into a queue, whether anybody takes them out or not. The
application is given the sockets that were bound when it is started. One that
is bound behind that, or with no application at all, is held open by the daemon
and never looked at. A Twisted application binds its own ports and is given
none.",
        spec: "
rsd: 1
name: demo
extends: twistd
phases:
  late:
    kind: privileged-start
    privilege: any
    needs: [startApplication]
    with: { listen: ['tcp:127.0.0.1:8080'] }
  postApplication: { phases: { startReactor: { needs: [late] } } }",
        args: &["--spec", "spec.yaml"],
        starter: Anyone,
        failure: "no call fails. Who connects to the port is connected, and
waits for an answer for ever.",
        fix: "bind before the application is started.",
    },
    Page {
        code: "RSD0604",
        title: "the address is in use on this machine",
        story: "
Another socket is bound to the address, or to one that takes it in: 0.0.0.0
takes in every address of IPv4, and [::] those of both unless it was told
otherwise (ipv6(7), IPV6_V6ONLY). For a Unix socket something stands at its
path; only a socket that nobody listens behind is replaced. Sockets of other
network namespaces do not matter. Where the daemon itself is up already, this
is a note: it is its own address.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--pidfile=", "--logfile=", "--listen", "unix:/dev/null"],
        starter: Anyone,
        failure: "bind(2) answers EADDRINUSE.",
        fix: "see who has it (`ss -lntup`, `ss -lx`), and stop that, or choose
another address.",
    },
    Page {
        code: "RSD0605",
        title: "the name of a Unix socket is left behind",
        story: "
bind(2) makes a name in a directory, and close(2) does not remove it (unix(7)).
When the daemon ends in good order nobody takes this one away: no phase of kind
`remove-sockets` names it, or the guard that runs that phase was forked before
the socket was bound. It stays, with the owner it was given. The next start
takes its place, if nobody listens behind it by then.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--listen", "unix:demo.sock"],
        starter: Anyone,
        failure: "no call fails. Who connects after the end is refused, and not
told that there is no daemon.",
        fix: "add a phase of kind `remove-sockets` behind the one that serves, as
specs/daemon.yaml has it. In a directory of root's it is the guard that may do
it after the drop. `unix:PATH,keep` says that the name is to stay.",
    },
    Page {
        code: "RSD0606",
        title: "a socket is to be taken over, and none was handed to us",
        story: "
`inherit:NAME` is a socket that the caller has bound: an init system that starts
daemons by socket activation hands it over with LISTEN_FDS, LISTEN_FDNAMES and
LISTEN_PID (sd_listen_fds(3)), and it is passed on to the program. This process
was given none of that name. A check sees what `rsd check` itself was given,
which in a shell is nothing.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--listen", "inherit:web.socket"],
        starter: Anyone,
        failure: "there is no such descriptor: nothing can be handed to the
program.",
        fix: "start it from a socket unit, whose `FileDescriptorName=` is the name
(without it that is the unit's own name), or name an address to bind.",
    },
    Page {
        code: "RSD0607",
        title: "the address is not on this machine",
        story: "
A socket is bound to an address that a network interface of this machine has, or
to every address, 0.0.0.0 and [::] (ip(7)). This one has none of them: it is
another machine's, the interface is not up yet, or the kernel was told to do
without IPv6. What an interface of another network namespace has does not count.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--listen", "tcp:192.0.2.1:8080"],
        starter: Anyone,
        failure: "bind(2) answers EADDRNOTAVAIL, or socket(2) EAFNOSUPPORT.",
        fix: "name an address that `ip address` shows. One that is yet to come is
taken with `free-bind` (IP_FREEBIND): packets to it arrive as soon as it is
there.",
    },
];
