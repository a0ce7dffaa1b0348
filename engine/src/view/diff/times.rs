//! Times, old and new.

use super::{Pair, Times, Verdict};
use crate::state::Phase;
use crate::timeline::Timeline;
use crate::timeline::history::{History, Usual, served};
use std::cmp::Reverse;

impl Times {
    pub(super) fn new(old_ns: u64, new_ns: u64, usual: Option<Usual>) -> Times {
        let noise_ns = usual.and_then(|u| u.noise_ns);
        let verdict = match noise_ns {
            None => Verdict::Unknown,
            Some(noise) if old_ns.abs_diff(new_ns) <= noise => Verdict::Noise,
            Some(_) if new_ns > old_ns => Verdict::Slower,
            Some(_) => Verdict::Faster,
        };
        Times { old_ns, new_ns, noise_ns, verdict }
    }

    /// How much longer it takes now.
    pub fn change(&self) -> i128 {
        i128::from(self.new_ns) - i128::from(self.old_ns)
    }

    pub(super) fn size(&self) -> u64 {
        self.old_ns.abs_diff(self.new_ns)
    }
}

/// Every phase that was done in both, the largest difference first.
pub(super) fn times(
    old: &Timeline,
    new: &Timeline,
    pairs: &[Pair],
    history: &History,
) -> Vec<(String, Times)> {
    let (served_old, served_new) = (served(old), served(new));
    let done = |p: &&Pair| {
        let both = [p.old, p.new].iter().all(|s| matches!(s.state, Phase::Done | Phase::Undone));
        both && served_old != Some(p.was) && served_new != Some(p.place)
    };
    let mut times: Vec<(String, Times)> = pairs
        .iter()
        .filter(done)
        .filter_map(|p| {
            let name = &p.new.phase.name;
            Some((name.clone(), Times::new(p.old.took()?, p.new.took()?, history.phase(name))))
        })
        .collect();
    times.sort_by_key(|(_, t)| Reverse(t.size()));
    times
}
