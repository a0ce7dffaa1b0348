//! `keep-guard`: keep a process with the starting credential for the end.

super::plain!(
    "keep-guard",
    "Forks a tiny process that keeps the starting credential and runs the privileged phases after serve.",
    "It waits for the daemon's end by a pidfd, also after `kill -9`, takes no input from the daemon, and then runs \
     the down phases that are declared `privileged` or `root`, such as removing a PID file from a directory that \
     belongs to root. It is forked behind the last need of those phases and before the drop.",
    engine::effect::Effect::KeepGuard
);
