//! What lives on beside the daemon has let go of what is not its own before the daemon goes on. The guard keeps the
//! PID file: its lock says that somebody still works until the guard is done.

use crate::kernel;
use crate::sandbox::{Needs, World, binary, eventually, test};
use crate::stop::GUARD;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn ptrace(request: u32, pid: i32, data: libc::c_long) {
    // SAFETY: the requests below read `data` as a number and touch no memory of ours.
    let done = unsafe { libc::ptrace(request, pid, 0, data) };
    Errno::result(done).unwrap_or_else(|e| panic!("ptrace {request:#x} of {pid}: {e}"));
}

/// `rsd run -n` with a guard, each of its forks held at its first instruction.
struct Traced {
    child: Child,
    pid: i32,
}

#[derive(Debug, PartialEq)]
enum Seen {
    Fork,
    Vfork,
    Other,
}

impl Traced {
    fn start(world: &World, arguments: &[&str]) -> Traced {
        let mut command = world.command("sh");
        command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(binary()).args(arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
        let pid = child.id() as i32;
        let stopped = waitpid(Pid::from_raw(pid), Some(nix::sys::wait::WaitPidFlag::WUNTRACED));
        assert!(matches!(stopped, Ok(WaitStatus::Stopped(..))), "{stopped:?}");
        let options = libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_EXITKILL;
        ptrace(libc::PTRACE_SEIZE, pid, options as libc::c_long);
        kernel::kill(pid, Signal::SIGCONT);
        Traced { child, pid }
    }

    /// The next stop of the daemon, up to then; what is no fork is passed on.
    fn next(&self, until: Instant) -> Option<Seen> {
        while Instant::now() < until {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            match waitpid(Pid::from_raw(self.pid), Some(flags)).expect("it is traced") {
                WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(1)),
                WaitStatus::PtraceEvent(_, _, event) => {
                    return Some(match event {
                        libc::PTRACE_EVENT_FORK => Seen::Fork,
                        libc::PTRACE_EVENT_VFORK => Seen::Vfork,
                        _ => Seen::Other,
                    });
                }
                WaitStatus::Stopped(_, signal) => ptrace(libc::PTRACE_CONT, self.pid, signal as libc::c_long),
                ended => panic!("the daemon ended: {ended:?}"),
            }
        }
        None
    }

    fn wait(&self, what: Seen) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = self.next(until).unwrap_or_else(|| panic!("no {what:?}"));
            if seen == what {
                return;
            }
            assert_eq!(seen, Seen::Other);
            self.go_on();
        }
    }

    fn go_on(&self) {
        ptrace(libc::PTRACE_CONT, self.pid, 0);
    }

    /// The newest child, which the kernel has stopped before it did anything.
    fn newest(&self) -> i32 {
        let newest = *kernel::children(self.pid).last().expect("a child");
        eventually("it is stopped", || kernel::process(newest).is_traced().then_some(()));
        newest
    }

    fn release(&self, pid: i32) {
        let stopped = waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WSTOPPED | WaitPidFlag::__WALL);
        assert!(stopped.is_ok(), "{stopped:?}");
        ptrace(libc::PTRACE_DETACH, pid, 0);
    }
}

#[test]
fn the_guard_has_let_go_before_the_daemon_goes_on() {
    test("fork::the_guard_has_let_go_before_the_daemon_goes_on", Needs::Root, |world| {
        world.file("guard.yaml", GUARD, 0o644);
        let arguments = ["run", "-n", "--spec", "guard.yaml", "--uid", "svc", "--", "sleep", "1080"];
        let mut run = Traced::start(world, &arguments);
        run.wait(Seen::Fork);
        run.release(run.newest());
        run.go_on();
        run.wait(Seen::Fork);
        let guard = run.newest();
        run.go_on();
        // The guard has all that the daemon has, and does not come to close it.
        let holds = |pid: i32| {
            let open = kernel::process(pid).descriptors();
            open.into_values().any(|fd| fd.ends_with("twistd.pid"))
        };
        let open = |pid: i32| kernel::process(pid).descriptors().len();
        let before = open(guard);
        assert!(holds(guard));
        let seen = run.next(Instant::now() + Duration::from_millis(500));
        assert_eq!(seen, None, "the daemon does not go on");
        run.release(guard);
        run.wait(Seen::Vfork);
        assert!(holds(guard) && holds(run.pid));
        assert!(open(guard) < before, "the guard has closed what is the daemon's");
        // The program too: stopped before its first instruction, it holds what the daemon holds, but the
        // daemon is in vfork(2) until it does not.
        run.release(run.newest());
        ptrace(libc::PTRACE_DETACH, run.pid, 0);
        eventually("the program runs", || (!kernel::running("sleep 1080").is_empty()).then_some(()));
        // At once: nobody else has the lock by now.
        kernel::kill(run.pid, Signal::SIGKILL);
        run.child.wait().expect("it is reaped");
        world.fine(&["run", "--", "sleep", "1081"]);
        world.fine(&["stop"]);
    });
}
