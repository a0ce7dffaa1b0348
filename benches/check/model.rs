//! The loop over the model, alone: no file is read, nothing is judged.

use crate::{Result, shapes, support};
use engine::options::Launch;
use engine::plan::Plan;
use engine::snapshot::Snapshot;
use phases::kinds::CATALOGUE;
use std::time::{Duration, Instant};

/// How long each is repeated.
const LONG: Duration = Duration::from_secs(2);

/// Steps a second, of a short plan again and again and of a long one.
pub fn report(phases: usize) -> Result<String> {
    let twistd = include_str!("../../specs/twistd.yaml").to_owned();
    let chain = shapes::SHAPES.first().ok_or("there is no shape")?;
    let (short, long) = (steps_per_second(twistd)?, steps_per_second(chain.text(phases))?);
    Ok(format!(
        "\nThe loop over the model does {:.1} million steps a second on the plan of `twistd`, and {:.1} million on the \
         chain of {phases} phases (one core, the record of every step included).\n",
        short / 1e6,
        long / 1e6
    ))
}

fn steps_per_second(text: String) -> Result<f64> {
    let (plan, snapshot) = planned(&text)?;
    let (mut steps, begin) = (0, Instant::now());
    while begin.elapsed() < LONG {
        let simulation = engine::simulate::simulate(&plan, &snapshot);
        let done = simulation.timeline.spans.iter().filter(|s| s.end_ns.is_some()).count();
        if done == 0 {
            return Err("the model did not do a single step".into());
        }
        steps += done;
    }
    Ok(steps as f64 / begin.elapsed().as_secs_f64())
}

fn planned(text: &str) -> Result<(Plan, Snapshot)> {
    let cwd = std::env::temp_dir();
    let launch = Launch { cwd: cwd.clone(), root: true, name: "t".to_owned(), uid: 0, gid: 0 };
    let mut snapshot = phases::snapshot::people(&[], &[], &cwd).map_err(|e| e.to_string())?;
    let (plan, findings) = support::planned(text, CATALOGUE, &launch, &snapshot);
    let plan = plan.ok_or_else(|| format!("there is no plan: {findings:?}"))?;
    phases::snapshot::take(&mut snapshot, &plan, true);
    Ok((plan, snapshot))
}
