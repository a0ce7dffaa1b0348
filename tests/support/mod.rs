//! A directory of its own for a command, a clean environment, and what came of it.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Who runs the command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// whoever runs the tests
    Me,
    /// uid and gid 65534: an ordinary user
    Nobody,
}

/// uid and gid of `nobody`.
pub const NOBODY: u32 = 65534;

/// No command of the tests may take longer, on however busy a machine: what hangs takes longer still.
const PATIENCE: Duration = Duration::from_secs(5);

/// True where the tests run as root.
pub fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What came of a command.
pub struct Ran {
    /// its exit code; 128 and the signal where one ended it
    pub code: i32,
    /// what it wrote to standard output
    pub stdout: String,
    /// what it wrote to standard error
    pub stderr: String,
    /// it took too long, each time it was tried
    pub slow: Option<String>,
}

/// A directory that a command is run in, and one beside it for its state.
pub struct World {
    top: TempDir,
    who: Who,
}

impl World {
    /// With nothing in it.
    pub fn empty(who: Who) -> World {
        let top = tempfile::Builder::new().prefix("rsd-case-").tempdir().unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let world = World { top, who };
        for dir in [world.dir(), world.home()] {
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
            if who == Who::Nobody {
                nix::unistd::chown(&dir, Some(NOBODY.into()), Some(NOBODY.into())).unwrap();
            }
        }
        world
    }

    /// With a copy of a folder, without some of its files.
    pub fn with(from: &Path, without: &[&str], who: Who) -> World {
        let world = World::empty(who);
        copy(from, &world.dir(), without);
        world
    }

    /// The working directory of the commands.
    pub fn dir(&self) -> PathBuf {
        self.top.path().join("cwd")
    }

    fn home(&self) -> PathBuf {
        self.top.path().join("home")
    }

    /// What is in the working directory: names, modes, contents.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        list(&self.dir(), Path::new(""), &mut text);
        text
    }

    /// The same of the state directory.
    pub fn state(&self) -> String {
        let mut text = String::new();
        list(&self.home(), Path::new(""), &mut text);
        text
    }

    /// Runs `rsd`. A machine that is busy is given three tries.
    pub fn rsd(&self, args: &[String]) -> Ran {
        let mut ran = self.once(args);
        for _ in 0..2 {
            if ran.slow.is_some() {
                ran = self.once(args);
            }
        }
        ran
    }

    fn once(&self, args: &[String]) -> Ran {
        let file = |name: &str| self.top.path().join(name);
        let mut command = Command::new(program(self.who));
        command.args(args).current_dir(self.dir()).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
        command.env("HOME", self.home()).env("XDG_STATE_HOME", self.home());
        command.stdin(Stdio::null());
        command.stdout(File::create(file("stdout")).unwrap());
        command.stderr(File::create(file("stderr")).unwrap());
        if self.who == Who::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let begin = Instant::now();
        let mut child = command.spawn().unwrap();
        let (status, slow) = loop {
            if let Some(status) = child.try_wait().unwrap() {
                let took = begin.elapsed();
                break (status, (took > PATIENCE).then(|| format!("took {took:?}")));
            }
            if begin.elapsed() > 3 * PATIENCE {
                child.kill().unwrap();
                break (child.wait().unwrap(), Some(format!("killed after {:?}", 3 * PATIENCE)));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let text = |name: &str| String::from_utf8_lossy(&fs::read(file(name)).unwrap()).into_owned();
        Ran {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: text("stdout"),
            stderr: text("stderr"),
            slow,
        }
    }
}

/// The program under test: a copy for the user who may not enter the build directory.
fn program(who: Who) -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    static GIVEN: OnceLock<Option<PathBuf>> = OnceLock::new();
    let given = GIVEN.get_or_init(|| std::env::var_os("RSD_TEST_BIN").map(PathBuf::from));
    let built = given.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_rsd")));
    let closed = |dir: &Path| fs::metadata(dir).is_ok_and(|m| m.mode() & 0o001 == 0);
    if who == Who::Me || !built.ancestors().any(closed) {
        return built;
    }
    COPY.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("rsd-bin-").tempdir().unwrap().keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(built, dir.join("rsd")).unwrap();
        dir.join("rsd")
    })
}

fn copy(from: &Path, to: &Path, without: &[&str]) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if without.iter().any(|w| name == *w) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&from, &to, &[]);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

fn list(dir: &Path, shown: &Path, text: &mut String) {
    use std::fmt::Write;
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let (path, shown) = (dir.join(&name), shown.join(&name));
        let meta = fs::symlink_metadata(&path).unwrap();
        let _ = write!(text, "{} {:o} {}", shown.display(), meta.mode(), meta.len());
        if meta.is_dir() {
            text.push('\n');
            list(&path, &shown, text);
        } else if meta.is_file() && meta.len() < 100_000 {
            let _ = writeln!(text, " {:?}", String::from_utf8_lossy(&fs::read(&path).unwrap()));
        } else {
            let _ = writeln!(text, " {:?}", meta.modified().unwrap());
        }
    }
}

/// A line as a shell would split it: blanks, quotes, backslashes. Nothing is expanded.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "a quote is not closed: {line}");
    words.extend(word);
    words
}

/// The text without what differs from machine to machine.
pub fn normal(text: &str, world: &World) -> String {
    let dir = world.dir().display().to_string();
    let mut text = text.replace(&dir, "[CWD]");
    if let Some(real) = fs::canonicalize(world.dir()).ok().filter(|real| *real != world.dir()) {
        text = text.replace(&real.display().to_string(), "[CWD]");
    }
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        out.push_str(&any_python(&counted(line)));
    }
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str("[no newline]\n");
    }
    out
}

/// `/usr/lib/python3.11` is `/usr/lib/python3.[N]`.
fn any_python(line: &str) -> String {
    let mut parts = line.split("lib/python3.");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("lib/python3.[N]");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    out
}

/// `41 capabilities` is `[N] capabilities`; `all 41 capabilities` too.
fn counted(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(" capabilities") {
        let start = rest[..at]
            .rfind(|c: char| !c.is_ascii_digit())
            .map_or(0, |n| n + rest[n..].chars().next().map_or(1, char::len_utf8));
        if start < at {
            out.push_str(&rest[..start]);
            out.push_str("[N]");
        } else {
            out.push_str(&rest[..at]);
        }
        out.push_str(" capabilities");
        rest = &rest[at + " capabilities".len()..];
    }
    out.push_str(rest);
    out.replace("all [N] capabilities", "[N] capabilities")
}

/// The lines in which two texts differ, around what they share at both ends.
pub fn diff(expected: &str, printed: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), printed.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    let mut say = |sign: &str, lines: &[&str]| {
        for line in lines {
            text.push_str(&format!("{sign} {line}\n"));
        }
    };
    say(" ", &old[head.saturating_sub(2)..head]);
    say("-", &old[head..old.len() - tail]);
    say("+", &new[head..new.len() - tail]);
    say(" ", &old[old.len() - tail..][..tail.min(2)]);
    text
}
