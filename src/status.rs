//! `rsd status`: exit codes as LSB has them: 0 running, 1 dead with a PID file, 3 not running, 4 unknown.

use crate::instance::{self, State, look};
use crate::prepare::planned;
use crate::{exit, output};
use engine::text::clean;
use engine::timeline::Outcome;
use serde_json::json;
use std::path::Path;

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match planned(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let name = clean(&prepared.name).into_owned();
    let (word, code, path, pid, text) = match look(&prepared) {
        State::Running(path, pid) => {
            let who = phases::snapshot::process(pid).map_or_else(String::new, |p| {
                format!(", uid {} gid {}, up {}", p.uid, p.gid, engine::text::duration(p.up_ns))
            });
            ("running", exit::FINE, Some(path), Some(pid), format!("is running: process {pid}{who}"))
        }
        State::Stale(path) => {
            let text = format!("is not running, and its PID file {} is still there", path.display());
            ("dead", 1, Some(path), None, text)
        }
        State::Clearing(path, guard) => {
            let text = format!("is not running: its guard, process {guard}, removes what it left");
            ("stopped", 3, Some(path), None, text)
        }
        State::Ending(path, keeper) => {
            let text = format!("is not running: {}", instance::ending(keeper));
            ("stopped", 3, Some(path), None, text)
        }
        State::Gone(path) => {
            let text = format!("is not running: there is no PID file {}", path.display());
            ("stopped", 3, Some(path), None, text)
        }
        State::Unnamed(path, doubt) => {
            let text = format!(
                "is running (the lock of {} is held), and it cannot be proved as which process: {doubt}",
                path.display()
            );
            ("running", exit::FINE, Some(path), None, text)
        }
        State::NoPidFile => {
            ("unknown", exit::UNKNOWN, None, None, "makes no PID file, so it cannot be told".to_owned())
        }
        State::Unknown(why) => ("unknown", exit::UNKNOWN, None, None, format!("cannot be told: {why}")),
    };
    let timeline = pid.and_then(|pid| instance::timeline_of(&prepared.name, pid));
    let starting = |t: &engine::timeline::Timeline| t.ready_ns.is_none() && t.outcome == Outcome::Running;
    let text = match timeline.as_ref().is_some_and(starting) {
        true => text.replacen("is running", "is starting", 1),
        false => text,
    };
    let listening = pid.and_then(|pid| instance::waits_at(pid, timeline.as_ref()));
    let says = timeline.as_ref().and_then(|t| t.status.as_ref()).map(|(_, text)| text.clone());
    if prepared.matches.get_flag("json") {
        let who = pid.and_then(phases::snapshot::process);
        let program =
            timeline.as_ref().and_then(|t| t.forks.iter().rev().find(|(.., role)| role == "program"));
        let program = program.map(|(_, _, pid, _)| *pid as i32);
        let wall = |ns: u64| timeline.as_ref().map(|t| t.wall_ns.saturating_add(ns));
        let document = json!({
            "schema": engine::timeline::SCHEMA,
            "name": prepared.name,
            "state": word,
            "pid": pid,
            "pidfile": path.as_deref().map(Path::to_string_lossy),
            "uid": who.as_ref().map(|w| w.uid),
            "gid": who.as_ref().map(|w| w.gid),
            "up_ns": who.as_ref().map(|w| w.up_ns),
            "memory_bytes": who.as_ref().map(|w| w.memory),
            "identity": pid.and_then(phases::snapshot::credential),
            "program": program.map(|pid| json!({
                "pid": pid,
                "identity": phases::snapshot::credential(pid),
                "memory_bytes": phases::snapshot::process(pid).map(|p| p.memory),
            })),
            "says": says,
            "listening": listening,
            "log": instance::log(&prepared).as_deref().map(Path::to_string_lossy),
            "run": timeline.as_ref().map(|t| t.run.clone()),
            "ready_wall_ns": timeline.as_ref().and_then(|t| t.ready_ns).and_then(wall),
            "ready_ns": timeline.as_ref().and_then(|t| t.ready_ns),
        });
        output::print_json(&document);
    } else {
        output::print(&format!("{name} {}\n", clean(&text)));
        for socket in listening.unwrap_or_default() {
            output::print(&format!("  listening: {}\n", clean(&socket)));
        }
        if let Some(says) = says {
            output::print(&format!("  it says: {}\n", clean(&says)));
        }
        if pid.is_none() {
            output::complain(&instance::hint(&prepared));
        }
    }
    // To LSB a failure to say it is not the failure of the daemon.
    if code == exit::FINE && output::lost() { exit::UNKNOWN } else { code }
}
