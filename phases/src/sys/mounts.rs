//! Mounts and namespaces: unshare(2), open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2).

use engine::effect::{Namespace, NamespaceSet};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

fn nix(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// Leaves these namespaces for new ones.
pub fn unshare(namespaces: NamespaceSet) -> Result<(), Errno> {
    let flag = |n| match n {
        Namespace::Mount => libc::CLONE_NEWNS,
        Namespace::Network => libc::CLONE_NEWNET,
        Namespace::Ipc => libc::CLONE_NEWIPC,
        Namespace::Uts => libc::CLONE_NEWUTS,
        Namespace::Cgroup => libc::CLONE_NEWCGROUP,
    };
    let flags = namespaces.iter().fold(0, |all, n| all | flag(n));
    // SAFETY: plain flags; descriptors stay shared with nobody else's (no CLONE_FILES).
    Errno::result(unsafe { libc::unshare(flags) }).map(drop)
}

/// Settles in new namespaces: the mount namespace still gets new mounts of the machine and gives none to it;
/// in the network namespace the loopback device is up.
pub fn settle(namespaces: NamespaceSet) -> Result<(), Errno> {
    if namespaces.has(Namespace::Mount) {
        let below = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", below).map_err(nix)?;
    }
    if namespaces.has(Namespace::Network) {
        loopback_up()?;
    }
    Ok(())
}

/// Which namespace this process is in; `None` where there is no /proc to ask.
pub fn own(namespace: Namespace) -> Option<PathBuf> {
    std::fs::read_link(Path::new("/proc/thread-self/ns").join(namespace.file())).ok()
}

/// Brings the loopback device of this network namespace up, with its addresses.
fn loopback_up() -> Result<(), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: a structure of plain numbers; all zeros is one of its values.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one ifreq of ours.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) }).map(drop)
}

/// Whether something is mounted on the root directory, as a change of mounts asks for.
pub fn root_is_a_mount() -> bool {
    let found = statx(CWD, "/", AtFlags::empty(), StatxFlags::TYPE);
    // A kernel that does not tell (before Linux 5.8) says so by itself when it is asked for the change.
    found.is_ok_and(|s| {
        !s.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
            || s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}

/// Whether something is mounted on a name of that directory.
pub fn is_mount(dir: impl AsFd, name: &OsStr) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    statx(dir, name, flags, StatxFlags::TYPE)
        .is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// A file or directory, wherever links lead, as a place to mount on.
pub fn place(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

/// Whether both are the same place of the same mount.
pub fn same_place(a: BorrowedFd, b: BorrowedFd) -> bool {
    let look = |fd| {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        statx(fd, "", AtFlags::EMPTY_PATH, wanted)
            .ok()
            .map(|s| (s.stx_mnt_id, s.stx_ino, s.stx_dev_major, s.stx_dev_minor))
    };
    look(a).is_some_and(|a| look(b) == Some(a))
}

/// A copy of what is seen at a path, with all that is mounted below it, that is mounted nowhere yet.
pub fn copy(path: &Path) -> Result<OwnedFd, Errno> {
    copy_at(CWD, path)
}

/// The same of a directory that was opened.
pub fn copy_of(place: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(place, "", flags).map_err(nix)
}

fn copy_at(dir: BorrowedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(dir, path, flags).map_err(nix)
}

/// Nothing of it can be written from then on, nor of what is mounted below it.
pub fn make_read_only(tree: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: a structure of plain numbers; all zeros is one of its values.
    let mut wanted: libc::mount_attr = unsafe { std::mem::zeroed() };
    wanted.attr_set = libc::MOUNT_ATTR_RDONLY;
    // SAFETY: a constant string, and one structure of ours with its size.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(done).map(drop)
}

/// An empty file system in memory that is mounted nowhere yet. `closed`: nothing can be made or run in it.
pub fn memory(mode: u32, size: Option<u64>, closed: bool) -> Result<OwnedFd, Errno> {
    let new = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(nix)?;
    fsconfig_set_string(&new, "mode", format!("{mode:o}")).map_err(nix)?;
    if let Some(size) = size {
        fsconfig_set_string(&new, "size", size.to_string()).map_err(nix)?;
    }
    fsconfig_create(&new).map_err(nix)?;
    let plain = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let attributes = match closed {
        true => plain | MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_RDONLY,
        false => plain,
    };
    fsmount(&new, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(nix)
}

/// A file of mode 000 that cannot be written, mounted nowhere yet. Where the working directory cannot be
/// opened it is another one afterwards.
pub fn closed_file() -> Result<OwnedFd, Errno> {
    let cwd = place(Path::new("."));
    let home = memory(0o700, Some(4096), false)?;
    // Only of what is mounted somewhere can a part be mounted elsewhere (before Linux 6.15). Whoever follows a
    // path from the root does not meet what is mounted on it.
    put(&home, place(Path::new("/"))?.as_fd())?;
    let file = closed_file_in(&home);
    nix::unistd::fchdir(&home)?;
    unmount(".", UnmountFlags::DETACH).map_err(nix)?;
    if let Ok(cwd) = cwd {
        nix::unistd::fchdir(&cwd)?;
    }
    file
}

fn closed_file_in(home: &OwnedFd) -> Result<OwnedFd, Errno> {
    const NAME: &str = "inaccessible";
    let new = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    drop(nix::fcntl::openat(home, NAME, new, Mode::empty())?);
    let file = copy_at(home.as_fd(), Path::new(NAME))?;
    make_read_only(&file)?;
    Ok(file)
}

/// Mounts a copy, or a new file system, at a place.
pub fn put(tree: &OwnedFd, at: BorrowedFd) -> Result<(), Errno> {
    let by_descriptors = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", at, "", by_descriptors).map_err(nix)
}

/// A tree that is mounted becomes the root of the namespace, and the working directory; the old root is
/// gone from it.
pub fn enter(tree: &OwnedFd) -> Result<(), Errno> {
    nix::unistd::fchdir(tree)?;
    // "." on ".": the old root is stacked on the new one (pivot_root(2), notes).
    rustix::process::pivot_root(".", ".").map_err(nix)?;
    unmount(".", UnmountFlags::DETACH).map_err(nix)?;
    nix::unistd::chdir("/")
}
