//! `daemonize`: leave the caller's session.

super::plain!(
    "daemonize",
    "Forks twice with setsid between, so that the daemon has no terminal and leads no session.",
    "The first process, the launcher, stays behind until the daemon is ready or has failed, and holds the undo \
     until then. Standard input, output and error become the null device.",
    engine::effect::Effect::Daemonize
);
