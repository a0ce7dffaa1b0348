//! The system calls that an effect may make: the table by which a filter that is set before it is judged.
//!
//! It errs to the side of a system call too many: each of them is made on some way through the effect, and
//! what a filter takes away on a way that is seldom gone is noticed when it is too late. Where the C library
//! makes one or the other, by architecture, both are named. What code of others does nobody knows.

use super::{Application, Effect, Setting, Socket};

/// Whatever is done, it is read back, recorded and told: the journal, the holder of the undo, signals.
const EVERY: &[&str] = &[
    "read",
    "write",
    "close",
    "fcntl",
    "sendmsg",
    "recvmsg",
    "poll",
    "ppoll",
    "prctl",
    "capget",
    "newfstatat",
    "getcwd",
    "umask",
    "mremap",
    "madvise",
    "rt_sigprocmask",
];

const FILE: &[&str] = &["openat", "openat2", "fstat", "statx", "fchown", "fchmod", "flock", "unlinkat"];
const FORK: &[&str] = &["clone", "pipe2", "socketpair", "wait4", "pidfd_open", "pidfd_send_signal"];

impl Effect {
    /// The system calls that this process may make for it, some perhaps more than once. Those of `@default`
    /// are let through by every filter and not named, but for execve(2), by which a program begins.
    pub fn system_calls(&self) -> impl Iterator<Item = &'static str> {
        let more: &[&[&str]] = match self {
            Effect::CheckPidFile { .. } => &[FILE],
            Effect::OpenLog { .. } => &[FILE],
            Effect::Chroot { .. } => &[&["chroot", "openat"]],
            Effect::Chdir { .. } => &[&["chdir"]],
            Effect::Umask { .. } | Effect::Unbind { .. } => &[],
            Effect::Daemonize => &[FORK, &["setsid", "dup2", "dup3", "kill", "close_range"]],
            Effect::CreatePidFile { .. } => &[FILE, &["renameat2", "linkat", "getdents64", "lseek"]],
            Effect::Bind { socket, .. } => match socket {
                Socket::Unix(_) => &[
                    SOCKET,
                    FILE,
                    &["connect", "fchmodat", "fchownat", "renameat2", "ioctl", "getdents64", "lseek"],
                ],
                Socket::Inherited(_) => &[&["getsockname"]],
                _ => &[SOCKET],
            },
            Effect::SetCredential { .. } => &[&["setgroups", "setresgid", "setresuid", "capset"]],
            Effect::Process(setting) => match setting {
                Setting::NoNewPrivileges
                | Setting::Bounding(_)
                | Setting::SecureBits(_)
                | Setting::TimerSlack(_)
                | Setting::Dumpable(_) => &[],
                Setting::Capabilities { .. } => &[&["capset"]],
                Setting::Limit(..) => &[&["setrlimit"]],
                Setting::Nice(_) => &[&["setpriority"]],
                Setting::Scheduler(_) => &[&["sched_setscheduler", "sched_getscheduler", "sched_getparam"]],
                Setting::IoPriority(_) => &[&["ioprio_set", "ioprio_get"]],
                Setting::OomScore(_) => &[&["openat"]],
                Setting::Keyring => &[&["keyctl"]],
                Setting::Affinity(_) => &[&["sched_setaffinity"]],
                Setting::SystemCalls(_) => &[&["seccomp", "clone", "wait4"]],
                Setting::Landlock(_) => &[LANDLOCK, &["openat", "fstat", "clone", "wait4"]],
            },
            Effect::Environment(environment) if environment.files.is_empty() => &[],
            Effect::Environment(_) => &[&["openat", "fstat", "statx"]],
            Effect::MakeDirectory { .. } => {
                &[FILE, &["mkdirat", "fchownat", "renameat2", "getdents64", "lseek"]]
            }
            Effect::RemoveDirectory { .. }
            | Effect::RemovePidFile { .. }
            | Effect::RemoveSocket { .. }
            | Effect::Remove { .. } => &[&["unlinkat", "openat", "flock"]],
            Effect::GiveBack { .. } => &[&["openat", "fstat", "fchownat"]],
            Effect::KeepGuard => &[FORK],
            Effect::Application(Application::Load(_)) => {
                &[&["openat", "openat2", "fstat", "statx", "readlink", "readlinkat"]]
            }
            Effect::Application(Application::PrivilegedStart) => &[],
            Effect::Application(Application::Start(_)) => &[
                FORK,
                &[
                    "execve",
                    "dup2",
                    "dup3",
                    "close_range",
                    "rt_sigaction",
                    "setsid",
                    "kill",
                    "ioctl",
                    "openat",
                ],
            ],
            // The log is rotated, signals are passed on, children reaped.
            Effect::Serve => &[
                &[
                    "wait4",
                    "pidfd_send_signal",
                    "kill",
                    "openat",
                    "fstat",
                    "renameat",
                    "renameat2",
                    "unlinkat",
                ],
                &["flock", "fchown", "getdents64", "ftruncate", "lseek"],
            ],
            Effect::Fail(_) => &[],
            Effect::Unshare { .. } => &[&["unshare", "mount", "socket", "ioctl", "statx", "readlink"]],
            Effect::Mount { .. } | Effect::PivotRoot { .. } => &[MOUNT],
            Effect::End { .. } => &[&["pidfd_send_signal", "kill", "wait4"]],
        };
        EVERY.iter().copied().chain(more.iter().flat_map(|some| some.iter().copied()))
    }
}

const MOUNT: &[&str] = &[
    "open_tree",
    "move_mount",
    "mount_setattr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "umount2",
    "pivot_root",
    "chdir",
    "fchdir",
    "fstat",
    "statx",
    "openat",
    "faccessat2",
    "mkdir",
    "mkdirat",
    "symlinkat",
];
const LANDLOCK: &[&str] = &["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"];
const SOCKET: &[&str] = &["socket", "setsockopt", "bind", "listen", "getsockname"];

#[cfg(test)]
mod tests {
    use super::super::calls::meant;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_a_system_call_and_a_service_may_make_it() {
        let all: BTreeSet<_> = [
            Effect::Daemonize,
            Effect::Bind { socket: Socket::Unix("/s".into()), options: Default::default() },
            Effect::CreatePidFile { path: "/p".into(), owner: None, mode: 0o644 },
            Effect::MakeDirectory { path: "/d".into(), owner: None, mode: 0o755, any_owner: false },
            Effect::Application(Application::Start(Default::default())),
            Effect::Application(Application::Load(Default::default())),
            Effect::Serve,
            Effect::RemovePidFile { path: "/p".into() },
        ]
        .iter()
        .flat_map(Effect::system_calls)
        .collect();
        assert!(all.iter().all(|name| meant(name).is_some()), "{all:?}");
        let service = meant("@system-service").unwrap();
        let more: Vec<_> = all.difference(&service).collect();
        assert!(more.is_empty(), "a keeper that lives under @system-service: {more:?}");
    }
}
