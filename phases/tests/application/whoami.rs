//! The built-in application, asked over real sockets.

use super::command::at_rest;
use super::world::{Daemon, Setup, become_nobody, root, tcp};
use super::{Skipped, Test};
use engine::effect::{Identity, Socket};
use nix::sys::signal::Signal;
use phases::application::Listening;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("whoami_tells_who_it_is", tells),
    ("whoami_tells_the_truth_in_a_jail", jailed),
    ("whoami_refuses_what_it_does_not_know", refuses),
    ("whoami_tells_its_timeline", timeline),
    ("whoami_on_a_unix_socket", unix),
    ("whoami_survives_slow_and_many_clients", slow),
    ("whoami_signals", signals),
];

fn start(setup: Setup) -> (Daemon, SocketAddr) {
    let (one, address) = tcp();
    let mut setup = Setup { log: true, ..setup };
    setup.listening.push(one);
    let daemon = setup.start();
    assert_eq!(daemon.program(), 0, "there is no process of its own");
    (daemon, address)
}

fn stop(daemon: &Daemon) {
    daemon.signal(Signal::SIGTERM);
    let report = daemon.end();
    assert!(report.contains("served Served { ended: None, asked: true }"), "{report}");
}

fn talk(mut stream: impl Read + Write, request: &str) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

fn ask(address: SocketAddr, line: &str) -> (u16, String, String) {
    talk(TcpStream::connect(address).unwrap(), &format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn get(address: SocketAddr, path: &str) -> Value {
    let (status, head, body) = ask(address, &format!("GET {path}"));
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("application/json") && head.contains("Connection: close"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    serde_json::from_str(&body).unwrap()
}

fn tells() -> Result<(), Skipped> {
    let identity = Identity { umask: 0o27, root: "/".into(), ..Default::default() };
    let (daemon, address) = start(Setup { identity, ..Default::default() });
    let who = get(address, "/?x=1");
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!(who["pid"], daemon.pid.as_raw());
    assert_eq!(who["ppid"], std::process::id());
    assert_eq!(who["uid"], json!([uid, uid, uid]));
    assert_eq!((&who["name"], &who["umask"], &who["root"]), (&json!("whoami"), &json!("027"), &json!("/")));
    assert_eq!(who["cwd"], std::env::current_dir().unwrap().to_str().unwrap());
    assert_eq!(who["listening"], json!([format!("tcp:{address}")]));
    assert!(daemon.log().contains("\"GET /\" 200"), "{}", daemon.log());
    stop(&daemon);
    Ok(())
}

fn jailed() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("only root can chroot and drop"));
    }
    let before = |dir: &Path| {
        nix::unistd::chroot(&dir.join("logs")).unwrap();
        nix::unistd::chdir("/").unwrap();
        become_nobody(dir);
    };
    let (daemon, address) = start(Setup { before: Some(before), ..Default::default() });
    let who = get(address, "/");
    assert_eq!(who["uid"], json!([65534, 65534, 65534]));
    assert_eq!(
        (&who["groups"], &who["capabilities"], &who["permitted"]),
        (&json!([]), &json!([]), &json!([]))
    );
    assert_eq!(who["cwd"], "/");
    // root's log in root's directory: it cannot be rotated now, and that is said
    daemon.signal(Signal::SIGUSR1);
    assert!(daemon.line("signal SIGUSR1").contains("cannot rotate"));
    assert!(daemon.log().contains("rsd: cannot rotate: d.log: Permission denied"));
    stop(&daemon);
    Ok(())
}

fn refuses() -> Result<(), Skipped> {
    let (daemon, address) = start(Setup::default());
    let (status, head, body) = ask(address, "HEAD /");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(!head.contains("Content-Length: 0"));
    assert_eq!(ask(address, "GET /etc/passwd").0, 404);
    assert_eq!(ask(address, "POST /nowhere").0, 404);
    assert_eq!(ask(address, "GET /timeline").0, 404, "there is no journal");
    let (status, head, _) = ask(address, "DELETE /");
    assert!(status == 405 && head.contains("Allow: GET, HEAD"), "{head}");
    // a body is read past, so that the answer arrives
    let stream = TcpStream::connect(address).unwrap();
    let post = format!("POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20000));
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    assert_eq!(talk(stream, &post).0, 405);
    assert_eq!(talk(TcpStream::connect(address).unwrap(), "nonsense\r\n\r\n").0, 400);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(9000));
    assert_eq!(talk(TcpStream::connect(address).unwrap(), &long).0, 431);
    stop(&daemon);
    Ok(())
}

fn timeline() -> Result<(), Skipped> {
    let journal = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(journal.path(), "x".repeat(100_000)).unwrap();
    let file = File::open(journal.path()).unwrap();
    let (daemon, address) = start(Setup { journal: Some(file), ..Default::default() });
    assert_eq!(get(address, "/timeline")["bytes"], 100_000);
    assert_eq!(get(address, "/timeline")["bytes"], 100_000, "the position was not moved");
    stop(&daemon);
    Ok(())
}

fn unix() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let fd = UnixListener::bind(&path).unwrap().into();
    let listening = vec![Listening { socket: Socket::Unix(path.clone()), name: "w".into(), fd }];
    let (daemon, address) = start(Setup { listening, ..Default::default() });
    let (status, _, body) = talk(UnixStream::connect(&path).unwrap(), "GET / HTTP/1.0\r\n\r\n");
    let who: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(who["listening"], json!([format!("unix:{}", path.display()), format!("tcp:{address}")]));
    stop(&daemon);
    Ok(())
}

fn slow() -> Result<(), Skipped> {
    let (daemon, address) = start(Setup::default());
    let begun = Instant::now();
    // byte by byte is fine
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"GET / HTTP/1.1\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(talk(stream, "").0, 200);
    // silence is not: all places are taken by clients that say nothing, then served after them
    let silent: Vec<_> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(ask(address, "GET /").0, 200);
    assert!((4..60).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    for mut stream in silent {
        assert!(matches!(stream.read(&mut [0; 10]), Ok(0) | Err(_)));
    }
    at_rest(daemon.pid);
    stop(&daemon);
    Ok(())
}

fn signals() -> Result<(), Skipped> {
    let (daemon, address) = start(Setup::default());
    get(address, "/");
    daemon.signal(Signal::SIGUSR1);
    daemon.line("signal SIGUSR1: log rotated");
    daemon.signal(Signal::SIGHUP);
    daemon.line("signal SIGHUP: log reopened");
    daemon.signal(Signal::SIGQUIT);
    daemon.line("signal SIGQUIT: ignored");
    get(address, "/");
    assert_eq!(daemon.log().lines().count(), 1);
    daemon.signal(Signal::SIGINT);
    assert!(daemon.end().contains("asked: true"));
    Ok(())
}
