//! `rsd check`: what will go wrong.

use crate::prepare::{Prepared, prepare, prepare_typed};
use crate::profile::stage;
use crate::{exit, output};
use engine::diagnostic::{Diagnostic, Severity, Sources, json};

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    match prepare(argv) {
        Err(code) => code,
        Ok(mut prepared) => {
            let code = report(&mut prepared);
            // The process ends here: to take a large plan apart, piece by piece, would serve nothing.
            std::mem::forget(prepared);
            code
        }
    }
}

/// The same where another command line was typed.
pub fn typed(argv: &[String], typed: &[String]) -> i32 {
    match prepare_typed(argv, typed) {
        Err(code) => code,
        Ok(mut prepared) => report(&mut prepared),
    }
}

fn report(prepared: &mut Prepared) -> i32 {
    prepared.try_orders();
    let _stage = stage!("view");
    let deny = prepared.matches.get_one::<String>("deny").is_some();
    let denied = deny && prepared.findings.iter().any(|f| f.severity == Severity::Warning);
    if prepared.matches.get_flag("json") {
        print_json(&prepared.findings, &prepared.sources, denied);
    } else {
        output::findings(&prepared.findings, &prepared.sources);
        let count = output::count(&prepared.findings);
        output::print(&match (&prepared.plan, prepared.refused()) {
            (Some(plan), false) => {
                let skipped = plan.steps().iter().filter(|s| s.skipped.is_some()).count();
                let active = plan.steps().len() - skipped;
                let phases = engine::text::count(active, "phase");
                format!(
                    "{}: {phases} in order, {skipped} skipped: {count}\n",
                    engine::text::clean(plan.spec())
                )
            }
            _ => format!("refused: {count}\n"),
        });
    }
    if prepared.refused() || denied { exit::REFUSED } else { exit::FINE }
}

/// The contract of `check --json`.
pub fn print_json(findings: &[Diagnostic], sources: &Sources, denied: bool) {
    let list: Vec<_> = findings.iter().map(|f| json(f, sources)).collect();
    let document = serde_json::json!({
        "schema": engine::timeline::SCHEMA,
        "ok": !denied && !findings.iter().any(Diagnostic::is_error),
        "findings": list,
    });
    output::print_json(&document);
}
