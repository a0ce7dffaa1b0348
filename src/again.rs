//! The command that means the same daemon: a hint that leaves its name away would lead to another one.

use crate::twistd;
use clap::ArgMatches;
use clap::parser::ValueSource;
use engine::effect::Effect;
use engine::plan::Plan;
use engine::spec::Given;
use engine::text::clean;
use std::path::Path;

/// As hints are written that know nothing of the command line.
const PLAIN: &str = "`rsd stop`";

/// What must be said behind `rsd stop`, `rsd status` … to mean this daemon: its spec, its name, and what else was
/// given that says where its PID file is.
#[derive(Clone, Debug, Default)]
pub struct Again(String);

impl Again {
    /// `given` are the values of the spec's options, `cwd` the directory that relative paths begin in.
    pub fn new(matches: &ArgMatches, given: &[(String, Given)], plan: Option<&Plan>, cwd: &Path) -> Again {
        let mut words = Vec::new();
        for name in ["spec", "name"] {
            let typed = matches.value_source(name) == Some(ValueSource::CommandLine);
            if let Some(value) = matches.get_one::<String>(name).filter(|_| typed) {
                words.extend([format!("--{name}"), value.clone()]);
            }
        }
        if matches!(matches.try_get_one::<bool>("trust-spec"), Ok(Some(true))) {
            words.push("--trust-spec".to_owned());
        }
        let places: Vec<&Path> =
            plan.iter().flat_map(|p| p.effects()).filter_map(|(_, e)| place(e)).collect();
        for (name, value) in given {
            if let Given::One(value) = value
                && !value.v.is_empty()
                && places.contains(&cwd.join(&value.v).as_path())
            {
                words.extend([format!("--{name}"), value.v.clone()]);
            }
        }
        Again(words.iter().map(|word| format!(" {}", twistd::quoted(word))).collect())
    }

    /// `rsd stop --spec daemon --name web`.
    pub fn line(&self, subcommand: &str) -> String {
        clean(&format!("rsd {subcommand}{}", self.0)).into_owned()
    }

    /// A hint in which a plain `rsd stop` has become the whole command.
    pub fn whole(&self, hint: &str) -> String {
        hint.replace(PLAIN, &format!("`{}`", self.line("stop")))
    }
}

/// Where the PID file is, or the root that it is in.
fn place(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::CheckPidFile { path } | Effect::CreatePidFile { path, .. } | Effect::Chroot { path } => {
            Some(path)
        }
        _ => None,
    }
}
