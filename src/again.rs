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
const PLAIN: [&str; 2] = ["stop", "logs"];

/// What must be said behind `rsd stop`, `rsd status` … to mean this daemon: its spec, its name, and what else was
/// given that says where its PID file is.
#[derive(Clone, Debug, Default)]
pub struct Again {
    words: String,
    /// what says besides where its log is
    log: String,
}

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
        let places = |place: fn(&Effect) -> Option<&Path>| -> Vec<String> {
            let places: Vec<&Path> =
                plan.iter().flat_map(|p| p.effects()).filter_map(|(_, e)| place(e)).collect();
            let leads = |value: &str| !value.is_empty() && places.contains(&cwd.join(value).as_path());
            let named = given.iter().filter_map(|(name, value)| match value {
                Given::One(value) if leads(&value.v) => Some([format!("--{name}"), value.v.clone()]),
                _ => None,
            });
            named.flatten().collect()
        };
        words.extend(places(place));
        let quoted =
            |words: &[String]| words.iter().map(|word| format!(" {}", twistd::quoted(word))).collect();
        Again { words: quoted(&words), log: quoted(&places(log)) }
    }

    /// `rsd stop --spec daemon --name web`.
    pub fn line(&self, subcommand: &str) -> String {
        let log = if subcommand == "logs" { self.log.as_str() } else { "" };
        clean(&format!("rsd {subcommand}{}{log}", self.words)).into_owned()
    }

    /// A hint in which a plain `rsd stop` has become the whole command.
    pub fn whole(&self, hint: &str) -> String {
        PLAIN.iter().fold(hint.to_owned(), |hint, subcommand| {
            hint.replace(&format!("`rsd {subcommand}`"), &format!("`{}`", self.line(subcommand)))
        })
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

fn log(effect: &Effect) -> Option<&Path> {
    match effect {
        Effect::OpenLog { path, .. } => Some(path),
        _ => None,
    }
}
