//! Runs written by hand, for the tests of everything that reads a timeline.

use super::*;
use crate::effect::CapabilitySet;
use crate::state::Phase;

pub(crate) const MS: u64 = 1_000_000;
const US: u64 = 1_000;
pub(crate) const BASE: u64 = 7_000 * MS;

pub(crate) fn event(t: u64, pid: u32, what: What) -> Event {
    Event { t: BASE + t, pid, what }
}

pub(crate) fn root() -> Identity {
    let all = CapabilitySet((1 << 41) - 1);
    Identity {
        caps: all,
        permitted: all,
        bounding: all,
        root: "/".into(),
        cwd: "/".into(),
        umask: 0o022,
        ..Default::default()
    }
}

pub(crate) fn header(name: &str, needs: &[&str], detail: &str) -> PhaseHeader {
    PhaseHeader {
        name: name.into(),
        groups: vec!["start".into()],
        kind: "kind".into(),
        needs: needs.iter().map(|n| (*n).into()).collect(),
        detail: detail.into(),
        ..Default::default()
    }
}

pub(crate) fn run(spec: &str, name: &str, phases: Vec<PhaseHeader>) -> What {
    What::Run {
        schema: SCHEMA,
        spec: spec.into(),
        name: String::new(),
        run: name.into(),
        version: "0.1.0".into(),
        wall_ns: 1_795_325_210_000_000_000,
        phases,
    }
}

pub(crate) fn is(identity: &Identity) -> What {
    What::Identity { identity: Box::new(identity.clone()) }
}

pub(crate) fn enter(phase: &str) -> What {
    What::Enter { phase: phase.into() }
}

pub(crate) fn done(phase: &str) -> What {
    What::Exit { phase: phase.into(), state: Phase::Done, error: None, why: None }
}

pub(crate) fn fails(phase: &str, error: Failure) -> What {
    What::Exit { phase: phase.into(), state: Phase::Failed, error: Some(error), why: None }
}

fn fork(parent: u32, role: &str) -> What {
    What::Fork { parent, role: role.into(), child: None }
}

fn undo(phase: &str, what: &str, state: Phase, error: Option<Failure>) -> What {
    What::Undo { phase: phase.into(), what: what.into(), state, error }
}

fn twistd() -> Vec<PhaseHeader> {
    vec![
        header("checkPID", &[], ""),
        header("readTacFile", &[], ""),
        header("startLogger", &[], ""),
        header("chroot", &[], "/jail"),
        header("chdir", &[], "/srv"),
        header("umask", &[], "027"),
        header("daemonize", &["umask"], "fork×2"),
        header("openPIDFile", &["checkPID", "daemonize"], ""),
        header("privilegedStartService", &["readTacFile"], ""),
        header("switchUidGid", &["privilegedStartService"], "1000:1000"),
        header("startApplication", &["privilegedStartService", "switchUidGid"], ""),
        header("startReactor", &["startApplication"], ""),
        header("removePIDFile", &["startReactor", "openPIDFile"], ""),
    ]
}

/// Up to and with openPIDFile; the moment after it.
fn begin(name: &str) -> (Vec<Event>, Identity, u64) {
    let mut who = root();
    let mut events = vec![event(0, 3798, run("twistd", name, twistd())), event(0, 3798, is(&who))];
    let mut t = 300 * US;
    for (phase, took) in [
        ("checkPID", 59 * US),
        ("readTacFile", 443 * MS),
        ("startLogger", 1_100 * US),
        ("chroot", 1_800 * US),
        ("chdir", 21 * US),
        ("umask", 17 * US),
    ] {
        events.push(event(t, 3798, enter(phase)));
        t += took;
        match phase {
            "chroot" => who.root = "/jail".into(),
            "chdir" => who.cwd = "/srv".into(),
            "umask" => who.umask = 0o027,
            _ => {}
        }
        if matches!(phase, "chroot" | "chdir" | "umask") {
            events.push(event(t, 3798, is(&who)));
        }
        events.push(event(t, 3798, done(phase)));
        t += 40 * US;
    }
    events.push(event(t, 3798, enter("daemonize")));
    events.push(event(t + MS, 3849, fork(3798, "session leader")));
    events.push(event(t + 7 * MS, 3850, fork(3849, "daemon")));
    t += 7_700 * US;
    events.push(event(t, 3850, done("daemonize")));
    t += 40 * US;
    events.push(event(t, 3850, enter("openPIDFile")));
    t += 71 * US;
    events.push(event(t, 3850, done("openPIDFile")));
    (events, who, t + 40 * US)
}

/// The whole of twistd; its last phase fails.
pub(crate) fn served() -> Vec<Event> {
    let (mut events, mut who, mut t) = begin("7f3a");
    events.push(event(t, 3850, enter("privilegedStartService")));
    t += 340 * US;
    events.push(event(t, 3850, done("privilegedStartService")));
    events.push(event(t + US, 3850, enter("switchUidGid")));
    t += 39 * US;
    who.uid = [1000; 3];
    who.gid = [1000; 3];
    (who.caps, who.permitted) = (CapabilitySet::EMPTY, CapabilitySet::EMPTY);
    events.push(event(t, 3850, is(&who)));
    events.push(event(t, 3850, done("switchUidGid")));
    t += 1_800 * US;
    events.push(event(t, 3850, enter("startApplication")));
    t += 31 * MS;
    events.push(event(t, 3850, done("startApplication")));
    t += 100 * US;
    events.push(event(t, 3850, What::Ready {}));
    events.push(event(t + 90 * US, 3850, enter("startReactor")));
    t += 273_600_001 * MS;
    events.push(event(t, 3850, What::Signal { signal: "SIGTERM".into(), then: "stopping".into() }));
    events.push(event(t, 3850, done("startReactor")));
    events.push(event(t + US, 3850, enter("removePIDFile")));
    t += 52 * US;
    let error = Failure {
        errno: Some(13),
        message: "remove /run/d.pid: Permission denied".into(),
        why: Some("/run/d.pid was made as root (openPIDFile) in /run (0:0 755); this phase ran as uid 1000, which may not write there.".into()),
        help: Some("chown /run to 1000:1000, or keep a guard: `kind: keep-guard` before the drop".into()),
        ..Failure::default()
    };
    events.push(event(t, 3850, fails("removePIDFile", error)));
    events.push(event(t + US, 3850, What::End { outcome: Outcome::Failed, code: 1 }));
    events
}

/// A port that is in use; everything is undone by the launcher.
pub(crate) fn unwound() -> Vec<Event> {
    let (mut events, _, mut t) = begin("c2d8");
    events.push(event(t, 3850, enter("privilegedStartService")));
    t += 340 * US;
    let error = Failure {
        errno: Some(98),
        message: "bind tcp:127.0.0.1:807: Address already in use".into(),
        why: Some("127.0.0.1:807 is held by nginx (pid 2210)".into()),
        help: Some("stop nginx, or give another --listen".into()),
        ..Failure::default()
    };
    events.push(event(t, 3850, fails("privilegedStartService", error)));
    t += 500 * US;
    for (phase, what, took) in
        [("openPIDFile", "remove /run/d.pid", 48 * US), ("startLogger", "remove /log/d.log", 12 * US)]
    {
        events.push(event(t, 3798, undo(phase, what, Phase::Undoing, None)));
        events.push(event(t + took, 3798, undo(phase, what, Phase::Undone, None)));
        t += took + 10 * US;
    }
    events.push(event(t, 3798, What::End { outcome: Outcome::Unwound, code: 1 }));
    events
}

/// The same, but one undo fails.
pub(crate) fn stuck() -> Vec<Event> {
    let mut events = unwound();
    for e in &mut events {
        match &mut e.what {
            What::Undo { phase, state, error, .. } if phase == "openPIDFile" && *state == Phase::Undone => {
                *state = Phase::Stuck;
                *error = Some(Failure {
                    errno: Some(30),
                    message: "unlink /run/d.pid: Read-only file system".into(),
                    why: None,
                    help: Some("remount /run and remove d.pid by hand".into()),
                    ..Failure::default()
                });
            }
            What::End { outcome, code } => (*outcome, *code) = (Outcome::Stuck, 7),
            _ => {}
        }
    }
    events
}

/// The same, but the PID file is removed by a guard that kept the credential.
pub(crate) fn guarded() -> Vec<Event> {
    let mut events = served();
    let guard = 3851;
    let drop =
        events.iter().position(|e| matches!(&e.what, What::Enter { phase } if phase == "switchUidGid"));
    let drop = drop.unwrap_or(0);
    let at = events[drop].t - BASE;
    let fork = What::Fork { parent: 3850, role: "guard".into(), child: None };
    events.insert(drop, event(at, guard, fork));
    for e in &mut events {
        match &mut e.what {
            What::Enter { phase } if phase == "removePIDFile" => e.pid = guard,
            What::Exit { phase, state, error, .. } if phase == "removePIDFile" => {
                (e.pid, *state, *error) = (guard, Phase::Done, None);
            }
            What::End { outcome, code } => (*outcome, *code) = (Outcome::Completed, 0),
            _ => {}
        }
    }
    events
}

/// Still up: ready, serving.
pub(crate) fn running() -> Vec<Event> {
    let mut events = served();
    events.truncate(events.len() - 5);
    events
}

/// An ordinary user in the foreground, with skipped phases, a retry and a note.
pub(crate) fn foreground() -> Vec<Event> {
    let user = Identity {
        uid: [33; 3],
        gid: [33; 3],
        root: "/".into(),
        cwd: "/srv".into(),
        umask: 0o022,
        ..Default::default()
    };
    let mut phases = twistd();
    for (name, why) in [
        ("chroot", "chroot is not set"),
        ("daemonize", "nodaemon is set"),
        ("switchUidGid", "uid is not set"),
    ] {
        for p in phases.iter_mut().filter(|p| p.name == name) {
            p.skipped = Some(why.into());
        }
    }
    let mut events = vec![event(0, 10, run("twistd", "0badcafe", phases)), event(1, 10, is(&user))];
    let mut t = 2 * MS;
    for phase in ["checkPID", "readTacFile", "startLogger", "privilegedStartService"] {
        events.push(event(t, 10, enter(phase)));
        events.push(event(t + 20 * MS, 10, done(phase)));
        t += 40 * MS;
    }
    let error = Failure { message: "no reply in 2 s".into(), ..Default::default() };
    events.push(event(t, 10, enter("startApplication")));
    events.push(event(t + MS, 10, fails("startApplication", error)));
    events.push(event(t + 2 * MS, 10, undo("startApplication", "end app", Phase::Undone, None)));
    events.push(event(t + 3 * MS, 10, enter("startApplication")));
    let note = What::Note { phase: "startApplication".into(), note: "the second try worked".into() };
    events.push(event(t + 4 * MS, 10, note));
    events.push(event(t + 50 * MS, 10, done("startApplication")));
    events.push(event(t + 51 * MS, 10, What::Ready {}));
    events.push(event(t + 52 * MS, 10, enter("startReactor")));
    events
}

/// Three branches at once as three identities: root migrates a database, a user without anything warms
/// a cache, a user that kept one capability binds ports. What joins them waits for the slowest.
pub(crate) fn parallel() -> Vec<Event> {
    let (launcher, db, cache, net) = (500, 501, 502, 503);
    let port = CapabilitySet(1 << 10);
    let nobody = Identity {
        uid: [65534; 3],
        gid: [65534; 3],
        caps: CapabilitySet::EMPTY,
        permitted: CapabilitySet::EMPTY,
        ..root()
    };
    let binder = Identity { uid: [1000; 3], gid: [1000; 3], caps: port, permitted: port, ..root() };
    let group = |group: &str, name: &str, needs: &[&str], detail: &str| PhaseHeader {
        groups: vec![group.into()],
        ..header(name, needs, detail)
    };
    let phases = vec![
        group("begin", "readConfig", &[], "/etc/shop.yaml"),
        group("begin", "fork", &["readConfig"], "fork×3"),
        group("database", "connect", &["fork"], ""),
        group("database", "migrate", &["connect"], "v41 → v42"),
        group("cache", "becomeNobody", &["fork"], "65534:65534"),
        group("cache", "warmCache", &["becomeNobody"], "12 000 keys"),
        group("net", "keepBindService", &["fork"], "1000:1000"),
        group("net", "bind80", &["keepBindService"], ":80"),
        group("net", "bind443", &["keepBindService"], ":443"),
        group("end", "join", &["migrate", "warmCache", "bind80", "bind443"], ""),
        PhaseHeader { serves: true, ..group("end", "serve", &["join"], "") },
    ];
    let mut events = vec![event(0, launcher, run("shop", "3b1d", phases)), event(0, launcher, is(&root()))];
    let mut did = |from: u64, to: u64, pid: u32, phase: &str| {
        events.push(event(from, pid, enter(phase)));
        events.push(event(to, pid, done(phase)));
    };
    did(MS, 4 * MS, launcher, "readConfig");
    did(4 * MS, 6 * MS, launcher, "fork");
    did(7 * MS, 30 * MS, db, "connect");
    did(30 * MS, 210 * MS, db, "migrate");
    did(7 * MS, 8 * MS, cache, "becomeNobody");
    did(8 * MS, 120 * MS, cache, "warmCache");
    did(7 * MS, 9 * MS, net, "keepBindService");
    did(9 * MS, 11 * MS, net, "bind80");
    did(11 * MS, 60 * MS, net, "bind443");
    did(211 * MS, 215 * MS, launcher, "join");
    for (k, child) in [db, cache, net].into_iter().enumerate() {
        let role = ["database", "cache", "net"][k].to_owned();
        events.push(event(5 * MS + k as u64, child, What::Fork { parent: launcher, role, child: None }));
    }
    events.push(event(8 * MS - US, cache, is(&nobody)));
    events.push(event(9 * MS - US, net, is(&binder)));
    events.push(event(216 * MS, launcher, What::Ready {}));
    events.push(event(217 * MS, launcher, enter("serve")));
    // each process writes its own in the order of time
    events.sort_by_key(|e| e.t);
    events
}

/// The same, but one branch fails while the others run.
pub(crate) fn parallel_failed() -> Vec<Event> {
    let mut events = parallel();
    let at = BASE + 60 * MS;
    events.retain(|e| e.t <= at);
    let error = Failure {
        errno: Some(98),
        message: "bind tcp:0.0.0.0:443: Address already in use".into(),
        why: Some("0.0.0.0:443 is held by nginx (pid 2210)".into()),
        help: Some("stop nginx, or give another port".into()),
        ..Failure::default()
    };
    for e in &mut events {
        if matches!(&e.what, What::Exit { phase, .. } if phase == "bind443") {
            e.what = fails("bind443", error.clone());
        }
    }
    events.push(event(61 * MS, 500, What::End { outcome: Outcome::Unwound, code: 1 }));
    events
}

/// So many phases in four groups.
pub(crate) fn many(n: u64) -> Vec<Event> {
    let name = |i: u64| format!("phase{i}");
    let phases = (0..n)
        .map(|i| PhaseHeader { groups: vec![format!("group{}", i * 4 / n)], ..header(&name(i), &[], "") });
    let mut events = vec![event(0, 7, run("big", "b166", phases.collect())), event(0, 7, is(&root()))];
    let mut t = 0;
    for i in 0..n {
        events.push(event(t, 7, enter(&name(i))));
        t += (i * 7919 % 1000 + 1) * US;
        events.push(event(t, 7, done(&name(i))));
    }
    events.push(event(t, 7, What::Ready {}));
    events
}

/// As a journal is written.
pub(crate) fn journal(events: &[Event]) -> String {
    events.iter().map(|e| serde_json::to_string(e).expect("events are JSON") + "\n").collect()
}
