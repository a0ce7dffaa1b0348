//! twistd's habits of reading its command line: those of getopt.

use super::table::{self, Goes, Opt};
use engine::text::{clean, did_you_mean};

/// Why a command line is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// what is wrong
    pub message: String,
    /// what to do, where more can be said than "read the help"
    pub help: Option<String>,
}

impl Refusal {
    /// With nothing but its message.
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), help: None }
    }

    /// With what to do.
    pub fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }
}

/// A command line, taken apart.
#[derive(Debug, Default)]
pub struct Parsed {
    /// the options as they were met, a flag with an empty value
    pub given: Vec<(&'static Opt, String)>,
    /// from the first word that is no option: a plug-in and what belongs to it
    pub rest: Vec<String>,
}

impl Parsed {
    /// Whether the option was given.
    pub fn has(&self, long: &str) -> bool {
        self.given.iter().any(|(o, _)| o.long == long)
    }

    /// Its value: the last one wins.
    pub fn last(&self, long: &str) -> Option<&str> {
        self.given.iter().rev().find(|(o, _)| o.long == long).map(|(_, v)| v.as_str())
    }

    /// Its value, where that is not empty.
    pub fn filled(&self, long: &str) -> Option<&str> {
        self.last(long).filter(|v| !v.is_empty())
    }
}

/// Takes a command line apart; `args` is without the program.
pub fn parse(args: &[String]) -> Result<Parsed, Refusal> {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    loop {
        let before = args.clone();
        let Some(arg) = args.next() else { break };
        if let Some(name) = arg.strip_prefix("--") {
            if name.is_empty() {
                parsed.rest = args.cloned().collect();
                break;
            }
            parsed.given.push(long(name, &mut args)?);
        } else if let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) {
            cluster(letters, &mut args, &mut parsed.given)?;
        } else {
            parsed.rest = before.cloned().collect();
            break;
        }
    }
    Ok(parsed)
}

type Words<'a> = std::slice::Iter<'a, String>;

fn long(written: &str, args: &mut Words) -> Result<(&'static Opt, String), Refusal> {
    let (name, attached) = match written.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (written, None),
    };
    let option = match table::long(name).as_slice() {
        [one] => *one,
        [] => return Err(unknown(name)),
        many => {
            let names: Vec<_> = many.iter().map(|o| format!("--{}", o.long)).collect();
            return Err(Refusal::new(format!("--{} can mean {}", clean(name), names.join(", ")))
                .help("write more of the name"));
        }
    };
    let value = match (option.value, attached) {
        (Some(what), None) => next(args, &format!("--{}", option.long), what)?,
        (Some(_), Some(value)) => value.to_owned(),
        (None, None) => String::new(),
        (None, Some(value)) => {
            return Err(Refusal::new(format!(
                "--{} takes no value, and `{}` was given",
                option.long,
                clean(value)
            )));
        }
    };
    Ok((option, value))
}

fn cluster(letters: &str, args: &mut Words, given: &mut Vec<(&'static Opt, String)>) -> Result<(), Refusal> {
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        let option = table::short(letter).ok_or_else(|| {
            let refusal = Refusal::new(format!("-{} is not an option of twistd", clean(&letter.to_string())));
            match letter {
                'h' => refusal.help("--help lists the options"),
                'c' => refusal.help("a TAC file is named with -y"),
                _ => refusal,
            }
        })?;
        let Some(what) = option.value else {
            given.push((option, String::new()));
            continue;
        };
        let value = match letters.as_str() {
            "" => next(args, &format!("-{letter}"), what)?,
            attached => attached.to_owned(),
        };
        given.push((option, value));
        break;
    }
    Ok(())
}

fn next(args: &mut Words, option: &str, what: &str) -> Result<String, Refusal> {
    args.next().cloned().ok_or_else(|| Refusal::new(format!("{option} needs a value: {option} {what}")))
}

fn unknown(name: &str) -> Refusal {
    let refusal = Refusal::new(format!("--{} is not an option of twistd", clean(name)));
    match did_you_mean(name, table::TABLE.iter().map(|o| o.long)) {
        Some(meant) if table::TABLE.iter().any(|o| o.long == meant && o.goes == Goes::Own) => {
            refusal.help(format!("did you mean `--{meant}`? It has to be written whole"))
        }
        Some(meant) => refusal.help(format!("did you mean `--{meant}`?")),
        None => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parse(&args) {
            Err(refusal) => format!("! {}", refusal.message),
            Ok(parsed) => {
                let given: Vec<_> = parsed
                    .given
                    .iter()
                    .map(
                        |(o, v)| {
                            if o.value.is_some() { format!("{}={v}", o.long) } else { o.long.to_owned() }
                        },
                    )
                    .collect();
                format!("{} | {}", given.join(" "), parsed.rest.join(" "))
            }
        }
    }

    #[test]
    fn habits_of_getopt() {
        let cases = [
            ("-noy x.tac", "nodaemon no_save python=x.tac | "),
            ("-yx.tac", "python=x.tac | "),
            ("-yn", "python=n | "),
            ("-y -n", "python=-n | "),
            ("-y=x", "python==x | "),
            ("--logf=", "logfile= | "),
            ("--logf --nodaemo", "logfile=--nodaemo | "),
            ("--nodaemo -l a=b", "nodaemon logfile=a=b | "),
            ("-n web --path .", "nodaemon | web --path ."),
            ("-n - -y", "nodaemon | - -y"),
            ("-n -- -y", "nodaemon | -y"),
            ("--file -- -n", "file=-- nodaemon | "),
            ("--help", "help | "),
            ("--no_save", "no_save | "),
            ("--no-save", "! --no-save is not an option of twistd"),
            ("--no", "! --no can mean --no_save, --nodaemon"),
            ("--hel", "! --hel can mean --help, --help-reactors"),
            ("--profile x", "profile=x | "),
            ("--profil x", "! --profil can mean --profile, --profiler"),
            ("--nodaemon=1", "! --nodaemon takes no value, and `1` was given"),
            ("--nodaemon=", "! --nodaemon takes no value, and `` was given"),
            ("-nx", "! -x is not an option of twistd"),
            ("-ny", "! -y needs a value: -y FILE"),
            ("--uid", "! --uid needs a value: --uid USER"),
            ("--nam=x", "! --nam is not an option of twistd"),
        ];
        for (line, expected) in cases {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn a_name_without_letters_can_mean_all() {
        assert!(shown("--=x").starts_with("! -- can mean --chroot, "));
    }
}
