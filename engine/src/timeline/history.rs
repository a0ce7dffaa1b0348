//! What earlier runs took: the usual time of a phase, and how much it varies by itself.

use super::Timeline;
use crate::state::Phase;
use std::collections::HashMap;

/// From so many runs on their scatter says something.
pub const ENOUGH: usize = 5;

/// The times of earlier runs of a spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    runs: usize,
    ready: Vec<u64>,
    phases: HashMap<String, Vec<u64>>,
}

/// What something usually takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// the median, in nanoseconds
    pub median_ns: u64,
    /// three times the median distance from it: a difference within it means nothing. `None` where
    /// there are fewer than [`ENOUGH`] runs
    pub noise_ns: Option<u64>,
    /// of how many runs
    pub runs: usize,
}

impl Usual {
    fn of(times: &[u64]) -> Option<Usual> {
        let median_ns = median(times.to_vec())?;
        let scatter = median(times.iter().map(|t| t.abs_diff(median_ns)).collect())?;
        let noise_ns = (times.len() >= ENOUGH).then(|| scatter.saturating_mul(3));
        Some(Usual { median_ns, noise_ns, runs: times.len() })
    }

    /// Above this it is slow and not just unlucky.
    pub fn slow_ns(&self) -> Option<u64> {
        Some(self.median_ns.saturating_add(self.noise_ns?))
    }
}

fn median(mut times: Vec<u64>) -> Option<u64> {
    times.sort_unstable();
    let half = times.len() / 2;
    match times.len() % 2 {
        0 => {
            let (a, b) = (*times.get(half.checked_sub(1)?)?, *times.get(half)?);
            Some(a + (b - a) / 2)
        }
        _ => times.get(half).copied(),
    }
}

/// The span in which the daemon served: the plan says which, else it is the first to begin once it
/// was ready. It lasts as long as people leave it alone, so its time says nothing.
pub fn served(timeline: &Timeline) -> Option<usize> {
    let ready = timeline.ready_ns?;
    if let Some(planned) = timeline.spans.iter().position(|s| s.phase.serves) {
        return Some(planned);
    }
    let after = timeline.spans.iter().enumerate().filter_map(|(i, s)| Some((s.start_ns?, i)));
    after.filter(|(start, _)| *start >= ready).min().map(|(_, i)| i)
}

/// True if both runs were to do the same: phases that both have are about the same things. The same
/// spec starts many daemons, and what one of them usually takes says nothing about another.
pub fn alike(one: &Timeline, other: &Timeline) -> bool {
    let of = |t: &'_ Timeline| -> HashMap<String, String> {
        t.spans.iter().map(|s| (s.phase.name.clone(), s.phase.detail.clone())).collect()
    };
    let other = of(other);
    of(one).iter().all(|(name, detail)| other.get(name).is_none_or(|d| d == detail))
}

impl History {
    /// Adds a run. Phases that were not done say nothing about how long they take.
    pub fn add(&mut self, timeline: &Timeline) {
        self.runs += 1;
        self.ready.extend(timeline.ready_ns);
        let served = served(timeline);
        for (i, span) in timeline.spans.iter().enumerate() {
            if span.state == Phase::Done
                && served != Some(i)
                && let Some(took) = span.took()
            {
                match self.phases.get_mut(&span.phase.name) {
                    Some(times) => times.push(took),
                    None => {
                        self.phases.insert(span.phase.name.clone(), vec![took]);
                    }
                }
            }
        }
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// The usual time to ready.
    pub fn ready(&self) -> Option<Usual> {
        Usual::of(&self.ready)
    }

    /// The usual time of a phase.
    pub fn phase(&self, name: &str) -> Option<Usual> {
        Usual::of(self.phases.get(name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::samples::*;

    #[test]
    fn median_and_three_times_the_median_distance() {
        let usual = Usual::of(&[100, 110, 90, 105, 1_000]);
        assert_eq!(
            usual,
            Some(Usual { median_ns: 105, noise_ns: Some(15), runs: 5 }),
            "one wild run changes little"
        );
        assert_eq!(usual.and_then(|u| u.slow_ns()), Some(120));
        assert_eq!(Usual::of(&[4, 8]), Some(Usual { median_ns: 6, noise_ns: None, runs: 2 }));
        assert_eq!(Usual::of(&[]), None);
        assert_eq!(Usual::of(&[u64::MAX; 6]).and_then(|u| u.slow_ns()), Some(u64::MAX));
    }

    #[test]
    fn alike_is_what_is_about_the_same_things() {
        let redis = Timeline::from_events(&crate::timeline::samples::served());
        let mut other = redis.clone();
        assert!(alike(&redis, &other));
        other.spans.truncate(3);
        assert!(alike(&redis, &other) && alike(&other, &redis), "a phase that only one has says nothing");
        other.spans[1].phase.detail = "another.tac".into();
        assert!(!alike(&redis, &other) && !alike(&other, &redis));
    }

    #[test]
    fn only_what_was_done_counts() {
        let mut history = History::default();
        history.add(&Timeline::from_events(&crate::timeline::samples::served()));
        history.add(&Timeline::from_events(&unwound()));
        assert_eq!(history.runs(), 2);
        assert_eq!(history.phase("readTacFile").map(|u| u.runs), Some(2));
        assert_eq!(history.phase("startReactor"), None, "three days of serving are no start-up");
        assert_eq!(history.phase("removePIDFile"), None, "it failed");
        assert_eq!(history.phase("openPIDFile").map(|u| u.runs), Some(1), "the other was undone");
        assert_eq!(history.ready().map(|u| u.runs), Some(1));
    }
}
