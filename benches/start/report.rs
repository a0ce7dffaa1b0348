//! The table, and its place in `docs/performance.md`.

use std::fmt::Write as _;

use crate::job::{Sample, Starter, YARDSTICK};
use crate::{Result, page};

/// Tenth, fiftieth and ninetieth percentile.
#[derive(Clone, Copy)]
struct Spread {
    low: f64,
    mid: f64,
    high: f64,
}

impl Spread {
    fn of(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> Self {
        let mut values: Vec<u64> = samples.iter().map(value).collect();
        values.sort_unstable();
        let at = |q: f64| {
            let place = q * (values.len() - 1) as f64;
            let (below, above) =
                (values[place.floor() as usize] as f64, values[place.ceil() as usize] as f64);
            below + (above - below) * place.fract()
        };
        Self { low: at(0.1), mid: at(0.5), high: at(0.9) }
    }

    fn ms(self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.mid / 1e6, self.low / 1e6, self.high / 1e6)
    }
}

/// One starter's line.
pub struct Row {
    name: &'static str,
    bare: bool,
    first: Spread,
    main: Spread,
    exit: Spread,
    peak_kib: f64,
    beside_kib: f64,
    calls: Option<usize>,
    pid_files: usize,
    starts: usize,
    fifo: bool,
    differs: Vec<String>,
}

impl Row {
    /// From everything that was seen of one starter.
    pub fn new(starter: &Starter, samples: &[Sample], calls: Option<usize>) -> Self {
        let mut differs: Vec<String> = samples.iter().flat_map(|s| s.differs.iter().cloned()).collect();
        differs.sort();
        differs.dedup();
        Self {
            name: starter.name,
            bare: starter.bare,
            first: Spread::of(samples, |s| s.first_ns),
            main: Spread::of(samples, |s| s.main_ns),
            exit: Spread::of(samples, |s| s.exit_ns),
            peak_kib: Spread::of(samples, |s| s.peak_kib).mid,
            beside_kib: Spread::of(samples, |s| s.beside_kib).mid,
            calls,
            pid_files: samples.iter().filter(|s| s.pid_file).count(),
            starts: samples.len(),
            fifo: samples.iter().all(|s| s.fifo),
            differs,
        }
    }
}

/// The whole report as Markdown.
pub fn table(rows: &[Row], rounds: usize) -> String {
    let mut text = String::new();
    let fifo = if rows.iter().all(|r| r.fifo) { "SCHED_FIFO" } else { "ordinary priority" };
    let machine = page::machine(&["gcc"]);
    let _ = writeln!(text, "{machine}\n{rounds} rounds, {fifo}; median (10th–90th percentile).\n");
    text.push_str(
        "| starter | first instruction, ms | × C | `main()`, ms | × C | starter returns, ms | × C | peak RSS, MiB \
         | stays resident beside the program, MiB | system calls | PID file names the daemon on return | differs from the job |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let Some(c) = rows.iter().find(|r| r.name == YARDSTICK) else { return text };
    for row in rows {
        let times = |of: Spread, base: Spread| format!("{} | {:.2}", of.ms(), of.mid / base.mid);
        let none = || "–".to_owned();
        let exit = if row.bare { "– | –".to_owned() } else { times(row.exit, c.exit) };
        let beside = if row.bare { none() } else { format!("{:.1}", row.beside_kib / 1024.0) };
        let pid_file = if row.bare { none() } else { format!("{}/{}", row.pid_files, row.starts) };
        let differs = match (row.bare, row.differs.is_empty()) {
            (true, _) => none(),
            (_, true) => "nothing".to_owned(),
            _ => row.differs.join(", "),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {exit} | {:.1} | {beside} | {} | {pid_file} | {differs} |",
            row.name,
            times(row.first, c.first),
            times(row.main, c.main),
            row.peak_kib / 1024.0,
            row.calls.map_or_else(none, |n| n.to_string()),
        );
    }
    text
}

/// Puts the report between the markers of the page.
pub fn write(report: &str) -> Result<()> {
    page::put("docs/performance.md", "start", report)
}
