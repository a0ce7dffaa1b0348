//! Where a test runs: as root in namespaces of its own, with users, directories and a network that
//! nobody else has; otherwise as whoever runs the tests, in a directory of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the re-executed test what it is: `init` or `test`.
const INSIDE: &str = "RSD_TEST_INSIDE";
/// No test may take longer, unless `RSD_TEST_LIMIT` says how many seconds.
fn limit() -> Duration {
    let asked = std::env::var("RSD_TEST_LIMIT").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(asked.unwrap_or(180))
}

pub const SVC: u32 = 4000;
pub const EXTRA: u32 = 4001;
pub const OTHER: u32 = 4100;

/// Who can run it.
#[derive(Clone, Copy, PartialEq)]
pub enum Needs {
    Root,
    Anyone,
}

/// What came of a command.
#[derive(Debug)]
pub struct Out {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The place.
pub struct World {
    pub dir: PathBuf,
    pub root: bool,
    _temporary: Option<tempfile::TempDir>,
}

/// Runs `body` in a place of its own; afterwards no run may have diverged from its prediction.
pub fn test(name: &str, needs: Needs, body: impl FnOnce(&World)) {
    diverging(name, needs, |world| {
        body(world);
        world.nothing_diverged();
    });
}

/// The same, where runs are to diverge.
pub fn diverging(name: &str, needs: Needs, body: impl FnOnce(&World)) {
    let root = nix::unistd::geteuid().is_root();
    match std::env::var(INSIDE).as_deref() {
        Ok("test") => {
            body(&World::inside());
        }
        Ok(_) => init(name),
        Err(_) if root => outside(name),
        Err(_) if needs == Needs::Anyone => {
            body(&World::plain());
        }
        Err(_) => skip(name, "it needs root: users, namespaces and mounts of its own"),
    }
}

/// Says that a test was not run. Where nothing may be skipped that is a failure.
pub fn skip(name: &str, why: &str) {
    println!("skipped: {name}: {why}");
    assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{name} was skipped: {why}");
}

fn again(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"]).env(INSIDE, role);
    command
}

/// The test that was asked for: it starts itself again in new namespaces, and waits.
fn outside(name: &str) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]);
    unshare.args(["--propagation", "private", "--"]);
    let probe = unshare_works();
    if let Err(why) = probe {
        println!("skipped: {name}: the kernel refuses new namespaces: {why}");
        return;
    }
    let inner = again(name, "init");
    unshare.arg(inner.get_program()).args(inner.get_args()).env(INSIDE, "init").env("RUST_BACKTRACE", "0");
    let log = tempfile::tempfile().expect("a file for what the test says");
    let both = log.try_clone().expect("a second handle");
    unshare.stdin(Stdio::null()).stdout(log.try_clone().expect("a third handle")).stderr(both);
    let mut child = unshare.spawn().expect("start unshare");
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().expect("wait for unshare") {
            Some(status) => break Some(status),
            None if begin.elapsed() > limit() => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut said = String::new();
    use std::io::{Read, Seek};
    let mut log = log;
    log.rewind().and_then(|()| log.read_to_string(&mut said)).expect("read what the test said");
    for line in said.lines().filter(|l| l.starts_with("skipped:")) {
        println!("{line}");
    }
    match status {
        Some(status) => assert!(status.success(), "{name} failed in its sandbox:\n{said}"),
        None => panic!("{name} did not end in {:?}:\n{said}", limit()),
    }
    assert!(said.contains("1 passed"), "{name} did not run in its sandbox:\n{said}");
}

fn unshare_works() -> Result<(), String> {
    let out = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "true"])
        .output();
    match out {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// The first process of the PID namespace: orphans come to it, and it buries them.
#[allow(clippy::zombie_processes)] // all that end are waited for below
fn init(name: &str) {
    let child = again(name, "test").spawn().expect("start the test itself");
    let child = nix::unistd::Pid::from_raw(child.id() as i32);
    loop {
        use nix::sys::wait::{WaitStatus, wait};
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                assert_eq!(code, 0, "the test failed");
                return;
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => panic!("ended by {signal}"),
            Ok(_) => {}
            Err(error) => panic!("wait: {error}"),
        }
    }
}

pub fn sh(command: &str, arguments: &[&str]) {
    let out = Command::new(command).args(arguments).output().unwrap_or_else(|e| panic!("{command}: {e}"));
    assert!(out.status.success(), "{command} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("RSD_TEST_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rsd")), PathBuf::from)
}

impl World {
    fn inside() -> World {
        let dir = PathBuf::from("/mnt");
        sh("mount", &["-t", "tmpfs", "-o", "mode=0755", "test", "/mnt"]);
        sh("mount", &["-t", "tmpfs", "-o", "mode=0755", "test", "/var/lib"]);
        sh("ip", &["link", "set", "lo", "up"]);
        let people = [
            (
                "/etc/passwd",
                format!("svc:x:{SVC}:{SVC}::/mnt:/bin/sh\nother:x:{OTHER}:{OTHER}::/mnt:/bin/sh\n"),
            ),
            ("/etc/group", format!("svc:x:{SVC}:\nsvcextra:x:{EXTRA}:svc\nother:x:{OTHER}:\n")),
        ];
        for (file, more) in people {
            let own = dir.join(Path::new(file).file_name().expect("a name"));
            let text = fs::read_to_string(file).expect("the machine's users");
            fs::write(&own, format!("{}\n{more}", text.trim_end())).expect("our users");
            sh("mount", &["--bind", own.to_str().expect("text"), file]);
        }
        let work = dir.join("work");
        fs::create_dir(&work).expect("the work directory");
        World { dir: work, root: true, _temporary: None }
    }

    fn plain() -> World {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().canonicalize().expect("its path");
        World { dir, root: false, _temporary: Some(temporary) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("text").to_owned()
    }

    /// A directory of that user, group and mode.
    pub fn directory(&self, name: &str, owner: u32, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        if self.root {
            chown(&path, Some(owner), Some(owner)).expect("its owner");
        }
        path
    }

    /// A file with that text; of root where there is root.
    pub fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        path
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C.UTF-8").env("XDG_STATE_HOME", self.path(".state"));
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    pub fn rsd(&self, arguments: &[&str]) -> Out {
        done(self.command(binary()).args(arguments))
    }

    /// The same; it must exit 0.
    pub fn fine(&self, arguments: &[&str]) -> Out {
        let out = self.rsd(arguments);
        assert_eq!(out.code, 0, "rsd {arguments:?}: {out:#?}");
        out
    }

    /// The number that a PID file holds, which must be a number and a newline.
    pub fn pid(&self, file: &str) -> i32 {
        let text = fs::read_to_string(self.path(file)).expect("the PID file");
        let number = text.strip_suffix('\n').expect("a newline at its end");
        number.parse().expect("a number in it")
    }

    pub fn journals(&self) -> Vec<PathBuf> {
        let place = if self.root { PathBuf::from("/var/lib/rsd") } else { self.path(".state/rsd") };
        let mut all: Vec<PathBuf> = entries(&place).iter().flat_map(|d| entries(d)).collect();
        all.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        all
    }

    /// The timeline of the newest run, or of that journal.
    pub fn timeline(&self, journal: Option<&Path>) -> serde_json::Value {
        let journal = journal.map(Path::to_owned).or_else(|| self.journals().pop()).expect("a journal");
        let out = self.fine(&["trace", journal.to_str().expect("text"), "--format", "json"]);
        serde_json::from_str(&out.out).expect("JSON")
    }

    fn nothing_diverged(&self) {
        for journal in self.journals() {
            let timeline = self.timeline(Some(&journal));
            assert_eq!(timeline["divergences"], serde_json::json!([]), "{}", journal.display());
        }
    }

    /// Everything below the work directory: names, kinds, modes, owners, sizes and contents.
    pub fn listing(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut todo = vec![self.dir.clone()];
        while let Some(dir) = todo.pop() {
            for path in entries(&dir) {
                use std::os::unix::fs::MetadataExt;
                let m = fs::symlink_metadata(&path).expect("an entry");
                if path.ends_with(".state") {
                    continue;
                }
                let text = if m.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
                let text = String::from_utf8_lossy(&text).into_owned();
                all.push(format!("{} {:o} {}:{} {text}", path.display(), m.mode(), m.uid(), m.gid()));
                if m.is_dir() {
                    todo.push(path);
                }
            }
        }
        all.sort();
        all
    }
}

pub fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|d| d.filter_map(|e| Some(e.ok()?.path())).collect()).unwrap_or_default()
}

pub fn done(command: &mut Command) -> Out {
    let out = command.output().expect("start it");
    use std::os::unix::process::ExitStatusExt;
    Out {
        code: out.status.code().unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0)),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came true: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}
