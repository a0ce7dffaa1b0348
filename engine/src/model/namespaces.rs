//! Namespaces of its own: unshare(2), pivot_root(2).

use super::view::View;
use super::{EINVAL, EPERM, Model};
use crate::effect::{Capability, Done, Namespace, NamespaceSet, SystemError, Undo};
use std::path::Path;

/// A place is named from the root: from a directory outside of it, it would be another one.
pub(super) fn relative(what: &str, path: &Path) -> SystemError {
    SystemError::new(what).why(format!("{} is no absolute path", path.display()))
}

impl Model {
    /// What the step that begins finds mounted.
    pub(super) fn remember_view(&mut self, step: usize) {
        match self.files.view == View::default() {
            true => drop(self.views.remove(&step)),
            false => drop(self.views.insert(step, self.files.view.clone())),
        }
    }

    /// Does something with handles: they lead to where a file is kept, whatever is mounted over its path.
    pub(super) fn by_handle<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let view = self.files.view.clone();
        self.files.view = view.without_mounts();
        let done = act(self);
        self.files.view = view;
        done
    }

    /// The process that goes on is another one, which may be in another mount namespace.
    pub(super) fn goes_on_in(&mut self, view: View) {
        let left = std::mem::replace(&mut self.files.view, view);
        self.left.get_or_insert(left);
    }

    /// What is mounted in the namespace that the daemon was in to the end.
    pub(super) fn own_view(&self) -> &View {
        self.left.as_ref().unwrap_or(&self.files.view)
    }

    /// The root is where something is mounted: mount(2) and pivot_root(2) ask for that.
    pub(super) fn root_is_a_mount(&self, what: &str) -> Result<(), SystemError> {
        let root = &self.identity.root;
        if root == Path::new("/") || self.files.view.is_mount(root) || self.files.limits.is_mount(root) {
            return Ok(());
        }
        Err(SystemError::errno(EINVAL, what)
            .why(format!(
                "nothing is mounted on the root directory {}, which chroot(2) has set",
                root.display()
            ))
            .help("put it before the phase that changes the root"))
    }

    pub(super) fn unshare(&mut self, namespaces: NamespaceSet) -> Result<Done, SystemError> {
        let what = format!("unshare {namespaces}");
        if !self.has(Capability::SysAdmin) {
            return Err(self.denied(Capability::SysAdmin, what));
        }
        if namespaces.has(Namespace::Network) && !self.has(Capability::NetAdmin) {
            return Err(self.denied(Capability::NetAdmin, what));
        }
        if namespaces.has(Namespace::Mount) {
            self.root_is_a_mount(&what)?;
        }
        if namespaces.has(Namespace::Network) {
            self.network.renew();
        }
        self.identity.namespaces = self.identity.namespaces.or(namespaces);
        if namespaces.has(Namespace::Mount) {
            self.may_change_mounts(&what)?;
            self.files.view.make_own();
        }
        Ok(Done::with(Undo::EndsWithProcess))
    }

    /// Mounts of the machine are nobody's to change.
    pub(super) fn own_mounts(&self, what: &str) -> Result<(), SystemError> {
        if !self.files.view.is_own() {
            return Err(SystemError::new(format!("{what}: this would change the mounts of the machine"))
                .help("make a mount namespace first"));
        }
        if !self.has(Capability::SysAdmin) {
            return Err(self.denied(Capability::SysAdmin, what));
        }
        Ok(())
    }

    /// Whoever is restricted to some files cannot be let change what is where (landlock(7)).
    pub(super) fn may_change_mounts(&self, what: &str) -> Result<(), SystemError> {
        match self.identity.landlock.0.iter().any(|domain| domain.files.is_some()) {
            false => Ok(()),
            true => Err(SystemError::errno(EPERM, what)
                .why("Landlock restricts the files of this process, and whoever is restricted may mount nothing")
                .help("put it before the phase that restricts this process")),
        }
    }

    pub(super) fn pivot_root(&mut self, path: &Path) -> Result<Done, SystemError> {
        let what = format!("pivot_root {}", path.display());
        self.own_mounts(&what)?;
        if !path.is_absolute() {
            return Err(relative(&what, path));
        }
        self.root_is_a_mount(&what)?;
        let at = self.files.root(&self.identity, path).map_err(|e| e.of(&what))?;
        self.may_change_mounts(&what)?;
        let tree = self.files.view.tree(&at, false);
        if self.identity.root == self.files.top() {
            self.files.view.put(&at, tree);
            self.files.view.pivot(&at);
            self.identity.root = at;
        } else {
            // In a root that chroot(2) has set, it takes the place of what was mounted there.
            let root = self.identity.root.clone();
            self.files.view.put(&root, tree);
        }
        self.identity.cwd = "/".into();
        Ok(Done::with(Undo::EndsWithProcess))
    }
}
