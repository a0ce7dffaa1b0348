//! Filters of system calls: made as BPF, and put on.

use engine::effect::calls::{Architecture, Transport, numbered};
use engine::effect::{Otherwise, SystemCalls};
use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// The architecture that this build has numbers of system calls for.
const HERE: Option<(Architecture, TargetArch)> =
    if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some((Architecture::X86_64, TargetArch::x86_64))
    } else if cfg!(target_arch = "aarch64") {
        Some((Architecture::Aarch64, TargetArch::aarch64))
    } else {
        None
    };

/// A filter as the kernel takes it: of all programs the strictest answer counts.
#[derive(Clone, Debug)]
pub struct Filter(Vec<BpfProgram>);

impl Filter {
    /// The program of a filter: a word why there is none.
    pub fn of(calls: &SystemCalls) -> Result<Filter, String> {
        let Some((architecture, target)) = HERE else {
            return Err(format!("this build has no numbers of system calls of {}", std::env::consts::ARCH));
        };
        let known: Vec<u32> = numbered(architecture).map(|(_, number)| number).collect();
        let highest = known.iter().copied().max().unwrap_or(0);
        let mut programs = Vec::new();
        if calls.names_calls() {
            programs.push(by_number(calls, architecture, target, &known)?);
        }
        if calls.transports().next().is_some() {
            programs.push(by_transport(calls, architecture, target)?);
        }
        for program in &mut programs {
            program.splice(..0, beyond(highest, calls.otherwise));
        }
        Ok(Filter(programs))
    }

    /// Puts it on this process, every thread of it. Nothing takes it off again.
    ///
    /// EACCES where neither no_new_privs is set nor CAP_SYS_ADMIN there; ESRCH where a thread has filters of
    /// its own; EINVAL from a kernel without CONFIG_SECCOMP_FILTER.
    pub fn put_on(&self) -> Result<(), Errno> {
        const SET_MODE_FILTER: libc::c_uint = 1;
        const EVERY_THREAD: libc::c_ulong = 1;
        const ESRCH_FOR_A_THREAD: libc::c_ulong = 1 << 4;
        for program in &self.0 {
            let program = libc::sock_fprog {
                len: u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
                filter: program.as_ptr().cast_mut().cast(),
            };
            let flags = EVERY_THREAD | ESRCH_FOR_A_THREAD;
            // SAFETY: the kernel reads `len` instructions from a vector that outlives the call and writes
            // nothing; `sock_filter` is the kernel's structure.
            Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &program) })?;
        }
        Ok(())
    }
}

/// What becomes of a system call that is not let through, where failing is to answer this.
fn action(otherwise: Otherwise, errno: Errno) -> SeccompAction {
    match otherwise {
        Otherwise::Fail => SeccompAction::Errno(errno as u32),
        Otherwise::Kill => SeccompAction::KillProcess,
        Otherwise::Log => SeccompAction::Log,
    }
}

/// The program that looks at numbers of system calls alone.
fn by_number(
    calls: &SystemCalls,
    architecture: Architecture,
    target: TargetArch,
    known: &[u32],
) -> Result<BpfProgram, String> {
    let allowed = calls.numbers(architecture);
    let otherwise = action(calls.otherwise, Errno::EPERM);
    // The shorter of the two lists: each number is compared in turn.
    let (listed, then, or) = match allowed.len() * 2 <= known.len() {
        true => (allowed.iter().copied().collect(), SeccompAction::Allow, otherwise),
        false => {
            let denied: Vec<u32> = known.iter().copied().filter(|n| !allowed.contains(n)).collect();
            (denied, otherwise, SeccompAction::Allow)
        }
    };
    let rules = listed.into_iter().map(|number| (i64::from(number), Vec::new())).collect();
    let made = SeccompFilter::new(rules, or, then, target).and_then(BpfProgram::try_from);
    made.map_err(|e| e.to_string())
}

/// The program that looks at what socket(2) is asked for. It answers as a kernel without that transport, so that
/// whoever can do without it goes on with TCP.
fn by_transport(
    calls: &SystemCalls,
    architecture: Architecture,
    target: TargetArch,
) -> Result<BpfProgram, String> {
    const FAMILY: u8 = 0;
    const PROTOCOL: u8 = 2;
    let is = |argument, value: u32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value))
    };
    let rule = |transport: &Transport| {
        let family = transport.family.map(|value| is(FAMILY, value));
        let protocol = transport.protocol.map(|value| is(PROTOCOL, value));
        SeccompRule::new(family.into_iter().chain(protocol).collect::<Result<_, _>>()?)
    };
    let made = calls.transports().map(rule).collect::<Result<Vec<_>, _>>().and_then(|denied| {
        let rules: BTreeMap<i64, Vec<SeccompRule>> = numbered(architecture)
            .filter(|(name, _)| *name == "socket")
            .map(|(_, number)| (i64::from(number), denied.clone()))
            .collect();
        let denied = action(calls.otherwise, Errno::EPROTONOSUPPORT);
        SeccompFilter::new(rules, SeccompAction::Allow, denied, target)?.try_into()
    });
    made.map_err(|e| e.to_string())
}

/// What comes before a filter: numbers above the highest that is known answer ENOSYS, as on an older kernel.
/// Those of x32 are among them, which carry a bit above all others and would pass a list of what is denied.
fn beyond(highest: u32, otherwise: Otherwise) -> [sock_filter; 3] {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let action = match otherwise {
        Otherwise::Log => SeccompAction::Log,
        _ => SeccompAction::Errno(Errno::ENOSYS as u32),
    };
    [
        sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        sock_filter { code: IF_GREATER, jt: 0, jf: 1, k: highest },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::from(action) },
    ]
}

/// Whether a filter is on. A filter that denies this very question is one, too.
pub fn is_filtered() -> bool {
    // SAFETY: PR_GET_SECCOMP takes no argument and touches no memory.
    let mode = unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) };
    mode != 0 && !(mode < 0 && Errno::last() == Errno::EINVAL)
}
