//! The whole command on a real machine, seen with the kernel's own eyes.
//!
//! As root every test runs in mount, network and process namespaces of its own (`sandbox.rs`), so the
//! machine stays as it was and nothing outlives a test. Without root those that can run as an
//! ordinary user do, and the others say `skipped:`; with `RSD_TEST_NO_SKIP=1` a skip is a failure.

mod attacks;
mod caller;
mod confine;
mod daemon;
mod day;
mod diverge;
mod facts;
mod failure;
mod foreground;
mod fork;
mod jail;
mod journal;
mod kernel;
mod killed;
mod leftover;
mod managers;
mod mounts;
mod replace;
mod restart;
mod safe;
mod sandbox;
mod settings;
mod sockets;
mod start;
mod stop;
mod strangers;
mod user;
mod ways;
