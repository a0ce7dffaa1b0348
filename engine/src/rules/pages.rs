//! The pages of `rsd explain`: one for every code that a finding can have.
//!
//! The small spec of a page and the arguments that show it are data, so that a test can run them.

mod files;
mod language;
mod names;
mod namespaces;
mod network;
mod privilege;
mod process;
mod program;
mod settings;

/// Who must start the example of a page for its finding to appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// anybody
    Anyone,
    /// uid 0
    Root,
    /// anybody but uid 0
    User,
}

/// What `rsd explain CODE` prints.
pub struct Page {
    /// `RSD0301`
    pub code: &'static str,
    /// one line
    pub title: &'static str,
    /// what it means, what would happen on the machine, and where that is known from
    pub story: &'static str,
    /// a small spec that shows it, kept as `spec.yaml`; empty: the arguments alone show it
    pub spec: &'static str,
    /// arguments of `rsd check` that show it
    pub args: &'static [&'static str],
    /// who must start it
    pub starter: Starter,
    /// the real failure that it predicts
    pub failure: &'static str,
    /// what to do
    pub fix: &'static str,
}

/// Every code, in order.
pub static PAGES: &[&[Page]] = &[
    language::PAGES,
    names::PAGES,
    privilege::PAGES,
    settings::PRIVILEGE,
    files::PAGES,
    namespaces::PAGES,
    process::PAGES,
    settings::PROCESS,
    program::PAGES,
    network::PAGES,
];

/// All pages, by code.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    PAGES.iter().copied().flatten()
}

/// The page of a code, however it is written: `RSD0301`, `rsd0301`, `0301`, `301`.
pub fn page(code: &str) -> Option<&'static Page> {
    let prefixed = code.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("rsd"));
    let digits = if prefixed { &code[3..] } else { code };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u32 = digits.parse().ok()?;
    let code = format!("RSD{number:04}");
    pages().find(|p| p.code == code)
}

impl Page {
    /// The page as a text of at most 80 columns.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n{}\n", self.code, self.title, self.story.trim());
        if self.spec.is_empty() {
            text.push_str("\nThis shows it:\n\n");
        } else {
            text.push_str("\nThis spec.yaml shows it:\n\n");
            for line in self.spec.trim().lines() {
                text.push_str(&format!("    {line}\n"));
            }
            text.push('\n');
        }
        let prompt = if self.starter == Starter::Root { '#' } else { '$' };
        text.push_str(&format!("    {prompt} rsd check"));
        for arg in self.args {
            text.push_str(&format!(" {arg}"));
        }
        text.push_str(match self.starter {
            Starter::Anyone => "\n",
            Starter::Root => "\n\n(as root)\n",
            Starter::User => "\n\n(as an ordinary user)\n",
        });
        text.push_str(&format!("\nWithout the check: {}\n", self.failure.trim()));
        text.push_str(&format!("\nWhat to do: {}\n", self.fix.trim()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_in_order_and_fit() {
        let codes: Vec<_> = pages().map(|p| p.code).collect();
        assert!(codes.is_sorted(), "{codes:?}");
        for page in pages() {
            let text = page.text();
            let lines = text.lines().count();
            assert!((10..=40).contains(&lines), "{} has {lines} lines", page.code);
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", page.code);
            }
        }
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for written in ["RSD0301", "rsd0301", "0301", "301"] {
            assert_eq!(page(written).map(|p| p.code), Some("RSD0301"), "{written}");
        }
        for written in ["", "RSD", "RSD9999", "x301", "RSD-301", "é301", "99999999999"] {
            assert!(page(written).is_none(), "{written}");
        }
    }
}
