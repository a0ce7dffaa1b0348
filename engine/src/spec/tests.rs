//! Specs that are refused, with code and place; overlays; and that no text at all makes this panic.

use super::*;
use crate::diagnostic::{Diagnostic, Style, render};
use proptest::prelude::*;

const GOOD: &str = "\
rsd: 1
name: t
about: a test
options:
  uid: { type: user, short: u, help: who }
  nodaemon: { type: flag, short: n }
  pidfile: { type: path, default: [{ when: root, value: '/run/${name}.pid' }, { value: t.pid }] }
  umask: { type: mode, default: [{ when: not nodaemon, value: '077' }] }
  listen: { type: socket, list: true, default: ['tcp:1', 'tcp:2'] }
  command: { type: command, rest: true }
phases:
  pre:
    needs: []
    phases:
      check: { kind: check-pid-file, with: { path: '${pidfile}' } }
      mask: { kind: umask, with: { mask: '${umask}' } }
  fork: { kind: daemonize, when: not nodaemon, needs: check, privilege: any }
  drop:
    kind: switch-user
    needs: [check, fork]
    privilege: [cap_setuid, CAP_SETGID]
    timeout: 5s
    on-failure: { retry: { times: 3, delay: 100ms } }
    with: { uid: '${uid}', gid: ~ }
  serve: { kind: serve, needs: drop, always: true, on-failure: continue }
order: [check, mask, fork, drop]
";

fn read(files: &[(&str, &str)]) -> (Loaded, Vec<Diagnostic>) {
    let files: Vec<(String, String)> = files.iter().map(|(n, t)| ((*n).into(), (*t).into())).collect();
    load("spec", &mut |name, _| {
        let found = files.iter().find(|(n, _)| n == name);
        found.cloned().ok_or_else(|| "No such file or directory".to_owned())
    })
}

/// Codes with the place of the culprit: `RSD0105 3:2`.
fn said(loaded: &Loaded, findings: &[Diagnostic]) -> Vec<String> {
    let place = |d: &Diagnostic| d.labels.iter().find(|l| l.primary).map(|l| loaded.sources.position(l.at));
    let said = |d: &Diagnostic| match place(d) {
        Some((line, column)) => format!("{} {line}:{column}", d.code),
        None => d.code.to_owned(),
    };
    findings.iter().map(said).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (loaded, findings) = read(&[("spec", text)]);
    let shown: String = findings.iter().map(|d| render(d, &loaded.sources, Style::Plain)).collect();
    assert_eq!(said(&loaded, &findings), expected, "{text}\n{shown}");
}

#[test]
fn a_good_spec_is_read() {
    let (loaded, findings) = read(&[("spec", GOOD)]);
    assert_eq!(said(&loaded, &findings), [""; 0]);
    let spec = loaded.spec.expect("is good");
    let names: Vec<_> = spec.phases.iter().map(|p| p.name.v.as_str()).collect();
    assert_eq!(names, ["check", "mask", "fork", "drop", "serve"]);
    assert_eq!(spec.group_path(spec.phases[1].group), ["pre"]);
    let drop = &spec.phases[3];
    assert_eq!(drop.with.len(), 1, "nothing as a value is no value");
    assert_eq!(drop.timeout.as_ref().map(|t| t.v), Some(5_000_000_000));
    assert_eq!(drop.on_failure.v, OnFailure::Retry { times: 3, delay: 100_000_000 });
    assert_eq!(drop.privilege.v, Privilege::Capabilities(vec![Capability::Setuid, Capability::Setgid]));
    assert_eq!(spec.options[2].defaults.len(), 2);
    assert!(matches!(&spec.options[4].defaults[0].value, Given::List(l) if l.len() == 2));
}

#[test]
fn whole_files_that_are_no_spec() {
    for (text, code) in [
        ("", "RSD0103 1:1"),
        ("just words", "RSD0103 1:1"),
        ("- a\n- b\n", "RSD0103 1:1"),
        ("rsd: 1\n---\nrsd: 1\n", "RSD0103 2:1"),
        ("rsd: 1\nname: 'x\n", "RSD0102 2:8"),
        ("rsd: 1\nname: t\0\n", "RSD0101 2:8"),
        ("rsd: 1\nrsd: 1\n", "RSD0104 2:1"),
    ] {
        check(text, &[code]);
    }
    check("a: 1\n", &["RSD0105 1:1", "RSD0107 1:1", "RSD0107 1:1", "RSD0107 1:1"]);
}

#[test]
fn every_error_of_the_language_at_once() {
    check(
        "rsd: 2\nname: a/b\norders: [x]\nphases:\n  a: { kind: [x], neds: [b] }\n  ' ': { kind: x, privilege: rot }\n",
        &[
            "RSD0107 1:6",
            "RSD0109 2:7",
            "RSD0105 3:1",
            "RSD0106 5:14",
            "RSD0105 5:19",
            "RSD0109 6:3",
            "RSD0113 6:30",
        ],
    );
}

#[test]
fn phases_that_are_wrong() {
    for (phase, expected) in [
        ("{ knd: x }", vec!["RSD0105 4:8"]),
        ("x", vec!["RSD0106 4:6"]),
        ("~", vec!["RSD0106 4:3"]),
        ("{}", vec!["RSD0107 4:3"]),
        ("{ about: x }", vec!["RSD0107 4:3"]),
        ("{ kind: x, needs: { a: b } }", vec!["RSD0106 4:24"]),
        ("{ kind: x, needs: [[b]] }", vec!["RSD0106 4:25"]),
        ("{ kind: x, phases: { b: { kind: x } } }", vec!["RSD0105 4:3"]),
        ("{ phases: {} }", vec!["RSD0107 4:8"]),
        ("{ timeout: 5s, phases: { b: { kind: x } } }", vec!["RSD0105 4:17"]),
        ("{ kind: x, when: not a b }", vec!["RSD0113 4:23"]),
        ("{ kind: x, when: [not, '!a'] }", vec!["RSD0113 4:24", "RSD0113 4:29"]),
        ("{ kind: x, when: nodaemon }", vec!["RSD0111 4:23"]),
        ("{ kind: x, always: yes }", vec!["RSD0106 4:25"]),
        ("{ kind: x, timeout: 5 }", vec!["RSD0113 4:26"]),
        ("{ kind: x, timeout: 0s }", vec!["RSD0113 4:26"]),
        ("{ kind: x, on-failure: stop }", vec!["RSD0113 4:29"]),
        ("{ kind: x, on-failure: { retry: {} } }", vec!["RSD0107 4:38"]),
        ("{ kind: x, on-failure: { retry: { times: 0, delay: 1 } } }", vec!["RSD0113 4:47", "RSD0113 4:57"]),
        ("{ kind: x, privilege: root! }", vec!["RSD0113 4:28"]),
        ("{ kind: x, privilege: cap_kill }", vec!["RSD0113 4:28"]),
        ("{ kind: x, privilege: [cap_kil] }", vec!["RSD0113 4:29"]),
        ("{ kind: x, with: { path: '${nope}' } }", vec!["RSD0111 4:31"]),
        ("{ kind: x, with: { path: '${name' } }", vec!["RSD0113 4:31"]),
        ("{ kind: x, with: { path: { a: b } } }", vec!["RSD0106 4:31"]),
        ("{ phases: { a: { kind: x } } }", vec!["RSD0207 4:18"]),
        ("{ kind: x, with: { p: 1, p: 2 } }", vec!["RSD0104 4:31"]),
    ] {
        check(&format!("rsd: 1\nname: t\nphases:\n  a: {phase}\n"), &expected);
    }
}

#[test]
fn names_that_are_wrong() {
    let long = "x".repeat(129);
    for name in [
        "''",
        "' '",
        "a/b",
        "'a b'",
        "'$a'",
        "'a,b'",
        "-a",
        ".a",
        "\"a\\0\"",
        "\"a\\e[1m\"",
        "\"a\\u202eb\"",
        &long,
    ] {
        check(&format!("rsd: 1\nname: t\nphases:\n  {name}: {{ kind: x }}\n"), &["RSD0109 4:3"]);
    }
}

#[test]
fn options_that_are_wrong() {
    for (option, expected) in [
        ("x: { type: pth }", vec!["RSD0112 4:14"]),
        ("x: { help: x }", vec!["RSD0112 4:3"]),
        ("x: path", vec!["RSD0106 4:6"]),
        ("x: { type: path, defalt: x }", vec!["RSD0105 4:20"]),
        ("x: { type: path, short: xy }", vec!["RSD0112 4:27"]),
        ("x: { type: path, short: h }", vec!["RSD0112 4:27"]),
        ("x: { type: path, rest: true }", vec!["RSD0112 4:26"]),
        ("x: { type: flag, list: true }", vec!["RSD0112 4:26"]),
        ("x: { type: path, required: true, default: x }", vec!["RSD0112 4:30"]),
        ("x: { type: path, default: [{ when: y, value: x }] }", vec!["RSD0111 4:38"]),
        ("x: { type: path, default: [{ when: root }] }", vec!["RSD0107 4:30"]),
        ("x: { type: path, default: [x, { value: y }] }", vec!["RSD0106 4:30"]),
        ("x: { type: path, default: { a: b } }", vec!["RSD0106 4:29"]),
        ("json: { type: flag }", vec!["RSD0112 4:3"]),
        ("root: { type: flag }", vec!["RSD0112 4:3"]),
        ("x=y: { type: flag }", vec!["RSD0109 4:3"]),
        ("x: { type: path, short: a }\n  y: { type: path, short: a }", vec!["RSD0112 5:27"]),
        ("x: { type: command, rest: true }\n  y: { type: command, rest: true }", vec!["RSD0112 5:3"]),
    ] {
        check(&format!("rsd: 1\nname: t\noptions:\n  {option}\nphases: {{ a: {{ kind: x }} }}\n"), &expected);
    }
}

#[test]
fn orders_that_are_wrong() {
    for (order, expected) in [
        ("a", vec!["RSD0106 4:8"]),
        ("[a, b, a]", vec!["RSD0208 4:15"]),
        ("[a, bb]", vec!["RSD0208 4:12"]),
        ("[g]", vec!["RSD0208 4:9"]),
    ] {
        let phases = "{ a: { kind: x }, b: { kind: x }, g: { phases: { c: { kind: x } } } }";
        check(&format!("rsd: 1\nname: t\nphases: {phases}\norder: {order}\n"), &expected);
    }
}

fn overlaid(overlay: &str) -> (Loaded, Vec<Diagnostic>) {
    read(&[("spec", &format!("rsd: 1\nextends: base\n{overlay}")), ("base", GOOD)])
}

#[test]
fn an_overlay_changes_what_it_names() {
    let (loaded, findings) = overlaid(
        "name: other\noptions: { umask: { default: '022' }, listen: ~, new: { type: flag } }\nphases:\n  mask: { when: new }\n  pre: { phases: { check: { with: { path: x, more: y } }, extra: { kind: chdir } } }\n  drop: { needs: [fork], with: { uid: ~, gid: '0' }, timeout: ~ }\norder: [fork, mask, extra]\n",
    );
    assert_eq!(said(&loaded, &findings), [""; 0]);
    let spec = loaded.spec.expect("is good");
    assert_eq!(spec.name.v, "other");
    assert_eq!(spec.about.as_deref(), Some("a test"));
    let names: Vec<_> = spec.phases.iter().map(|p| p.name.v.as_str()).collect();
    assert_eq!(names, ["check", "mask", "extra", "fork", "drop", "serve"]);
    assert_eq!(spec.group_path(spec.phases[2].group), ["pre"]);
    assert_eq!(spec.phases[0].with.len(), 2);
    assert_eq!(spec.phases[1].when[0].v.option, "new");
    let drop = &spec.phases[4];
    assert_eq!((drop.needs.len(), drop.with.len(), drop.timeout.is_none()), (1, 1, true));
    let order: Vec<_> = spec.order.iter().flatten().map(|o| o.v.as_str()).collect();
    assert_eq!(order, ["check", "fork", "mask", "extra", "drop"]);
    let options: Vec<_> = spec.options.iter().map(|o| o.name.v.as_str()).collect();
    assert_eq!(options, ["uid", "nodaemon", "pidfile", "umask", "command", "new"]);
    assert!(spec.options[3].defaults[0].when.is_empty());
}

#[test]
fn overlays_that_are_wrong() {
    for (overlay, expected) in [
        ("phases: { mask: ~ }\n", vec![]),
        ("phases: { pre: ~ }\n", vec!["RSD0210 3:11", "RSD0210 3:11"]),
        ("phases: { check: ~ }\n", vec!["RSD0210 3:11", "RSD0210 3:11"]),
        ("phases: { mask: ~ }\norder: [mask]\n", vec!["RSD0210 4:9"]),
        ("phases: { msk: ~ }\n", vec!["RSD0210 3:11"]),
        ("options: { udi: ~ }\n", vec!["RSD0210 3:12"]),
        ("phases: { fork: { phases: { a: { kind: x } } } }\n", vec!["RSD0105 3:11"]),
        ("phases: { pre: { phases: { fork: { when: root } } } }\n", vec!["RSD0207 3:28"]),
        ("phases: { new: { phases: { fork: { when: root } } } }\n", vec!["RSD0207 3:28"]),
        ("phases: { pre: { kind: x } }\n", vec!["RSD0105 13:3"]),
        ("order: [nope]\n", vec!["RSD0208 3:9"]),
        ("options: { uid: ~ }\n", vec!["RSD0111 26:18"]),
    ] {
        let (loaded, findings) = overlaid(overlay);
        let mut got = said(&loaded, &findings);
        // Places in the base are of no interest here but for the two that name them.
        got.retain(|s| !s.is_empty());
        let codes = |list: &[String]| list.iter().map(|s| s[..7].to_owned()).collect::<Vec<_>>();
        let wanted: Vec<String> = expected.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(codes(&got), codes(&wanted), "{overlay}: {got:?}");
        for (got, wanted) in got.iter().zip(&wanted).filter(|(_, w)| !w.contains("13:") && !w.contains("26:"))
        {
            assert_eq!(got, wanted, "{overlay}");
        }
    }
}

#[test]
fn chains_that_do_not_end() {
    let (loaded, findings) = read(&[("spec", "rsd: 1\nextends: b\n"), ("b", "rsd: 1\nextends: spec\n")]);
    assert_eq!(said(&loaded, &findings), ["RSD0108 2:10"]);
    assert_eq!(findings[0].labels.len(), 2);
    assert!(findings[0].message.contains("spec -> b -> spec"));
    let (loaded, findings) = read(&[("spec", "rsd: 1\nextends: nope\n")]);
    assert_eq!(said(&loaded, &findings), ["RSD0108 2:10"]);
    let (loaded, findings) = read(&[]);
    assert_eq!(said(&loaded, &findings), ["RSD0101"]);
    let mut n = 0;
    let (loaded, findings) = load("spec", &mut |_, _| {
        n += 1;
        Ok((format!("f{n}"), "rsd: 1\nextends: next\n".to_owned()))
    });
    assert_eq!(said(&loaded, &findings), ["RSD0108 2:10"]);
    let (_, findings) = load("spec", &mut |_, _| Ok(("big".into(), " ".repeat(33 << 20))));
    assert_eq!(findings[0].code, "RSD0101");
}

#[test]
fn a_wrong_file_in_the_chain_is_not_merged() {
    let (loaded, findings) =
        read(&[("spec", "rsd: 1\nextends: base\nx: y\n"), ("base", "rsd: 3\nphases: {}\n")]);
    assert_eq!(said(&loaded, &findings), ["RSD0105 3:1", "RSD0107 1:6", "RSD0107 2:1", "RSD0107 1:1"]);
    assert!(loaded.spec.is_none());
}

fn survives(text: &str) {
    let (loaded, findings) = read(&[("spec", text), ("base", GOOD)]);
    for finding in &findings {
        render(finding, &loaded.sources, Style::Plain);
    }
    if let Some(spec) = &loaded.spec {
        let launch = crate::options::Launch::default();
        let (settings, _) = crate::options::Settings::resolve(spec, &[], &launch);
        for (_, given) in spec.phases.iter().flat_map(|p| &p.with) {
            let _ = crate::options::substitute(given, &settings);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_yaml_makes_it_panic(text in "[-a-c:?&*!|>'\"{}\\[\\], \n#~$0-2]{0,80}") {
        survives(&text);
    }

    #[test]
    fn no_change_of_a_good_spec_makes_it_panic(
        cuts in proptest::collection::vec((0usize..GOOD.len(), 0usize..12, "[-a:{}\\[\\]~$é0 \n'*&]{0,6}"), 1..6),
        overlay in any::<bool>(),
    ) {
        let mut text = GOOD.as_bytes().to_vec();
        for (at, len, new) in cuts {
            let at = at.min(text.len());
            let end = (at + len).min(text.len());
            text.splice(at..end, new.bytes());
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        survives(&if overlay { text.replacen("name: t", "extends: base", 1) } else { text });
    }
}
