//! What a namespace of its own takes out of reach: of the daemon, or of all others.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Mounting, Namespace, Setting, Socket};
use crate::plan::Step;
use crate::timeline::Failure;
use std::path::Path;

const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EROFS: i32 = 30;
const EADDRNOTAVAIL: i32 = 99;

impl Judge<'_> {
    /// The last step before another that mounts something on the way to a path.
    fn mounts_over(&self, before: usize, path: &Path) -> Option<(&Step, &Mounting)> {
        self.mounts.iter().rev().filter(|k| **k < before).find_map(|&k| {
            let (who, files) = (self.before(k)?, self.files_at(k));
            let on_the_way = |m: &&Mounting| {
                files.resolve(who, &m.at).is_ok_and(|at| path.starts_with(at)) || path.starts_with(&m.at)
            };
            let step = &self.plan.steps()[k];
            let mounts = step.effects.iter().rev().filter_map(|effect| match effect {
                Effect::Mount { mounts } => Some(mounts),
                _ => None,
            });
            mounts.flat_map(|mounts| mounts.iter().rev()).find(on_the_way).map(|m| (step, m))
        })
    }

    /// A failure that mounts or namespaces of the plan's own explain.
    pub(super) fn blame_own_mounts(
        &self,
        finding: &Diagnostic,
        i: usize,
        step: &Step,
        failure: &Failure,
    ) -> Option<Diagnostic> {
        match failure.errno? {
            EROFS => self.written_where_it_is_read_only(finding, i, step),
            ENOENT | EACCES => self.hidden_by_own_mounts(i, step),
            _ => None,
        }
    }

    /// An address that is on the machine, and not in a network of the plan's own.
    pub(super) fn left_its_network(
        &self,
        finding: &Diagnostic,
        i: usize,
        step: &Step,
        failure: &Failure,
    ) -> Option<Diagnostic> {
        let leaves = self.leaves_the_network(i).filter(|_| failure.errno == Some(EADDRNOTAVAIL))?;
        let mut finding = finding.clone().with(leaves.at, "the network is left here").phase(&leaves.phase);
        finding.code = "RSD0415";
        Some(finding.sooner(&step.phase, &leaves.phase))
    }

    fn written_where_it_is_read_only(
        &self,
        finding: &Diagnostic,
        i: usize,
        step: &Step,
    ) -> Option<Diagnostic> {
        let (who, files) = (self.before(i)?, self.files_at(i));
        let place = step.effects.iter().filter_map(written).find_map(|path| {
            let at = files.parent(who, path).ok()?;
            files.made_read_only(&at).map(Path::to_owned)
        })?;
        let (seals, _) = self.mounts_over(i, &place)?;
        let mut finding = finding
            .clone()
            .with(seals.at, format!("{} is made read-only here", place.display()))
            .phase(&seals.phase)
            .sooner(&step.phase, &seals.phase)
            .help(format!("or name it as an exception: `read-write` on `{}`", seals.phase));
        finding.code = "RSD0414";
        Some(finding)
    }

    /// What a step needs is there, and a mount of the plan's own is over it.
    fn hidden_by_own_mounts(&self, i: usize, step: &Step) -> Option<Diagnostic> {
        let (who, files) = (self.before(i)?, self.files_at(i));
        let before = files.uncovered();
        let wanted = step.effects.iter().flat_map(|effect| self.wanted(effect));
        let (path, there) = wanted.filter(|(_, root)| root.is_none()).find_map(|(path, _)| {
            let there = before.resolve(who, &path).ok()?;
            let same = files.resolve(who, &path).is_ok_and(|at| files.kept(&at) == there);
            (!same).then_some((path, there))
        })?;
        let (hides, mounting) = self.mounts_over(i, &there)?;
        let mut help = vec![format!("leave {} away on `{}`", mounting.at.display(), hides.phase)];
        if mounting.is_fresh() {
            help.push(format!(
                "or bind what is needed into it: `bind-read-only: [{}]` there",
                path.display()
            ));
        }
        let mut finding = Diagnostic::error(
            "RSD0416",
            format!("`{}` needs {}, and `{}` hides it", step.phase, path.display(), hides.phase),
        )
        .with(hides.at, format!("{mounting}"))
        .phase(&hides.phase);
        finding.help = help;
        Some(finding)
    }

    /// The step after which a later one finds itself in a network of its own.
    fn leaves_the_network(&self, before: usize) -> Option<&Step> {
        self.leaves.iter().rev().find(|k| **k < before).map(|&k| &self.plan.steps()[k])
    }

    /// A port that nobody outside can reach.
    pub(super) fn bound_in_its_own_network(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (i, step) in self.steps().filter(|(_, s)| !self.fails(s)) {
            let ports: Vec<String> = step
                .effects
                .iter()
                .filter_map(|e| match e {
                    Effect::Bind {
                        socket: socket @ (Socket::Tcp(_) | Socket::Udp(_) | Socket::Abstract(_)),
                        ..
                    } => Some(socket.to_string()),
                    _ => None,
                })
                .collect();
            let own = self.before(i).is_some_and(|who| who.namespaces.has(Namespace::Network));
            let Some(leaves) = self.leaves_the_network(i).filter(|_| own && !ports.is_empty()) else {
                continue;
            };
            found.push(
                Diagnostic::warning(
                    "RSD0415",
                    format!("nobody outside can reach {}", crate::text::list(&ports)),
                )
                .at(step.at, "bound in a network that has only this daemon in it")
                .with(leaves.at, "the network is left here")
                .phase(&step.phase)
                .phase(&leaves.phase)
                .note("a socket belongs to the network namespace that it was made in; what was bound before stays reachable")
                .sooner(&step.phase, &leaves.phase),
            );
        }
        found
    }

    /// A file that is for others, in a directory that only the daemon sees.
    pub(super) fn made_where_nobody_sees_it(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (i, step, effect) in self.effects().filter(|(_, s, _)| !self.fails(s)) {
            let (path, loss) = match effect {
                Effect::CreatePidFile { path, .. } => (
                    path,
                    "whoever looks for it there, `rsd stop` and `rsd status` among them, finds nothing",
                ),
                Effect::OpenLog { path, .. } => (path, "it is gone with the last process of the daemon"),
                Effect::Bind { socket: Socket::Unix(path), .. } => (path, "nobody else can connect to it"),
                _ => continue,
            };
            let Some(who) = self.before(i) else { continue };
            let files = self.files_at(i);
            let Ok(at) = files.parent(who, path) else { continue };
            if !files.is_private(&at) {
                continue;
            }
            let Some((hides, mounting)) = self.mounts_over(i, &at) else { continue };
            let finding =
                Diagnostic::warning("RSD0417", format!("nobody but the daemon will see {}", path.display()))
                    .at(step.at, "made here")
                    .with(hides.at, format!("{mounting}: the daemon's own from here on"))
                    .phase(&step.phase)
                    .phase(&hides.phase)
                    .note(loss)
                    .sooner(&step.phase, &hides.phase);
            found.push(finding.help("or name a place that is not the daemon's own"));
        }
        found
    }
}

/// What an effect writes.
fn written(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::CheckPidFile { path }
        | Effect::OpenLog { path, .. }
        | Effect::CreatePidFile { path, .. }
        | Effect::MakeDirectory { path, .. }
        | Effect::Bind { socket: Socket::Unix(path), .. } => Some(path),
        Effect::Process(Setting::OomScore(_)) => Some(Path::new(crate::model::OOM_SCORE)),
        _ => None,
    }
}
