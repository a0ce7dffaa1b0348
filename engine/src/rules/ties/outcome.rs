//! What an order comes to, as far as two orders can differ in it.

use super::super::Judge;
use crate::diagnostic::{Diagnostic, Severity};
use crate::effect::{Application, Effect, Identity, Settings, Socket};
use crate::model::{Files, describe};
use crate::snapshot::FileFact;
use crate::timeline::Process;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The end of a simulation, in the terms of a user.
pub struct Outcome {
    /// errors and warnings: code, phases
    pub worse: Vec<(Severity, &'static str, Vec<String>)>,
    /// notes likewise
    pub notes: Vec<(&'static str, Vec<String>)>,
    /// what the findings say
    pub said: Vec<String>,
    failures: Vec<(String, Option<i32>)>,
    server: Option<Identity>,
    /// wherever they are kept
    files: Files,
    listening: Vec<Socket>,
    settings: Settings,
    /// under which circumstances code runs that nobody knows
    runs: BTreeMap<String, Circumstances>,
    /// which process a PID file names, and a guard watches
    processes: BTreeMap<String, Process>,
}

/// What code can look at when it runs.
#[derive(PartialEq, Eq)]
struct Circumstances {
    who: Option<Identity>,
    process: Process,
    log: Option<PathBuf>,
    sockets: usize,
    learns: usize,
    /// settings of the process that were made by then, sorted
    settings: Vec<String>,
}

impl Outcome {
    /// Of what was judged, and what was found.
    pub fn new(judge: &Judge, findings: &[Diagnostic]) -> Outcome {
        let (mut log, mut sockets, mut learns, mut settings) = (None, 0, 0, Vec::new());
        let (mut runs, mut processes) = (BTreeMap::new(), BTreeMap::new());
        let mut hosted = false;
        for (i, step) in judge.steps() {
            learns += usize::from(step.learns.is_some());
            for effect in &step.effects {
                match effect {
                    Effect::OpenLog { path, .. } => log = Some(path.clone()),
                    Effect::Bind { .. } => sockets += 1,
                    Effect::Process(setting) => {
                        settings.push(setting.to_string());
                        settings.sort_unstable();
                    }
                    Effect::Unshare { .. } | Effect::Mount { .. } | Effect::PivotRoot { .. } => {
                        settings.push(effect.to_string());
                        settings.sort_unstable();
                    }
                    Effect::CreatePidFile { .. } | Effect::KeepGuard => {
                        processes.insert(step.phase.clone(), step.process);
                    }
                    Effect::Application(application) => {
                        if let Application::Load(program) = application {
                            hosted = program.is_twisted();
                        }
                        let known = !hosted && !matches!(application, Application::Start(_));
                        if !known {
                            let circumstances = Circumstances {
                                who: judge.before(i).cloned(),
                                process: step.process,
                                log: log.clone(),
                                sockets,
                                learns,
                                settings: settings.clone(),
                            };
                            runs.insert(step.phase.clone(), circumstances);
                        }
                    }
                    _ => {}
                }
            }
        }
        let model = &judge.simulation.model;
        let phases = |f: &Diagnostic| {
            let mut phases = f.phases.clone();
            phases.sort_unstable();
            phases
        };
        let (notes, worse): (Vec<_>, Vec<_>) = findings.iter().partition(|f| f.severity == Severity::Note);
        let mut outcome = Outcome {
            said: worse.iter().map(|f| format!("{} ({})", f.message, f.code)).collect(),
            worse: worse.iter().map(|f| (f.severity, f.code, phases(f))).collect(),
            notes: notes.iter().map(|f| (f.code, phases(f))).collect(),
            failures: judge
                .simulation
                .report
                .failures
                .iter()
                .map(|(phase, failure)| (phase.clone(), failure.errno))
                .collect(),
            server: judge.serving().cloned(),
            files: model.files().uncovered().into_owned(),
            listening: model.listening().cloned().collect(),
            settings: model.settings().clone(),
            runs,
            processes,
        };
        outcome.failures.sort_unstable();
        outcome
    }

    /// The first error or warning that the other order has and this one has not, in words.
    pub fn lacks<'a>(&self, other: &'a Outcome) -> Option<&'a str> {
        let (new, _) = first_missing(&other.worse, &self.worse)?;
        other.said.get(new).map(String::as_str)
    }

    /// The other order has fewer findings and no other ones, and what runs in it runs as it does here.
    pub fn is_mended_by(&self, other: &Outcome) -> bool {
        let fewer = other.worse.len() + other.notes.len() < self.worse.len() + self.notes.len();
        fewer
            && first_missing(&other.worse, &self.worse).is_none()
            && first_missing(&other.notes, &self.notes).is_none()
            && self.server(other).is_none()
            && self.run(other).is_none()
    }

    /// What would come out otherwise in the other order; `None` where both come out the same.
    pub fn differs(&self, other: &Outcome) -> Option<String> {
        self.file(other)
            .or_else(|| self.server(other))
            .or_else(|| self.run(other))
            .or_else(|| {
                let moved = self.processes.iter().find(|(phase, p)| other.processes.get(*phase) != Some(p));
                moved.and_then(|(phase, here)| {
                    let there = other.processes.get(phase)?;
                    Some(format!(
                        "`{phase}` would run in the {} and not in the {}",
                        there.name(),
                        here.name()
                    ))
                })
            })
            .or_else(|| (self.listening != other.listening).then(|| sockets(&other.listening)))
            .or_else(|| {
                let other = self.settings != other.settings;
                other.then(|| "the settings of the process would be others in the end".to_owned())
            })
            .or_else(|| {
                let here = first_missing(&self.failures, &other.failures);
                here.map(|(_, (phase, _))| format!("`{phase}` would not fail"))
            })
            .or_else(|| {
                let there = first_missing(&other.failures, &self.failures);
                there.map(|(_, (phase, _))| format!("`{phase}` would fail"))
            })
            .or_else(|| {
                let gone = first_missing(&self.worse, &other.worse);
                gone.map(|(_, (_, code, _))| format!("{code} would not be found"))
            })
            .or_else(|| {
                let gone = first_missing(&self.notes, &other.notes);
                gone.map(|(_, (code, _))| format!("the note {code} would not be given"))
            })
            .or_else(|| {
                let new = first_missing(&other.notes, &self.notes);
                new.map(|(_, (code, _))| format!("there would be the note {code}"))
            })
    }

    fn file(&self, other: &Outcome) -> Option<String> {
        let owner = |f: &FileFact| format!("{}:{} {:04o}", f.uid, f.gid, f.mode & 0o7777);
        for (path, here) in self.files.iter() {
            match other.files.get(path) {
                Some(there) if there == here => {}
                Some(there) => {
                    return Some(format!(
                        "{} would be {} and not {}",
                        path.display(),
                        owner(there),
                        owner(here)
                    ));
                }
                None => {
                    let instead = other.files.iter().find(|(p, _)| self.files.get(p).is_none());
                    return Some(match instead {
                        Some((instead, _)) => {
                            format!("{} would be made and not {}", instead.display(), path.display())
                        }
                        None => format!("{} would not be there", path.display()),
                    });
                }
            }
        }
        let new = other.files.iter().find(|(path, _)| self.files.get(path).is_none());
        new.map(|(path, fact)| format!("{} would be there, {}", path.display(), owner(fact)))
    }

    fn server(&self, other: &Outcome) -> Option<String> {
        match (&self.server, &other.server) {
            (Some(here), Some(there)) => who("the daemon", here, there),
            _ => None,
        }
    }

    fn run(&self, other: &Outcome) -> Option<String> {
        for (phase, here) in &self.runs {
            let Some(there) = other.runs.get(phase) else { continue };
            if here == there {
                continue;
            }
            if here.process != there.process {
                return Some(format!(
                    "`{phase}` would run in the {} and not in the {}",
                    there.process.name(),
                    here.process.name()
                ));
            }
            if let (Some(here), Some(there)) = (&here.who, &there.who)
                && let Some(text) = who(&format!("`{phase}`"), here, there)
            {
                return Some(text);
            }
            if here.log != there.log {
                return Some(match &there.log {
                    Some(log) => format!("what `{phase}` prints would go to {}", log.display()),
                    None => format!("what `{phase}` prints would not go to the log"),
                });
            }
            if here.learns != there.learns {
                return Some(format!("what `{phase}` tells of its user or its log would come too late"));
            }
            if let Some(setting) = here.settings.iter().find(|s| !there.settings.contains(s)) {
                return Some(format!("`{phase}` would run without this: {setting}"));
            }
            if let Some(setting) = there.settings.iter().find(|s| !here.settings.contains(s)) {
                return Some(format!("`{phase}` would run with this: {setting}"));
            }
            let found = crate::text::count(there.sockets, "socket");
            return Some(format!("`{phase}` would find {found} and not {}", here.sockets));
        }
        None
    }
}

/// The first of these that is not among the others, and its place.
fn first_missing<'a, T: Ord>(these: &'a [T], others: &[T]) -> Option<(usize, &'a T)> {
    let others: BTreeSet<&T> = others.iter().collect();
    these.iter().enumerate().find(|(_, one)| !others.contains(one))
}

/// In what two identities differ, the first of it.
fn who(name: &str, here: &Identity, there: &Identity) -> Option<String> {
    if (here.uid, here.gid) != (there.uid, there.gid) || here.groups != there.groups {
        return Some(format!("{name} would run as {} and not as {}", describe(there), describe(here)));
    }
    let (field, here, there) = here.differences(there).into_iter().next()?;
    let field = match field {
        "cwd" => "working directory",
        "caps" => "capabilities",
        "root" => "root directory",
        other => other,
    };
    Some(format!("{name} would have the {field} {there} and not {here}"))
}

fn sockets(list: &[Socket]) -> String {
    let names: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("the sockets would be handed over as {}", names.join(", "))
}
