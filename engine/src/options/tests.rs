//! Values, defaults and `${…}`.

use super::*;
use crate::diagnostic::{At, Diagnostic, Place};
use crate::effect::Owner;
use crate::kind::{Type, Value};
use crate::snapshot::{Group, Snapshot, User};
use crate::spec::{Condition, Given, Spec, load};

fn spec(options: &str) -> Spec {
    let text = format!("rsd: 1\nname: t\noptions:\n{options}\nphases: {{ a: {{ kind: x }} }}\n");
    let (loaded, findings) = load("t", &mut |_, _| Ok(("t".into(), text.clone())));
    assert!(findings.is_empty(), "{findings:?}");
    loaded.spec.expect("is good")
}

fn launch() -> Launch {
    Launch { cwd: "/start".into(), root: true, name: "inst".into(), uid: 7, gid: 8 }
}

/// As if it stood on a command line.
fn text(text: &str) -> At<String> {
    At::new(text.to_owned(), Place { source: 9, offset: 1, len: text.len() as u32 })
}

fn one(value: &str) -> Given {
    Given::One(text(value))
}

fn shown(given: Option<&Given>) -> String {
    match given {
        None => "-".to_owned(),
        Some(Given::One(text)) => text.v.clone(),
        Some(Given::List(list)) => format!("{:?}", list.iter().map(|t| t.v.as_str()).collect::<Vec<_>>()),
    }
}

fn codes(findings: &[Diagnostic]) -> Vec<&'static str> {
    findings.iter().map(|d| d.code).collect()
}

const OPTIONS: &str = "  pidfile: { type: path, default: '${dir}/${name}.pid' }
  dir: { type: path, default: [{ when: root, value: /run }, { value: . }] }
  nodaemon: { type: flag }
  umask: { type: mode, default: [{ when: not nodaemon, value: '077' }] }
  listen: { type: socket, list: true, default: tcp:1 }
  command: { type: command, rest: true }
  uid: { type: user, default: nobody }";

#[test]
fn values_come_from_the_command_line_or_the_first_default_that_holds() {
    let spec = spec(OPTIONS);
    let listen = |n: &str| ("listen".to_owned(), one(n));
    for (given, option, value) in [
        (vec![], "pidfile", "/run/inst.pid"),
        (vec![("dir".into(), one("/x"))], "pidfile", "/x/inst.pid"),
        (vec![("pidfile".into(), one(""))], "pidfile", "-"),
        (vec![("pidfile".into(), one("a")), ("pidfile".into(), one("${b}"))], "pidfile", "${b}"),
        (vec![], "umask", "077"),
        (vec![("nodaemon".into(), one("true"))], "umask", "-"),
        (vec![("nodaemon".into(), one("false"))], "umask", "077"),
        (vec![], "listen", "[\"tcp:1\"]"),
        (vec![listen("tcp:2"), listen("tcp:3")], "listen", "[\"tcp:2\", \"tcp:3\"]"),
        (vec![("command".into(), Given::List(vec![text("a"), text("")]))], "command", "[\"a\", \"\"]"),
    ] {
        let (settings, findings) = Settings::resolve(&spec, &given, &launch());
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(shown(settings.get(option)), value, "{given:?}");
    }
}

#[test]
fn what_is_given_is_checked() {
    let spec = spec(&format!("{OPTIONS}\n  must: {{ type: string, required: true }}"));
    for (name, value, expected) in [
        ("must", "x", vec![]),
        ("must", "", vec!["RSD0114"]),
        ("umsk", "x", vec!["RSD0111", "RSD0114"]),
        ("umask", "0999", vec!["RSD0113", "RSD0114"]),
        ("nodaemon", "yes", vec!["RSD0113", "RSD0114"]),
        ("uid", "whoever", vec!["RSD0114"]),
    ] {
        let (_, findings) = Settings::resolve(&spec, &[(name.to_owned(), one(value))], &launch());
        assert_eq!(codes(&findings), expected, "{name}={value}");
    }
}

#[test]
fn defaults_in_a_circle_are_found_and_long_chains_are_fine() {
    let circle = spec(
        "  a: { type: string, default: '${b}' }\n  b: { type: string, default: [{ when: c, value: x }] }\n  c: { type: string, default: 'x${a}' }",
    );
    let (_, findings) = Settings::resolve(&circle, &[], &launch());
    assert_eq!(codes(&findings), ["RSD0112"]);
    assert_eq!(findings[0].labels.len(), 3);
    let own = spec("  a: { type: string, default: 'x${a}' }");
    assert_eq!(codes(&Settings::resolve(&own, &[], &launch()).1), ["RSD0112"]);
    let mut chain: String =
        (0..20_000).map(|n| format!("  o{n}: {{ type: string, default: '${{o{}}}' }}\n", n + 1)).collect();
    chain += "  o20000: { type: string, default: end }";
    let (settings, findings) = Settings::resolve(&spec(&chain), &[], &launch());
    assert!(findings.is_empty());
    assert_eq!(shown(settings.get("o0")), "end");
}

#[test]
fn substitution() {
    let spec = spec(OPTIONS);
    let listen = Given::List(vec![text("tcp:2"), text("tcp:3")]);
    let given = [("listen".to_owned(), listen), ("dir".to_owned(), one("/d"))];
    let (settings, _) = Settings::resolve(&spec, &given, &launch());
    for (value, expected) in [
        ("plain", Ok("plain")),
        ("$$x$$", Ok("$x$")),
        ("${name}-${dir}", Ok("inst-/d")),
        ("${command}", Ok("-")),
        ("${listen}", Ok("[\"tcp:2\", \"tcp:3\"]")),
        ("", Ok("")),
        ("x${command}", Err("RSD0113")),
        ("x${listen}", Err("RSD0113")),
        ("${dri}", Err("RSD0111")),
        ("$HOME", Err("RSD0113")),
        ("${dir", Err("RSD0113")),
    ] {
        let given = Given::One(At::new(value.to_owned(), Place::default()));
        let got = substitute(&given, &settings).map(|g| shown(g.as_ref())).map_err(|d| d[0].code);
        assert_eq!(got.as_deref().map_err(|c| *c), expected, "{value}");
    }
    let place =
        |value: &str| match substitute(&Given::One(At::new(value.to_owned(), Place::default())), &settings) {
            Ok(Some(Given::One(text))) => text.at.source,
            other => panic!("{other:?}"),
        };
    assert_eq!((place("${dir}/x"), place("${umask}")), (9, 0), "the command line's place wins");
    let list = Given::List(vec![text("a"), text("${command}"), text("${listen}")]);
    assert_eq!(shown(substitute(&list, &settings).ok().flatten().as_ref()), "[\"a\", \"tcp:2\", \"tcp:3\"]");
}

#[test]
fn conditions_say_why_not() {
    let (settings, _) = Settings::resolve(&spec(OPTIONS), &[("nodaemon".into(), one("true"))], &launch());
    let holds = |option: &str, not| {
        settings.holds(&[At::new(Condition { option: option.into(), not }, Place::default())])
    };
    assert_eq!(holds("nodaemon", false), Ok(()));
    assert_eq!(holds("nodaemon", true), Err("`nodaemon` is set".into()));
    assert_eq!(holds("command", false), Err("`command` is not set".into()));
    assert_eq!(holds("root", true), Err("started as root".into()));
}

fn snapshot() -> Snapshot {
    let user = User {
        name: "www".into(),
        uid: 33,
        gid: Some(34),
        groups: vec![34],
        home: "/".into(),
        shell: Default::default(),
    };
    Snapshot {
        users: [("www".into(), Some(user)), ("nix".into(), None)].into(),
        groups: [("adm".into(), Some(Group { name: "adm".into(), gid: 4 }))].into(),
        ..Snapshot::default()
    }
}

#[test]
fn texts_become_values() {
    let owner = |uid, gid| Ok(Value::Owner(Owner { uid, gid }));
    let socket = |s: &str| Ok(s.to_owned());
    for (ty, value, expected) in [
        (Type::Mode, "022", Ok(Value::Mode(0o22))),
        (Type::Mode, "0o22", Ok(Value::Mode(0o22))),
        (Type::Mode, "7777", Ok(Value::Mode(0o7777))),
        (Type::Mode, "0999", Err("RSD0113")),
        (Type::Mode, "10000", Err("RSD0113")),
        (Type::Mode, "", Err("RSD0113")),
        (Type::Mode, "+22", Err("RSD0113")),
        (Type::Flag, "true", Ok(Value::Flag(true))),
        (Type::Flag, "1", Err("RSD0113")),
        (Type::Integer, "-5", Ok(Value::Integer(-5))),
        (Type::Integer, "5x", Err("RSD0113")),
        (Type::Duration, "500ms", Ok(Value::Duration(500_000_000))),
        (Type::Duration, "5", Err("RSD0113")),
        (Type::Duration, "1m30s", Err("RSD0113")),
        (Type::Duration, "99999999999d", Err("RSD0113")),
        (Type::Size, "1000000", Ok(Value::Size(1_000_000))),
        (Type::Size, "64KiB", Ok(Value::Size(65_536))),
        (Type::Size, "1M", Ok(Value::Size(1_000_000))),
        (Type::Size, "-1", Err("RSD0113")),
        (Type::Path, "a/./b//c/", Ok(Value::Path("/start/a/b/c".into()))),
        (Type::Path, "/a/../b", Ok(Value::Path("/a/../b".into()))),
        (Type::Path, "", Err("RSD0113")),
        (Type::Path, "a\0b", Err("RSD0113")),
        (Type::User, "www", Ok(Value::User(snapshot().users["www"].clone().expect("is there")))),
        (Type::User, "nix", Err("RSD0213")),
        (Type::User, "4294967295", Err("RSD0213")),
        (Type::Group, "nix", Err("RSD0214")),
        (Type::Group, "12", Ok(Value::Group(Group { name: "12".into(), gid: 12 }))),
        (Type::Owner, "dropped", owner(7, 8)),
        (Type::Owner, "www", owner(33, 34)),
        (Type::Owner, "www:adm", owner(33, 4)),
        (Type::Owner, "1:2", owner(1, 2)),
        (Type::Owner, "1", owner(1, 8)),
        (Type::Owner, "www:nix", Err("RSD0214")),
    ] {
        let got = parse(ty, &text(value), &launch(), &snapshot(), None).map_err(|d| d.code);
        assert_eq!(got, expected, "{} {value}", ty.name());
    }
    assert_eq!(
        parse(Type::Path, &text(&"x".repeat(4096)), &launch(), &snapshot(), None).map_err(|d| d.code),
        Err("RSD0113")
    );
    for (value, expected) in [
        ("tcp:80", socket("tcp:0.0.0.0:80")),
        ("tcp:localhost:0", socket("tcp:127.0.0.1:0")),
        ("udp:10.0.0.1:53", socket("udp:10.0.0.1:53")),
        ("tcp:[::1]:80", socket("tcp:[::1]:80")),
        ("unix:s.sock", socket("unix:/start/s.sock")),
        ("tcp:::1:80", Err("RSD0113")),
        ("tcp:example.org:80", Err("RSD0113")),
        ("tcp:80:interface=127.0.0.1", Err("RSD0113")),
        ("tcp:+80", Err("RSD0113")),
        ("tcp:65536", Err("RSD0113")),
        ("sctp:80", Err("RSD0113")),
        ("80", Err("RSD0113")),
        ("tcp:", Err("RSD0113")),
    ] {
        let got = match parse(Type::Socket, &text(value), &launch(), &snapshot(), None) {
            Ok(Value::Socket(listen)) => Ok(format!("{}{}", listen.socket, listen.options)),
            Ok(other) => panic!("{other:?}"),
            Err(finding) => Err(finding.code),
        };
        assert_eq!(got, expected, "{value}");
    }
}

#[test]
fn lists_and_commands() {
    let list = |values: &[&str]| Given::List(values.iter().map(|v| text(v)).collect());
    let parse = |ty, many, given: &Given| {
        parse_given(ty, many, given, &launch(), &snapshot(), None).map_err(|d| codes(&d))
    };
    assert_eq!(parse(Type::Mode, true, &one("1")), Ok(Value::List(vec![Value::Mode(1)])));
    assert_eq!(parse(Type::Mode, true, &list(&[])), Ok(Value::List(vec![])));
    assert_eq!(parse(Type::Mode, true, &list(&["9", "1", "8"])), Err(vec!["RSD0113"; 2]));
    assert_eq!(parse(Type::Mode, false, &list(&["1"])), Err(vec!["RSD0113"]));
    assert_eq!(
        parse(Type::Command, false, &list(&["a", ""])),
        Ok(Value::Command(vec!["a".into(), String::new()]))
    );
    assert_eq!(parse(Type::Command, false, &list(&[""])), Err(vec!["RSD0113"]));
}
