//! Which users and groups a run will look up.

use super::{Settings, substitute};
use crate::kind::{Catalogue, Type};
use crate::spec::{Given, Spec};
use std::collections::BTreeSet;

#[derive(Default)]
struct Names {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

/// The texts that will be looked up as users and as groups: what a snapshot has to know.
pub fn wanted_names(spec: &Spec, settings: &Settings, catalogue: Catalogue) -> (Vec<String>, Vec<String>) {
    let mut names = Names::default();
    for option in &spec.options {
        if let Some(given) = settings.get(&option.name.v) {
            names.want(option.ty, given);
        }
    }
    for phase in &spec.phases {
        let Some(kind) = catalogue.get(&phase.kind.v) else { continue };
        for param in kind.params {
            match phase.with.iter().find(|(key, _)| key.v == param.name) {
                Some((_, written)) => {
                    if let Ok(Some(given)) = substitute(written, settings) {
                        names.want(param.ty, &given);
                    }
                }
                None => param.default.into_iter().for_each(|text| names.add(param.ty, text)),
            }
        }
    }
    (names.users.into_iter().collect(), names.groups.into_iter().collect())
}

impl Names {
    fn want(&mut self, ty: Type, given: &Given) {
        match given {
            Given::One(text) => self.add(ty, &text.v),
            Given::List(texts) => texts.iter().for_each(|text| self.add(ty, &text.v)),
        }
    }

    fn add(&mut self, ty: Type, text: &str) {
        match (ty, text.split_once(':')) {
            (Type::User, _) => drop(self.users.insert(text.to_owned())),
            (Type::Group, _) => drop(self.groups.insert(text.to_owned())),
            (Type::Owner, Some((user, group))) => {
                self.users.insert(user.to_owned());
                self.groups.insert(group.to_owned());
            }
            (Type::Socket, _) => {
                let (users, groups) = super::socket::names(text);
                self.users.extend(users);
                self.groups.extend(groups);
            }
            (Type::Owner, None) if text != "dropped" => drop(self.users.insert(text.to_owned())),
            _ => {}
        }
    }
}
