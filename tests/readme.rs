//! The `console` blocks of README.md and docs/*.md are run, and what they show must be what is seen.
//!
//! A command stands behind `$ ` or `# `; a block that begins with `# ` needs root. As root every block has
//! a mount, network and process namespace of its own, so that the machine stays as it is and everything a
//! block started ends with it. Blocks that begin with `$ ` are then run as an ordinary user.
//! A `yaml` block whose first line is `# NAME.yaml` is a file that the blocks behind it find.
//! `RSD_UPDATE=1` writes what was seen into the documents.

mod markdown;

use markdown::{Block, blocks, documents, top, updating};
use std::path::Path;
use std::process::{Command, Stdio};

/// Begins the output of a command; no output has it.
const MARK: char = '\u{1}';

struct Part {
    /// the lines of the command, with their prompt
    command: Vec<String>,
    output: Vec<String>,
}

/// The commands of a block. A line that ends in a backslash goes on.
fn parts(block: &Block) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut goes_on = false;
    for line in &block.lines {
        let begins = line.starts_with("$ ") || line.starts_with("# ");
        match parts.last_mut() {
            Some(part) if goes_on => part.command.push(line.clone()),
            _ if begins => parts.push(Part { command: vec![line.clone()], output: Vec::new() }),
            Some(part) => part.output.push(line.clone()),
            None => panic!("a block must begin with a command: {line}"),
        }
        goes_on = line.ends_with('\\') && (begins || goes_on);
    }
    parts
}

fn script(parts: &[Part], files: &[(String, String)]) -> String {
    let mut text = String::from(
        "exec 2>&1 </dev/null\n\
         mark() { printf '\\n\\001\\n'; return \"$1\"; }\n\
         cargo() { if [ \"$1 $2 $3\" = 'run --release --' ]; then shift 3; rsd \"$@\"; fi; }\n",
    );
    for (name, content) in files {
        text.push_str(&format!("cat >{name} <<'END_OF_FILE'\n{content}END_OF_FILE\n"));
    }
    for part in parts {
        text.push_str("mark $?\n");
        for (n, line) in part.command.iter().enumerate() {
            text.push_str(if n == 0 { &line[2..] } else { line });
            text.push('\n');
        }
    }
    text
}

/// Users and groups that a block may name, the same on every machine.
const SANDBOX: &str = r#"
set -e
ip link set lo up
mkdir -p /var/lib/rsd /srv
mount -t tmpfs -o mode=755 none /var/lib/rsd
mount -t tmpfs -o mode=755 none /srv
mount -t tmpfs -o mode=755 none /var/log
mount -t tmpfs -o mode=755 none /run
mkdir /srv/.bin /srv/demo /srv/.home
cp "$RSD" /srv/.bin/rsd
cp -r "$TOP/specs" /srv/.specs
(grep -v -e '^redis:' -e ':x:102:' /etc/passwd; echo redis:x:102:105::/srv:/bin/false) >/srv/.passwd
(grep -v -e '^redis:' -e ':x:105:' /etc/group; echo redis:x:105:) >/srv/.group
mount --bind /srv/.passwd /etc/passwd
mount --bind /srv/.group /etc/group
cd /srv/demo
export PATH="/srv/.bin:$PATH" HOME=/root
umask 022
set +e
if [ "$WHO" = user ]; then
    chown 65534:65534 /srv/demo /srv/.home
    export HOME=/srv/.home
    exec setpriv --reuid 65534 --regid 65534 --clear-groups bash -c "$SCRIPT"
fi
exec bash -c "$SCRIPT"
"#;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn run(script: &str, as_root: bool, specs: bool) -> String {
    let mut script = script.to_owned();
    if specs {
        script =
            format!("cp -r {} specs\n{script}", if is_root() { "/srv/.specs" } else { "\"$TOP/specs\"" });
    }
    let mut command;
    let home = tempfile::tempdir().unwrap();
    let work = home.path().join("demo");
    let marker = format!("RSD_TEST_README={}", work.display());
    if is_root() {
        command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "bash", "-c", SANDBOX]);
        command.env("WHO", if as_root { "root" } else { "user" });
    } else {
        std::fs::create_dir(&work).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rsd"), home.path().join("rsd")).unwrap();
        command = Command::new("bash");
        let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
        command.args(["-c", &script]).current_dir(&work).env("PATH", path).env("HOME", home.path());
    }
    let output = command
        .env("RSD", env!("CARGO_BIN_EXE_rsd"))
        .env("TOP", top())
        .env("SCRIPT", &script)
        .env("RSD_TEST_README", &work)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("XDG_STATE_HOME")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    if !is_root() {
        end_marked(marker.as_bytes());
    }
    String::from_utf8_lossy(&output.stdout).replace(&work.display().to_string(), "/srv/demo")
}

/// Ends the processes whose environment has the marker: those that a block started.
fn end_marked(marker: &[u8]) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|b| *b == 0).any(|v| v == marker) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// What is the same in every run: times, numbers of processes, names of runs and bars are taken out.
fn same(lines: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let (mut in_time, mut in_sentence) = (false, false);
    for line in lines {
        // So does the sentence below the first line of a timeline.
        if std::mem::replace(&mut in_sentence, false) && !line.is_empty() {
            in_sentence = true;
            continue;
        }
        let head = line.contains("  ready in ") || line.contains("  failed at ");
        in_sentence = head && line.contains("  run ");
        // What is critical depends on how long things took.
        in_time = line.starts_with("time ") || in_time && line.starts_with("      ");
        if !in_time && !line.starts_with("  phase   ") {
            kept.push(words(line));
        }
    }
    while kept.last().is_some_and(String::is_empty) {
        kept.pop();
    }
    kept
}

fn words(line: &str) -> String {
    let bare = |w: &str| w.trim_matches(|c: char| "(),;:`\"·".contains(c)).to_owned();
    let number = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_digit() || c == '.');
    let unit = |w: &str| ["ns", "µs", "ms", "s", "min", "h"].contains(&w);
    let bar = |w: &str| w.chars().all(|c| "▏▎▍▌▋▊▉█▪░┊▶◆●|═".contains(c)) && !w.is_empty();
    let hex = |w: &str| w.len() == 6 && w.chars().all(|c| c.is_ascii_hexdigit());
    let date = |w: &str| w.len() == 10 && w.chars().filter(|c| *c == '-').count() == 2;
    let all: Vec<&str> = line.split_whitespace().collect();
    let mut out: Vec<String> = Vec::new();
    let (mut of_pid, mut unit_next) = (false, false);
    for (n, word) in all.iter().enumerate() {
        let (this, next) = (bare(word), all.get(n + 1).map(|w| bare(w)).unwrap_or_default());
        let before = n.checked_sub(1).map(|n| bare(all[n])).unwrap_or_default();
        of_pid = ["pid", "process", "ppid", "sid"].contains(&before.as_str())
            || of_pid && (*word == "→" || number(&this));
        if std::mem::take(&mut unit_next) {
            continue;
        }
        if bar(word) || word.strip_suffix('%').is_some_and(number) || *word == "widened" {
            continue;
        }
        if number(&this) && unit(&next) {
            out.push("TIME".to_owned());
            unit_next = true;
        } else if of_pid && (number(&this) || *word == "→") {
            out.extend((*word != "→" && out.last().is_none_or(|l| l != "PID")).then(|| "PID".to_owned()));
        } else if hex(&this) || date(&this) {
            out.push(word.replace(&this, "0"));
        } else if this.len() == 9 && this.ends_with('Z') && this.contains(':') {
            continue;
        } else if number(&this) && (next == "capabilities" || before == "capabilities") {
            out.push("N".to_owned());
        } else if let Some((head, tail)) = word.split_once("/0000") {
            // The name of a journal: a time and the run.
            let _ = tail;
            out.push(format!("{head}/JOURNAL"));
        } else {
            out.push((*word).to_owned());
        }
    }
    out.join(" ")
}

fn missing_tool(block: &Block) -> Option<&'static str> {
    let path = std::env::var("PATH").unwrap_or_default();
    let there =
        |tool: &str| path.split(':').chain(["/usr/sbin", "/sbin"]).any(|d| Path::new(d).join(tool).is_file());
    let text = block.text();
    ["redis-server", "redis-cli", "curl"].into_iter().find(|tool| text.contains(*tool) && !there(tool))
}

/// As root: whether the kernel lets a block have its own namespaces. In some containers it does not.
fn sandbox_refused() -> bool {
    let try_it = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "--propagation", "private", "true"];
    is_root() && !Command::new("unshare").args(try_it).status().is_ok_and(|s| s.success())
}

#[test]
fn transcripts_are_true() {
    if sandbox_refused() {
        println!("skipped: the transcripts: no namespaces are permitted here");
        return;
    }
    let mut wrong = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let name = document.strip_prefix(top()).unwrap().display().to_string();
        let all = blocks(&text);
        // From the last to the first, so that an update does not move what is still to come.
        for (n, block) in all.iter().enumerate().rev().filter(|(_, b)| b.language() == "console") {
            let place = format!("{name}:{}", block.first + 1);
            let parts = parts(block);
            let as_root = parts[0].command[0].starts_with("# ");
            if as_root && !is_root() {
                println!("skipped: {place} needs root");
                assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{place}");
                continue;
            }
            if let Some(tool) = missing_tool(block) {
                println!("skipped: {place} needs {tool}");
                assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "{place}: no {tool}");
                continue;
            }
            let files: Vec<_> = all[..n]
                .iter()
                .filter(|b| b.language() == "yaml")
                .filter_map(|b| Some((b.file_name()?.to_owned(), b.text())))
                .filter(|(file, _)| block.text().contains(file.as_str()))
                .collect();
            let seen = run(&script(&parts, &files), as_root, block.text().contains("specs/"));
            let outputs: Vec<Vec<String>> = seen
                .split(&format!("\n{MARK}\n"))
                .skip(1)
                .map(|o| o.trim_end().lines().map(str::to_owned).collect())
                .collect();
            if outputs.len() != parts.len() {
                wrong.push(format!(
                    "{place}: {} commands of {} were run:\n{seen}",
                    outputs.len(),
                    parts.len()
                ));
                continue;
            }
            let mut differs = false;
            for (part, seen) in parts.iter().zip(&outputs) {
                let (expected, got) = (same(&part.output), same(seen));
                if expected != got {
                    differs = true;
                    wrong.push(format!(
                        "{place}: {}\n--- written ---\n{}\n--- seen ---\n{}\n",
                        part.command.join("\n"),
                        expected.join("\n"),
                        got.join("\n")
                    ));
                }
            }
            if updating() && differs {
                let new = parts.iter().zip(&outputs).enumerate().flat_map(|(n, (part, seen))| {
                    let blank = part.output.last().is_some_and(String::is_empty) && n + 1 < parts.len();
                    let blank = blank.then(String::new);
                    part.command.iter().cloned().chain(seen.iter().cloned()).chain(blank).collect::<Vec<_>>()
                });
                lines.splice(block.first..block.first + block.lines.len(), new.collect::<Vec<_>>());
            }
        }
        if updating() {
            std::fs::write(&document, lines.join("\n") + "\n").unwrap();
        }
    }
    assert!(wrong.is_empty() || updating(), "{}", wrong.join("\n"));
}
