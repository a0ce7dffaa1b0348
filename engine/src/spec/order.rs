//! `order`: one sequence, edited by overlays and by `--order`.

use super::Spec;
use super::finish::suggestible;
use crate::diagnostic::{At, Diagnostic};
use std::collections::{HashMap, HashSet};

/// The sequence `base` after an overlay said `edit`. Going along the list, a phase that stands
/// earlier than the one named before it moves to directly behind it, an absent one is put there, and
/// all others stay. Absent ones at the head of the list go directly before the first that is there.
pub fn edit_order(base: Vec<At<String>>, edit: &[At<String>]) -> Vec<At<String>> {
    let inherited: HashSet<String> = base.iter().map(|a| a.v.clone()).collect();
    let mut rest = base.into_iter().peekable();
    // Ends with the phase named last: whatever stands in it and is named again stands too early.
    let mut settled = Settled::default();
    let first = edit.iter().find(|e| inherited.contains(&e.v));
    while let Some(item) = rest.next_if(|item| first.is_none_or(|f| f.v != item.v)) {
        settled.push(item);
    }
    for named in edit {
        if !settled.take(&named.v) && inherited.contains(&named.v) {
            for item in rest.by_ref() {
                if item.v == named.v {
                    break;
                }
                settled.push(item);
            }
        }
        settled.push(named.clone());
    }
    settled.list.into_iter().flatten().chain(rest).collect()
}

/// A list that entries are taken out of by name.
#[derive(Default)]
struct Settled {
    list: Vec<Option<At<String>>>,
    at: HashMap<String, usize>,
}

impl Settled {
    fn push(&mut self, item: At<String>) {
        self.at.insert(item.v.clone(), self.list.len());
        self.list.push(Some(item));
    }

    fn take(&mut self, name: &str) -> bool {
        self.at.remove(name).and_then(|n| self.list[n].take()).is_some()
    }
}

/// What is wrong with a list of names for [`edit_order`]: unknown ones, groups, names said twice.
pub fn check_order(spec: &Spec, order: &[At<String>]) -> Vec<Diagnostic> {
    let leaves: HashSet<&str> = spec.phases.iter().map(|p| p.name.v.as_str()).collect();
    let groups: HashMap<&str, &At<String>> =
        spec.groups.iter().map(|g| (g.name.v.as_str(), &g.name)).collect();
    let mut seen: HashMap<&str, &At<String>> = HashMap::new();
    let mut findings = Vec::new();
    for name in order {
        if let Some(first) = seen.insert(&name.v, name) {
            findings.push(
                Diagnostic::error("RSD0208", format!("`order` names `{}` twice", name.v))
                    .with(first.at, "first here")
                    .at(name.at, "and again here")
                    .phase(&name.v),
            );
            continue;
        }
        if leaves.contains(name.v.as_str()) {
            continue;
        }
        if let Some(group) = groups.get(name.v.as_str()) {
            findings.push(
                Diagnostic::error("RSD0208", format!("`order` names the group `{}`", name.v))
                    .with(group.at, "a group")
                    .at(name.at, "`order` is a sequence of phases")
                    .help("name the phases in it"),
            );
        } else {
            let known = spec.phases.iter().map(|p| p.name.v.as_str()).take(suggestible(&findings));
            findings.push(
                Diagnostic::error(
                    "RSD0208",
                    format!("`order` names `{}`, and there is no such phase", name.v),
                )
                .at(name.at, "not a phase of this spec")
                .suggest(name.at, &name.v, known),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    fn names(text: &str) -> Vec<At<String>> {
        text.split_whitespace().map(|n| At::new(n.to_owned(), Place::default())).collect()
    }

    #[test]
    fn an_edit_means_what_a_person_means() {
        for (base, edit, edited) in [
            ("a b c d", "", "a b c d"),
            ("a b c d", "a b", "a b c d"),
            ("a b c d", "c a", "b c a d"),
            ("a b c d", "a d b", "a c d b"),
            ("a b c d", "d a c", "b d a c"),
            ("a b c d", "b x c", "a b x c d"),
            ("a b c d", "b x d c", "a b x d c"),
            ("a b c d", "x c", "a b x c d"),
            ("a b c d", "x y", "a b c d x y"),
            ("", "x y", "x y"),
            ("a b c d", "d c b a", "d c b a"),
            ("a b c", "b a b", "a b c"),
        ] {
            let got: Vec<_> = edit_order(names(base), &names(edit)).into_iter().map(|a| a.v).collect();
            assert_eq!(got.join(" "), edited, "{base} edited by {edit}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_edit_loses_nothing_and_its_words_hold(edit in proptest::collection::vec(0u8..12, 0..12)) {
            let base: Vec<_> = (0..8u8).map(|n| At::new(n.to_string(), Place::default())).collect();
            let mut unique = edit.clone();
            unique.sort_unstable();
            unique.dedup();
            let list: Vec<_> = edit.iter().map(|n| At::new(n.to_string(), Place::default())).collect();
            let got: Vec<_> = edit_order(base, &list).into_iter().map(|a| a.v).collect();
            let set: HashSet<_> = got.iter().collect();
            proptest::prop_assert_eq!(set.len(), got.len());
            proptest::prop_assert_eq!(got.len(), 8 + unique.iter().filter(|n| **n >= 8).count());
            if unique.len() == edit.len() {
                let at = |n: &u8| got.iter().position(|g| *g == n.to_string());
                proptest::prop_assert!(edit.windows(2).all(|w| at(&w[0]) < at(&w[1])));
            }
        }
    }
}
