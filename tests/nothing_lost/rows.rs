//! What was counted, kept below `target/nothing-lost` for the page.

use std::fs;
use std::path::PathBuf;

/// One line of the table.
pub struct Row {
    /// which matrix: `fail`, `kill` …
    pub matrix: String,
    /// the spec or the case
    pub what: String,
    /// who and how
    pub way: String,
    /// how many were tried
    pub tried: usize,
    /// how they ended, in words, with how many did
    pub ended: Vec<(String, usize)>,
}

impl Row {
    /// A line as [`keep`] writes it.
    pub fn read(line: &str) -> Option<Row> {
        let mut fields = line.split('\t').map(str::to_owned);
        let (matrix, what, way) = (fields.next()?, fields.next()?, fields.next()?);
        let tried = fields.next()?.parse().ok()?;
        let one = |text: &str| {
            let (n, how) = text.split_once(' ')?;
            Some((how.to_owned(), n.parse().ok()?))
        };
        let ended = fields.next()?.split("; ").map(one).collect::<Option<_>>()?;
        Some(Row { matrix, what, way, tried, ended })
    }
}

pub fn place() -> PathBuf {
    let target = env!("CARGO_TARGET_TMPDIR");
    PathBuf::from(target).parent().expect("above it").join("nothing-lost")
}

/// Keeps the rows of one test, in place of those it wrote before.
pub fn keep(test: &str, rows: &[Row]) {
    let dir = place();
    fs::create_dir_all(&dir).expect("a directory below target");
    let text: String = rows
        .iter()
        .map(|row| {
            let ended: Vec<String> = row.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
            format!("{}\t{}\t{}\t{}\t{}\n", row.matrix, row.what, row.way, row.tried, ended.join("; "))
        })
        .collect();
    fs::write(dir.join(test), text).expect("the rows");
}
