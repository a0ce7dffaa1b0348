//! Reading a spec with everything it extends.

use super::convert::{Part, part};
use super::{Fetch, Loaded, Spec, finish, merge, tree};
use crate::diagnostic::{At, Diagnostic, Sources};

/// Longest text of a spec, in bytes.
const LONGEST: usize = 32 << 20;
/// How many findings are worth reading.
const MOST: usize = 50;
/// How many specs may stand on each other.
const LEVELS: usize = 32;

/// Reads the spec called `name` and everything it extends, and merges them. The spec comes back
/// only if all of it is YAML and speaks the language; what is then still wrong is in the findings.
pub fn load(name: &str, fetch: &mut Fetch) -> (Loaded, Vec<Diagnostic>) {
    let mut loaded = Loaded::default();
    let mut findings = Vec::new();
    loaded.spec = read(name, fetch, &mut loaded.sources, &mut findings);
    let more = findings.len().saturating_sub(MOST);
    if more > 0 {
        findings.truncate(MOST);
        let are = if more == 1 { "is" } else { "are" };
        let more = format!("{} {are} not shown", crate::text::count(more, "more finding"));
        let last = findings.pop().map(|last| last.note(more));
        findings.extend(last);
    }
    (loaded, findings)
}

fn read(
    name: &str,
    fetch: &mut Fetch,
    sources: &mut Sources,
    findings: &mut Vec<Diagnostic>,
) -> Option<Spec> {
    let chain = chain(name, fetch, sources, findings)?;
    if findings.iter().any(Diagnostic::is_error) {
        return None;
    }
    let merged = merge::merge(chain, findings);
    if findings.iter().any(Diagnostic::is_error) {
        return None;
    }
    Some(finish::finish(merged, findings))
}

/// The parts, the base first.
fn chain(
    name: &str,
    fetch: &mut Fetch,
    sources: &mut Sources,
    findings: &mut Vec<Diagnostic>,
) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut wanted = At::new(name.to_owned(), Default::default());
    loop {
        let text = match fetch(&wanted.v, names.last().map(String::as_str)) {
            Ok((found, text)) => {
                if let Some(first) = names.iter().position(|n| *n == found) {
                    findings.push(circle(&names[first..], &parts[first..]));
                    return None;
                }
                names.push(found);
                text
            }
            Err(why) => {
                findings.push(unreadable(&wanted, &why, names.is_empty()));
                return None;
            }
        };
        let known = names.last().map_or(name, String::as_str);
        if text.len() > LONGEST {
            findings.push(
                Diagnostic::error("RSD0101", format!("a spec of {} bytes is too large", text.len()))
                    .in_file(known)
                    .help("a spec has at most 32 MiB"),
            );
            return None;
        }
        let source = sources.add(known, text);
        let part = match tree::parse(source, &sources.get(source).text) {
            Ok(root) => {
                let (part, wrong) = part(root);
                findings.extend(wrong);
                part
            }
            Err(wrong) => {
                findings.extend(wrong);
                return None;
            }
        };
        let extends = part.extends.clone();
        parts.push(part);
        match extends {
            Some(next) if parts.len() < LEVELS => wanted = next,
            Some(next) => {
                findings.push(
                    Diagnostic::error("RSD0108", format!("more than {LEVELS} specs extend one another"))
                        .at(next.at, "this one is too many"),
                );
                return None;
            }
            None => break,
        }
    }
    parts.reverse();
    Some(parts)
}

fn unreadable(wanted: &At<String>, why: &str, first: bool) -> Diagnostic {
    if first {
        return Diagnostic::error("RSD0101", format!("cannot read the spec `{}`: {why}", wanted.v))
            .in_file(&wanted.v)
            .help("name a file, or a spec that is built in (`rsd specs` lists them)");
    }
    Diagnostic::error("RSD0108", format!("cannot read `{}`: {why}", wanted.v))
        .at(wanted.at, "it is extended here")
        .help("write a path as seen from this file, or the name of a built-in spec (`rsd specs`)")
}

fn circle(names: &[String], parts: &[Part]) -> Diagnostic {
    let mut path: Vec<&str> = names.iter().map(String::as_str).collect();
    path.extend(path.first().copied());
    let mut finding = Diagnostic::error("RSD0108", format!("a spec extends itself: {}", path.join(" -> ")));
    let said = parts.iter().filter_map(|p| p.extends.as_ref());
    let last = parts.len().saturating_sub(1);
    for (n, (extends, target)) in said.zip(path.iter().skip(1)).enumerate() {
        let text = format!("extends `{target}`");
        finding = if n == last { finding.at(extends.at, text) } else { finding.with(extends.at, text) };
    }
    finding.help("take one of these `extends` out")
}
