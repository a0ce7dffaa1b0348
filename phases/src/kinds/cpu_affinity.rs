//! `cpu-affinity`: the processors it runs on.

use super::several;
use crate::sys::settings::MOST_CPUS;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type, Unfit};
use std::collections::BTreeSet;

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "cpu-affinity",
    about: "Lets the process run on some processors only.",
    details: "sched_setaffinity(2); inherited, also over execve(2). Numbers and ranges: `[0, 2-5]`. Those that \
              this process may not have (cpuset(7)) do not count; that one at least is there, is checked. It \
              needs no privilege, and takes none away: a program may choose again.",
    params: &[several("cpus", Type::String, "numbers of processors, and ranges of them")],
    learns: None,
    effects: |args, _| {
        let mut cpus = BTreeSet::new();
        for word in args.strings("cpus") {
            let (first, last) = word.split_once('-').unwrap_or((&word, &word));
            let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n < MOST_CPUS);
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
                _ => {
                    return Err(Unfit::new(
                        format!("`{word}` is neither a processor nor a range of them"),
                        format!("write numbers below {MOST_CPUS}: 0, or 2-5"),
                    )
                    .in_list("cpus", word.clone()));
                }
            }
        }
        if cpus.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Effect::Process(Setting::Affinity(cpus.into_iter().collect()))])
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use engine::kind::{Args, Context, Value};

    #[test]
    fn numbers_and_ranges() {
        let of = |words: &[&str]| {
            let list = words.iter().map(|w| Value::String((*w).to_owned())).collect();
            (KIND.effects)(&Args(vec![("cpus", Value::List(list))]), &Context::default())
        };
        let four = vec![Effect::Process(Setting::Affinity(vec![0, 2, 3, 4]))];
        assert_eq!(of(&["2-4", "0", "3"]), Ok(four.clone()));
        assert_eq!(four[0].to_string(), "run on processors 0 2-4");
        for wrong in ["", "a", "4-2", "1024", "-1", "0-99999999999"] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
    }
}
