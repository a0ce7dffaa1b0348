//! The log.

use super::world::{become_nobody, finished, forked, root};
use super::{Skipped, Test};
use engine::effect::{Owner, Rotation};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::WaitStatus;
use phases::log::{Log, Was};
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
    ("log_lines_stay_whole_in_pieces", pieces),
    ("log_rotates_when_a_period_begins", periods),
    ("log_keeps_a_number_of_old_ones", counted),
    ("log_removes_what_is_too_old", aged),
    ("log_compresses_in_a_child", compressed),
    ("log_compresses_what_a_killed_one_left", interrupted),
    ("log_does_not_compress_what_has_two_names", linked),
    ("log_goes_on_on_a_full_disk", full),
];

fn modes() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let before = umask(Mode::from_bits_truncate(0o027));
    let opened = Log::open(&path, None, 0o666, None);
    umask(before);
    let (mut log, was) = opened.unwrap();
    assert!(was == Was::Absent && log.is_empty() && log.bytes_written() == 0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(log.inode(), (fs::metadata(&path).unwrap().dev(), fs::metadata(&path).unwrap().ino()));
    log.write(b"one\n");
    assert!(!log.is_empty());
    let (mut again, was) = Log::open(&path, None, 0o600, None).unwrap();
    assert!(was == Was::AsItIs && again.bytes_written() == 0);
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

fn log_of(dir: &std::path::Path, at: Option<u64>, rotation: Rotation) -> Log {
    let (mut log, _) = Log::open(&dir.join("l"), None, 0o640, at).unwrap();
    log.rotates(&rotation);
    log
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let mut all: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

/// As a pipe gives them: cut anywhere.
fn pieces() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log_of(dir.path(), Some(100), Rotation::default());
    let all: String = (0..60).map(|n| format!("line {n:03} with some words\n")).collect();
    for piece in all.as_bytes().chunks(37) {
        log.write(piece);
    }
    let files = names(dir.path());
    assert!(files.len() > 10, "{files:?}");
    let mut found = String::new();
    for name in files.iter().skip(1).rev().chain(files.first()) {
        let text = read_to_string(dir.path().join(name)).unwrap();
        assert!(text.starts_with("line ") && text.ends_with("words\n"), "{name}: {text:?}");
        found += &text;
    }
    let mut sorted: Vec<&str> = found.lines().collect();
    sorted.sort_unstable();
    assert_eq!(sorted, all.lines().collect::<Vec<_>>(), "nothing is lost");
    Ok(())
}

fn set_time(path: &std::path::Path, days_ago: u64) {
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(days_ago * 86_400);
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

fn periods() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    for every in [86_400, 7 * 86_400] {
        let _ = fs::remove_file(dir.path().join("l.1"));
        fs::write(&path, "old line, and one that was be").unwrap();
        set_time(&path, 8);
        let mut log = log_of(dir.path(), None, Rotation { every: Some(every), ..Default::default() });
        log.write(b"today\n");
        log.write(b"as well\n");
        assert_eq!(read_to_string(&path).unwrap(), "today\nas well\n");
        assert_eq!(read_to_string(dir.path().join("l.1")).unwrap(), "old line, and one that was be");
    }
    // Seconds, to see it happen; a line that is being written is ended first.
    fs::remove_file(&path).unwrap();
    let mut log = log_of(dir.path(), None, Rotation { every: Some(1), ..Default::default() });
    log.write(b"half a ");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    log.write(b"line\nthe next\n");
    assert_eq!(read_to_string(&path).unwrap(), "the next\n");
    assert_eq!(read_to_string(dir.path().join("l.1")).unwrap(), "half a line\n");
    Ok(())
}

fn counted() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log_of(dir.path(), None, Rotation { keep: Some(2), ..Default::default() });
    for n in 0..6 {
        log.write(format!("{n}\n").as_bytes());
        log.rotate().unwrap();
    }
    assert_eq!(names(dir.path()), ["l", "l.1", "l.2"]);
    assert_eq!(read_to_string(dir.path().join("l.1")).unwrap(), "5\n");
    // Kept by an earlier start that kept more.
    for n in 3..9 {
        fs::write(dir.path().join(format!("l.{n}")), "x").unwrap();
    }
    log.rotate().unwrap();
    assert_eq!(names(dir.path()), ["l", "l.1", "l.2"]);
    Ok(())
}

fn aged() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log_of(dir.path(), None, Rotation { max_age: Some(3 * 86_400), ..Default::default() });
    for (n, days) in [(1, 1), (2, 2), (3, 5), (4, 9)] {
        let path = dir.path().join(format!("l.{n}{}", if n == 4 { ".gz" } else { "" }));
        fs::write(&path, format!("{days} days")).unwrap();
        set_time(&path, days);
    }
    log.write(b"now\n");
    log.rotate().unwrap();
    assert_eq!(names(dir.path()), ["l", "l.1", "l.2", "l.3"]);
    assert_eq!(read_to_string(dir.path().join("l.3")).unwrap(), "2 days");
    Ok(())
}

fn unpacked(path: &std::path::Path) -> String {
    use std::io::Read;
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn settled(log: &mut Log, dir: &std::path::Path, wanted: &[&str]) {
    super::world::eventually("the child is done", || {
        log.settle();
        (names(dir) == wanted).then_some(())
    });
}

fn compressed() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { compress: true, keep: Some(3), ..Default::default() };
    let mut log = log_of(dir.path(), None, rotation);
    for n in 0..5 {
        // Faster than the child: what it works on gets another number meanwhile.
        log.write(format!("{n} {}\n", "words ".repeat(50_000)).as_bytes());
        log.rotate().unwrap();
    }
    settled(&mut log, dir.path(), &["l", "l.1.gz", "l.2.gz", "l.3.gz"]);
    for (n, first) in [(1, '4'), (2, '3'), (3, '2')] {
        let path = dir.path().join(format!("l.{n}.gz"));
        let text = unpacked(&path);
        assert!(text.starts_with(first) && text.len() == 300_003, "{n}: {}", text.len());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(fs::metadata(&path).unwrap().len() < 10_000);
    }
    if root() {
        // After the drop, with a log that was given away: done by the user, who owns the result.
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(65534), Some(65534)).unwrap();
        let place = dir.path().to_owned();
        let owner = Some(Owner { uid: 65534, gid: 65534 });
        let (mut log, _) = Log::open(&dir.path().join("l"), owner, 0o600, None).unwrap();
        log.rotates(&Rotation { compress: true, ..Default::default() });
        let child = forked(move || {
            become_nobody(&place);
            log.write(b"as nobody\n");
            log.rotate().unwrap();
            settled(&mut log, &place, &["l", "l.1.gz"]);
            0
        });
        assert_eq!(finished(child), WaitStatus::Exited(child, 0));
        let meta = fs::metadata(dir.path().join("l.1.gz")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (65534, 0o600));
    }
    Ok(())
}

fn interrupted() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("l.1"), "left\n").unwrap();
    fs::write(dir.path().join(".l.gz.rsd"), "half").unwrap();
    let mut log = log_of(dir.path(), None, Rotation { compress: true, ..Default::default() });
    log.write(b"new\n");
    log.rotate().unwrap();
    settled(&mut log, dir.path(), &["l", "l.1.gz", "l.2.gz"]);
    assert_eq!(
        (unpacked(&dir.path().join("l.1.gz")), unpacked(&dir.path().join("l.2.gz"))),
        ("new\n".into(), "left\n".into())
    );
    // One that goes while its child works leaves nothing half done.
    log.write(&vec![b'x'; 8_000_000]);
    log.rotate().unwrap();
    drop(log);
    assert!(!names(dir.path()).contains(&".l.gz.rsd".to_owned()), "{:?}", names(dir.path()));
    assert_eq!(names(dir.path()).iter().filter(|n| n.starts_with("l.1")).count(), 1);
    Ok(())
}

fn linked() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "secret\n").unwrap();
    fs::hard_link(dir.path().join("secret"), dir.path().join("l.1")).unwrap();
    let mut log = log_of(dir.path(), None, Rotation { compress: true, ..Default::default() });
    log.write(b"new\n");
    log.rotate().unwrap();
    settled(&mut log, dir.path(), &["l", "l.1.gz", "l.2", "secret"]);
    Ok(())
}

/// Lines are lost and that is said; the rotation and the compression fail, and nothing ends.
fn full() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("a small file system needs root"));
    }
    let child = forked(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        for words in ["--make-rprivate /", "-t tmpfs -o size=64k none /mnt"] {
            let mount = std::process::Command::new("mount").args(words.split(' ')).status().unwrap();
            assert!(mount.success(), "mount {words}");
        }
        let dir = std::path::Path::new("/mnt");
        let mut log = log_of(dir, Some(40_000), Rotation { compress: true, ..Default::default() });
        // A compression that ends just then makes room for the last of them.
        let mut lost = false;
        for n in 0..20_000 {
            log.write(format!("line {n} {:x}\n", n * 7919 % 65_521).as_bytes());
            lost |= log.bytes_lost() > 0;
        }
        assert!(lost);
        for name in names(dir) {
            if name != "l" {
                let _ = fs::remove_file(dir.join(name));
            }
        }
        // A child that still reads what was removed holds its room.
        super::world::eventually("there is room", || {
            log.write(b"room again\n");
            (log.bytes_lost() == 0).then_some(())
        });
        let text = read_to_string(dir.join("l")).unwrap();
        assert!(text.contains(" bytes of log were lost: the file could not be written\n"), "{text}");
        assert!(text.ends_with("room again\n"), "{text}");
        0
    });
    assert_eq!(finished(child), WaitStatus::Exited(child, 0));
    Ok(())
}
