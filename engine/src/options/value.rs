//! From the text that was written to a value of a type.

use super::Launch;
use super::socket::{self, Fault, socket, written};
use crate::diagnostic::{At, Diagnostic, Place};
use crate::effect::{Capability, Owner, Ready, Socket};
use crate::kind::{Type, Value};
use crate::snapshot::{Group, Snapshot, User};
use crate::spec::Given;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

/// Why not, and what to write instead.
pub(super) type Wrong = (String, String);

/// Longest path in bytes, without the NUL at its end (`PATH_MAX`).
const LONGEST_PATH: usize = 4095;

/// The value that `text` is as a `ty`. Users and groups are looked up in `names`; `dropped` is the
/// identity that the drop will set.
pub fn parse(
    ty: Type,
    text: &At<String>,
    launch: &Launch,
    names: &Snapshot,
    dropped: Option<Owner>,
) -> Result<Value, Diagnostic> {
    let user = |name: &str| match user(name, names) {
        Some(user) if user.uid == KEEP || user.gid == Some(KEEP) => Err(no_id(text, "RSD0213", "user", name)),
        Some(user) => Ok(user),
        None => Err(nobody(text, name)),
    };
    let group = |name: &str| match group(name, names) {
        Some(group) if group.gid == KEEP => Err(no_id(text, "RSD0214", "group", name)),
        Some(group) => Ok(group),
        None => Err(no_group(text, name)),
    };
    match ty {
        Type::User => user(&text.v).map(Value::User),
        Type::Group => group(&text.v).map(Value::Group),
        Type::Owner if text.v == "dropped" => {
            Ok(Value::Owner(dropped.unwrap_or(Owner { uid: launch.uid, gid: launch.gid })))
        }
        Type::Owner => Ok(Value::Owner(match text.v.split_once(':') {
            Some((name, of)) => Owner { uid: user(name)?.uid, gid: group(of)?.gid },
            None => {
                let user = user(&text.v)?;
                Owner { uid: user.uid, gid: user.gid.unwrap_or(launch.gid) }
            }
        })),
        Type::Socket => {
            let found = unowned_socket(text, launch)?;
            let mut listen = found.listen;
            let dropped = dropped.unwrap_or(Owner { uid: launch.uid, gid: launch.gid });
            if let Some((part, name)) = &found.user {
                let (uid, gid) = match name.as_str() {
                    "dropped" => (dropped.uid, Some(dropped.gid)),
                    name => user(name).map(|u| (u.uid, u.gid)).map_err(|f| moved(f, part_of(text, part)))?,
                };
                (listen.options.uid, listen.options.gid) = (Some(uid), gid);
            }
            if let Some((part, name)) = &found.group {
                listen.options.gid = Some(match name.as_str() {
                    "dropped" => dropped.gid,
                    name => group(name).map_err(|f| moved(f, part_of(text, part)))?.gid,
                });
            }
            Ok(Value::Socket(listen))
        }
        _ => unnamed(ty, &text.v, launch).map_err(|wrong| refused(ty, text, wrong)),
    }
}

/// A socket whose owner is not looked up.
fn unowned_socket(text: &At<String>, launch: &Launch) -> Result<socket::Written, Diagnostic> {
    let read = match text.v.contains('\0') {
        true => Err(Fault { part: 0..text.v.len(), wrong: wrong("it has a NUL byte", "") }),
        false => written(&text.v, &launch.cwd),
    };
    read.map_err(|Fault { part, wrong }| moved(refused(Type::Socket, text, wrong), part_of(text, &part)))
}

/// Where a part of a value stands, if the value stands there as it is, or in quotes; otherwise where the
/// value does.
fn part_of(text: &At<String>, part: &std::ops::Range<usize>) -> Place {
    let quote = match (text.at.len as usize).checked_sub(text.v.len()) {
        Some(0) => 0,
        // Whatever is escaped in quotes makes it longer than that.
        Some(2) => 1,
        _ => return text.at,
    };
    if part.is_empty() {
        return text.at;
    }
    Place { offset: text.at.offset + quote + part.start as u32, len: part.len() as u32, ..text.at }
}

/// The same finding, pointing there.
fn moved(mut finding: Diagnostic, at: Place) -> Diagnostic {
    if let Some(label) = finding.labels.first_mut() {
        label.at = at;
    }
    finding
}

/// The same for a value that may be several; a command is all of them together.
pub fn parse_given(
    ty: Type,
    list: bool,
    given: &Given,
    launch: &Launch,
    names: &Snapshot,
    dropped: Option<Owner>,
) -> Result<Value, Vec<Diagnostic>> {
    let one = |text: &At<String>| parse(ty, text, launch, names, dropped);
    each(ty, list, given, one)
}

/// Only whether it can be a `ty` on some machine.
pub(super) fn check_given(
    ty: Type,
    list: bool,
    given: &Given,
    launch: &Launch,
) -> Result<Value, Vec<Diagnostic>> {
    let one = |text: &At<String>| match ty {
        Type::User | Type::Group | Type::Owner if text.v.is_empty() => {
            Err(refused(ty, text, wrong("it is empty", "write a name or a number")))
        }
        Type::User | Type::Group | Type::Owner => Ok(Value::String(text.v.clone())),
        Type::Socket => unowned_socket(text, launch).map(|found| Value::Socket(found.listen)),
        _ => unnamed(ty, &text.v, launch).map_err(|wrong| refused(ty, text, wrong)),
    };
    each(ty, list, given, one)
}

fn each(
    ty: Type,
    list: bool,
    given: &Given,
    one: impl Fn(&At<String>) -> Result<Value, Diagnostic>,
) -> Result<Value, Vec<Diagnostic>> {
    let texts = match given {
        Given::One(text) => std::slice::from_ref(text),
        Given::List(texts) => texts,
    };
    if ty == Type::Command {
        return command(texts).map(Value::Command);
    }
    if let (false, Given::List(texts)) = (list, given) {
        let at = texts.get(1).or(texts.first()).map(|t| t.at).unwrap_or_default();
        return Err(vec![
            Diagnostic::error("RSD0113", format!("one {} is wanted, not a list", ty.name()))
                .at(at, format!("expected one {}", ty.name())),
        ]);
    }
    let mut values = Vec::with_capacity(texts.len());
    let mut findings = Vec::new();
    for text in texts {
        match one(text) {
            Ok(value) => values.push(value),
            Err(finding) => findings.push(finding),
        }
    }
    match values.pop() {
        _ if !findings.is_empty() => Err(findings),
        Some(value) if !list => Ok(value),
        last => {
            values.extend(last);
            Ok(Value::List(values))
        }
    }
}

fn command(texts: &[At<String>]) -> Result<Vec<String>, Vec<Diagnostic>> {
    let bad = |text: &At<String>, problem: &str| {
        refused(Type::Command, text, wrong(problem, "write the program first, then its arguments"))
    };
    let mut findings: Vec<_> =
        texts.iter().filter(|t| t.v.contains('\0')).map(|t| bad(t, "it has a NUL byte")).collect();
    findings.extend(texts.first().filter(|t| t.v.is_empty()).map(|t| bad(t, "it names no program")));
    if findings.is_empty() { Ok(texts.iter().map(|t| t.v.clone()).collect()) } else { Err(findings) }
}

fn refused(ty: Type, text: &At<String>, (problem, help): Wrong) -> Diagnostic {
    let shown: String = text.v.chars().take(60).collect();
    let more = if shown.len() < text.v.len() { "…" } else { "" };
    let article = if matches!(ty, Type::Integer | Type::Owner) { "an" } else { "a" };
    let finding =
        Diagnostic::error("RSD0113", format!("`{shown}{more}` is not {article} {}: {problem}", ty.name()))
            .at(text.at, problem);
    if help.is_empty() { finding } else { finding.help(help) }
}

pub(super) fn wrong(problem: impl Into<String>, help: impl Into<String>) -> Wrong {
    (problem.into(), help.into())
}

/// Types that need no look at the machine.
fn unnamed(ty: Type, text: &str, launch: &Launch) -> Result<Value, Wrong> {
    if text.contains('\0') {
        return Err(wrong("it has a NUL byte", ""));
    }
    match ty {
        Type::Path => path(text, &launch.cwd).map(Value::Path),
        Type::Mode => mode(text).map(Value::Mode),
        Type::Flag => match text {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            _ => Err(wrong("it is neither `true` nor `false`", "write `true` or `false`")),
        },
        Type::Integer => text.parse().map(Value::Integer).map_err(|_| {
            wrong(
                "it is not a whole number of at most 64 bits",
                "write digits, with `-` before them if need be",
            )
        }),
        Type::Duration => duration(text).map(Value::Duration),
        Type::Size => size(text).map(Value::Size),
        Type::Command => Ok(Value::Command(vec![text.to_owned()])),
        Type::Readiness => ready(text, &launch.cwd).map(Value::Ready),
        Type::Capability => capability(text).map(Value::Capability),
        // A socket is read with its place: see `unowned_socket`.
        Type::String | Type::User | Type::Group | Type::Owner | Type::Socket => {
            Ok(Value::String(text.to_owned()))
        }
    }
}

pub(super) fn path(text: &str, cwd: &Path) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err(wrong("it is empty", "write `.` for the directory the command is started in"));
    }
    // `..` stays: behind a symlink it is not the directory before it.
    let path: PathBuf = cwd.join(text).components().filter(|c| *c != Component::CurDir).collect();
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(wrong(format!("it is longer than {LONGEST_PATH} bytes"), ""));
    }
    Ok(path)
}

pub(super) fn mode(text: &str) -> Result<u32, Wrong> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let help = "a mode is octal: digits 0 to 7, as in `022` or `0644`";
    if let Some(c) = digits.chars().find(|c| !('0'..='7').contains(c)) {
        return Err(wrong(format!("`{c}` is not an octal digit"), help));
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        Ok(_) => Err(wrong("it is more than 7777", help)),
        Err(_) if digits.is_empty() => Err(wrong("it has no digits", help)),
        Err(_) => Err(wrong("it is more than 7777", help)),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Nanoseconds: `500ms`, `2s`.
pub(crate) fn duration(text: &str) -> Result<u64, Wrong> {
    let help = "write a whole number and a unit: `500ms`, `2s`, `5m`, `1h`";
    let (number, unit) =
        number_and_unit(text).ok_or_else(|| wrong("it does not begin with a number", help))?;
    let scale: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "d" => 86_400 * 1_000_000_000,
        "" => {
            return Err(wrong(
                "the unit is missing",
                format!("write `{number}s` for seconds or `{number}ms` for milliseconds"),
            ));
        }
        other => return Err(wrong(format!("`{other}` is not a unit of time"), help)),
    };
    number.checked_mul(scale).ok_or_else(|| wrong("it is longer than 584 years", help))
}

/// Bytes: `4096`, `10MiB`.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let help = "write a number of bytes, or one with `k`, `M`, `G` (thousands) or `KiB`, `MiB`, `GiB`";
    let (number, unit) =
        number_and_unit(text).ok_or_else(|| wrong("it does not begin with a number", help))?;
    let scale: u64 = match unit {
        "" | "B" => 1,
        "k" | "K" | "kB" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        other => return Err(wrong(format!("`{}` is not a unit of size", other.trim()), help)),
    };
    number.checked_mul(scale).ok_or_else(|| wrong("it is more than 64 bits can count", help))
}

/// The least and the largest number of a descriptor that a program is given to speak by.
const DESCRIPTORS: std::ops::RangeInclusive<u32> = 3..=1023;

fn ready(text: &str, cwd: &Path) -> Result<Ready, Wrong> {
    let help = "write `exec`, `notify`, `fd:3`, `tcp:HOST:PORT`, `unix:PATH`, `idle:250ms` or `alive:500ms`";
    match text.split_once(':') {
        None if text == "exec" => Ok(Ready::Exec),
        None if text == "notify" => Ok(Ready::Notify),
        None => Err(wrong("it is none of the ways to be ready", help)),
        Some(("fd", number)) => match number.parse() {
            Ok(fd) if DESCRIPTORS.contains(&fd) => Ok(Ready::Fd(fd)),
            _ => Err(wrong(
                format!(
                    "`{number}` is not a descriptor from {} to {}",
                    DESCRIPTORS.start(),
                    DESCRIPTORS.end()
                ),
                help,
            )),
        },
        Some(("tcp", rest)) => match address(rest)? {
            any if any.port() == 0 => {
                Err(wrong("nobody can be reached at port 0", "name the program's port"))
            }
            // Who listens on every address is asked on this machine's own.
            any if any.ip().is_unspecified() => {
                let own: IpAddr = match any.ip() {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                Ok(Ready::Tcp(SocketAddr::new(own, any.port())))
            }
            one => Ok(Ready::Tcp(one)),
        },
        Some(("unix", _)) => match socket(text, cwd)? {
            Socket::Unix(path) => Ok(Ready::Unix(path)),
            _ => Err(wrong("it is no Unix socket", help)),
        },
        Some(("alive", long)) => duration(long).map(Ready::Alive),
        Some(("idle", long)) => duration(long).map(Ready::Idle),
        Some((other, _)) => Err(wrong(format!("`{other}` is not a way to be ready"), help)),
    }
}

/// `cap_net_bind_service`, also without `cap_` and in capitals.
fn capability(text: &str) -> Result<Capability, Wrong> {
    let found = Capability::by_name(text).or_else(|| Capability::by_name(&format!("cap_{text}")));
    found.ok_or_else(|| {
        let known = Capability::ALL.iter().map(|c| c.name());
        let help = match crate::text::did_you_mean(&text.to_ascii_lowercase(), known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "capabilities(7) lists them: `cap_net_bind_service`, `cap_sys_nice` …".to_owned(),
        };
        wrong("there is no capability of this name", help)
    })
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Wrong> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, text),
    };
    let ip = match host {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(host) => match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6
                .parse::<Ipv6Addr>()
                .map(IpAddr::V6)
                .map_err(|_| wrong(format!("`{v6}` is not an IPv6 address"), ""))?,
            None if host.contains(':') => {
                return Err(wrong("an IPv6 address stands in brackets", "write `tcp:[::1]:80`, for example"));
            }
            None => host.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| {
                wrong(
                    format!("`{host}` is not an IP address"),
                    "host names are not looked up: write the address in numbers, as in `tcp:127.0.0.1:80`",
                )
            })?,
        },
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits => Ok(SocketAddr::new(ip, port)),
        _ => Err(wrong(
            format!("`{port}` is not a port"),
            "a port is a number from 0 to 65535; 0 lets the kernel choose",
        )),
    }
}

/// Instead of an id, "leave it as it is": a drop to it would drop nothing (setresuid(2), chown(2)).
const KEEP: u32 = u32::MAX;

/// The number in `text`, unless it is the one that is no id.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != KEEP)
}

fn user(name: &str, names: &Snapshot) -> Option<User> {
    names.users.get(name).cloned().flatten().or_else(|| {
        let uid = id(name)?;
        Some(User {
            name: name.to_owned(),
            uid,
            gid: None,
            groups: Vec::new(),
            home: PathBuf::from("/"),
            shell: Default::default(),
        })
    })
}

fn group(name: &str, names: &Snapshot) -> Option<Group> {
    names
        .groups
        .get(name)
        .cloned()
        .flatten()
        .or_else(|| Some(Group { name: name.to_owned(), gid: id(name)? }))
}

fn nobody(text: &At<String>, name: &str) -> Diagnostic {
    Diagnostic::error("RSD0213", format!("there is no user `{name}` on this machine"))
        .at(text.at, "no such user")
        .help("create it (`useradd --system NAME`), or give another name or a number")
}

fn no_id(text: &At<String>, code: &'static str, sort: &str, name: &str) -> Diagnostic {
    Diagnostic::error(
        code,
        format!("the {sort} `{name}` has the id {KEEP} on this machine, and that is no id"),
    )
    .at(text.at, "to the kernel it means: leave it as it is")
    .help(format!("give the {sort} an id of its own (`{sort}mod`), or name another one"))
}

fn no_group(text: &At<String>, name: &str) -> Diagnostic {
    Diagnostic::error("RSD0214", format!("there is no group `{name}` on this machine"))
        .at(text.at, "no such group")
        .help("create it (`groupadd --system NAME`), or give another name or a number")
}
