//! One log, written from more than one place: this process, and Python in it.

use super::Log;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle of the log. Whoever holds it must not call into Python: a thread there may wait for it
/// while it holds the interpreter lock.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Option<Log>>>);

impl Shared {
    /// The log, to be shared.
    pub fn new(log: Log) -> Shared {
        Shared(Arc::new(Mutex::new(Some(log))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Log>> {
        // What is behind it is a file that is appended to: right at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the log; `None` once it was closed.
    pub fn with<T>(&self, act: impl FnOnce(&mut Log) -> T) -> Option<T> {
        self.lock().as_mut().map(act)
    }

    /// Append. After it was closed nothing is written any more.
    pub fn write(&self, data: &[u8]) {
        self.with(|log| log.write(data));
    }

    /// Closes the file, for all who share it: its lock is let go.
    pub fn close(&self) {
        *self.lock() = None;
    }
}
