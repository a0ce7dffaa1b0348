//! `serve`: where the daemon lives.

super::plain!(
    "serve",
    "Lives here until told to stop.",
    "The launcher leaves when this phase is reached. TERM and INT stop the application (a second one kills it, \
     and what it has left), HUP reopens the log and is forwarded, USR1 rotates the log, other signals are forwarded. What a \
     program leaves running when it ends is ended with it: TERM, and KILL three seconds later; what \
     it writes meanwhile is in the log. Phases that need this one run afterwards. How a main process ended that is the \
     child of another (MAINPID) the kernel tells since Linux 6.15; before that it counts as failed, with exit code 1.",
    engine::effect::Effect::Serve
);
