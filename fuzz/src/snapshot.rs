//! Any bytes as the file of `--snapshot`: read, and the built-in specs checked with it.
//!
//! Lines behind the JSON that begin with `#!` are options, as in [`super::spec`].

use super::spec::{BUILTIN, built_in, shown};
use engine::rules;
use engine::snapshot::file::{Host, read, write};
use engine::snapshot::survey;

/// It is refused with a sentence, or it comes back as it was and can be judged by.
pub fn holds(data: &[u8]) {
    let (facts, line) = match data.windows(2).position(|w| w == b"#!") {
        Some(at) => data.split_at(at),
        None => (data, &b""[..]),
    };
    let document = match read(facts, "0.1.0") {
        Ok(document) => document,
        Err(why) => return assert!(!why.is_empty() && why.len() < 4_096, "{why:?}"),
    };
    let text = write(&document.facts, Host::default(), "0.1.0").expect("what was read can be written");
    let back = read(text.as_bytes(), "0.1.0").expect("and read again");
    assert_eq!(back.facts, document.facts, "facts come back as they were");
    let line = std::str::from_utf8(line).unwrap_or_default();
    for (name, _) in BUILTIN {
        let mut facts = document.facts.clone();
        let Some((plan, sources)) = built_in(name, line, &facts) else { continue };
        if survey(&mut facts, &plan, None, true).is_empty() {
            shown(&rules::judge(&plan, &facts).1, &sources);
        }
        assert_eq!(facts, document.facts, "without a machine nothing is learned");
    }
}
