//! Which phases touch the same state, found by state and not by pair.

use crate::effect::{Effect, Identity, Socket, State, Touch};
use crate::model::{Files, all_capabilities};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A state, by number.
type Key = u32;

/// Two steps, by number: there may be very many such pairs.
pub type Pair = (u32, u32);

/// What every step touches.
pub struct Touched {
    /// the states and whether a step may change them, each state once: those of one step behind those of the other
    list: Vec<(Key, bool)>,
    /// where those of each step begin; the next one's begin is their end
    begin: Vec<usize>,
    /// the states by number
    states: Vec<Owned>,
}

/// A state that is kept longer than the effect that touches it.
enum Owned {
    /// in words
    Plain(String),
    Path(PathBuf),
    Address(Socket),
}

impl Touched {
    /// `steps`: the effects of each step (none for one that is skipped), in any order. `start`: where the
    /// process begins. What leads to the same file by another name, or in another root, is the same state.
    pub fn new(steps: &[&[Effect]], start: &Identity, files: &Files) -> Touched {
        let places = Places::new(steps, start, files);
        let mut known = Known::default();
        let mut written: Vec<bool> = Vec::new();
        let mut all: Vec<(Key, bool)> = Vec::new();
        let mut begin = vec![0];
        for effects in steps {
            let first = all.len();
            for effect in *effects {
                effect.touches(&mut |state, touch| {
                    let writes = touch == Touch::Writes;
                    known.each(state, &places, &mut |key| {
                        all.push((key, writes));
                        written.resize(written.len().max(key as usize + 1), false);
                        written[key as usize] |= writes;
                    });
                });
            }
            // A write stands for the read of the same state.
            all[first..].sort_unstable_by_key(|(key, writes)| (*key, !*writes));
            let mut kept = first;
            for i in first..all.len() {
                if i == first || all[i].0 != all[kept - 1].0 {
                    all[kept] = all[i];
                    kept += 1;
                }
            }
            all.truncate(kept);
            begin.push(all.len());
        }
        // What nobody changes is no state that anybody meets in.
        let mut list = Vec::with_capacity(all.iter().filter(|(key, _)| written[*key as usize]).count());
        let mut last = 0;
        for end in &mut begin {
            list.extend(all[last..*end].iter().filter(|(key, _)| written[*key as usize]));
            last = std::mem::replace(end, list.len());
        }
        Touched { list, begin, states: known.states }
    }

    fn of(&self, step: usize) -> &[(Key, bool)] {
        &self.list[self.begin[step]..self.begin[step + 1]]
    }

    /// The pairs of steps that meet in a state, the earlier one in `order` first: a change and what next
    /// reads or changes it, a reader and the next change. All other pairs that touch the same state
    /// follow from these. Each pair once, sorted.
    pub fn meetings(&self, order: &[usize]) -> Vec<Pair> {
        let mut last: HashMap<Key, (Option<u32>, Vec<u32>)> = HashMap::new();
        let mut pairs = Vec::new();
        for step in order.iter().map(|step| *step as u32) {
            for (key, writes) in self.of(step as usize) {
                let (writer, readers) = last.entry(*key).or_default();
                if *writes {
                    match (&readers[..], *writer) {
                        ([], Some(writer)) => pairs.push((writer, step)),
                        _ => pairs.extend(readers.drain(..).map(|other| (other, step))),
                    }
                    *writer = Some(step);
                } else {
                    if let Some(writer) = *writer {
                        pairs.push((writer, step));
                    }
                    readers.push(step);
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// True where two steps touch the same state, and one of them changes it.
    pub fn meet(&self, a: usize, b: usize) -> bool {
        self.both(a, b).next().is_some()
    }

    /// All that two steps both touch and one of them changes, in words.
    pub fn shared(&self, a: usize, b: usize) -> Vec<String> {
        self.both(a, b).map(|key| self.states[key as usize].to_string()).collect()
    }

    fn both(&self, a: usize, b: usize) -> impl Iterator<Item = Key> {
        let of_a: HashMap<Key, bool> = self.of(a).iter().copied().collect();
        let changed = move |(key, writes): &&(Key, bool)| of_a.get(key).is_some_and(|also| *also || *writes);
        self.of(b).iter().filter(changed).map(|(key, _)| *key)
    }
}

impl std::fmt::Display for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owned::Plain(words) => f.write_str(words),
            Owned::Path(path) => State::Path(path).fmt(f),
            Owned::Address(socket) => State::Address(socket).fmt(f),
        }
    }
}

/// States, numbered as they come.
#[derive(Default)]
struct Known<'a> {
    states: Vec<Owned>,
    plain: Vec<(State<'a>, Key)>,
    addresses: HashMap<&'a Socket, Key>,
    /// the number of each place in the file system
    places: HashMap<PathBuf, Key>,
    /// of each path that was named, the places it may lead to
    paths: HashMap<&'a Path, Vec<Key>>,
}

impl<'a> Known<'a> {
    /// Every number of a state: a path has one for each place that it may lead to.
    fn each(&mut self, state: State<'a>, places: &Places, add: &mut dyn FnMut(Key)) {
        let next = self.states.len() as Key;
        match state {
            State::Path(_) if places.everywhere => self.plain(state, Some("the files"), add),
            State::Path(path) => {
                if !self.paths.contains_key(path) {
                    let mut keys = Vec::new();
                    for place in places.of(path) {
                        let next = self.states.len() as Key;
                        let key = *self.places.entry(place.clone()).or_insert(next);
                        if key == next {
                            self.states.push(Owned::Path(place));
                        }
                        keys.push(key);
                    }
                    self.paths.insert(path, keys);
                }
                self.paths.get(path).into_iter().flatten().for_each(|key| add(*key));
            }
            State::Address(socket) => {
                let key = *self.addresses.entry(socket).or_insert(next);
                if key == next {
                    self.states.push(Owned::Address(socket.clone()));
                }
                add(key);
            }
            plain => self.plain(plain, None, add),
        }
    }

    /// A state that there is one of.
    fn plain(&mut self, state: State<'a>, words: Option<&str>, add: &mut dyn FnMut(Key)) {
        let same = |known: &&(State, Key)| std::mem::discriminant(&known.0) == std::mem::discriminant(&state);
        let known = self.plain.iter().find(same).map(|(_, key)| *key);
        add(known.unwrap_or_else(|| {
            let next = self.states.len() as Key;
            self.plain.push((state, next));
            self.states.push(Owned::Plain(words.map_or_else(|| state.to_string(), str::to_owned)));
            next
        }));
    }
}

/// Where paths may lead: in every root that the steps may enter, from every directory that they may stand in.
struct Places<'a> {
    files: &'a Files,
    /// somebody whom nothing keeps out, in each of these places
    views: Vec<Identity>,
    /// there are more of them than are looked at: every path may lead everywhere
    everywhere: bool,
}

impl<'a> Places<'a> {
    /// More roots and working directories than this are not told apart.
    const VIEWS: usize = 64;

    fn new(steps: &[&[Effect]], start: &Identity, files: &'a Files) -> Places<'a> {
        let caps = all_capabilities();
        let anybody = Identity {
            uid: [0; 3],
            caps,
            root: start.root.clone(),
            cwd: start.cwd.clone(),
            ..Identity::default()
        };
        let mut places = Places { files, views: vec![anybody], everywhere: false };
        // Each with how often there is such a step: a root within a root is entered no more often.
        let mut enters: Vec<(bool, &Path, u32)> = Vec::new();
        for effect in steps.iter().copied().flatten() {
            let (root, path) = match effect {
                Effect::Chroot { path } => (true, path.as_path()),
                Effect::Chdir { path } => (false, path.as_path()),
                // What else decides where paths lead is not followed here.
                other => {
                    other.touches(&mut |state, touch| {
                        places.everywhere |= state == State::Root && touch == Touch::Writes;
                    });
                    continue;
                }
            };
            match enters.iter_mut().find(|(r, p, _)| (*r, *p) == (root, path)) {
                Some((_, _, times)) => *times += 1,
                None => enters.push((root, path, 1)),
            }
            places.everywhere |= enters.len() > Self::VIEWS;
            if places.everywhere {
                return places;
            }
        }
        places.enter(&enters);
        places
    }

    /// Adds what is seen when these are entered in any order: a root or not, where, and how often at most.
    fn enter(&mut self, enters: &[(bool, &Path, u32)]) {
        // Of each view what of them was entered on the way to it.
        let mut ways = vec![vec![0; enters.len()]];
        let mut next = 0;
        while let (Some(view), Some(way)) = (self.views.get(next).cloned(), ways.get(next).cloned()) {
            next += 1;
            for (n, (root, path, times)) in enters.iter().enumerate() {
                if way[n] == *times {
                    continue;
                }
                let at = self.deepest(&view, path);
                let cwd = match root {
                    true => self.files.seen(&at, &self.files.standing(&view)),
                    false => self.files.seen(&view.root, &at),
                };
                let other =
                    Identity { cwd, root: if *root { at } else { view.root.clone() }, ..view.clone() };
                let mut way = way.clone();
                way[n] += 1;
                let shorter = |known: &Vec<u32>| known.iter().zip(&way).all(|(known, new)| known <= new);
                let known = |(known, by): (&Identity, &Vec<u32>)| *known == other && shorter(by);
                if !self.views.iter().zip(&ways).any(known) {
                    self.views.push(other);
                    ways.push(way);
                }
            }
            if self.views.len() > Self::VIEWS {
                self.everywhere = true;
                return;
            }
        }
    }

    /// The name itself first, then every place that it may lead to.
    fn of(&self, path: &Path) -> Vec<PathBuf> {
        let mut places = vec![path.to_owned()];
        for view in &self.views {
            for place in [self.files.name(view, path), self.files.resolve(view, path)] {
                let place = place.unwrap_or_else(|_| self.deepest(view, path));
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }

    /// Where a path leads as far as it is there; what is not comes behind.
    fn deepest(&self, who: &Identity, path: &Path) -> PathBuf {
        for above in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
            if let (Ok(at), Ok(rest)) = (self.files.resolve(who, above), path.strip_prefix(above)) {
                return if rest.as_os_str().is_empty() { at } else { at.join(rest) };
            }
        }
        match path.is_absolute() {
            true => self.files.join(&who.root, path),
            false => self.files.standing(who).join(path),
        }
    }
}
