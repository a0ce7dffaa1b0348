//! Somebody else on the machine, or the daemon's user with what it may do everywhere, against the keeper and
//! against root who starts or only looks.

use crate::kernel::{self, process};
use crate::sandbox::{Needs, OTHER, SVC, diverging, done, eventually, test};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

const SAYS_READY: &str = "
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = os.environ['NOTIFY_SOCKET']
s.connect('\\0' + name[1:])
open('/mnt/work/app/name', 'w').write(name[1:])
s.send(b'READY=1')
time.sleep(1412)
";

/// More descriptors than a keeper needs, many times; and one whose close(2) waits for ever: a connection with
/// SO_LINGER whose other side does not read.
const SENDS_DESCRIPTORS: &str = "
import array, os, socket, struct, sys, time
listening = socket.socket(); listening.bind(('127.0.0.1', 0)); listening.listen(1)
full = socket.socket()
full.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 100000))
full.connect(listening.getsockname())
peer, _ = listening.accept()
full.setblocking(False)
try:
    while True: full.send(b'x' * 65536)
except BlockingIOError: pass
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect('\\0' + sys.argv[1])
def send(fds): s.sendmsg([b'READY=1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
null = os.open('/dev/null', 0)
for _ in range(30):
    send([null] * 60)
    send([null])
for _ in range(3): send([full.fileno()])
full.close()
sys.stdout.write('.'); sys.stdout.flush()
time.sleep(1412)
";

#[test]
fn descriptors_of_a_stranger_neither_stay_in_the_keeper_nor_hold_it_up() {
    test(
        "strangers::descriptors_of_a_stranger_neither_stay_in_the_keeper_nor_hold_it_up",
        Needs::Root,
        |world| {
            let app = world.directory("app", SVC, 0o755);
            world.file("says.py", SAYS_READY, 0o644);
            let options = ["--spec", "daemon", "--user", "svc", "--pidfile", "d.pid", "--logfile", "d.log"];
            let program = ["--ready", "notify", "--", "/usr/bin/python3", "/mnt/work/says.py"];
            world.fine(&[&["run"], &options[..], &program].concat());
            let keeper = world.pid("d.pid");
            let before = process(keeper).descriptors().len();
            let name = fs::read_to_string(app.join("name")).expect("the name of the socket");

            let mut stranger = world.command("/usr/bin/python3");
            stranger.args(["-c", SENDS_DESCRIPTORS, &name]).uid(OTHER).gid(OTHER);
            let mut stranger = stranger.stdout(Stdio::piped()).spawn().expect("a stranger");
            let mut sent = [0; 1];
            stranger.stdout.as_mut().expect("a pipe").read_exact(&mut sent).expect("all is sent");

            let log = || fs::read_to_string(world.path("d.log")).unwrap_or_default();
            eventually("its first message is heard, and not heeded", || {
                log().contains("such messages are not heeded").then_some(())
            });
            // Enough for a keeper that takes them to have them all.
            std::thread::sleep(std::time::Duration::from_secs(2));
            assert!(kernel::find(keeper).is_some(), "{}", log());
            eventually("they are all closed", || {
                (process(keeper).descriptors().len() <= before).then_some(())
            });
            let out = world.fine(&[&["stop"], &options[..], &["--", "x"]].concat());
            assert!(!out.err.contains("KILL") && !out.out.contains("KILL"), "it was not held up: {out:#?}");
            assert!(kernel::running("/usr/bin/python3 /mnt/work/says.py").is_empty());
            let _ = stranger.kill();
            let _ = stranger.wait();
        },
    );
}

#[test]
fn a_confined_program_does_not_reach_into_its_keeper() {
    test("strangers::a_confined_program_does_not_reach_into_its_keeper", Needs::Root, |world| {
        let app = world.directory("app", SVC, 0o755);
        for (more, owner) in [(&[][..], SVC), (&["--deny-system-calls", "unlink"][..], 0)] {
            let own = ["--spec", "daemon", "--pidfile", "app/d.pid", "--logfile="];
            let tries = "cat /proc/$PPID/maps >/mnt/work/app/maps; exec sleep 1413";
            let mut command = world.command(crate::stop::readable(world, &crate::sandbox::binary()));
            command.args(["run"]).args(own).args(more).args(["--", "/bin/sh", "-c", tries]);
            let out = done(command.uid(SVC).gid(SVC));
            assert_eq!(out.code, 0, "{out:#?}");
            let keeper = world.pid("app/d.pid");
            assert_eq!(
                fs::metadata(format!("/proc/{keeper}/environ")).expect("it runs").uid(),
                owner,
                "{more:?}"
            );
            assert_eq!(fs::read(app.join("maps")).expect("its try").is_empty(), owner == 0, "{more:?}");
            world.fine(&[&["stop"], &own[..], &["--", "x"]].concat());
        }
    });
}

#[test]
fn root_does_not_run_what_others_may_have_written_to_learn_which_interpreter_it_is() {
    let name = "strangers::root_does_not_run_what_others_may_have_written_to_learn_which_interpreter_it_is";
    test(name, Needs::Root, |world| {
        let app = world.directory("app", SVC, 0o755);
        world.directory("app/venv", SVC, 0o755);
        world.directory("app/venv/bin", SVC, 0o755);
        let script = "#!/bin/sh\ntouch /mnt/work/app/ran\necho /usr/bin/python3\n";
        let script = world.file("app/venv/bin/python3", script, 0o755);
        chown(&script, Some(SVC), Some(SVC)).expect("the user's");
        world.file("app.tac", "application = None\n", 0o644);
        let options =
            ["--spec", "twistd-safe", "--python", "app.tac", "--interpreter", "app/venv", "--uid", "svc"];
        for command in ["check", "plan", "run"] {
            let out = world.rsd(&[&[command], &options[..]].concat());
            assert!(!app.join("ran").exists(), "{command}: {out:#?}");
            assert!(command == "plan" || out.err.contains("root does not ask it"), "{command}: {out:#?}");
        }
    });
}

#[test]
fn a_file_that_was_moved_is_neither_given_away_nor_handed_out() {
    diverging(
        "strangers::a_file_that_was_moved_is_neither_given_away_nor_handed_out",
        Needs::Root,
        |world| {
            world.directory("app", SVC, 0o755);
            for name in ["app/d.log", "app/env"] {
                world.file(name, "TOKEN=secret\n", 0o600);
            }
            let run = |more: &[&str]| {
                let own = ["run", "--spec", "daemon", "--user", "svc", "--pidfile", "d.pid"];
                world.rsd(&[&own[..], more, &["--", "sleep", "1414"]].concat())
            };
            let same = |name: &str| {
                let there = fs::metadata(world.path(name)).expect("it is there");
                assert_eq!((there.uid(), there.mode() & 0o777), (0, 0o600), "{name}");
            };
            let out = run(&["--logfile", "app/d.log"]);
            assert!(out.code == 6 && out.err.contains("has something in it"), "{out:#?}");
            let out = run(&["--unchecked", "--logfile", "app/d.log"]);
            assert!(out.code == 1 && out.err.contains("has something in it"), "{out:#?}");
            same("app/d.log");
            let out = run(&["--unchecked", "--logfile=", "--env-file", "app/env"]);
            assert!(out.code == 1 && out.err.contains("moved it there"), "{out:#?}");
            assert!(kernel::running("sleep 1414").is_empty());

            // What everybody may read is nothing new to whoever moved it, and an empty log tells nobody anything.
            fs::set_permissions(world.path("app/env"), fs::Permissions::from_mode(0o644)).expect("its mode");
            fs::write(world.path("app/d.log"), "").expect("an empty log");
            let out = run(&["--logfile", "app/d.log", "--env-file", "app/env"]);
            assert_eq!(out.code, 0, "{out:#?}");
            world.fine(&["stop", "--spec", "daemon", "--pidfile", "d.pid", "--", "x"]);
        },
    );
}
