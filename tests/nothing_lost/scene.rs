//! A start that is to be spoiled: which spec, by whom, how, with every phase of it that there can be.

use crate::kernel;
use crate::sandbox::{Out, SVC, World, binary, done};
use crate::seen::Machine;
use crate::tracer::{self, Deed, Point, Traced};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

const SPECS: [&str; 4] = ["twistd", "twistd-safe", "daemon", "systemd-order"];

/// Who starts, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    pub root: bool,
    pub foreground: bool,
    pub jail: bool,
}

/// The ways that can be tried here.
pub fn ways(world: &World) -> Vec<Way> {
    let mut all = Vec::new();
    for foreground in [false, true] {
        all.push(Way { root: false, foreground, jail: false });
        if world.root {
            all.push(Way { root: true, foreground, jail: false });
            all.push(Way { root: true, foreground, jail: true });
        }
    }
    all
}

/// The place of one start.
pub struct Scene {
    pub spec: &'static str,
    pub way: Way,
    pub dir: PathBuf,
    /// nobody else is on the machine
    pub own_machine: bool,
    /// what tells our program from others
    sleeps: String,
    arguments: Vec<String>,
}

/// A step of the plan.
#[derive(Clone, Debug)]
pub struct Step {
    pub phase: String,
    pub process: String,
    pub effects: Vec<String>,
}

impl Scene {
    pub fn new(world: &World, spec: &'static str, way: Way) -> Scene {
        let who = if way.root { "root" } else { "user" };
        let how = if way.foreground { "foreground" } else { "daemon" };
        let jail = if way.jail { "-jail" } else { "" };
        let dir = world.dir.join(format!("{spec}-{who}-{how}{jail}"));
        let number = 100_000
            + std::process::id() % 1000
            + 1_000 * SPECS.iter().position(|s| *s == spec).unwrap_or(0) as u32;
        let mut scene = Scene {
            spec,
            way,
            dir,
            own_machine: world.root,
            sleeps: number.to_string(),
            arguments: Vec::new(),
        };
        scene.furnish();
        scene.arguments = scene.make_arguments();
        scene
    }

    /// Where its directories are: in the jail, too, by the same names.
    fn places(&self) -> Vec<PathBuf> {
        let inside = self.dir.join("jail").join(self.dir.strip_prefix("/").expect("it is absolute"));
        if self.way.jail { vec![self.dir.clone(), inside] } else { vec![self.dir.clone()] }
    }

    /// Makes its directories; false where there is no room for them.
    pub fn furnish(&self) -> bool {
        let mut made = true;
        for place in self.places() {
            for name in ["", "run", "logs", "state", "svc", ".state"] {
                let path = place.join(name);
                made &= fs::create_dir_all(&path).is_ok()
                    && fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).is_ok();
                // What is root's stays root's: what the daemon makes there it cannot take away.
                if self.own_machine && (!self.way.root || name == "svc") {
                    made &= chown(&path, Some(SVC), Some(SVC)).is_ok();
                }
            }
        }
        made && fs::write(self.dir.join("env"), "A=1\n").is_ok()
    }

    /// The command line of its program.
    pub fn program(&self) -> String {
        format!("sleep {}", self.sleeps)
    }

    /// The same, whose program ends by itself in the foreground.
    pub fn brief(world: &World, spec: &'static str, way: Way) -> Scene {
        let mut scene = Scene::new(world, spec, way);
        if way.foreground {
            scene.sleeps = "0.7".to_owned();
            scene.arguments = scene.make_arguments();
        }
        scene
    }

    /// Stops what runs of it, if it does. Without a PID file that is to end the processes.
    pub fn stop_whatever_runs(&self, processes: &[i32]) -> Vec<String> {
        if self.spec == "systemd-order" {
            for pid in processes {
                let pid = nix::unistd::Pid::from_raw(*pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
            return Vec::new();
        }
        let out = self.rsd("stop", &["--spec", self.spec]);
        match out.code {
            0 | 3 => Vec::new(),
            _ => vec![format!("stop: {out:?}")],
        }
    }

    pub fn name(&self) -> String {
        self.dir.file_name().expect("a name").to_string_lossy().into_owned()
    }

    fn make_arguments(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| all.extend(words.iter().map(|w| (*w).to_owned()));
        let Way { root, foreground, jail } = self.way;
        match self.spec {
            "twistd" | "twistd-safe" => {
                add(&["--pidfile", "run/t.pid", "--umask", "027"]);
                if !jail {
                    add(&["--rundir", "svc"]);
                }
                add(&["--logfile", if self.spec == "twistd" { "logs/t.log" } else { "svc/t.log" }]);
            }
            "daemon" => add(&[
                "--pidfile",
                "run/t.pid",
                "--runtime-directory",
                "run/app",
                "--runtime-directory",
                "run/app/two",
                "--state-directory",
                "state/app",
                "--logfile",
                "logs/of/t.log",
                "--env-file",
                "env",
                "--limit-nofile",
                "512",
                "--limit-core",
                "0",
                "--limit-as",
                "4GiB",
                "--nice",
                "19",
                "--oom-score",
                "10",
            ]),
            _ => add(&[
                "--logfile",
                "logs/t.log",
                "--oom-score",
                "10",
                "--scheduler",
                "batch",
                "--nice",
                "19",
                "--io-class",
                "best-effort",
                "--runtime-directory",
                "run/app",
                "--state-directory",
                "state/app",
                "--state-directory",
                "state/two",
                "--env-file",
                "env",
                "--limit-nofile",
                "512",
            ]),
        }
        add(&["--listen", "tcp:127.0.0.1:0", "--listen", "unix:run/t.sock"]);
        if foreground {
            add(&["-n"]);
        }
        if root {
            add(&[if self.spec.starts_with("twistd") { "--uid" } else { "--user" }, "svc"]);
        }
        if root && self.spec == "systemd-order" {
            add(&["--securebits", "noroot"]);
        }
        // In the empty jail there is no program: the built-in whoami answers instead.
        match jail {
            true => add(&["--chroot", "jail"]),
            false => add(&["--", "sleep", &self.sleeps]),
        }
        all
    }

    /// `rsd` as whoever starts here.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C.UTF-8").env("XDG_STATE_HOME", self.dir.join(".state"));
        command.current_dir(&self.dir).stdin(std::process::Stdio::null());
        if let Some(user) = self.user() {
            command.uid(user).gid(user);
        }
        command
    }

    /// Who starts it, where that is somebody else.
    pub fn user(&self) -> Option<u32> {
        (self.own_machine && !self.way.root).then_some(SVC)
    }

    /// A start under the tracer.
    pub fn traced(&self, at: Option<(Point, Deed)>) -> Traced {
        tracer::run(self.with("run", &["--spec", self.spec]), self.user(), at)
    }

    /// The subcommand with all that belongs to the scene, and these words of its own before it.
    pub fn with(&self, subcommand: &str, words: &[&str]) -> Command {
        let mut command = self.command();
        command.arg(subcommand).args(words).args(&self.arguments);
        command
    }

    /// The same behind another command: `sh -c 'ulimit -n 9; exec "$@"' sh`.
    pub fn behind(&self, other: &[&str], words: &[&str]) -> Command {
        let start = self.with("run", words);
        let mut command = Command::new(other[0]);
        command.args(&other[1..]).arg(start.get_program()).args(start.get_args());
        command.env_clear().envs(start.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(&self.dir);
        command.stdin(std::process::Stdio::null());
        if let Some(user) = self.user() {
            command.uid(user).gid(user);
        }
        command
    }

    pub fn rsd(&self, subcommand: &str, words: &[&str]) -> Out {
        done(&mut self.with(subcommand, words))
    }

    /// Stops what a start has brought up: with `rsd stop` where there is a PID file, else by its number.
    pub fn stop(&self, start: &Out) -> Vec<String> {
        // There it has ended by itself.
        if self.way.foreground {
            return Vec::new();
        }
        if self.spec != "systemd-order" {
            let out = self.rsd("stop", &["--spec", self.spec]);
            return if out.code == 0 { Vec::new() } else { vec![format!("stop: {out:?}")] };
        }
        let number = |text: &str| text.split("process ").nth(1)?.split([' ', ',']).next()?.parse().ok();
        match number(&start.out) {
            Some(pid) => kernel::kill(pid, nix::sys::signal::Signal::SIGTERM),
            None => return vec![format!("it does not say which process it is: {start:?}")],
        }
        Vec::new()
    }

    /// Starts and stops it, and says what is there then; what it leaves is taken away again.
    pub fn served_once(&self, before: &Machine) -> Machine {
        self.clear();
        let out = self.rsd("run", &["--spec", self.spec]);
        assert_eq!(out.code, 0, "{}: {out:?}", self.name());
        assert_eq!(self.stop(&out), Vec::<String>::new());
        let processes = self.processes();
        let begin = std::time::Instant::now();
        let mut there = Machine::look(self);
        while there.changed(before).iter().any(|l| !l.starts_with("+ /")) {
            assert!(
                begin.elapsed() < std::time::Duration::from_secs(20),
                "{processes:?} {:?}",
                there.changed(before)
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
            there = Machine::look(self);
        }
        // A guard may have removed a file behind the look at the files, and ended before that at the processes.
        let there = Machine::look(self);
        self.clear();
        there
    }

    /// Takes away every file that a start may have left.
    pub fn clear(&self) {
        for place in self.places() {
            for dir in ["run", "logs", "state", "svc"] {
                for path in crate::sandbox::entries(&place.join(dir)) {
                    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                }
            }
        }
    }

    /// Its processes, as far as they can be told from others.
    pub fn processes(&self) -> Vec<i32> {
        let all = kernel::all().into_iter();
        if self.own_machine {
            return all.collect();
        }
        let dir = self.dir.to_string_lossy().into_owned();
        all.filter(|pid| {
            kernel::command_line(*pid).split(' ').any(|word| word == self.sleeps)
                || kernel::environment(*pid).iter().any(|line| line.contains(&dir))
        })
        .collect()
    }

    /// The number that /proc/locks has for files of the scene.
    pub fn device(&self) -> Option<String> {
        let dev = fs::metadata(&self.dir).ok()?.dev();
        Some(format!("{:02x}:{:02x}:", nix::sys::stat::major(dev), nix::sys::stat::minor(dev)))
    }

    /// The phase that serves.
    pub fn serve(&self) -> &'static str {
        if self.spec.starts_with("twistd") { "startReactor" } else { "serve" }
    }

    /// Writes the overlay with the phases `injected` (its manner is an option) and `last`, which fails where it
    /// is not skipped; and two for the way down: `late`, and `guarded`, which the guard runs where there is one.
    /// All are put where `--order` says.
    pub fn overlay(&self) {
        let serve = self.serve();
        let text = format!(
            "rsd: 1\nname: spoiled\nextends: {}\noptions:\n  how: {{ type: string, default: error }}\nphases:\n  \
             injected: {{ kind: fail, with: {{ how: \"${{how}}\" }} }}\n  \
             last: {{ kind: fail, with: {{ errno: EROFS }} }}\n  \
             late: {{ kind: fail, needs: [{serve}], with: {{ how: \"${{how}}\" }} }}\n  \
             guarded: {{ kind: fail, privilege: privileged, needs: [{serve}], with: {{ how: \"${{how}}\" }} }}\n\
             order: [last, {serve}]\n",
            self.spec
        );
        fs::write(self.dir.join("spoiled.yaml"), text).expect("the overlay");
    }

    /// The steps that are not skipped, without those of the overlay: before serve with serve, and behind it.
    pub fn steps(&self) -> (Vec<Step>, Vec<Step>) {
        let out = self.rsd("plan", &["--json", "--spec", self.spec]);
        let out = match out.code {
            0 => out,
            _ => panic!("no plan of {}: {}", self.name(), out.err),
        };
        let plan: Value = serde_json::from_str(&out.out).expect("JSON");
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let steps = plan["steps"].as_array().expect("steps").iter().filter(|s| s["skipped"].is_null());
        let all: Vec<Step> = steps
            .map(|s| Step {
                phase: text(&s["phase"]),
                process: text(&s["process"]),
                effects: s["effects"].as_array().map(|e| e.iter().map(&text).collect()).unwrap_or_default(),
            })
            .collect();
        let serve = all.iter().position(|s| s.effects.iter().any(|e| e == "serve")).expect("it serves");
        let mut up = all;
        let down = up.split_off(serve + 1);
        (up, down)
    }
}
