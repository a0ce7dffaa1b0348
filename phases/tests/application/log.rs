//! The log.

use super::world::{become_nobody, finished, forked, root};
use super::{Skipped, Test};
use engine::effect::Owner;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::WaitStatus;
use phases::log::Log;
use std::fs::{self, read_to_string};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

pub const TESTS: &[Test] = &[
    ("log_is_made_with_the_mode_less_the_umask", modes),
    ("log_rotates_by_size_and_shifts_older_ones", rotation),
    ("log_refuses_what_is_not_a_regular_file", refusals),
    ("log_is_given_to_its_owner_by_descriptor", owners),
    ("log_reopens_after_it_was_moved", reopening),
    ("log_truncated_in_place_has_room_again", truncation),
    ("log_that_cannot_rotate_says_so_once_and_goes_on", stuck),
    ("log_counts_and_confesses_what_was_lost", lost),
    ("log_works_by_handle_after_chroot", jailed),
];

fn modes() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let before = umask(Mode::from_bits_truncate(0o027));
    let opened = Log::open(&path, None, 0o666, None);
    umask(before);
    let (mut log, created) = opened.unwrap();
    assert!(created && log.is_empty() && log.bytes_written() == 0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(log.inode(), (fs::metadata(&path).unwrap().dev(), fs::metadata(&path).unwrap().ino()));
    log.write(b"one\n");
    assert!(!log.is_empty());
    let (mut again, created) = Log::open(&path, None, 0o600, None).unwrap();
    assert!(!created && again.bytes_written() == 0);
    again.write(b"two\n");
    log.write(b"three\n");
    assert_eq!(read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640, "an existing log keeps its mode");
    let missing = Log::open(&dir.path().join("no/l"), None, 0o600, None).unwrap_err();
    assert_eq!(missing.errno, Some(libc::ENOENT));
    assert!(missing.help.is_some());
    Ok(())
}

fn rotation() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let before = umask(Mode::from_bits_truncate(0o077));
    let (mut log, _) = Log::open(&path, None, 0o644, Some(100)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let mut all = String::new();
    for n in 0..30 {
        let line = format!("line number {n:04}\n");
        log.write(line.as_bytes());
        all += &line;
    }
    umask(before);
    let numbered = |n: u32| dir.path().join(format!("l.{n}"));
    let last = (1..).take_while(|n| numbered(*n).exists()).last().unwrap();
    assert!(last >= 4, "only {last} old logs");
    let mut seen = String::new();
    for path in (1..=last).rev().map(numbered).chain([path.clone()]) {
        let meta = fs::metadata(&path).unwrap();
        assert!(meta.len() <= 100, "{path:?} is too large");
        assert_eq!(meta.mode() & 0o777, 0o664, "{path:?}");
        seen += &read_to_string(&path).unwrap();
    }
    assert_eq!(seen, all);
    // several lines at once are parted at line ends, and a line too long for any file is kept
    log.write(format!("{}{}\n", "short\n".repeat(40), "x".repeat(250)).as_bytes());
    let long: String = (1..12).rev().filter_map(|n| read_to_string(numbered(n)).ok()).collect();
    let long = long + &read_to_string(&path).unwrap();
    assert_eq!(long.matches("short\n").count(), 40);
    assert_eq!(long.matches('x').count(), 250);
    log.rotate().unwrap();
    assert!(log.is_empty());
    Ok(())
}

fn refusals() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let at = |n: &str| dir.path().join(n);
    fs::write(at("target"), "").unwrap();
    symlink(at("target"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    fs::create_dir(at("dir")).unwrap();
    for (name, word) in
        [("link", "symbolic"), ("dangling", "symbolic"), ("fifo", "FIFO"), ("dir", "directory")]
    {
        let error = Log::open(&at(name), None, 0o600, None).unwrap_err();
        assert!(error.message.contains(word), "{name}: {error}");
    }
    assert!(!at("nowhere").exists());
    let error = Log::open(std::path::Path::new("/dev/null"), None, 0o600, None).unwrap_err();
    assert!(error.message.contains("device"), "{error}");
    assert!(Log::open(std::path::Path::new("/"), None, 0o600, None).is_err());
    Ok(())
}

fn owners() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("only root gives files away"));
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("l"), dir.path().join("other"));
    let owner = Some(Owner { uid: 65534, gid: 65533 });
    let (mut log, _) = Log::open(&path, owner, 0o640, Some(10)).unwrap();
    log.write(b"12345678\n");
    log.write(b"12345678\n");
    for path in [path.clone(), dir.path().join("l.1")] {
        let meta = fs::metadata(path).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (65534, 65533, 0o640));
    }
    fs::write(&other, "").unwrap();
    fs::remove_file(&path).unwrap();
    fs::hard_link(&other, &path).unwrap();
    let error = Log::open(&path, owner, 0o640, None).unwrap_err();
    assert!(error.message.contains("2 names"), "{error}");
    assert_eq!(fs::metadata(&other).unwrap().uid(), 0);
    Ok(())
}

fn reopening() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("l"), dir.path().join("moved"));
    let (mut log, _) = Log::open(&path, None, 0o604, None).unwrap();
    log.write(b"old\n");
    log.reopen().unwrap();
    fs::rename(&path, &moved).unwrap();
    log.write(b"still old\n");
    log.reopen().unwrap();
    log.write(b"new\n");
    assert_eq!(read_to_string(&moved).unwrap(), "old\nstill old\n");
    assert_eq!(read_to_string(&path).unwrap(), "new\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, fs::metadata(&moved).unwrap().mode() & 0o777);
    // a link in its place: the old descriptor stays, and says why
    fs::rename(&path, &moved).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    assert!(log.reopen().unwrap_err().contains("symbolic link"));
    log.write(b"newer\n");
    let text = read_to_string(&moved).unwrap();
    assert!(
        text.contains("rsd: cannot reopen l: it is a symbolic link") && text.ends_with("newer\n"),
        "{text}"
    );
    Ok(())
}

fn truncation() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let (mut log, _) = Log::open(&path, None, 0o600, Some(20)).unwrap();
    log.write(b"0123456789\n");
    fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    log.write(b"abcdefghij\n");
    assert_eq!(read_to_string(&path).unwrap(), "abcdefghij\n");
    assert!(!dir.path().join("l.1").exists());
    Ok(())
}

fn stuck() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("only root can drop"));
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("l");
    let owner = Some(Owner { uid: 65534, gid: 65534 });
    let (mut log, _) = Log::open(&path, owner, 0o600, Some(100)).unwrap();
    let child = forked(|| {
        become_nobody(std::path::Path::new("/"));
        for n in 0..100 {
            log.write(format!("line {n:03}\n").as_bytes());
        }
        i32::from(log.rotate().is_ok())
    });
    assert_eq!(finished(child), WaitStatus::Exited(child, 0));
    let text = read_to_string(&path).unwrap();
    assert!((0..100).all(|n| text.contains(&format!("line {n:03}\n"))), "a line is missing");
    // once by size, once more because it was asked for
    assert_eq!(text.matches("rsd: cannot rotate: l: Permission denied").count(), 2, "{text}");
    assert!(!dir.path().join("l.1").exists());
    // in a directory of its own it can
    chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let (mut log, _) = Log::open(&path, owner, 0o600, Some(100)).unwrap();
    let child = forked(|| {
        become_nobody(std::path::Path::new("/"));
        log.write(b"next\n");
        0
    });
    finished(child);
    assert_eq!(read_to_string(&path).unwrap(), "next\n");
    assert_eq!(fs::metadata(&path).unwrap().uid(), 65534);
    Ok(())
}

fn lost() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let (mut log, _) = Log::open(&path, None, 0o600, None).unwrap();
    let child = forked(|| {
        // SAFETY: SIG_IGN runs no code.
        unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 10, 1 << 20).unwrap();
        log.write(b"0123456789abcdef\n");
        log.write(b"gone\n");
        let counted = log.bytes_lost();
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
        log.write(b"back\n");
        i32::from(counted != 12 || log.bytes_lost() != 0)
    });
    assert_eq!(finished(child), WaitStatus::Exited(child, 0));
    let text = read_to_string(&path).unwrap();
    assert!(text.starts_with("0123456789\n") && text.ends_with("back\n"), "{text}");
    assert!(text.contains("rsd: 12 bytes of log were lost"), "{text}");
    Ok(())
}

fn jailed() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("only root can chroot"));
    }
    let (dir, jail) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("l");
    let (mut log, _) = Log::open(&path, None, 0o600, Some(10)).unwrap();
    let child = forked(|| {
        nix::unistd::chroot(jail.path()).unwrap();
        nix::unistd::chdir("/").unwrap();
        log.write(b"first\n");
        log.write(b"second\n");
        log.reopen().map_or(1, |()| 0)
    });
    assert_eq!(finished(child), WaitStatus::Exited(child, 0));
    assert_eq!(read_to_string(dir.path().join("l.1")).unwrap(), "first\n");
    assert_eq!(read_to_string(&path).unwrap(), "second\n");
    Ok(())
}
