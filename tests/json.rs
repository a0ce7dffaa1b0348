//! The JSON that other programs rely on: DESIGN section 6, `"schema": 1`.

mod support;

use serde_json::Value;
use std::fs;
use support::{NOBODY, Who, World, root};

fn json(world: &World, code: i32, line: &str) -> Value {
    let ran = world.rsd(&support::words(line));
    assert_eq!(ran.code, code, "rsd {line}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.slow.is_none(), "rsd {line}: {:?}", ran.slow);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("rsd {line}: {e}: {}", ran.stdout))
}

fn keys<'a>(value: &'a Value, wanted: &[&str]) -> &'a Value {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    for key in wanted {
        assert!(object.contains_key(*key), "`{key}` is missing in {value}");
    }
    value
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap_or_else(|| panic!("not a list: {value}"));
    list.iter().map(|v| v.as_str().unwrap_or_else(|| panic!("not a text: {v}"))).collect()
}

fn ids(value: &Value) -> [u64; 3] {
    let list = value.as_array().unwrap_or_else(|| panic!("not a list: {value}"));
    let ids: Vec<u64> = list.iter().map(|v| v.as_u64().unwrap()).collect();
    ids.try_into().unwrap_or_else(|ids| panic!("not three ids: {ids:?}"))
}

fn identity(value: &Value) {
    keys(
        value,
        &[
            "uid",
            "gid",
            "groups",
            "caps",
            "permitted",
            "inheritable",
            "ambient",
            "bounding",
            "root",
            "cwd",
            "umask",
        ],
    );
    ids(&value["uid"]);
    ids(&value["gid"]);
    assert!(value["groups"].as_array().unwrap().iter().all(Value::is_u64), "{value}");
    for set in ["caps", "permitted", "inheritable", "ambient", "bounding"] {
        assert!(texts(&value[set]).iter().all(|c| c.starts_with("cap_")), "{value}");
    }
    assert!(value["root"].as_str().unwrap().starts_with('/'), "{value}");
    assert!(value["cwd"].is_string(), "{value}");
    let umask = value["umask"].as_str().unwrap();
    assert!(umask.len() == 3 && umask.bytes().all(|b| (b'0'..b'8').contains(&b)), "{value}");
}

const TWISTD: [&str; 13] = [
    "checkPID",
    "readTacFile",
    "startLogger",
    "chroot",
    "chdir",
    "umask",
    "daemonize",
    "openPIDFile",
    "privilegedStartService",
    "switchUidGid",
    "startApplication",
    "startReactor",
    "removePIDFile",
];

#[test]
fn plan_of_twistd() {
    let world = World::empty(Who::Me);
    let plan = json(&world, 0, &format!("plan --json {}", if root() { "--uid 65534" } else { "" }));
    assert_eq!(keys(&plan, &["schema", "spec", "steps"])["schema"], 1);
    assert_eq!(plan["spec"], "twistd");
    let steps = plan["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|s| s["phase"].as_str().unwrap()).collect();
    assert_eq!(names, TWISTD);
    for (i, step) in steps.iter().enumerate() {
        keys(
            step,
            &[
                "phase",
                "groups",
                "kind",
                "privilege",
                "process",
                "skipped",
                "needs",
                "because",
                "identity",
                "identity_after",
                "effects",
            ],
        );
        identity(&step["identity"]);
        identity(&step["identity_after"]);
        assert!(["launcher", "daemon", "guard"].contains(&step["process"].as_str().unwrap()), "{step}");
        assert!(
            ["any", "privileged", "root", "user"].contains(&step["privilege"].as_str().unwrap()),
            "{step}"
        );
        assert!(step["skipped"].is_null() || step["skipped"].is_string(), "{step}");
        assert_eq!(step["skipped"].is_null(), !texts(&step["effects"]).is_empty(), "{step}");
        texts(&step["groups"]);
        let because = step["because"].as_array().unwrap();
        for because in because {
            let after = keys(because, &["after", "reason"])["after"].as_str().unwrap();
            assert!(names[..i].contains(&after), "{step}");
            let reason = because["reason"].as_str().unwrap();
            assert!(["needs", "privilege", "order", "serve", "file"].contains(&reason), "{step}");
        }
        for need in texts(&step["needs"]) {
            let edge = because.iter().find(|b| b["after"] == need).unwrap_or_else(|| panic!("{step}"));
            assert_eq!(edge["reason"], "needs", "{step}");
        }
        if i > 0 {
            assert_eq!(step["identity"], steps[i - 1]["identity_after"], "{step}");
        }
    }
    let of = |name: &str| &steps[names.iter().position(|n| *n == name).unwrap()];
    assert_eq!(texts(&of("chdir")["groups"]), ["postApplication", "setupEnvironment"]);
    assert_eq!(texts(&of("openPIDFile")["needs"]), ["checkPID", "daemonize"]);
    assert_eq!(of("chroot")["skipped"], "`chroot` is not set");
    assert_eq!(of("daemonize")["process"], "launcher");
    assert_eq!(of("openPIDFile")["process"], "daemon");
    assert_eq!(of("umask")["identity_after"]["umask"], "077");
    assert_eq!(texts(&of("umask")["effects"]), ["umask 077"]);
    if root() {
        assert_eq!(of("switchUidGid")["skipped"], Value::Null);
        root_up_to_the_drop(steps);
    } else {
        assert!(of("switchUidGid")["skipped"].is_string());
    }
}

/// root at every step up to the one that drops, and never after it.
fn root_up_to_the_drop(steps: &[Value]) {
    let drop = TWISTD.iter().position(|n| *n == "switchUidGid").unwrap();
    let nobody = [u64::from(NOBODY); 3];
    for (i, step) in steps.iter().enumerate() {
        let (uid, after) = (ids(&step["identity"]["uid"]), ids(&step["identity_after"]["uid"]));
        assert_eq!(uid, if i <= drop { [0; 3] } else { nobody }, "{step}");
        assert_eq!(after, if i < drop { [0; 3] } else { nobody }, "{step}");
        let gid = ids(&step["identity_after"]["gid"]);
        assert_eq!(gid, if i < drop { [0; 3] } else { nobody }, "{step}");
        let caps = texts(&step["identity_after"]["caps"]);
        assert_eq!(caps.is_empty(), i >= drop, "{step}");
        assert_eq!(texts(&step["identity_after"]["permitted"]).is_empty(), i >= drop, "{step}");
    }
    assert_eq!(steps[drop]["identity_after"]["groups"], serde_json::json!([NOBODY]));
}

#[test]
fn plan_of_a_group_that_is_skipped() {
    let world = World::empty(Who::Me);
    let spec = "rsd: 1\nname: t\noptions: { a: { type: flag } }\nphases:\n  g: { when: a, needs: [b], phases: { c: { kind: umask, with: { mask: '022' } } } }\n  b: { kind: chdir, with: { path: / } }\n";
    fs::write(world.dir().join("spec.yaml"), spec).unwrap();
    let plan = json(&world, 0, "plan --spec spec.yaml --json");
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|s| s["phase"].as_str().unwrap()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(steps[1]["skipped"], "`a` is not set");
    assert_eq!(steps[1]["effects"], serde_json::json!([]));
    assert_eq!(steps[1]["because"][0], serde_json::json!({ "after": "b", "reason": "needs" }));
    // Where nothing daemonizes all is the daemon.
    assert!(steps.iter().all(|s| s["process"] == "daemon"), "{plan}");
}

fn findings(check: &Value) -> &Vec<Value> {
    assert_eq!(keys(check, &["schema", "ok", "findings"])["schema"], 1);
    let findings = check["findings"].as_array().unwrap();
    let errors = findings.iter().any(|f| f["severity"] == "error");
    assert!(!errors || check["ok"] == false, "{check}");
    for finding in findings {
        keys(finding, &["code", "severity", "message", "phases", "at", "help"]);
        let code = finding["code"].as_str().unwrap();
        assert!(code.len() == 7 && code.starts_with("RSD0"), "{finding}");
        assert!(["error", "warning", "note"].contains(&finding["severity"].as_str().unwrap()), "{finding}");
        assert!(!finding["message"].as_str().unwrap().is_empty(), "{finding}");
        assert!(finding["help"].is_string(), "{finding}");
        texts(&finding["phases"]);
        for at in finding["at"].as_array().unwrap() {
            keys(at, &["file", "line", "column"]);
            assert!(at["file"].is_string(), "{finding}");
            for number in ["line", "column"] {
                assert!(at[number].is_null() || at[number].as_u64().unwrap() > 0, "{finding}");
            }
        }
    }
    findings
}

#[test]
fn check_says_it_in_json_whatever_it_says() {
    let world = World::empty(Who::Me);
    let write = |name: &str, text: &str| fs::write(world.dir().join(name), text).unwrap();
    write("fine.yaml", "rsd: 1\nname: t\nphases: { a: { kind: umask, with: { mask: '022' } } }\n");
    assert!(findings(&json(&world, 0, "check --spec fine.yaml --json")).is_empty());

    write("self.yaml", "rsd: 1\nname: t\nphases:\n  fork: { kind: daemonize, needs: [fork] }\n");
    let check = json(&world, 6, "check --spec self.yaml --json");
    let [finding] = &findings(&check)[..] else { panic!("{check}") };
    assert_eq!(finding["code"], "RSD0205");
    assert_eq!(finding["phases"], serde_json::json!(["fork"]));
    assert_eq!(finding["at"][0], serde_json::json!({ "file": "self.yaml", "line": 4, "column": 36 }));

    // Refused before there is a spec, before there is a plan, for a file that is not there, and for
    // a value on the command line: each in the same form.
    write("broken.yaml", "rsd: [1\n");
    for (line, code, file) in [
        ("check --json --spec broken.yaml", "RSD0102", "broken.yaml"),
        ("check --json --spec nowhere.yaml", "RSD0101", "nowhere.yaml"),
        ("check --json --umask 0999", "RSD0113", "<command line>"),
        ("check --json --skip nowhere", "RSD0208", "<command line>"),
        ("check --json --pidfile nowhere/x.pid", "RSD0403", "builtin:twistd"),
    ] {
        let check = json(&world, 6, line);
        let finding = &findings(&check)[0];
        assert_eq!((&finding["code"], &finding["at"][0]["file"]), (&code.into(), &file.into()), "{check}");
    }
    assert_eq!(world.state(), "");
}

#[test]
fn warnings_are_fine_unless_they_are_denied() {
    if !root() {
        println!("skipped: a warning of twistd's order is root's to get");
        return;
    }
    let world = World::empty(Who::Me);
    let codes = |check: &Value| -> Vec<String> {
        let warnings = findings(check).iter().filter(|f| f["severity"] == "warning");
        warnings.map(|f| f["code"].as_str().unwrap().to_owned()).collect()
    };
    let fine = json(&world, 0, "check --json --uid 65534");
    let denied = json(&world, 6, "check --json --uid 65534 --deny warnings");
    // As the exit code has it.
    assert_eq!((&fine["ok"], &denied["ok"]), (&true.into(), &false.into()));
    for code in ["RSD0401", "RSD0402"] {
        assert!(codes(&fine).iter().any(|c| c == code), "{fine}");
    }
    assert_eq!(codes(&fine), codes(&denied));
}

#[test]
fn completions_are_not_empty() {
    let world = World::empty(Who::Me);
    for shell in ["bash", "zsh", "fish"] {
        let ran = world.rsd(&["completions", shell].map(str::to_owned));
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("nodaemon") && ran.stderr.is_empty(), "{shell}");
    }
}

#[test]
fn lists_name_what_there_is() {
    let world = World::empty(Who::Me);
    let ran = |line: &str| {
        let ran = world.rsd(&support::words(line));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "rsd {line}");
        ran.stdout
    };
    assert!(ran("specs").lines().any(|l| l.starts_with("twistd ")));
    assert_eq!(ran("specs twistd"), include_str!("../specs/twistd.yaml"));
    for kind in ["chroot", "chdir", "umask", "daemonize", "create-pid-file", "switch-user", "keep-guard"] {
        assert!(ran("kinds").lines().any(|l| l.starts_with(&format!("{kind} "))), "{kind}");
        assert!(ran(&format!("kinds {kind}")).starts_with(&format!("{kind}: ")));
    }
}
