//! Namespaces and mounts of its own. Nothing here changes a mount of the machine: without a mount namespace
//! of its own it is refused.

use super::Host;
use crate::sys::{failed, identity, mounts};
use engine::effect::{Capability, Cover, Done, Mounting, Namespace, NamespaceSet, SystemError, Undo};
use nix::errno::Errno;
use nix::sys::stat::{Mode, fstat, umask};
use nix::unistd::chdir;
use std::os::fd::{AsFd, OwnedFd};
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
        root_is_a_mount(&what)?;
        let at = |e: Errno| failed(e, &what);
        let root = self.root_named(path);
        // Whoever cannot enter it is told before anything is changed; no link of a stranger's leads to it.
        let place = crate::sys::walk::directory(path).map_err(|refused| refused.about(&what))?;
        nix::unistd::faccessat(&place, ".", nix::unistd::AccessFlags::X_OK, nix::fcntl::AtFlags::AT_EACCESS)
            .map_err(at)?;
        let tree = mounts::copy_of(&place).map_err(at)?;
        mounts::put(&tree, place.as_fd()).map_err(at)?;
        mounts::enter(&tree).map_err(at)?;
        self.root_inode = identity::root_inode().map_err(|e| failed(e, "look at the new root directory"))?;
        self.root = root;
        Ok(Done::with(Undo::EndsWithProcess))
    }
}

/// All of it; answers what was passed over.
fn mount_all(wanted: &[Mounting]) -> Result<Vec<PathBuf>, SystemError> {
    let mut skipped = Vec::new();
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
    for (n, (mounting, tree)) in wanted.iter().zip(trees).enumerate() {
        let absent = mounting.source().is_some() && tree.is_none();
        if absent || !put(mounting, tree, &wanted[..n])? {
            skipped.push(mounting.source().unwrap_or(&mounting.at).to_owned());
        }
    }
    Ok(skipped)
}

/// False where it is passed over.
fn put(mounting: &Mounting, tree: Option<OwnedFd>, before: &[Mounting]) -> Result<bool, SystemError> {
    let refused = |e: Errno| of_mount(e, mounting);
    let fresh = before.iter().any(|b| b.is_fresh() && mounting.at.starts_with(&b.at));
    if let Cover::Link { to } = &mounting.cover {
        if !fresh {
            let why = "a link is made only in a place that was made temporary";
            return Err(SystemError::new(said(mounting)).why(why));
        }
        nix::unistd::symlinkat(to.as_path(), nix::fcntl::AT_FDCWD, &mounting.at).map_err(refused)?;
        return Ok(true);
    }
    let at = match mounts::place(&mounting.at) {
        Ok(at) => at,
        Err(Errno::ENOENT) => match (&tree, fresh) {
            (Some(tree), true) => {
                let directory = is_directory(tree).map_err(refused)?;
                make_place(&mounting.at, directory).map_err(refused)?
            }
            _ if mounting.optional => return Ok(false),
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
    Ok(true)
}

/// A place in a file system that was just made, with the directories on the way.
fn make_place(path: &Path, directory: bool) -> Result<OwnedFd, Errno> {
    let mask = umask(Mode::empty());
    let made = make_names(path, directory);
    umask(mask);
    made?;
    mounts::place(path)
}

fn make_names(path: &Path, directory: bool) -> Result<(), Errno> {
    let mut missing: Vec<&Path> = Vec::new();
    for dir in path.ancestors().skip(1) {
        match mounts::place(dir) {
            Ok(_) => break,
            Err(Errno::ENOENT) => missing.push(dir),
            Err(error) => return Err(error),
        }
    }
    let public = Mode::from_bits_truncate(0o755);
    for dir in missing.iter().rev() {
        nix::unistd::mkdir(*dir, public)?;
    }
    if directory {
        return nix::unistd::mkdir(path, public);
    }
    let new = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_EXCL | nix::fcntl::OFlag::O_CLOEXEC;
    nix::fcntl::open(path, new, Mode::from_bits_truncate(0o444)).map(drop)
}
