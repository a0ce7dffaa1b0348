//! Where a benchmark was run, and the place of its figures in a page.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Where and when, in a sentence; `compilers` made what was measured, besides rustc.
pub fn machine(compilers: &[&str]) -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        cpu_info
            .lines()
            .find(|l| l.starts_with(name))
            .and_then(|l| l.split_once(':'))
            .map(|(_, v)| v.trim().to_owned())
    };
    let cpu = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let guest = field("flags").is_some_and(|f| f.split(' ').any(|w| w == "hypervisor"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system
        .lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .unwrap_or("?")
        .trim_matches('"')
        .to_owned();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").trim().to_owned();
    let rustc = said_by("rustc", &["--version"]);
    let mut made = vec![rustc.split(" (").next().unwrap_or("?").to_owned()];
    made.extend(compilers.iter().map(|c| said_by(c, &["--version"])));
    format!(
        "Measured on {}: {cpu}, {cores} cores{}, Linux {}, {system}, {}; load average {load}.",
        said_by("date", &["-u", "+%Y-%m-%d"]),
        if guest { " (a virtual machine)" } else { "" },
        said_by("uname", &["-r"]),
        made.join(", "),
    )
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output();
    let text = out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("?").to_owned()
}

/// Puts a report between the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->` of a page.
pub fn put(page: &str, name: &str, report: &str) -> Result<(), String> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).map_err(|e| format!("{page}: {e}"))?;
    let parts = text.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = parts.ok_or(format!("{page} has no {begin} … {end}"))?;
    fs::write(&path, format!("{head}{begin}\n{report}{end}{tail}")).map_err(|e| format!("{page}: {e}"))
}
