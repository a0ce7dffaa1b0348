//! The smallest case that still shows a disagreement.

use super::case::{Case, Entry, What};
use super::compare::Difference;
use super::draw;
use engine::effect::{Application, CapabilitySet, Effect, Rotation, Socket, SocketOptions, Sort};
use std::path::{Path, PathBuf};

/// Tries smaller cases as long as one of them shows a disagreement of the same sort.
pub fn shrink(case: Case, sort: &str, mut differs: impl FnMut(&Case) -> Vec<Difference>) -> Case {
    let mut best = case;
    let mut left = 300;
    'again: loop {
        for smaller in smaller(&best) {
            if left == 0 {
                return best;
            }
            left -= 1;
            if differs(&smaller).iter().any(|d| d.sort == sort) {
                best = smaller;
                continue 'again;
            }
        }
        return best;
    }
}

fn smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut other = case.clone();
        change(&mut other);
        if other != *case {
            all.push(other);
        }
    };
    let count = case.effects.len();
    if count > 3 {
        with(&|c| c.effects.truncate(count / 2));
        with(&|c| drop(c.effects.drain(..count / 2)));
    }
    if count > 1 {
        (0..count).for_each(|i| with(&|c| drop(c.effects.remove(i))));
    }
    with(&|c| c.undo = false);
    // A directory goes with all that is in it, a link or a second name alone.
    for entry in &case.world {
        with(&|c| {
            c.world
                .retain(|e| !e.path.starts_with(&entry.path) && e.what != What::HardLink(entry.path.clone()))
        });
    }
    for (i, effect) in case.effects.iter().enumerate() {
        for simpler in simpler(effect) {
            with(&|c| c.effects[i] = simpler.clone());
        }
    }
    for (i, entry) in case.world.iter().enumerate() {
        let plain = plain(entry);
        with(&|c| c.world[i].mode = plain.mode);
        with(&|c| (c.world[i].uid, c.world[i].gid) = (0, 0));
        with(&|c| c.world[i].gid = c.world[i].uid);
        if !matches!(entry.what, What::Directory | What::Symlink(_) | What::File(0)) {
            with(&|c| c.world[i].what = What::File(0));
        }
    }
    with(&|c| c.start = draw::root());
    with(&|c| c.start.cwd = PathBuf::from("/"));
    with(&|c| c.start.umask = 0o022);
    with(&|c| c.start.securebits = 0);
    with(&|c| c.start.groups = Vec::new());
    with(&|c| c.start.ambient = CapabilitySet::EMPTY);
    with(&|c| (c.start.ambient, c.start.inheritable) = (CapabilitySet::EMPTY, CapabilitySet::EMPTY));
    with(&|c| c.start.unbound = CapabilitySet::EMPTY);
    with(&|c| c.start.uid = [c.start.uid[1]; 3]);
    with(&|c| c.start.gid = [c.start.gid[1]; 3]);
    with(&|c| c.start.gid = [0; 3]);
    all
}

fn plain(entry: &Entry) -> Entry {
    let mode = match entry.what {
        What::Directory | What::Program | What::Dynamic(_) | What::Script(_) => 0o755,
        _ => 0o644,
    };
    Entry { mode, ..entry.clone() }
}

fn simpler(effect: &Effect) -> Vec<Effect> {
    let mut all = Vec::new();
    match effect {
        Effect::OpenLog { path, owner, mode, .. } => {
            if owner.is_some() {
                all.push(Effect::OpenLog {
                    path: path.clone(),
                    owner: None,
                    mode: *mode,
                    rotate_at: None,
                    rotation: Rotation::default(),
                });
            }
            all.push(Effect::OpenLog {
                path: path.clone(),
                owner: *owner,
                mode: 0o600,
                rotate_at: None,
                rotation: Rotation::default(),
            });
        }
        Effect::CreatePidFile { path, owner, mode } => {
            if owner.is_some() {
                all.push(Effect::CreatePidFile { path: path.clone(), owner: None, mode: *mode });
            }
            all.push(Effect::CreatePidFile { path: path.clone(), owner: *owner, mode: 0o644 });
        }
        Effect::SetCredential { uid, gid, groups, effective, keep } => {
            let simpler = |uid, gid, groups, effective, keep| Effect::SetCredential {
                uid,
                gid,
                groups,
                effective,
                keep,
            };
            all.push(simpler(*uid, *gid, None, *effective, *keep));
            all.push(simpler(*uid, None, groups.clone(), *effective, *keep));
            all.push(simpler(None, *gid, groups.clone(), *effective, *keep));
            all.push(simpler(*uid, *gid, groups.clone(), false, *keep));
            all.push(simpler(*uid, *gid, groups.clone(), *effective, CapabilitySet::EMPTY));
        }
        Effect::Mount { mounts } => {
            for n in 0..mounts.len() {
                let mut fewer = mounts.clone();
                fewer.remove(n);
                all.push(Effect::Mount { mounts: fewer });
                let mut simpler = mounts.clone();
                simpler[n].optional = false;
                all.push(Effect::Mount { mounts: simpler });
                for place in ["/d", "/jail", "/d/f"] {
                    let mut simpler = mounts.clone();
                    simpler[n].at = place.into();
                    all.push(Effect::Mount { mounts: simpler });
                }
            }
        }
        Effect::Bind { socket, options } => {
            for plainer in [
                SocketOptions::default(),
                SocketOptions { sort: Sort::Stream, ..options.clone() },
                SocketOptions { uid: None, gid: None, ..options.clone() },
                SocketOptions { mode: None, ..options.clone() },
                SocketOptions { reuse_port: false, ..options.clone() },
            ] {
                all.push(Effect::Bind { socket: socket.clone(), options: plainer });
            }
        }
        Effect::Application(Application::Load(program)) if program.root.is_some() => {
            let mut program = program.clone();
            program.root = None;
            all.push(Effect::Application(Application::Load(program)));
        }
        _ => {}
    }
    if let Some(path) = path(effect) {
        let mut candidates = Vec::new();
        let names: Vec<_> = path.components().collect();
        for i in 0..names.len() {
            let kept = names.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, c)| c);
            candidates.push(kept.collect::<PathBuf>());
        }
        for candidate in candidates {
            if !candidate.as_os_str().is_empty() && candidate.as_os_str().len() < path.as_os_str().len() {
                let mut other = effect.clone();
                set_path(&mut other, candidate);
                all.push(other);
            }
        }
    }
    all.retain(|e| e != effect);
    all
}

fn path(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::OpenLog { path, .. }
        | Effect::CreatePidFile { path, .. }
        | Effect::CheckPidFile { path }
        | Effect::RemovePidFile { path }
        | Effect::Chroot { path }
        | Effect::Chdir { path }
        | Effect::PivotRoot { path }
        | Effect::RemoveSocket { path }
        | Effect::Bind { socket: Socket::Unix(path), .. } => Some(path),
        _ => None,
    }
}

fn set_path(effect: &mut Effect, new: PathBuf) {
    if let Effect::OpenLog { path, .. }
    | Effect::CreatePidFile { path, .. }
    | Effect::CheckPidFile { path }
    | Effect::RemovePidFile { path }
    | Effect::Chroot { path }
    | Effect::Chdir { path }
    | Effect::PivotRoot { path }
    | Effect::RemoveSocket { path }
    | Effect::Bind { socket: Socket::Unix(path), .. } = effect
    {
        *path = new;
    }
}
