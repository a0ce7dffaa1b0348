//! Names of phases and groups, and needs as phases.

use crate::diagnostic::{At, Diagnostic, Place};
use crate::spec::{Phase, Spec};
use std::collections::HashMap;

/// The phases and groups of a spec, by name.
pub(super) struct Names<'a> {
    pub(super) phases: HashMap<&'a str, usize>,
    pub(super) groups: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(spec: &'a Spec) -> Self {
        let phases = spec.phases.iter().enumerate().map(|(i, p)| (p.name.v.as_str(), i)).collect();
        let mut groups: HashMap<&str, Vec<usize>> =
            spec.groups.iter().map(|g| (g.name.v.as_str(), Vec::new())).collect();
        for (i, phase) in spec.phases.iter().enumerate() {
            for group in spec.group_path(phase.group) {
                if let Some(leaves) = groups.get_mut(group) {
                    leaves.push(i);
                }
            }
        }
        Names { phases, groups }
    }

    /// The phases that a phase needs, its groups' needs among them, each with the place of the need.
    pub(super) fn needs_of(
        &self,
        spec: &Spec,
        i: usize,
        phase: &Phase,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<(usize, Place)> {
        let mut needs = Vec::new();
        for need in &phase.needs {
            self.need(need, &phase.name, i, true, &mut needs, findings);
        }
        let mut group = phase.group;
        while let Some(g) = group {
            let first =
                self.groups.get(spec.groups[g].name.v.as_str()).is_some_and(|l| l.first() == Some(&i));
            for need in &spec.groups[g].needs {
                self.need(need, &spec.groups[g].name, i, first, &mut needs, findings);
            }
            group = spec.groups[g].parent;
        }
        needs.sort_unstable();
        needs.dedup_by_key(|(n, _)| *n);
        needs
    }

    /// `say`: report what is wrong here (a group's needs are looked at once for each of its leaves).
    fn need(
        &self,
        need: &At<String>,
        owner: &At<String>,
        i: usize,
        say: bool,
        needs: &mut Vec<(usize, Place)>,
        findings: &mut Vec<Diagnostic>,
    ) {
        let leaves: &[usize] = match (self.phases.get(need.v.as_str()), self.groups.get(need.v.as_str())) {
            (Some(one), _) => &[*one],
            (None, Some(leaves)) => leaves,
            (None, None) => {
                if say {
                    let known = self.phases.keys().chain(self.groups.keys()).copied();
                    findings.push(
                        Diagnostic::error(
                            "RSD0201",
                            format!("`{}` needs `{}`, and there is no such phase or group", owner.v, need.v),
                        )
                        .at(need.at, "no phase or group of this name")
                        .with(owner.at, "this needs it")
                        .phase(&owner.v)
                        .suggest(need.at, &need.v, known),
                    );
                }
                return;
            }
        };
        if leaves.contains(&i) {
            if say {
                findings.push(
                    Diagnostic::error("RSD0205", format!("`{}` needs itself", owner.v))
                        .at(
                            need.at,
                            if need.v == owner.v {
                                "its own name".to_owned()
                            } else {
                                format!("`{}` holds `{}`", need.v, owner.v)
                            },
                        )
                        .with(owner.at, "this needs it")
                        .phase(&owner.v)
                        .help("remove the need; a phase that must run twice is two phases"),
                );
            }
            return;
        }
        needs.extend(leaves.iter().map(|n| (*n, need.at)));
    }
}
