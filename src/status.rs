//! `rsd status`: exit codes as LSB has them: 0 running, 1 dead with a PID file, 3 not running, 4 unknown.

use crate::instance::{State, look};
use crate::prepare::planned;
use crate::{exit, output};
use engine::text::clean;
use serde_json::json;

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
            ("running", 0, Some(path), Some(pid), format!("is running: process {pid}{who}"))
        }
        State::Stale(path) => {
            let text = format!("is not running, and its PID file {} is still there", path.display());
            ("dead", 1, Some(path), None, text)
        }
        State::Gone(path) => {
            let text = format!("is not running: there is no PID file {}", path.display());
            ("stopped", 3, Some(path), None, text)
        }
        State::Unnamed(path) => {
            let text = format!(
                "is running (the lock of {} is held), and it cannot be proved as which process",
                path.display()
            );
            ("running", 0, Some(path), None, text)
        }
        State::NoPidFile => ("unknown", 4, None, None, "makes no PID file, so it cannot be told".to_owned()),
        State::Unknown(why) => ("unknown", 4, None, None, format!("cannot be told: {why}")),
    };
    if prepared.matches.get_flag("json") {
        let who = pid.and_then(phases::snapshot::process);
        let document = json!({
            "schema": engine::timeline::SCHEMA,
            "name": prepared.name,
            "state": word,
            "pid": pid,
            "pidfile": path,
            "uid": who.as_ref().map(|w| w.uid),
            "gid": who.as_ref().map(|w| w.gid),
            "up_ns": who.as_ref().map(|w| w.up_ns),
        });
        output::print(&format!("{document:#}\n"));
    } else {
        output::print(&format!("{name} {}\n", clean(&text)));
    }
    if code == 0 { exit::FINE } else { code }
}
