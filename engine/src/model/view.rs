//! What is mounted where in a mount namespace of its own: mount_namespaces(7).
//!
//! A path as it is seen leads to a file that is kept somewhere: where nothing of its own is mounted both are
//! the same. Handles know where a file is kept, and are not led elsewhere by what is mounted later.

use super::files::Files;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The mounts of a namespace that the machine has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// by the place, as it is seen
    mounts: BTreeMap<PathBuf, Private>,
    /// what something is mounted on, where it is kept, and where that is kept which is seen there: no such name
    /// can be removed
    covered: BTreeMap<PathBuf, PathBuf>,
    /// the root of the namespace, where it is another than at the start, and where that is kept
    top: Option<(PathBuf, PathBuf)>,
    /// nothing that is mounted here reaches the machine
    own: bool,
}

/// A mount of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Private {
    /// where that is kept which is seen there
    pub(super) kept: PathBuf,
    /// nothing of it can be written
    pub(super) read_only: bool,
    /// nothing of it can be executed
    pub(super) noexec: bool,
}

/// A mount with those below it, each by its place below the first one.
pub(super) type Tree = Vec<(PathBuf, Private)>;

impl View {
    fn mount(&self, at: &Path) -> Option<(&Path, &Private)> {
        if self.mounts.is_empty() {
            return None;
        }
        at.ancestors().find_map(|dir| self.mounts.get_key_value(dir)).map(|(p, m)| (p.as_path(), m))
    }

    /// Where a file is kept.
    pub(super) fn kept<'a>(&self, at: &'a Path) -> Cow<'a, Path> {
        match self.mount(at) {
            None => Cow::Borrowed(at),
            Some((place, private)) => Cow::Owned(below(&private.kept, at.strip_prefix(place).unwrap_or(at))),
        }
    }

    /// Where the name is kept: of what is mounted on, where a mount is.
    pub(super) fn name(&self, at: &Path) -> PathBuf {
        match (at.parent(), at.file_name()) {
            (Some(dir), Some(name)) => self.kept(dir).join(name),
            _ => self.kept(at).into_owned(),
        }
    }

    /// Whether a mount of the machine's is in this namespace.
    pub(super) fn has(&self, kept: &Path) -> bool {
        self.top.as_ref().is_none_or(|(_, top)| kept != top && kept.starts_with(top))
    }

    /// The place on the way there that was made read-only.
    pub(super) fn read_only(&self, at: &Path) -> Option<&Path> {
        self.mount(at).filter(|(_, m)| m.read_only).map(|(place, _)| place)
    }

    pub(super) fn noexec(&self, at: &Path) -> Option<&Path> {
        self.mount(at).filter(|(_, m)| m.noexec).map(|(place, _)| place)
    }

    /// The same for whoever follows no path: only what is mounted on stays known.
    pub(super) fn without_mounts(&self) -> View {
        View { mounts: BTreeMap::new(), ..self.clone() }
    }

    pub(super) fn is_mount(&self, at: &Path) -> bool {
        self.mounts.contains_key(at)
    }

    /// What is mounted on a name: where that is kept.
    pub(super) fn covers(&self, kept: &Path) -> Option<&Path> {
        self.covered.get(kept).map(PathBuf::as_path)
    }

    /// What is seen at a place, with what is mounted below it: a copy, to be put elsewhere.
    pub(super) fn tree(&self, at: &Path, read_only: bool) -> Tree {
        let (sealed, noexec) = self.mount(at).map_or((false, false), |(_, m)| (m.read_only, m.noexec));
        let top = Private { kept: self.kept(at).into_owned(), read_only: sealed || read_only, noexec };
        let below = self.mounts.iter().filter_map(|(place, private)| {
            let rest = place.strip_prefix(at).ok().filter(|rest| !rest.as_os_str().is_empty())?;
            let read_only = private.read_only || read_only;
            Some((rest.to_owned(), Private { read_only, ..private.clone() }))
        });
        std::iter::once((PathBuf::new(), top)).chain(below).collect()
    }

    /// Mounts at a resolved place; what was mounted below it is out of sight.
    pub(super) fn put(&mut self, at: &Path, tree: Tree) {
        let name = self.name(at);
        self.mounts.retain(|place, _| !place.starts_with(at));
        self.mounts.extend(tree.into_iter().map(|(rest, private)| (below(at, &rest), private)));
        self.covered.insert(name, self.kept(at).into_owned());
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    pub(super) fn make_own(&mut self) {
        self.own = true;
    }

    /// What is mounted there is the root of the namespace from then on.
    pub(super) fn pivot(&mut self, at: &Path) {
        self.mounts.retain(|place, _| place.starts_with(at));
        let top = self.kept(at).into_owned();
        let inside = |name: &PathBuf, _: &mut PathBuf| {
            *name != top && self.mounts.values().any(|m| name.starts_with(&m.kept))
        };
        self.covered.retain(inside);
        self.top = Some((at.to_owned(), top));
    }

    /// A place to keep what a new file system in memory at this place will hold.
    pub(super) fn fresh(&self, at: &Path, files: &Files) -> PathBuf {
        let name = |n: usize| match n {
            1 => PathBuf::from(format!("(a new {})", at.display())),
            n => PathBuf::from(format!("(a new {}, {n})", at.display())),
        };
        let mut n = 1;
        while files.get_kept(&name(n)).is_some() {
            n += 1;
        }
        name(n)
    }
}

/// A path below another; the other one where there is nothing to add.
fn below(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
}

impl Files {
    /// With other mounts of its own.
    pub(super) fn seen_with(&self, view: Option<&View>) -> Cow<'_, Files> {
        match view {
            None if self.view == View::default() => Cow::Borrowed(self),
            Some(view) if *view == self.view => Cow::Borrowed(self),
            view => {
                let mut files = self.clone();
                files.view = view.cloned().unwrap_or_default();
                Cow::Owned(files)
            }
        }
    }

    /// Where a file is kept: its path from outside, or below none where it is in a file system of its own.
    pub fn kept<'a>(&self, at: &'a Path) -> Cow<'a, Path> {
        self.view.kept(at)
    }

    /// Whether it is in a file system of its own, in which nobody else can make anything.
    pub fn is_private(&self, at: &Path) -> bool {
        !self.kept(at).is_absolute()
    }

    /// The place of its own that makes what is there read-only.
    pub fn made_read_only(&self, at: &Path) -> Option<&Path> {
        self.view.read_only(at)
    }

    /// As they were before anything was mounted.
    pub fn uncovered(&self) -> Cow<'_, Files> {
        self.seen_with(None)
    }

    /// What is kept somewhere, by the path under which the process that goes on finds it.
    pub fn seen_of<N: Clone>(&self, kept: &BTreeMap<PathBuf, N>) -> BTreeMap<PathBuf, N> {
        let mut seen = kept.clone();
        seen.retain(|at, _| at.is_absolute());
        for (place, private) in &self.view.mounts {
            seen.retain(|at, _| !at.starts_with(place));
            let inside = kept
                .iter()
                .filter_map(|(at, node)| Some((at.strip_prefix(&private.kept).ok()?, node.clone())));
            seen.extend(inside.map(|(rest, node)| (below(place, rest), node)));
        }
        seen
    }

    /// The root of its mount namespace, by the name that it had outside.
    pub fn top(&self) -> &Path {
        self.view.top.as_ref().map_or(Path::new("/"), |(seen, _)| seen)
    }
}
