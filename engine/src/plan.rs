//! A checked order: every phase once, with its process, its effects, and the reasons.

pub mod classes;
mod drop;
mod edges;
pub mod order;
mod reorder;
mod resolve;
mod why;

pub use drop::DropStep;
pub use why::{Why, why};

use crate::diagnostic::{At, Diagnostic, Place, joined};
use crate::effect::{Application, Brought, Effect, Manner, State};
use crate::kind::{Catalogue, Learns, Value};
use crate::options::{Launch, Settings};
use crate::snapshot::Snapshot;
use crate::spec::{OnFailure, Privilege, Spec};
use crate::timeline::Process;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Why one step comes after another. The order is that of strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// it needs it
    Needs,
    /// privileged phases precede the drop, user phases follow it
    Privilege,
    /// the spec's `order`
    Order,
    /// down phases follow serve, all others precede it
    Serve,
    /// nothing but the place in the file
    File,
}

impl Reason {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Needs => "needs",
            Reason::Privilege => "privilege",
            Reason::Order => "order",
            Reason::Serve => "serve",
            Reason::File => "file",
        }
    }
}

/// A direct edge to an earlier step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Because {
    /// number of the earlier step; plans may have very many edges
    pub after: u32,
    /// why
    pub reason: Reason,
    /// where that is written, if it is
    pub at: Option<Place>,
}

/// A value of a parameter, and where it is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// the parameter
    pub param: &'static str,
    /// the value; of a list one
    pub value: Value,
    /// where it stands: on the command line, if it was given there
    pub at: Place,
}

/// One phase in its place.
#[derive(Clone, Debug)]
pub struct Step {
    /// name of the phase
    pub phase: String,
    /// where the name stands in the spec
    pub at: Place,
    /// the groups it stands in, outermost first
    pub groups: Arc<[String]>,
    /// its kind
    pub kind: String,
    /// a sentence from the spec
    pub about: Option<String>,
    /// what it asks of the credential
    pub privilege: Privilege,
    /// where that is written (or the name)
    pub privilege_at: Place,
    /// the process it begins in
    pub process: Process,
    /// why it is skipped
    pub skipped: Option<String>,
    /// needs as written
    pub needs: Vec<String>,
    /// direct edges
    pub because: Vec<Because>,
    /// what it does
    pub effects: Vec<Effect>,
    /// the values that it was given, where one of them may turn out to be wrong on this machine
    pub given: Vec<Written>,
    /// runs after a failed start too
    pub always: bool,
    /// nanoseconds it may take
    pub timeout: Option<u64>,
    /// what happens when it fails
    pub on_failure: OnFailure,
    /// it needs the phase that serves, directly or not
    pub down: bool,
    /// it changes the uid away from the starting one
    pub drop: bool,
    /// what it may still learn from the application that is loaded before it
    pub learns: Option<Learns>,
}

impl Because {
    /// The earlier step, as an index.
    pub fn step(&self) -> usize {
        self.after as usize
    }
}

impl Step {
    /// Its needs as steps of this plan.
    pub fn needed(&self) -> impl Iterator<Item = usize> {
        self.because.iter().filter(|b| b.reason == Reason::Needs).map(Because::step)
    }

    /// True where the daemon lives in this step.
    pub fn serves(&self) -> bool {
        self.effects.contains(&Effect::Serve)
    }

    /// The effects as sentences; where only the application can tell, that.
    pub fn shown(&self) -> Vec<String> {
        match (self.learns, self.effects.is_empty()) {
            (Some(learns), true) => vec![learns.open().to_owned()],
            _ => self.effects.iter().map(ToString::to_string).collect(),
        }
    }

    /// The effects in a word or two, for a timeline: `/jail`, `027`, `1000:1000`.
    pub fn detail(&self) -> String {
        let words: Vec<String> = self.effects.iter().filter_map(word).collect();
        words.join(" ")
    }
}

fn word(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Chroot { path }
        | Effect::Chdir { path }
        | Effect::CheckPidFile { path }
        | Effect::OpenLog { path, .. }
        | Effect::CreatePidFile { path, .. }
        | Effect::RemovePidFile { path } => path.display().to_string(),
        Effect::Umask { mask } => format!("{mask:03o}"),
        Effect::Daemonize => "fork×2".to_owned(),
        Effect::Process(setting) => return setting.word(),
        Effect::MakeDirectory { path, .. }
        | Effect::RemoveDirectory { path }
        | Effect::RemoveSocket { path }
        | Effect::PivotRoot { path } => path.display().to_string(),
        Effect::Unshare { namespaces } => namespaces.to_string(),
        Effect::Mount { mounts } => {
            let places: Vec<String> = mounts.iter().map(|m| m.at.display().to_string()).collect();
            places.join(" ")
        }
        Effect::Bind { socket, .. } => socket.to_string(),
        Effect::SetCredential { uid, gid, .. } => {
            let id = |id: &Option<u32>| id.map_or_else(String::new, |id| id.to_string());
            format!("{}:{}", id(uid), id(gid))
        }
        Effect::Application(Application::Load(program)) => match (program.command.first(), &program.tac) {
            (Some(command), _) => command.clone(),
            (None, Some(tac)) => tac.display().to_string(),
            (None, None) if program.is_twisted() => program.twisted.words.join(" "),
            (None, None) => "whoami".to_owned(),
        },
        Effect::Fail(fault) => match fault.manner {
            Manner::Error | Manner::Undo => fault.errno_word(),
            manner => manner.name().to_owned(),
        },
        _ => return None,
    })
}

/// The order of a start-up.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) spec: String,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Name of the spec.
    pub fn spec(&self) -> &str {
        &self.spec
    }
    /// The steps, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
    /// True where a phase of the guard has a path that begins at the working directory. Otherwise the guard
    /// leaves that directory.
    pub fn guard_stays(&self) -> bool {
        let steps = self.steps.iter().filter(|s| s.process == Process::Guard && s.skipped.is_none());
        let mut relative = false;
        for effect in steps.flat_map(|s| &s.effects) {
            effect.touches(&mut |state, _| {
                relative |= matches!(state, State::Path(path) if path.is_relative());
            });
        }
        relative
    }
    /// The step of that phase.
    pub fn find(&self, phase: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.phase == phase)
    }
    /// The list for `order` (`--order`) by which one step comes before another that it follows now: the
    /// later one is moved behind it, and with it what must follow that one. `None` where needs or
    /// privilege want it as it is.
    pub fn sooner(&self, first: &str, second: &str) -> Option<Vec<String>> {
        let (first, second) = (self.find(first)?, self.find(second)?);
        let mut moved = vec![second];
        for step in second + 1..first + 1 {
            let must =
                |b: &Because| moved.contains(&b.step()) && !matches!(b.reason, Reason::Order | Reason::File);
            if self.steps[step].because.iter().any(must) {
                moved.push(step);
            }
        }
        if second >= first || moved.contains(&first) {
            return None;
        }
        moved.insert(0, first);
        Some(moved.into_iter().map(|step| self.steps[step].phase.clone()).collect())
    }
    /// Every effect of every step that is not skipped, in order.
    pub fn effects(&self) -> impl Iterator<Item = (usize, &Effect)> {
        self.steps.iter().enumerate().flat_map(|(i, s)| s.effects.iter().map(move |e| (i, e)))
    }
    /// True where a launcher stays behind.
    pub fn daemonizes(&self) -> bool {
        self.effects().any(|(_, e)| *e == Effect::Daemonize)
    }
}

/// A plan in which nothing is an error, or that its user insists on. Only these can be run.
#[derive(Clone, Debug)]
pub struct Approved(Plan);

impl Approved {
    /// Approves a plan if none of the findings refuses it.
    pub fn new(plan: Plan, findings: &[Diagnostic]) -> Result<Approved, Plan> {
        if findings.iter().any(Diagnostic::is_error) { Err(plan) } else { Ok(Approved(plan)) }
    }

    /// Runs it whatever the check said: `rsd run --unchecked`.
    pub fn unchecked(plan: Plan) -> Approved {
        Approved(plan)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0
    }
}

/// What a plan is made from.
pub struct Request<'a> {
    /// the spec
    pub spec: &'a Spec,
    /// its options, with their values
    pub settings: &'a Settings,
    /// the kinds it may name
    pub catalogue: Catalogue,
    /// facts of the machine
    pub snapshot: &'a Snapshot,
    /// how the command was started
    pub launch: &'a Launch,
    /// `--order a,b,c`: an edit of the spec's sequence
    pub order: &'a [At<String>],
    /// `--skip PHASE`
    pub skip: &'a [At<String>],
    /// declared privileges yield to the order
    pub unchecked: bool,
    /// what the application brings, once it is loaded: the order is the one without it
    pub brought: Option<&'a Brought>,
}

/// Makes the plan, or says everything that is in its way.
pub fn plan(request: &Request) -> (Option<Plan>, Vec<Diagnostic>) {
    match Base::new(request) {
        Ok(base) => base.ordered(request.order),
        Err(findings) => (None, findings),
    }
}

/// What the plans of all orders of one request have in common.
#[derive(Clone)]
pub(crate) struct Base<'a> {
    request: &'a Request<'a>,
    nodes: Vec<resolve::Node>,
    /// the edges that hold in every order
    graph: order::Graph,
    findings: Vec<Diagnostic>,
}

impl<'a> Base<'a> {
    /// Reads the phases, or says everything that is in the way of every order.
    pub(crate) fn new(request: &'a Request<'a>) -> Result<Base<'a>, Vec<Diagnostic>> {
        let stage = tracing::info_span!(target: "rsd", "resolve").entered();
        let (mut nodes, findings) = resolve::resolve(request);
        let mut findings = joined(findings);
        drop(stage);
        if findings.iter().any(Diagnostic::is_error) {
            return Err(findings);
        }
        let _stage = tracing::info_span!(target: "rsd", "edges").entered();
        let yielded_to = if request.unchecked { edges::wanted(request, request.order) } else { Vec::new() };
        match edges::draw(request, &nodes, &yielded_to) {
            Ok(graph) => {
                // They are in the graph now, and may be very many.
                nodes.iter_mut().for_each(|n| n.needs = Vec::new());
                Ok(Base { request, nodes, graph, findings })
            }
            Err(more) => {
                findings.extend(more);
                Err(findings)
            }
        }
    }

    /// The plan of an order, as `--order` has it; or what is in its way.
    pub(crate) fn ordered(self, order: &[At<String>]) -> (Option<Plan>, Vec<Diagnostic>) {
        let _stage = tracing::info_span!(target: "rsd", "order").entered();
        let Base { request, mut nodes, graph, mut findings } = self;
        let sequence = edges::wanted(request, order);
        let (graph, order, more) = match edges::order(request, &nodes, graph, &sequence) {
            Ok(drawn) => drawn,
            Err(more) => {
                findings.extend(more);
                return (None, findings);
            }
        };
        findings.extend(more);
        resolve::learn_nothing(request, &mut nodes, &order, &mut findings);
        if let Some(brought) = request.brought {
            resolve::learn(request, &mut nodes, &order, brought, &mut findings);
            if findings.iter().any(Diagnostic::is_error) {
                return (None, findings);
            }
        }
        (Some(assemble(request, nodes, &graph, &order)), findings)
    }

    /// Which phase must come before which in every order, by their numbers in the spec.
    pub(crate) fn musts(&self) -> impl Iterator<Item = (usize, usize)> {
        use petgraph::visit::EdgeRef;
        self.graph.edge_references().map(|e| (e.source().index(), e.target().index()))
    }

    /// Of each phase what it does, by its number in the spec; nothing where it is skipped.
    pub(crate) fn effects(&self) -> impl Iterator<Item = &[Effect]> {
        self.nodes.iter().map(|n| if n.skipped.is_none() { n.effects.as_slice() } else { &[] })
    }

    /// True where what a phase does depends on whether an application was read before.
    pub(crate) fn learns(&self, phase: usize) -> bool {
        self.nodes.get(phase).is_some_and(|n| n.learns.is_some())
    }

    /// True where a phase reads such an application.
    pub(crate) fn teaches(&self, phase: usize) -> bool {
        self.nodes.get(phase).is_some_and(resolve::Node::loads_twisted)
    }
}

fn assemble(request: &Request, nodes: Vec<resolve::Node>, graph: &order::Graph, order: &[usize]) -> Plan {
    use petgraph::Direction;
    use petgraph::graph::NodeIndex;
    use petgraph::visit::EdgeRef;

    let spec = request.spec;
    let mut place = vec![0; nodes.len()];
    for (p, n) in order.iter().enumerate() {
        place[*n] = p;
    }
    let daemonize = order.iter().position(|n| nodes[*n].effects.contains(&Effect::Daemonize));
    let guarded = nodes.iter().any(|n| n.effects.contains(&Effect::KeepGuard));
    let mut nodes: Vec<_> = nodes.into_iter().map(Some).collect();
    let mut groups: HashMap<Option<usize>, Arc<[String]>> = HashMap::new();
    let mut steps = Vec::with_capacity(order.len());
    let mut direct: Vec<(usize, Reason, Option<Place>)> = Vec::new();
    for (p, n) in order.iter().enumerate() {
        let Some(node) = nodes[*n].take() else { continue };
        let phase = &spec.phases[*n];
        direct.extend(
            graph
                .edges_directed(NodeIndex::new(*n), Direction::Incoming)
                .map(|e| (place[e.source().index()], e.weight().reason, e.weight().at)),
        );
        direct.sort_unstable();
        direct.dedup_by_key(|(after, ..)| *after);
        if p > 0 && direct.last().is_none_or(|(after, ..)| *after != p - 1) {
            direct.push((p - 1, Reason::File, None));
        }
        let mut because = Vec::with_capacity(direct.len());
        because.extend(direct.drain(..).map(|(after, reason, at)| Because {
            after: after as u32,
            reason,
            at: at.filter(|at| at.len > 0),
        }));
        let privileged = matches!(phase.privilege.v, Privilege::Privileged | Privilege::Root);
        let process = match daemonize {
            _ if node.down && privileged && guarded => Process::Guard,
            Some(d) if p <= d => Process::Launcher,
            _ => Process::Daemon,
        };
        steps.push(Step {
            phase: phase.name.v.clone(),
            at: phase.name.at,
            groups: groups
                .entry(phase.group)
                .or_insert_with(|| spec.group_path(phase.group).into_iter().map(str::to_owned).collect())
                .clone(),
            kind: phase.kind.v.clone(),
            about: phase.about.clone(),
            privilege: phase.privilege.v.clone(),
            privilege_at: if phase.privilege.at == Place::default() {
                phase.name.at
            } else {
                phase.privilege.at
            },
            process,
            skipped: node.skipped,
            needs: phase.needs.iter().map(|n| n.v.clone()).collect(),
            because,
            effects: node.effects,
            given: node.given,
            always: phase.always,
            timeout: phase.timeout.as_ref().map(|t| t.v),
            on_failure: phase.on_failure.v,
            down: node.down,
            drop: node.drop,
            learns: node.learns,
        });
    }
    Plan { spec: spec.name.v.clone(), steps }
}
