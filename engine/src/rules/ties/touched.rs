//! Which phases touch the same state, found by state and not by pair.

use crate::effect::{Effect, Identity, Socket, State, Touch};
use crate::model::Files;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A state, by number.
pub type Key = u32;

/// What every step touches.
pub struct Touched {
    /// of each step: the states and whether it may change them, each state once
    steps: Vec<Vec<(Key, bool)>>,
    /// the states in words
    names: Vec<String>,
}

/// The path that an effect makes, opens or removes.
fn made(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::CheckPidFile { path }
        | Effect::RemovePidFile { path }
        | Effect::OpenLog { path, .. }
        | Effect::CreatePidFile { path, .. }
        | Effect::RemoveSocket { path }
        | Effect::Bind { socket: Socket::Unix(path), .. } => Some(path),
        _ => None,
    }
}

impl Touched {
    /// `steps`: the effects of each step (none for one that is skipped) and who runs it.
    /// `files`: those that a step finds.
    pub fn new<'f>(
        steps: &[(&[Effect], Option<&Identity>)],
        files: impl Fn(usize) -> Cow<'f, Files>,
    ) -> Touched {
        // Where a path leads may be another name than was asked for: links, another root.
        let leads: Vec<(usize, PathBuf)> = steps
            .iter()
            .enumerate()
            .flat_map(|(i, (effects, who))| {
                let files = &files;
                effects.iter().filter_map(move |e| {
                    let path = made(e)?;
                    let files = files(i);
                    let at = files.parent((*who)?, path).ok()?;
                    let kept = files.kept(&at);
                    (kept != path).then(|| (i, kept.into_owned()))
                })
            })
            .collect();
        let mut numbers: HashMap<State, Key> = HashMap::new();
        let mut written: Vec<bool> = Vec::new();
        let mut touched: Vec<Vec<(Key, bool)>> = vec![Vec::new(); steps.len()];
        let mut add = |i: usize, state, writes: bool| {
            let next = numbers.len() as Key;
            let key = *numbers.entry(state).or_insert(next);
            if key == next {
                written.push(false);
            }
            written[key as usize] |= writes;
            touched[i].push((key, writes));
        };
        for (i, (effects, _)) in steps.iter().enumerate() {
            for effect in *effects {
                effect.touches(&mut |state, touch| add(i, state, touch == Touch::Writes));
            }
        }
        for (i, at) in &leads {
            add(*i, State::Path(at), true);
        }
        for list in &mut touched {
            // A write stands for the read of the same state.
            list.retain(|(key, _)| written[*key as usize]);
            list.sort_unstable_by_key(|(key, writes)| (*key, !*writes));
            list.dedup_by_key(|(key, _)| *key);
        }
        let mut names = vec![String::new(); numbers.len()];
        for (state, key) in &numbers {
            if written[*key as usize] {
                names[*key as usize] = state.to_string();
            }
        }
        Touched { steps: touched, names }
    }

    /// The pairs of steps that meet in a state, the earlier one in `order` first: a change and what next
    /// reads or changes it, a reader and the next change. All other pairs that touch the same state
    /// follow from these.
    pub fn meetings(&self, order: &[usize]) -> BTreeMap<(usize, usize), Key> {
        let mut last: HashMap<Key, (Option<usize>, Vec<usize>)> = HashMap::new();
        let mut pairs = BTreeMap::new();
        for step in order {
            for (key, writes) in &self.steps[*step] {
                let (writer, readers) = last.entry(*key).or_default();
                if *writes {
                    let before: &[usize] = match (&readers[..], &writer) {
                        ([], Some(writer)) => std::slice::from_ref(writer),
                        _ => readers,
                    };
                    for other in before {
                        pairs.entry((*other, *step)).or_insert(*key);
                    }
                    *writer = Some(*step);
                    readers.clear();
                } else {
                    if let Some(writer) = writer {
                        pairs.entry((*writer, *step)).or_insert(*key);
                    }
                    readers.push(*step);
                }
            }
        }
        pairs
    }

    /// All that two steps both touch and one of them changes, in words.
    pub fn shared(&self, a: usize, b: usize) -> Vec<&str> {
        let of_a: HashMap<Key, bool> = self.steps[a].iter().copied().collect();
        self.steps[b]
            .iter()
            .filter(|(key, writes)| of_a.get(key).is_some_and(|also| *also || *writes))
            .map(|(key, _)| self.names[*key as usize].as_str())
            .collect()
    }
}
