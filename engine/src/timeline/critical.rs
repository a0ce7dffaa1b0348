//! What the time to ready was spent on.

use super::Timeline;

/// The critical path to ready (or to the failure, or to the last end), in the order of time: number
/// of the span, and the share of the whole that is its own.
///
/// From the end back, each time to whatever ended last before it began: one loop runs the phases, so
/// a phase waits for all that come before it, needed or not. Failed ends count as ends.
pub fn critical(timeline: &Timeline) -> Vec<(usize, f64)> {
    let spans = &timeline.spans;
    let failed = spans.iter().filter(|s| s.error.is_some()).filter_map(|s| s.end_ns).min();
    let goal = timeline.ready_ns.or(failed).unwrap_or(u64::MAX);
    // (end, start, span) of all that ended by then; the order in which a path may be walked back
    let mut ended: Vec<(u64, u64, usize)> = spans
        .iter()
        .enumerate()
        .filter_map(|(i, s)| Some((s.end_ns?, s.start_ns?, i)))
        .filter(|(end, start, _)| *end <= goal && start <= end)
        .collect();
    ended.sort_unstable();

    let Some(last) = ended.len().checked_sub(1) else { return Vec::new() };
    let whole = timeline.ready_ns.unwrap_or(ended[last].0).max(1) as f64;
    let mut path = Vec::new();
    let mut at = Some(last);
    while let Some(k) = at {
        let (end, start, i) = ended[k];
        at = ended.partition_point(|(e, ..)| *e <= start).min(k).checked_sub(1);
        let own = end - at.map_or(start, |p| start.max(ended[p].0.min(end)));
        path.push((i, own as f64 / whole));
    }
    path.reverse();
    path
}
