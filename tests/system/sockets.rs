//! Sockets that are bound with privilege and handed to a program without it.

use crate::kernel;
use crate::sandbox::{EXTRA, Needs, OTHER, Out, SVC, World, binary, done, eventually, skip, test};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

const PYTHON: &str = "/usr/bin/python3";

/// Answers on every descriptor that it was handed, with who it is and what it was told.
const PROGRAM: &str = r#"
import os, select, socket
assert int(os.environ["LISTEN_PID"]) == os.getpid()
count = int(os.environ["LISTEN_FDS"])
sockets = [socket.socket(fileno=3 + n) for n in range(count)]
facts = f"{os.getuid()} {os.environ['LISTEN_FDNAMES']} {[s.getblocking() for s in sockets]} {sorted(map(int, os.listdir('/proc/self/fd')))[:3 + count]}"
print("up", flush=True)
while True:
    for ready in select.select(sockets, [], [])[0]:
        if ready.type == socket.SOCK_DGRAM:
            _, peer = ready.recvfrom(100)
            ready.sendto(facts.encode(), peer)
        else:
            stream, _ = ready.accept()
            stream.sendall(facts.encode())
            stream.close()
"#;

fn up(world: &World, listen: &[&str]) -> i32 {
    let program = world.file("program.py", PROGRAM, 0o755);
    let mut start = vec!["run", "--uid", "svc"];
    listen.iter().for_each(|l| start.extend(["--listen", l]));
    start.extend(["--", PYTHON, program.to_str().expect("text")]);
    world.fine(&start);
    eventually("the program is up", || {
        std::fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.contains("up"))
    });
    let program = kernel::children(world.pid("twistd.pid"))[0];
    kernel::process(program).is(SVC, SVC, &[SVC, EXTRA]);
    program
}

fn heard(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn privileged_ports_are_handed_over() {
    const NAME: &str = "sockets::privileged_ports_are_handed_over";
    if !Path::new(PYTHON).exists() {
        return skip(NAME, "there is no python3");
    }
    test(NAME, Needs::Root, |world| {
        let path = world.text("p.sock");
        let unix = format!("unix:{path}");
        let program = up(world, &["tcp:127.0.0.1:80", "udp:127.0.0.1:53", &unix]);
        let expected = "4000 tcp-80:udp-53:unix-p.sock [True, True, True] [0, 1, 2, 3, 4, 5]";
        assert_eq!(heard(TcpStream::connect("127.0.0.1:80").expect("port 80")), expected);
        assert_eq!(heard(UnixStream::connect(&path).expect("the socket")), expected);
        let ours = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        ours.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a limit");
        ours.send_to(b"?", "127.0.0.1:53").expect("ask");
        let mut answer = [0; 200];
        let n = ours.recv(&mut answer).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer[..n]), expected);
        kernel::process(program).has_no_capability();
        world.fine(&["stop", "--uid", "svc"]);
        assert!(TcpStream::connect("127.0.0.1:80").is_err());
    });
}

#[test]
fn whoami_answers_at_a_unix_socket() {
    test("sockets::whoami_answers_at_a_unix_socket", Needs::Anyone, |world| {
        let path = world.text("w.sock");
        world.fine(&["run", "--listen", &format!("unix:{path}")]);
        let mut stream = UnixStream::connect(&path).expect("the socket");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("ask");
        assert!(heard(stream).contains("\"name\": \"whoami\""));
        world.fine(&["stop"]);
    });
}

/// Says of every descriptor that it was handed what it is, then sends back what it gets, with its number.
const SAYS: &str = r#"
import fcntl, os, select, socket, stat
names = os.environ["LISTEN_FDNAMES"].split(":")
assert int(os.environ["LISTEN_PID"]) == os.getpid()
assert int(os.environ["LISTEN_FDS"]) == len(names)
assert [v for v in os.environ if v.startswith("LISTEN_")].__len__() == 3
open_now = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]
assert open_now == list(range(3 + len(names))), open_now
sockets = [socket.socket(fileno=3 + n) for n in range(len(names))]
for name, s in zip(names, sockets):
    said = [name, s.family.name[3:], s.type.name[5:]]
    at = s.getsockname()
    if s.family != socket.AF_UNIX:
        said.append("%s %d" % at[:2])
        said += ["shared"] * s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        if s.family == socket.AF_INET6:
            said += ["only"] * s.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    elif isinstance(at, bytes):
        said.append("@" + at[1:].decode())
    else:
        node = os.lstat(at)
        said.append("%s %s %d:%d" % (at, stat.filemode(node.st_mode), node.st_uid, node.st_gid))
    said += ["accepts"] * s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    said += ["waits"] * (fcntl.fcntl(s, fcntl.F_GETFL) & os.O_NONBLOCK == 0)
    print(*said, flush=True)
print("end", flush=True)
while True:
    for s in select.select(sockets, [], [])[0]:
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            with s.accept()[0] as c:
                try:
                    c.sendall(b"%d" % os.getpid())
                except OSError:
                    pass
        else:
            said, peer = s.recvfrom(100)
            if peer:
                s.sendto(said, peer)
"#;

/// A daemon of `specs/daemon.yaml` as the user svc.
struct Daemon<'a> {
    world: &'a World,
    line: Vec<String>,
    log: String,
    pidfile: String,
}

impl<'a> Daemon<'a> {
    fn new(world: &'a World, name: &str, listen: &[&str]) -> Daemon<'a> {
        let (log, pidfile) = (format!("log-{name}/d.log"), format!("{name}.pid"));
        let mut line: Vec<String> =
            ["--spec", "daemon", "--user", "svc", "--name", name].map(str::to_owned).into();
        line.extend(["--logfile".to_owned(), world.text(&log), "--pidfile".to_owned(), world.text(&pidfile)]);
        for socket in listen {
            line.extend(["--listen".to_owned(), (*socket).to_owned()]);
        }
        Daemon { world, line, log, pidfile }
    }

    fn does(&self, what: &[&str]) -> Out {
        let mut line: Vec<&str> = what.to_vec();
        line.extend(self.line.iter().map(String::as_str));
        let program = self.world.file("says.py", SAYS, 0o755);
        line.extend(["--", PYTHON, program.to_str().expect("text")]);
        self.world.rsd(&line)
    }

    /// What the program has said of its sockets.
    fn said(&self) -> Vec<String> {
        let text = eventually("the program said all", || {
            std::fs::read_to_string(self.world.path(&self.log)).ok().filter(|t| t.ends_with("end\n"))
        });
        text.lines().map(str::to_owned).filter(|line| line != "end").collect()
    }

    fn up(&self) -> Vec<String> {
        let out = self.does(&["run"]);
        assert_eq!(out.code, 0, "{out:#?}");
        self.said()
    }

    fn stop(&self) {
        let out = self.does(&["stop"]);
        assert_eq!(out.code, 0, "{out:#?}");
    }
}

fn python() -> bool {
    Path::new(PYTHON).exists()
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// What a client says to a socket of datagrams or of packets, and what comes back.
fn asks(world: &World, path: &str, kind: &str) -> String {
    let client = "import os, socket, sys
path, kind = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, getattr(socket, 'SOCK_' + kind))
s.settimeout(20)
if kind == 'DGRAM':
    s.bind('/mnt/work/open/client')
    os.chmod('/mnt/work/open/client', 0o666)
s.connect('\\0' + path[1:] if path[0] == '@' else path)
if kind == 'DGRAM':
    s.send(b'hello')
print(s.recv(100).decode().isdigit() and 'a number' or 'hello')";
    let out = done(world.command(PYTHON).args(["-c", client, path, kind]));
    assert_eq!(out.code, 0, "{out:#?}");
    out.out.trim().to_owned()
}

#[test]
fn every_sort_is_handed_over_as_it_was_asked_for() {
    const NAME: &str = "sockets::every_sort_is_handed_over_as_it_was_asked_for";
    if !python() {
        return skip(NAME, "there is no python3");
    }
    test(NAME, Needs::Root, |world| {
        world.directory("open", 0, 0o755);
        let at = |name: &str| world.text(&format!("open/{name}"));
        let (stream, datagrams, packets) = (at("s,1"), at("d"), at("q"));
        let commas = stream.replace(',', ",,");
        let daemon = Daemon::new(
            world,
            "all",
            &[
                "tcp:127.0.0.1:80,name=http,backlog=7",
                "tcp:[::]:80,v6only,reuse-port,name=six",
                "udp:127.0.0.1:53,reuse-port",
                &format!("unix:{commas},mode=0660,user=svc,group=other"),
                &format!("unix:{datagrams},type=dgram,mode=0622,user=dropped"),
                &format!("unix:{packets},type=seqpacket,group=svcextra"),
                "unix:@rsd test,type=seqpacket,name=no path",
                "tcp:192.0.2.1:80,free-bind",
            ],
        );
        let checked = daemon.does(&["check", "--deny", "warnings"]);
        assert!(checked.code == 0 && checked.out.contains("no findings"), "{checked:#?}");
        let said = daemon.up();
        let wanted = [
            "http INET STREAM 127.0.0.1 80 accepts waits".to_owned(),
            "six INET6 STREAM :: 80 shared only accepts waits".to_owned(),
            "udp-53 INET DGRAM 127.0.0.1 53 shared waits".to_owned(),
            format!("unix-s,1 UNIX STREAM {stream} srw-rw---- {SVC}:{OTHER} accepts waits"),
            format!("unix-d UNIX DGRAM {datagrams} srw--w--w- {SVC}:{SVC} waits"),
            format!("unix-q UNIX SEQPACKET {packets} srwxr-xr-x 0:{EXTRA} accepts waits"),
            "no path UNIX SEQPACKET @rsd test accepts waits".to_owned(),
            "tcp-80 INET STREAM 192.0.2.1 80 accepts waits".to_owned(),
        ];
        assert_eq!(said, wanted);
        for address in ["127.0.0.1:80", "[::1]:80"] {
            let mut answer = String::new();
            TcpStream::connect(address).expect("connect").read_to_string(&mut answer).expect("an answer");
            assert!(answer.parse::<i32>().is_ok(), "{answer}");
        }
        let ours = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        ours.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a limit");
        ours.send_to(b"hello", "127.0.0.1:53").expect("ask");
        let mut answer = [0; 10];
        assert_eq!(ours.recv(&mut answer).expect("an answer"), 5);
        assert_eq!(asks(world, &datagrams, "DGRAM"), "hello");
        assert_eq!(asks(world, &packets, "SEQPACKET"), "a number");
        assert_eq!(asks(world, "@rsd test", "SEQPACKET"), "a number");
        daemon.stop();
        for path in [stream, datagrams, packets] {
            assert!(!Path::new(&path).exists(), "{path} was left behind");
        }
        let left = std::fs::read_to_string("/proc/net/unix").expect("the sockets");
        assert!(!left.contains("@rsd test"), "{left}");
    });
}

#[test]
fn two_daemons_share_a_port() {
    const NAME: &str = "sockets::two_daemons_share_a_port";
    if !python() {
        return skip(NAME, "there is no python3");
    }
    test(NAME, Needs::Root, |world| {
        let shared = ["tcp:127.0.0.1:80,reuse-port"];
        let (one, two) = (Daemon::new(world, "one", &shared), Daemon::new(world, "two", &shared));
        one.up();
        two.up();
        let answer = || {
            let mut text = String::new();
            TcpStream::connect("127.0.0.1:80").ok()?.read_to_string(&mut text).ok()?;
            Some(text)
        };
        let mut seen = BTreeSet::new();
        eventually("both answer", || {
            seen.extend(answer());
            (seen.len() == 2).then_some(())
        });
        // All have to share it.
        let third = Daemon::new(world, "three", &["tcp:0.0.0.0:80"]);
        let refused = third.does(&["check"]);
        assert!(refused.code != 0 && refused.err.contains("RSD0604"), "{refused:#?}");
        let failed = third.does(&["run", "--unchecked"]);
        assert!(failed.code == 1 && failed.err.contains("Address already in use"), "{failed:#?}");
        one.stop();
        two.stop();
        third.up();
        let late = Daemon::new(world, "late", &shared);
        let refused = late.does(&["check"]);
        assert!(
            refused.err.contains("RSD0604") && refused.err.contains("without `reuse-port`"),
            "{refused:#?}"
        );
        let failed = late.does(&["run", "--unchecked"]);
        assert!(failed.code == 1 && failed.err.contains("Address already in use"), "{failed:#?}");
        third.stop();
    });
}

#[test]
fn a_socket_at_a_path_is_replaced_only_when_nobody_has_it() {
    const NAME: &str = "sockets::a_socket_at_a_path_is_replaced_only_when_nobody_has_it";
    if !python() {
        return skip(NAME, "there is no python3");
    }
    test(NAME, Needs::Root, |world| {
        let path = world.path("s.sock");
        let daemon = Daemon::new(world, "d", &[&format!("unix:{}", path.display())]);
        // Somebody listens: the very socket stays.
        let live = UnixListener::bind(&path).expect("bind");
        let number = std::fs::symlink_metadata(&path).expect("it").ino();
        for (how, code) in [(&["run"][..], 6), (&["run", "--unchecked"], 1)] {
            let out = daemon.does(how);
            assert_eq!(out.code, code, "{out:#?}");
            assert_eq!(std::fs::symlink_metadata(&path).expect("still there").ino(), number);
            UnixStream::connect(&path).expect("it listens");
        }
        // A link is not followed, whatever it leads to.
        let other = world.path("other.sock");
        std::fs::rename(&path, &other).expect("rename");
        drop(live);
        std::os::unix::fs::symlink(&other, &path).expect("a link");
        assert_eq!(daemon.does(&["run", "--unchecked"]).code, 1);
        assert!(is_socket(&other), "the link was followed");
        // What nobody listens behind is replaced.
        std::fs::rename(&other, &path).expect("rename");
        daemon.up();
        assert!(is_socket(&path));
        UnixStream::connect(&path).expect("it listens");
        daemon.stop();
        assert!(!path.exists());
        // The guard removes it, too, when the daemon is killed; what has its name by then it leaves.
        for replaced in [false, true] {
            daemon.up();
            let keeper = world.pid(&daemon.pidfile);
            if replaced {
                std::fs::remove_file(&path).expect("remove it");
                std::fs::write(&path, "mine").expect("a file");
            }
            kernel::kill(keeper, nix::sys::signal::Signal::SIGKILL);
            eventually("the guard is done", || (!world.path(&daemon.pidfile).exists()).then_some(()));
            eventually("no process of it is left", || {
                let program = world.text("says.py");
                kernel::running(&format!("{PYTHON} {program}")).is_empty().then_some(())
            });
            match replaced {
                false => eventually("the socket is gone", || (!path.exists()).then_some(())),
                true => assert_eq!(std::fs::read_to_string(&path).expect("it"), "mine"),
            }
        }
        std::fs::remove_file(&path).expect("remove it");
        let kept = Daemon::new(world, "kept", &[&format!("unix:{},keep", path.display())]);
        kept.up();
        kept.stop();
        assert!(is_socket(&path), "it was to be kept");
    });
}

/// Binds two sockets and becomes the command, as a service manager that starts it by socket activation.
const ACTIVATES: &str = "import os, socket, sys
a = socket.create_server(('127.0.0.1', 80))
b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
b.bind('/mnt/work/b.sock')
b.setblocking(False)
os.dup2(a.fileno(), 20)
os.dup2(b.fileno(), 21)
os.dup2(20, 3)
os.dup2(21, 4)
os.environ.update(LISTEN_FDS='2', LISTEN_FDNAMES='web:logs', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])";

#[test]
fn what_was_handed_to_us_is_passed_on() {
    const NAME: &str = "sockets::what_was_handed_to_us_is_passed_on";
    if !python() {
        return skip(NAME, "there is no python3");
    }
    test(NAME, Needs::Root, |world| {
        let program = world.file("says.py", SAYS, 0o755);
        let program = program.to_str().expect("text");
        let run = |listen: &[&str], what: &str| {
            let daemon = Daemon::new(world, "d", listen);
            let mut line: Vec<&str> = vec![what];
            line.extend(daemon.line.iter().map(String::as_str));
            line.extend(["--", PYTHON, program]);
            let _ = std::fs::remove_file("/mnt/work/b.sock");
            (done(world.command(PYTHON).args(["-c", ACTIVATES]).arg(binary()).args(&line)), daemon)
        };
        let (out, daemon) = run(&["inherit:logs,name=d", "udp:127.0.0.1:53", "inherit:web"], "run");
        assert_eq!(out.code, 0, "{out:#?}");
        let wanted = [
            "d UNIX DGRAM /mnt/work/b.sock srwxr-xr-x 0:0 waits",
            "udp-53 INET DGRAM 127.0.0.1 53 waits",
            "web INET STREAM 127.0.0.1 80 accepts waits",
        ];
        assert_eq!(daemon.said(), wanted);
        // Besides the guard.
        let children = kernel::children(world.pid(&daemon.pidfile));
        let answer = heard(TcpStream::connect("127.0.0.1:80").expect("port 80"));
        assert!(children.iter().any(|pid| pid.to_string() == answer), "{answer} of {children:?}");
        daemon.stop();
        // Nobody of ours has it open any more.
        assert!(TcpStream::connect("127.0.0.1:80").is_err());
        let (out, _) = run(&["inherit:mail"], "check");
        assert!(out.err.contains("RSD0606") && out.err.contains("they are named web, logs"), "{out:#?}");
        let out = world.rsd(&["run", "--listen", "inherit:web", "--unchecked", "--", "sleep", "1"]);
        assert!(out.code == 1 && out.err.contains("nobody has handed a socket"), "{out:#?}");
    });
}

#[test]
fn systemd_hands_a_socket_over() {
    const NAME: &str = "sockets::systemd_hands_a_socket_over";
    const TOOL: &str = "/usr/bin/systemd-socket-activate";
    if !python() || !Path::new(TOOL).exists() {
        return skip(NAME, "there is no python3, or no systemd-socket-activate");
    }
    test(NAME, Needs::Root, |world| {
        let daemon = Daemon::new(world, "d", &["inherit:web"]);
        let program = world.file("says.py", SAYS, 0o755);
        let mut command = world.command(TOOL);
        command.args(["--listen=127.0.0.1:80", "--fdname=web"]).arg(binary()).arg("run").args(&daemon.line);
        command.args(["--", PYTHON]).arg(program);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut starter = command.spawn().expect("start systemd-socket-activate");
        // It waits for somebody to connect, and becomes the command then.
        let stream = eventually("it listens", || TcpStream::connect("127.0.0.1:80").ok());
        let answer = heard(stream);
        assert!(starter.wait().expect("wait for it").success());
        let children = kernel::children(world.pid(&daemon.pidfile));
        assert!(children.iter().any(|pid| pid.to_string() == answer), "{answer} of {children:?}");
        assert_eq!(daemon.said(), ["web INET STREAM 127.0.0.1 80 accepts waits"]);
        daemon.stop();
    });
}
