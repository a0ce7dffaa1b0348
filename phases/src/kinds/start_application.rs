//! `start-application`: from here the application's own code runs.

use super::optional;
use engine::effect::{Application, Effect, Ready, Starting, Watchdog};
use engine::kind::{Kind, Type, Unfit};

/// The signals a program can be woken with when it gives no sign of life.
const WAKES: [(&str, i32); 6] = [
    ("ABRT", libc::SIGABRT),
    ("KILL", libc::SIGKILL),
    ("TERM", libc::SIGTERM),
    ("QUIT", libc::SIGQUIT),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
];

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "start-application",
    about: "Starts the application; done when it is ready.",
    details: "A program gets default signal dispositions and an empty mask, the listening sockets as \
              LISTEN_FDS, no other descriptor above 2, and is ended if the start fails after all. It is ready \
              when its exec has succeeded, or, by `ready`: `notify`, it has said READY=1 to NOTIFY_SOCKET \
              (sd_notify(3): also STATUS, ERRNO, MAINPID, STOPPING, RELOADING, EXTEND_TIMEOUT_USEC, WATCHDOG; \
              only from a process of its own tree); `fd:N`, it has written a newline to descriptor N, or closed \
              it and lives; `tcp:HOST:PORT` and `unix:PATH`, it accepts a connection there, where nobody did \
              before, and lives on for a moment (a second where it has no socket itself: a child may have answered that \
              it leaves to itself); `alive:500ms`, it has lived that long; `idle:250ms`, it and all below it \
              have used no processor for that long (proc_pid_stat(5); ten milliseconds of it are overlooked), or it has \
              been busy for 20 times as long: what fails while it loads its code and reads its configuration \
              fails the start. A program that ends before that fails the start at \
              once. The phase's `timeout` is the limit, 90s where none is given and more than exec is waited \
              for. When the keeper itself is killed the kernel sends the program `orphaned` (prctl(2), PR_SET_PDEATHSIG): \
              KILL leaves none behind that does not heed TERM, and TERM lets one with workers of its own end them. \
              Behind it a guard kills whoever is left in the daemon's session, with TERM five seconds later. \
              A program that changes its user by a set-user-ID bit or file capabilities is out of its reach. With `replace` there is no keeper: the process itself becomes the program, and \
              nothing of rsd is left but the descriptor of the PID file, whose locks live as long as the program \
              keeps it open. Output goes to the log's file directly and nobody rotates it; what needs `serve` can \
              only be done by a guard (RSD0507). A Twisted application and the built-in are ready when they are started.",
    params: &[
        optional(
            "ready",
            Type::Readiness,
            Some("exec"),
            "when a program is ready: exec, notify, fd:N, tcp:HOST:PORT, unix:PATH, idle:DURATION or alive:DURATION",
        ),
        optional(
            "watchdog",
            Type::Duration,
            None,
            "a program that does not say WATCHDOG=1 this often (sd_notify(3)) gets `watchdog-signal`",
        ),
        optional(
            "watchdog-signal",
            Type::String,
            Some("ABRT"),
            "ABRT, KILL, TERM, QUIT, USR1 or USR2; it is killed ten seconds later",
        ),
        optional(
            "orphaned",
            Type::String,
            Some("KILL"),
            "what a program gets when its keeper is killed: KILL, TERM or none",
        ),
        optional(
            "replace",
            Type::Flag,
            None,
            "no keeper: this process becomes the program, exec(2), when the phase that serves is reached",
        ),
    ],
    learns: None,
    effects: |args, _| {
        let watchdog = match args.duration("watchdog") {
            None => None,
            Some(every) if every < 1_000_000 => {
                return Err(Unfit::new(
                    "a sign of life more than a thousand times a second",
                    "write 1s or more",
                )
                .of("watchdog"));
            }
            Some(every) => {
                let name = args.string("watchdog-signal").unwrap_or_else(|| "ABRT".to_owned());
                let bare = name.strip_prefix("SIG").unwrap_or(&name);
                let Some((_, signal)) = WAKES.iter().find(|(n, _)| *n == bare) else {
                    return Err(Unfit::new(
                        format!("`{name}` is not a signal to wake a program with"),
                        "write ABRT, KILL, TERM, QUIT, USR1 or USR2",
                    )
                    .of("watchdog-signal"));
                };
                Some(Watchdog { every, signal: *signal })
            }
        };
        let orphaned =
            match args.string("orphaned").as_deref().map(|name| name.strip_prefix("SIG").unwrap_or(name)) {
                None | Some("KILL") => Some(libc::SIGKILL),
                Some("TERM") => Some(libc::SIGTERM),
                Some("none") => None,
                Some(other) => {
                    return Err(Unfit::new(
                        format!("`{other}` is not what a program can get when its keeper dies"),
                        "write KILL, TERM or none",
                    )
                    .of("orphaned"));
                }
            };
        let ready = args.ready("ready").unwrap_or_default();
        let replace = args.flag("replace").unwrap_or(false);
        if replace && (ready != Ready::Exec || watchdog.is_some()) {
            return Err(Unfit::new(
                "a program that replaces this process has nobody to tell that it is ready, or lives",
                "leave `replace` away, or `ready` and `watchdog`",
            ));
        }
        Ok(vec![Effect::Application(Application::Start(Starting { ready, watchdog, orphaned, replace }))])
    },
};
