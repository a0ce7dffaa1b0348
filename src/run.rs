//! `rsd run`: simulate, approve, run, and say how it went.

use crate::again::Again;
use crate::prepare::{Prepared, prepare_typed};
use crate::{args, exit, instance, output};
use engine::diagnostic::{Diagnostic, Severity};
use engine::effect::{Application, Brought, Effect, Ended, Socket};
use engine::plan::Approved;
use engine::run::{Ending, Header, How, Report};
use engine::timeline::{Divergence, Failure, Timeline};
use phases::host::Host;
use phases::journal::Journal;
use phases::notify::Manager;
use phases::sys::{process, socket};
use std::os::fd::OwnedFd;
use std::path::Path;
use tracing_subscriber::layer::SubscriberExt;

/// How a start is spoken of.
pub struct Manner<'a> {
    /// the command line that findings point into
    pub typed: &'a [String],
    /// a start that goes well says nothing, and a warning is a line; this command says the whole
    pub quiet: Option<String>,
    /// the daemon that was stopped for this start
    pub stopped: Option<String>,
}

impl Manner<'_> {
    /// Nothing runs any more: said last, by the process that was started.
    fn gone(&self) {
        if let Some(name) = &self.stopped {
            let name = engine::text::clean(name);
            output::complain(&format!(
                "{name} is stopped now: it was ended for this start, which did not come up\n"
            ));
        }
    }
}

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    start(argv, &Manner { typed: argv, quiet: None, stopped: None })
}

/// Starts what `argv` says.
pub fn start(argv: &[String], manner: &Manner) -> i32 {
    begin(argv, manner).unwrap_or_else(|code| {
        manner.gone();
        code
    })
}

/// The same; `Err` where it did not come to a start, with what is to be said about that said.
fn begin(argv: &[String], manner: &Manner) -> Result<i32, i32> {
    // Before anything of ours is open: what the caller leaked does not reach the daemon.
    let handed = process::handed_sockets();
    let ready_fd = process::close_inherited(handed, ready_fd(argv)?).map_err(|error| {
        output::complain(&format!("error: inherited descriptors cannot be closed: {error}\n"));
        exit::FAILED
    })?;
    let mut prepared = prepare_typed(argv, manner.typed)?;
    let unchecked = prepared.matches.get_flag("unchecked");
    let Some(plan) = prepared.plan.take() else { return Err(refuse(&prepared, manner)) };
    // What is only worth knowing is `rsd check`'s to say.
    prepared.findings.retain(|f| f.severity > Severity::Note);
    say(&prepared.findings, &prepared, manner);
    let approved = match Approved::new(plan, &prepared.findings) {
        Ok(approved) => approved,
        Err(plan) if unchecked => {
            output::complain("warning: --unchecked: the check refuses this, and it is run all the same\n");
            Approved::unchecked(plan)
        }
        Err(_) => return Err(say_refused(&prepared, manner)),
    };
    let taken = match approved.plan().effects().any(|(_, e)| inherits(e)) {
        true => socket::take_handed(),
        false => Ok(Vec::new()),
    };
    let taken = taken.map_err(|error| {
        output::complain(&format!("error: the sockets that were handed over cannot be kept: {error}\n"));
        exit::FAILED
    })?;
    if !approved.plan().effects().any(|(_, e)| hosts_twisted(e)) {
        process::close_handed(handed);
    }
    go(&prepared, &approved, manner, Descriptors { ready: ready_fd, handed: taken })
}

/// What the caller has handed to this process.
struct Descriptors {
    /// of `--ready-fd`
    ready: Option<OwnedFd>,
    /// sockets that are taken over, with their names
    handed: Vec<(String, OwnedFd)>,
}

fn inherits(effect: &Effect) -> bool {
    matches!(effect, Effect::Bind { socket: Socket::Inherited(_), .. })
}

/// The descriptor of `--ready-fd`, looked for before anything of ours is open and could have its number.
fn ready_fd(argv: &[String]) -> Result<Option<u32>, i32> {
    let Some(text) = args::named(argv, "ready-fd") else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(fd) if fd > 2 && process::is_open(fd) => Ok(Some(fd)),
        Ok(0..=2) => {
            output::complain(&format!(
                "error: --ready-fd {text}: descriptors 0 to 2 are for input and output\n"
            ));
            Err(exit::USAGE)
        }
        Ok(_) => {
            output::complain(&format!(
                "error: --ready-fd {text}: no such descriptor was handed to this process\n  \
                 do: give the number that the file `notification-fd` names (s6), or `ready-notification` (dinit)\n"
            ));
            Err(exit::USAGE)
        }
        Err(_) => {
            output::complain(&format!(
                "error: --ready-fd {}: not the number of a descriptor\n",
                engine::text::clean(text)
            ));
            Err(exit::USAGE)
        }
    }
}

/// Draws what was found; a quiet start has a line for each warning.
fn say(findings: &[Diagnostic], prepared: &Prepared, manner: &Manner) {
    let Some(whole) = manner.quiet.as_ref().filter(|_| !findings.iter().any(Diagnostic::is_error)) else {
        return output::findings(findings, &prepared.sources);
    };
    let line = |f: &Diagnostic| format!("warning: {}: {}\n", f.code, engine::text::clean(&f.message));
    let mut text: String = findings.iter().map(line).collect();
    if !text.is_empty() {
        text.push_str(&format!("  why, and what to do: {whole}\n"));
    }
    output::complain(&text);
}

fn refuse(prepared: &Prepared, manner: &Manner) -> i32 {
    output::findings(&prepared.findings, &prepared.sources);
    say_refused(prepared, manner)
}

fn say_refused(prepared: &Prepared, manner: &Manner) -> i32 {
    let done = if manner.stopped.is_some() { "nothing was started" } else { "nothing was touched" };
    output::complain(&format!("{done}: refused with {}\n", output::count(&prepared.findings)));
    if prepared.unprivileged() { exit::PRIVILEGE } else { exit::REFUSED }
}

fn go(prepared: &Prepared, approved: &Approved, manner: &Manner, given: Descriptors) -> Result<i32, i32> {
    let (begin, wall_ns) = (process::monotonic(), process::wall_clock());
    let run = format!("{:06x}", ((wall_ns / 1_000) ^ (u64::from(std::process::id()) << 12)) & 0xff_ffff);
    let journal = journal(prepared, &run, wall_ns);
    let header = Header {
        run: run.clone(),
        name: prepared.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        wall_ns,
    };
    let named = prepared.matches.get_one::<String>("journal").unwrap_or(&run).clone();
    let shown = journal.is_some().then_some(named);
    let kept = journal.as_ref().map(|j| j.file().clone());
    if let Some(journal) = journal {
        let subscriber = tracing_subscriber::registry().with(journal);
        if tracing::subscriber::set_global_default(subscriber).is_err() {
            output::complain("warning: no journal is written: a subscriber is set already\n");
        }
    }
    let signals = process::take_signals().and_then(|s| process::survive_file_size_limit().map(|()| s));
    let signals = signals.map_err(|error| {
        output::complain(&format!("error: signals cannot be taken: {error}\n"));
        exit::FAILED
    })?;
    let mut host = Host::new(signals, kept, timeline, &prepared.snapshot.identity).map_err(|error| {
        output::complain(&format!("error: {error}\n"));
        exit::FAILED
    })?;
    let (manager, unreachable) = Manager::find(given.ready);
    if let Some(why) = unreachable {
        output::complain(&format!("warning: nobody is told when it is ready: {why}\n"));
    }
    let started = process::id();
    let name = prepared.name.clone();
    host = host
        .handed(given.handed)
        .managed_by(manager)
        .showing(Box::new(move |divergence| output::complain(&differs(&name, divergence))));
    let replan = |brought: &Brought| {
        let replanned = prepared.replan(brought);
        let said: Vec<_> =
            replanned.findings.iter().filter(|f| f.severity == Severity::Warning).cloned().collect();
        say(&said, prepared, manner);
        replanned
    };
    let predicted = prepared.simulation.as_ref().map(|s| &s.timeline);
    let strict = prepared.matches.get_flag("strict");
    let how = How { predicted, strict, whole: false, header, replan: Some(&replan) };
    let report = engine::run::run(approved, &mut host, &mut engine::run::traced, &how);
    if matches!(report.ending, Ending::Completed | Ending::Failed | Ending::Guarded) {
        host.let_go();
    }
    // A manager heeds the process that it has started, and may heed no other.
    if let (Some((phase, failure)), true) = (report.failures.first(), process::id() == started) {
        host.manager().failed(&failure_line(phase, failure), failure.errno);
    }
    let code = conclude(&Said {
        name: &prepared.name,
        again: &prepared.again,
        run: shown.as_deref(),
        report: &report,
        host: &host,
        begin,
        quiet: manner.quiet.is_some(),
        twisted: approved.plan().effects().any(|(_, e)| hosts_twisted(e)),
    });
    let up = matches!(report.ending, Ending::Ready | Ending::Completed | Ending::Failed | Ending::Guarded);
    if !up && process::id() == started {
        manner.gone();
    }
    if phases::python::is_loaded() && !matches!(report.ending, Ending::Completed | Ending::Failed) {
        // What libraries of the application do at the end of a process is the daemon's: the launcher and
        // the guard have no threads of theirs, and may be root.
        process::exit_now(code);
    }
    Ok(code)
}

fn hosts_twisted(effect: &Effect) -> bool {
    matches!(effect, Effect::Application(Application::Load(program)) if program.is_twisted())
}

/// What `whoami` shows of its own start.
fn timeline(journal: &[u8]) -> serde_json::Value {
    engine::view::json::render(&Timeline::read(journal))
}

fn journal(prepared: &Prepared, run: &str, wall_ns: u64) -> Option<Journal> {
    let made = match prepared.matches.get_one::<String>("journal") {
        Some(file) => Journal::open(Path::new(file), false).map_err(|e| (file.clone(), e)),
        None => {
            let Some(dir) = instance::journals(&prepared.name) else {
                output::complain("warning: no journal is written: neither XDG_STATE_HOME nor HOME is set\n");
                return None;
            };
            Journal::make(&dir, run, wall_ns).map_err(|e| (dir.display().to_string(), e))
        }
    };
    made.map_err(|(place, error)| {
        output::complain(&format!("warning: no journal is written in {place}: {error}\n"));
    })
    .ok()
}

struct Said<'a> {
    name: &'a str,
    /// how the same daemon is meant again
    again: &'a Again,
    /// how `rsd trace` finds it, if there is a journal
    run: Option<&'a str>,
    report: &'a Report,
    host: &'a Host,
    begin: u64,
    quiet: bool,
    /// it is a Twisted application that runs
    twisted: bool,
}

fn conclude(said: &Said) -> i32 {
    let report = said.report;
    let code = report.exit_code();
    match report.ending {
        // The child that holds the undo in the foreground speaks only if there is nobody else to.
        Ending::Ready if said.host.speaks() && !said.quiet => output::print(&ready(said)),
        Ending::Ready | Ending::Guarded => {}
        Ending::Completed | Ending::Failed => {
            if said.host.speaks() {
                output::complain(&failures(said));
            }
            raise(report, said.twisted);
        }
        Ending::Unwound | Ending::Stuck | Ending::Told => {
            if said.host.speaks() || !report.left.is_empty() {
                output::complain(&failures(said));
            }
        }
    }
    code
}

fn ready(said: &Said) -> String {
    let now = process::monotonic();
    let ready = said.host.ready_at().map_or(now, |at| at.clamp(said.begin, now));
    let took = engine::text::duration(ready - said.begin);
    let process = said.host.daemon().map_or_else(String::new, |pid| format!(", process {pid}"));
    let name = engine::text::clean(said.name);
    let trace = said.run.map_or_else(String::new, |run| format!(" (`rsd trace {run}` shows how)"));
    format!("{name}: ready in {took}{process}{trace}\n")
}

/// What is not as it was predicted, as soon as it is known.
fn differs(name: &str, divergence: &Divergence) -> String {
    let clean = engine::text::clean;
    format!(
        "{}: {}: {}\n  it may mean that {}\n",
        clean(name),
        clean(&divergence.phase),
        clean(&divergence.sentence()),
        divergence.meaning()
    )
}

fn failures(said: &Said) -> String {
    let report = said.report;
    let mut text = String::new();
    for (phase, failure) in &report.failures {
        text.push_str(&failure_text(said, phase, failure));
    }
    if report.failures.is_empty() {
        return text;
    }
    for what in &report.undone {
        text.push_str(&format!("  undone: {}\n", engine::text::clean(what)));
    }
    for what in &report.kept {
        text.push_str(&format!("  kept: {}\n", engine::text::clean(what)));
    }
    for path in &report.unsure {
        text.push_str(&format!(
            "  unsure: {} may be there, or was before: look\n",
            engine::text::clean(path)
        ));
    }
    for (what, failure) in &report.left {
        let why = failure.message.strip_prefix(what).and_then(|rest| rest.strip_prefix(": "));
        text.push_str(&format!(
            "  LEFT BEHIND: {}: {}\n",
            engine::text::clean(what),
            engine::text::clean(why.unwrap_or(&failure.message))
        ));
        if let Some(help) = &failure.help {
            text.push_str(&format!("     do: {}\n", engine::text::clean(help)));
        }
    }
    if matches!(report.ending, Ending::Unwound | Ending::Told) {
        text.push_str(match report.kept.is_empty() && report.unsure.is_empty() {
            true => "  nothing is left behind\n",
            false => "  nothing else is left behind\n",
        });
    }
    if let Some(run) = said.run {
        text.push_str(&format!("  timeline: rsd trace {run}\n"));
    }
    text
}

fn failure_line(phase: &str, failure: &Failure) -> String {
    let place = if phase.is_empty() { String::new() } else { format!("{phase} failed: ") };
    engine::text::clean(&format!("{place}{}", failure.message)).into_owned()
}

fn failure_text(said: &Said, phase: &str, failure: &Failure) -> String {
    let clean = |s: &str| engine::text::clean(s).into_owned();
    let mut text = format!("{}: {}\n", clean(said.name), failure_line(phase, failure));
    if let Some(why) = &failure.why {
        for (n, line) in why.lines().enumerate() {
            text.push_str(&format!("{}{}\n", if n == 0 { "  why: " } else { "    " }, clean(line)));
        }
    }
    if let Some(help) = &failure.help {
        text.push_str(&format!("  do: {}\n", clean(&said.again.whole(help))));
    }
    text
}

/// A program that a signal ended: so do we, as a shell would see it. A Twisted application that was told
/// to stop ends by that signal, as under twistd (twisted/twisted#7225).
fn raise(report: &Report, twisted: bool) {
    let again = report.ending == Ending::Failed || (report.ending == Ending::Completed && twisted);
    if let (true, Some(Ended::Signal(signal))) = (again, report.ended) {
        process::end_by_signal(signal);
    }
}
