//! Who, besides root, has a say in what root makes: on the way to it, in its directory, over the file.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Identity, Socket};
use crate::model::Node;
use crate::plan::Step;
use std::path::{Path, PathBuf};

/// Who can make a name lead elsewhere.
enum Controller {
    Uid(u32),
    Group(u32),
    Everyone,
}

impl std::fmt::Display for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Controller::Uid(uid) => write!(f, "uid {uid}"),
            Controller::Group(gid) => write!(f, "gid {gid}"),
            Controller::Everyone => f.write_str("everybody"),
        }
    }
}

/// Who besides root and whoever acts can replace a name in a directory: its owner, who may also change its
/// mode, and whoever may write there, unless the sticky bit keeps the name for its own owner (unlink(2)).
/// Of groups only that of the daemon counts: who is in others, nobody here can tell.
fn controller(dir: &Node, entry: Option<&Node>, actor: &Identity, server: &Identity) -> Option<Controller> {
    let trusted = |uid: u32| uid == 0 || uid == actor.uid[1];
    if !trusted(dir.uid) {
        return Some(Controller::Uid(dir.uid));
    }
    let sticky = dir.mode & 0o1000 != 0 && dir.mode & 0o022 != 0;
    if let Some(entry) = entry.filter(|_| sticky) {
        return (!trusted(entry.uid)).then_some(Controller::Uid(entry.uid));
    }
    let of_the_daemon = dir.gid == server.gid[1] || server.groups.contains(&dir.gid);
    match (dir.mode & 0o002 != 0, dir.mode & 0o020 != 0 && dir.gid != 0 && of_the_daemon) {
        (true, _) => Some(Controller::Everyone),
        (false, true) => Some(Controller::Group(dir.gid)),
        (false, false) => None,
    }
}

impl Judge<'_> {
    /// Root enters a new root, or makes a name, on a way that somebody else can change. Where it makes
    /// one, no link of a stranger is followed, so the stranger can do no more than be in the way.
    pub(super) fn made_where_others_rule(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        let mut found = Vec::new();
        for (i, step, effect) in self.effects() {
            let Some(actor) = self.before(i).filter(|actor| actor.uid[1] == 0) else { continue };
            let finding = match effect {
                Effect::Chroot { path } | Effect::PivotRoot { path } => {
                    self.root_of_others(i, step, path, actor, server)
                }
                Effect::OpenLog { path, .. }
                | Effect::CreatePidFile { path, .. }
                | Effect::Bind { socket: Socket::Unix(path), .. }
                    if !self.fails(step) =>
                {
                    self.name_of_others(i, step, path, actor, server)
                }
                _ => None,
            };
            found.extend(finding);
        }
        found
    }

    fn root_of_others(
        &self,
        i: usize,
        step: &Step,
        path: &Path,
        actor: &Identity,
        server: &Identity,
    ) -> Option<Diagnostic> {
        let files = self.files_at(i);
        files.root(actor, path).ok()?;
        let (dir, name, node, who) = files.way(actor, path).into_iter().find_map(|(dir, name)| {
            let node = files.get(&dir).filter(|_| !files.is_private(&dir))?;
            let who = controller(node, files.get(&dir.join(&name)), actor, server)?;
            Some((dir.clone(), name, node, who))
        })?;
        Some(
            Diagnostic::note_finding(
                "RSD0407",
                format!("{who} has a say in what `{}` makes the root", step.phase),
            )
            .at(step.at, format!("enters {} as root", path.display()))
            .phase(&step.phase)
            .note(format!(
                "{}: {who} can put a directory of their own in place of `{}`; a link to one that is not theirs is not followed, and the daemon does not start",
                owned(&dir, node),
                name.display()
            ))
            .help(format!(
                "let root own {}, and nobody else write it; what is below {} may be the user's",
                dir.display(),
                path.display()
            )),
        )
    }

    fn name_of_others(
        &self,
        i: usize,
        step: &Step,
        path: &Path,
        actor: &Identity,
        server: &Identity,
    ) -> Option<Diagnostic> {
        let files = self.files_at(i);
        let at = files.parent(actor, path).ok()?;
        let last = (at.parent()?.to_owned(), PathBuf::from(at.file_name()?));
        let way = files.way(actor, path.parent()?).into_iter();
        let (dir, node, who) = way.chain([last.clone()]).find_map(|(dir, name)| {
            let node = files.get(&dir).filter(|_| !files.is_private(&dir))?;
            // What was made is not there before the start.
            let entry = if (&dir, &name) == (&last.0, &last.1) { None } else { files.get(&dir.join(&name)) };
            match controller(node, entry, actor, server)? {
                Controller::Group(_) => None,
                Controller::Uid(uid) if uid == server.uid[1] => None,
                who => Some((dir.clone(), node, who)),
            }
        })?;
        let in_place = if node.mode & 0o1000 != 0 { "" } else { ", or take away what was made" };
        Some(
            Diagnostic::note_finding(
                "RSD0407",
                format!("{who} can keep `{}` from making {}", step.phase, path.display()),
            )
            .at(step.at, "made here as root")
            .phase(&step.phase)
            .note(format!(
                "{}: {who} can put a directory or a link there first{in_place}; a link is not followed, and the daemon does not start",
                owned(&dir, node)
            ))
            .help(format!("use a directory that belongs to root, or to uid {}, all the way", server.uid[1])),
        )
    }

    /// The number in the PID file is chosen by whom it is to be used against.
    pub(super) fn pid_file_of_the_daemons_user(&self) -> Vec<Diagnostic> {
        let Some(server) = self.serving() else { return Vec::new() };
        // Only what root does with the number is more than the user could do itself.
        if self.snapshot.identity.uid[1] != 0 || server.uid[1] == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (i, step, effect) in self.effects() {
            let (Effect::CreatePidFile { path, owner, mode }, Some(maker)) = (effect, self.before(i)) else {
                continue;
            };
            if self.fails(step) {
                continue;
            }
            let (uid, gid) = owner.map_or((maker.uid[1], maker.gid[1]), |o| (o.uid, o.gid));
            let mode = mode & !maker.umask;
            let member = server.gid[1] == gid || server.groups.contains(&gid);
            let (label, help) = if uid == server.uid[1] && maker.uid[1] == uid {
                ("made here, after the drop", String::new())
            } else if uid == server.uid[1] {
                ("given to that user here", "let the file belong to root: leave `owner` away".to_owned())
            } else if member && mode & 0o020 != 0 {
                (
                    "its group may write it",
                    format!("take the group's right to write: `mode: \"{:04o}\"`", mode & !0o022),
                )
            } else {
                continue;
            };
            let finding = Diagnostic::note_finding(
                    "RSD0408",
                    format!("uid {}, who serves, may rewrite the PID file {}", server.uid[1], path.display()),
                )
                .at(step.at, label)
                .phase(&step.phase)
                .note(format!(
                    "it is {uid}:{gid} {mode:04o}: whoever takes the daemon over writes another number, and root's `kill $(cat {})`, an init script or a log rotation signals that process (CVE-2017-11747, CVE-2018-16888)",
                    path.display()
                ))
                .note("`rsd stop` and `rsd status` ask the kernel who holds the file's lock, and do not believe the number alone");
            found.push(match self.drop_before(i) {
                Some(drop) if help.is_empty() => finding.sooner(&step.phase, &drop.phase),
                _ => finding.help(help),
            });
        }
        found
    }

    /// A file is made that everybody may write.
    pub(super) fn made_for_everybody(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (i, step, effect) in self.effects() {
            let (Effect::OpenLog { path, mode, .. } | Effect::CreatePidFile { path, mode, .. }) = effect
            else {
                continue;
            };
            let Some(maker) = self.before(i) else { continue };
            let pid_file = matches!(effect, Effect::CreatePidFile { .. });
            let files = self.files_at(i);
            let at = files.parent(maker, path).ok();
            let there = at
                .and_then(|at| self.snapshot.file(&files.kept(&at)))
                .filter(|f| !pid_file && f.kind == crate::snapshot::FileKind::File);
            let (mode, label) = match there {
                Some(file) => (file.mode, "opened here, and kept as it is".to_owned()),
                None => (
                    mode & !maker.umask,
                    format!("made here with mode {mode:04o} under umask {:03o}", maker.umask),
                ),
            };
            if mode & 0o002 == 0 || self.fails(step) {
                continue;
            }
            let harm = match pid_file {
                true => {
                    "any user can write another number into it, and what root signals by it is theirs to choose; or keep the daemon from starting by holding its lock"
                }
                false => "any user can write false lines into it, or empty it",
            };
            let help = match there {
                Some(_) => format!("chmod o-w {}", path.display()),
                None => {
                    format!("make it with `mode: \"{:04o}\"`, or under a umask that takes 002", mode & !0o002)
                }
            };
            found.push(
                Diagnostic::note_finding(
                    "RSD0411",
                    format!("everybody may write {} (mode {mode:04o})", path.display()),
                )
                .at(step.at, label)
                .phase(&step.phase)
                .note(harm)
                .help(help),
            );
        }
        found
    }
}

/// `/home/svc is 4000:4000 0755`
fn owned(dir: &Path, node: &Node) -> String {
    format!("{} is {}:{} {:04o}", dir.display(), node.uid, node.gid, node.mode & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::FileKind;

    fn directory(uid: u32, gid: u32, mode: u32) -> Node {
        Node { kind: FileKind::Directory, uid, gid, mode }
    }

    fn who(uid: u32) -> Identity {
        Identity { uid: [uid; 3], gid: [uid; 3], ..Identity::default() }
    }

    /// Who controls a name in such a directory, where that name belongs to `entry`.
    fn rules(dir: &Node, entry: Option<u32>) -> Option<String> {
        let entry = entry.map(|uid| directory(uid, uid, 0o755));
        controller(dir, entry.as_ref(), &who(0), &who(33)).map(|c| c.to_string())
    }

    #[test]
    fn who_can_put_a_link_in_place_of_a_name() {
        assert_eq!(rules(&directory(0, 0, 0o755), Some(33)), None);
        assert_eq!(rules(&directory(0, 0, 0o775), Some(33)), None, "the group of root is root's");
        assert_eq!(rules(&directory(0, 4, 0o775), Some(33)), None, "a group the daemon is not in");
        assert_eq!(rules(&directory(0, 33, 0o775), Some(0)).as_deref(), Some("gid 33"));
        assert_eq!(
            rules(&directory(33, 33, 0o500), Some(0)).as_deref(),
            Some("uid 33"),
            "chmod is its right"
        );
        assert_eq!(rules(&directory(0, 0, 0o777), Some(0)).as_deref(), Some("everybody"));
    }

    #[test]
    fn the_sticky_bit_keeps_a_name_for_its_owner() {
        let tmp = directory(0, 0, 0o1777);
        assert_eq!(rules(&tmp, Some(0)), None);
        assert_eq!(rules(&tmp, Some(34)).as_deref(), Some("uid 34"));
        assert_eq!(rules(&tmp, None).as_deref(), Some("everybody"), "who comes first makes it");
        assert_eq!(
            rules(&directory(33, 33, 0o1777), Some(0)).as_deref(),
            Some("uid 33"),
            "nor against the owner of the directory"
        );
    }
}
