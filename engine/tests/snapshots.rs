//! Facts from a file: what was written comes back, and what is spoilt is refused or judged, and never panics.

use engine::effect::{Application, Effect, Identity, Program, Socket, SocketOptions};
use engine::kind::{Catalogue, Kind, Param, Type, Value};
use engine::options::{Launch, Settings};
use engine::plan::{Plan, Request};
use engine::snapshot::file::{Host, read, write};
use engine::snapshot::*;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const VERSION: &str = "0.1.0";

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Something of everything, names that are not UTF-8 among them.
fn facts() -> Snapshot {
    let fact = |kind, mode| Some(FileFact { kind, uid: 0, gid: 7, mode });
    let odd = path(b"/odd\xff\\name");
    let mut snapshot = Snapshot {
        identity: Identity { root: "/".into(), cwd: odd.clone(), umask: 0o27, ..Identity::default() },
        cwd: odd.clone(),
        unprivileged_port: 1024,
        v6_only: Some(false),
        protected_symlinks: Some(true),
        restrictions: Restrictions {
            namespace: Some(UserNamespace {
                uids: vec![IdRange { first: 0, count: 1 }],
                gids: vec![IdRange { first: 0, count: u32::MAX }],
                setgroups: false,
                network: true,
            }),
        },
        ..Snapshot::default()
    };
    snapshot.users.insert(
        "svc".into(),
        Some(User {
            name: "svc".into(),
            uid: 4000,
            gid: Some(7),
            groups: vec![7],
            home: odd.clone(),
            shell: "/bin/sh".into(),
        }),
    );
    snapshot.users.insert("none".into(), None);
    snapshot.groups.insert("svc".into(), Some(Group { name: "svc".into(), gid: 7 }));
    for (at, fact) in [
        (path(b"/"), fact(FileKind::Directory, 0o755)),
        (odd.clone(), fact(FileKind::Directory, 0o1777)),
        (path(b"/run"), fact(FileKind::Symlink(odd.clone()), 0o777)),
        (path(b"/odd\xff\\name/x.pid"), fact(FileKind::File, 0o600)),
        (path(b"/odd\xff\\name/x.log"), None),
        (path(b"/odd\xff\\name/s"), fact(FileKind::Other, 0o777)),
    ] {
        snapshot.files.insert(at, fact);
    }
    snapshot.mounts.insert("/".into(), Mount::default());
    snapshot.mounts.insert(odd, Mount { read_only: Some(ReadOnly::Mount), nosuid: true, noexec: true });
    snapshot.programs.insert("sleep".into(), Some("/run/sleep".into()));
    snapshot.programs.insert("gone".into(), None);
    let python = Python { executable: "/bin/python3".into(), libraries: vec!["/lib".into()] };
    snapshot.pythons.insert(String::new(), Ok(python));
    snapshot.pythons.insert("no".into(), Err(NoPython { message: "none".into(), help: None }));
    snapshot.locks.insert(path(b"/odd\xff\\name/x.pid"), Lock::Process(77));
    snapshot.sockets.insert(path(b"/odd\xff\\name/s"), false);
    let listener = |protocol, address: &str| Listener {
        protocol,
        address: address.parse().unwrap(),
        v6_only: false,
        uid: None,
        reuse_port: None,
    };
    snapshot.ports.insert(80, vec![listener(Protocol::Tcp, "0.0.0.0"), listener(Protocol::Udp, "::1")]);
    snapshot
}

fn text() -> Vec<u8> {
    write(&facts(), Host { taken: "now".into(), kernel: "Linux".into() }, VERSION).unwrap().into_bytes()
}

fn everything() -> Vec<Effect> {
    let pid = PathBuf::from("/run/x.pid");
    vec![
        Effect::CheckPidFile { path: pid.clone() },
        Effect::Application(Application::Load(Program {
            command: vec!["sleep".into()],
            ..Program::default()
        })),
        Effect::OpenLog {
            path: "/run/x.log".into(),
            owner: None,
            mode: 0o644,
            rotate_at: Some(9),
            rotation: Default::default(),
        },
        Effect::Bind {
            socket: Socket::Tcp("127.0.0.1:80".parse().unwrap()),
            options: SocketOptions::default(),
        },
        Effect::Bind { socket: Socket::Unix("/run/s".into()), options: SocketOptions::default() },
        Effect::CreatePidFile { path: pid.clone(), owner: None, mode: 0o644 },
        Effect::Chdir { path: "/run".into() },
        Effect::Chroot { path: "/run".into() },
        Effect::SetCredential {
            uid: Some(4000),
            gid: Some(7),
            groups: Some(vec![7]),
            effective: false,
            keep: Default::default(),
        },
        Effect::Application(Application::Start(Default::default())),
        Effect::Serve,
        Effect::RemovePidFile { path: pid },
    ]
}

const EVERYTHING: Kind = Kind {
    name: "everything",
    about: "",
    details: "",
    params: &[Param { name: "n", ty: Type::Integer, list: false, required: true, default: None, help: "" }],
    learns: None,
    effects: |args, _| {
        Ok(everything()
            .into_iter()
            .skip(match args.get("n") {
                Some(Value::Integer(n)) => *n as usize,
                _ => 0,
            })
            .take(1)
            .collect())
    },
};

const KINDS: &[&Kind] = &[&EVERYTHING];

/// The verdict on the facts, as text.
fn judged(snapshot: &mut Snapshot) -> String {
    let phases: String = (0..everything().len())
        .map(|n| format!("  p{n}: {{ kind: everything, with: {{ n: {n} }} }}\n"))
        .collect();
    let spec = format!("rsd: 1\nname: t\nphases:\n{phases}");
    let (loaded, findings) = engine::spec::load("t", &mut |_, _| Ok(("t".to_owned(), spec.clone())));
    assert!(findings.is_empty(), "{findings:?}");
    let spec = loaded.spec.unwrap();
    let launch = Launch { cwd: snapshot.cwd.clone(), root: true, name: "t".into(), uid: 0, gid: 0 };
    let (settings, _) = Settings::resolve(&spec, &[], &launch);
    let request = Request {
        spec: &spec,
        settings: &settings,
        catalogue: Catalogue(KINDS),
        snapshot,
        launch: &launch,
        order: &[],
        skip: &[],
        unchecked: false,
        brought: None,
    };
    let (plan, findings): (Option<Plan>, _) = engine::plan::plan(&request);
    let Some(plan) = plan else { return format!("{findings:?}") };
    let unknown = survey(snapshot, &plan, None, true);
    let (_, found) = engine::rules::judge(&plan, snapshot);
    format!("{unknown:?} {found:?}")
}

#[test]
fn what_was_written_comes_back() {
    let document = read(&text(), VERSION).unwrap();
    assert_eq!(document.facts, facts());
    assert_eq!(document.rsd, VERSION);
    let again = write(&document.facts, document.host.clone(), VERSION).unwrap();
    assert_eq!(again.into_bytes(), text());
    let verdict = judged(&mut facts());
    for code in ["RSD0412", "RSD0522", "RSD0604"] {
        assert!(verdict.contains(code), "{code}: {verdict}");
    }
    assert_eq!(verdict, judged(&mut read(&text(), VERSION).unwrap().facts));
}

#[test]
fn cut_anywhere_it_is_refused() {
    let whole = text();
    // The newline at the end is the only byte that it can do without.
    for n in 0..whole.len() - 1 {
        let why = read(&whole[..n], VERSION).expect_err("a cut file");
        assert!(
            n == 0 || why.contains("cut") || why.contains("UTF-8") || why.contains("empty"),
            "{n}: {why}"
        );
    }
    assert!(read(&whole[..whole.len() - 1], VERSION).is_ok());
}

/// Numbers that look like chance, the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

#[test]
fn spoilt_anyhow_it_is_refused_or_judged() {
    let (whole, mut chance) = (text(), Chance(7));
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..4_000 {
        let mut bytes = whole.clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            match chance.below(5) {
                0 => bytes[at] ^= 1 << chance.below(8),
                1 => bytes[at] = b"0123456789\"{}[],:\\/-"[chance.below(20)],
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, b"09\"{}[],:\\"[chance.below(10)]),
                _ => {
                    let to = (at + chance.below(200)).min(bytes.len());
                    let part = bytes[at..to].to_vec();
                    let there = chance.below(bytes.len());
                    bytes.splice(there..there, part);
                }
            }
        }
        match read(&bytes, VERSION) {
            Err(why) => {
                assert!(!why.is_empty());
                refused += 1;
            }
            Ok(mut document) => {
                judged(&mut document.facts);
                taken += 1;
            }
        }
    }
    assert!(refused > 500 && taken > 100, "{refused} refused, {taken} judged");
}
