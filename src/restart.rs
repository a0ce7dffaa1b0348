//! `rsd restart`: judged first, then stopped, then started. What is refused leaves the running one alone.
//!
//! Options are not remembered: whoever leaves one away asks for another service. So what would start is compared
//! with what runs before anything is touched.

use crate::instance::{State, look};
use crate::prepare::{Prepared, prepare};
use crate::{exit, instance, output, run, stop};
use engine::diagnostic::Diagnostic;
use engine::effect::{Application, Effect};
use engine::kind::Learns;
use engine::plan::{Plan, Step};
use engine::text::{clean, list};
use engine::timeline::Timeline;
use phases::snapshot::Held;

/// That an address is in use: by the very daemon that is to be stopped, or by another.
const IN_USE: &str = "RSD0604";
/// The kind of phase that finds what is run.
const LOAD: &str = "load-application";

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match prepare(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let refused = |f: &&Diagnostic| f.is_error() && f.code != IN_USE;
    let unchecked = prepared.matches.get_flag("unchecked");
    if prepared.plan.is_none() || (!unchecked && prepared.findings.iter().any(|f| refused(&f))) {
        output::findings(&prepared.findings, &prepared.sources);
        goes_on("the start would be refused");
        return if prepared.unprivileged() { exit::PRIVILEGE } else { exit::REFUSED };
    }
    let mut manner = run::Manner { typed: argv, quiet: None, stopped: None };
    let state = look(&prepared);
    if let State::Running(_, pid) = &state {
        let timeline = instance::running_as(&prepared.name, *pid);
        if let Some(why) = another(&prepared, *pid, timeline.as_ref()) {
            output::complain(&why);
            goes_on("another service would take its place");
            return exit::REFUSED;
        }
        let taken = of_others(&prepared, *pid, timeline.as_ref());
        if !unchecked && !taken.is_empty() {
            output::findings(&taken, &prepared.sources);
            goes_on("the start would fail");
            return exit::REFUSED;
        }
    }
    if !matches!(state, State::Gone(_) | State::Stale(_)) {
        match stop::stop(&prepared) {
            exit::FINE => manner.stopped = Some(prepared.name.clone()),
            // It has just ended by itself.
            exit::NOT_RUNNING => {}
            code => return code,
        }
    }
    drop(prepared);
    run::start(argv, &manner)
}

fn goes_on(why: &str) {
    output::complain(&format!("nothing was touched, and what runs goes on: {why}\n"));
}

/// What is run, and as whom. `None` where it cannot be told.
struct Service {
    program: Option<Vec<String>>,
    uid: Option<u32>,
}

impl Service {
    /// What runs: by the record of its start, else by /proc.
    fn running(pid: i32, timeline: Option<&Timeline>) -> Service {
        let program = timeline.map(|t| {
            let loads = t.spans.iter().filter(|s| s.phase.kind == LOAD && s.phase.skipped.is_none());
            loads.map(|s| s.phase.detail.clone()).collect()
        });
        let served = timeline.and_then(|t| t.spans.iter().find(|s| s.phase.serves));
        let recorded = served.and_then(|s| s.identity_before.as_deref()).map(|who| who.uid[1]);
        let uid = recorded.or_else(|| phases::snapshot::process(pid).map(|process| process.uid));
        Service { program, uid }
    }

    /// What would start, where `timeline` is of what runs.
    fn planned(prepared: &Prepared, plan: &Plan, timeline: Option<&Timeline>) -> Service {
        let load = |e: &Effect| matches!(e, Effect::Application(Application::Load(_)));
        let loads = plan.steps().iter().filter(|s| s.skipped.is_none() && s.effects.iter().any(load));
        let program = Some(loads.map(|s| s.detail()).collect());
        // Which user a Twisted application names is known when it is read. It is the same as before, if it was the
        // application that named it, and not an option that is gone now.
        let named = |step: &Step| {
            let replanned = |t: &Timeline| t.spans.iter().any(|s| s.replanned && s.phase.kind == step.kind);
            step.learns == Some(Learns::Credential)
                && step.effects.is_empty()
                && timeline.is_some_and(replanned)
        };
        let open = plan.steps().iter().any(named);
        let serves = plan.steps().iter().position(|s| s.serves() && s.skipped.is_none()).filter(|_| !open);
        let spans = prepared.simulation.as_ref().map(|s| &s.timeline.spans);
        let span = serves.and_then(|step| spans?.get(step));
        Service { program, uid: span.and_then(|s| s.identity_before.as_deref()).map(|who| who.uid[1]) }
    }

    /// True where both are known, and the program or the user is another.
    fn differs(&self, other: &Service) -> bool {
        let users = matches!((self.uid, other.uid), (Some(a), Some(b)) if a != b);
        let programs = match (&self.program, &other.program) {
            (Some(a), Some(b)) => a.len() != b.len() || !a.iter().zip(b).all(|(a, b)| same_program(a, b)),
            _ => false,
        };
        users || programs
    }

    /// `python3, as svc (uid 4000)`.
    fn sentence(&self) -> String {
        let program = match self.program.as_deref() {
            Some([]) => "nothing".to_owned(),
            Some(programs) => {
                let shown =
                    |p: &String| if p == "whoami" { "the built-in whoami".to_owned() } else { p.clone() };
                list(&programs.iter().map(shown).collect::<Vec<_>>())
            }
            None => "a program that no journal names".to_owned(),
        };
        let user = self.uid.map_or_else(String::new, |uid| {
            let known = phases::snapshot::user(&uid.to_string()).ok().flatten();
            match known.filter(|user| user.name != uid.to_string()) {
                Some(user) => format!(", as {} (uid {uid})", user.name),
                None => format!(", as uid {uid}"),
            }
        });
        clean(&format!("{program}{user}")).into_owned()
    }
}

/// A bare name and a path that ends in it are one program: `PATH` leads from the one to the other.
fn same_program(a: &str, b: &str) -> bool {
    let bare = |one: &str, other: &str| !one.contains('/') && other.rsplit('/').next() == Some(one);
    a == b || bare(a, b) || bare(b, a)
}

/// Why what would start is not what runs.
fn another(prepared: &Prepared, pid: i32, timeline: Option<&Timeline>) -> Option<String> {
    let plan = prepared.plan.as_ref()?;
    let (runs, starts) = (Service::running(pid, timeline), Service::planned(prepared, plan, timeline));
    if !runs.differs(&starts) {
        return None;
    }
    let run =
        timeline.map_or_else(String::new, |t| format!(" (`rsd trace {}` shows that start)", clean(&t.run)));
    Some(format!(
        "{}: with these options another service would start than the one that runs\n  \
         runs: {}, process {pid}\n  would start: {}\n  \
         do: give all options that it was started with, for they are not remembered{run}\n  \
         do: if it is meant: `{}`, and then `rsd run` with these options\n",
        clean(&prepared.name),
        runs.sentence(),
        starts.sentence(),
        prepared.again.line("stop"),
    ))
}

/// The addresses that others have, so that stopping this daemon does not free them.
fn of_others(prepared: &Prepared, pid: i32, timeline: Option<&Timeline>) -> Vec<Diagnostic> {
    let held = phases::snapshot::held(pid);
    let noted = timeline.map(|t| instance::listening(t).collect::<Vec<_>>());
    if !held.whole && noted.is_none() {
        // Nothing tells whose they are.
        return Vec::new();
    }
    let found = prepared.judged_without(|snapshot| without(snapshot, &held, noted.as_deref()));
    found.into_iter().filter(|f| f.is_error() && f.code == IN_USE).collect()
}

/// Takes away what the daemon itself has: `noted` are the addresses that its journal has, if there is one.
fn without(snapshot: &mut engine::snapshot::Snapshot, held: &Held, noted: Option<&[String]>) {
    // What a start would meet is judged as it is without a daemon.
    snapshot.locks.values_mut().for_each(|lock| *lock = engine::snapshot::Lock::Free);
    let noted_ports = noted.unwrap_or_default().iter().filter_map(|address| {
        let (protocol, rest) = address.split_once(':')?;
        let protocol = match protocol {
            "tcp" => engine::snapshot::Protocol::Tcp,
            "udp" => engine::snapshot::Protocol::Udp,
            _ => return None,
        };
        let address: std::net::SocketAddr = rest.parse().ok()?;
        Some((protocol, address.ip(), address.port()))
    });
    // Where every descriptor can be seen, the kernel's word is the better one.
    let ports: Vec<_> = match held.whole {
        true => held.ports.clone(),
        false => held.ports.iter().copied().chain(noted_ports).collect(),
    };
    for (protocol, address, port) in ports {
        if let Some(there) = snapshot.ports.get_mut(&port)
            && let Some(own) = there.iter().position(|l| (l.protocol, l.address) == (protocol, address))
        {
            there.remove(own);
        }
    }
    snapshot.abstracts.retain(|name, _| !held.abstracts.contains(name));
    // The kernel has their paths as they were bound, which is not how they are seen from here.
    let noted_path = |path: &std::path::Path| match noted {
        None => true,
        Some(noted) => noted.iter().any(|address| {
            let bound = address.strip_prefix("unix:").map(|p| p.trim_start_matches('/'));
            bound.is_some_and(|bound| path.ends_with(bound))
        }),
    };
    for (path, listens) in &mut snapshot.sockets {
        if noted_path(path) {
            *listens = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::same_program;

    #[test]
    fn a_bare_name_is_the_program_that_path_leads_to() {
        assert!(same_program("python3", "python3") && same_program("python3", "/usr/bin/python3"));
        assert!(!same_program("/opt/1/app", "/opt/2/app") && !same_program("python3", "whoami"));
        assert!(!same_program("on3", "/usr/bin/python3") && !same_program("./app", "/srv/app"));
    }
}
