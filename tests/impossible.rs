//! Every line of docs/impossible.md names tests that are there.

use std::fs;
use std::path::Path;

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_line_names_tests_that_are_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(top.join("docs/impossible.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let names = quoted(cell);
        let (file, tests) = names.split_first().unwrap_or_else(|| panic!("no test is named: {row}"));
        let text = fs::read_to_string(top.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(!tests.is_empty(), "no test is named: {row}");
        for test in tests {
            assert!(text.contains(&format!("#[test]\nfn {test}()")), "{file} has no test {test}");
        }
    }
}
