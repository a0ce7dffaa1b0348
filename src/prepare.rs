//! From the arguments to a judged plan: the first half of every command that takes a spec.

use crate::again::Again;
use crate::args::{self, Line};
use crate::profile::stage;
use crate::snapshot_file::{self, Facts};
use crate::{exit, output, source};
use clap::ArgMatches;
use engine::diagnostic::{At, Diagnostic, Place, Severity, Sources};
use engine::effect::{Brought, Effect};
use engine::options::{self, Launch, Settings};
use engine::plan::{Plan, Request};
use engine::rules;
use engine::run::Replanned;
use engine::simulate::Simulation;
use engine::snapshot::{Snapshot, survey, unknown_names};
use engine::spec::Spec;
use phases::kinds::CATALOGUE;
use phases::sys::writers;
use std::path::{Path, PathBuf};

/// Orders are tried for plans up to this size only, in steps: each is planned and judged anew.
const LARGEST_TRIED: usize = 200;
/// No more orders than this are tried.
const MOST_TRIED: usize = 8;

/// Everything that is known before anything is done.
pub struct Prepared {
    /// the arguments of the subcommand
    pub matches: ArgMatches,
    /// the texts that findings point into
    pub sources: Sources,
    /// what is wrong
    pub findings: Vec<Diagnostic>,
    /// the name of this instance
    pub name: String,
    /// the plan, if there is one
    pub plan: Option<Plan>,
    /// what the model says of it
    pub simulation: Option<Simulation>,
    /// who we are
    pub snapshot: Snapshot,
    /// how the same daemon is meant again
    pub again: Again,
    /// what the plan was made from, so that it can be made again
    basis: Basis,
}

/// What a plan is made from, besides the snapshot.
struct Basis {
    spec: Spec,
    settings: Settings,
    launch: Launch,
    order: Vec<At<String>>,
    skip: Vec<At<String>>,
    unchecked: bool,
    /// the command wants to know whether it would work, not only where things are
    judged: bool,
}

/// Reads the spec and the arguments, plans and judges. `Err` is an exit code: everything was said.
pub fn prepare(argv: &[String]) -> Result<Prepared, i32> {
    prepare_typed(argv, argv)
}

/// The same where another command line was typed: what findings point into is that one.
pub fn prepare_typed(argv: &[String], typed: &[String]) -> Result<Prepared, i32> {
    let name = args::spec_name(argv);
    let parsing = stage!("parse");
    let (loaded, mut findings) = engine::spec::load(name, &mut source::fetch);
    drop(parsing);
    let mut sources = loaded.sources;
    let Some(spec) = loaded.spec.filter(|_| !findings.iter().any(Diagnostic::is_error)) else {
        if looks(argv) && is_gone() && Path::new(name).is_relative() && source::builtin(name).is_none() {
            let name = engine::text::clean(name);
            output::complain(&format!(
                "error: the spec {name} is looked for in the working directory, and that was removed\n  \
                 do: name it by its absolute path\n"
            ));
            return Err(exit::UNKNOWN);
        }
        return Err(refuse_unread(argv, &findings, &sources));
    };
    let reading = stage!("options");
    let matches = args::of_spec(argv, &spec)?;
    let line = Line::new(typed, &mut sources);
    let given = line.given(&matches, &spec);
    let facts = match Facts::of(&matches, argv.get(1).map_or("", String::as_str)) {
        Ok(facts) => facts,
        Err(finding) => {
            findings.push(*finding);
            return Err(refuse_unread(argv, &findings, &sources));
        }
    };
    let trusted = matches!(matches.try_get_one::<bool>("trust-spec"), Ok(Some(true)));
    if !matches!(facts, Facts::Elsewhere(_)) && !trusted {
        findings.extend(written_by_others(&sources));
    }
    findings.extend(bad_name(&line, &matches));
    let instance = matches.get_one::<String>("name").cloned().unwrap_or_else(|| spec.name.v.clone());
    let launch = match &facts {
        Facts::Elsewhere(snapshot) => launch_from(snapshot, &instance),
        _ => launch(working_directory(argv)?, &instance),
    };
    let (settings, more) = Settings::resolve(&spec, &given, &launch);
    findings.extend(more);
    drop(reading);
    let looking = stage!("snapshot");
    let snapshot = match &facts {
        Facts::Elsewhere(snapshot) => {
            let (users, groups) = options::wanted_names(&spec, &settings, CATALOGUE);
            findings.extend(snapshot_file::lacking(&unknown_names(snapshot, &users, &groups)));
            (**snapshot).clone()
        }
        _ => machine(&spec, &settings, &launch).map_err(|error| {
            output::complain(&format!("error: {error}\n"));
            exit::FAILED
        })?,
    };
    drop(looking);
    let (order, skip) = (line.names(&matches, "order"), line.names(&matches, "skip"));
    let unchecked = matches!(matches.try_get_one::<bool>("unchecked"), Ok(Some(true)));
    let judged = argv.get(1).is_some_and(|c| matches!(c.as_str(), "run" | "restart" | "check" | "plan"));
    let basis = Basis { spec, settings, launch, order, skip, unchecked, judged };
    let mut prepared = Prepared {
        matches,
        sources,
        findings,
        name: instance,
        plan: None,
        simulation: None,
        snapshot,
        again: Again::default(),
        basis,
    };
    if !prepared.refused() {
        prepared.judge(&facts);
    }
    if let Facts::Written(file) = &facts
        && let Some(finding) = snapshot_file::save(file, &prepared.snapshot)
    {
        prepared.findings.insert(0, finding);
        (prepared.plan, prepared.simulation) = (None, None);
    }
    let cwd = &prepared.basis.launch.cwd;
    prepared.again = Again::new(&prepared.matches, &given, prepared.plan.as_ref(), cwd);
    let again = &prepared.again;
    for finding in &mut prepared.findings {
        // Other notes name the command as such.
        let notes = finding.notes.iter_mut().filter(|_| finding.code == "RSD0604");
        for hint in finding.help.iter_mut().chain(notes) {
            *hint = again.whole(hint);
        }
    }
    Ok(prepared)
}

/// The same for those that cannot do without a plan: where there is none, the findings were said.
pub fn planned(argv: &[String]) -> Result<Prepared, i32> {
    let prepared = prepare(argv)?;
    if prepared.plan.is_none() {
        output::findings(&prepared.findings, &prepared.sources);
        return Err(exit::REFUSED);
    }
    Ok(prepared)
}

impl Prepared {
    /// The name of the spec.
    pub fn spec_name(&self) -> &str {
        &self.basis.spec.name.v
    }

    fn make_plan(&self, brought: Option<&Brought>) -> (Option<Plan>, Vec<Diagnostic>) {
        self.make_plan_in(&self.basis.order, brought)
    }

    fn make_plan_in(
        &self,
        order: &[At<String>],
        brought: Option<&Brought>,
    ) -> (Option<Plan>, Vec<Diagnostic>) {
        let Basis { spec, settings, launch, skip, unchecked, .. } = &self.basis;
        engine::plan::plan(&Request {
            spec,
            settings,
            catalogue: CATALOGUE,
            snapshot: &self.snapshot,
            launch,
            order,
            skip,
            unchecked: *unchecked,
            brought,
        })
    }

    /// The plan with what a loaded application brings, judged on the machine as it was at the start.
    /// With `--unchecked` what would refuse it is a warning.
    pub fn replan(&self, brought: &Brought) -> Replanned {
        let (plan, mut findings) = self.make_plan(Some(brought));
        let mut predicted = None;
        if let Some(plan) = &plan {
            let (simulation, more) = rules::judge(plan, &self.snapshot);
            findings.extend(more);
            predicted = Some(simulation.timeline);
        }
        let known =
            |f: &Diagnostic| self.findings.iter().any(|k| (k.code, &k.message) == (f.code, &f.message));
        findings.retain(|f| !known(f));
        if self.basis.unchecked && plan.is_some() {
            findings.iter_mut().for_each(|f| f.severity = f.severity.min(Severity::Warning));
        }
        Replanned { plan, findings, predicted }
    }

    /// Tries the orders that findings ask for, and keeps those with which the finding is gone and nothing
    /// worse comes: what is advised was played through.
    pub fn try_orders(&mut self) {
        let Some(plan) = self.plan.as_ref().filter(|plan| plan.steps().len() <= LARGEST_TRIED) else {
            return;
        };
        let mut tried: Vec<(usize, Vec<String>)> = Vec::new();
        for (n, finding) in self.findings.iter().enumerate() {
            let Some([first, second]) = &finding.sooner else { continue };
            // What `--order` says already is one list, and cannot be added to.
            if let Some(order) = plan.sooner(first, second).filter(|_| self.basis.order.is_empty())
                && tried.len() < MOST_TRIED
                && self.mends(finding, &order)
            {
                tried.push((n, order));
            }
        }
        for (n, order) in tried {
            let finding = &mut self.findings[n];
            let text = format!(
                "tried, and it is gone: `--order {}`, or `order: [{}]` in an overlay",
                order.join(","),
                order.join(", ")
            );
            let put =
                finding.sooner.as_ref().map(|[first, second]| format!("put `{first}` before `{second}`"));
            let behind = finding.help.iter().position(|h| Some(h) == put.as_ref());
            finding.help.insert(behind.map_or(finding.help.len(), |at| at + 1), text);
            finding.order = order;
        }
    }

    fn mends(&self, finding: &Diagnostic, order: &[String]) -> bool {
        let names: Vec<At<String>> =
            order.iter().map(|name| At::new(name.clone(), Place::default())).collect();
        let (plan, mut findings) = self.make_plan_in(&names, None);
        let Some(plan) = plan else { return false };
        findings.extend(rules::judge(&plan, &self.snapshot).1);
        let worth = |all: &[Diagnostic]| -> [usize; 3] {
            [Severity::Error, Severity::Warning, Severity::Note]
                .map(|severity| all.iter().filter(|f| f.severity == severity).count())
        };
        let before: Vec<Diagnostic> =
            self.findings.iter().filter(|f| !f.phases.is_empty()).cloned().collect();
        let gone =
            !findings.iter().any(|f| f.code == finding.code && f.phases.first() == finding.phases.first());
        gone && worth(&findings) < worth(&before)
    }

    fn judge(&mut self, facts: &Facts) {
        let (plan, more) = self.make_plan(None);
        self.findings.extend(more);
        if let Some(plan) = plan {
            let looking = stage!("snapshot");
            let judged = self.basis.judged;
            if let Facts::Elsewhere(_) = facts {
                let unknown = survey(&mut self.snapshot, &plan, None, judged);
                if let Some(finding) = snapshot_file::lacking(&unknown) {
                    // Judged without these facts it would be a verdict on no machine.
                    self.findings.push(finding);
                    return;
                }
            } else {
                phases::snapshot::take(&mut self.snapshot, &plan, judged);
            }
            drop(looking);
            let (simulation, more) = rules::judge(&plan, &self.snapshot);
            self.findings.extend(more);
            self.simulation = Some(simulation);
            self.plan = Some(plan);
        }
        self.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    }

    /// What is found on this machine with something taken away.
    pub fn judged_without(&self, take: impl FnOnce(&mut Snapshot)) -> Vec<Diagnostic> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let mut snapshot = self.snapshot.clone();
        take(&mut snapshot);
        rules::judge(plan, &snapshot).1
    }

    /// The path of an effect that begins at the working directory, as it was written, where that directory is gone.
    pub fn leads_nowhere(&self, path: fn(&Effect) -> Option<&Path>) -> Option<&Path> {
        let gone = self.basis.launch.cwd == Path::new(GONE);
        let paths = self.plan.iter().filter(|_| gone).flat_map(Plan::effects).filter_map(|(_, e)| path(e));
        paths.into_iter().find_map(|path| path.strip_prefix(GONE).ok())
    }

    /// True where something refuses.
    pub fn refused(&self) -> bool {
        self.findings.iter().any(Diagnostic::is_error)
    }

    /// True where every error is a privilege that this start lacks.
    pub fn unprivileged(&self) -> bool {
        self.refused() && self.findings.iter().filter(|f| f.is_error()).all(|f| f.unprivileged)
    }
}

/// What stands for a working directory that was removed: nothing is there.
const GONE: &str = "/proc/self/cwd";

/// Whether the subcommand is only about a daemon that is there: it needs no place of its own.
fn looks(argv: &[String]) -> bool {
    argv.get(1).is_some_and(|c| matches!(c.as_str(), "status" | "stop" | "reload" | "logs"))
}

fn is_gone() -> bool {
    std::env::current_dir().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// Where relative paths begin.
fn working_directory(argv: &[String]) -> Result<PathBuf, i32> {
    match std::env::current_dir() {
        Err(_) if looks(argv) && is_gone() => Ok(PathBuf::from(GONE)),
        Err(error) => {
            output::complain(&format!(
                "error: the working directory cannot be told: {error}\n  do: change to a directory that exists (`cd /`)\n"
            ));
            Err(exit::FAILED)
        }
        Ok(cwd) => Ok(cwd),
    }
}

/// The name of an instance becomes the name of a directory.
fn bad_name(line: &Line, matches: &ArgMatches) -> Option<Diagnostic> {
    let name = line.names(matches, "name").pop()?;
    let problem = engine::spec::name_problem(&name.v)?;
    Some(
        Diagnostic::error("RSD0109", format!("`{}` cannot be the name of an instance: {problem}", name.v))
            .at(name.at, problem)
            .help("use letters, digits, `-`, `_` and `.`"),
    )
}

/// What a spec says is done as root, so nobody else may have a say in it: in its text, and in what its name
/// leads to.
fn written_by_others(sources: &Sources) -> Vec<Diagnostic> {
    if !nix::unistd::geteuid().is_root() {
        return Vec::new();
    }
    let files =
        sources.names().filter(|name| !name.starts_with(['<', '\0']) && !name.starts_with("builtin:"));
    let refused = |name: &str| {
        let finding = |what: &str| {
            let finding = Diagnostic::error("RSD0116", format!("the spec {name} {what}")).in_file(name).help(
                "let root own it and every directory on the way to it, and nobody else write there; \
                 or say --trust-spec, if whoever may write it may be root",
            );
            let file = Path::new(name).file_name().and_then(|n| n.to_str());
            match file.and_then(source::builtin) {
                Some((stem, _)) => {
                    finding.help(format!("for the built-in spec of that name say `--spec {stem}`"))
                }
                None => finding,
            }
        };
        match writers::of(Path::new(name)) {
            Ok(None) => None,
            Ok(Some(open)) => {
                let who = match open.theirs {
                    true => format!("uid {}", open.uid),
                    false => "others".to_owned(),
                };
                Some(
                    finding(&format!("is in the hands of {who}, and what it says is done as root"))
                        .note(format!("{open}")),
                )
            }
            Err(error) => Some(finding(&format!("cannot be told to be root's alone: {error}"))),
        }
    };
    files.filter_map(refused).collect()
}

fn launch(cwd: PathBuf, name: &str) -> Launch {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Launch { cwd, root: uid == 0, name: name.to_owned(), uid, gid }
}

/// The start that the facts were taken for.
fn launch_from(snapshot: &Snapshot, name: &str) -> Launch {
    let (uid, gid) = (snapshot.identity.uid[1], snapshot.identity.gid[1]);
    Launch { cwd: snapshot.cwd.clone(), root: uid == 0, name: name.to_owned(), uid, gid }
}

fn machine(
    spec: &Spec,
    settings: &Settings,
    launch: &Launch,
) -> Result<Snapshot, engine::effect::SystemError> {
    let (users, groups) = options::wanted_names(spec, settings, CATALOGUE);
    phases::snapshot::people(&users, &groups, &launch.cwd)
}

/// The spec could not be read: its findings are said as the command was asked to say them.
fn refuse_unread(argv: &[String], findings: &[Diagnostic], sources: &Sources) -> i32 {
    let asked = |flag: &str| argv.iter().take_while(|a| *a != "--").any(|a| a == flag);
    if asked("--help") || asked("-h") {
        let _ = args::plain(argv);
    }
    if asked("--json") && argv.get(1).is_some_and(|c| c == "check") {
        crate::check::print_json(findings, sources, false);
    } else {
        output::findings(findings, sources);
        let count = output::count(findings);
        match argv.get(1).map(String::as_str) {
            Some("check") => output::print(&format!("refused: {count}\n")),
            Some("run") => output::complain(&format!("nothing was touched: refused with {count}\n")),
            Some("plan") => output::complain(&format!("there is no plan: {count}\n")),
            _ => output::complain(&format!("the spec was refused: {count}\n")),
        }
    }
    exit::REFUSED
}
