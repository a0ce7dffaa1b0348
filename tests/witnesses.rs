//! Every code has its three witnesses: a case (`tests/cases`), a page (`rsd explain`), and a real run
//! that shows the failure it predicts.
//!
//! A folder `tests/witnesses/RSD0401` holds the real run as a `session`: what is typed stands behind `$ `
//! (`> ` goes on), what was seen below it, `[1]` is an exit status. It is typed into a shell as root, in
//! mount, network and process namespaces of its own with empty /run, /srv, /tmp, /var/log, the users `svc`
//! (4000, in the group 4001 too) and `other` (4100), and what is seen must be what is written. The first line
//! says what is to be seen. `spec.yaml` is the page's own unless the folder has one; other files of the
//! folder are there, too. A session asks `rsd check`, which must name the code, and starts the very same
//! line with `rsd run`, `--unchecked` where it was refused; then it looks, with tools that are not ours.
//! No run may diverge from what was predicted of it. `eventually COMMAND` waits until that succeeds.
//!
//! What the language and names families (01xx, 02xx) refuse never becomes a plan, so there is nothing that
//! could be run: their witness is the refusal, that `run` exits with 6, with `--unchecked` too, and that
//! no file, process or journal is there afterwards that was not before.
//!
//! `RSD_UPDATE=1 cargo test --test witnesses` writes what is seen; `RSD_WITNESS=RSD0401` runs one.

mod markdown;
mod witnesses {
    pub mod sandbox;
    pub mod session;
}

use engine::rules::pages::{Page, Starter, page, pages};
use markdown::{top, updating};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use witnesses::sandbox::{Place, run, unavailable};
use witnesses::session::Session;

/// Families that are refused before there is a plan.
const REFUSED: [&str; 2] = ["RSD01", "RSD02"];

fn folder(code: &str) -> PathBuf {
    top().join("tests/witnesses").join(code)
}

fn folders() -> BTreeSet<String> {
    let entries = fs::read_dir(top().join("tests/witnesses")).unwrap().flatten();
    let named = entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().into_string().unwrap());
    named.collect()
}

fn refused_family(code: &str) -> bool {
    REFUSED.iter().any(|family| code.starts_with(family))
}

fn session(code: &str) -> Result<Session, String> {
    let file = folder(code).join("session");
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    Session::parse(&text)
}

/// What a witness finds in its directory, by name.
fn files(code: &str, page: &Page) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    if !page.spec.is_empty() {
        files.insert("spec.yaml".to_owned(), format!("{}\n", page.spec.trim()));
    }
    for entry in fs::read_dir(folder(code)).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name != "session" {
            files.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    files
}

#[test]
fn every_code_has_a_case_a_page_and_a_witness() {
    let mut shown = BTreeSet::new();
    for case in fs::read_dir(top().join("tests/cases")).unwrap().flatten() {
        let expected = fs::read_to_string(case.path().join("expected.txt")).unwrap_or_default();
        for (n, _) in expected.match_indices("[RSD") {
            shown.extend(expected.get(n + 1..n + 8).map(str::to_owned));
        }
    }
    let witnesses = folders();
    let mut wrong = Vec::new();
    for page in pages() {
        if !shown.contains(page.code) {
            wrong.push(format!("{}: no folder of tests/cases shows it", page.code));
        }
        if !witnesses.contains(page.code) && !refused_family(page.code) {
            wrong.push(format!("{}: no real run in tests/witnesses shows it", page.code));
        }
    }
    for code in &witnesses {
        if page(code).is_none() {
            wrong.push(format!("tests/witnesses/{code}: there is no such code"));
        }
        match session(code) {
            Ok(session) => wrong.extend(session.faults(code).iter().map(|f| format!("{code}: {f}"))),
            Err(why) => wrong.push(format!("{code}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says so where there can be no sandbox. The kernel may refuse one; being an ordinary user is no excuse
/// where nothing may be skipped.
fn skipped(what: &str) -> bool {
    let Some(why) = unavailable() else { return false };
    println!("skipped: {what}: {why}");
    assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none() || nix::unistd::geteuid().is_root(), "{what}");
    true
}

#[test]
fn what_is_predicted_happens() {
    if skipped("the witnesses") {
        return;
    }
    let only = std::env::var("RSD_WITNESS").ok();
    let todo: Vec<String> = folders().into_iter().filter(|c| only.as_ref().is_none_or(|o| o == c)).collect();
    let (next, wrong) = (Mutex::new(todo.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(code) = next.lock().unwrap().next() else { break };
                    if let Err(why) = witness(code) {
                        wrong.lock().unwrap().push(format!("== {code}\n{why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{} of {} witnesses saw what was predicted", todo.len() - wrong.len(), todo.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where tests/all has installed Twisted.
fn twisted() -> Option<PathBuf> {
    let named = std::env::var_os("RSD_TEST_TWISTED").map(PathBuf::from);
    let place = named.unwrap_or_else(|| top().join("target/twisted-venv"));
    place.join("bin/python3").exists().then_some(place)
}

fn witness(code: &str) -> Result<(), String> {
    let page = page(code).ok_or("there is no page of this code")?;
    let session = session(code)?;
    let (files, twisted) = (files(code, page), twisted());
    if files.keys().any(|name| name.ends_with(".tac")) && twisted.is_none() {
        println!("skipped: {code} needs Twisted (tests/all installs it)");
        assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{code} was skipped");
        return Ok(());
    }
    let place = Place { code, files, twisted };
    let (seen, rest) = session.play(|script| run(&place, script))?;
    let written = session.text();
    let new = seen.text();
    if new == written {
        return match rest.trim() {
            "" => Ok(()),
            diverged => Err(format!("a run did not go as predicted:\n{diverged}")),
        };
    }
    if updating() {
        fs::write(folder(code).join("session"), &new).map_err(|e| e.to_string())?;
        return Ok(());
    }
    Err(format!("--- written ---\n{written}--- seen ---\n{new}{rest}"))
}

/// One sandbox for all of them, because nothing may be left in it by any.
#[test]
fn what_is_refused_by_name_or_language_touches_nothing() {
    if skipped("what is refused touches nothing") {
        return;
    }
    let refused: Vec<&Page> = pages().filter(|p| refused_family(p.code)).collect();
    let mut files = BTreeMap::new();
    let mut script = String::from(LOOK);
    for page in &refused {
        if !page.spec.is_empty() {
            files.insert(format!("{}/spec.yaml", page.code), format!("{}\n", page.spec.trim()));
        }
        let words = page.args.join(" ");
        let user = page.starter == Starter::User;
        script.push_str(&format!("witness {} {} {words}\n", page.code, if user { "svc" } else { "root" }));
    }
    let seen = run(&Place { code: "refused", files, twisted: None }, &script).unwrap();
    let expected: String =
        refused.iter().map(|p| format!("{} refused, refused, refused\n", p.code)).collect();
    assert_eq!(seen, expected);
}

/// Checks a line, runs it, and runs it unchecked; what can be seen of the machine stays the same.
const LOOK: &str = r#"
look() { find /srv /run /tmp /var/log /var/lib/rsd /dev/shm -printf '%p %m %U:%G %s %T@ %l\n' 2>&1 | sort
    ps -e -o pid= -o args= | grep -v -e '\[.*\]$' -e ' ps -e' -e ' grep -v' -e ' sort$' -e ' find ' -e ' bash' || :
    cat /proc/net/unix /proc/net/tcp /proc/net/udp | grep -v Num; }
witness() {
    code=$1 who=$2; shift 2
    mkdir -p "/srv/demo/$code" && cd "/srv/demo/$code" || exit
    [ "$code" != RSD0116 ] || chmod 0666 spec.yaml
    before=$(look)
    case $(setpriv --reuid "$who" --regid "$who" --clear-groups rsd check "$@" 2>&1) in
        *"[$code]"*) said=refused;; *) said='not named';; esac
    for how in '' --unchecked; do
        out=$(setpriv --reuid "$who" --regid "$who" --clear-groups rsd run $how "$@" 2>&1); status=$?
        after=$(look)
        if [ "$status" != 6 ]; then said="$said, exit $status: $out"
        elif [ "$before" != "$after" ]; then said="$said, changed: $(diff <(echo "$before") <(echo "$after"))"
        else said="$said, refused"; fi
    done
    echo "$code $said"
}
"#;
