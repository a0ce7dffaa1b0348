//! The worlds in which orders are tried: a spec, its options, and who owns which directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// The user that the daemon is to run as.
pub const SVC: u32 = 4000;
/// A further group of that user.
pub const EXTRA: u32 = 4001;
/// Where everything is, outside; inside the jail the same names mean the same things.
pub const TOP: &str = "/mnt";
/// The new root directory.
pub const JAIL: &str = "/mnt/jail";
/// Where `rsd` is started.
pub const START: &str = "/mnt/start";
/// The mask that `rsd` is started with.
pub const START_UMASK: u32 = 0o022;
/// The mask that is declared.
pub const UMASK: u32 = 0o027;
/// A number that is no process of a sandbox.
const STALE: &str = "99999\n";

/// The new root directory, or the lack of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jail {
    /// no chroot is asked for
    None,
    /// it holds all that is outside
    Whole,
    /// the program is not in it
    NoProgram,
    /// the log's and the PID file's directories are not in it
    NoPlaces,
    /// the working directory is not in it
    NoWork,
}

/// A directory: owner and mode.
pub type Place = (u32, u32);

const ROOTS: Place = (0, 0o755);
const USERS: Place = (SVC, 0o755);
const TMP: Place = (0, 0o1777);
const CLOSED: Place = (0, 0o700);

/// One world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// what it is called on the command line
    pub name: &'static str,
    /// `twistd-safe` instead of `twistd`
    pub safe: bool,
    /// where the PID file is to be, outside and inside
    pub run: [Place; 2],
    /// where the log is to be, outside and inside
    pub logs: [Place; 2],
    /// the program's directory
    pub programs: Place,
    /// the new root
    pub jail: Jail,
    /// a working directory is asked for, owned so
    pub work: Option<Place>,
    /// a log is asked for
    pub log: bool,
    /// a umask is asked for
    pub umask: bool,
    /// another user is asked for
    pub user: bool,
    /// only its effective ids
    pub effective: bool,
    /// the port
    pub port: u16,
    /// a PID file of a daemon that is gone stands there already
    pub stale: bool,
    /// the log stands there already, root's
    pub old_log: bool,
    /// no `daemonize`
    pub foreground: bool,
    /// started by the user itself
    pub by_user: bool,
}

const PLAIN: World = World {
    name: "plain",
    safe: false,
    run: [ROOTS, ROOTS],
    logs: [ROOTS, ROOTS],
    programs: ROOTS,
    jail: Jail::None,
    work: Some(ROOTS),
    log: true,
    umask: true,
    user: true,
    effective: false,
    port: 80,
    stale: false,
    old_log: false,
    foreground: false,
    by_user: false,
};

/// All of them. The first is the one whose eight phases are tried in every order: outside everything is
/// the user's, in the jail everything is root's, so that the place of `chroot` decides what works later.
pub const WORLDS: &[World] = &[
    World { name: "eight", jail: Jail::Whole, run: [USERS, ROOTS], logs: [USERS, ROOTS], ..PLAIN },
    World { name: "root-owned", ..PLAIN },
    World { name: "user-owned", run: [USERS; 2], logs: [USERS; 2], work: Some(USERS), ..PLAIN },
    World { name: "sticky", run: [TMP; 2], logs: [TMP; 2], work: None, ..PLAIN },
    World { name: "jail-root-owned", jail: Jail::Whole, ..PLAIN },
    World { name: "jail-user-owned", jail: Jail::Whole, run: [USERS; 2], logs: [USERS; 2], ..PLAIN },
    World {
        name: "jail-turned",
        jail: Jail::Whole,
        run: [ROOTS, USERS],
        logs: [ROOTS, USERS],
        work: None,
        ..PLAIN
    },
    World { name: "jail-without-program", jail: Jail::NoProgram, ..PLAIN },
    World { name: "jail-without-places", jail: Jail::NoPlaces, run: [USERS; 2], logs: [USERS; 2], ..PLAIN },
    World { name: "jail-without-work", jail: Jail::NoWork, ..PLAIN },
    World { name: "closed-work", work: Some(CLOSED), run: [USERS; 2], logs: [USERS; 2], ..PLAIN },
    World { name: "closed-places", run: [CLOSED; 2], logs: [CLOSED; 2], port: 8080, ..PLAIN },
    World { name: "closed-program", programs: CLOSED, run: [USERS; 2], logs: [USERS; 2], ..PLAIN },
    World { name: "stale", stale: true, run: [USERS; 2], logs: [ROOTS; 2], jail: Jail::Whole, ..PLAIN },
    World {
        name: "stale-sticky",
        stale: true,
        old_log: true,
        run: [TMP; 2],
        logs: [USERS; 2],
        port: 8080,
        ..PLAIN
    },
    World { name: "no-log", log: false, umask: false, run: [USERS; 2], ..PLAIN },
    World { name: "no-drop", user: false, jail: Jail::Whole, ..PLAIN },
    World { name: "effective-ids", effective: true, run: [USERS; 2], logs: [USERS; 2], ..PLAIN },
    World { name: "foreground", foreground: true, run: [USERS; 2], logs: [ROOTS; 2], ..PLAIN },
    World {
        name: "by-user",
        by_user: true,
        user: false,
        port: 8080,
        run: [USERS; 2],
        logs: [USERS; 2],
        ..PLAIN
    },
    World {
        name: "by-user-low-port",
        by_user: true,
        user: false,
        run: [USERS; 2],
        logs: [ROOTS; 2],
        ..PLAIN
    },
    World { name: "safe-root-owned", safe: true, ..PLAIN },
    World { name: "safe-user-logs", safe: true, logs: [USERS; 2], ..PLAIN },
    World { name: "safe-jail", safe: true, jail: Jail::Whole, logs: [USERS, ROOTS], ..PLAIN },
    World {
        name: "safe-jail-turned",
        safe: true,
        jail: Jail::Whole,
        run: [ROOTS, USERS],
        logs: [ROOTS, USERS],
        ..PLAIN
    },
    World { name: "safe-jail-bare", safe: true, jail: Jail::NoPlaces, logs: [USERS; 2], work: None, ..PLAIN },
    World { name: "safe-sticky", safe: true, old_log: true, run: [TMP; 2], logs: [TMP; 2], ..PLAIN },
    World { name: "safe-foreground", safe: true, foreground: true, logs: [USERS; 2], ..PLAIN },
];

const TWISTD: [&str; 13] = [
    "checkPID",
    "readTacFile",
    "startLogger",
    "chroot",
    "chdir",
    "umask",
    "daemonize",
    "openPIDFile",
    "privilegedStartService",
    "switchUidGid",
    "startApplication",
    "startReactor",
    "removePIDFile",
];

const SAFE: [&str; 13] = [
    "umask",
    "daemonize",
    "openPIDFile",
    "readTacFile",
    "startLogger",
    "chroot",
    "chdir",
    "privilegedStartService",
    "keepGuard",
    "switchUidGid",
    "startApplication",
    "startReactor",
    "removePIDFile",
];

/// The eight phases of the world "eight" that are put into every order: all that changes who the daemon
/// is, or makes something. The application is found before them, started, served and cleared up after.
pub const EIGHT: [&str; 8] = [
    "startLogger",
    "chroot",
    "chdir",
    "umask",
    "daemonize",
    "openPIDFile",
    "privilegedStartService",
    "switchUidGid",
];

/// An order of some phases of `twistd` among the others, which stay where they are.
pub fn among(some: &[&'static str]) -> Vec<&'static str> {
    let others = |list: &[&'static str]| -> Vec<&'static str> {
        list.iter().copied().filter(|phase| !some.contains(phase)).collect()
    };
    [others(&["checkPID", "readTacFile"]), some.to_vec(), others(&TWISTD[10..])].concat()
}

impl World {
    /// The world of that name.
    pub fn named(name: &str) -> Option<&'static World> {
        WORLDS.iter().find(|w| w.name == name)
    }

    /// Its thirteen phases, in the order of its spec.
    pub fn phases(&self) -> &'static [&'static str; 13] {
        if self.safe { &SAFE } else { &TWISTD }
    }

    /// The shipped spec with what would refuse an order for another reason than its effects taken out:
    /// needs, and what is declared of privilege. Two declarations stay, because they say what is to be
    /// done and not what is claimed: `removePIDFile` needs the phase that serves (that makes it a phase of
    /// the way down), and in `twistd-safe` it is the guard's (`privileged`).
    pub fn spec(&self) -> String {
        let base = if self.safe { "twistd-safe" } else { "twistd" };
        let pre = match self.safe {
            true => "",
            false => "  preApplication: { phases: { checkPID: { needs: [] } } }\n",
        };
        let (keep, remove) = match self.safe {
            true => ("      keepGuard: { needs: [], privilege: any }\n", "privileged"),
            false => ("", "any"),
        };
        format!(
            "rsd: 1\nname: orders\nextends: {base}\nphases:\n{pre}  createApplication:\n    phases:\n      \
             readTacFile: {{ needs: [], privilege: any }}\n      startLogger: {{ needs: [], privilege: any }}\n  \
             postApplication:\n    phases:\n      setupEnvironment:\n        phases:\n          chdir: {{ needs: [] }}\n          \
             openPIDFile: {{ needs: [] }}\n      privilegedStartService: {{ needs: [], privilege: any }}\n{keep}      \
             startApplication: {{ needs: [], privilege: any }}\n      startReactor: {{ needs: [], privilege: any }}\n      \
             removePIDFile: {{ needs: [startReactor], privilege: {remove} }}\n"
        )
    }

    /// The options, as they are given on the command line: name and value. A flag has the value `true`.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![
            ("pidfile", format!("{TOP}/run/t.pid")),
            ("logfile", if self.log { format!("{TOP}/logs/t.log") } else { String::new() }),
            ("umask", if self.umask { format!("{UMASK:03o}") } else { String::new() }),
            ("listen", format!("tcp:127.0.0.1:{}", self.port)),
        ];
        if self.user {
            options.push(("uid", "svc".to_owned()));
        }
        if self.effective {
            options.push(("euid", "true".to_owned()));
        }
        if self.jail != Jail::None {
            options.push(("chroot", JAIL.to_owned()));
        }
        if self.work.is_some() {
            options.push(("rundir", format!("{TOP}/work")));
        }
        if self.foreground {
            options.push(("nodaemon", "true".to_owned()));
        }
        options
    }

    /// The same as arguments.
    pub fn arguments(&self) -> Vec<String> {
        let word = |(name, value): (&str, String)| match value.as_str() {
            "true" => format!("--{name}"),
            _ => format!("--{name}={value}"),
        };
        self.options().into_iter().map(word).collect()
    }

    /// What is run.
    pub fn command() -> [String; 2] {
        [format!("{TOP}/bin/probe"), "rsd-orders".to_owned()]
    }

    /// Who the daemon is to be: user and group.
    pub fn meant(&self) -> u32 {
        if self.user || self.by_user { SVC } else { 0 }
    }

    /// The directory that the daemon is to be in, as seen from outside.
    pub fn meant_cwd(&self) -> PathBuf {
        let root = self.meant_root();
        match self.work {
            Some(_) => root.join("mnt/work"),
            // The spec's own default: in a new root its top.
            None if self.jail != Jail::None => root,
            None => PathBuf::from(START),
        }
    }

    /// Its root directory.
    pub fn meant_root(&self) -> PathBuf {
        PathBuf::from(if self.jail == Jail::None { "/" } else { JAIL })
    }

    /// Its umask.
    pub fn meant_umask(&self) -> u32 {
        if self.umask { UMASK } else { START_UMASK }
    }

    /// Makes the directories and files in an empty [`TOP`].
    pub fn make(&self, probe: &Path) -> std::io::Result<()> {
        let top = PathBuf::from(TOP);
        directory(&top.join("start"), if self.by_user { USERS } else { ROOTS })?;
        fs::write(top.join("orders.yaml"), self.spec())?;
        self.furnish(&top, 0, true, true, true, probe)?;
        if self.jail != Jail::None {
            directory(Path::new(JAIL), ROOTS)?;
            let inside = Path::new(JAIL).join("mnt");
            directory(&inside, ROOTS)?;
            let (program, places, work) =
                (self.jail != Jail::NoProgram, self.jail != Jail::NoPlaces, self.jail != Jail::NoWork);
            self.furnish(&inside, 1, program, places, work, probe)?;
        }
        Ok(())
    }

    fn furnish(
        &self,
        top: &Path,
        side: usize,
        program: bool,
        places: bool,
        work: bool,
        probe: &Path,
    ) -> std::io::Result<()> {
        directory(&top.join("bin"), self.programs)?;
        if program {
            fs::copy(probe, top.join("bin/probe"))?;
        }
        if places {
            directory(&top.join("run"), self.run[side])?;
            directory(&top.join("logs"), self.logs[side])?;
            if self.stale {
                file(&top.join("run/t.pid"), STALE)?;
            }
            if self.old_log {
                file(&top.join("logs/t.log"), "an old line\n")?;
            }
        }
        if let Some(place) = self.work.filter(|_| work) {
            directory(&top.join("work"), place)?;
        }
        Ok(())
    }
}

fn directory(path: &Path, (owner, mode): Place) -> std::io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    chown(path, Some(owner), Some(owner))
}

fn file(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}
