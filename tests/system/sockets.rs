//! Sockets that are bound with privilege and handed to a program without it.

use crate::kernel;
use crate::sandbox::{EXTRA, Needs, SVC, World, eventually, skip, test};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
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
