//! `--snapshot FILE`: the facts of a machine, used where the file is there, otherwise taken and written.

use crate::output;
use clap::ArgMatches;
use engine::diagnostic::Diagnostic;
use engine::snapshot::{Snapshot, Unknown};
use engine::text::clean;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How many of the missing facts a person reads.
const MOST: usize = 8;

/// Where the facts come from.
pub enum Facts {
    /// this machine
    Here,
    /// this machine, and they are written to a file
    Written(PathBuf),
    /// a file: nothing of this machine is looked at
    Elsewhere(Box<Snapshot>),
}

impl Facts {
    /// `command` is that of the command line. Reads the file that it names, if it names one and there is one.
    pub fn of(matches: &ArgMatches, command: &str) -> Result<Facts, Box<Diagnostic>> {
        let Ok(Some(file)) = matches.try_get_one::<String>("snapshot") else { return Ok(Facts::Here) };
        if matches!(command, "run" | "restart") {
            let finding = Diagnostic::error("RSD0115", format!("`{command}` takes no facts from a file"))
                .in_file("<command line>")
                .note("it changes the machine it is started on, and facts of another machine, or of another time, prove nothing about that")
                .help("leave --snapshot away; `rsd check --snapshot FILE` judges by such facts");
            return Err(Box::new(finding));
        }
        let shown = clean(file);
        match phases::snapshot::file::load(Path::new(file), VERSION) {
            Ok(None) => Ok(Facts::Written(PathBuf::from(file))),
            Ok(Some(document)) => {
                let host = &document.host;
                output::complain(&format!(
                    "snapshot: {shown} is used, taken {} on {} by rsd {}: nothing of this machine is looked at\n",
                    clean(&host.taken),
                    clean(&host.kernel),
                    clean(&document.rsd)
                ));
                Ok(Facts::Elsewhere(Box::new(document.facts)))
            }
            Err(why) => {
                let finding = Diagnostic::error("RSD0115", format!("the snapshot {shown} cannot be used: {why}"))
                    .in_file(file.as_str())
                    .help("take it again on the machine it is of; where there is no file of that name, this command writes one");
                Err(Box::new(finding))
            }
        }
    }
}

/// Writes what was taken, and says so.
pub fn save(file: &Path, snapshot: &Snapshot) -> Option<Diagnostic> {
    let shown = file.display().to_string();
    match phases::snapshot::file::save(file, snapshot, VERSION) {
        Ok(()) => {
            output::complain(&format!(
                "snapshot: this machine is written to {} (mode 0600: it names users, paths and owners)\n",
                clean(&shown)
            ));
            None
        }
        Err(why) => {
            let message = format!("the snapshot {shown} cannot be written: {why}");
            let finding = Diagnostic::error("RSD0115", message).in_file(shown);
            Some(finding.help("name a file that does not exist yet, in a directory that you may write"))
        }
    }
}

/// What is asked and the snapshot does not know.
pub fn lacking(unknown: &BTreeSet<Unknown>) -> Option<Diagnostic> {
    let first = unknown.first()?;
    let message = match unknown.len() {
        1 => format!("the snapshot knows nothing of {first}"),
        n => format!("the snapshot knows nothing of {first}, and of {} more that this asks for", n - 1),
    };
    let mut finding = Diagnostic::error("RSD0115", message).in_file("<command line>");
    let more: Vec<String> = unknown.iter().skip(1).take(MOST).map(ToString::to_string).collect();
    if !more.is_empty() {
        let rest = if unknown.len() > MOST + 1 { ", …" } else { "" };
        finding = finding.note(format!("also of {}{rest}", more.join(", ")));
    }
    Some(finding.help("take it again on that machine, with this spec and these options"))
}
