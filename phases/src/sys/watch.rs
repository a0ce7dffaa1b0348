//! Waiting for a file to be written to.

use rustix::fs::inotify;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A descriptor that can be read when the file was written to.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches a file that may be read.
    pub fn new(path: &Path) -> io::Result<Watch> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY)?;
        Ok(Watch(fd))
    }

    /// Forgets what was reported so far.
    pub fn clear(&self) {
        let mut reports = [0u8; 4_096];
        while rustix::io::read(&self.0, &mut reports).is_ok_and(|n| n > 0) {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
