//! What the documents say about the language is so: whole specs are checked, the generated part is current.

mod markdown;

use markdown::{blocks, documents, top, updating};
use std::collections::BTreeSet;
use std::process::{Command, Output};

fn rsd(dir: &std::path::Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rsd")).args(args).current_dir(dir).output().unwrap()
}

/// A `yaml` block that has `rsd: 1` is a whole spec: it must be fine, or give the codes behind `yaml`.
#[test]
fn whole_specs_are_checked() {
    let mut wrong = Vec::new();
    let mut whole = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let name = document.strip_prefix(top()).unwrap().display().to_string();
        let dir = tempfile::tempdir().unwrap();
        for block in blocks(&text) {
            if block.language() != "yaml" || !block.lines.iter().any(|l| l == "rsd: 1") {
                continue;
            }
            whole += 1;
            let file = block.file_name().unwrap_or("spec.yaml");
            std::fs::write(dir.path().join(file), block.text()).unwrap();
            let output = rsd(dir.path(), &["check", "--json", "--spec", file]);
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let errors: BTreeSet<&str> = json["findings"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|f| f["severity"] == "error")
                .filter_map(|f| f["code"].as_str())
                .collect();
            let named: BTreeSet<&str> = block.info.split_whitespace().skip(1).collect();
            let status = output.status.code();
            if errors != named || status != Some(if named.is_empty() { 0 } else { 6 }) {
                wrong.push(format!("{name}:{}: {file} exits {status:?} with {errors:?}", block.first + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(whole > 5, "{whole} specs");
}

#[test]
fn the_kinds_are_those_of_the_command() {
    const BEGIN: &str = "<!-- kinds:begin -->\n";
    const END: &str = "<!-- kinds:end -->";
    let path = top().join("docs/spec.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the marker kinds:begin");
    let (written, tail) = rest.split_once(END).expect("the marker kinds:end");
    let made = String::from_utf8(rsd(&top(), &["kinds", "--markdown"]).stdout).unwrap();
    if updating() {
        std::fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).unwrap();
    } else {
        assert_eq!(written, made, "RSD_UPDATE=1 cargo test --test docs writes it");
    }
}

/// A link to a file of the source leads somewhere.
#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (n, _) in text.match_indices("](") {
            let target: String = text[n + 2..].chars().take_while(|c| *c != ')').collect();
            let file = target.split('#').next().unwrap_or_default();
            let is_file = !file.is_empty() && !file.contains("://");
            if is_file && !document.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
