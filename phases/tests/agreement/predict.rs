//! The same list on the `Model`, put into the same form.

use super::case::Case;
use super::observe::{EPHEMERAL, SEALED, Tree, describe, undescribe};
use super::sandbox::mounts;
use super::seen::{Outcome, Seen, Settings, State, Step};
use engine::effect::{Effect, Identity, Namespace, News, Performed, SecureBits, Socket, System, Undo};
use engine::model::{Ids, Model, Role};
use engine::plan::Plan;
use engine::snapshot::{FileKind, Snapshot};
use engine::timeline::Failure;
use std::path::{Path, PathBuf};

/// What the model says; of files that the snapshot does not know, that they stay as they were.
pub fn list(case: &Case, plan: &Plan, snapshot: &Snapshot, before: &Tree) -> Seen {
    let whole = &completed(case, snapshot, before);
    let mut model = Model::new(whole);
    let mut seen = Seen::default();
    if let Err(error) = model.open(plan) {
        panic!("the model does not open: {error}");
    }
    let mut undo = Vec::new();
    let mut networks = Networks::default();
    for (i, effect) in case.effects.iter().enumerate() {
        model.begin(i, None);
        let performed = model.perform(effect);
        if let Ok(Performed::Done(done)) = &performed {
            networks.follow(effect, &model);
            let _ = model.hold(i, &done.undo);
            undo.push(done.undo.clone());
        }
        let told = if effect.changes_identity() { model.identity().ok() } else { None };
        let identity = model.identity().ok().map(|id| really(&model, id));
        let settings = settings(&model, &snapshot.settings);
        seen.steps.push(Step { outcome: Outcome::of(&performed), identity, told, settings });
    }
    let state = |model: &Model| {
        let kept = tree(model, whole, before);
        let view = if mounts(case) { view(model, &kept) } else { Tree::new() };
        let tree = kept.into_iter().filter(|(path, _)| path.is_absolute()).collect();
        State { tree, view, listening: networks.seen(model), processes: processes(&model.processes()) }
    };
    seen.end = state(&model);
    if case.undo {
        let failure = Failure { message: "called off".to_owned(), ..Failure::default() };
        model.tell(&News::Failed { step: case.effects.len() - 1, failure });
        for one in undo.iter().rev() {
            if let Undo::Effect(effect) = one {
                let effect: &Effect = effect;
                let outcome = Outcome::of(&model.perform(effect));
                seen.undone.push(Outcome { undo: effect.to_string(), ..outcome });
            }
        }
        // Whoever took it back ends, and nothing of the run is left but files, or what has its sockets.
        let processes = processes(&model.left_behind());
        let view = Tree::new();
        seen.after = Some(State { view, listening: Vec::new(), processes, ..state(&model) });
    }
    seen
}

/// With root and working directory where they really are.
fn really(model: &Model, identity: Identity) -> Identity {
    let text = identity.cwd.to_string_lossy().into_owned();
    // The root of another mount namespace has no name here.
    let here = |path: PathBuf| match path.strip_prefix(model.files().top()) {
        Ok(inside) => Path::new("/").join(inside),
        Err(_) => path,
    };
    let cwd = match text.strip_prefix("(unreachable)") {
        Some(outside) => PathBuf::from(outside),
        None => {
            let inside = identity.cwd.strip_prefix("/").unwrap_or(&identity.cwd);
            here(identity.root.join(inside).components().collect())
        }
    };
    let root = here(identity.root.clone());
    // Its securebits the kernel tells nobody but the process itself.
    Identity { root, cwd, securebits: SecureBits::default(), ..identity }
}

/// What is in a directory that nobody who this process can be may list is told to the model, where it matters
/// whether one is empty.
fn completed(case: &Case, snapshot: &Snapshot, before: &Tree) -> Snapshot {
    let mut whole = snapshot.clone();
    if !case.effects.iter().any(|e| matches!(e, Effect::RemoveDirectory { .. })) {
        return whole;
    }
    for (path, described) in before {
        let known = |path: &Path| snapshot.file(path).is_some();
        if !known(path) && path.parent().is_some_and(known) {
            whole.files.insert(path.clone(), undescribe(described));
        }
    }
    whole
}

/// In the words of [`super::observe::settings`].
fn settings(model: &Model, before: &engine::effect::Settings) -> Settings {
    let now = model.settings();
    let euid = model.clone().identity().map_or(0, |id| id.uid[1]);
    let mut all: Settings = [
        ("nice", now.nice.to_string()),
        ("scheduler", now.scheduler.to_string()),
        ("io priority", now.io.to_string()),
        ("oom score", now.oom_score.to_string()),
        ("owner of /proc/PID", if now.dumpable { euid } else { 0 }.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    // The kernel shows no other than those that somebody has set or that were known.
    for (resource, limits) in before.limits.iter().chain(&now.limits) {
        all.insert(format!("limit {resource}"), format!("{}:{}", limits.soft, limits.hard));
    }
    all
}

fn tree(model: &Model, snapshot: &Snapshot, before: &Tree) -> Tree {
    let mut tree = before.clone();
    tree.retain(|path, _| snapshot.file(path).is_none());
    for (path, node) in model.files().iter() {
        let kind = match &node.kind {
            FileKind::File => "file".to_owned(),
            FileKind::Directory => "directory".to_owned(),
            FileKind::Symlink(target) => format!("link to {}", target.display()),
            FileKind::Other => "other".to_owned(),
        };
        let inside = |system: &str| path.starts_with(system) && path != Path::new(system);
        if !inside("/proc") && !inside("/dev") {
            tree.insert(path.to_owned(), describe(&kind, node.uid, node.gid, node.mode));
        }
    }
    tree
}

/// What the process that goes on finds below its root, in the words of [`super::observe::view`].
fn view(model: &Model, kept: &Tree) -> Tree {
    let identity = model.clone().identity().expect("an identity");
    let files = model.files();
    let inside = |path: &Path| path.parent().is_some_and(super::observe::is_system);
    files
        .seen_of(kept)
        .into_iter()
        .filter_map(|(path, text)| {
            let own = Path::new("/").join(path.strip_prefix(&identity.root).ok()?);
            let sealed =
                if files.made_read_only(&path).is_some() && !text.starts_with("link") { SEALED } else { "" };
            (!inside(&own)).then(|| (own, format!("{text}{sealed}")))
        })
        .collect()
}

/// Which sockets can be looked at: those of the first network namespace, and of the one that the run is in.
#[derive(Default)]
struct Networks {
    /// bound before the first one was left
    first: Option<Vec<String>>,
    /// bound in one that was left for another one
    between: Vec<String>,
}

impl Networks {
    fn follow(&mut self, effect: &Effect, model: &Model) {
        if !matches!(effect, Effect::Unshare { namespaces } if namespaces.has(Namespace::Network)) {
            return;
        }
        match &self.first {
            None => self.first = Some(listening(model)),
            Some(first) => self.between = without(listening(model), first),
        }
    }

    fn seen(&self, model: &Model) -> Vec<String> {
        without(listening(model), &self.between)
    }
}

/// Each taken away once.
fn without(mut all: Vec<String>, those: &[String]) -> Vec<String> {
    for one in those {
        if let Some(at) = all.iter().position(|other| other == one) {
            all.remove(at);
        }
    }
    all
}

fn listening(model: &Model) -> Vec<String> {
    let mut all: Vec<String> = model
        .listening()
        .map(|socket| match socket {
            Socket::Tcp(a) | Socket::Udp(a) => {
                assert!(a.port() < EPHEMERAL, "{a} may be one that the kernel chose");
                socket.to_string()
            }
            Socket::Unix(_) | Socket::Abstract(_) | Socket::Inherited(_) => socket.to_string(),
        })
        .collect();
    all.sort();
    all
}

fn processes(all: &[(Role, Ids)]) -> Vec<String> {
    let name = |role: Role| match role {
        Role::Launcher => "launcher",
        Role::Runner => "runner",
        Role::Guard => "guard",
        Role::Program => "program",
    };
    let role = |pid: u32| match all.iter().find(|(_, ids)| ids.pid == pid) {
        Some((role, _)) => name(*role),
        None if pid == 1 => "init",
        None => "one that is gone",
    };
    let mut said: Vec<String> = all
        .iter()
        .map(|(this, ids)| {
            let session = match ids.sid {
                engine::model::CALLERS_SESSION => "the caller's".to_owned(),
                sid => format!("of {}", role(sid)),
            };
            format!("{}, below {}, session {session}", name(*this), role(ids.ppid))
        })
        .collect();
    said.sort();
    said
}
