//! Signals that mean nothing to a keeper: they are the program's, real-time signals among them.

use super::{Kept, forward};
use crate::sys::process;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signalfd::SignalFd;
use std::fs::OpenOptions;

/// Besides real-time signals. Those of a terminal are a keeper's own where it has one: it stops with its program.
const NAMED: [(i32, &str); 12] = [
    (libc::SIGCONT, "SIGCONT"),
    (libc::SIGURG, "SIGURG"),
    (libc::SIGPWR, "SIGPWR"),
    (libc::SIGIO, "SIGIO"),
    (libc::SIGVTALRM, "SIGVTALRM"),
    (libc::SIGPROF, "SIGPROF"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGSTKFLT, "SIGSTKFLT"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGBUS, "SIGBUS"),
];
const OF_A_TERMINAL: [(i32, &str); 3] =
    [(libc::SIGTSTP, "SIGTSTP"), (libc::SIGTTIN, "SIGTTIN"), (libc::SIGTTOU, "SIGTTOU")];

/// Blocks them. The descriptor at which they arrive.
pub(super) fn take_over() -> Result<SignalFd, Errno> {
    let terminal = OpenOptions::new().read(true).open("/dev/tty").is_ok();
    let named = NAMED.iter().chain(OF_A_TERMINAL.iter().filter(|_| !terminal)).map(|(number, _)| *number);
    process::take_signals_beside(named.chain(libc::SIGRTMIN()..=libc::SIGRTMAX()))
}

/// Hands those that came to the program: the name of each, and what was done.
pub(super) fn pass_on(kept: &Kept, mut told: impl FnMut(&str, &str)) {
    let Some(others) = &kept.others else { return };
    while let Ok(Some(info)) = others.read_signal() {
        let number = info.ssi_signo as i32;
        told(&name(number), &forward(kept, number, info.ssi_code == libc::SI_KERNEL));
    }
}

/// As signal(7) has it.
fn name(number: i32) -> String {
    let named = NAMED.iter().chain(&OF_A_TERMINAL).find(|(known, _)| *known == number);
    match (named, number - libc::SIGRTMIN()) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, 0) => "SIGRTMIN".to_owned(),
        (None, n @ 1..) => format!("SIGRTMIN+{n}"),
        (None, _) => format!("signal {number}"),
    }
}
