//! Topological order with ties by a key, and cycles as whole paths.
//!
//! petgraph's own `toposort` is not used: its order of independent nodes is not that of the file
//! (petgraph#674). This is Kahn's algorithm with an ordered ready set.

use super::Reason;
use crate::diagnostic::Place;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Why one phase precedes another, and where that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// why
    pub reason: Reason,
    /// where it is written, if it is
    pub at: Option<Place>,
}

/// Nodes are phases in the order of the file; an edge leads from the earlier to the later one.
pub type Graph = DiGraph<(), Edge>;

/// A graph of that many nodes.
pub fn graph(nodes: usize, edges: usize) -> Graph {
    let mut graph = Graph::with_capacity(nodes, edges);
    for _ in 0..nodes {
        graph.add_node(());
    }
    graph
}

/// All nodes so that every edge leads forward; among those that could be next, the smallest key.
/// `None` if there is a cycle.
pub fn sequence<K: Ord>(graph: &Graph, key: impl Fn(usize) -> K) -> Option<Vec<usize>> {
    let mut waiting = waiting(graph);
    let mut ready: BinaryHeap<_> =
        (0..waiting.len()).filter(|n| waiting[*n] == 0).map(|n| Reverse((key(n), n))).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse((_, n))) = ready.pop() {
        order.push(n);
        for next in graph.neighbors(NodeIndex::new(n)) {
            let left = &mut waiting[next.index()];
            *left -= 1;
            if *left == 0 {
                ready.push(Reverse((key(next.index()), next.index())));
            }
        }
    }
    (order.len() == waiting.len()).then_some(order)
}

/// True where there is an order so that every edge leads forward.
pub fn possible(graph: &Graph) -> bool {
    let mut waiting = waiting(graph);
    let mut ready: Vec<usize> = (0..waiting.len()).filter(|n| waiting[*n] == 0).collect();
    let mut done = 0;
    while let Some(n) = ready.pop() {
        done += 1;
        for next in graph.neighbors(NodeIndex::new(n)) {
            let left = &mut waiting[next.index()];
            *left -= 1;
            if *left == 0 {
                ready.push(next.index());
            }
        }
    }
    done == waiting.len()
}

/// How many edges lead to each node.
fn waiting(graph: &Graph) -> Vec<u32> {
    let mut waiting = vec![0; graph.node_count()];
    for edge in graph.raw_edges() {
        waiting[edge.target().index()] += 1;
    }
    waiting
}

/// One shortest cycle of every knot, as the edges along it: (from, to, edge).
pub fn cycles(graph: &Graph) -> Vec<Vec<(usize, usize, Edge)>> {
    let mut found: Vec<_> = tarjan_scc(graph)
        .into_iter()
        .filter(|scc| scc.len() > 1 || graph.contains_edge(scc[0], scc[0]))
        .filter_map(|scc| {
            let start = scc.iter().copied().min()?;
            path(graph, start, start, |n| scc.contains(&n))
        })
        .collect();
    found.sort_by_key(|c| c.first().map(|(from, _, _)| *from));
    found
}

/// The shortest way from one node to another, of at least one edge.
pub fn way(graph: &Graph, from: usize, to: usize) -> Option<Vec<(usize, usize, Edge)>> {
    path(graph, NodeIndex::new(from), NodeIndex::new(to), |_| true)
}

fn path(
    graph: &Graph,
    from: NodeIndex,
    to: NodeIndex,
    allowed: impl Fn(NodeIndex) -> bool,
) -> Option<Vec<(usize, usize, Edge)>> {
    let mut came: Vec<Option<(NodeIndex, Edge)>> = vec![None; graph.node_count()];
    let mut queue = VecDeque::from([from]);
    'search: while let Some(n) = queue.pop_front() {
        for edge in graph.edges(n) {
            let next = edge.target();
            if came[next.index()].is_none() && allowed(next) {
                came[next.index()] = Some((n, *edge.weight()));
                if next == to {
                    break 'search;
                }
                if next != from {
                    queue.push_back(next);
                }
            }
        }
    }
    let mut way = Vec::new();
    let mut here = to;
    loop {
        let (before, edge) = came[here.index()]?;
        way.push((before.index(), here.index(), edge));
        here = before;
        if here == from {
            way.reverse();
            return Some(way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(n: usize, edges: &[(usize, usize)]) -> Graph {
        let mut g = graph(n, edges.len());
        for (a, b) in edges {
            g.add_edge(NodeIndex::new(*a), NodeIndex::new(*b), Edge { reason: Reason::Needs, at: None });
        }
        g
    }

    #[test]
    fn ties_fall_to_the_key() {
        assert_eq!(sequence(&made(5, &[]), |n| n), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(sequence(&made(4, &[(3, 0)]), |n| n), Some(vec![1, 2, 3, 0]));
    }

    #[test]
    fn a_cycle_is_its_whole_path() {
        let g = made(5, &[(0, 1), (1, 2), (2, 0), (3, 4)]);
        assert_eq!(sequence(&g, |n| n), None);
        let cycle: Vec<_> = cycles(&g)[0].iter().map(|(a, b, _)| (*a, *b)).collect();
        assert_eq!(cycle, [(0, 1), (1, 2), (2, 0)]);
    }

    #[test]
    fn a_node_that_precedes_itself_is_a_cycle() {
        assert_eq!(cycles(&made(2, &[(1, 1)])).len(), 1);
    }

    proptest! {
        /// Edges from lower to higher numbers cannot close a cycle; a random relabelling hides that.
        #[test]
        fn every_order_keeps_every_edge_and_holds_each_node_once(
            n in 1usize..40,
            raw in prop::collection::vec((0usize..40, 0usize..40), 0..120),
            seed in 0usize..1000,
        ) {
            let label = |x: usize| (x * 7919 + seed) % n;
            let distinct: std::collections::BTreeSet<_> = (0..n).map(label).collect();
            prop_assume!(distinct.len() == n);
            let edges: Vec<_> = raw.iter().filter(|(a, b)| a < b && *b < n).map(|(a, b)| (label(*a), label(*b))).collect();
            let g = made(n, &edges);
            let order = sequence(&g, |x| x).expect("no cycle");
            let mut place = vec![usize::MAX; n];
            for (p, x) in order.iter().enumerate() {
                prop_assert_eq!(place[*x], usize::MAX);
                place[*x] = p;
            }
            prop_assert_eq!(order.len(), n);
            for (a, b) in &edges {
                prop_assert!(place[*a] < place[*b]);
            }
            // Stable: the same edges written in another order give the same plan.
            let mut turned = edges.clone();
            turned.reverse();
            prop_assert_eq!(sequence(&made(n, &turned), |x| x), Some(order));
        }

        #[test]
        fn what_has_no_order_has_a_cycle_that_closes(
            n in 1usize..20,
            raw in prop::collection::vec((0usize..20, 0usize..20), 0..60),
        ) {
            let edges: Vec<_> = raw.into_iter().filter(|(a, b)| *a < n && *b < n).collect();
            let g = made(n, &edges);
            let cycles = cycles(&g);
            prop_assert_eq!(sequence(&g, |x| x).is_none(), !cycles.is_empty());
            prop_assert_eq!(possible(&g), cycles.is_empty());
            for c in cycles {
                prop_assert_eq!(c[0].0, c[c.len() - 1].1);
                for pair in c.windows(2) {
                    prop_assert_eq!(pair[0].1, pair[1].0);
                }
                for (a, b, _) in &c {
                    prop_assert!(edges.contains(&(*a, *b)));
                }
            }
        }
    }
}
