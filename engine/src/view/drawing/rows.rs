//! Which rows a drawing has, from top to bottom.

use super::super::fold::{Fold, Folds};
use super::super::zones::{Window, Zone, Zones};
use super::lanes::People;
use crate::timeline::{Span, Timeline};

/// What a row shows.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::view) enum Kind<'a> {
    /// the head of a group: its path, and the sum of what follows
    Group { path: String, took: u64 },
    /// a phase
    Phase(usize),
    /// folded phases
    Fold(&'a Fold),
    /// the uid changed here, behind that phase
    Crossing(usize),
    /// the head of what was undone, and by which process
    Undone(Option<u32>),
    /// the undo of a phase
    Undo(usize),
}

/// A row, and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::view) struct Row<'a> {
    pub(in crate::view) kind: Kind<'a>,
    /// its upper edge, in pixels
    pub(in crate::view) y: u32,
    pub(in crate::view) height: u32,
}

/// A phase has this height.
pub(in crate::view) const PHASE: u32 = 25;

impl Kind<'_> {
    fn height(&self) -> u32 {
        match self {
            Kind::Group { .. } | Kind::Undone(_) => 27,
            Kind::Crossing(_) => 24,
            _ => PHASE,
        }
    }
}

/// The uid that decides is another afterwards.
pub(super) fn crosses(span: &Span, people: People) -> bool {
    match (&span.identity_before, &span.identity_after) {
        (Some(before), Some(after)) => {
            before.uid != after.uid || people.who(Some(before)) != people.who(Some(after))
        }
        _ => false,
    }
}

/// The rows, from `top` on.
pub(super) fn rows<'a>(
    timeline: &'a Timeline,
    folds: &'a Folds,
    people: People,
    (zones, window): (&Zones, Window),
    top: u32,
) -> Vec<Row<'a>> {
    let spans = &timeline.spans;
    let undo_from = match timeline.ready_ns {
        None => spans.iter().filter_map(|s| s.undo_ns).min().unwrap_or(u64::MAX),
        Some(_) => u64::MAX,
    };
    let late = |i: &usize| spans[*i].start_ns.is_some_and(|t| t >= undo_from);
    let mut list = List { timeline, folds, people, zones, rows: Vec::new(), y: top };
    let (after, before): (Vec<usize>, Vec<usize>) =
        (0..spans.len()).filter(|i| zones.of.get(*i).is_none_or(|z| window.shows(*z))).partition(late);
    list.section(&before);

    let mut undone: Vec<usize> =
        (0..spans.len()).filter(|i| spans[*i].undo_ns.is_some() && !folds.hides(*i)).collect();
    if window == Window::Startup && timeline.ready_ns.is_some() {
        undone.clear();
    }
    undone.sort_by_key(|i| (spans[*i].undo_ns, std::cmp::Reverse(*i)));
    let mut by = None;
    for i in undone {
        if by != Some(spans[i].undone_by) {
            by = Some(spans[i].undone_by);
            list.add(Kind::Undone(spans[i].undone_by));
        }
        list.add(Kind::Undo(i));
    }
    list.section(&after);
    list.rows
}

struct List<'a, 'z> {
    timeline: &'a Timeline,
    folds: &'a Folds,
    people: People,
    zones: &'z Zones,
    rows: Vec<Row<'a>>,
    y: u32,
}

impl<'a> List<'a, '_> {
    fn add(&mut self, kind: Kind<'a>) {
        let height = kind.height();
        self.rows.push(Row { kind, y: self.y, height });
        self.y += height;
    }

    fn section(&mut self, spans: &[usize]) {
        let (all, folds) = (&self.timeline.spans, self.folds);
        let shown: Vec<usize> =
            spans.iter().copied().filter(|i| !folds.hides(*i) || folds.before(*i).is_some()).collect();
        let grouped = shown.iter().any(|i| !all[*i].phase.groups.is_empty());
        let mut group: Option<&[String]> = None;
        for (k, i) in shown.iter().enumerate() {
            let span = &all[*i];
            let groups = span.phase.groups.as_slice();
            if grouped && group != Some(groups) && !groups.is_empty() {
                let run = shown[k..].iter().take_while(|i| all[**i].phase.groups == groups);
                let serves = |i: &usize| self.zones.of.get(*i) == Some(&Zone::Run);
                let own = |i: &usize| all[*i].took().filter(|_| !folds.hides(*i) && !serves(i));
                let took = run.map(|i| own(i).unwrap_or(0) + folds.before(*i).map_or(0, |f| f.took)).sum();
                self.add(Kind::Group { path: groups.join(" › "), took });
            }
            group = Some(groups);
            if let Some(fold) = folds.before(*i) {
                self.add(Kind::Fold(fold));
            }
            if folds.hides(*i) {
                continue;
            }
            self.add(Kind::Phase(*i));
            if crosses(span, self.people) {
                self.add(Kind::Crossing(*i));
            }
        }
    }
}
