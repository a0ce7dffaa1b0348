//! `${option}`.

use super::Settings;
use crate::diagnostic::{At, Diagnostic};
use crate::spec::{Given, Spec};

/// A text in its parts.
enum Piece<'a> {
    Text(&'a str),
    Option(&'a str),
}

/// The parts of `text`. `$$` is a `$`.
fn pieces(text: &At<String>) -> Result<Vec<Piece<'_>>, Diagnostic> {
    let mut pieces = Vec::new();
    let mut rest = text.v.as_str();
    while let Some(n) = rest.find('$') {
        if n > 0 {
            pieces.push(Piece::Text(&rest[..n]));
        }
        let after = &rest[n + 1..];
        if let Some(behind) = after.strip_prefix('$') {
            pieces.push(Piece::Text(&rest[n..=n]));
            rest = behind;
        } else if let Some((name, behind)) = after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            pieces.push(Piece::Option(name));
            rest = behind;
        } else {
            let label =
                if after.starts_with('{') { "`${` without its `}`" } else { "a `$` that stands alone" };
            return Err(Diagnostic::error("RSD0113", format!("{label} in `{}`", text.v))
                .at(text.at, label)
                .help("write `${option}` for an option's value and `$$` for a `$`"));
        }
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

fn unknown<'a>(text: &At<String>, name: &str, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    let mut finding = Diagnostic::error("RSD0111", format!("`${{{name}}}` names no option"))
        .at(text.at, format!("no option is called `{name}`"))
        .suggest(text.at, name, known.chain(["name"]));
    if let Some((_, meant)) = &mut finding.edit {
        *meant = text.v.replace(&format!("${{{name}}}"), &format!("${{{meant}}}"));
    }
    if finding.edit.is_none() {
        finding = finding.help(format!("declare `{name}` under `options:`; `$$` stands for a `$`"));
    }
    // The text may have been quoted in another way; an edit must not change how it is read.
    if finding.edit.as_ref().is_some_and(|(at, _)| at.len as usize != text.v.len()) {
        finding.edit = None;
    }
    finding
}

/// Names of options that `given` refers to, `name` among them; texts that cannot be read have none.
pub(crate) fn references(given: &Given) -> Vec<&str> {
    let texts = match given {
        Given::One(text) => std::slice::from_ref(text),
        Given::List(texts) => texts,
    };
    let of = |text| pieces(text).unwrap_or_default();
    let name = |piece| if let Piece::Option(name) = piece { Some(name) } else { None };
    texts.iter().flat_map(of).filter_map(name).collect()
}

/// `given` with every `${option}` replaced by its value. `None`: it is wholly an option that has
/// none. What came from the command line keeps its place there.
pub fn substitute(given: &Given, settings: &Settings) -> Result<Option<Given>, Vec<Diagnostic>> {
    match given {
        Given::One(text) => one(text, settings).map_err(|d| vec![d]),
        Given::List(texts) => {
            let (mut list, mut findings) = (Vec::with_capacity(texts.len()), Vec::new());
            for text in texts {
                match one(text, settings) {
                    Ok(Some(Given::One(text))) => list.push(text),
                    Ok(Some(Given::List(texts))) => list.extend(texts),
                    Ok(None) => {}
                    Err(finding) => findings.push(finding),
                }
            }
            match list.is_empty() && !texts.is_empty() {
                _ if !findings.is_empty() => Err(findings),
                true => Ok(None),
                false => Ok(Some(Given::List(list))),
            }
        }
    }
}

fn one(text: &At<String>, settings: &Settings) -> Result<Option<Given>, Diagnostic> {
    let pieces = pieces(text)?;
    if let [Piece::Option(name)] = pieces[..] {
        return whole(text, name, settings);
    }
    let mut result = At::new(String::with_capacity(text.v.len()), text.at);
    for piece in pieces {
        match piece {
            Piece::Text(piece) => result.v.push_str(piece),
            Piece::Option(name) => match whole(text, name, settings)? {
                Some(Given::One(value)) => {
                    result.v.push_str(&value.v);
                    result.at = value.at;
                }
                Some(Given::List(_)) => {
                    return Err(Diagnostic::error(
                        "RSD0113",
                        format!("`{}` has a list inside a text", text.v),
                    )
                    .at(text.at, format!("`{name}` may have several values"))
                    .help(format!("let the value be `${{{name}}}` and nothing else")));
                }
                None => {
                    return Err(Diagnostic::error(
                        "RSD0113",
                        format!("`{}` has an option without a value", text.v),
                    )
                    .at(text.at, format!("`{name}` is not set"))
                    .help(format!(
                        "give `--{name}`, give it a default, or add `when: {name}` to the phase"
                    )));
                }
            },
        }
    }
    Ok(Some(Given::One(result)))
}

fn whole(text: &At<String>, name: &str, settings: &Settings) -> Result<Option<Given>, Diagnostic> {
    if name == "name" {
        return Ok(Some(Given::One(At::new(settings.name().to_owned(), text.at))));
    }
    let Some(value) = settings.value(name) else {
        return Err(unknown(text, name, settings.names()));
    };
    let place = |value: &At<String>| {
        if settings.was_given(name) { value.clone() } else { At::new(value.v.clone(), text.at) }
    };
    Ok(value.map(|given| match given {
        Given::One(value) => Given::One(place(value)),
        Given::List(values) => Given::List(values.iter().map(place).collect()),
    }))
}

/// Every `${…}` in the spec that names no option, or that cannot be read.
pub fn check_references(spec: &Spec) -> Vec<Diagnostic> {
    let known: std::collections::HashSet<&str> =
        spec.options.iter().map(|o| o.name.v.as_str()).chain(["name"]).collect();
    let of_defaults = spec.options.iter().flat_map(|o| &o.defaults).map(|d| &d.value);
    let of_phases = spec.phases.iter().flat_map(|p| &p.with).map(|(_, given)| given);
    let mut findings = Vec::new();
    for given in of_defaults.chain(of_phases) {
        let texts = match given {
            Given::One(text) => std::slice::from_ref(text),
            Given::List(texts) => texts,
        };
        for text in texts.iter().filter(|t| t.v.contains('$')) {
            let compared = if findings.len() < 20 { usize::MAX } else { 0 };
            match pieces(text) {
                Ok(pieces) => findings.extend(pieces.iter().filter_map(|piece| match piece {
                    Piece::Option(name) if !known.contains(name) => {
                        let known = spec.options.iter().map(|o| o.name.v.as_str());
                        Some(unknown(text, name, known.take(compared)))
                    }
                    _ => None,
                })),
                Err(finding) => findings.push(finding),
            }
        }
    }
    findings
}
