//! The job, those who do it, and the place where it is done.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use crate::{During, Result};

/// The starter that the others are compared with.
pub const YARDSTICK: &str = "C minimum, static";

const USER: &str = "svc";
const UID: u32 = 4000;
const EXTRA_GID: u32 = 4001;

/// The one that this is about.
pub const OURS: &str = "rsd run";

/// How long the program lives if nobody ends it: far longer than a start.
const LIFE_MS: &str = "30000";
/// How long under strace, which ends only when every process did.
const LIFE_TRACED_MS: &str = "300";

/// A command line that does the job.
pub struct Starter {
    /// As the table names it.
    pub name: &'static str,
    /// The command, up to the program's own arguments.
    pub argv: Vec<OsString>,
    /// It only executes the program and does nothing of the job.
    pub bare: bool,
}

/// What one start showed.
pub struct Sample {
    /// From just before the starter is executed to the program's first instruction.
    pub first_ns: u64,
    /// … to its `main()`.
    pub main_ns: u64,
    /// … to the end of the starter.
    pub exit_ns: u64,
    /// Peak resident memory of the starter and the children that it waited for.
    pub peak_kib: u64,
    /// Resident memory of the processes that stay beside the program.
    pub beside_kib: u64,
    /// Whether the PID file named the daemon at the moment the starter returned.
    pub pid_file: bool,
    /// Whether the starts ran at a real-time priority.
    pub fifo: bool,
    /// Where the program found itself elsewhere than the job says.
    pub differs: Vec<String>,
}

/// An empty folder that every user may enter, outside the repository (which may lie under `/root`).
pub fn make_sandbox() -> Result<PathBuf> {
    let dir = env::temp_dir().join(format!("rsd-bench-start-{}", process::id()));
    fs::create_dir(&dir).during(dir.display())?;
    mode(&dir, 0o755)?;
    Ok(dir)
}

/// Folders, users and programs of the job, inside a mount namespace of our own.
pub struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    /// Fills `dir` and mounts parts of it over the user database and `/var/lib`.
    pub fn furnish(dir: &Path) -> Result<Self> {
        let sandbox = Self { dir: dir.to_owned() };
        for (folder, owner) in
            [("bin", 0), ("run", 0), ("log", UID), ("stamp", UID), ("lib", 0), ("etc", 0), ("out", 0)]
        {
            let path = dir.join(folder);
            fs::create_dir(&path).during(path.display())?;
            mode(&path, 0o755)?;
            chown(&path, Some(owner), Some(owner)).during(path.display())?;
        }
        for (name, flags) in [("launch", &[][..]), ("minimal", &[]), ("stamp", &["-Wl,-e,stamp_entry"])] {
            let source =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/start").join(format!("{name}.c"));
            let status = Command::new("gcc")
                .args(["-O2", "-Wall", "-Wextra", "-static"])
                .args(flags)
                .arg("-o")
                .arg(dir.join("bin").join(name))
                .arg(&source)
                .status()
                .during("gcc")?;
            if !status.success() {
                return Err(format!("gcc refused {}", source.display()));
            }
        }
        let user = format!("{USER}:x:{UID}:{UID}:service:/nonexistent:/usr/sbin/nologin\n");
        sandbox.replace("/etc/passwd", &user)?;
        let groups = format!("{USER}:x:{UID}:\n{USER}-extra:x:{EXTRA_GID}:{USER}\n");
        sandbox.replace("/etc/group", &groups)?;
        // One source of users, as a plain Debian has: no directory service of this machine is measured.
        if Path::new("/etc/nsswitch.conf").exists() {
            let copy = dir.join("etc/nsswitch.conf");
            fs::write(&copy, "passwd: files\ngroup: files\nhosts: files\n").during(copy.display())?;
            mode(&copy, 0o644)?;
            bind(&copy, "/etc/nsswitch.conf")?;
        }
        bind(&dir.join("lib"), "/var/lib")?;
        Ok(sandbox)
    }

    /// Mounts a copy of `file` with `lines` in the place of others with the same names and numbers.
    fn replace(&self, file: &str, lines: &str) -> Result<()> {
        let key = |line: &str| {
            let mut fields = line.split(':');
            (fields.next().unwrap_or("").to_owned(), fields.nth(1).unwrap_or("").to_owned())
        };
        let ours: Vec<_> = lines.lines().map(key).collect();
        let mut text = String::new();
        for line in fs::read_to_string(file).during(file)?.lines() {
            let (name, number) = key(line);
            if !ours.iter().any(|(n, u)| *n == name || *u == number) {
                text.push_str(line);
                text.push('\n');
            }
        }
        let copy = self.dir.join("etc").join(file.rsplit('/').next().unwrap_or("file"));
        fs::write(&copy, text + lines).during(copy.display())?;
        mode(&copy, 0o644)?;
        bind(&copy, file)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts once and clears away what the start left.
    pub fn start(&self, starter: &Starter) -> Result<Sample> {
        let life = if starter.bare { "0" } else { LIFE_MS };
        let out = self.launch(&starter.argv, life)?;
        let stamp = fs::read_to_string(self.path("stamp/it")).unwrap_or_default();
        let said = fs::read_to_string(self.path("out/starter")).unwrap_or_default();
        self.sweep()?;

        let launch = words(&out);
        let stamp = words(&stamp);
        let number =
            |of: &HashMap<String, String>, key: &str| of.get(key).and_then(|v| v.parse::<u64>().ok());
        let (Some(t0), Some(first), Some(main)) =
            (number(&launch, "t0"), number(&stamp, "first"), number(&stamp, "main"))
        else {
            let code = launch.get("code").map_or("?", String::as_str);
            let said = if said.trim().is_empty() { "no message" } else { said.trim() };
            return Err(format!("it starts nothing (exit code {code}): {said}"));
        };
        let get = |key: &str| number(&launch, key).unwrap_or(0);
        if get("code") != 0 || get("timed_out") != 0 {
            return Err(format!("it fails with exit code {}: {}", get("code"), said.trim()));
        }
        let pid_file = launch.get("pidfile");
        Ok(Sample {
            first_ns: first.saturating_sub(t0),
            main_ns: main.saturating_sub(t0),
            exit_ns: get("exit").saturating_sub(t0),
            peak_kib: get("peak_kib"),
            beside_kib: get("beside_kib"),
            pid_file: pid_file.is_some_and(|p| stamp.get("pid") == Some(p) || stamp.get("ppid") == Some(p)),
            fifo: get("fifo") == 1,
            differs: if starter.bare { Vec::new() } else { differences(&stamp) },
        })
    }

    /// Runs `launch` on a command, to which the arguments of the program are added.
    fn launch(&self, argv: &[OsString], life: &str) -> Result<String> {
        let out = Command::new(self.path("bin/launch"))
            .arg(self.path("stamp/it"))
            .arg(self.path("run/svc.pid"))
            .arg(self.path("out/starter"))
            .args(argv)
            .arg(self.path("stamp/it"))
            .arg(life)
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .output()
            .during("launch")?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Removes the files of one start.
    fn sweep(&self) -> Result<()> {
        for folder in ["run", "log", "stamp", "out"] {
            for entry in fs::read_dir(self.path(folder)).during(folder)?.flatten() {
                fs::remove_file(entry.path()).during(entry.path().display())?;
            }
        }
        Ok(())
    }

    /// System calls of all processes of one start: up to the program's first instruction or the end of the
    /// starter, whichever is later, and without those that the program makes. None without strace.
    pub fn count_calls(&self, starter: &Starter) -> Option<usize> {
        let log = self.path("out/strace");
        let mut argv: Vec<OsString> =
            ["/usr/bin/strace", "-f", "-qq", "-e", "signal=none", "-o"].map(Into::into).into();
        argv.push(log.clone().into());
        argv.extend(starter.argv.iter().cloned());
        let ran = self.launch(&argv, LIFE_TRACED_MS);
        let trace = fs::read_to_string(&log);
        self.sweep().ok()?;
        ran.ok()?;
        calls_in(&trace.ok()?, &self.path("bin/stamp").to_string_lossy())
    }
}

/// Counts in what `strace -f` wrote; the first process in it is the starter.
fn calls_in(trace: &str, program: &str) -> Option<usize> {
    let exec = format!("execve(\"{program}\"");
    let lines: Vec<(&str, &str)> =
        trace.lines().filter_map(|l| l.split_once(' ')).map(|(pid, call)| (pid, call.trim_start())).collect();
    let starter = lines.first()?.0;
    let run = lines.iter().rposition(|(_, call)| call.starts_with(&exec))?;
    let daemon = lines[run].0;
    let end = lines
        .iter()
        .rposition(|(pid, call)| *pid == starter && call.contains("exit_group("))
        .filter(|_| starter != daemon)
        .map_or(run, |e| e.max(run));
    let counts = |(at, (pid, call)): &(usize, &(&str, &str))| {
        let is_call = !call.starts_with("<...") && !call.starts_with("+++") && !call.starts_with("---");
        is_call && (*at <= run || *pid != daemon)
    };
    Some(lines[..=end].iter().enumerate().filter(counts).count())
}

/// `key=value` words.
fn words(text: &str) -> HashMap<String, String> {
    text.split_whitespace()
        .filter_map(|w| w.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// What of the job the program did not find done.
fn differences(stamp: &HashMap<String, String>) -> Vec<String> {
    let get = |key: &str| stamp.get(key).map_or("", String::as_str);
    let mut differs = Vec::new();
    for (key, want) in
        [("uid", UID.to_string()), ("gid", UID.to_string()), ("umask", "022".into()), ("cwd", "/".into())]
    {
        if get(key) != want {
            differs.push(format!("{key} {}", get(key)));
        }
    }
    let mut groups: Vec<&str> = get("groups").split(',').filter(|g| *g != UID.to_string()).collect();
    groups.sort_unstable();
    if groups != [EXTRA_GID.to_string()] {
        differs.push(format!("groups {}", get("groups")));
    }
    if get("sid") == get("pid") {
        differs.push("session leader".into());
    }
    differs
}

/// Everyone who is measured.
pub fn starters(sandbox: &Sandbox, rsd: &Path) -> Vec<Starter> {
    let stamp = sandbox.path("bin/stamp");
    let pid_file = sandbox.path("run/svc.pid");
    let log = sandbox.path("log/svc.log");
    let fill = |line: &str| -> Vec<OsString> {
        line.split_whitespace()
            .map(|word| match word {
                "RSD" => rsd.into(),
                "MINIMAL" => sandbox.path("bin/minimal").into(),
                "STAMP" => stamp.clone().into(),
                "PIDFILE" => pid_file.clone().into(),
                "LOG" => log.clone().into(),
                other => other.into(),
            })
            .collect()
    };
    let starter = |name, bare, line: &str| Starter { name, bare, argv: fill(line) };
    vec![
        starter(YARDSTICK, false, "MINIMAL svc PIDFILE LOG STAMP"),
        starter(
            OURS,
            false,
            "RSD run --spec twistd --uid svc --gid svc --rundir / --umask 022 --pidfile PIDFILE --logfile LOG -- STAMP",
        ),
        starter("daemonize(1)", false, "/usr/bin/daemonize -a -u svc -c / -p PIDFILE -o LOG -e LOG STAMP"),
        starter(
            "dpkg start-stop-daemon",
            false,
            "/sbin/start-stop-daemon --start --quiet --background --make-pidfile --pidfile PIDFILE --chuid svc \
             --chdir / --umask 022 --output LOG --exec STAMP --",
        ),
        starter("exec alone (no job)", true, "STAMP"),
    ]
}

fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).during(path.display())
}

fn bind(from: &Path, onto: &str) -> Result<()> {
    let status = Command::new("mount").arg("--bind").arg(from).arg(onto).status().during("mount")?;
    if status.success() { Ok(()) } else { Err(format!("cannot mount over {onto}")) }
}
