//! Filters of system calls: made as BPF, and put on.

use engine::effect::calls::{Architecture, numbered};
use engine::effect::{Otherwise, SystemCalls};
use nix::errno::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};

/// The architecture that this build has numbers of system calls for.
const HERE: Option<(Architecture, TargetArch)> =
    if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some((Architecture::X86_64, TargetArch::x86_64))
    } else if cfg!(target_arch = "aarch64") {
        Some((Architecture::Aarch64, TargetArch::aarch64))
    } else {
        None
    };

/// A filter as the kernel takes it.
#[derive(Clone, Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// The program of a filter: a word why there is none.
    pub fn of(calls: &SystemCalls) -> Result<Filter, String> {
        let Some((architecture, target)) = HERE else {
            return Err(format!("this build has no numbers of system calls of {}", std::env::consts::ARCH));
        };
        let allowed = calls.numbers(architecture);
        let known: Vec<u32> = numbered(architecture).map(|(_, number)| number).collect();
        let otherwise = match calls.otherwise {
            Otherwise::Fail => SeccompAction::Errno(Errno::EPERM as u32),
            Otherwise::Kill => SeccompAction::KillProcess,
            Otherwise::Log => SeccompAction::Log,
        };
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
        let made = made.map_err(|e| e.to_string())?;
        let highest = known.iter().copied().max().unwrap_or(0);
        let mut program = beyond(highest, calls.otherwise).to_vec();
        program.extend(made);
        Ok(Filter(program))
    }

    /// Puts it on this process, every thread of it. Nothing takes it off again.
    ///
    /// EACCES where neither no_new_privs is set nor CAP_SYS_ADMIN there; ESRCH where a thread has filters of
    /// its own; EINVAL from a kernel without CONFIG_SECCOMP_FILTER.
    pub fn put_on(&self) -> Result<(), Errno> {
        const SET_MODE_FILTER: libc::c_uint = 1;
        const EVERY_THREAD: libc::c_ulong = 1;
        const ESRCH_FOR_A_THREAD: libc::c_ulong = 1 << 4;
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).map_err(|_| Errno::E2BIG)?,
            filter: self.0.as_ptr().cast_mut().cast(),
        };
        let flags = EVERY_THREAD | ESRCH_FOR_A_THREAD;
        // SAFETY: the kernel reads `len` instructions from a vector that outlives the call and writes nothing;
        // `sock_filter` is the kernel's structure.
        Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &program) }).map(drop)
    }
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
