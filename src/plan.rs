//! `rsd plan`: the order, why, and who the process is at each step.

use crate::prepare::prepare;
use crate::profile::stage;
use crate::{exit, output};
use engine::plan::why;
use engine::view::plan as view;

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match prepare(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let (Some(plan), Some(simulation)) = (&prepared.plan, &prepared.simulation) else {
        output::findings(&prepared.findings, &prepared.sources);
        output::complain(&format!("there is no plan: {}\n", output::count(&prepared.findings)));
        return exit::REFUSED;
    };
    let predicted = &simulation.timeline;
    let _stage = stage!("view");
    if let Some(names) = prepared.matches.get_many::<String>("why") {
        let names: Vec<&String> = names.collect();
        let mut steps = Vec::new();
        for name in names {
            match plan.find(name) {
                Some(step) => steps.push(step),
                None => {
                    let known = plan.steps().iter().map(|s| s.phase.as_str());
                    let meant = engine::text::did_you_mean(name, known)
                        .map_or_else(String::new, |m| format!("; did you mean `{m}`?"));
                    output::complain(&format!(
                        "error: there is no phase `{}`{meant}\n",
                        engine::text::clean(name)
                    ));
                    return exit::USAGE;
                }
            }
        }
        output::print(&view::why(plan, steps[0], steps[1], &why(plan, steps[0], steps[1])));
        return exit::FINE;
    }
    let text = if prepared.matches.get_flag("json") {
        output::print_json(&view::Document { plan, predicted });
        String::new()
    } else if prepared.matches.get_flag("dot") {
        view::dot(plan, predicted)
    } else if prepared.matches.get_flag("mermaid") {
        view::mermaid(plan, predicted)
    } else {
        view::text(plan, predicted)
    };
    output::print(&text);
    let refusing: Vec<_> = prepared.findings.iter().filter(|f| f.is_error()).cloned().collect();
    if !refusing.is_empty() {
        output::complain(&format!(
            "`rsd check` refuses this plan: {}; run it with the same arguments to see why\n",
            output::count(&refusing)
        ));
    }
    exit::FINE
}
