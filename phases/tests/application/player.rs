//! The program of these tests: this very file, executed again with a list of things to do.

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use nix::unistd::{ForkResult, fork, getppid};
use std::io::{IoSlice, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixListener;
use std::thread::sleep;
use std::time::Duration;

/// The command that plays these steps.
pub fn player(steps: &[&str]) -> engine::effect::Program {
    let own = std::env::current_exe().expect("the harness itself");
    let own = own.to_str().expect("text");
    super::world::command(&[&[own, "--play"], steps].concat())
}

/// Sends to the socket of that name.
pub fn say(name: &str, text: &str) {
    let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None).expect("socket");
    let address = UnixAddr::new_abstract(name.strip_prefix('@').expect("abstract").as_bytes()).expect("name");
    let none: &[ControlMessage] = &[];
    let data = [IoSlice::new(text.as_bytes())];
    sendmsg(fd.as_raw_fd(), &data, none, MsgFlags::empty(), Some(&address)).expect("send");
}

/// Nothing but work, for so many milliseconds.
fn work(ms: u64) {
    let until = std::time::Instant::now() + Duration::from_millis(ms);
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
}

pub fn play(steps: &[String]) {
    let own = || std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    let mut kept = Vec::new();
    let mut listening = Vec::new();
    for step in steps {
        let (what, value) = step.split_once(':').unwrap_or((step, ""));
        let value = value.replace("\\n", "\n");
        match what {
            "say" => say(&own(), &value.replace("PID", &std::process::id().to_string())),
            "child" => {
                // SAFETY: one thread.
                if let ForkResult::Child = unsafe { fork() }.expect("fork") {
                    say(&own(), &value);
                    sleep(Duration::from_millis(500));
                    std::process::exit(0);
                }
            }
            // The child is the program from now on; this process ends when it has said so.
            "hand-over" => {
                // SAFETY: one thread.
                match unsafe { fork() }.expect("fork") {
                    ForkResult::Child => {
                        let parent = getppid();
                        while getppid() == parent {
                            sleep(Duration::from_millis(2));
                        }
                    }
                    ForkResult::Parent { child } => {
                        say(&own(), &format!("MAINPID={child}\nREADY=1"));
                        sleep(Duration::from_millis(200));
                        std::process::exit(0);
                    }
                }
            }
            "print" => println!("{value}"),
            "name" => println!("<{}>", own()),
            "sleep" => sleep(Duration::from_millis(value.parse().expect("milliseconds"))),
            "work" => work(value.parse().expect("milliseconds")),
            "beside" => {
                // SAFETY: one thread.
                if let ForkResult::Child = unsafe { fork() }.expect("fork") {
                    work(value.parse().expect("milliseconds"));
                    std::process::exit(0);
                }
            }
            "exit" => std::process::exit(value.parse().expect("a status")),
            "stay" => loop {
                sleep(Duration::from_secs(60));
            },
            "tcp" => listening.push(TcpListener::bind(&value).expect("bind")),
            "unix" => kept.push(UnixListener::bind(&value).expect("bind")),
            "write" => {
                let (fd, text) = value.split_once('=').expect("a number");
                // SAFETY: the descriptor was given to this program for that.
                let mut file = unsafe { std::fs::File::from_raw_fd(fd.parse().expect("a number")) };
                file.write_all(text.as_bytes()).expect("write");
                std::mem::forget(file);
            }
            "close" => {
                // SAFETY: as above.
                unsafe { libc::close(value.parse().expect("a number")) };
            }
            "deaf" => {
                // SAFETY: no code of ours runs at a signal.
                unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            }
            other => panic!("what is {other}?"),
        }
    }
}
