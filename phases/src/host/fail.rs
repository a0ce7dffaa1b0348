//! Failing as asked: see [`Fault`].

use crate::sys::process;
use engine::effect::{Done, Fault, Manner, SystemError};
use std::time::Duration;

pub(super) fn fail(fault: &Fault) -> Result<Done, SystemError> {
    match fault.manner {
        Manner::Error | Manner::Undo => fault.answer(),
        Manner::Kill => process::die(),
        // The signals by which others would end are blocked from the beginning of a run.
        Manner::Hang => loop {
            std::thread::sleep(Duration::from_secs(3_600));
        },
    }
}
