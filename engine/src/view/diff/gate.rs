//! What must not have changed, for CI.

use super::{Change, Diff, Verdict};
use crate::text::{did_you_mean, duration};

/// Something that must not be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// time to ready grew by more than that
    Slower(Limit),
    /// another phase runs as somebody else
    Identity,
    /// another phase ended otherwise
    State,
    /// phases came, went, moved or need something else
    Order,
}

/// How much longer it may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// a part of the old time
    Share(f64),
    /// nanoseconds
    Time(u64),
}

impl Gate {
    /// `slower=10%`, `slower=50ms`, `identity`, `state` or `order`.
    pub fn parse(text: &str) -> Result<Gate, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        match (name, value) {
            ("identity", None) => Ok(Gate::Identity),
            ("state", None) => Ok(Gate::State),
            ("order", None) => Ok(Gate::Order),
            ("slower", Some(value)) => limit(value).map(Gate::Slower).ok_or_else(|| {
                format!("`{value}` is neither a share such as `10%` nor a time such as `50ms`")
            }),
            ("slower", None) => Err("say how much slower: `slower=10%` or `slower=50ms`".to_owned()),
            ("identity" | "state" | "order", Some(_)) => Err(format!("`{name}` takes no value")),
            _ => {
                let meant = did_you_mean(name, ["slower", "identity", "state", "order"]);
                let meant = meant.map_or(String::new(), |m| format!("; did you mean `{m}`?"));
                Err(format!("`{name}` is none of slower=…, identity, state, order{meant}"))
            }
        }
    }
}

fn limit(value: &str) -> Option<Limit> {
    let number = |s: &str| s.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    if let Some(percent) = value.strip_suffix('%') {
        return Some(Limit::Share(number(percent)? / 100.0));
    }
    let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    let (number_part, scale) = units.iter().find_map(|(u, scale)| Some((value.strip_suffix(u)?, scale)))?;
    Some(Limit::Time((number(number_part)? * scale) as u64))
}

impl Diff<'_> {
    /// Why it is not good enough, one sentence a reason; none if it is.
    pub fn failing(&self, gates: &[Gate]) -> Vec<String> {
        gates.iter().filter_map(|gate| self.fails(*gate)).collect()
    }

    fn fails(&self, gate: Gate) -> Option<String> {
        let first = |word: &str, changes: &[Change]| {
            let one = changes.first()?;
            let more = match changes.len() {
                1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            Some(format!("{word}: {}{more}", one.text))
        };
        match gate {
            Gate::Identity => first("identity", &self.identity),
            Gate::State => first("state", &self.state),
            Gate::Order => first("order", &self.order),
            Gate::Slower(limit) => self.slower(limit),
        }
    }

    fn slower(&self, limit: Limit) -> Option<String> {
        let Some(ready) = self.ready else {
            return match (self.old.ready_ns, self.new.ready_ns) {
                (Some(_), None) => Some("slower: the new run never became ready".to_owned()),
                (None, Some(_)) => None,
                _ => Some("slower: neither run became ready, so nothing can be said".to_owned()),
            };
        };
        let allowed = match limit {
            Limit::Share(share) => (ready.old_ns as f64 * share) as u64,
            Limit::Time(ns) => ns,
        };
        let grown = ready.new_ns.saturating_sub(ready.old_ns);
        // What runs differ by themselves is nobody's fault.
        if grown <= allowed || ready.verdict == Verdict::Noise {
            return None;
        }
        let share = grown as f64 / ready.old_ns.max(1) as f64 * 100.0;
        Some(format!(
            "slower: ready took {} more ({} → {}, {share:.0}%); {} more are allowed",
            duration(grown),
            duration(ready.old_ns),
            duration(ready.new_ns),
            duration(allowed)
        ))
    }
}
