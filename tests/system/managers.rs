//! Started by what starts daemons at boot and keeps them: systemd, s6, runit, and as the first process of a
//! container. Each of them is the real one.

use crate::kernel;
use crate::sandbox::{Needs, World, binary, done, eventually, sh, skip, test};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A program that speaks sd_notify: ready after a while, a sign of life where one is wanted until USR2, and it
/// says when it has reloaded.
const SPEAKS: &str = "#!/usr/bin/python3
import os, signal, socket, time
def say(text):
    to = os.environ['NOTIFY_SOCKET']
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect('\\0' + to[1:] if to[0] == '@' else to)
        s.send(text.encode())
alive = True
def hup(*_):
    say('RELOADING=1\\nSTATUS=reading again')
    say('READY=1\\nSTATUS=read again')
def usr2(*_):
    global alive
    alive = False
signal.signal(signal.SIGHUP, hup)
signal.signal(signal.SIGUSR2, usr2)
time.sleep(0.3)
say('READY=1\\nSTATUS=well')
while True:
    time.sleep(0.2)
    if alive and 'WATCHDOG_USEC' in os.environ:
        say('WATCHDOG=1')
";

/// What systemd needs around it: a place for its control groups, and directories that nobody else reads.
const BOOT: &str = "set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p /run/systemd/system /run/lock /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd 2>/dev/null && unified=/sys/fs/cgroup/unified ||
    { rmdir /sys/fs/cgroup/*; unified=/sys/fs/cgroup; }
mount -t cgroup2 cgroup2 $unified
mount -t tmpfs tmpfs /etc/systemd/system
printf '[Unit]\\nDescription=nothing\\n' >/etc/systemd/system/nothing.target
cp /mnt/work/units/* /etc/systemd/system/
exec env -i container=rsd-test PATH=\"$PATH\" /lib/systemd/systemd --unit=nothing.target --log-target=null --show-status=no
";

/// systemd, as the first process of a PID namespace.
struct Systemd {
    unshare: Child,
    pid: i32,
    groups: Vec<PathBuf>,
}

impl Systemd {
    fn boot(world: &World, units: &[(&str, String)]) -> Systemd {
        let dir = world.directory("units", 0, 0o755);
        for (name, service) in units {
            let text = format!("[Unit]\nDefaultDependencies=no\n[Service]\n{service}\n");
            fs::write(dir.join(format!("{name}.service")), text).expect("a unit");
        }
        let boot = world.file("boot.sh", BOOT, 0o755);
        // The control group that its namespace begins at: nothing above it is touched.
        let groups: Vec<PathBuf> = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .map(Path::new)
            .iter()
            .filter(|at| at.join("cgroup.procs").exists())
            .map(|at| at.join(format!("rsd-test-{}", fs::metadata(&world.dir).map_or(0, |m| device(&m)))))
            .collect();
        assert!(!groups.is_empty(), "no control groups on this machine");
        let mut enter = String::new();
        for group in &groups {
            fs::create_dir(group).expect("a control group");
            enter.push_str(&format!("echo $$ >{}/cgroup.procs; ", group.display()));
        }
        let script = format!(
            "{enter}exec unshare --pid --fork --mount --propagation private --cgroup --ipc --mount-proc \
             --kill-child=SIGKILL /bin/bash {}",
            boot.display()
        );
        let unshare = world
            .command("/bin/sh")
            .args(["-c", &script])
            .stdout(Stdio::null())
            .spawn()
            .expect("start systemd");
        let pid = eventually("systemd is the first process", || {
            let pid = *kernel::children(unshare.id() as i32).first()?;
            Path::new(&format!("/proc/{pid}/root/run/systemd/private")).exists().then_some(pid)
        });
        Systemd { unshare, pid, groups }
    }

    fn inside(&self, world: &World, line: &[&str]) -> crate::sandbox::Out {
        let pid = self.pid.to_string();
        done(world.command("nsenter").args(["-t", &pid, "-m", "-p", "-C", "-i"]).args(line))
    }

    fn systemctl(&self, world: &World, line: &[&str]) -> crate::sandbox::Out {
        self.inside(world, &[&["systemctl"], line].concat())
    }

    fn property(&self, world: &World, unit: &str, name: &str) -> String {
        self.systemctl(world, &["show", "-P", name, unit]).out.trim().to_owned()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // With --kill-child the whole namespace ends with it.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        for group in &self.groups {
            for _ in 0..1_000 {
                let name = group.display().to_string();
                let line = [&name, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"];
                let _ = std::process::Command::new("find").args(line).stderr(Stdio::null()).status();
                if !group.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

fn device(m: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(m)
}

fn there(name: &str, program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        skip(name, &format!("{program} is not installed"));
    }
    there
}

#[test]
fn systemd_is_told() {
    let name = "managers::systemd_is_told";
    if !there(name, "/lib/systemd/systemd") {
        return;
    }
    test(name, Needs::Root, |world| {
        world.file("speaks", SPEAKS, 0o755);
        let rsd = binary().display().to_string();
        let run = |name: &str, how: &str, what: &str| {
            format!(
                "ExecStart={rsd} run --spec daemon --name {name} --user svc --pidfile /run/{name}.pid \
                 --logfile /mnt/work/{name}/log {how} -- {what}"
            )
        };
        let speaks = world.text("speaks");
        let units = [
            (
                "front",
                format!(
                    "Type=notify\nWatchdogSec=3\n{}\nExecReload={rsd} reload --spec daemon --name front --pidfile /run/front.pid",
                    run("front", "-n --ready notify", &speaks)
                ),
            ),
            ("behind", format!("Type=notify\n{}", run("behind", "", "/bin/sleep 1060"))),
            (
                "forks",
                format!("Type=forking\nPIDFile=/run/forks.pid\n{}", run("forks", "", "/bin/sleep 1061")),
            ),
            ("fails", format!("Type=notify\n{}", run("fails", "-n --ready alive:2s", "/bin/false"))),
            ("fails-behind", format!("Type=notify\n{}", run("fb", "--ready alive:2s", "/bin/false"))),
            (
                "again",
                format!(
                    "Type=notify\nRestart=always\nRestartSec=50ms\n{}",
                    run("again", "-n", "/bin/sleep 1062")
                ),
            ),
        ];
        let systemd = Systemd::boot(world, &units);
        let property = |unit: &str, name: &str| systemd.property(world, unit, name);
        let pid = |unit: &str| {
            let file = format!("/proc/{}/root/run/{unit}.pid", systemd.pid);
            fs::read_to_string(file).unwrap_or_default().trim().to_owned()
        };

        for unit in ["front", "behind", "forks", "again"] {
            let out = systemd.systemctl(world, &["start", unit]);
            assert_eq!(out.code, 0, "{unit}: {out:?}");
            assert_eq!(property(unit, "SubState"), "running", "{unit}");
            assert_eq!(property(unit, "MainPID"), pid(unit), "{unit}: the PID file names another");
        }
        assert_eq!(property("front", "StatusText"), "well");
        for unit in ["fails", "fails-behind"] {
            assert_ne!(systemd.systemctl(world, &["start", unit]).code, 0, "{unit} has failed");
            let status = property(unit, "StatusText");
            assert!(status.starts_with("startProgram failed: start false: it exited"), "{unit}: {status}");
        }

        assert_eq!(systemd.systemctl(world, &["reload", "front"]).code, 0);
        eventually("the program's word has come to systemd", || {
            (property("front", "StatusText") == "read again").then_some(())
        });
        let before = pid("again");
        systemd.inside(world, &["kill", "-KILL", &before]);
        eventually("systemd starts it again, over what was left", || {
            let now = pid("again");
            (!now.is_empty() && now != before && property("again", "MainPID") == now).then_some(())
        });
        // It gives a sign of life until it is told not to.
        std::thread::sleep(std::time::Duration::from_secs(4));
        assert_eq!(property("front", "ActiveState"), "active");
        systemd.inside(world, &["pkill", "-USR2", "-f", "python3 /mnt/work/speaks"]);
        eventually("the watchdog bites", || (property("front", "Result") == "watchdog").then_some(()));

        for unit in ["behind", "forks", "again"] {
            assert_eq!(systemd.systemctl(world, &["stop", unit]).code, 0, "{unit}");
            assert_eq!(property(unit, "Result"), "success", "{unit}");
            assert_eq!(pid(unit), "", "{unit}: the PID file stays");
        }
    });
}

#[test]
fn s6_is_told() {
    let name = "managers::s6_is_told";
    if !there(name, "/usr/bin/s6-supervise") {
        return;
    }
    test(name, Needs::Root, |world| {
        let service = world.directory("service", 0, 0o755);
        let rsd = binary().display().to_string();
        let run = format!(
            "#!/bin/sh\nexec {rsd} run -n --spec daemon --user svc --pidfile /mnt/work/s6.pid --logfile \
             /mnt/work/log/s6 --ready alive:300ms --ready-fd 3 -- /bin/sleep 1063\n"
        );
        world.file("service/run", &run, 0o755);
        world.file("service/notification-fd", "3\n", 0o644);
        let mut supervise = world.command("s6-supervise").arg(&service).spawn().expect("start s6-supervise");
        let service = service.display().to_string();
        let wait = |what: &str| done(world.command("s6-svwait").args([what, "-t", "60000", &service]));
        eventually("s6-supervise is there", || {
            (done(world.command("s6-svok").arg(&service)).code == 0).then_some(())
        });
        assert_eq!(wait("-U").code, 0, "it never said that it is ready");
        let status = |field: &str| {
            done(world.command("s6-svstat").args(["-o", field, &service])).out.trim().to_owned()
        };
        assert_eq!((status("ready"), status("pid")), ("true".to_owned(), world.pid("s6.pid").to_string()));
        let first = status("pid");
        assert_eq!(done(world.command("s6-svc").args(["-wR", "-r", &service])).code, 0);
        assert_ne!(status("pid"), first);
        assert_eq!(done(world.command("s6-svc").args(["-wD", "-d", &service])).code, 0);
        // The guard outlives the daemon by a moment.
        eventually("the PID file goes", || (!world.path("s6.pid").exists()).then_some(()));
        sh("s6-svc", &["-x", &service]);
        supervise.wait().expect("s6-supervise ends");

        let none =
            world.rsd(&["run", "-n", "--spec", "daemon", "--user", "svc", "--ready-fd", "9", "--", "true"]);
        assert_eq!(none.code, 2, "{none:?}");
        assert!(none.err.contains("--ready-fd 9: no such descriptor"), "{none:?}");
    });
}

#[test]
fn runit_keeps_it() {
    let name = "managers::runit_keeps_it";
    if !there(name, "/usr/bin/runsv") {
        return;
    }
    test(name, Needs::Root, |world| {
        let service = world.directory("service", 0, 0o755);
        let rsd = binary().display().to_string();
        let run = format!(
            "#!/bin/sh\nexec {rsd} run -n --spec daemon --user svc --pidfile /mnt/work/runit.pid --logfile \
             /mnt/work/log/runit -- /bin/sh -c 'trap \"exit 7\" TERM; echo armed; while :; do sleep 0.1; done'\n"
        );
        world.file("service/run", &run, 0o755);
        world.file("service/finish", "#!/bin/sh\necho \"$1 $2\" >>/mnt/work/ended\n", 0o755);
        let mut runsv = world.command("runsv").arg(&service).spawn().expect("start runsv");
        let service = service.display().to_string();
        let sv = |what: &str| done(world.command("sv").args(["-w", "60", what, &service]));
        let armed = |times: usize| {
            eventually("the program runs", || {
                let text = fs::read_to_string(world.path("log/runit")).ok()?;
                (text.matches("armed").count() == times).then_some(())
            })
        };
        armed(1);
        eventually("runit knows", || sv("status").out.starts_with("run:").then_some(()));
        let first = world.pid("runit.pid");
        assert!(sv("status").out.contains(&format!("(pid {first})")), "runit has another process");
        assert_eq!(sv("restart").code, 0);
        armed(2);
        let second = world.pid("runit.pid");
        assert!(second != first && kernel::all().contains(&second), "{first} and {second}");
        assert_eq!(sv("down").code, 0);
        assert_eq!(fs::read_to_string(world.path("ended")).expect("what runit was told"), "7 0\n7 0\n");
        eventually("the PID file goes", || (!world.path("runit.pid").exists()).then_some(()));
        assert_eq!(sv("exit").code, 0);
        runsv.wait().expect("runsv ends");
    });
}

#[test]
fn the_first_process_of_a_container() {
    test("managers::the_first_process_of_a_container", Needs::Root, |world| {
        let rsd = binary();
        let run = |script: &str| {
            let mut command = world.command("unshare");
            command.args(["--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]).arg(&rsd);
            command.args(["run", "-n", "--spec", "daemon", "--user", "svc", "--pidfile", "/mnt/work/c.pid"]);
            command.args(["--logfile", "/mnt/work/log/c", "--", "/bin/sh", "-c", script]);
            command
        };
        assert_eq!(done(&mut run("exit 7")).code, 7);
        // Nobody can signal the first process to death: it says it as a shell does.
        assert_eq!(done(&mut run("kill -ABRT $$")).code, 128 + 6);

        let script = "for n in 1 2 3 4 5; do (sleep 0.0$n &) ; done; trap 'exit 5' TERM; echo armed; while :; do sleep 0.1; done";
        let mut container = run(script).spawn().expect("start a container");
        eventually("it runs", || {
            fs::read_to_string(world.path("log/c")).ok().filter(|text| text.contains("armed"))
        });
        let first = *kernel::children(container.id() as i32).first().expect("the first process");
        assert_eq!(world.pid("c.pid"), 1, "it is the first process");
        eventually("five orphans were buried", || {
            let children = kernel::children(first);
            let names = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let left: Vec<_> = children.iter().map(names).filter(|name| name.trim() == "sleep").collect();
            (!children.is_empty() && left.is_empty()).then_some(())
        });
        sh("kill", &["-TERM", &first.to_string()]);
        assert_eq!(container.wait().expect("the container ends").code(), Some(5));
        assert!(!world.path("c.pid").exists(), "the guard was ended before it had removed the PID file");
    });
}
