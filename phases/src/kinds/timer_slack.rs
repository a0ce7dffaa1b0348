//! `timer-slack`: how exactly it is woken.

use super::optional;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "timer-slack",
    about: "Sets how much later than asked the process may be woken, so that wake-ups fall together.",
    details: "prctl(2), PR_SET_TIMERSLACK; inherited, also over execve(2). The kernel's own is 50 us; `1ms` and more \
              saves wake-ups of what sleeps in short intervals, `1ns` is for what must be exact. A process of \
              real-time priority has none.",
    params: &[optional("value", Type::Duration, None, "a duration; 0ns for what it began with")],
    learns: None,
    effects: |args, _| {
        Ok(args.duration("value").map(|ns| Effect::Process(Setting::TimerSlack(ns))).into_iter().collect())
    },
};
