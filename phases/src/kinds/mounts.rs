//! `mounts`: what is read-only, hidden, empty or elsewhere for this daemon alone.

use super::{optional, several};
use engine::effect::{Cover, Effect, Mounting, Namespace};
use engine::kind::{Args, Kind, Type, Unfit};
use std::path::{Path, PathBuf};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "mounts",
    about: "Makes places read-only, hidden, empty or another, for this daemon alone.",
    details: "For what systemd calls ReadOnlyPaths, ReadWritePaths, InaccessiblePaths, TemporaryFileSystem, \
              BindPaths, BindReadOnlyPaths, PrivateTmp and PrivateDevices. It is done in a mount namespace of its own, which this \
              phase makes, so that the machine's mounts stay as they are and nothing is left of it when the daemon \
              ends. First all that is to be seen elsewhere is taken as it is, then parents are mounted before what \
              is below them. `read-only: /` leaves /dev, /proc and /sys as they are. What is bound into a `temporary` \
              place is given a mount point there. The working directory is entered again by its name, or `/` is, so \
              that nobody stands below what is hidden. Files that were opened before stay what they were: the log \
              can be rotated and the PID file removed by the handles of their directories. Needs cap_sys_admin, so \
              it precedes the drop, and Linux 5.12 (mount_setattr(2)).",
    params: &[
        several(
            "read-only",
            Type::Path,
            "places where nothing can be written, with all that is mounted below them",
        ),
        several("read-write", Type::Path, "exceptions: places below them that stay as they are"),
        several("inaccessible", Type::Path, "places that become an empty file or directory of mode 000"),
        several("temporary", Type::Path, "places that become an empty directory in memory"),
        optional("mode", Type::Mode, Some("0755"), "permission bits of `temporary` places"),
        optional("size", Type::Size, None, "the most a `temporary` place, /tmp and /var/tmp may hold each"),
        several("bind", Type::String, "FROM:TO, or one place that stays: another place to be seen at TO"),
        several("bind-read-only", Type::String, "the same, and nothing of it can be written there"),
        optional(
            "private-tmp",
            Type::Flag,
            None,
            "/tmp and /var/tmp become empty directories in memory, mode 1777",
        ),
        optional(
            "private-devices",
            Type::Flag,
            None,
            "/dev has the null device and its like, terminals and /dev/shm, and no disk",
        ),
        optional("optional", Type::Flag, None, "what is not there is passed over"),
    ],
    learns: None,
    effects: |args, _| {
        let mounts = mounts(args)?;
        if mounts.is_empty() {
            return Ok(Vec::new());
        }
        let own = Effect::Unshare { namespaces: [Namespace::Mount].into_iter().collect() };
        Ok(vec![own, Effect::Mount { mounts }])
    },
};

/// What a private /dev has of the machine's, where it is there.
const DEVICES: [&str; 11] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/mqueue",
    "/dev/hugepages",
    "/dev/log",
];

/// And by which names every program finds its own descriptors.
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// What `read-only: /` leaves as it is: their files are no files of a disk.
const KERNELS: [&str; 3] = ["/dev", "/proc", "/sys"];

fn mounts(args: &Args) -> Result<Vec<Mounting>, Unfit> {
    let optional = args.flag("optional").unwrap_or(false);
    let size = args.size("size");
    let mut all: Vec<Mounting> = Vec::new();
    let mut add = |at: PathBuf, cover, optional| {
        if let Some(other) = all.iter().find(|m| m.at == at) {
            return Err(Unfit::new(
                format!("{} is named twice: `{other}`", at.display()),
                "name each place once",
            ));
        }
        if at == Path::new("/") && !matches!(cover, Cover::ReadOnly) {
            return Err(Unfit::new(
                "nothing but `read-only` can be done with `/`",
                "name another root: `pivot-root`",
            ));
        }
        all.push(Mounting { at, cover, optional });
        Ok(())
    };
    for at in args.paths("read-only") {
        add(at, Cover::ReadOnly, optional)?;
    }
    for at in args.paths("read-write") {
        add(at, Cover::ReadWrite, optional)?;
    }
    for at in args.paths("inaccessible") {
        add(at, Cover::Inaccessible, optional)?;
    }
    let mode = args.mode("mode").unwrap_or(0o755);
    for at in args.paths("temporary") {
        add(at, Cover::Temporary { mode, size }, optional)?;
    }
    for (name, read_only) in [("bind", false), ("bind-read-only", true)] {
        for text in args.strings(name) {
            let (from, at) = text.split_once(':').unwrap_or((&text, &text));
            let (from, at) = (PathBuf::from(from), PathBuf::from(at));
            if !from.is_absolute() || !at.is_absolute() {
                return Err(Unfit::new(
                    format!("`{}` is not FROM:TO", engine::text::clean(&text)),
                    "write two absolute paths with a colon between them",
                )
                .in_list(name, text.clone()));
            }
            add(at, Cover::Bind { from, read_only }, optional)?;
        }
    }
    if args.flag("private-tmp").unwrap_or(false) {
        for at in ["/tmp", "/var/tmp"] {
            add(at.into(), Cover::Temporary { mode: 0o1777, size }, true)?;
        }
    }
    if args.flag("private-devices").unwrap_or(false) {
        add("/dev".into(), Cover::Temporary { mode: 0o755, size: Some(1 << 20) }, false)?;
        for at in DEVICES {
            add(at.into(), Cover::Bind { from: at.into(), read_only: false }, true)?;
        }
        add("/dev/shm".into(), Cover::Bind { from: "/dev/shm".into(), read_only: false }, true)?;
        for (at, to) in LINKS {
            add(at.into(), Cover::Link { to: to.into() }, false)?;
        }
    }
    if all.iter().any(|m| m.at == Path::new("/")) {
        let named: Vec<PathBuf> = all.iter().map(|m| m.at.clone()).collect();
        let left = KERNELS.iter().map(PathBuf::from).filter(|at| !named.contains(at));
        all.extend(left.map(|at| Mounting { at, cover: Cover::ReadWrite, optional: true }));
    }
    all.sort_by_key(|m| m.at.components().count());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::kind::Value;

    fn of(values: &[(&'static str, Value)]) -> Result<Vec<String>, Unfit> {
        mounts(&Args(values.to_vec())).map(|all| all.iter().map(ToString::to_string).collect())
    }

    fn path(path: &str) -> Value {
        Value::List(vec![Value::Path(path.into())])
    }

    fn text(text: &str) -> Value {
        Value::List(vec![Value::String(text.into())])
    }

    #[test]
    fn parents_come_first() {
        let all = of(&[
            ("read-write", path("/var/lib/app")),
            ("read-only", path("/")),
            ("bind", text("/srv/data:/data")),
            ("private-tmp", Value::Flag(true)),
        ]);
        let wanted = [
            "/ read-only",
            "/srv/data at /data",
            "/tmp temporary, mode 1777",
            "/dev as it is",
            "/proc as it is",
            "/sys as it is",
            "/var/tmp temporary, mode 1777",
            "/var/lib/app as it is",
        ];
        assert_eq!(all.unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for values in [
            vec![("read-only", path("/tmp")), ("private-tmp", Value::Flag(true))],
            vec![("temporary", path("/"))],
            vec![("bind", text("a:/b"))],
            vec![("bind", text("/a:"))],
        ] {
            assert!(of(&values).is_err(), "{values:?}");
        }
        assert_eq!(of(&[("bind-read-only", text("/srv"))]).unwrap(), ["/srv, read-only"]);
        assert_eq!(of(&[]).unwrap(), Vec::<String>::new());
    }
}
