//! Every option of twistd's command line, once: the parser, the help and the completions read this.

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// to the option of the spec with that name
    Spec(&'static str),
    /// to Twisted itself, as a word of its own command line
    Twisted,
    /// answered as soon as it is met
    Answered,
    /// taken, and without effect in twistd too
    Nowhere,
    /// refused when it would be used
    Refused,
    /// rsd's own: never met by a prefix, so that no prefix of twistd's changes its meaning
    Own,
}

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub struct Opt {
    /// its name, without the dashes
    pub long: &'static str,
    /// its letter
    pub short: Option<char>,
    /// what its value is called, where it takes one
    pub value: Option<&'static str>,
    /// where it goes
    pub goes: Goes,
    /// what it means
    pub help: &'static str,
}

const fn opt(long: &'static str, short: char, value: &'static str, goes: Goes, help: &'static str) -> Opt {
    Opt {
        long,
        short: if short == ' ' { None } else { Some(short) },
        value: if value.is_empty() { None } else { Some(value) },
        goes,
        help,
    }
}

use Goes::{Answered, Nowhere, Own, Refused, Spec, Twisted};

/// The options, by name; rsd's own behind them.
pub const TABLE: &[Opt] = &[
    opt("chroot", ' ', "DIR", Spec("chroot"), "make this the root directory before the daemon is started"),
    opt("debug", 'b', "", Twisted, "run under Python's debugger, in the foreground; USR2 enters it"),
    opt("encrypted", 'e', "", Nowhere, "accepted; without effect, as in twistd"),
    opt(
        "euid",
        ' ',
        "",
        Spec("euid"),
        "give up the effective ids only: root can be taken back, which the check says",
    ),
    opt(
        "file",
        'f',
        "FILE",
        Twisted,
        "load a pickled application [default: twistd.tap, where nothing else is named]",
    ),
    opt("gid", 'g', "GROUP", Spec("gid"), "group to run as [default: that of --uid]"),
    opt("help", ' ', "", Answered, "show this"),
    opt("help-reactors", ' ', "", Answered, "list the reactors that Twisted has here"),
    opt(
        "logfile",
        'l',
        "FILE",
        Spec("logfile"),
        "log there; - is standard output [default: twistd.log, with -n standard output]",
    ),
    opt(
        "logger",
        ' ',
        "NAME",
        Twisted,
        "dotted name of what makes the log observer; beats --logfile and --syslog",
    ),
    opt("no_save", 'o', "", Twisted, "do not save the application of --file when it stops"),
    opt("nodaemon", 'n', "", Spec("nodaemon"), "stay in the foreground, and keep the umask"),
    opt("originalname", ' ', "", Twisted, "leave the name of the process alone"),
    opt(
        "pidfile",
        ' ',
        "FILE",
        Spec("pidfile"),
        "where the process id is kept; empty: nowhere [default: twistd.pid]",
    ),
    opt("prefix", ' ', "TEXT", Twisted, "name for --syslog [default: twisted]"),
    opt("profile", 'p', "FILE", Twisted, "run the reactor under a profiler, and write what it saw there"),
    opt("profiler", ' ', "NAME", Twisted, "which profiler: profile or cprofile [default: cprofile]"),
    opt("python", 'y', "FILE", Spec("python"), "load the application from a TAC file (implies -o)"),
    opt("reactor", 'r', "NAME", Twisted, "reactor to use; --help-reactors lists them"),
    opt(
        "rundir",
        'd',
        "DIR",
        Spec("rundir"),
        "change to this directory, once the application is loaded [default: .]",
    ),
    opt("savestats", ' ', "", Twisted, "write the profile as data instead of text"),
    opt("source", 's', "FILE", Refused, "refused: Twisted cannot load .tas files any more"),
    opt("spew", ' ', "", Twisted, "log every line of Python that runs"),
    opt("syslog", ' ', "", Twisted, "log to syslog instead of a file"),
    opt("uid", 'u', "USER", Spec("uid"), "user to run as"),
    opt("umask", ' ', "OCTAL", Spec("umask"), "file creation mask [default: 077, with -n left as it is]"),
    opt("version", ' ', "", Answered, "show the version of Twisted, and of rsd"),
    opt("as-rsd", ' ', "", Own, "print the same start as a command line of `rsd run`, and start nothing"),
    opt("check", ' ', "", Own, "say what would go wrong with this command line, and start nothing"),
    opt("help-commands", ' ', "", Own, "list the commands (plug-ins) that Twisted has here"),
    opt("interpreter", ' ', "PYTHON", Own, "Python to host the application with"),
    opt("journal", ' ', "FILE", Own, "write the journal there"),
    opt("name", ' ', "NAME", Own, "name of this instance"),
    opt("spec", ' ', "S", Own, "start in the order of this spec, such as twistd-safe [default: twistd]"),
    opt("strict", ' ', "", Own, "give up and undo where the process is not what the check said"),
];

/// The option with that letter.
pub fn short(letter: char) -> Option<&'static Opt> {
    TABLE.iter().find(|o| o.short == Some(letter))
}

/// What a long name, whole or begun, can mean: one, none or several.
pub fn long(name: &str) -> Vec<&'static Opt> {
    match TABLE.iter().find(|o| o.long == name) {
        Some(whole) => vec![whole],
        None => TABLE.iter().filter(|o| o.goes != Own && o.long.starts_with(name)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_letters_are_unique_and_in_order() {
        let theirs: Vec<_> = TABLE.iter().filter(|o| o.goes != Own).map(|o| o.long).collect();
        let own: Vec<_> = TABLE.iter().skip(theirs.len()).collect();
        assert!(theirs.is_sorted() && own.iter().all(|o| o.goes == Own), "{theirs:?}");
        let mut all: Vec<_> = TABLE.iter().map(|o| o.long).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), TABLE.len());
        let mut letters: Vec<_> = TABLE.iter().filter_map(|o| o.short).collect();
        letters.sort_unstable();
        assert_eq!(letters.iter().collect::<String>(), "bdefglnoprsuy");
    }

    #[test]
    fn a_prefix_never_means_an_option_of_ours() {
        assert_eq!(long("spe").iter().map(|o| o.long).collect::<Vec<_>>(), ["spew"]);
        assert_eq!(long("help-").iter().map(|o| o.long).collect::<Vec<_>>(), ["help-reactors"]);
        assert_eq!(long("interp"), Vec::<&Opt>::new());
        assert_eq!(long("spec").len(), 1);
    }
}
