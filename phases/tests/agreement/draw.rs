//! Drawing worlds, processes and effects. Everything that can be drawn is a row of a table: what is
//! new is one more row.

use super::case::{Case, Entry, Start, What};
use engine::effect::{
    Application, Capability, CapabilitySet, Cover, Effect, Environment, Fault, IoPriority, Landlock, Limits,
    Manner, Mounting, Namespace, NamespaceSet, Owner, Policy, Program, Resource, Rotation, SecureBits,
    Setting, Socket, SocketOptions, Sort, Starting, SystemCalls, Whose,
};
use engine::model::all_capabilities;
use fastrand::Rng;
use std::path::PathBuf;
use std::sync::LazyLock;

const USER: u32 = 1000;
const OTHER: u32 = 1001;
const SHARED: u32 = 2000;

/// The most effects of a list.
const LONGEST: usize = 12;

/// How often, and what.
type Row<T> = (u32, T);

fn pick<T: Clone>(rng: &mut Rng, rows: &[Row<T>]) -> T {
    let all: u32 = rows.iter().map(|(weight, _)| weight).sum();
    let mut at = rng.u32(..all);
    for (weight, value) in rows {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return value.clone(),
        }
    }
    unreachable!("the weights add up")
}

const DIRECTORIES: &[&str] = &[
    "/d",
    "/d/e",
    "/run",
    "/run/u",
    "/tmp",
    "/tmp/d",
    "/var",
    "/var/log",
    "/bin",
    "/jail",
    "/jail/d",
    "/jail/run",
    "/jail/tmp",
    "/jail/var",
    "/jail/bin",
    "/jail/in",
    "/jail/in/run",
];
const FILES: &[&str] = &[
    "/f",
    "/d/f",
    "/d/e/f",
    "/run/t.pid",
    "/run/u/t.pid",
    "/tmp/t.pid",
    "/tmp/t.log",
    "/tmp/d/f",
    "/var/log/t.log",
    "/jail/f",
    "/jail/run/t.pid",
    "/jail/tmp/t.log",
    "/jail/in/run/t.pid",
];
const LINKS: &[&str] = &[
    "/l",
    "/d/l",
    "/d/e/l",
    "/run/l",
    "/tmp/l",
    "/tmp/d/l",
    "/var/run",
    "/jail/l",
    "/jail/d/l",
    "/jail/run/l",
    "/jail/in/l",
];
const TARGETS: &[&str] = &[
    "d",
    "/d",
    "../d",
    "/jail",
    "jail",
    "/jail/d",
    "..",
    "../..",
    ".",
    "l",
    "/l",
    "/d/l",
    "/tmp/l",
    "/nowhere",
    "nowhere/x",
    "f",
    "/run",
    "../run",
    "/run/t.pid",
    "t.pid",
    "t.log",
    "/var/log",
    "/d/e/",
    "e/../../run",
    "/",
];
const PROGRAMS: &[&str] = &["/bin/stay", "/d/stay", "/jail/bin/stay", "/jail/d/stay", "/jail/in/stay"];

const INTERPRETERS: &[&str] = &["/in/stay", "bin/stay", "./stay", "/nowhere", "/d", "/l", "/d/l/stay", "/f"];

const OWNERS: &[Row<(u32, u32)>] = &[
    (8, (0, 0)),
    (5, (USER, USER)),
    (2, (OTHER, OTHER)),
    (2, (0, SHARED)),
    (1, (0, USER)),
    (1, (OTHER, SHARED)),
    (1, (USER, SHARED)),
    (1, (USER, OTHER)),
];
const DIRECTORY_MODES: &[Row<u32>] = &[
    (12, 0o755),
    (3, 0o777),
    (3, 0o1777),
    (2, 0o700),
    (2, 0o750),
    (2, 0o770),
    (2, 0o775),
    (1, 0o2775),
    (1, 0o2755),
    (1, 0o3777),
    (1, 0o1775),
    (1, 0o711),
    (1, 0o555),
    (1, 0o333),
    (1, 0o444),
    (1, 0o000),
    (1, 0o077),
    (1, 0o007),
];
/// What nobody could use at all is no world.
const ROOT_MODES: &[Row<u32>] = &[(2, 0o755), (1, 0o777), (1, 0o1777), (1, 0o711), (1, 0o2775), (1, 0o555)];
const FILE_MODES: &[Row<u32>] = &[
    (6, 0o644),
    (3, 0o600),
    (2, 0o666),
    (2, 0o664),
    (1, 0o640),
    (1, 0o660),
    (1, 0o444),
    (1, 0o400),
    (1, 0o200),
    (1, 0o000),
    (1, 0o066),
    (1, 0o006),
    (1, 0o2644),
    (1, 0o4644),
    (1, 0o6666),
];
const PROGRAM_MODES: &[Row<u32>] = &[
    (8, 0o755),
    (2, 0o700),
    (1, 0o750),
    (1, 0o711),
    (1, 0o644),
    (1, 0o111),
    (1, 0o001),
    (1, 0o010),
    (1, 0o100),
    (1, 0o600),
];
const READABLE_PROGRAM_MODES: &[Row<u32>] =
    &[(6, 0o755), (1, 0o555), (1, 0o700), (1, 0o750), (1, 0o775), (1, 0o644)];
const SIZES: &[Row<usize>] = &[(4, 0), (3, 4), (1, 64), (1, 65), (1, 300)];

fn world(rng: &mut Rng) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    let full = rng.u32(5..=10);
    let add = |all: &mut Vec<Entry>, path: &str, what, (uid, gid), mode| {
        let path = PathBuf::from(path);
        let parent = path.parent().map(|p| all.iter().any(|e| e.path == p && e.what == What::Directory));
        let free = !all.iter().any(|e| e.path == path);
        if free && (parent == Some(true) || path.parent() == Some("/".as_ref())) {
            all.push(Entry { path, what, uid, gid, mode });
        }
    };
    if rng.u32(..20) == 0 {
        let (uid, gid) = pick(rng, OWNERS);
        let mode = pick(rng, ROOT_MODES);
        all.push(Entry { path: "/".into(), what: What::Directory, uid, gid, mode });
    }
    for path in DIRECTORIES {
        if rng.u32(..10) < full {
            add(&mut all, path, What::Directory, pick(rng, OWNERS), pick(rng, DIRECTORY_MODES));
        }
    }
    for path in PROGRAMS {
        if rng.u32(..12) < full {
            let other = PathBuf::from(PROGRAMS[rng.usize(..PROGRAMS.len())]);
            let what = match rng.u32(..8) {
                0 => What::Script(other),
                1 => What::Dynamic(other),
                2 => What::Script(INTERPRETERS[rng.usize(..INTERPRETERS.len())].into()),
                3 => What::Dynamic(INTERPRETERS[rng.usize(..INTERPRETERS.len())].into()),
                _ => What::Program,
            };
            // What is in a file that may be executed and not read nobody can know before.
            let modes = if what == What::Program { PROGRAM_MODES } else { READABLE_PROGRAM_MODES };
            add(&mut all, path, what, pick(rng, OWNERS), pick(rng, modes));
        }
    }
    for path in LINKS {
        if rng.u32(..25) < full {
            let target = What::Symlink(TARGETS[rng.usize(..TARGETS.len())].into());
            add(&mut all, path, target, pick(rng, OWNERS), 0o777);
        }
    }
    for path in FILES {
        if rng.u32(..16) < full {
            let size = pick(rng, SIZES);
            let what = pick(
                rng,
                &[(20, What::File(size)), (1, What::Fifo), (1, What::StaleSocket), (1, What::Directory)],
            );
            let mode = pick(rng, if what == What::Directory { DIRECTORY_MODES } else { FILE_MODES });
            add(&mut all, path, what, pick(rng, OWNERS), mode);
        }
    }
    all
}

/// Root with everything.
pub fn root() -> Start {
    let all = all_capabilities();
    Start {
        uid: [0; 3],
        gid: [0; 3],
        groups: Vec::new(),
        permitted: all,
        effective: all,
        inheritable: CapabilitySet::EMPTY,
        ambient: CapabilitySet::EMPTY,
        unbound: CapabilitySet::EMPTY,
        securebits: 0,
        umask: 0o022,
        cwd: "/".into(),
    }
}

/// What a start-up can need.
const USEFUL: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::SysResource,
    Capability::SysNice,
];

fn some(rng: &mut Rng, of: u32) -> CapabilitySet {
    let chosen = USEFUL.iter().filter(|_| rng.u32(..of) == 0);
    CapabilitySet(chosen.fold(0, |bits, c| bits | 1 << *c as u8))
}

fn less(all: CapabilitySet, without: CapabilitySet) -> CapabilitySet {
    CapabilitySet(all.0 & !without.0)
}

/// Draws one start.
type DrawStart = fn(&mut Rng) -> Start;

const STARTS: &[Row<DrawStart>] = &[
    (8, |_| root()),
    (6, |rng| {
        let without = some(rng, 4);
        let all = less(all_capabilities(), without);
        Start { permitted: all, effective: all, unbound: without, ..root() }
    }),
    (1, |rng| Start { effective: some(rng, 2), ..root() }),
    (1, |rng| Start { inheritable: some(rng, 2), ..root() }),
    (1, |rng| Start {
        permitted: CapabilitySet::EMPTY,
        effective: CapabilitySet::EMPTY,
        unbound: some(rng, 3),
        ..root()
    }),
    (1, |rng| Start { gid: [pick(rng, IDS); 3], groups: vec![0, SHARED], ..root() }),
    (1, |rng| Start { securebits: pick(rng, &[(1, 1), (2, 4), (1, 5)]), ..root() }),
    (6, |rng| user(rng)),
    (2, |rng| {
        let set = some(rng, 3);
        Start { permitted: set, effective: set, inheritable: set, ambient: set, ..user(rng) }
    }),
    (1, |rng| {
        let set = some(rng, 2);
        Start { permitted: set, effective: less(set, some(rng, 3)), inheritable: some(rng, 4), ..user(rng) }
    }),
    // As a program of root's with the set-user-id bit begins, and one that has stepped back for a while.
    (1, |_| Start { uid: [USER, 0, 0], gid: [USER; 3], groups: vec![USER], ..root() }),
    (1, |_| Start { uid: [0, USER, 0], effective: CapabilitySet::EMPTY, ..root() }),
    (1, |rng| Start {
        uid: [pick(rng, IDS), pick(rng, IDS), pick(rng, IDS)],
        gid: [pick(rng, IDS), pick(rng, IDS), pick(rng, IDS)],
        permitted: some(rng, 2),
        effective: CapabilitySet::EMPTY,
        ..root()
    }),
];

fn user(rng: &mut Rng) -> Start {
    let none = CapabilitySet::EMPTY;
    let groups = pick(rng, &[(1, vec![]), (2, vec![USER]), (3, vec![USER, SHARED])]);
    Start { uid: [USER; 3], gid: [USER; 3], groups, permitted: none, effective: none, ..root() }
}

const IDS: &[Row<u32>] = &[(4, 0), (6, USER), (3, OTHER), (1, SHARED), (1, 33)];
const UMASKS: &[Row<u32>] = &[(8, 0o022), (2, 0o077), (2, 0), (1, 0o027), (1, 0o002), (1, 0o777), (1, 0o133)];

/// What the effects of a list are drawn with.
struct Draw<'a> {
    rng: &'a mut Rng,
    world: &'a [Entry],
}

impl Draw<'_> {
    fn of_the_world(&mut self) -> String {
        // A running program cannot be written to (ETXTBSY): nobody names one as a log or a PID file.
        let runs = |e: &Entry| matches!(e.what, What::Program | What::Dynamic(_) | What::Script(_));
        let entries: Vec<&Entry> = self.world.iter().filter(|e| !runs(e)).collect();
        match entries.len() {
            0 => "/".to_owned(),
            n => entries[self.rng.usize(..n)].path.to_str().expect("text").to_owned(),
        }
    }

    /// A path as a spec could name it, and some that none should.
    fn path(&mut self, names: &[&str]) -> PathBuf {
        let mut path = match self.rng.u32(..10) {
            0..4 => names[self.rng.usize(..names.len())].to_owned(),
            4..8 => self.of_the_world(),
            8 => format!("{}/t.pid", self.of_the_world()),
            _ => format!("{}/{}", self.of_the_world(), TARGETS[self.rng.usize(..TARGETS.len())]),
        };
        // Inside a new root paths begin there.
        if self.rng.u32(..6) == 0
            && let Some(inside) = path.strip_prefix("/jail")
        {
            path = if inside.is_empty() { "/".to_owned() } else { inside.to_owned() };
        }
        match self.rng.u32(..60) {
            0 => path.push_str("/.."),
            1 => path.push_str("/."),
            2 => path.push('/'),
            3 => path = format!("/..{path}"),
            4 => path = path.replacen('/', "//", 2),
            5 => path.push_str("/../f"),
            6 => path.push_str(&format!("/{}", "n".repeat(self.rng.usize(250..260)))),
            7 => path = format!("{}{}", "/d/..".repeat(self.rng.usize(815..825)), path),
            8..14 => path = path.trim_start_matches('/').to_owned(),
            14 => path = format!("..{path}"),
            15 => path.push_str("/l"),
            16 => path.push_str("/new"),
            17 => path.push_str("/nowhere/new"),
            _ => {}
        }
        if path.is_empty() { ".".into() } else { path.into() }
    }

    /// What is kept over a drop: mostly nothing.
    fn kept(&mut self) -> CapabilitySet {
        let some = |caps: &[Capability]| caps.iter().fold(0, |bits, c| bits | 1 << *c as u8);
        let sets = [
            (6, 0),
            (1, some(&[Capability::NetBindService])),
            (1, some(&[Capability::Chown, Capability::Kill])),
        ];
        CapabilitySet(pick(self.rng, &sets))
    }

    fn owner(&mut self) -> Option<Owner> {
        let owners = [
            (4, None),
            (2, Some((USER, USER))),
            (1, Some((0, 0))),
            (1, Some((USER, SHARED))),
            (1, Some((OTHER, OTHER))),
            (1, Some((0, SHARED))),
        ];
        pick(self.rng, &owners).map(|(uid, gid)| Owner { uid, gid })
    }

    fn mode(&mut self) -> u32 {
        let modes = [
            (4, 0o644),
            (3, 0o600),
            (2, 0o666),
            (1, 0o640),
            (1, 0o777),
            (1, 0),
            (1, 0o4755),
            (1, 0o2755),
            (1, 0o1666),
        ];
        pick(self.rng, &modes)
    }

    fn socket(&mut self) -> Socket {
        let ports = [(2, 0), (4, 80), (1, 443), (1, 1023), (1, 1024), (4, 8080)];
        let mut address = || {
            let ip = pick(
                self.rng,
                &[
                    (8, "127.0.0.1"),
                    (4, "0.0.0.0"),
                    (2, "[::1]"),
                    (4, "[::]"),
                    (2, "127.0.0.2"),
                    (1, "192.0.2.1"),
                    (1, "224.0.0.251"),
                    (1, "255.255.255.255"),
                    (1, "[2001:db8::1]"),
                    (1, "[ff02::1]"),
                    (1, "[::ffff:127.0.0.1]"),
                    (1, "[::ffff:192.0.2.1]"),
                ],
            );
            format!("{ip}:{}", pick(self.rng, &ports)).parse().expect("an address")
        };
        let address = address();
        match self.rng.u32(..20) {
            0..8 => Socket::Tcp(address),
            8..12 => Socket::Udp(address),
            12 | 13 => Socket::Abstract(pick(self.rng, &[(2, "a"), (1, "b c")]).to_owned()),
            // Nobody hands one over here.
            14 if self.rng.bool() => Socket::Inherited("web".to_owned()),
            _ => Socket::Unix(self.path(SOCKETS)),
        }
    }

    /// What a socket is given besides: mostly nothing.
    fn socket_options(&mut self, socket: &Socket) -> SocketOptions {
        let sort = pick(self.rng, &[(3, Sort::Stream), (1, Sort::Datagram), (1, Sort::SeqPacket)]);
        match socket {
            Socket::Tcp(a) | Socket::Udp(a) => SocketOptions {
                reuse_port: self.rng.bool(),
                v6_only: match a.is_ipv6() && a.ip().is_unspecified() {
                    true => pick(self.rng, &[(2, None), (1, Some(true)), (1, Some(false))]),
                    false => None,
                },
                free_bind: self.rng.u32(..4) == 0,
                backlog: pick(self.rng, &[(3, None), (1, Some(1))]),
                ..SocketOptions::default()
            },
            Socket::Unix(_) => {
                let owner = if self.rng.u32(..3) == 0 { self.owner() } else { None };
                SocketOptions {
                    sort,
                    mode: pick(self.rng, &[(3, None), (2, Some(0o660)), (1, Some(0o777)), (1, Some(0))]),
                    uid: owner.filter(|_| self.rng.u32(..4) > 0).map(|o| o.uid),
                    gid: owner.map(|o| o.gid),
                    ..SocketOptions::default()
                }
            }
            Socket::Abstract(_) => SocketOptions { sort, ..SocketOptions::default() },
            Socket::Inherited(_) => SocketOptions::default(),
        }
    }

    fn program(&mut self) -> Program {
        let word = match self.rng.u32(..8) {
            0..4 => PROGRAMS[self.rng.usize(..PROGRAMS.len())].to_owned(),
            4 => pick(self.rng, &[(1, "nothing"), (1, "bin/stay"), (1, "./stay")]).to_owned(),
            5..7 => pick(self.rng, &[(3, "/bin/stay"), (1, "/d/stay"), (1, "/in/stay")]).to_owned(),
            _ => self.path(PROGRAMS).to_str().expect("text").to_owned(),
        };
        let roots = [(6, None), (1, Some("/")), (2, Some("/jail")), (1, Some("/jail/in")), (1, Some("/l"))];
        Program { command: vec![word], root: pick(self.rng, &roots).map(PathBuf::from), ..Program::default() }
    }
}

/// Where nobody gets real-time priority, nobody asks for it.
static REAL_TIME: LazyLock<bool> = LazyLock::new(super::kernel::real_time);

/// Drawing settings.
impl Draw<'_> {
    /// A set as a spec has it: a few, all, none, all but a few.
    fn set(&mut self) -> CapabilitySet {
        match self.rng.u32(..6) {
            0 => CapabilitySet::EMPTY,
            1 => all_capabilities(),
            2 => less(all_capabilities(), some(self.rng, 4)),
            _ => some(self.rng, 3),
        }
    }

    fn perhaps(&mut self) -> Option<CapabilitySet> {
        self.rng.bool().then(|| self.set())
    }

    fn securebits(&mut self) -> SecureBits {
        let few = |rng: &mut Rng| (0..8).filter(|_| rng.u32(..4) == 0).fold(0, |all, bit| all | 1 << bit);
        SecureBits(match self.rng.u32(..4) {
            0 => 0,
            1 => SecureBits::KEEP_CAPS,
            _ => few(self.rng),
        })
    }

    /// Such as let the process itself live on.
    fn limit(&mut self) -> Setting {
        use Resource::*;
        let resource = pick(
            self.rng,
            &[
                (3, Nofile),
                (2, Core),
                (1, Memlock),
                (1, Msgqueue),
                (2, Resource::Nice),
                (2, Rtprio),
                (1, Locks),
            ],
        );
        let numbers = match resource {
            Nofile => [512, 600, 1024, 4096],
            Resource::Nice => [0, 15, 25, 40],
            Rtprio => [0, 5, 20, 99],
            Core => [0, 1, 4096, Limits::NONE],
            _ => [0, 4096, 65_536, Limits::NONE],
        };
        let mut one = || numbers[self.rng.usize(..numbers.len())];
        let (soft, hard) = (one(), one());
        Setting::Limit(resource, Limits { soft, hard })
    }

    fn policy(&mut self) -> Policy {
        let real = pick(self.rng, &[(1, 1), (1, 5), (1, 10), (1, 50)]);
        let policies = [
            (3, Policy::Other),
            (2, Policy::Batch),
            (2, Policy::Idle),
            (2, Policy::Fifo(real)),
            (2, Policy::Rr(real)),
        ];
        match pick(self.rng, &policies) {
            Policy::Fifo(_) | Policy::Rr(_) if !*REAL_TIME => Policy::Batch,
            policy => policy,
        }
    }

    fn setting(&mut self) -> Setting {
        match self.rng.u32(..20) {
            0 | 1 => Setting::NoNewPrivileges,
            2 | 3 => Setting::Bounding(self.set()),
            4..7 => Setting::Capabilities {
                permitted: self.perhaps(),
                inheritable: self.perhaps(),
                ambient: self.perhaps(),
            },
            7..10 => Setting::SecureBits(self.securebits()),
            10..13 => self.limit(),
            13 | 14 => Setting::Nice(pick(self.rng, &[(1, -20), (1, -5), (2, 0), (1, 5), (1, 10), (1, 19)])),
            15 => Setting::Scheduler(self.policy()),
            16 => Setting::IoPriority(pick(
                self.rng,
                &[
                    (1, IoPriority::None),
                    (1, IoPriority::Realtime(3)),
                    (1, IoPriority::BestEffort(0)),
                    (1, IoPriority::BestEffort(7)),
                    (1, IoPriority::Idle),
                ],
            )),
            17 | 18 => {
                Setting::OomScore(pick(self.rng, &[(1, -1000), (1, -5), (2, 0), (1, 7), (1, 300), (1, 1000)]))
            }
            _ => Setting::Dumpable(self.rng.bool()),
        }
    }

    /// As kinds have them: from the root, but for one in sixteen.
    fn whole_path(&mut self) -> PathBuf {
        let path = self.path(PLACES);
        if self.rng.u32(..16) == 0 { path } else { PathBuf::from("/").join(path) }
    }

    fn mountings(&mut self) -> Vec<Mounting> {
        let count = self.rng.usize(1..=3);
        let mut all: Vec<Mounting> = Vec::new();
        for _ in 0..count {
            let at = match self.rng.u32(..8) {
                0 => all.first().map_or("/d/at".into(), |m: &Mounting| m.at.join("at")),
                1 => all.last().map_or("/d/at".into(), |m: &Mounting| m.at.join("at/in")),
                _ => self.whole_path(),
            };
            let mode = pick(self.rng, &[(3, 0o755), (3, 0o1777), (1, 0o700), (1, 0o555), (1, 0)]);
            let cover = match self.rng.u32(..10) {
                0..3 => Cover::ReadOnly,
                3 => Cover::ReadWrite,
                4..6 => Cover::Inaccessible,
                6..8 => Cover::Temporary { mode, size: pick(self.rng, &[(1, None), (1, Some(65_536))]) },
                8 if self.rng.bool() => Cover::Link { to: TARGETS[self.rng.usize(..TARGETS.len())].into() },
                _ => Cover::Bind { from: self.whole_path(), read_only: self.rng.bool() },
            };
            all.push(Mounting { at, cover, optional: self.rng.u32(..4) == 0 });
        }
        all
    }

    fn namespaces(&mut self) -> NamespaceSet {
        use Namespace::{Ipc, Mount, Network, Uts};
        let sets: &[Row<&[Namespace]>] = &[(4, &[Mount]), (1, &[Network]), (1, &[Mount, Ipc, Uts]), (1, &[])];
        pick(self.rng, sets).iter().copied().collect()
    }

    /// What stands in nobody's way but one, and the files and directories that lists are about.
    fn confinement(&mut self) -> Setting {
        let whose = if self.rng.bool() { Whose::Daemon } else { Whose::Program };
        if self.rng.bool() {
            let deny = pick(self.rng, &[(1, "@swap"), (1, "setpriority"), (1, "ptrace")]);
            let deny = vec![deny.to_owned()];
            return Setting::SystemCalls(SystemCalls { deny, whose, ..SystemCalls::default() });
        }
        let mut some = || (0..self.rng.usize(..4)).map(|_| self.path(LEFT)).collect();
        let (mut read, write, execute): (Vec<PathBuf>, _, _) = (some(), some(), some());
        read.extend(["/jail".into()]);
        let ports = [(2, None), (1, Some(vec![80, 443])), (1, Some(vec![0, 8080]))];
        let bind = pick(self.rng, &ports);
        Setting::Landlock(Landlock { read, write, execute, bind, connect: None, required: true, whose })
    }

    fn environment(&mut self) -> Environment {
        let keep = pick(self.rng, &[(1, vec![]), (1, vec!["PATH".to_owned()]), (1, vec!["*".to_owned()])]);
        let files = (0..self.rng.usize(..3)).map(|_| self.path(VARIABLES)).collect();
        Environment { keep, files, set: vec![("A".to_owned(), "b".to_owned())] }
    }
}

const LEFT: &[&str] =
    &["/", "/d", "/run", "/tmp", "/var", "/var/log", "/bin", "/jail", "/proc", "/f", "/l", "/nowhere"];
const VARIABLES: &[&str] = &["/f", "/d/f", "/run/u", "/tmp/t.log", "/nowhere", "/l"];
const MADE: &[&str] = &["/run/d", "/run/u", "/tmp/d", "/d/new", "/new", "/var/log", "/jail/run"];
const SOCKETS: &[&str] = &["/run/s", "/tmp/s", "/d/s", "/run/u/s", "/s"];
const PIDS: &[&str] = &["/run/t.pid", "/run/u/t.pid", "/tmp/t.pid", "/d/t.pid", "/t.pid"];
const LOGS: &[&str] = &["/var/log/t.log", "/tmp/t.log", "/d/t.log", "/t.log", "/run/t.log"];
const PLACES: &[&str] = &["/", "/d", "/jail", "/jail", "/jail/in", "/tmp", "/run", "/in", "/nowhere"];

/// Draws one effect.
type DrawEffect = fn(&mut Draw) -> Effect;

/// One row for each effect. `Serve` comes last in a list or not at all ([`effects`]).
const EFFECTS: &[Row<DrawEffect>] = &[
    (4, |d| Effect::CheckPidFile { path: d.path(PIDS) }),
    (6, |d| Effect::OpenLog {
        path: d.path(LOGS),
        owner: d.owner(),
        mode: d.mode(),
        rotate_at: pick(d.rng, &[(2, None), (1, Some(1000))]),
        rotation: Rotation::default(),
    }),
    (5, |d| Effect::Chroot { path: d.path(PLACES) }),
    (5, |d| Effect::Chdir { path: d.path(PLACES) }),
    (2, |d| Effect::Umask { mask: pick(d.rng, UMASKS) }),
    (2, |_| Effect::Daemonize),
    (6, |d| Effect::CreatePidFile { path: d.path(PIDS), owner: d.owner(), mode: d.mode() }),
    (6, |d| {
        let socket = d.socket();
        let options = d.socket_options(&socket);
        Effect::Bind { socket, options }
    }),
    (5, |d| {
        let id = pick(d.rng, IDS);
        let groups =
            pick(d.rng, &[(1, None), (2, Some(vec![id])), (1, Some(vec![])), (1, Some(vec![SHARED, id]))]);
        Effect::SetCredential { uid: Some(id), gid: Some(id), groups, effective: false, keep: d.kept() }
    }),
    (3, |d| {
        let mut id = |none: u32| pick(d.rng, &[(none, None), (1, Some(IDS))]).map(|ids| pick(d.rng, ids));
        let (uid, gid) = (id(1), id(1));
        let groups = pick(d.rng, &[(2, None), (1, Some(vec![SHARED, 0, SHARED])), (1, Some(vec![USER, 4]))]);
        Effect::SetCredential { uid, gid, groups, effective: d.rng.bool(), keep: CapabilitySet::EMPTY }
    }),
    (1, |_| Effect::KeepGuard),
    (3, |d| Effect::Application(Application::Load(d.program()))),
    (1, |_| Effect::Application(Application::Load(Program::default()))),
    (1, |_| Effect::Application(Application::PrivilegedStart)),
    (3, |_| Effect::Application(Application::Start(Starting::default()))),
    (3, |d| Effect::RemovePidFile { path: d.path(PIDS) }),
    (10, |d| Effect::Process(d.setting())),
    (1, |d| Effect::Environment(d.environment())),
    (3, |d| Effect::Process(d.confinement())),
    (4, |d| Effect::MakeDirectory {
        path: d.path(MADE),
        owner: d.owner(),
        mode: pick(
            d.rng,
            &[(4, 0o755), (2, 0o700), (1, 0o777), (1, 0o1777), (1, 0o2775), (1, 0o000), (1, 0o4750)],
        ),
        any_owner: d.rng.bool(),
    }),
    (2, |d| Effect::RemoveDirectory { path: d.path(MADE) }),
    (1, |d| {
        let manner = pick(d.rng, &[(1, Manner::Error), (1, Manner::Undo)]);
        Effect::Fail(Fault { manner, errno: pick(d.rng, &[(1, 28), (1, 4000)]), message: None })
    }),
    (2, |d| Effect::Unshare { namespaces: d.namespaces() }),
    (5, |d| Effect::Mount { mounts: d.mountings() }),
    (2, |d| Effect::PivotRoot { path: d.whole_path() }),
    (2, |d| Effect::RemoveSocket { path: d.path(SOCKETS) }),
];

fn effects(rng: &mut Rng, world: &[Entry]) -> Vec<Effect> {
    let count = rng.usize(1..=LONGEST);
    let mut draw = Draw { rng, world };
    let mut all: Vec<Effect> = Vec::new();
    while all.len() < count {
        let effect = pick(draw.rng, EFFECTS)(&mut draw);
        // No plan has two of these (RSD0212).
        let once = matches!(effect, Effect::Daemonize | Effect::KeepGuard);
        if once && all.contains(&effect) {
            continue;
        }
        // As every kind does it that mounts; without it nothing can be mounted.
        let own: NamespaceSet = [Namespace::Mount].into_iter().collect();
        let mounts = matches!(effect, Effect::Mount { .. } | Effect::PivotRoot { .. });
        if mounts && draw.rng.u32(..8) > 0 {
            all.push(Effect::Unshare { namespaces: own });
        }
        // What was made is what later effects are about.
        let again = match &effect {
            Effect::CheckPidFile { .. } | Effect::RemovePidFile { .. } if draw.rng.bool() => {
                all.iter().rev().find_map(|e| match e {
                    Effect::CreatePidFile { path, .. } => Some(path.clone()),
                    _ => None,
                })
            }
            Effect::RemoveDirectory { .. } if draw.rng.u32(..4) > 0 => {
                all.iter().rev().find_map(|e| match e {
                    Effect::MakeDirectory { path, .. } => Some(path.clone()),
                    _ => None,
                })
            }
            Effect::RemoveSocket { .. } if draw.rng.u32(..4) > 0 => all.iter().rev().find_map(|e| match e {
                Effect::Bind { socket: Socket::Unix(path), .. } => Some(path.clone()),
                _ => None,
            }),
            _ => None,
        };
        all.push(match (effect, again) {
            (Effect::RemoveDirectory { .. }, Some(path)) => Effect::RemoveDirectory { path },
            (Effect::RemoveSocket { .. }, Some(path)) => Effect::RemoveSocket { path },
            (Effect::CheckPidFile { .. }, Some(path)) => Effect::CheckPidFile { path },
            (Effect::RemovePidFile { .. }, Some(path)) => Effect::RemovePidFile { path },
            (effect, _) => effect,
        });
    }
    // Who serves a program that is another's child, or another user's, sees it end whenever that is.
    let start = all.iter().position(|e| matches!(e, Effect::Application(Application::Start(_))));
    let apart = |e: &Effect| matches!(e, Effect::Daemonize | Effect::SetCredential { .. });
    let alone = start.is_none_or(|start| !all[start..].iter().any(apart));
    if draw.rng.u32(..8) == 0 && alone {
        all.push(Effect::Serve);
    }
    all
}

/// The case of that number: the same on every machine.
pub fn case(seed: u64, number: u64) -> Case {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let rng = &mut rng;
    let world = world(rng);
    let mut start = pick(rng, STARTS)(rng);
    start.umask = pick(rng, UMASKS);
    let directories: Vec<_> = world.iter().filter(|e| e.what == What::Directory).collect();
    if !directories.is_empty() && rng.u32(..3) == 0 {
        start.cwd = directories[rng.usize(..directories.len())].path.clone();
    }
    let effects = effects(rng, &world);
    Case { about: String::new(), world, start, effects, undo: rng.u32(..3) == 0 }
}
