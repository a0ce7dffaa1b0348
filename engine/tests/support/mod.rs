//! From the text of a spec to a plan, for tests and benchmarks.

use engine::diagnostic::Diagnostic;
use engine::kind::Catalogue;
use engine::options::{Launch, Settings};
use engine::plan::{Plan, Request};
use engine::snapshot::Snapshot;

/// The plan of a spec that stands alone, without options, by this launch on this machine; or all that is in its
/// way.
pub fn planned(
    text: &str,
    catalogue: Catalogue,
    launch: &Launch,
    snapshot: &Snapshot,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut fetch = |name: &str, _: Option<&str>| Ok((name.to_owned(), text.to_owned()));
    let (loaded, findings) = engine::spec::load("t.yaml", &mut fetch);
    let Some(spec) = loaded.spec.filter(|_| findings.is_empty()) else { return (None, findings) };
    let (settings, findings) = Settings::resolve(&spec, &[], launch);
    if !findings.is_empty() {
        return (None, findings);
    }
    engine::plan::plan(&Request {
        spec: &spec,
        settings: &settings,
        catalogue,
        snapshot,
        launch,
        order: &[],
        skip: &[],
        unchecked: false,
        brought: None,
    })
}
