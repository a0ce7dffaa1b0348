//! Attacks, performed for real: somebody with the daemon's user and its directories works against root, who
//! starts, looks, rotates, reloads and stops. What is not theirs must be afterwards what it was before.

use crate::kernel::{self, find, process};
use crate::sandbox::{Needs, OTHER, Out, SVC, World, binary, diverging, done, entries, eventually, sh};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What belongs to root, below the attacked directory's file system: nothing of it may ever change.
struct Canary {
    top: PathBuf,
    before: Vec<String>,
}

impl Canary {
    fn new(world: &World) -> Canary {
        let top = world.directory("canary", 0, 0o755);
        world.directory("canary/inner", 0, 0o755);
        world.file("canary/secret", "root:$6$hash\n", 0o600);
        world.file("canary/inner/settings", "TOKEN=only root may read this\n", 0o600);
        world.file("canary/inner/log", "a line of root's\n", 0o644);
        let before = seen(&top);
        Canary { top, before }
    }

    fn sings(&self, when: &str) {
        assert_eq!(seen(&self.top), self.before, "what is root's was changed: {when}");
    }
}

/// Every file below: kind, mode, owner, time of the last change of any sort, content.
fn seen(top: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(path) = todo.pop() {
        let m = fs::symlink_metadata(&path).expect("an entry");
        let text = if m.is_file() { fs::read(&path).expect("its text") } else { Vec::new() };
        let (uid, gid, mode, ctime) = (m.uid(), m.gid(), m.mode(), (m.ctime(), m.ctime_nsec()));
        all.push(format!("{} {mode:o} {uid}:{gid} {ctime:?} {text:?}", path.display()));
        if m.is_dir() {
            todo.extend(entries(&path));
        }
    }
    all.sort();
    all
}

/// A python of the daemon's user, or of another; it is ended with the value.
struct Attacker(Child);

impl Attacker {
    fn new(world: &World, uid: u32, script: &str, arguments: &[&str]) -> Attacker {
        let mut python = world.command("/usr/bin/python3");
        python.args(["-c", script]).args(arguments).uid(uid).gid(uid);
        let mut child = python.stdout(Stdio::piped()).spawn().expect("the attacker");
        let mut ready = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut ready).expect("it is at it");
        Attacker(child)
    }

    /// Exchanges two names, over and over; the first stays what it was for most of the time.
    fn exchanging(world: &World, one: &str, other: &str) -> Attacker {
        Attacker::new(world, SVC, EXCHANGE, &[one, other])
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const EXCHANGE: &str = "
import ctypes, random, sys, time
libc = ctypes.CDLL(None, use_errno=True)
one, other = sys.argv[1].encode(), sys.argv[2].encode()
sys.stdout.write('.'); sys.stdout.flush()
while True:
    time.sleep(random.random() * random.choice([0, 0.002, 0.02]))
    libc.renameat2(-100, one, -100, other, 2)
    time.sleep(random.random() * random.choice([0, 0, 0.0002, 0.002]))
    libc.renameat2(-100, one, -100, other, 2)
";

/// Every daemon of an attacked start, also one whose PID file cannot be found any more.
fn end_all(line: &str) {
    for pid in kernel::running(line) {
        let keeper = find(pid).map_or(0, |p| p.parent());
        for pid in [keeper, pid].into_iter().filter(|pid| *pid > 1) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
    eventually("the daemons are gone", || kernel::running(line).is_empty().then_some(()));
}

const TIMES: usize = 20;

#[test]
fn directories_that_are_swapped_lead_root_nowhere() {
    diverging("attacks::directories_that_are_swapped_lead_root_nowhere", Needs::Root, |world| {
        let canary = Canary::new(world);
        world.directory("home", SVC, 0o755);
        world.directory("home/app", SVC, 0o755);
        symlink(&canary.top, world.path("home/other")).expect("a link");
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &world.path("home/other"),
            Some(SVC.into()),
            Some(SVC.into()),
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .expect("the attacker's own");
        let attacked = Attacker::exchanging(world, &world.text("home/app"), &world.text("home/other"));
        let places = [
            ["--spec", "daemon", "--user", "svc", "--pidfile", "home/app/d.pid"],
            ["--logfile", "home/app/d.log", "--journal", "home/app/d.jsonl", "--log-size", "1KiB"],
            ["--runtime-directory", "home/app/rt", "--listen", "unix:home/app/s", "--", "sleep"],
        ]
        .concat();
        let named = &places[..8];
        let (mut up, mut codes) = (0, std::collections::BTreeMap::new());
        for n in 0..TIMES {
            let out = world.rsd(&[&["run"], &places[..], &["1401"]].concat());
            *codes.entry(out.code).or_insert(0) += 1;
            canary.sings(&format!("start {n}: {out:#?}"));
            up += usize::from(out.code == 0);
            for keeper in kernel::running("sleep 1401").iter().filter_map(|p| Some(find(*p)?.parent())) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(keeper), Signal::SIGUSR1);
            }
            for command in ["reload", "status", "logs", "stop"] {
                let out = world.rsd(&[&[command], named, &["--", "x"]].concat());
                canary.sings(&format!("{command} {n}: {out:#?}"));
                assert!(!out.out.contains("a line of root's"), "{out:#?}");
            }
            end_all("sleep 1401");
            canary.sings(&format!("the end {n}"));
        }
        drop(attacked);
        println!("exit codes under attack: {codes:?}");
        fs::remove_dir_all(world.path("home")).expect("what the attacker had");
        world.directory("home", SVC, 0o755);
        world.directory("home/app", SVC, 0o755);
        world.fine(&[&["run"], &places[..], &["1401"]].concat());
        world.fine(&[&["stop"], named, &["--", "x"]].concat());
        assert!(up < TIMES, "the attack did nothing at all");
    });
}

#[test]
fn a_jail_that_is_swapped_is_never_the_root_of_the_machine() {
    diverging("attacks::a_jail_that_is_swapped_is_never_the_root_of_the_machine", Needs::Root, |world| {
        world.directory("home", SVC, 0o755);
        world.directory("home/jail", SVC, 0o755);
        world.directory("pid", 0, 0o755);
        symlink("/", world.path("home/out")).expect("a link");
        sh("chown", &["-h", "svc:svc", &world.text("home/out")]);
        world.file(
            "j.yaml",
            "rsd: 1\nname: j\nextends: twistd\norder: [daemonize, openPIDFile, chroot, chdir]\n",
            0o644,
        );
        let options = [
            "--spec",
            "j.yaml",
            "--chroot",
            "home/jail",
            "--uid",
            "svc",
            "--pidfile",
            "pid/j.pid",
            "-l",
            "pid/j.log",
        ];
        let attacked = Attacker::exchanging(world, &world.text("home/jail"), &world.text("home/out"));
        for n in 0..TIMES {
            let out = world.rsd(&[&["run"], &options[..], &["--unchecked"]].concat());
            if out.code != 0 {
                continue;
            }
            let pid = world.pid("pid/j.pid");
            let root = kernel::link(pid, "root");
            assert!(root.starts_with(world.path("home")), "start {n} has the root {}", root.display());
            kernel::kill(pid, Signal::SIGTERM);
            eventually("it is gone", || kernel::gone(pid).then_some(()));
            let _ = fs::remove_file(world.path("pid/j.pid"));
        }
        drop(attacked);
    });
}

#[test]
fn a_directory_of_roots_is_not_given_away_in_place_of_a_new_one() {
    diverging(
        "attacks::a_directory_of_roots_is_not_given_away_in_place_of_a_new_one",
        Needs::Root,
        |world| {
            world.directory("home", SVC, 0o755);
            let keep = world.directory("home/keep", 0, 0o700);
            world.file("home/keep/secret", "root's\n", 0o600);
            let inode = fs::metadata(&keep).expect("it").ino();
            let attacked = Attacker::exchanging(world, &world.text("home/keep"), &world.text("home/rt"));
            for _ in 0..TIMES {
                let options = [
                    "--spec",
                    "daemon",
                    "--user",
                    "svc",
                    "--pidfile=",
                    "--logfile=",
                    "--runtime-directory",
                    "home/rt",
                ];
                world.rsd(&[&["run"], &options[..], &["--", "sleep", "1402"]].concat());
                end_all("sleep 1402");
                for dir in entries(&world.path("home")) {
                    let Ok(meta) = fs::metadata(&dir) else { continue };
                    assert!(meta.ino() != inode || meta.uid() == 0, "{} was given away", dir.display());
                }
            }
            drop(attacked);
        },
    );
}

/// Root has made the links: where `fs.protected_hardlinks` is off anybody can.
#[test]
fn a_file_with_another_name_is_not_written_shown_or_handed_out() {
    diverging("attacks::a_file_with_another_name_is_not_written_shown_or_handed_out", Needs::Root, |world| {
        world.directory("app", SVC, 0o755);
        let linked = |from: &str, to: &str| {
            fs::hard_link(world.path(from), world.path(to)).expect("a hard link");
        };
        world.directory("canary", 0, 0o755);
        for name in ["log", "journal", "env"] {
            world.file(&format!("canary/{name}"), "TOKEN=secret\n", 0o600);
        }
        linked("canary/log", "app/d.log");
        linked("canary/env", "app/env");
        linked("canary/journal", "app/d.jsonl");
        let before = seen(&world.path("canary"));
        let same = |out: &Out| {
            assert_eq!(seen(&world.path("canary")), before, "{out:#?}");
            assert!(kernel::running("sleep 1403").is_empty());
        };
        let spec = ["--spec", "daemon", "--user", "svc", "--pidfile", "app/d.pid"];
        let run = |more: &[&str]| world.rsd(&[&["run"], &spec[..], more, &["--", "sleep", "1403"]].concat());

        // The check foresees it.
        for (option, name) in [("--logfile", "app/d.log"), ("--env-file", "app/env")] {
            let logs: &[&str] = if option == "--logfile" { &[] } else { &["--logfile="] };
            let out = run(&[logs, &[option, name]].concat());
            let told = out.err.contains("error[RSD0403]") && out.err.contains(&format!("{name} has 2 names"));
            assert!(out.code == 6 && told, "{out:#?}");
            same(&out);
        }
        let out = run(&["--unchecked", "--logfile", "app/d.log"]);
        assert!(out.code == 1 && out.err.contains("it has 2 names"), "{out:#?}");
        same(&out);
        let out = run(&["--unchecked", "--logfile=", "--env-file", "app/env"]);
        assert!(out.code == 1 && out.err.contains("2 names"), "{out:#?}");
        same(&out);
        let out = world.rsd(&[&["logs"], &spec[..], &["--logfile", "app/d.log", "--", "x"]].concat());
        assert!(out.code == 1 && out.err.contains("2 names") && !out.out.contains("secret"), "{out:#?}");
        same(&out);
        let out = run(&["--logfile=", "--journal", "app/d.jsonl"]);
        assert!(out.err.contains("2 names"), "{out:#?}");
        end_all("sleep 1403");
        same(&out);

        // Another daemon's PID file under the name of this one.
        world.directory("own", 0, 0o755);
        let own = ["--spec", "daemon", "--user", "svc", "--pidfile", "own/d.pid", "--logfile="];
        world.fine(&[&["run"], &own[..], &["--", "sleep", "1403"]].concat());
        let _ = fs::remove_file(world.path("app/d.pid"));
        linked("own/d.pid", "app/d.pid");
        for command in ["stop", "status", "reload", "restart"] {
            let out = world.rsd(&[&[command], &spec[..], &["--logfile=", "--", "sleep", "1403"]].concat());
            assert!(out.code != 0, "{command}: {out:#?}");
            assert_eq!(kernel::running("sleep 1403").len(), 1, "{command} ended another daemon: {out:#?}");
        }
        fs::remove_file(world.path("app/d.pid")).expect("the other name");
        world.fine(&[&["stop"], &own[..], &["--", "x"]].concat());
    });
}

#[test]
fn a_link_of_the_daemons_user_is_not_followed_to_what_is_roots() {
    diverging("attacks::a_link_of_the_daemons_user_is_not_followed_to_what_is_roots", Needs::Root, |world| {
        let canary = Canary::new(world);
        world.directory("app", SVC, 0o755);
        let link = |to: &str, name: &str| {
            symlink(world.path(to), world.path(name)).expect("a link");
            sh("chown", &["-h", "svc:svc", &world.text(name)]);
        };
        link("canary/secret", "app/d.log");
        link("canary/new", "app/d.pid");
        link("canary/new", "app/s");
        link("canary/new", "app/d.jsonl");
        link("canary/inner", "app/dir");
        link("canary/inner/settings", "app/env");
        let none = ["--pidfile=", "--logfile="];
        let attacks: &[(&[&str], &str)] = &[
            (&["--pidfile=", "--logfile", "app/d.log"], "symbolic link"),
            (&["--logfile=", "--pidfile", "app/d.pid"], "symbolic link"),
            (&["--pidfile=", "--logfile", "app/dir/log"], "whoever owns the link"),
            (&["--logfile=", "--pidfile", "app/dir/d.pid"], "whoever owns the link"),
            (&[&none[..], &["--listen", "unix:app/dir/s"]].concat(), "whoever owns the link"),
            (&[&none[..], &["--runtime-directory", "app/dir"]].concat(), "symbolic link"),
            (&[&none[..], &["--runtime-directory", "app/dir/rt"]].concat(), "whoever owns the link"),
            (&[&none[..], &["--state-directory", "app/dir/st"]].concat(), "whoever owns the link"),
            (&[&none[..], &["--env-file", "app/env"]].concat(), "whoever owns the link"),
            (&[&none[..], &["--env-file", "app/dir/settings"]].concat(), "whoever owns the link"),
            (&[&none[..], &["--chroot", "app/dir"]].concat(), "whoever owns the link"),
            (&[&none[..], &["--listen", "unix:app/s"]].concat(), "app/s"),
        ];
        for (options, why) in attacks {
            for unchecked in [false, true] {
                let more: &[&str] = if unchecked { &["--unchecked"] } else { &[] };
                let start = [&["run", "--spec", "daemon", "--user", "svc"], *options, more].concat();
                let out = world.rsd(&[&start[..], &["--", "/bin/sleep", "1404"]].concat());
                assert!([1, 6].contains(&out.code), "{options:?}: {out:#?}");
                assert!(out.err.contains(why), "{options:?}: {out:#?}");
                canary.sings(&format!("{options:?}: {out:#?}"));
                assert!(!out.err.contains("only root may read"), "{out:#?}");
            }
        }
        let out = world.rsd(&[
            "run",
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile=",
            "--logfile=",
            "--journal",
            "app/d.jsonl",
            "--",
            "sleep",
            "1404",
        ]);
        assert!(out.err.contains("app/d.jsonl"), "{out:#?}");
        end_all("sleep 1404");
        let out = world.rsd(&[
            "run",
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile=",
            "--logfile=",
            "--journal",
            "app/dir/d.jsonl",
            "--",
            "sleep",
            "1404",
        ]);
        assert!(out.err.contains("whoever owns the link"), "{out:#?}");
        end_all("sleep 1404");
        for log in ["app/d.log", "app/dir/log"] {
            let out = world.rsd(&["logs", "--spec", "daemon", "--user", "svc", "--logfile", log, "--", "x"]);
            assert!(out.code != 0 && out.out.is_empty(), "{log}: {out:#?}");
        }
        canary.sings("the end");
        // A link to what is the attacker's own is the attacker's business.
        world.directory("app/mine", SVC, 0o755);
        link("app/mine", "app/to-mine");
        world.fine(&[
            "run",
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile=",
            "--logfile",
            "app/to-mine/log/d.log",
            "--",
            "sleep",
            "1404",
        ]);
        end_all("sleep 1404");
    });
}

/// Holds the lock of a PID file that it has made, with a number of its choice in it, as a daemon whose
/// second lock was lost.
const FORGE: &str = "
import fcntl, os, struct, sys, time
path, number = sys.argv[1], sys.argv[2]
try: os.unlink(path)
except FileNotFoundError: pass
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, (number + '\\n').encode())
fcntl.fcntl(fd, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
sys.stdout.write('.'); sys.stdout.flush()
time.sleep(1000)
";

/// A process of that user which counts the signals that others send it; the PID file is open in it, as
/// if it had been handed over (`SCM_RIGHTS`).
fn bystander(world: &World, uid: u32, pid_file: &Path) -> (Child, PathBuf) {
    let heard = world.path("heard");
    let _ = fs::remove_file(&heard);
    fs::write(&heard, "").expect("a file for what it hears");
    chown(&heard, Some(uid), None).expect("its own");
    let script = format!(
        "trap 'echo TERM >>{0}' TERM; trap 'echo HUP >>{0}' HUP; echo; while :; do sleep 0.05; done",
        heard.display()
    );
    let mut shell = world.command("bash");
    shell.args(["-c", &script]).uid(uid).stdin(fs::File::open(pid_file).expect("the PID file"));
    let mut child = shell.stdout(Stdio::piped()).spawn().expect("the bystander");
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0; 1]).expect("it listens");
    (child, heard)
}

#[test]
fn a_forged_pid_file_leads_root_to_no_stranger() {
    diverging("attacks::a_forged_pid_file_leads_root_to_no_stranger", Needs::Root, |world| {
        world.directory("app", SVC, 0o755);
        let path = world.path("app/d.pid");
        let options = ["--spec", "daemon", "--user", "svc", "--pidfile", "app/d.pid", "--logfile="];
        world.fine(&[&["run"], &options[..], &["--", "sleep", "1405"]].concat());
        let daemon = world.pid("app/d.pid");
        for uid in [0, OTHER] {
            let (mut stranger, heard) = bystander(world, uid, &path);
            let forged =
                Attacker::new(world, SVC, FORGE, &[path.to_str().expect("text"), &stranger.id().to_string()]);
            // The one that is open in the stranger is the one that lies there now.
            let _ = stranger.kill();
            let _ = stranger.wait();
            drop(forged);
            let (mut stranger, heard) = (bystander(world, uid, &path).0, heard);
            let number = stranger.id().to_string();
            let script = FORGE
                .replace("os.unlink(path)", "pass")
                .replace("os.write(fd", "os.ftruncate(fd, 0); os.write(fd");
            let forged = Attacker::new(world, SVC, &script, &[path.to_str().expect("text"), &number]);
            assert_eq!(fs::read_to_string(&path).expect("it"), format!("{number}\n"));
            for command in ["stop", "status", "reload", "restart", "run"] {
                let out = world.rsd(&[&[command], &options[..], &["--", "sleep", "1405"]].concat());
                let all = format!("{}{}", out.out, out.err);
                match command {
                    "status" => assert!(all.contains("cannot be proved"), "{out:#?}"),
                    _ => assert_ne!(out.code, 0, "{command}: {out:#?}"),
                }
                if command == "stop" {
                    assert!(
                        all.contains("nothing was signalled") && all.contains(&format!("uid {uid}")),
                        "{out:#?}"
                    );
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
            assert_eq!(fs::read_to_string(&heard).expect("it"), "", "a stranger of uid {uid} was signalled");
            assert!(stranger.try_wait().expect("it").is_none(), "the stranger was ended");
            let _ = stranger.kill();
            let _ = stranger.wait();
            drop(forged);
        }
        // What is not locked any more is stale, whatever it says.
        let out = world.rsd(&[&["stop"], &options[..], &["--", "x"]].concat());
        assert_eq!(out.code, 3, "{out:#?}");
        kernel::kill(daemon, Signal::SIGTERM);
        eventually("the daemon is gone", || kernel::gone(daemon).then_some(()));
    });
}

#[test]
fn what_a_user_puts_in_the_way_of_a_reader_does_not_hold_it() {
    diverging("attacks::what_a_user_puts_in_the_way_of_a_reader_does_not_hold_it", Needs::Root, |world| {
        world.directory("app", SVC, 0o755);
        let logs = [
            "logs",
            "--spec",
            "daemon",
            "--user",
            "svc",
            "--pidfile",
            "app/d.pid",
            "--logfile",
            "app/d.log",
            "--",
            "x",
        ];
        let path = world.path("app/d.log");
        let limited = |arguments: &[&str]| {
            let line = format!("ulimit -v 400000; exec timeout 30 {} \"$@\"", binary().display());
            done(world.command("bash").args(["-c", &line, "rsd"]).args(arguments))
        };
        sh("mkfifo", &["-m", "666", path.to_str().expect("text")]);
        let out = limited(&logs);
        assert!(out.code == 1 && out.err.contains("no regular file"), "{out:#?}");
        fs::remove_file(&path).expect("the FIFO");
        symlink("/dev/zero", &path).expect("a link");
        assert_eq!(limited(&logs).code, 1);
        fs::remove_file(&path).expect("the link");
        // Nothing but zeroes, a terabyte of them.
        fs::File::create(&path).and_then(|f| f.set_len(1 << 40)).expect("a giant");
        let out = limited(&logs);
        assert!(out.code == 0 && out.out.len() <= 4 << 20, "{} {}", out.code, out.err);
        // A PID file that is none.
        for make in ["mkfifo app/d.pid", "ln -s /dev/zero app/d.pid", "truncate -s 1T app/d.pid"] {
            sh("sh", &["-c", &format!("cd {} && rm -f app/d.pid && {make}", world.dir.display())]);
            for command in ["stop", "status", "reload"] {
                let out = limited(&[&[command], &logs[1..]].concat());
                assert!((1..=6).contains(&out.code), "{command} {make}: {out:#?}");
            }
        }
        // Beside a journal that root looks at.
        world.file("run.jsonl", "", 0o644);
        fs::copy(
            concat!(env!("CARGO_MANIFEST_DIR"), "/engine/tests/journals/drop.jsonl"),
            world.path("app/a.jsonl"),
        )
        .expect("a journal");
        sh("mkfifo", &["-m", "666", &world.text("app/b.jsonl")]);
        symlink("/dev/zero", world.path("app/c.jsonl")).expect("a link");
        for journal in ["app/a.jsonl", "app/b.jsonl", "app/c.jsonl"] {
            for form in ["text", "html"] {
                let out = limited(&["trace", journal, "--format", form]);
                assert_eq!(out.code == 0, journal == "app/a.jsonl", "{journal}: {out:#?}");
            }
        }
        let out = limited(&["trace", "diff", "app/a.jsonl", "app/a.jsonl"]);
        assert!(out.code <= 1, "{out:#?}");
    });
}

#[test]
fn a_spec_that_others_may_write_is_not_run_by_root() {
    diverging("attacks::a_spec_that_others_may_write_is_not_run_by_root", Needs::Root, |world| {
        let mark = world.path("done-as-root");
        let evil = format!(
            "rsd: 1\nname: evil\nphases:\n  load: {{ kind: load-application, with: {{ command: [/bin/sh, -c, 'touch {}; sleep 1407'] }} }}\n  start: {{ kind: start-application, needs: [load] }}\n  serve: {{ kind: serve, needs: [start] }}\n",
            mark.display()
        );
        for dir in ["mine", "theirs", "mine/theirs", "sticky"] {
            world.directory(dir, 0, 0o755);
        }
        for spec in [
            "open.yaml",
            "owned.yaml",
            "theirs/s.yaml",
            "mine/theirs/s.yaml",
            "mine/s.yaml",
            "sticky/theirs.yaml",
            "sticky/s.yaml",
            "group.yaml",
        ] {
            world.file(spec, &evil, 0o644);
        }
        sh("chmod", &["0666", &world.text("open.yaml")]);
        sh("chgrp", &["svc", &world.text("group.yaml")]);
        sh("chmod", &["0664", &world.text("group.yaml")]);
        sh("chmod", &["1777", &world.text("sticky")]);
        for theirs in ["owned.yaml", "theirs", "mine/theirs", "sticky/theirs.yaml"] {
            sh("chown", &["svc:svc", &world.text(theirs)]);
        }
        symlink("theirs/s.yaml", world.path("through.yaml")).expect("a link");
        symlink("../mine/s.yaml", world.path("theirs/back.yaml")).expect("a link");
        world.file("over.yaml", "rsd: 1\nname: over\nextends: theirs/s.yaml\n", 0o644);
        let refused = [
            "open.yaml",
            "owned.yaml",
            "group.yaml",
            "theirs/s.yaml",
            "mine/theirs/s.yaml",
            "mine/../theirs/s.yaml",
            "sticky/theirs.yaml",
            "through.yaml",
            "theirs/back.yaml",
            "over.yaml",
        ];
        for spec in refused {
            let spec = format!("./{spec}");
            for command in ["check", "plan", "run", "restart", "stop", "reload", "status", "logs"] {
                let out = world.rsd(&[command, "--spec", &spec]);
                assert_eq!(out.code, 6, "{command} {spec}: {out:#?}");
                assert!(format!("{}{}", out.out, out.err).contains("RSD0116"), "{command} {spec}: {out:#?}");
            }
            assert_eq!(world.rsd(&["run", "--spec", &spec, "--unchecked"]).code, 6, "{spec}");
        }
        assert!(!mark.exists() && kernel::running("sleep 1407").is_empty(), "it was run");
        for spec in ["mine/s.yaml", "sticky/s.yaml"] {
            assert!(!world.rsd(&["check", "--spec", spec]).out.contains("RSD0116"), "{spec}");
        }
        // Whose it is may use it, and root too if told.
        let as_svc =
            |spec: &str| done(world.command(binary()).args(["check", "--spec", spec]).uid(SVC).gid(SVC));
        assert!(!as_svc("theirs/s.yaml").out.contains("RSD0116"));
        assert!(!world.rsd(&["check", "--trust-spec", "--spec", "./theirs/s.yaml"]).out.contains("RSD0116"));

        // Good while it is looked at, evil when it is read, or the other way round.
        world.file("theirs/good.yaml", "rsd: 1\nname: good\nextends: daemon\n", 0o644);
        let attacked =
            Attacker::exchanging(world, &world.text("theirs/good.yaml"), &world.text("theirs/s.yaml"));
        for _ in 0..TIMES {
            assert_eq!(world.rsd(&["run", "--spec", "theirs/good.yaml"]).code, 6);
        }
        drop(attacked);
        assert!(!mark.exists(), "it was run");
    });
}

#[test]
fn nothing_of_the_callers_environment_or_descriptors_comes_through() {
    diverging(
        "attacks::nothing_of_the_callers_environment_or_descriptors_comes_through",
        Needs::Root,
        |world| {
            world.directory("evil", SVC, 0o755);
            world.file("evil/sleep", "#!/bin/sh\ntouch /mnt/work/evil/ran\n", 0o755);
            let names = [
                "LD_AUDIT",
                "LD_LIBRARY_PATH",
                "LD_DEBUG_OUTPUT",
                "GCONV_PATH",
                "LOCPATH",
                "TMPDIR",
                "HOME",
                "USER",
                "BASH_ENV",
                "ENV",
                "IFS",
                "PYTHONPATH",
                "PYTHONSTARTUP",
                "PYTHONHOME",
                "PERL5LIB",
                "RSD_TEST_BIN",
                "RSD_JOURNAL",
                "XDG_STATE_HOME",
                "SUDO_USER",
                "SSH_AUTH_SOCK",
                "LISTEN_PID",
                "LISTEN_FDS",
                "NOTIFY_SOCKET",
                "WATCHDOG_USEC",
                "MAINPID",
                "SECRET",
            ];
            let mut caller = world.command("bash");
            for name in names {
                caller.env(name, if name == "HOME" { "/mnt/work/evil" } else { "/mnt/work/evil/x" });
            }
            // An entry that means the working directory, which is the attacker's.
            caller.env("PATH", "evil:.::/usr/bin:/bin").current_dir(world.path("evil"));
            let script = format!(
                "exec 7</ 8</sys 9</etc/shadow 10<>/mnt/work/leak; exec {} run --spec daemon --user svc --pidfile /mnt/work/d.pid --logfile= -- sleep 1408",
                binary().display()
            );
            let out = done(caller.args(["-c", &script]));
            assert_eq!(out.code, 0, "{out:#?}");
            assert!(!world.path("evil/ran").exists(), "PATH led into the attacker's directory");
            let keeper = world.pid("d.pid");
            let program = eventually("it sleeps", || kernel::running("sleep 1408").first().copied());
            let mut all = kernel::children(keeper);
            all.push(keeper);
            assert!(all.contains(&program));
            for pid in all {
                for variable in kernel::environment(pid) {
                    let name = variable.split('=').next().unwrap_or_default();
                    assert!(!names.contains(&name) || ["HOME", "USER"].contains(&name), "{pid}: {variable}");
                    assert!(!variable.contains("evil"), "{pid}: {variable}");
                }
                let seen = process(pid);
                for fd in seen.descriptors().into_values() {
                    let leaked =
                        ["/", "/sys", "/etc/shadow", "/mnt/work/leak"].iter().any(|l| fd == Path::new(l));
                    assert!(!leaked || seen.uid() == 0, "{pid}: {}", fd.display());
                }
                assert!(
                    seen.uid() == 0 || kernel::link(pid, "cwd") == Path::new("/"),
                    "{pid} stays where the caller was"
                );
            }
            crate::start::has_three_descriptors(program);
            world.fine(&[
                "stop",
                "--spec",
                "daemon",
                "--user",
                "svc",
                "--pidfile",
                "/mnt/work/d.pid",
                "--logfile=",
                "--",
                "x",
            ]);
        },
    );
}

/// CVE-2024-21626 (runc): a working directory or a descriptor of the caller's leads out of the new root.
#[test]
fn nothing_leads_out_of_a_jail() {
    diverging("attacks::nothing_leads_out_of_a_jail", Needs::Root, |world| {
        let jail = world.directory("jail", 0, 0o755);
        for dir in ["usr", "proc", "logs"] {
            world.directory(&format!("jail/{dir}"), 0, 0o755);
        }
        for (link, to) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            symlink(to, jail.join(link)).expect("a link");
        }
        sh("mount", &["--bind", "/usr", &world.text("jail/usr")]);
        let script = format!(
            "exec 7</ 8</etc; cd /proc/self/fd/8; exec {} run --spec daemon --user svc --chroot {1}/jail --pidfile {1}/j.pid --logfile {1}/log/j.log -- sleep 1411",
            binary().display(),
            world.dir.display()
        );
        let out = done(world.command("bash").args(["-c", &script]));
        assert_eq!(out.code, 0, "{out:#?}");
        let keeper = world.pid("j.pid");
        let program = eventually("it sleeps", || kernel::running("sleep 1411").first().copied());
        assert_eq!(
            (kernel::link(program, "root"), kernel::link(program, "cwd")),
            (jail.clone(), jail.clone())
        );
        crate::start::has_three_descriptors(program);
        for fd in process(program).descriptors().into_values() {
            assert!(!fs::metadata(&fd).is_ok_and(|m| m.is_dir()), "{} is open", fd.display());
        }
        kernel::kill(keeper, Signal::SIGTERM);
        eventually("it is gone", || kernel::gone(keeper).then_some(()));
    });
}

/// A process of another user cannot answer for the program, whatever it says it is.
#[test]
fn a_main_pid_of_a_stranger_is_not_signalled() {
    diverging("attacks::a_main_pid_of_a_stranger_is_not_signalled", Needs::Root, |world| {
        let mut stranger = Command::new("sleep").arg("1409").spawn().expect("a stranger");
        let liar = format!(
            "import os, signal, socket, time\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\nn = os.environ['NOTIFY_SOCKET']\ns.connect('\\0' + n[1:])\nfor pid in (1, {}, os.getppid()):\n    s.send(b'MAINPID=%d\\nREADY=1' % pid)\ntime.sleep(1410)",
            stranger.id()
        );
        world.file("liar.py", &liar, 0o644);
        let spec =
            "rsd: 1\nname: liar\nextends: daemon\nphases:\n  startProgram: { with: { ready: notify } }\n";
        world.file("liar.yaml", spec, 0o644);
        let options = [
            "--spec",
            "liar.yaml",
            "--pidfile",
            "l.pid",
            "--logfile=",
            "--",
            "/usr/bin/python3",
            "/mnt/work/liar.py",
        ];
        world.fine(&[&["run"], &options[..]].concat());
        let keeper = world.pid("l.pid");
        let program = kernel::children(keeper);
        kernel::kill(keeper, Signal::SIGHUP);
        world.fine(&[&["stop"], &options[..]].concat());
        assert!(program.iter().all(|pid| kernel::gone(*pid)), "the program itself is stopped");
        assert!(stranger.try_wait().expect("it").is_none(), "the stranger was ended");
        let _ = stranger.kill();
        let _ = stranger.wait();
    });
}
