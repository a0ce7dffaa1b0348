//! Nothing lost: a failure at every place of every shipped spec, and what is left of the start.
//!
//! * `borders`: a phase of kind `fail` before every phase in turn, in each of its four manners.
//! * `calls`: each system call in turn fails, or is the last that its process makes (`tracer`).
//! * `exhausted`: no descriptors, processes, memory, space, terminal; a file system that is read-only, a clock that
//!   jumps.
//! * `seen`: what is on the machine, so that before and after can be compared.
//!
//! As root each test runs in namespaces of its own (`tests/system/sandbox.rs`), and the ordinary user is one
//! of them; without root only what an ordinary user can start is there. `RSD_NOTHING_LOST=all` tries all there
//! is, `RSD_NOTHING_LOST=3` a third of it; otherwise what is expensive is sampled. Of the system calls no more is begun
//! behind `RSD_NOTHING_LOST_UNTIL` (seconds since 1970), and `RSD_NOTHING_LOST_WAY` is `daemon` or `foreground`, for
//! one of the two. What was counted is written below `target/nothing-lost`; `tests/nothing-lost` runs all of it and
//! writes the table in the docs.

mod borders;
mod calls;
mod exhausted;
#[path = "../system/kernel.rs"]
#[allow(dead_code)]
mod kernel;
mod page;
mod rows;
#[path = "../system/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;
mod scene;
mod seen;
mod tracer;

/// Of how many one is to be tried, where not `usual`: `RSD_NOTHING_LOST` is `all` or that number.
pub fn one_of(usual: usize) -> usize {
    match std::env::var("RSD_NOTHING_LOST").as_deref() {
        Ok("all") => 1,
        Ok(number) => number.parse().expect("RSD_NOTHING_LOST is `all` or a number"),
        Err(_) => usual,
    }
}
