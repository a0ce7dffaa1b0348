//! The journal: one JSON object a line, one write(2) each, on a descriptor that was opened before
//! anything was given up and that the forks inherit.
//!
//! It is a copy for people: a failure to write it never fails the run.

use crate::sys::{process, walk, writers};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many journals of a spec are kept.
pub const KEPT: usize = 20;

/// The directory of a spec's journals: `/var/lib/rsd/NAME` for root, else below the state home.
pub fn directory(root: bool, name: &str, state_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    // One directory below the place of them all, whatever a `--name` holds.
    let name = &name.replace('/', "-");
    let name = if name.is_empty() || name.starts_with('.') { format!("-{name}") } else { name.clone() };
    if root {
        return Some(Path::new("/var/lib/rsd").join(name));
    }
    let state = state_home.filter(|p| p.is_absolute()).map(Path::to_owned);
    Some(state.or_else(|| home.map(|h| h.join(".local/state")))?.join("rsd").join(name))
}

/// A journal that is being written.
#[derive(Clone, Debug)]
pub struct Journal {
    file: Arc<File>,
    /// where it is
    pub path: PathBuf,
}

impl Journal {
    /// Makes a journal in its directory, and the directory, mode 0700. Old ones beyond [`KEPT`] go,
    /// except those that a process still holds.
    pub fn make(dir: &Path, run: &str, wall_ns: u64) -> io::Result<Journal> {
        if !dir.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let path = dir.join(format!("{:020}-{run}.jsonl", wall_ns / 1_000));
        let journal = Journal::open(&path, true)?;
        journal.prune(dir);
        Ok(journal)
    }

    /// Opens a journal at a path of the user's choice; with `new` it must not exist.
    pub fn open(path: &Path, new: bool) -> io::Result<Journal> {
        let name = path.file_name().ok_or_else(|| io::Error::other("that is no name of a file"))?;
        let above = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = walk::directory(above).map_err(|refused| match refused {
            walk::Refused::Errno(errno) => io::Error::from(errno),
            refused => io::Error::other(refused.about("the way to it").why.unwrap_or_default()),
        })?;
        let mut flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
        flags |= OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        flags.set(OFlag::O_EXCL, new);
        let file = File::from(openat(&dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        // It is emptied: by this name, and by all the others.
        if meta.nlink() > 1 && nix::unistd::geteuid().is_root() && writers::changeable(&fstat(&dir)?) {
            return Err(io::Error::other(format!(
                "it has {} names, and others may write the directory",
                meta.nlink()
            )));
        }
        if !new {
            let mut start = [0; 5];
            let read = std::os::unix::fs::FileExt::read_at(&file, &mut start, 0)?;
            if read > 0 && start != *br#"{"t":"# {
                return Err(io::Error::other("it holds something else than a journal, and is left alone"));
            }
            file.set_len(0)?;
        }
        // Held by every process of the run: a journal that nobody holds and that has no end is of a
        // run that vanished.
        // Whoever looks whether it is held has it for a moment (`is_held`).
        for _ in 0..100 {
            match file.try_lock_shared() {
                Err(std::fs::TryLockError::WouldBlock) => {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
                _ => break,
            }
        }
        Ok(Journal { file: Arc::new(file), path: path.to_owned() })
    }

    /// The file, also readable: the descriptor that is written to, whoever else has it.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    fn prune(&self, dir: &Path) {
        let mut all = list(dir);
        all.truncate(all.len().saturating_sub(KEPT));
        for old in all.iter().filter(|p| **p != self.path && !is_held(p)) {
            let _ = std::fs::remove_file(old);
        }
    }
}

/// The journals of a directory, oldest first: files only, for nothing else is one, and to open it may do
/// something.
pub fn list(dir: &Path) -> Vec<PathBuf> {
    let file = |entry: std::fs::DirEntry| entry.file_type().is_ok_and(|t| t.is_file()).then(|| entry.path());
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|entries| entries.filter_map(|e| file(e.ok()?)).collect())
        .unwrap_or_default();
    all.retain(|p| p.extension().is_some_and(|e| e == "jsonl"));
    all.sort();
    all
}

/// Whether a process of the run still holds its journal.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = process::open_to_read(path) else { return false };
    match file.try_lock() {
        Ok(()) => false,
        Err(std::fs::TryLockError::WouldBlock) => true,
        Err(_) => false,
    }
}

/// The layer that writes the journal. Only events of the target `rsd::journal` count; they are
/// complete lines already (`engine::run::traced`).
impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() == "rsd::journal" {
            event.record(&mut Line(&self.file));
        }
    }
}

struct Line<'a>(&'a File);

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "data" {
            let mut line = String::with_capacity(value.len() + 1);
            line.push_str(value);
            line.push('\n');
            let _ = self.0.write(line.as_bytes());
        }
    }
    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}
