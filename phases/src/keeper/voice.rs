//! What a program says to its keeper of how it is doing (sd_notify(3)), and the sign of life that it owes.

use crate::notify::{Message, Notify};
use crate::sys::process::monotonic;
use engine::effect::Watchdog;

/// The program speaks to its keeper.
#[derive(Debug)]
pub struct Voice {
    pub(super) socket: Notify,
    /// what it said last of how it is doing
    status: String,
    /// what it said before it began to reload
    before: Option<String>,
    /// its last words, where they were too many to be recorded at once
    late: Option<String>,
    /// how many more of its words are recorded, and when that was counted
    allowance: (u64, u64),
    /// the sign of life that is expected
    pub(super) watchdog: Option<Watchdog>,
    /// when the next one is due, once it serves
    pub(super) due: Option<u64>,
    /// it was woken
    pub(super) woken: bool,
    /// how often somebody else spoke to us
    pub(super) strangers: u64,
}

/// Words of a program that are recorded at once, and one more for each of these in nanoseconds.
const WORDS: u64 = 64;
const ONE_MORE: u64 = 60_000_000_000;
impl Voice {
    /// A place to speak.
    pub fn new(socket: Notify, watchdog: Option<Watchdog>) -> Voice {
        let allowance = (WORDS, monotonic());
        let status = String::new();
        Voice {
            socket,
            status,
            before: None,
            late: None,
            allowance,
            watchdog,
            due: None,
            woken: false,
            strangers: 0,
        }
    }

    /// How it is doing by this message, in its own words where it has said any.
    pub(super) fn words(&mut self, message: &Message) -> Option<String> {
        let before = match message.reloading {
            true => Some(self.before.take().unwrap_or_else(|| self.status.clone())),
            false if message.ready => None,
            false => self.before.clone(),
        };
        let reloaded = if message.ready && !message.reloading { self.before.take() } else { None };
        self.before = before;
        match &message.status {
            Some(status) => Some(status.clone()),
            None if message.stopping => Some("stopping".to_owned()),
            None if message.reloading => Some("reloading".to_owned()),
            // What it said before it began to reload holds again.
            None => reloaded.map(|before| if before.is_empty() { "ready".to_owned() } else { before }),
        }
    }

    /// Whether these words are to be recorded: new ones, and not too many.
    pub(super) fn tells(&mut self, text: &str) -> bool {
        if text == self.status {
            return false;
        }
        text.clone_into(&mut self.status);
        let allowed = self.is_allowed();
        self.late = (!allowed).then(|| text.to_owned());
        allowed
    }

    fn is_allowed(&mut self) -> bool {
        let (left, since) = &mut self.allowance;
        let more = monotonic().saturating_sub(*since) / ONE_MORE;
        *since = since.saturating_add(more.saturating_mul(ONE_MORE));
        *left = left.saturating_add(more).min(WORDS);
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                true
            }
            None => false,
        }
    }

    /// When what was said last can be recorded after all.
    pub(super) fn late_at(&self) -> Option<u64> {
        self.late.as_ref().map(|_| self.allowance.1.saturating_add(ONE_MORE))
    }

    /// That, once it can be.
    pub(super) fn late_words(&mut self) -> Option<String> {
        let can = self.late.is_some() && self.is_allowed();
        if can { self.late.take() } else { None }
    }

    pub(super) fn push_due(&mut self) {
        if let (Some(watchdog), true) = (self.watchdog, self.due.is_some() && !self.woken) {
            self.due = Some(monotonic().saturating_add(watchdog.every));
        }
    }
}
