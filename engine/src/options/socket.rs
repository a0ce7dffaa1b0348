//! The notation of a socket: an address, and options behind commas.

use super::value::{Wrong, address, mode, path, wrong};
use crate::effect::{Listen, Socket, SocketOptions, Sort};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

/// Longest path of a Unix socket in bytes, without the NUL at its end (`sockaddr_un`). An abstract name has
/// the NUL before it, and is as long.
const LONGEST: usize = 107;
/// Longest name of a descriptor (`FDNAME_MAX` of systemd).
const LONGEST_NAME: usize = 255;

/// A socket as it was written; users and groups are not looked up yet.
#[derive(Debug)]
pub(super) struct Written {
    pub listen: Listen,
    /// `user=`, and where in the text it stands
    pub user: Option<(Range<usize>, String)>,
    /// `group=`, likewise
    pub group: Option<(Range<usize>, String)>,
}

/// What is wrong with which bytes of the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub part: Range<usize>,
    pub wrong: Wrong,
}

/// The option, which sockets have it, how it is written.
type Known = (&'static str, fn(&Socket) -> bool, &'static str);

fn has_path(socket: &Socket) -> bool {
    matches!(socket, Socket::Unix(_))
}

fn is_unix(socket: &Socket) -> bool {
    matches!(socket, Socket::Unix(_) | Socket::Abstract(_))
}

fn has_port(socket: &Socket) -> bool {
    matches!(socket, Socket::Tcp(_) | Socket::Udp(_))
}

const OPTIONS: &[Known] = &[
    ("name", |_| true, "name=http"),
    ("mode", has_path, "mode=0660"),
    ("user", has_path, "user=www-data"),
    ("group", has_path, "group=www-data"),
    ("type", is_unix, "type=dgram"),
    ("reuse-port", has_port, "reuse-port"),
    ("v6only", |s| matches!(s, Socket::Tcp(a) | Socket::Udp(a) if any_of_v6(a)), "v6only=true"),
    ("backlog", |s| !matches!(s, Socket::Udp(_) | Socket::Inherited(_)), "backlog=512"),
    ("free-bind", has_port, "free-bind"),
    ("keep", has_path, "keep"),
];

fn any_of_v6(address: &SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// What has an option that this socket has not.
fn who_has(option: &str) -> &'static str {
    match option {
        "mode" | "user" | "group" | "keep" => "a Unix socket that has a path",
        "type" => "a Unix socket",
        "reuse-port" | "free-bind" => "`tcp:` and `udp:`",
        "v6only" => "`[::]`, every address",
        _ => "a socket that connections are accepted from",
    }
}

/// The parts between commas, and where they stand. A comma that is written twice is one of the part itself.
fn parts(text: &str) -> Vec<(Range<usize>, String)> {
    let mut all = Vec::new();
    let (mut begin, mut part) = (0, String::new());
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            ',' if chars.next_if(|(_, next)| *next == ',').is_some() => part.push(','),
            ',' => {
                all.push((begin..at, std::mem::take(&mut part)));
                begin = at + 1;
            }
            c => part.push(c),
        }
    }
    all.push((begin..text.len(), part));
    all
}

/// The users and the groups that will be looked up.
pub(super) fn names(text: &str) -> (Vec<String>, Vec<String>) {
    let all = parts(text);
    let of = |key: &str| {
        let value = |(_, part): &(Range<usize>, String)| Some(part.strip_prefix(key)?.to_owned());
        all.iter().skip(1).filter_map(value).filter(|name| name != "dropped").collect()
    };
    (of("user="), of("group="))
}

/// Reads a socket; paths are made absolute against `cwd`.
pub(super) fn written(text: &str, cwd: &Path) -> Result<Written, Fault> {
    let mut parts = parts(text).into_iter();
    let (part, first) = parts.next().unwrap_or_default();
    let socket = socket(&first, cwd).map_err(|wrong| Fault { part, wrong })?;
    let mut written =
        Written { listen: Listen { socket, options: SocketOptions::default() }, user: None, group: None };
    let mut seen = BTreeSet::new();
    for (part, text) in parts {
        let begin = part.start;
        let fault = |wrong| Fault { part: part.clone(), wrong };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_str(), None),
        };
        let Some((name, has, example)) = OPTIONS.iter().find(|(known, _, _)| *known == name) else {
            return Err(fault(unknown(name)));
        };
        if !has(&written.listen.socket) {
            return Err(fault(wrong(
                format!("`{name}` is for {}", who_has(name)),
                format!("leave `{name}` away"),
            )));
        }
        if !seen.insert(*name) {
            return Err(fault(wrong(format!("`{name}` is written twice"), "write it once")));
        }
        let flag = matches!(*name, "reuse-port" | "v6only" | "free-bind" | "keep");
        let value = match value {
            None if flag => "true",
            None | Some("") => {
                return Err(fault(wrong(format!("`{name}` has no value"), format!("write `{example}`"))));
            }
            Some(value) => value,
        };
        // Where the value stands, for what is looked up later.
        let at = begin + name.len() + 1..part.end;
        match *name {
            "user" => written.user = Some((at, value.to_owned())),
            "group" => written.group = Some((at, value.to_owned())),
            _ => set(&mut written.listen.options, name, value).map_err(fault)?,
        }
    }
    let options = &written.listen.options;
    if options.backlog.is_some() && options.sort == Sort::Datagram {
        return Err(Fault {
            part: 0..text.len(),
            wrong: wrong("nothing connects to a dgram socket", "leave `backlog` away"),
        });
    }
    Ok(written)
}

fn unknown(name: &str) -> Wrong {
    if name.is_empty() {
        return wrong("an option is missing behind a comma", "a comma in a path is written twice: `,,`");
    }
    let known = OPTIONS.iter().map(|(name, _, _)| *name);
    let help = match crate::text::did_you_mean(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!(
            "it may have {}; a comma in a path is written twice: `,,`",
            crate::text::list(&known.map(|name| format!("`{name}`")).collect::<Vec<_>>())
        ),
    };
    wrong(format!("`{name}` is not an option of a socket"), help)
}

fn set(options: &mut SocketOptions, name: &str, value: &str) -> Result<(), Wrong> {
    match name {
        "name" => options.name = Some(fd_name(value)?),
        "mode" => {
            options.mode = Some(mode(value).and_then(|mode| match mode {
                0..=0o777 => Ok(mode),
                _ => Err(wrong(
                    "a socket has no set-id and no sticky bit",
                    "a mode is at most 0777: `mode=0660`",
                )),
            })?);
        }
        "type" => {
            let found = Sort::ALL.iter().find(|(word, _)| *word == value);
            let (_, sort) = found.ok_or_else(|| {
                wrong(format!("`{value}` is no type of a socket"), "write `stream`, `dgram` or `seqpacket`")
            })?;
            options.sort = *sort;
        }
        "backlog" => {
            let number = value.parse().ok().filter(|n| (1..=i32::MAX as u32).contains(n));
            options.backlog = Some(number.ok_or_else(|| {
                wrong(
                    format!("`{value}` is not a number of connections"),
                    "write a number from 1 up; the kernel takes at most `net.core.somaxconn`",
                )
            })?);
        }
        _ => {
            let value = match value {
                "true" => true,
                "false" => false,
                other => {
                    return Err(wrong(
                        format!("`{name}` is `true` or `false`, not `{other}`"),
                        format!("write `{name}`, `{name}=true` or `{name}=false`"),
                    ));
                }
            };
            match name {
                "v6only" => options.v6_only = Some(value),
                "reuse-port" => options.reuse_port = value,
                "free-bind" => options.free_bind = value,
                _ => options.keep = value,
            }
        }
    }
    Ok(())
}

/// What may stand in `LISTEN_FDNAMES`, between its colons.
fn fd_name(name: &str) -> Result<String, Wrong> {
    let help = "a name has printable ASCII characters and no colon: LISTEN_FDNAMES has one behind each";
    if let Some(c) = name.chars().find(|c| !(' '..='~').contains(c) || *c == ':') {
        return Err(wrong(format!("a name cannot have `{}` in it", c.escape_default()), help));
    }
    match name.len() {
        0 => Err(wrong("the name is empty", help)),
        n if n > LONGEST_NAME => Err(wrong(format!("the name is longer than {LONGEST_NAME} bytes"), help)),
        _ => Ok(name.to_owned()),
    }
}

/// The address alone.
pub(super) fn socket(text: &str, cwd: &Path) -> Result<Socket, Wrong> {
    let help =
        "write `tcp:HOST:PORT`, `tcp:PORT`, `udp:HOST:PORT`, `unix:PATH`, `unix:@NAME` or `inherit:NAME`";
    let (scheme, rest) = text
        .split_once(':')
        .ok_or_else(|| wrong("it does not begin with `tcp:`, `udp:`, `unix:` or `inherit:`", help))?;
    match (scheme, rest.strip_prefix('@')) {
        ("tcp", _) => address(rest).map(Socket::Tcp),
        ("udp", _) => address(rest).map(Socket::Udp),
        ("unix", Some("")) => Err(wrong("the abstract name is empty", "write a name behind the `@`")),
        ("unix", Some(name)) if name.len() > LONGEST => {
            Err(wrong(format!("its name is longer than {LONGEST} bytes"), "the kernel takes no longer one"))
        }
        ("unix", Some(name)) => Ok(Socket::Abstract(name.to_owned())),
        ("unix", None) => {
            let path = path(rest, cwd)?;
            if path.as_os_str().len() > LONGEST {
                return Err(wrong(
                    format!("its path is longer than {LONGEST} bytes"),
                    "the kernel takes no longer one: use a shorter directory",
                ));
            }
            Ok(Socket::Unix(path))
        }
        ("inherit", _) => fd_name(rest).map(Socket::Inherited),
        (other, _) => Err(wrong(format!("`{other}` is not a kind of socket"), help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, (String, String)> {
        match written(text, Path::new("/start")) {
            Ok(Written { listen: Listen { socket, options }, user, group }) => {
                let name = |name: Option<(Range<usize>, String)>, key: &str| {
                    name.map_or_else(String::new, |(at, name)| {
                        assert_eq!(text[at], name);
                        format!(", {key} {name}")
                    })
                };
                Ok(format!("{socket}{options}{}{}", name(user, "user"), name(group, "group")))
            }
            Err(fault) => Err((text[fault.part].to_owned(), fault.wrong.0)),
        }
    }

    #[test]
    fn an_address_and_its_options() {
        for (text, wanted) in [
            ("tcp:80", "tcp:0.0.0.0:80"),
            ("tcp:127.0.0.1:80,name=http", "tcp:127.0.0.1:80, named http"),
            ("tcp:[::]:80,v6only,reuse-port", "tcp:[::]:80, IPv6 only, port shared"),
            ("tcp:[::]:80,v6only=false,reuse-port=false", "tcp:[::]:80, IPv4 too"),
            ("udp:53,free-bind", "udp:0.0.0.0:53, free bind"),
            ("unix:s", "unix:/start/s"),
            ("unix:/run/a,,b.sock,mode=660", "unix:/run/a,b.sock, mode 0660"),
            ("unix:/run/s,user=web,group=dropped", "unix:/run/s, user web, group dropped"),
            ("unix:/run/s,type=seqpacket,backlog=7,keep", "unix:/run/s, seqpacket, kept, backlog 7"),
            ("unix:@name,type=dgram", "unix:@name, dgram"),
            ("unix:./@s", "unix:/start/@s"),
            ("inherit:web.socket,name=a b", "inherit:web.socket, named a b"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_and_where() {
        for (text, part, problem) in [
            ("tcp", "tcp", "it does not begin with `tcp:`, `udp:`, `unix:` or `inherit:`"),
            ("tcp:80,,name=x", "tcp:80,,name=x", "`80,name=x` is not a port"),
            ("tcp:80,", "", "an option is missing behind a comma"),
            ("tcp:80,reuseport", "reuseport", "`reuseport` is not an option of a socket"),
            ("tcp:80,name", "name", "`name` has no value"),
            ("tcp:80,name=a,name=b", "name=b", "`name` is written twice"),
            ("tcp:80,name=a:b", "name=a:b", "a name cannot have `:` in it"),
            ("tcp:80,name=é", "name=é", "a name cannot have `\\u{e9}` in it"),
            ("tcp:80,mode=0660", "mode=0660", "`mode` is for a Unix socket that has a path"),
            ("tcp:[::1]:80,v6only", "v6only", "`v6only` is for `[::]`, every address"),
            ("udp:80,backlog=1", "backlog=1", "`backlog` is for a socket that connections are accepted from"),
            ("tcp:80,backlog=0", "backlog=0", "`0` is not a number of connections"),
            ("unix:/s,mode=1777", "mode=1777", "a socket has no set-id and no sticky bit"),
            ("unix:/s,mode=rw", "mode=rw", "`r` is not an octal digit"),
            ("unix:/s,type=raw", "type=raw", "`raw` is no type of a socket"),
            ("unix:/s,keep=yes", "keep=yes", "`keep` is `true` or `false`, not `yes`"),
            (
                "unix:/s,type=dgram,backlog=1",
                "unix:/s,type=dgram,backlog=1",
                "nothing connects to a dgram socket",
            ),
            ("unix:@s,mode=0600", "mode=0600", "`mode` is for a Unix socket that has a path"),
            ("unix:@", "unix:@", "the abstract name is empty"),
            ("inherit:", "inherit:", "the name is empty"),
        ] {
            assert_eq!(read(text), Err((part.to_owned(), problem.to_owned())), "{text}");
        }
    }

    #[test]
    fn whom_to_look_up() {
        let (users, groups) = names("unix:/run/user=x,user=web,,1,group=dropped,group=4");
        assert_eq!((users, groups), (vec!["web,1".to_owned()], vec!["4".to_owned()]));
    }
}
