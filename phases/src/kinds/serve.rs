//! `serve`: where the daemon lives.

super::plain!(
    "serve",
    "Lives here until told to stop.",
    "The launcher leaves when this phase is reached. TERM and INT stop the application (a second one kills it), \
     HUP reopens the log and is forwarded, USR1 rotates the log, other signals are forwarded. What a \
     program leaves running when it ends is ended with it: TERM, and KILL three seconds later. Phases that need \
     this one run afterwards.",
    engine::effect::Effect::Serve
);
