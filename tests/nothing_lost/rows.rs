//! What was counted, kept below `target/nothing-lost` for the page.

use std::fs;
use std::io::Write;
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
    /// and how many there are
    pub of: usize,
    /// how they ended, in words, with how many did
    pub ended: Vec<(String, usize)>,
}

impl Row {
    /// A line as [`keep`] writes it.
    pub fn read(line: &str) -> Option<Row> {
        let mut fields = line.split('\t').map(str::to_owned);
        let (matrix, what, way) = (fields.next()?, fields.next()?, fields.next()?);
        let tried = fields.next()?;
        let (tried, of) = tried.split_once('/').unwrap_or((&tried, &tried));
        let (tried, of) = (tried.parse().ok()?, of.parse().ok()?);
        let one = |text: &str| {
            let (n, how) = text.split_once(' ')?;
            Some((how.to_owned(), n.parse().ok()?))
        };
        let ended = fields.next()?.split("; ").map(one).collect::<Option<_>>()?;
        Some(Row { matrix, what, way, tried, of, ended })
    }
}

/// Where the rows are: `RSD_NOTHING_LOST_ROWS`, or below `target`.
pub fn place() -> PathBuf {
    let target =
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().expect("above it").join("nothing-lost");
    std::env::var_os("RSD_NOTHING_LOST_ROWS").map_or_else(target, PathBuf::from)
}

/// Keeps the rows of one test, in place of those it wrote before.
pub fn keep(test: &str, rows: &[Row]) {
    let dir = place();
    fs::create_dir_all(&dir).expect("a directory below target");
    let text: String = rows
        .iter()
        .map(|row| {
            let ended: Vec<String> = row.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
            format!(
                "{}\t{}\t{}\t{}/{}\t{}\n",
                row.matrix,
                row.what,
                row.way,
                row.tried,
                row.of,
                ended.join("; ")
            )
        })
        .collect();
    fs::write(dir.join(test), text).expect("the rows");
}

/// Appends a line to `target/nothing-lost.log`: how far a long run is, and what it found so far.
pub fn note(line: &str) {
    println!("{line}");
    let file = fs::OpenOptions::new().create(true).append(true).open(place().with_extension("log"));
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}
