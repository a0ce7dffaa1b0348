//! What is known of a hosted application before it runs: who reads it, and what it will need later.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Effect, Identity, Program};
use crate::model::Access;
use crate::plan::Step;
use crate::snapshot::Python;
use crate::spec::Privilege;
use std::path::{Path, PathBuf};

impl Judge<'_> {
    fn twisted(&self) -> impl Iterator<Item = (usize, &Step, &Program)> {
        self.effects().filter_map(|(i, step, effect)| match effect {
            Effect::Application(Application::Load(p)) if p.is_twisted() => Some((i, step, p)),
            _ => None,
        })
    }

    /// Code of the application that runs as root although the daemon will not.
    pub(super) fn code_read_as_root(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let mut found = Vec::new();
        for (i, step, program) in self.twisted() {
            let Some(reader) = self.before(i) else { continue };
            let meant = matches!(step.privilege, Privilege::Privileged | Privilege::Root);
            if reader.uid[1] != 0 || server.uid[1] == 0 {
                continue;
            }
            let theirs = self.code_of_the_server(reader, server, program);
            if meant && theirs.is_none() {
                continue;
            }
            let mut finding = Diagnostic::note_finding(
                "RSD0503",
                format!("`{}` runs code of the application as root", step.phase),
            )
            .at(step.at, "the application is read here")
            .phase(&step.phase)
            .note(format!(
                "all it does when it is read (imports, opening files) is done as uid 0, and what it opens belongs to root; it will serve as uid {}",
                server.uid[1]
            ));
            if !meant {
                finding = finding.help(format!(
                    "keep such work out of it; if it is meant, declare `privilege: privileged` on `{}`",
                    step.phase
                ));
            }
            if let Some(theirs) = theirs {
                finding = finding
                    .note(format!(
                        "uid {} may write {}: whoever takes the daemon over is root at the next start",
                        server.uid[1],
                        theirs.display()
                    ))
                    .help(format!("let {} belong to root, and to nobody else to write", theirs.display()));
            }
            if let Some(drop) = self.steps().find(|(d, s)| *d > i && s.drop).map(|(_, s)| s) {
                finding = finding.with(drop.at, "privileges are dropped only here").phase(&drop.phase);
            }
            found.push(finding);
        }
        found
    }

    /// A place that the code comes from, as far as it is known, and that the daemon's user may write: the
    /// application, the interpreter, what it imports from.
    fn code_of_the_server(&self, reader: &Identity, server: &Identity, program: &Program) -> Option<PathBuf> {
        let files = self.files_served();
        let python =
            self.snapshot.python(program.twisted.interpreter.as_deref()).and_then(|p| p.as_ref().ok());
        let (interpreter, libraries) =
            python.map_or((None, &[][..]), |p| (Some(&p.executable), p.libraries.as_slice()));
        let with_directory =
            program.tac.iter().chain(interpreter).filter_map(|p| files.resolve(reader, p).ok());
        with_directory
            .flat_map(|at| [at.clone(), at.parent().unwrap_or(Path::new("/")).to_owned()])
            .chain(libraries.iter().filter_map(|p| files.resolve(reader, p).ok()))
            .find(|p| files.may(server, p, Access::Write).is_ok())
    }

    /// The interpreter's own files, out of reach for whoever serves: what it imports then fails.
    pub(super) fn library_out_of_reach(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let mut found = Vec::new();
        for (i, step, program) in self.twisted() {
            let (Some(reader), Some(Ok(python))) =
                (self.before(i), self.snapshot.python(program.twisted.interpreter.as_deref()))
            else {
                continue;
            };
            let files = self.files_served();
            let refused = python.libraries.iter().find_map(|lib| {
                let at = files.directory(server, lib);
                at.and_then(|at| files.may(server, &at, Access::Read)).err().map(|refusal| (lib, refusal))
            });
            let Some((lib, refusal)) = refused else { continue };
            let why = refusal.of("import");
            let finding = if reader.root != server.root {
                self.not_in_the_root(step, python, lib)
            } else {
                Diagnostic::warning(
                    "RSD0504",
                    format!("the daemon will not be allowed to read Python's library {}", lib.display()),
                )
                .help("use a Python that everybody may read (Debian's python3), or a virtual environment of the user's")
            };
            let mut finding = finding
                .at(step.at, format!("hosted by {}", python.executable.display()))
                .phase(&step.phase)
                .note("what was imported by then works on; each later import raises ImportError, in the middle of serving");
            finding.notes.extend(why.why);
            if let Some(drop) =
                self.drop_before(self.plan.steps().len()).filter(|_| reader.root == server.root)
            {
                finding = finding.with(drop.at, "privileges are dropped here").phase(&drop.phase);
            }
            found.push(finding);
        }
        found
    }

    fn not_in_the_root(&self, step: &Step, python: &Python, lib: &Path) -> Diagnostic {
        let root = self.serving().map(|s| s.root.display().to_string()).unwrap_or_default();
        let mut finding = Diagnostic::warning(
            "RSD0504",
            format!("Python's library {} is not inside the new root", lib.display()),
        )
        .help(format!(
            "bind it into {root} (mount --bind {} …), or have `{}` import all it will need; a reactor chosen at the start is imported before",
            lib.display(),
            step.phase
        ));
        let chroot = self.steps().find(|(_, s)| s.effects.iter().any(super::changes_root));
        if let Some((_, chroot)) = chroot {
            finding = finding
                .with(chroot.at, format!("from here on {} is out of reach", python.executable.display()))
                .phase(&chroot.phase);
        }
        finding
    }
}
