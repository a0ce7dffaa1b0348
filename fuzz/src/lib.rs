//! What must hold for any bytes: one module for everything that rsd reads and did not write itself.
//! The fuzzer calls these, and so does `tests/fuzz.rs` with every seed and every past finding.

pub mod journal;
pub mod lines;
pub mod machine;
pub mod notify;
pub mod snapshot;
pub mod spec;

use nix::time::ClockId;
use std::time::Duration;

/// No input may take longer, in time of the processor: on a busy machine a wall clock says nothing.
pub const LONGEST: Duration = Duration::from_secs(5);

/// Tries one input.
pub fn within_time(holds: fn(&[u8]), data: &[u8]) {
    let now = || ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from);
    let begin = now();
    holds(data);
    let took = now().saturating_sub(begin);
    assert!(took < LONGEST, "it took {took:?}");
}

/// A terminal gets nothing but text and line breaks.
pub fn harmless(what: &str, text: &str) {
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
        panic!("{what}: a raw {c:?} is in {text:?}");
    }
}

/// What is said to be JSON is.
pub fn is_json(what: &str, text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{what} is no JSON: {error}: {text}"))
}
