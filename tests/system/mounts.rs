//! Mounts and namespaces of the daemon's own, looked at in the process that has them; the machine's stay as
//! they are.

use crate::kernel;
use crate::sandbox::{Needs, SVC, done, entries, eventually, sh, test};
use std::fs;
use std::path::{Path, PathBuf};

/// Every mount that this test's process sees, as the kernel writes them; its log and its users are mounts, too.
fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("our mounts")
}

fn namespace(pid: i32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("its namespace")
}

fn own() -> i32 {
    std::process::id() as i32
}

/// Of the last mount at that place: its options, and the type of its file system.
fn mounted(pid: i32, at: &str) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("its mounts");
    let line = text.lines().rfind(|l| l.split(' ').nth(4) == Some(at))?;
    let (front, back) = line.split_once(" - ")?;
    Some((front.split(' ').nth(5)?.to_owned(), back.split(' ').next()?.to_owned()))
}

fn read_only(pid: i32, at: &str) -> bool {
    let (options, _) = mounted(pid, at).unwrap_or_else(|| panic!("nothing is mounted at {at}"));
    options.split(',').any(|o| o == "ro")
}

fn seen(pid: i32, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{path}"))
}

fn program(number: u32) -> i32 {
    eventually("it sleeps", || kernel::running(&format!("sleep {number}")).first().copied())
}

/// Says what it could write, and what it could see.
const PROBE: &str = "for place in /mnt/work/open /mnt/work/state /tmp /var/tmp; do
    (: >$place/probe) 2>/dev/null && echo \"wrote $place\" || echo \"not $place\"
done
cat /mnt/work/secret/key 2>&1; cat /mnt/work/secret.txt 2>&1; ls -A /mnt/work/secret 2>&1; ls -A /mnt/work/empty
echo end
exec sleep 1061";

#[test]
fn places_of_its_own() {
    test("mounts::places_of_its_own", Needs::Root, |world| {
        world.directory("state", SVC, 0o755);
        world.directory("log", SVC, 0o755);
        world.directory("open", 0, 0o777);
        world.directory("secret", 0, 0o755);
        world.directory("empty", 0, 0o755);
        for file in ["secret/key", "secret.txt", "empty/full", "probe.sh"] {
            world.file(file, if file == "probe.sh" { PROBE } else { "hunter2\n" }, 0o644);
        }
        fs::write("/tmp/of-the-machine", "").expect("a file");
        let text = |name: &str| world.text(name);
        let line = [
            "--spec".to_owned(),
            "daemon".to_owned(),
            "--user=svc".to_owned(),
            format!("--pidfile={}", text("d.pid")),
            format!("--logfile={}", text("log/d.log")),
            "--read-only=/".to_owned(),
            format!("--read-write={}", text("state")),
            format!("--inaccessible={}", text("secret")),
            format!("--inaccessible={}", text("secret.txt")),
            format!("--temporary={}", text("empty")),
            "--private-tmp".to_owned(),
            "--".to_owned(),
            "sh".to_owned(),
            text("probe.sh"),
        ];
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let checked = world.rsd(&[&["check", "--deny", "warnings"], &line[..]].concat());
        assert!(checked.code == 0 && checked.out.contains("no findings"), "{checked:?}");
        let before = mounts();
        world.fine(&[&["run"], &line[..]].concat());
        let said = eventually("it spoke", || {
            fs::read_to_string(world.path("log/d.log")).ok().filter(|t| t.ends_with("end\n"))
        });
        // Without mounts of its own all four could be written by this user.
        let wanted = "not /mnt/work/open\nwrote /mnt/work/state\nwrote /tmp\nwrote /var/tmp\n\
                      cat: /mnt/work/secret/key: Permission denied\ncat: /mnt/work/secret.txt: Permission denied\n\
                      ls: cannot open directory '/mnt/work/secret': Permission denied\nend\n";
        assert_eq!(said, wanted);
        let (program, keeper) = (program(1061), world.pid("d.pid"));
        for pid in [program, keeper] {
            assert_ne!(namespace(pid, "mnt"), namespace(own(), "mnt"));
            assert_eq!(namespace(pid, "net"), namespace(own(), "net"));
            assert!(read_only(pid, "/") && !read_only(pid, "/proc") && !read_only(pid, "/dev"));
            assert!(!read_only(pid, &text("state")));
            for (at, mode) in [("/tmp", 0o1777), ("/var/tmp", 0o1777), (&text("empty"), 0o755)] {
                assert_eq!(mounted(pid, at).expect("it").1, "tmpfs", "{at}");
                use std::os::unix::fs::PermissionsExt;
                let found = fs::metadata(seen(pid, at)).expect("it").permissions().mode() & 0o7777;
                assert_eq!(found, mode, "{at}");
            }
            assert!(read_only(pid, &text("secret")) && read_only(pid, &text("secret.txt")));
            // Root looks: even for it there is nothing.
            assert_eq!(entries(&seen(pid, &text("secret"))), Vec::<PathBuf>::new());
            assert_eq!(fs::read(seen(pid, &text("secret.txt"))).expect("it"), b"");
        }
        // The machine has none of it.
        assert_eq!(mounts(), before);
        assert!(Path::new("/tmp/of-the-machine").exists() && !Path::new("/tmp/probe").exists());
        assert!(world.path("empty/full").exists() && world.path("state/probe").exists());
        // By the handles of their directories, which belong to the mounts of before.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(keeper), nix::sys::signal::Signal::SIGUSR1)
            .expect("it");
        eventually("the log is rotated", || world.path("log/d.log.1").exists().then_some(()));
        let timeline = world.timeline(None);
        let spans = timeline["spans"].as_array().expect("spans");
        let span = spans.iter().find(|s| s["phase"] == "ownMounts").expect("the phase");
        assert_eq!(span["identity_after"]["namespaces"], serde_json::json!(["mount"]));
        world.fine(&["stop", "--spec", "daemon", &format!("--pidfile={}", text("d.pid"))]);
        eventually("the PID file is gone", || (!world.path("d.pid").exists()).then_some(()));
        fs::remove_file("/tmp/of-the-machine").expect("ours");
        assert_eq!(mounts(), before);
    });
}

#[test]
fn a_mount_of_the_machine_comes_in_and_none_goes_out() {
    let name = "mounts::a_mount_of_the_machine_comes_in_and_none_goes_out";
    test(name, Needs::Root, |world| {
        // As systemd has it: every mount is shared.
        sh("mount", &["--make-rshared", "/"]);
        let (disk, other) = (world.directory("disk", 0, 0o755), world.directory("other", 0, 0o755));
        let pid_file = format!("--pidfile={}", world.text("d.pid"));
        let temporary = format!("--temporary={}", other.display());
        let before = mounts();
        let line = ["run", "--spec", "daemon", &pid_file, "--logfile=", &temporary, "--", "sleep", "1062"];
        world.fine(&line);
        assert_eq!(mounts(), before, "what it mounts stays its own");
        let pid = program(1062);
        sh("mount", &["-t", "tmpfs", "-o", "mode=0711", "new", disk.to_str().expect("text")]);
        assert_eq!(mounted(pid, disk.to_str().expect("text")).expect("the new one").1, "tmpfs");
        sh("umount", &[disk.to_str().expect("text")]);
        assert_eq!(mounted(pid, disk.to_str().expect("text")), None, "nor does it keep a disk busy");
        world.fine(&["stop", "--spec", "daemon", &pid_file]);
    });
}

#[test]
fn a_network_of_its_own_and_a_socket_of_the_machines() {
    let name = "mounts::a_network_of_its_own_and_a_socket_of_the_machines";
    test(name, Needs::Root, |world| {
        let pid_file = format!("--pidfile={}", world.text("d.pid"));
        let line =
            ["--spec", "daemon", "--user=svc", &pid_file, "--logfile=", "--private-network", "--private-ipc"];
        let checked = world.rsd(&[&["check", "--deny", "warnings"], &line[..]].concat());
        assert!(checked.code == 0 && checked.out.contains("no findings"), "{checked:?}");
        world.fine(&[&["run"], &line[..]].concat());
        let pid = world.pid("d.pid");
        for other in ["net", "ipc"] {
            assert_ne!(namespace(pid, other), namespace(own(), other), "{other}");
        }
        for same in ["mnt", "uts", "pid", "user", "cgroup"] {
            assert_eq!(namespace(pid, same), namespace(own(), same), "{same}");
        }
        let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("its devices");
        let names: Vec<&str> =
            devices.lines().skip(2).filter_map(|l| Some(l.split_once(':')?.0.trim())).collect();
        assert_eq!(names, ["lo"]);
        let listening = |file: &str| fs::read_to_string(file).expect("sockets").contains(":2203 ");
        assert!(listening("/proc/self/net/tcp") && !listening(&format!("/proc/{pid}/net/tcp")));
        // Whoever serves it from in there answers out here.
        let mut client = std::net::TcpStream::connect("127.0.0.1:8707").expect("it is reachable");
        let mut answer = String::new();
        use std::io::{Read, Write};
        client
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .and_then(|()| client.read_to_string(&mut answer))
            .expect("it");
        assert!(answer.contains("4000"), "{answer}");
        let loopback = done(world.command("nsenter").args([
            &format!("--net=/proc/{pid}/ns/net"),
            "ip",
            "-o",
            "address",
            "show",
            "lo",
        ]));
        assert!(loopback.out.contains("127.0.0.1/8"), "{loopback:?}");
        world.fine(&["stop", "--spec", "daemon", &pid_file]);
    });
}

/// The way out of a chroot that root has: a root below, a directory that it does not reach, and up.
const ESCAPE: &str = "import os, sys
os.mkdir('below')
os.chroot('below')
for _ in range(30): os.chdir('..')
os.chroot('.')
print('outside' if os.path.exists('/mnt/work/marker') else 'inside', flush=True)
os.execv('/usr/bin/sleep', ['sleep', '1063']) if os.path.exists('/usr/bin/sleep') else None";

#[test]
fn a_root_without_a_way_back() {
    test("mounts::a_root_without_a_way_back", Needs::Root, |world| {
        let jail = world.directory("jail", 0, 0o755);
        for place in ["usr", "etc", "dev", "log", "work"] {
            world.directory(&format!("jail/{place}"), 0, 0o755);
        }
        for link in ["bin", "lib", "lib64"] {
            if Path::new("/").join(link).is_symlink() {
                std::os::unix::fs::symlink(format!("usr/{link}"), jail.join(link)).expect("a link");
            } else {
                world.directory(&format!("jail/{link}"), 0, 0o755);
            }
        }
        world.file("marker", "", 0o644);
        world.file("jail/escape.py", ESCAPE, 0o644);
        fs::write(jail.join("dev/null"), "").expect("a place for it");
        let jail = jail.display();
        let mut line = vec![
            "run".to_owned(),
            "--spec=daemon".to_owned(),
            format!("--pidfile={}", world.text("d.pid")),
            format!("--logfile={}", world.text("log/d.log")),
            "--rundir=/work".to_owned(),
            format!("--bind-read-only=/usr:{jail}/usr"),
            format!("--bind=/dev/null:{jail}/dev/null"),
        ];
        for real in ["lib", "lib64"].iter().filter(|l| !Path::new("/").join(l).is_symlink()) {
            line.push(format!("--bind-read-only=/{real}:{jail}/{real}"));
        }
        let command = ["--", "/usr/bin/python3", "/escape.py"].map(str::to_owned);
        let before = mounts();
        let run = |root: &[String]| {
            let all: Vec<String> = line.iter().chain(root).chain(&command).cloned().collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            world.fine(&all);
            let log = world.path("log/d.log");
            let said =
                eventually("it tried", || fs::read_to_string(&log).ok().filter(|t| t.contains("side\n")));
            fs::remove_file(log).expect("the log");
            let _ = fs::remove_dir(world.path("jail/work/below"));
            said
        };
        assert_eq!(run(&[format!("--pivot-root={jail}")]), "inside\n");
        let pid = program(1063);
        assert_ne!(namespace(pid, "mnt"), namespace(own(), "mnt"));
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", world.pid("d.pid"))).expect("its mounts");
        let mut places: Vec<&str> = text.lines().filter_map(|l| l.split(' ').nth(4)).collect();
        places.retain(|p| !p.starts_with("/usr/") && !p.starts_with("/lib"));
        places.sort();
        assert_eq!(places, ["/", "/dev/null", "/usr"], "nothing else of the machine is in its namespace");
        assert_eq!(mounts(), before);
        let timeline = world.timeline(None);
        let spans = timeline["spans"].as_array().expect("spans");
        let span = spans.iter().find(|s| s["phase"] == "pivotRoot").expect("the phase");
        assert_eq!(span["identity_after"]["root"], jail.to_string());
        assert_eq!(span["identity_after"]["cwd"], "/");
        world.fine(&["stop", "--spec=daemon", &line[2]]);
        eventually("the PID file is gone", || (!world.path("d.pid").exists()).then_some(()));
        // What it is compared with: root finds its way out of a mere chroot.
        // The program is looked for in the root, where it is only when the mounts are made.
        let later = "--order=ownMounts,findProgram,environment".to_owned();
        assert_eq!(run(&[format!("--chroot={jail}"), later]), "outside\n");
        world.fine(&["stop", "--spec=daemon", &line[2]]);
    });
}

#[test]
fn a_start_that_fails_among_its_mounts_leaves_nothing() {
    let name = "mounts::a_start_that_fails_among_its_mounts_leaves_nothing";
    test(name, Needs::Root, |world| {
        let state = world.text("state");
        let (pid_file, temporary) =
            (format!("--pidfile={}", world.text("d.pid")), "--read-only=/mnt/nowhere");
        for foreground in ["", "--nodaemon"] {
            let (before, listing) = (mounts(), world.listing());
            let mut line = vec![
                "run",
                "--unchecked",
                "--spec=daemon",
                &pid_file,
                "--logfile=",
                "--private-tmp",
                temporary,
            ];
            line.extend(["--state-directory", &state]);
            line.extend((!foreground.is_empty()).then_some(foreground));
            line.extend(["--", "sleep", "1064"]);
            let out = world.rsd(&line);
            assert_eq!(out.code, 1, "{out:?}");
            assert!(out.err.contains("ownMounts failed") && out.err.contains("/mnt/nowhere"), "{out:?}");
            assert_eq!(world.listing(), listing, "{out:?}");
            assert_eq!(mounts(), before);
            assert_eq!(kernel::running("sleep 1064"), Vec::<i32>::new());
        }
    });
}

#[test]
fn a_start_that_fails_behind_its_mounts_leaves_nothing() {
    let name = "mounts::a_start_that_fails_behind_its_mounts_leaves_nothing";
    test(name, Needs::Root, |world| {
        let broken = "rsd: 1\nname: broken\nextends: daemon\nphases:\n  broken: { kind: fail, with: { how: HOW } }\n\
                      order: [leaveNetwork, broken]\n";
        let pid_file = format!("--pidfile={}", world.text("d.pid"));
        let (state, spec) = (world.text("state"), world.text("broken.yaml"));
        for how in ["error", "kill"] {
            world.file("broken.yaml", &broken.replace("HOW", how), 0o644);
            for foreground in [None, Some("--nodaemon")] {
                let (before, listing) = (mounts(), world.listing());
                let mut line = vec!["run", "--spec", &spec, &pid_file, "--logfile=", "--private-tmp"];
                line.extend(["--read-only=/", "--private-network", "--state-directory", &state]);
                line.extend(foreground);
                line.extend(["--", "sleep", "1067"]);
                let out = world.rsd(&line);
                assert!(out.code != 0, "{out:?}");
                // The state directory is on what was made read-only meanwhile.
                eventually("all is taken back", || (world.listing() == listing).then_some(()));
                assert_eq!(mounts(), before);
                assert_eq!(kernel::running("sleep 1067"), Vec::<i32>::new());
            }
        }
    });
}

/// What a private /dev may have.
const DEVICES: [&str; 16] = [
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "ptmx",
    "pts",
    "mqueue",
    "hugepages",
    "log",
    "shm",
    "fd",
    "stdin",
    "stdout",
    "stderr",
];

#[test]
fn devices_of_its_own() {
    test("mounts::devices_of_its_own", Needs::Root, |world| {
        let (pid_file, log) = (format!("--pidfile={}", world.text("d.pid")), world.text("d.log"));
        let logfile = format!("--logfile={log}");
        let before = (mounts(), entries(Path::new("/dev")));
        let script =
            "echo lost >/dev/null && echo kept >/dev/stdout && head -c 3 /dev/zero | wc -c; exec sleep 1065";
        let line = ["--spec=daemon", &pid_file, &logfile, "--private-devices", "--", "sh", "-c", script];
        let checked = world.rsd(&[&["check"], &line[..]].concat());
        assert!(checked.code == 0 && !checked.out.contains("error"), "{checked:?}");
        world.fine(&[&["run"], &line[..]].concat());
        let pid = program(1065);
        let said = eventually("it spoke", || fs::read_to_string(&log).ok().filter(|t| t.lines().count() > 1));
        assert_eq!(said, "kept\n3\n");
        assert_eq!(mounted(pid, "/dev").expect("a /dev of its own").1, "tmpfs");
        let mut found: Vec<String> = entries(&seen(pid, "/dev"))
            .iter()
            .filter_map(|p| p.file_name()?.to_str().map(str::to_owned))
            .collect();
        found.sort();
        for device in ["fd", "null", "stdin", "urandom", "zero"] {
            assert!(found.iter().any(|f| f == device), "{device}: {found:?}");
        }
        found.retain(|f| !DEVICES.contains(&f.as_str()));
        assert_eq!(found, Vec::<String>::new(), "a disk is none of them");
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(seen(pid, "/dev/null")).expect("it").rdev(), nix::sys::stat::makedev(1, 3));
        world.fine(&["stop", "--spec=daemon", &pid_file]);
        assert_eq!((mounts(), entries(Path::new("/dev"))), before);
    });
}

#[test]
fn every_namespace_is_a_new_one() {
    test("mounts::every_namespace_is_a_new_one", Needs::Root, |world| {
        let alone = "rsd: 1\nname: alone\nextends: daemon\nphases:\n  alone:\n    kind: namespaces\n    with: \
                     { mount: true, network: true, ipc: true, uts: true, cgroup: true }\n    needs: [detach]\n\
                     order: [openLog, alone]\n";
        world.file("alone.yaml", alone, 0o644);
        let (spec, pid_file) = (world.text("alone.yaml"), format!("--pidfile={}", world.text("d.pid")));
        world.fine(&["run", "--spec", &spec, &pid_file, "--logfile=", "--", "sleep", "1066"]);
        let (program, keeper) = (program(1066), world.pid("d.pid"));
        for other in ["mnt", "net", "ipc", "uts", "cgroup"] {
            assert_ne!(namespace(program, other), namespace(own(), other), "{other}");
            assert_eq!(namespace(program, other), namespace(keeper, other), "{other}");
        }
        for same in ["pid", "user"] {
            assert_eq!(namespace(program, same), namespace(own(), same), "{same}");
        }
        let timeline = world.timeline(None);
        let spans = timeline["spans"].as_array().expect("spans");
        let span = spans.iter().find(|s| s["phase"] == "alone").expect("the phase");
        let all = serde_json::json!(["mount", "network", "ipc", "uts", "cgroup"]);
        assert_eq!(span["identity_after"]["namespaces"], all);
        world.fine(&["stop", "--spec", &spec, &pid_file]);
    });
}
