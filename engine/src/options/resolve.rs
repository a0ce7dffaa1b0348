//! Which value each option has in this run.

use super::Launch;
use super::substitute::{references, substitute};
use super::value::check_given;
use crate::diagnostic::{At, Diagnostic};
use crate::kind::Type;
use crate::spec::{Condition, Given, OptionDef, Spec};
use std::collections::HashMap;

/// The value of every option of a spec.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    name: String,
    root: bool,
    /// in the order of the spec
    order: Vec<String>,
    options: HashMap<String, Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    ty: Type,
    value: Option<Given>,
    /// said on the command line, if only that it has no value
    given: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Waiting,
    Done,
}

impl Settings {
    /// The values of the spec's options: those given on the command line, else the first default
    /// whose condition holds. Each is checked against its type, but users and groups are not
    /// looked up yet.
    pub fn resolve(spec: &Spec, given: &[(String, Given)], launch: &Launch) -> (Settings, Vec<Diagnostic>) {
        let mut findings = Vec::new();
        let blank = |o: &OptionDef| Setting { ty: o.ty, value: None, given: false, state: State::Open };
        let mut settings = Settings {
            name: launch.name.clone(),
            root: launch.root,
            order: spec.options.iter().map(|o| o.name.v.clone()).collect(),
            options: spec.options.iter().map(|o| (o.name.v.clone(), blank(o))).collect(),
        };
        let definitions: HashMap<&str, &OptionDef> =
            spec.options.iter().map(|o| (o.name.v.as_str(), o)).collect();
        for (name, value) in given {
            match definitions.get(name.as_str()) {
                Some(option) => settings.give(option, value),
                None => findings.push(unknown(name, value, spec)),
            }
        }
        for option in &spec.options {
            settings.default(option, &definitions, &mut findings);
        }
        for option in &spec.options {
            let Some(setting) = settings.options.get_mut(&option.name.v) else { continue };
            if let Some(value) = &setting.value
                && let Err(wrong) = check_given(option.ty, option.list, value, launch)
            {
                let named =
                    |d: Diagnostic| d.note(format!("the value is for the option `{}`", option.name.v));
                findings.extend(wrong.into_iter().map(named));
                setting.value = None;
            } else if setting.value.is_none() && option.required {
                findings.push(without(option));
            }
        }
        (settings, findings)
    }

    /// A list grows with every mention, of other options the last mention counts; nothing or an
    /// empty text takes the value away.
    fn give(&mut self, option: &OptionDef, value: &Given) {
        let Some(setting) = self.options.get_mut(&option.name.v) else { return };
        let many = option.list || option.ty == Type::Command;
        let value = match value {
            Given::One(text) if text.v.is_empty() => None,
            Given::List(texts) if texts.iter().all(|t| t.v.is_empty()) => None,
            Given::One(text) if many => Some(Given::List(vec![text.clone()])),
            value => Some(value.clone()),
        };
        setting.value = match (setting.value.take(), value) {
            (Some(Given::List(mut old)), Some(Given::List(new))) if many => {
                old.extend(new);
                Some(Given::List(old))
            }
            (_, value) => value,
        };
        setting.given = true;
        setting.state = State::Done;
    }

    /// Finds the default of an option, after those it depends on; without recursion, for a spec may
    /// chain as many as it likes.
    fn default(
        &mut self,
        option: &OptionDef,
        definitions: &HashMap<&str, &OptionDef>,
        findings: &mut Vec<Diagnostic>,
    ) {
        let mut path: Vec<&OptionDef> = vec![option];
        while let Some(top) = path.last().copied() {
            let open = |settings: &Settings, name: &str| settings.options.get(name).map(|s| s.state);
            if open(self, &top.name.v) == Some(State::Done) {
                path.pop();
                continue;
            }
            let value = match self.choose(top) {
                Ok(value) => value,
                Err(needed) => match (open(self, &needed), definitions.get(needed.as_str())) {
                    (Some(State::Open), Some(next)) => {
                        self.set(&top.name.v, State::Waiting, None);
                        path.push(next);
                        continue;
                    }
                    _ => {
                        let from = path.iter().position(|o| o.name.v == needed).unwrap_or(0);
                        findings.push(circle(&path[from..]));
                        for member in &path[from..] {
                            self.set(&member.name.v, State::Done, None);
                        }
                        continue;
                    }
                },
            };
            let value = match value.map(|v| substitute(v, self)).transpose() {
                Ok(value) => value.flatten().filter(|v| !matches!(v, Given::One(t) if t.v.is_empty())),
                Err(wrong) => {
                    // What names no option was found when the spec was read.
                    findings.extend(wrong.into_iter().filter(|d| d.code != "RSD0111"));
                    None
                }
            };
            let many = top.list || top.ty == Type::Command;
            let value = value.map(|v| match v {
                Given::One(text) if many => Given::List(vec![text]),
                v => v,
            });
            self.set(&top.name.v, State::Done, value);
            path.pop();
        }
    }

    /// The first default whose condition holds, or the option that must be known before.
    fn choose<'a>(&self, option: &'a OptionDef) -> Result<Option<&'a Given>, String> {
        let known = |name: &str| match self.options.get(name) {
            Some(setting) if setting.state != State::Done => Err(name.to_owned()),
            _ => Ok(()),
        };
        for default in &option.defaults {
            let mut holds = true;
            for condition in &default.when {
                known(&condition.v.option)?;
                holds &= self.is_set(&condition.v.option) != condition.v.not;
                if !holds {
                    break;
                }
            }
            if holds {
                references(&default.value).into_iter().try_for_each(known)?;
                return Ok(Some(&default.value));
            }
        }
        Ok(None)
    }

    fn set(&mut self, name: &str, state: State, value: Option<Given>) {
        if let Some(setting) = self.options.get_mut(name) {
            setting.state = state;
            setting.value = value;
        }
    }

    /// Whether the option has a value; a flag that is false counts as not set. `root`: started as
    /// uid 0.
    pub fn is_set(&self, name: &str) -> bool {
        if name == "root" {
            return self.root;
        }
        self.options.get(name).is_some_and(|setting| match (&setting.value, setting.ty) {
            (None, _) => false,
            (Some(Given::One(text)), Type::Flag) => text.v == "true",
            (Some(_), _) => true,
        })
    }

    /// The option's value, as text.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.value(name).flatten()
    }

    /// Whether all of these hold, and if not, why: "`nodaemon` is set".
    pub fn holds(&self, conditions: &[At<Condition>]) -> Result<(), String> {
        for At { v: Condition { option, not }, .. } in conditions {
            if self.is_set(option) == *not {
                return Err(match (option.as_str(), not) {
                    ("root", true) => "started as root".to_owned(),
                    ("root", false) => "not started as root".to_owned(),
                    (option, true) => format!("`{option}` is set"),
                    (option, false) => format!("`{option}` is not set"),
                });
            }
        }
        Ok(())
    }

    /// The instance's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the command line said something about the option.
    pub fn was_given(&self, name: &str) -> bool {
        self.options.get(name).is_some_and(|s| s.given)
    }

    /// Every option, in the order of the spec.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// `None`: there is no such option.
    pub(super) fn value(&self, name: &str) -> Option<Option<&Given>> {
        self.options.get(name).map(|s| s.value.as_ref())
    }
}

fn unknown(name: &str, value: &Given, spec: &Spec) -> Diagnostic {
    let at = match value {
        Given::One(text) => Some(text.at),
        Given::List(texts) => texts.first().map(|t| t.at),
    };
    let mut finding = Diagnostic::error("RSD0111", format!("this spec has no option `{name}`"));
    finding = match at {
        Some(at) => finding.at(at, format!("given to `{name}`")),
        None => finding.in_file("<command line>"),
    };
    let known: Vec<&str> = spec.options.iter().map(|o| o.name.v.as_str()).collect();
    finding.help(match crate::text::did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `--{meant}`?"),
        None if known.is_empty() => "it has none at all".to_owned(),
        None => format!("it has --{}", known.join(", --")),
    })
}

fn without(option: &OptionDef) -> Diagnostic {
    let name = &option.name.v;
    Diagnostic::error("RSD0114", format!("the option `{name}` must be given"))
        .at(option.name.at, "it is required, and has no value")
        .help(match (option.rest, option.ty) {
            (true, _) => "give it behind `--`, at the end of the command line".to_owned(),
            (false, Type::Flag) => format!("give `--{name}`"),
            (false, ty) => format!("give `--{name} {}`", ty.name().to_uppercase()),
        })
}

fn circle(path: &[&OptionDef]) -> Diagnostic {
    let mut names: Vec<String> = path.iter().map(|o| format!("`{}`", o.name.v)).collect();
    names.extend(names.first().cloned());
    let title = format!("defaults depend on one another in a circle: {}", names.join(" -> "));
    let mut finding = Diagnostic::error("RSD0112", title);
    for (n, option) in path.iter().enumerate() {
        let text = format!("its default depends on {}", names[n + 1]);
        finding = if n == 0 { finding.at(option.name.at, text) } else { finding.with(option.name.at, text) };
    }
    finding.help("give one of them a default that depends on nothing")
}
