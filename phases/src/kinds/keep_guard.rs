//! `keep-guard`: keep a process with the starting credential for the end.

super::plain!(
    "keep-guard",
    "Forks a tiny process that keeps the starting credential and runs the privileged phases after serve.",
    "It waits for the daemon's end by a pidfd, also after `kill -9`, takes no input from the daemon, and then runs \
     the down phases that are declared `privileged` or `root`, such as removing a PID file from a directory that \
     belongs to root. It is forked behind the last need of those phases and before the drop, and leaves the working \
     directory for `/`, unless one of its phases has a path that begins there. It holds the lock of a PID file \
     that was made before it together with the daemon, and lets go when it is done: the next start waits for that, \
     up to ten seconds, and so does `rsd stop`. Let `remove-pid-file` be the last of its phases: without the file \
     nobody can know that there is something to wait for.",
    engine::effect::Effect::KeepGuard
);
