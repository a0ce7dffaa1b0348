//! Whether a program has come to rest: it has loaded its code and read its configuration, and waits for work.

use crate::keeper::Kept;
use crate::notify::Effort;
use crate::sys::process::monotonic;
use engine::effect::NEVER_IDLE;

/// The kernel counts time in ticks of usually 10 ms: one of them in all the time is what waking up costs.
const OVERLOOKED: u64 = 1;
/// There is a look so often in the time that it is to be idle, and not more often than this, nanoseconds.
const LOOKS: u64 = 10;
const LEAST_PAUSE: u64 = 5_000_000;

/// A wait for a program that comes to rest.
pub(super) struct Idle {
    /// how long it is to be idle, nanoseconds
    long: u64,
    /// since when it has been, and what it had worked by then
    since: u64,
    before: Option<Effort>,
    /// the next look
    next: u64,
    /// until when it may be busy
    at_last: u64,
    never: bool,
}

impl Idle {
    pub(super) fn new(long: u64) -> Idle {
        Idle { long, since: 0, before: None, next: 0, at_last: 0, never: false }
    }

    /// The program was executed.
    pub(super) fn begin(&mut self) {
        let now = monotonic();
        (self.since, self.next) = (now, now);
        self.at_last = now.saturating_add(self.long.saturating_mul(NEVER_IDLE));
    }

    pub(super) fn looks_at(&self) -> u64 {
        self.next
    }

    /// It was busy all the time.
    pub(super) fn never(&self) -> bool {
        self.never
    }

    /// Looks, where it is time for it. Where nothing can be seen of the program, that it lives must do.
    pub(super) fn is_over(&mut self, kept: &Kept, now: u64) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now.saturating_add((self.long / LOOKS).max(LEAST_PAUSE));
        let effort = kept.effort();
        let works = match (&self.before, &effort) {
            (Some(before), Some(effort)) => effort.busy || effort.ticks.abs_diff(before.ticks) > OVERLOOKED,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if works {
            (self.since, self.before) = (now, effort);
        }
        let rested = now.saturating_sub(self.since) >= self.long;
        self.never = !rested && now >= self.at_last;
        rested || self.never
    }
}
