//! Who this process is, by system calls: after a chroot there is no /proc.

use engine::effect::{Capability, CapabilitySet, Identity, NamespaceSet, Standing};
use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getresgid, getresuid};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// All of it. The kernel tells no name of the root: it is `root` as long as the root is the directory `at`,
/// which its setter has looked up. `bounding` is what [`bounding`] has said since code of others ran.
pub fn read(root: &Path, at: Inode, bounding: CapabilitySet) -> Result<Identity, Errno> {
    let uid = getresuid()?;
    let gid = getresgid()?;
    // Not nix's: that asks sysconf(3) first, which reads a file below /proc each time.
    let groups = rustix::process::getgroups().map_err(|e| Errno::from_raw(e.raw_os_error()))?;
    let mut groups: Vec<u32> = groups.into_iter().map(|g| g.as_raw()).collect();
    groups.sort_unstable();
    let caps = rustix::thread::capabilities(None).map_err(|e| Errno::from_raw(e.raw_os_error()))?;
    let inheritable = CapabilitySet(caps.inheritable.bits());
    Ok(Identity {
        uid: [uid.real.as_raw(), uid.effective.as_raw(), uid.saved.as_raw()],
        gid: [gid.real.as_raw(), gid.effective.as_raw(), gid.saved.as_raw()],
        groups,
        caps: CapabilitySet(caps.effective.bits()),
        permitted: CapabilitySet(caps.permitted.bits()),
        inheritable,
        // Ambient is never more than permitted and inheritable together (capabilities(7)).
        ambient: if inheritable.is_empty() { CapabilitySet::EMPTY } else { ambient() },
        bounding,
        root: if root_inode()? == at { root.to_owned() } else { PathBuf::from("(another directory)") },
        cwd: cwd(),
        umask: current_umask(),
        no_new_privs: super::settings::no_new_privs(),
        securebits: super::settings::securebits(),
        // Who has left some for new ones knows it.
        namespaces: NamespaceSet::EMPTY,
        seccomp: super::confine::is_filtered(),
        landlock: Default::default(),
    })
}

/// Which directory: device and inode.
pub type Inode = (u64, u64);

/// The root directory of this process.
pub fn root_inode() -> Result<Inode, Errno> {
    let stat = nix::sys::stat::stat("/")?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Which process this is.
pub fn standing() -> Result<Standing, Errno> {
    Ok(Standing {
        // Not the number that is kept: code of others may have forked.
        pid: std::process::id(),
        sid: nix::unistd::getsid(None)?.as_raw() as u32,
    })
}

/// The effective capabilities of this thread.
pub fn capabilities() -> Result<CapabilitySet, Errno> {
    let caps = rustix::thread::capabilities(None).map_err(|e| Errno::from_raw(e.raw_os_error()))?;
    Ok(CapabilitySet(caps.effective.bits()))
}

/// The working directory as getcwd(2) has it: "(unreachable)/…" where the root does not reach it.
pub fn cwd() -> PathBuf {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) => PathBuf::from(OsString::from_vec(path.into_bytes())),
        Err(_) => PathBuf::from("(deleted)"),
    }
}

/// The umask: it can only be read by setting it.
pub fn current_umask() -> u32 {
    let mask = umask(Mode::from_bits_truncate(0o077));
    umask(mask);
    mask.bits()
}

/// The bounding set of this process.
pub fn bounding() -> CapabilitySet {
    set_of(|c| rustix::thread::capability_is_in_bounding_set(c).unwrap_or(false))
}

fn ambient() -> CapabilitySet {
    set_of(|c| rustix::thread::capability_is_in_ambient_set(c).unwrap_or(false))
}

fn set_of(holds: impl Fn(rustix::thread::CapabilitySet) -> bool) -> CapabilitySet {
    let bit = |c: &Capability| 1u64 << *c as u8;
    CapabilitySet(
        Capability::ALL
            .iter()
            .filter(|c| holds(rustix::thread::CapabilitySet::from_bits_retain(bit(c))))
            .fold(0, |bits, c| bits | bit(c)),
    )
}
