//! Names for a moment: what is made under one gets its own name when it is complete.
//!
//! Such a name says which process uses it, so that the next start can tell what one has left that was killed
//! meanwhile: `.t.pid.rsd-1234` is a PID file `t.pid` to be, and process 1234 is gone. Nothing else can be read
//! as one, not even the draft of another file whose name ends in a number.

use crate::sys::process;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpgid};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// How many names a process tries: one may be left of a process that had the same number.
pub const TRIES: u32 = 16;
/// At the end of a name under which something is looked at once more before it is removed.
const STALE: &str = ".stale";
/// Entries of a directory that are looked at: nobody waits for one with millions.
const MOST: usize = 1 << 16;

/// What all names beside this one begin with. A name in a directory has at most 255 bytes: so much of it
/// leaves room for more behind it.
fn stem(of: &OsStr) -> OsString {
    let bytes = of.as_bytes();
    let mut stem = OsString::from(".");
    stem.push(OsStr::from_bytes(bytes.get(..200).unwrap_or(bytes)));
    stem.push(".rsd-");
    stem
}

/// The `nth` name that this process may use for what is to be `of`.
pub fn name(of: &OsStr, nth: u32) -> OsString {
    let mut draft = stem(of);
    draft.push(process::id().to_string());
    if nth > 0 {
        draft.push(format!("-{nth}"));
    }
    draft
}

/// The name under which this process looks once more at what was `of`.
pub fn aside(of: &OsStr) -> OsString {
    let mut aside = name(of, 0);
    aside.push(STALE);
    aside
}

/// Makes something under the first of these names that nobody has; the others are left alone.
///
/// # Errors
/// What `make` answers, EEXIST where all names are taken.
pub fn make<T>(of: &OsStr, make: impl Fn(&OsStr) -> Result<T, Errno>) -> Result<(T, OsString), Errno> {
    for nth in 0..TRIES {
        let draft = name(of, nth);
        match make(&draft) {
            Err(Errno::EEXIST) => {}
            made => return made.map(|made| (made, draft)),
        }
    }
    Err(Errno::EEXIST)
}

/// The number of the process that uses this name for what is to be, or was, `of`.
fn user(of: &OsStr, found: &OsStr) -> Option<i32> {
    let rest = found.as_bytes().strip_prefix(stem(of).as_bytes())?;
    let rest = std::str::from_utf8(rest).ok()?;
    let rest = rest.strip_suffix(STALE).unwrap_or(rest);
    let number = |text: &str| -> Option<i32> {
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| digits)
    };
    match rest.split_once('-') {
        None => number(rest),
        Some((pid, nth)) => number(nth).filter(|nth| (1..TRIES as i32).contains(nth)).and(number(pid)),
    }
}

/// Calls `remove` for each name beside `of` whose process is gone: `dead`, one with our own number (it comes
/// again in a container, and this process has nothing under such a name yet), or one that the kernel does not
/// know. Those that it removed are the answer. A directory that may not be read is left as it is.
pub fn clear(dir: &OwnedFd, of: &OsStr, dead: Option<i32>, remove: impl Fn(&OsStr) -> bool) -> Vec<OsString> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut entries) = Dir::openat(dir, ".", flags, Mode::empty()) else { return Vec::new() };
    let gone = |pid: i32| {
        pid as u32 == process::id()
            || Some(pid) == dead
            || getpgid(Some(Pid::from_raw(pid))) == Err(Errno::ESRCH)
    };
    let found = entries.iter().take(MOST).map_while(Result::ok);
    let mut left: Vec<OsString> = found
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        .filter(|name| user(of, name).is_some_and(gone))
        .collect();
    left.retain(|name| remove(name));
    left
}

/// What the timeline says of one that was removed.
pub fn note(removed: &OsStr) -> String {
    format!("removed {}, which a start that was killed had left", removed.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_name() {
        let pid = process::id() as i32;
        let of = OsStr::new("t.pid");
        for ours in [name(of, 0), name(of, 1), name(of, TRIES - 1), aside(of)] {
            assert_eq!(user(of, &ours), Some(pid), "{ours:?}");
        }
        for (found, who) in [
            (".t.pid.rsd-7", Some(7)),
            (".t.pid.rsd-7-15", Some(7)),
            (".t.pid.rsd-7.stale", Some(7)),
            (".t.pid.rsd-7-3.stale", Some(7)),
            ("t.pid", None),
            (".t.pid", None),
            (".t.pid.7", None),
            (".t.pid.rsd-", None),
            (".t.pid.rsd-0", None),
            (".t.pid.rsd-+7", None),
            (".t.pid.rsd--7", None),
            (".t.pid.rsd-7-16", None),
            (".t.pid.rsd-7-0", None),
            (".t.pid.rsd-7-1-1", None),
            (".t.pid.rsd-7 ", None),
            (".t.pid.rsd-99999999999", None),
            (".t.pid.rsd-7.rsd-8", None),
            (".t.pid.rsd-7.staler", None),
            (".other.rsd-7", None),
        ] {
            assert_eq!(user(of, OsStr::new(found)), who, "{found}");
        }
        // The draft of a file with such a name is nobody else's.
        assert_eq!(user(OsStr::new("t.pid.rsd-7"), OsStr::new(".t.pid.rsd-7.rsd-8")), Some(8));
    }

    #[test]
    fn names_are_short_enough() {
        let long = OsString::from("n".repeat(255));
        assert!(aside(&long).len() <= 255 && name(&long, TRIES).len() <= 255);
    }

    #[test]
    fn what_the_dead_have_left_and_nothing_else() {
        let place = tempfile::tempdir().expect("a directory");
        let dir = OwnedFd::from(std::fs::File::open(place.path()).expect("open it"));
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let dead = child.id();
        child.wait().expect("it ends");
        let alive = nix::unistd::getppid();
        let all = [
            format!(".a.rsd-{dead}"),
            format!(".a.rsd-{}", process::id()),
            format!(".a.rsd-{alive}"),
            format!(".b.rsd-{dead}"),
            "a".to_owned(),
        ];
        for name in &all {
            std::fs::write(place.path().join(name), "").expect("a file");
        }
        let mut asked = clear(&dir, OsStr::new("a"), None, |_| true);
        asked.sort();
        let mut wanted: Vec<OsString> = all.iter().take(2).map(OsString::from).collect();
        wanted.sort();
        assert_eq!(asked, wanted);
        let asked = clear(&dir, OsStr::new("a"), Some(alive.as_raw()), |name| *name == *all[2]);
        assert_eq!(asked, [all[2].as_str()]);
    }
}
