//! Where the daemon stands: a directory it cannot enter, a path that the new root does not have.

use super::{Judge, changes_root};
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Effect, Identity, Socket};
use crate::model::{Access, Node};
use crate::plan::Step;
use crate::timeline::Failure;
use std::path::{Path, PathBuf};

const ENOENT: i32 = 2;

impl Judge<'_> {
    /// Whoever serves may not search its own working directory, which root has chosen.
    pub(super) fn closed_working_directory(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let files = self.files_served();
        let at = files.join(&server.root, &server.cwd);
        if files.get(&at).is_none() {
            return Vec::new();
        }
        let Err(refusal) = files.may(server, &at, Access::Execute) else { return Vec::new() };
        let why = refusal.of("").why.unwrap_or_default();
        let chdir = self.effects().filter(|(_, _, e)| matches!(e, Effect::Chdir { .. })).last();
        let drop = self.drop_before(self.plan.steps().len());
        let Some(step) = chdir.map(|(_, s, _)| s).or(drop) else { return Vec::new() };
        let mut finding = Diagnostic::warning(
            "RSD0409",
            format!("the daemon will not be allowed to use its working directory {}", server.cwd.display()),
        )
        .phase(&step.phase);
        finding = match (chdir, drop) {
            (Some((c, chdir, _)), Some(drop)) => finding
                .at(
                    chdir.at,
                    format!("entered here as {}", self.before(c).map(|id| self.who(id)).unwrap_or_default()),
                )
                .with(drop.at, format!("kept from here on by {}", self.who(server)))
                .phase(&drop.phase),
            (Some((_, chdir, _)), None) => finding.at(chdir.at, "entered here"),
            (None, _) => finding.at(
                step.at,
                "the directory the start was made from is kept, and privileges are dropped here",
            ),
        };
        vec![
            finding
                .note(why)
                .note("no call of the start fails; every relative path the application opens later answers EACCES")
                .help(match chdir {
                    Some(_) => format!("name a directory that uid {} may enter, or let it enter this one", server.uid[1]),
                    None => "change to a directory that the user may enter, `/` for one, or start it from there".to_owned(),
                }),
        ]
    }

    /// A step failed for a path that is outside the new root and not inside.
    pub(super) fn left_outside(&self, i: usize, step: &Step, failure: &Failure) -> Option<Diagnostic> {
        if failure.errno != Some(ENOENT) {
            return None;
        }
        let who = self.before(i)?;
        let files = self.files_at(i);
        let outer = Identity { root: PathBuf::from("/"), ..who.clone() };
        let wanted = step.effects.iter().flat_map(|effect| self.wanted(effect));
        let (path, root) =
            wanted.map(|(path, root)| (path, root.unwrap_or(who.root.clone()))).find(|(path, root)| {
                let inner = Identity { root: root.clone(), ..who.clone() };
                root != Path::new("/")
                    && files.resolve(&inner, path).is_err()
                    && files.resolve(&outer, path).is_ok()
            })?;
        let mut finding = Diagnostic::error(
            "RSD0410",
            format!(
                "`{}` needs {}, which is not inside the new root {}",
                step.phase,
                path.display(),
                root.display()
            ),
        );
        let inside = root.join(path.strip_prefix("/").unwrap_or(&path));
        let chroot = self.effects().filter(|(_, _, e)| changes_root(e)).last();
        if let Some((c, chroot, _)) = chroot {
            let label = if c < i { "from here on" } else { "once this is done," };
            finding =
                finding.with(chroot.at, format!("{label} `/` is {}", root.display())).phase(&chroot.phase);
        }
        let directory =
            files.resolve(&outer, &path).ok().and_then(|at| files.get(&at)).is_some_and(Node::is_dir);
        let make = match directory {
            true => format!("make it: install -d {}", inside.display()),
            false => format!("put it, and all that it loads, into {}", root.display()),
        };
        let finding = finding
            .note(format!("{} is there, and {} is not", path.display(), inside.display()))
            .help(format!("{make}; or name a path that is there"));
        Some(match chroot {
            Some((c, chroot, _)) if c < i && self.plan.sooner(&step.phase, &chroot.phase).is_some() => {
                finding.sooner(&step.phase, &chroot.phase)
            }
            _ => finding,
        })
    }

    /// The paths that must be there for an effect to work, and the root in which they are looked for where that is
    /// not the present one.
    pub(super) fn wanted(&self, effect: &Effect) -> Vec<(PathBuf, Option<PathBuf>)> {
        let here = |path: &Path| vec![(path.to_owned(), None)];
        match effect {
            Effect::OpenLog { path, .. }
            | Effect::CreatePidFile { path, .. }
            | Effect::Bind { socket: Socket::Unix(path), .. } => path.parent().map(here).unwrap_or_default(),
            Effect::Chdir { path } => here(path),
            Effect::Application(Application::Load(program)) => match program.command.first() {
                Some(word) => vec![(PathBuf::from(word), program.root.clone())],
                None => {
                    let python = self.snapshot.python(program.twisted.interpreter.as_deref());
                    let python = python.and_then(|p| p.as_ref().ok()).map(|p| &p.executable);
                    program.tac.iter().chain(python).map(|p| (p.clone(), None)).collect()
                }
            },
            Effect::Application(Application::Start(_)) => {
                self.snapshot.programs.values().flatten().map(|p| (p.clone(), None)).collect()
            }
            _ => Vec::new(),
        }
    }
}
