//! Namespaces and mounts of its own. Nothing here changes a mount of the machine: without a mount namespace
//! of its own it is refused.

use super::Host;
use crate::sys::{failed, identity, mounts};
use engine::effect::{Capability, Cover, Done, Mounting, Namespace, NamespaceSet, SystemError, Undo};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, mkdirat, umask};
use nix::unistd::chdir;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

fn is_directory(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(fstat(fd)?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn said(mounting: &Mounting) -> String {
    format!("mount {mounting}")
}

/// The error of a call that only a newer kernel has.
fn of_mount(error: Errno, mounting: &Mounting) -> SystemError {
    let said = failed(error, said(mounting));
    match error {
        Errno::ENOSYS => said
            .why("this kernel has no mount_setattr(2) and open_tree(2), or a system call filter hides them")
            .help("it needs Linux 5.12; leave the phase away on an older one"),
        _ => said,
    }
}

fn lacking(capability: Capability, what: &str) -> Result<(), SystemError> {
    match identity::capabilities() {
        Ok(held) if held.has(capability) => Ok(()),
        _ => Err(failed(Errno::EPERM, what).lacks(capability)),
    }
}

fn relative(what: &str, path: &Path) -> SystemError {
    SystemError::new(what).why(format!("{} is no absolute path", path.display()))
}

fn root_is_a_mount(what: &str) -> Result<(), SystemError> {
    if mounts::root_is_a_mount() {
        return Ok(());
    }
    Err(failed(Errno::EINVAL, what)
        .why("nothing is mounted on the root directory, which chroot(2) has set")
        .help("put it before the phase that changes the root"))
}

/// The working directory again, by its name, or the root where it is out of sight.
fn enter_again(cwd: &Path) {
    if !cwd.is_absolute() && cwd != Path::new("(deleted)") {
        return;
    }
    let _ = chdir(cwd).or_else(|_| chdir("/"));
}

impl Host {
    pub(super) fn unshare(&mut self, namespaces: NamespaceSet) -> Result<Done, SystemError> {
        let what = format!("unshare {namespaces}");
        lacking(Capability::SysAdmin, &what)?;
        if namespaces.has(Namespace::Network) {
            lacking(Capability::NetAdmin, &what)?;
        }
        if namespaces.has(Namespace::Mount) {
            root_is_a_mount(&what)?;
        }
        let before: Vec<_> = namespaces.iter().map(|n| (n, mounts::own(n))).collect();
        mounts::unshare(namespaces).map_err(|e| {
            let error = failed(e, &what);
            match e {
                Errno::ENOSPC => error
                    .why("there are as many namespaces as /proc/sys/user/max_*_namespaces allows")
                    .help("raise that limit"),
                _ => error,
            }
        })?;
        self.namespaces = self.namespaces.or(namespaces);
        self.identity = None;
        mounts::settle(namespaces).map_err(|e| failed(e, &what))?;
        self.own_mounts |= namespaces.has(Namespace::Mount);
        for (namespace, before) in before {
            if before.is_some() && mounts::own(namespace) == before {
                return Err(SystemError::new(format!("{what}: it did not take")).why(format!(
                    "the kernel accepted it, and the {namespace} namespace is the same as before"
                )));
            }
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    fn may_mount(&self, what: &str) -> Result<(), SystemError> {
        if !self.own_mounts {
            return Err(SystemError::new(format!("{what}: this would change the mounts of the machine"))
                .help("make a mount namespace first"));
        }
        lacking(Capability::SysAdmin, what)
    }

    pub(super) fn mount(&mut self, wanted: &[Mounting]) -> Result<Done, SystemError> {
        self.may_mount("mount")?;
        let cwd = identity::cwd();
        let done = mount_all(wanted);
        enter_again(&cwd);
        let skipped = done?;
        let done = Done::with(Undo::EndsWithProcess);
        Ok(skipped.into_iter().fold(done, |done, at| done.note(format!("{} is not there", at.display()))))
    }

    pub(super) fn pivot_root(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("pivot_root {}", path.display());
        self.may_mount(&what)?;
        if !path.is_absolute() {
            return Err(relative(&what, path));
        }
        root_is_a_mount(&what)?;
        let at = |e: Errno| failed(e, &what);
        // In a root that chroot(2) has set, it takes the place of what was mounted there.
        let root = if self.root == self.top { self.root_named(path) } else { self.root.clone() };
        // Whoever cannot enter it is told before anything is changed; no link of a stranger's leads to it.
        let place = crate::sys::walk::directory(path).map_err(|refused| refused.about(&what))?;
        nix::unistd::faccessat(&place, ".", nix::unistd::AccessFlags::X_OK, nix::fcntl::AtFlags::AT_EACCESS)
            .map_err(at)?;
        let tree = mounts::copy_of(&place).map_err(at)?;
        mounts::put(&tree, place.as_fd()).map_err(at)?;
        mounts::enter(&tree).map_err(at)?;
        self.root_inode = identity::root_inode().map_err(|e| failed(e, "look at the new root directory"))?;
        if self.root == self.top {
            self.top.clone_from(&root);
        }
        self.root = root;
        Ok(Done::with(Undo::EndsWithProcess))
    }
}

/// All of it; answers what was passed over.
fn mount_all(wanted: &[Mounting]) -> Result<Vec<PathBuf>, SystemError> {
    if let Some((mounting, path)) = wanted.iter().find_map(|m| Some((m, m.relative()?))) {
        return Err(relative(&said(mounting), path));
    }
    let mut trees: Vec<Option<OwnedFd>> = Vec::new();
    for mounting in wanted {
        trees.push(match mounting.source().map(mounts::copy) {
            None => None,
            Some(Ok(tree)) => {
                if mounting.read_only() {
                    mounts::make_read_only(&tree).map_err(|e| of_mount(e, mounting))?;
                }
                Some(tree)
            }
            Some(Err(Errno::ENOENT)) if mounting.optional => None,
            Some(Err(error)) => return Err(of_mount(error, mounting)),
        });
    }
    let mut skipped = Vec::new();
    let mut mounted: Vec<(usize, Option<OwnedFd>)> = Vec::new();
    for (n, (mounting, tree)) in wanted.iter().zip(trees).enumerate() {
        let absent = mounting.source().is_some() && tree.is_none();
        let inside =
            mounting.made_in(mounted.iter().map(|(n, _)| (*n, &wanted[*n]))).and_then(|(n, rest)| {
                let (_, top) = mounted.iter().find(|(number, _)| *number == n)?;
                Some((top.as_ref()?.as_fd(), rest))
            });
        let put = if absent { Put::Skipped } else { put(mounting, tree, inside)? };
        match put {
            Put::There(tree) => mounted.push((n, tree.filter(|_| mounting.is_fresh()))),
            Put::Skipped => skipped.push(mounting.source().unwrap_or(&mounting.at).to_owned()),
        }
    }
    Ok(skipped)
}

/// What became of one mount.
enum Put {
    /// it is there; the top of it, where it is no link
    There(Option<OwnedFd>),
    /// it was passed over
    Skipped,
}

/// `inside`: a file system that was just made, and the way to the place in it.
fn put(
    mounting: &Mounting,
    tree: Option<OwnedFd>,
    inside: Option<(BorrowedFd, PathBuf)>,
) -> Result<Put, SystemError> {
    let refused = |e: Errno| of_mount(e, mounting);
    if let Cover::Link { to } = &mounting.cover {
        let Some((top, rest)) = inside else {
            let why = "a link is made only in a place that was made temporary";
            return Err(SystemError::new(said(mounting)).why(why));
        };
        nix::unistd::symlinkat(to.as_path(), top, &rest).map_err(refused)?;
        return Ok(Put::There(None));
    }
    let at = match mounts::place(&mounting.at) {
        Ok(at) => at,
        Err(Errno::ENOENT) => match (&tree, inside) {
            (Some(tree), Some((top, rest))) => {
                let directory = is_directory(tree).map_err(refused)?;
                make_place(top, &rest, directory).map_err(refused)?
            }
            _ if mounting.optional => return Ok(Put::Skipped),
            _ => return Err(refused(Errno::ENOENT)),
        },
        Err(error) => return Err(refused(error)),
    };
    let directory = is_directory(&at).map_err(refused)?;
    let root = mounts::place(Path::new("/")).map_err(refused)?;
    let is_root = mounts::same_place(at.as_fd(), root.as_fd());
    if is_root && !matches!(mounting.cover, Cover::ReadOnly | Cover::ReadWrite) {
        return Err(refused(Errno::EBUSY).why("this is the root directory itself"));
    }
    if is_root {
        root_is_a_mount(&said(mounting))?;
    }
    let tree = match (tree, &mounting.cover) {
        (Some(tree), _) => {
            if is_directory(&tree).map_err(refused)? != directory {
                return Err(refused(Errno::ENOTDIR)
                    .why("one of the two is a directory, and the other is none")
                    .help("mount a directory on a directory, and a file on a file"));
            }
            tree
        }
        (None, Cover::Temporary { .. }) if !directory => {
            return Err(refused(Errno::ENOTDIR).why(format!("{} is no directory", mounting.at.display())));
        }
        (None, Cover::Temporary { mode, size }) => mounts::memory(*mode, *size, false).map_err(refused)?,
        (None, _) if directory => mounts::memory(0, Some(4096), true).map_err(refused)?,
        (None, _) => mounts::closed_file().map_err(refused)?,
    };
    mounts::put(&tree, at.as_fd()).map_err(refused)?;
    if is_root {
        mounts::enter(&tree).map_err(refused)?;
    }
    Ok(Put::There(Some(tree)))
}

/// A place in a file system that was just made, with the directories on the way: no link leads out of it.
fn make_place(top: BorrowedFd, rest: &Path, directory: bool) -> Result<OwnedFd, Errno> {
    let mask = umask(Mode::empty());
    let made = make_names(top, rest, directory);
    umask(mask);
    made
}

fn make_names(top: BorrowedFd, rest: &Path, directory: bool) -> Result<OwnedFd, Errno> {
    let public = Mode::from_bits_truncate(0o755);
    let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut dir = openat(top, ".", look, Mode::empty())?;
    let above = rest.parent().unwrap_or(Path::new(""));
    for name in above {
        match mkdirat(&dir, name, public) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
        dir = openat(&dir, name, look | OFlag::O_DIRECTORY, Mode::empty())?;
    }
    let name = rest.file_name().ok_or(Errno::EINVAL)?;
    if directory {
        mkdirat(&dir, name, public)?;
    } else {
        let new = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        drop(openat(&dir, name, new, Mode::from_bits_truncate(0o444))?);
    }
    openat(&dir, name, look, Mode::empty())
}
