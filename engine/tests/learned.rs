//! What a loaded application brings: the plan is made again, judged, and the run goes on with it.

use engine::diagnostic::{At, Diagnostic, Place};
use engine::effect::{
    Application, Brought, Capability, CapabilitySet, Effect, Identity, Program, System, Twisted,
};
use engine::kind::{Args, Catalogue, Context, Kind, Learns, Param, Type, Unfit};
use engine::model::Model;
use engine::options::{Launch, Settings};
use engine::plan::{Approved, Plan, Request};
use engine::run::{Ending, How, Replanned, Report};
use engine::snapshot::{FileFact, FileKind, Python, Snapshot, User};
use engine::spec::Spec;
use engine::state::Phase;
use engine::timeline::{Event, Span, Timeline, What};

const fn param(name: &'static str, ty: Type) -> Param {
    Param { name, ty, list: false, required: false, default: None, help: "" }
}
const fn kind(
    name: &'static str,
    params: &'static [Param],
    learns: Option<Learns>,
    effects: fn(&Args, &Context) -> Result<Vec<Effect>, Unfit>,
) -> Kind {
    Kind { name, about: "", details: "", params, learns, effects }
}

static LOAD: Kind = kind("load", &[param("words", Type::String)], None, |args, _| {
    let words = args.string("words").into_iter().collect();
    let twisted = Twisted { interpreter: None, words };
    Ok(vec![Effect::Application(Application::Load(Program { twisted, ..Program::default() }))])
});
static DROP: Kind = kind("drop", &[param("uid", Type::User)], Some(Learns::Credential), |args, context| {
    let brought = context.brought.clone().unwrap_or_default();
    let Some(user) = args.user("uid").or(brought.user) else { return Ok(Vec::new()) };
    let gid = brought.gid.or(user.gid).ok_or_else(|| Unfit::new("no group", "name one"))?;
    Ok(vec![Effect::SetCredential {
        uid: Some(user.uid),
        gid: Some(gid),
        groups: Some(vec![gid]),
        effective: false,
        keep: Default::default(),
    }])
});
static LOG: Kind = kind("log", &[param("owner", Type::Owner)], Some(Learns::Log), |args, _| {
    let owner = args.owner("owner");
    Ok(vec![Effect::OpenLog {
        path: "/log/t.log".into(),
        owner,
        mode: 0o644,
        rotate_at: Some(1000),
        rotation: Default::default(),
    }])
});
static BIND: Kind = kind("bind", &[], None, |_, _| {
    let socket = engine::effect::Socket::Tcp(
        "127.0.0.1:80".parse().map_err(|_| Unfit::new("no address", "write one"))?,
    );
    Ok(vec![Effect::Bind { socket, options: Default::default() }])
});
static SERVE: Kind = kind("serve", &[], None, |_, _| Ok(vec![Effect::Serve]));
const CATALOGUE: Catalogue = Catalogue(&[&LOAD, &DROP, &LOG, &BIND, &SERVE]);

const SPEC: &str = "rsd: 1
name: t
phases:
  load: { kind: load, with: { words: web } }
  log: { kind: log, needs: [load], with: { owner: dropped } }
  drop: { kind: drop }
  port: { kind: bind, privilege: privileged }
  serve: { kind: serve, privilege: user }
";

struct World {
    spec: Spec,
    settings: Settings,
    launch: Launch,
    snapshot: Snapshot,
    skip: Vec<At<String>>,
}

impl World {
    fn new(text: &str, uid: u32) -> World {
        let mut fetch = |name: &str, _: Option<&str>| Ok((name.to_owned(), text.to_owned()));
        let (loaded, findings) = engine::spec::load("t.yaml", &mut fetch);
        assert!(findings.is_empty(), "{findings:?}");
        let spec = loaded.spec.expect("a spec");
        let launch = Launch { cwd: "/".into(), root: uid == 0, name: "t".into(), uid, gid: uid };
        let (settings, findings) = Settings::resolve(&spec, &[], &launch);
        assert!(findings.is_empty(), "{findings:?}");
        let all = Capability::ALL.iter().fold(0, |bits, c| bits | 1u64 << *c as u8);
        let caps = CapabilitySet(if uid == 0 { all } else { 0 });
        let mut snapshot = Snapshot {
            identity: Identity {
                uid: [uid; 3],
                gid: [uid; 3],
                groups: vec![uid],
                caps,
                permitted: caps,
                root: "/".into(),
                cwd: "/".into(),
                umask: 0o22,
                ..Identity::default()
            },
            unprivileged_port: 80,
            cwd: "/".into(),
            ..Snapshot::default()
        };
        for (path, mode) in [("/", 0o755), ("/log", 0o777)] {
            let fact = FileFact { kind: FileKind::Directory, uid: 0, gid: 0, mode };
            snapshot.files.insert(path.into(), Some(fact));
        }
        World { spec, settings, launch, snapshot, skip: Vec::new() }
    }

    fn plan(&self, brought: Option<&Brought>) -> (Option<Plan>, Vec<Diagnostic>) {
        engine::plan::plan(&Request {
            spec: &self.spec,
            settings: &self.settings,
            catalogue: CATALOGUE,
            snapshot: &self.snapshot,
            launch: &self.launch,
            order: &[],
            skip: &self.skip,
            unchecked: false,
            brought,
        })
    }

    fn known(&self) -> Plan {
        let (plan, findings) = self.plan(None);
        plan.unwrap_or_else(|| panic!("{findings:?}"))
    }

    fn run(&self, brought: &Brought) -> (Report, Vec<Event>, Model) {
        let replan = |brought: &Brought| {
            let (plan, mut findings) = self.plan(Some(brought));
            let mut predicted = None;
            if let Some(plan) = &plan {
                let (simulation, more) = engine::rules::judge(plan, &self.snapshot);
                findings.extend(more);
                predicted = Some(simulation.timeline);
            }
            Replanned { plan, findings, predicted }
        };
        let plan = self.known();
        let first = engine::simulate::simulate(&plan, &self.snapshot).timeline;
        let mut model = Model::new(&self.snapshot).bringing(brought.clone());
        let mut events = Vec::new();
        let how = How { predicted: Some(&first), replan: Some(&replan), ..How::default() };
        let approved = Approved::unchecked(plan);
        let report = engine::run::run(&approved, &mut model, &mut |e| events.push(e), &how);
        (report, events, model)
    }
}

fn user(uid: u32, gid: Option<u32>) -> User {
    User {
        name: format!("u{uid}"),
        uid,
        gid,
        groups: gid.into_iter().collect(),
        home: "/".into(),
        shell: Default::default(),
    }
}

fn span<'a>(timeline: &'a Timeline, phase: &str) -> &'a Span {
    timeline.spans.iter().find(|s| s.phase.name == phase).expect("a span")
}

#[test]
fn a_drop_that_only_the_application_can_name_is_open_and_orders() {
    let plan = World::new(SPEC, 0).known();
    let names: Vec<_> = plan.steps().iter().map(|s| s.phase.as_str()).collect();
    // The port is bound before the drop and the daemon serves after it, though no user is known yet.
    assert_eq!(names, ["load", "log", "port", "drop", "serve"]);
    let drop = &plan.steps()[3];
    assert_eq!((drop.skipped.as_deref(), drop.drop, drop.learns), (None, false, Some(Learns::Credential)));
    assert_eq!(drop.shown(), ["what the application names, if it does"]);
}

#[test]
fn without_a_twisted_application_there_is_nothing_to_learn() {
    let plan = World::new(&SPEC.replace(", with: { words: web }", ""), 0).known();
    let drop = &plan.steps()[plan.find("drop").expect("a step")];
    assert_eq!((drop.skipped.as_deref(), drop.learns), (Some("nothing to do"), None));
}

#[test]
fn the_user_it_names_is_dropped_to_and_owns_the_log() {
    let world = World::new(SPEC, 0);
    let (report, events, model) =
        world.run(&Brought { user: Some(user(33, Some(34))), ..Brought::default() });
    assert_eq!((report.ending, report.failures.len()), (Ending::Completed, 0), "{report:?}");
    assert!(report.divergences.is_empty(), "compared with the new prediction: {:?}", report.divergences);
    let log = model.files().get("/log/t.log".as_ref()).expect("a log");
    assert_eq!((log.uid, log.gid), (33, 34));
    let timeline = Timeline::from_events(&events);
    let drop = span(&timeline, "drop");
    assert_eq!(drop.phase.detail, "33:34");
    assert_eq!(drop.identity_after.as_ref().expect("an identity").uid, [33; 3]);
    assert_eq!(span(&timeline, "serve").identity_before.as_ref().expect("an identity").gid, [34; 3]);
}

#[test]
fn its_group_alone_fills_in_what_the_spec_left_open() {
    let mut world =
        World::new(&SPEC.replace("drop: { kind: drop }", "drop: { kind: drop, with: { uid: '7' } }"), 0);
    world.snapshot.users.insert("7".into(), Some(user(7, Some(8))));
    let brought = Brought { user: Some(user(33, Some(34))), gid: Some(50), logger: None };
    let (_, events, _) = world.run(&brought);
    let timeline = Timeline::from_events(&events);
    let after = span(&timeline, "drop").identity_after.clone().expect("an identity");
    assert_eq!((after.uid, after.gid, after.groups.clone()), ([7; 3], [50; 3], vec![50]));
}

#[test]
fn its_own_logger_leaves_the_log_unopened_and_the_record_says_why() {
    let world = World::new(SPEC, 0);
    let brought = Brought { logger: Some("twisted.python.log.FileLogObserver".into()), ..Brought::default() };
    let (report, events, model) = world.run(&brought);
    assert_eq!(report.ending, Ending::Completed);
    assert!(model.files().get("/log/t.log".as_ref()).is_none());
    let timeline = Timeline::from_events(&events);
    let log = span(&timeline, "log");
    assert_eq!(log.state, Phase::Skipped);
    assert_eq!(
        log.skipped.as_deref(),
        Some("the application logs by itself: twisted.python.log.FileLogObserver")
    );
    assert_eq!(span(&timeline, "drop").skipped.as_deref(), Some("the application names no user either"));
}

#[test]
fn what_it_brings_can_make_the_plan_wrong_and_that_fails_the_phase_that_loaded() {
    let world = World::new(SPEC, 1000);
    let (report, events, _) = world.run(&Brought { user: Some(user(33, Some(33))), ..Brought::default() });
    assert_eq!(report.ending, Ending::Unwound);
    let (phase, failure) = &report.failures[0];
    assert_eq!(phase, "load");
    // Not the log, which could not be given away either and comes first.
    assert!(failure.message.starts_with("RSD0302: `drop` "), "{failure:?}");
    assert!(failure.why.as_deref().unwrap_or_default().contains("u33 (33)"), "{failure:?}");
    assert!(failure.help.is_some(), "{failure:?}");
    assert!(!events.iter().any(|e| matches!(&e.what, What::Enter { phase } if phase == "log")));
    // Itself is not another.
    let own = Brought { user: Some(user(1000, Some(1000))), ..Brought::default() };
    assert_eq!(world.run(&own).0.ending, Ending::Completed);
}

#[test]
fn a_warning_of_the_new_plan_is_a_note() {
    // The log belongs to the dropped user and its directory does not.
    let mut world = World::new(SPEC, 0);
    let dir = FileFact { kind: FileKind::Directory, uid: 0, gid: 0, mode: 0o755 };
    world.snapshot.files.insert("/log".into(), Some(dir));
    let (report, events, _) = world.run(&Brought { user: Some(user(33, Some(33))), ..Brought::default() });
    assert_eq!(report.ending, Ending::Completed);
    let timeline = Timeline::from_events(&events);
    let notes = &span(&timeline, "load").notes;
    assert!(notes.iter().any(|n| n.starts_with("RSD0401: ")), "{notes:?}");
}

#[test]
fn a_user_that_nobody_sets_is_refused() {
    let early = "rsd: 1
name: t
phases:
  drop: { kind: drop }
  load: { kind: load, with: { words: web }, needs: [drop] }
  serve: { kind: serve }
";
    let world = World::new(early, 0);
    let (_, findings) = world.plan(None);
    assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["RSD0309"]);
    for text in [
        early,
        "rsd: 1
name: t
phases:
  load: { kind: load, with: { words: web } }
  serve: { kind: serve }
",
    ] {
        let group = Brought { gid: Some(33), ..Brought::default() };
        for brought in [Brought { user: Some(user(33, Some(33))), ..Brought::default() }, group] {
            let (report, ..) = World::new(text, 0).run(&brought);
            assert_eq!(report.ending, Ending::Unwound, "{text}");
            assert!(report.failures[0].1.message.starts_with("RSD0309: "), "{:?}", report.failures);
        }
        let (report, ..) = World::new(text, 0).run(&Brought::default());
        assert_eq!(report.ending, Ending::Completed, "{text}");
    }
}

#[test]
fn without_a_way_to_plan_again_it_is_not_run_as_the_starting_user() {
    let world = World::new(SPEC, 0);
    let brought = Brought { user: Some(user(33, Some(33))), ..Brought::default() };
    let mut model = Model::new(&world.snapshot).bringing(brought);
    let approved = Approved::unchecked(world.known());
    let report = engine::run::run(&approved, &mut model, &mut |_| {}, &How::default());
    assert_eq!(report.ending, Ending::Unwound);
}

#[test]
fn another_order_is_not_gone_on_with() {
    let world = World::new(SPEC, 0);
    let other = World::new(&SPEC.replace("  port: { kind: bind, privilege: privileged }\n", ""), 0);
    let replan = |brought: &Brought| Replanned { plan: other.plan(Some(brought)).0, ..Replanned::default() };
    let mut model = Model::new(&world.snapshot).bringing(Brought::default());
    let how = How { replan: Some(&replan), ..How::default() };
    let report = engine::run::run(&Approved::unchecked(world.known()), &mut model, &mut |_| {}, &how);
    assert_eq!(report.ending, Ending::Unwound);
    assert!(report.failures[0].1.message.contains("order of the phases"), "{:?}", report.failures);
}

#[test]
fn a_library_that_only_root_may_read_is_told_before() {
    let text = SPEC.replace("drop: { kind: drop }", "drop: { kind: drop, with: { uid: '7' } }");
    let mut world = World::new(&text, 0);
    world.snapshot.users.insert("7".into(), Some(user(7, Some(8))));
    let library = |world: &mut World, mode| {
        for (path, mode) in [("/root", mode), ("/root/lib", 0o755)] {
            let fact = FileFact { kind: FileKind::Directory, uid: 0, gid: 0, mode };
            world.snapshot.files.insert(path.into(), Some(fact));
        }
        let python = Python { executable: "/root/python3".into(), libraries: vec!["/root/lib".into()] };
        world.snapshot.pythons.insert(String::new(), Ok(python));
        let (_, findings) = engine::rules::judge(&world.known(), &world.snapshot);
        findings.into_iter().filter(|f| f.code == "RSD0504").collect::<Vec<_>>()
    };
    let found = library(&mut world, 0o700);
    assert_eq!(found.len(), 1);
    assert!(found[0].notes.iter().any(|n| n.contains("/root is 0:0 0700")), "{found:?}");
    assert!(library(&mut world, 0o755).is_empty());
}

#[test]
fn a_file_is_read_by_whoever_loads_it_where_paths_lead_then() {
    let mut snapshot = World::new(SPEC, 1000).snapshot;
    let mut add = |path: &str, kind, mode| {
        snapshot.files.insert(path.into(), Some(FileFact { kind, uid: 0, gid: 0, mode }));
    };
    add("/jail", FileKind::Directory, 0o755);
    add("/jail/in.tac", FileKind::File, 0o644);
    add("/out.tac", FileKind::File, 0o644);
    add("/closed.tac", FileKind::File, 0o600);
    add("/link.tac", FileKind::Symlink("out.tac".into()), 0o777);
    let load = |root: &str, tac: &str| {
        let mut snapshot = snapshot.clone();
        snapshot.identity.root = root.into();
        let program = Program { tac: Some(tac.into()), ..Program::default() };
        let effect = Effect::Application(Application::Load(program));
        Model::new(&snapshot).perform(&effect).err().map(|e| e.errno.unwrap_or(0))
    };
    assert_eq!(load("/", "/out.tac"), None);
    assert_eq!(load("/", "/link.tac"), None);
    assert_eq!(load("/", "/in.tac"), Some(2));
    assert_eq!(load("/", "/closed.tac"), Some(13));
    assert_eq!(load("/", "/jail"), Some(21));
    assert_eq!(load("/jail", "/in.tac"), None);
    assert_eq!(load("/jail", "/out.tac"), Some(2));
}

#[test]
fn a_drop_that_is_skipped_is_refused_once_a_user_is_named() {
    let mut world = World::new(SPEC, 0);
    world.skip = vec![At::new("drop".to_owned(), Place::default())];
    assert_eq!(world.run(&Brought::default()).0.ending, Ending::Completed);
    let (report, ..) = world.run(&Brought { user: Some(user(33, Some(33))), ..Brought::default() });
    assert_eq!(report.ending, Ending::Unwound);
    assert!(report.failures[0].1.message.starts_with("RSD0307: "), "{:?}", report.failures);
}
