//! The edges of a plan, drawn from needs, privilege, serve and order; and what contradicts.

use super::order::{self, Edge, Graph};
use super::resolve::Node;
use super::{Reason, Request};
use crate::diagnostic::{At, Diagnostic};
use crate::effect::Effect;
use crate::spec::{Privilege, edit_order};
use petgraph::graph::NodeIndex;
use std::collections::{BTreeSet, HashMap};

type Drawn = (Graph, Vec<usize>, Vec<Diagnostic>);

/// The edges that hold in every order: needs, serve and privilege. With `--unchecked` a privilege yields to the
/// sequence that is asked for.
pub fn draw(request: &Request, nodes: &[Node], sequence: &[At<String>]) -> Result<Graph, Vec<Diagnostic>> {
    let needs: usize = nodes.iter().map(|n| n.needs.len()).sum();
    let mut graph = order::graph(nodes.len(), needs + nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        for (need, at) in &node.needs {
            add(&mut graph, *need, i, Edge { reason: Reason::Needs, at: Some(*at) });
        }
    }
    if !order::possible(&graph) {
        return Err(order::cycles(&graph).iter().map(|c| cycle(request, c)).collect());
    }
    serve_edges(&mut graph, nodes);
    let named = if request.unchecked { places(request, sequence) } else { Vec::new() };
    privilege_edges(&mut graph, request, nodes, &named);
    if graph.edge_count() > needs && !order::possible(&graph) {
        return Err(order::cycles(&graph).iter().map(|c| gone_by_then(request, c)).collect());
    }
    Ok(graph)
}

/// The sequence that is asked for: the spec's, edited by the list of an order.
pub fn wanted(request: &Request, order: &[At<String>]) -> Vec<At<String>> {
    match &request.spec.order {
        Some(base) => edit_order(base.clone(), order),
        None => order.to_vec(),
    }
}

/// Of each phase its place in a sequence of names.
fn places(request: &Request, sequence: &[At<String>]) -> Vec<Option<usize>> {
    let position: HashMap<&str, usize> =
        sequence.iter().enumerate().map(|(i, name)| (name.v.as_str(), i)).collect();
    request.spec.phases.iter().map(|p| position.get(p.name.v.as_str()).copied()).collect()
}

/// The graph with the edges of the sequence, and the order of its nodes; or everything that is in the way.
pub fn order(
    request: &Request,
    nodes: &[Node],
    mut graph: Graph,
    sequence: &[At<String>],
) -> Result<Drawn, Vec<Diagnostic>> {
    let named = places(request, sequence);
    let conflicts = match sequence {
        [] => Vec::new(),
        sequence => order_conflicts(&graph, request, sequence, &named),
    };
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut number: Vec<Option<usize>> = vec![None; sequence.len()];
    for (i, place) in named.iter().enumerate().filter_map(|(i, named)| Some((i, (*named)?))) {
        number[place] = Some(i);
    }
    let line: Vec<(usize, &At<String>)> =
        sequence.iter().zip(number).filter_map(|(name, n)| Some((n?, name))).collect();
    for pair in line.windows(2) {
        add(&mut graph, pair[0].0, pair[1].0, Edge { reason: Reason::Order, at: Some(pair[1].1.at) });
    }
    // An unnamed phase sorts behind its nearest named predecessor in the file.
    let mut keys = Vec::with_capacity(nodes.len());
    let mut behind = 0;
    for (i, named) in named.iter().enumerate() {
        keys.push(match named {
            Some(k) => {
                behind = k + 1;
                (behind, 0)
            }
            None => (behind, i + 1),
        });
    }
    match order::sequence(&graph, |n| keys[n]) {
        Some(order) => Ok((graph, order, several_drops(request, nodes))),
        None => Err(order::cycles(&graph).iter().map(|c| cycle(request, c)).collect()),
    }
}

fn add(graph: &mut Graph, from: usize, to: usize, edge: Edge) {
    graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), edge);
}

/// Everything that is not a down phase precedes serve. Only those nothing else waits for need an edge.
fn serve_edges(graph: &mut Graph, nodes: &[Node]) {
    let Some(serve) = nodes.iter().position(|n| n.effects.contains(&Effect::Serve)) else { return };
    let last: Vec<usize> = (0..nodes.len())
        .filter(|n| *n != serve && !nodes[*n].down)
        .filter(|n| graph.neighbors(NodeIndex::new(*n)).all(|next| nodes[next.index()].down))
        .collect();
    for n in last {
        add(graph, n, serve, Edge { reason: Reason::Serve, at: None });
    }
}

fn privilege_edges(graph: &mut Graph, request: &Request, nodes: &[Node], named: &[Option<usize>]) {
    let phases = &request.spec.phases;
    let drops: Vec<usize> =
        (0..nodes.len()).filter(|n| nodes[*n].drops_perhaps() && !nodes[*n].down).collect();
    // With --unchecked a declared privilege yields to the order that was asked for: then phases have places here.
    let yields = |from: usize, to: usize| {
        let place = |phase: usize| named.get(phase).copied().flatten();
        matches!((place(from), place(to)), (Some(f), Some(t)) if f > t)
    };
    for (i, node) in
        nodes.iter().enumerate().filter(|(_, n)| n.skipped.is_none() && !n.down && !n.drops_perhaps())
    {
        let at = Some(phases[i].privilege.at);
        for drop in &drops {
            let (from, to) = match phases[i].privilege.v {
                Privilege::Privileged | Privilege::Root => (i, *drop),
                Privilege::User => (*drop, i),
                _ if node.effects.contains(&Effect::KeepGuard) => (i, *drop),
                _ => continue,
            };
            if !yields(from, to) {
                add(graph, from, to, Edge { reason: Reason::Privilege, at });
            }
        }
    }
    // The guard is forked after the last need of what it will run.
    let Some(guard) = nodes.iter().position(|n| n.effects.contains(&Effect::KeepGuard)) else { return };
    for (i, node) in nodes.iter().enumerate().filter(|(_, n)| n.down) {
        if !matches!(phases[i].privilege.v, Privilege::Privileged | Privilege::Root) {
            continue;
        }
        for (need, at) in &node.needs {
            let before = !nodes[*need].down && !nodes[*need].effects.contains(&Effect::Serve);
            if before && *need != guard && !yields(*need, guard) {
                add(graph, *need, guard, Edge { reason: Reason::Privilege, at: Some(*at) });
            }
        }
    }
}

fn name<'a>(request: &'a Request, n: usize) -> &'a str {
    &request.spec.phases[n].name.v
}

fn whole_path(request: &Request, way: &[(usize, usize, Edge)]) -> String {
    let mut names: Vec<_> = way.iter().map(|(from, _, _)| format!("`{}`", name(request, *from))).collect();
    names.extend(way.last().map(|(_, to, _)| format!("`{}`", name(request, *to))));
    names.join(" → ")
}

fn cycle(request: &Request, way: &[(usize, usize, Edge)]) -> Diagnostic {
    let mut finding = Diagnostic::error("RSD0206", "these phases wait for each other")
        .note(format!("each must come before the next: {}", whole_path(request, way)))
        .help("take one of these needs out");
    for (from, to, edge) in way {
        finding = label(finding, request, *from, *to, edge, true);
        finding = finding.phase(name(request, *from));
    }
    finding
}

fn label(
    finding: Diagnostic,
    request: &Request,
    from: usize,
    to: usize,
    edge: &Edge,
    primary: bool,
) -> Diagnostic {
    let (from_name, to_name) = (name(request, from), name(request, to));
    let text = match edge.reason {
        Reason::Needs => format!("`{to_name}` needs `{from_name}`"),
        Reason::Privilege => format!("privilege puts `{from_name}` before `{to_name}`"),
        Reason::Order => format!("order puts `{from_name}` before `{to_name}`"),
        Reason::Serve => format!("`{from_name}` is no down phase, so it precedes `{to_name}`"),
        Reason::File => return finding,
    };
    let at = edge.at.filter(|at| at.len > 0).unwrap_or(request.spec.phases[to].name.at);
    if primary { finding.at(at, text) } else { finding.with(at, text) }
}

/// A cycle that privilege closes: something privileged is asked for after the privilege is gone.
fn gone_by_then(request: &Request, way: &[(usize, usize, Edge)]) -> Diagnostic {
    let privilege = way.iter().find(|(_, _, e)| e.reason == Reason::Privilege);
    let message = match privilege {
        Some((from, to, _)) => format!(
            "`{}` must come before `{}` for its privilege, and after it for what it needs",
            name(request, *from),
            name(request, *to)
        ),
        None => "these phases contradict what precedes serve".to_owned(),
    };
    let mut finding = Diagnostic::error("RSD0301", message)
        .note(format!("each must come before the next: {}", whole_path(request, way)))
        .note("privileges only go down: nothing can raise them again");
    for (from, to, edge) in way {
        finding = label(finding, request, *from, *to, edge, edge.reason == Reason::Privilege);
        finding = finding.phase(name(request, *from));
    }
    finding.help("move the need, or the privilege that is declared")
}

/// Pairs that `order` puts one way and needs, privilege or serve the other. Where somebody edits an `order`, what
/// the edit alone has wrong is the reason for the rest.
fn order_conflicts(
    graph: &Graph,
    request: &Request,
    sequence: &[At<String>],
    named: &[Option<usize>],
) -> Vec<Diagnostic> {
    let sources: BTreeSet<u16> = sequence.iter().map(|name| name.at.source).collect();
    let mut found = Vec::new();
    for source in sources.iter().filter(|_| sources.len() > 1) {
        let own = |place: &usize| sequence[*place].at.source == *source;
        let named: Vec<Option<usize>> = named.iter().map(|place| place.filter(own)).collect();
        found.extend(contradicted(graph, &named));
    }
    if found.is_empty() {
        found = contradicted(graph, named);
    }
    found.into_iter().map(|(n, ancestor)| conflict(graph, request, sequence, named, n, ancestor)).collect()
}

/// Of phases with a place in a sequence: one, and one behind it that the graph puts before it.
fn contradicted(graph: &Graph, named: &[Option<usize>]) -> Vec<(usize, usize)> {
    use petgraph::Direction::Incoming;
    let Some(topological) = order::sequence(graph, |n| n) else { return Vec::new() };
    // The latest place in the sequence that anything before a node must have, and who has it.
    let mut latest: Vec<Option<(usize, usize)>> = vec![None; named.len()];
    let mut found = Vec::new();
    for n in topological {
        for before in graph.neighbors_directed(NodeIndex::new(n), Incoming) {
            let b = before.index();
            let own = named[b].map(|place| (place, b));
            latest[n] = latest[n].max(own).max(latest[b]);
        }
        if let (Some(place), Some((other, ancestor))) = (named[n], latest[n])
            && other > place
        {
            found.push((n, ancestor));
            // Reported here: what follows from it is not said again.
            latest[n] = None;
        }
    }
    found
}

fn conflict(
    graph: &Graph,
    request: &Request,
    sequence: &[At<String>],
    named: &[Option<usize>],
    n: usize,
    ancestor: usize,
) -> Diagnostic {
    let (first, second) = (name(request, n), name(request, ancestor));
    let way = order::way(graph, ancestor, n).unwrap_or_default();
    let reasons: Vec<_> = way.iter().map(|(_, _, e)| e.reason).collect();
    let by = if reasons.contains(&Reason::Privilege) {
        "privilege puts"
    } else if reasons.contains(&Reason::Serve) {
        "serving puts"
    } else {
        "needs put"
    };
    let mut finding = Diagnostic::error(
        "RSD0209",
        format!("the order puts `{first}` before `{second}`, and {by} it after"),
    )
    .phase(first)
    .phase(second);
    if let (Some(a), Some(b)) = (named[n], named[ancestor]) {
        finding = finding
            .at(sequence[a].at, format!("`{first}` is to come here"))
            .with(sequence[b].at, format!("and `{second}` only here"));
    }
    for (from, to, edge) in &way {
        finding = label(finding, request, *from, *to, edge, false);
    }
    if way.len() > 1 {
        finding = finding.note(format!("it follows from {}", whole_path(request, &way)));
    }
    // An edit that names only the later one has moved that away from its place.
    let edited = |n: usize| {
        named[n].is_some_and(|place| sequence[place].at.source != request.spec.phases[n].name.at.source)
    };
    let mend = match edited(ancestor) && !edited(n) {
        true => format!("put `{second}` before `{first}`"),
        false => format!("put `{first}` behind `{second}`"),
    };
    finding.help(match by {
        "privilege puts" => format!("{mend}, or change the privilege that is declared"),
        _ => format!("{mend}: order may refine needs, never overrule them"),
    })
}

fn several_drops(request: &Request, nodes: &[Node]) -> Vec<Diagnostic> {
    let drops: Vec<_> = (0..nodes.len()).filter(|n| nodes[*n].drop).collect();
    let [first, second, ..] = drops[..] else { return Vec::new() };
    let (first, second) = (&request.spec.phases[first].name, &request.spec.phases[second].name);
    vec![
        Diagnostic::warning("RSD0304", "privileges are dropped more than once")
            .at(second.at, "the second drop")
            .with(first.at, "the first")
            .phase(&first.v)
            .phase(&second.v)
            .help("one drop says more clearly who the daemon is"),
    ]
}
