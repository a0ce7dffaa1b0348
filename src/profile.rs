//! `--profile FILE`: what the engine's own stages took, as Chrome trace JSON.

use crate::{exit, output};
use engine::text::clean;
use std::fs::File;
use tracing_subscriber::layer::SubscriberExt;

/// Runs a command, and records its stages where the arguments ask for it.
///
/// tracing-chrome writes from a thread, so this is for commands that never fork.
pub fn profiled(argv: &[String], command: impl FnOnce() -> i32) -> i32 {
    let Some(name) = file(argv) else { return command() };
    let made = match File::create(name) {
        Ok(made) => made,
        Err(error) => {
            output::complain(&format!("error: the profile {} cannot be written: {error}\n", clean(name)));
            return exit::FAILED;
        }
    };
    let (layer, guard) = tracing_chrome::ChromeLayerBuilder::new()
        .writer(made)
        .include_args(true)
        .include_locations(false)
        .build();
    let code = tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let _whole = tracing::info_span!(target: "rsd", "rsd").entered();
        command()
    });
    // It ends the thread, when all is written.
    drop(guard);
    code
}

/// Begins a stage that lasts as long as what is returned.
macro_rules! stage {
    ($name:literal) => {
        tracing::info_span!(target: "rsd", $name).entered()
    };
}
pub(crate) use stage;

/// The file that the arguments name; the last counts, as everywhere.
fn file(argv: &[String]) -> Option<&str> {
    let mut args = argv.iter().skip(2).take_while(|a| *a != "--");
    let mut named = None;
    while let Some(arg) = args.next() {
        if let Some(name) = arg.strip_prefix("--profile=") {
            named = Some(name);
        } else if arg == "--profile" {
            named = args.next().map(String::as_str);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::file;

    #[test]
    fn the_file_is_found_where_it_stands() {
        let found = |line: &str| {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            file(&argv).map(str::to_owned)
        };
        assert_eq!(found("rsd check --profile a").as_deref(), Some("a"));
        assert_eq!(found("rsd plan --profile=a --profile b -- --profile c").as_deref(), Some("b"));
        assert_eq!(found("rsd trace x"), None);
        assert_eq!(found("rsd check -- prog --profile=c"), None);
    }
}
