//! twistd's command line as rsd has it: what is taken, what is refused, what it is translated to.
//!
//! `RSD_TEST_TWISTED=/path/to/venv` compares it with the parser of the Twisted in that environment.

mod support;
#[path = "twistd_line/theirs.rs"]
mod theirs;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use support::{Ran, Who, World, words};

fn twistd(world: &World, line: &str) -> Ran {
    let args: Vec<String> = ["twistd".to_owned()].into_iter().chain(words(line)).collect();
    world.rsd(&args)
}

#[test]
fn a_line_becomes_one_of_rsd_run() {
    let world = World::empty(Who::Me);
    fs::write(world.dir().join("twistd.tap"), "").unwrap();
    fs::create_dir_all(world.dir().join("jail/var")).unwrap();
    let cases = [
        ("-noy x.tac", "--nodaemon --python=x.tac"),
        ("-yx.tac -l a --logf=b", "--logfile=b --python=x.tac"),
        ("-y x.tac --pidfile=", "--pidfile= --python=x.tac"),
        ("-y x.tac --pidfile p -u 05001 -g ' 7 '", "--pidfile=p --uid=5001 --gid=7 --python=x.tac"),
        ("-y x.tac -u twu --euid", "--uid=twu --euid --python=x.tac"),
        ("-y x.tac --umask 22", "--umask=022 --python=x.tac"),
        ("-y x.tac --umask 0o7", "--umask=007 --python=x.tac"),
        ("-n -y x.tac -l -", "--nodaemon --logfile= --python=x.tac"),
        ("-n -y x.tac -l ''", "--nodaemon --python=x.tac"),
        ("-b -y x.tac", "--nodaemon --logfile=twistd.log --python=x.tac --twistd=--debug"),
        ("-b -l - -y x.tac", "--nodaemon --logfile= --python=x.tac --twistd=--debug"),
        (
            "--syslog -l - -y x.tac --prefix p",
            "--logfile= --python=x.tac --twistd=--syslog --twistd=--prefix=p",
        ),
        ("--prefix p -y x.tac", "--python=x.tac"),
        ("--logger a.b -l f -y x.tac", "--logfile= --python=x.tac --twistd=--logger=a.b"),
        ("-s a -f b -y c", "--python=c"),
        ("-f b -o", "--twistd=--no_save --twistd=--file=b"),
        ("-n", "--nodaemon --twistd=--file=twistd.tap"),
        ("-y '' -n", "--nodaemon --twistd=--file=twistd.tap"),
        ("-y x.tac web --path . -n", "--twistd=web --twistd=--path --twistd=. --twistd=-n"),
        (
            "-r asyncio -n -- web ''",
            "--nodaemon --twistd=--reactor=asyncio --twistd=--nodaemon --twistd=web --twistd=",
        ),
        (
            "-p f --savestats --profiler profile -y x",
            "--python=x --twistd=--profile=f --twistd=--profiler=profile --twistd=--savestats",
        ),
        ("--savestats --profiler PROFILE -y x", "--python=x"),
        ("--spew --originalname -y x", "--python=x --twistd=--originalname --twistd=--spew"),
        ("--chroot jail -d . -y x", "--chroot=jail --python=x"),
        ("--chroot jail -d jail/var -y x", "--chroot=jail --rundir=/var --python=x"),
        ("--chroot jail -d /var -y x", "--chroot=jail --rundir=/var --python=x"),
        ("-d sub -y x", "--rundir=sub --python=x"),
        ("-y 'a b'\"'\"'c'", r"'--python=a b'\''c'"),
        ("--interpreter /p --name n --journal j -y x", "--name=n --journal=j --interpreter=/p --python=x"),
    ];
    for (line, expected) in cases {
        let ran = twistd(&world, &format!("--as-rsd {line}"));
        assert_eq!(ran.stdout, format!("rsd run --spec=twistd {expected}\n"), "{line}\n{}", ran.stderr);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line}");
    }
    let ran = twistd(&world, "--as-rsd --spec twistd-safe -y x");
    assert_eq!(ran.stdout, "rsd run --spec=twistd-safe --python=x\n");
}

#[test]
fn what_is_wrong_is_said_in_two_lines() {
    let world = World::empty(Who::Me);
    fs::create_dir(world.dir().join("jail")).unwrap();
    let cases = [
        ("--no-save", "--no-save is not an option of twistd", "did you mean `--no_save`?"),
        ("--nodeamon", "--nodeamon is not an option of twistd", "did you mean `--nodaemon`?"),
        (
            "--inter=x",
            "--inter is not an option of twistd",
            "did you mean `--interpreter`? It has to be written whole",
        ),
        ("--no -y x", "--no can mean --no_save, --nodaemon", "write more of the name"),
        ("-y", "-y needs a value: -y FILE", "`rsd twistd --help` lists the options"),
        ("-q", "-q is not an option of twistd", "`rsd twistd --help` lists the options"),
        ("--euid=1", "--euid takes no value, and `1` was given", "`rsd twistd --help` lists the options"),
        ("-y x -u -5", "--uid -5: no user has that number", "the numbers go from 0 to 4294967294"),
        (
            "-y x -g 4294967295",
            "--gid 4294967295: no group has that number",
            "the numbers go from 0 to 4294967294",
        ),
        ("-y x -u ''", "--uid is empty", "name a user, or leave it out"),
        (
            "-y x --umask 9",
            "--umask 9 is not a file creation mask",
            "write it in octal, from 000 to 777, such as 022",
        ),
        (
            "-y x --umask ''",
            "--umask  is not a file creation mask",
            "write it in octal, from 000 to 777, such as 022",
        ),
        (
            "-y x --umask 1777",
            "--umask 1777 is not a file creation mask",
            "write it in octal, from 000 to 777, such as 022",
        ),
        (
            "-y x -l -",
            "Daemons cannot log to stdout, exiting!",
            "name a file with --logfile, or stay in the foreground with -n",
        ),
        (
            "-y x -r epoll -r epoll",
            "--reactor was given twice",
            "name one: Twisted installs it when it is met, and has room for one",
        ),
        (
            "-y x --profiler cprofil",
            "--profiler cprofil is not a profiler of Twisted",
            "did you mean `cprofile`?",
        ),
        ("-y x --chroot ''", "--chroot is empty", "name a directory, or leave it out"),
        (
            "-y x --chroot jail -d elsewhere",
            "--rundir elsewhere is outside the new root jail: the daemon would not be confined to it",
            "name the directory as it is called in the new root, from /",
        ),
        (
            "-f '' -n",
            "--file is empty: there is nothing to run",
            "name a TAC file (-y FILE), or a command such as `web`; --help-commands lists them",
        ),
        (
            "--umask 9 --help",
            "--umask 9 is not a file creation mask",
            "write it in octal, from 000 to 777, such as 022",
        ),
        ("-\u{1b}", "-\\u{1b} is not an option of twistd", "`rsd twistd --help` lists the options"),
    ];
    for (line, message, help) in cases {
        let ran = twistd(&world, line);
        assert_eq!(ran.stderr, format!("error: {message}\n  do: {help}\n"), "{line}");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{line}");
    }
    let ran = twistd(&world, "-s x.tas");
    assert!(
        ran.code == 2 && ran.stderr.contains("'Process' object has no attribute 'uid'"),
        "{}",
        ran.stderr
    );
    let ran = twistd(&world, "-n");
    assert!(ran.code == 2 && ran.stderr.contains("has no twistd.tap"), "{}", ran.stderr);
    assert_eq!(world.listing().lines().count(), 1, "something was made: {}", world.listing());
}

#[test]
fn the_help_is_for_both_names() {
    let world = World::empty(Who::Me);
    let help = twistd(&world, "");
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.starts_with("Usage: twistd [options]"), "{}", help.stdout);
    for option in ["-y, --python=", "-n, --nodaemon", "    --help-reactors", "    --interpreter="] {
        assert!(help.stdout.contains(option), "{option} is not in\n{}", help.stdout);
    }
    assert_eq!(
        twistd(&world, "-n --help --umask 9").stdout,
        help.stdout,
        "the first answer is the last word"
    );
    assert_eq!(world.rsd(&words("help twistd")).stdout.trim_end(), help.stdout.trim_end());
}

/// A virtual environment as far as the eye can see, with this program as its twistd.
fn environment(world: &World) -> std::path::PathBuf {
    let top = world.dir().join("env");
    let packages = top.join("lib/python3.11/site-packages");
    fs::create_dir_all(packages.join("Twisted-1.2.3.dist-info")).unwrap();
    fs::create_dir_all(packages.join("twisted_iocpsupport-9.9.dist-info")).unwrap();
    fs::create_dir(top.join("bin")).unwrap();
    fs::write(top.join("pyvenv.cfg"), "home = /usr/bin\ninclude-system-site-packages = false\n").unwrap();
    fs::write(top.join("bin/python"), "#!/bin/sh\necho python was started >&2\nexit 9\n").unwrap();
    fs::set_permissions(top.join("bin/python"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink(env!("CARGO_BIN_EXE_rsd"), top.join("bin/twistd")).unwrap();
    top
}

fn called(program: &Path, path: Option<&Path>, args: &[&str], dir: &Path) -> (i32, String, String) {
    let mut command = match path {
        // As a shell does it: the name that was typed is all that the program is told.
        Some(bin) => {
            let mut shell = Command::new("/bin/sh");
            shell
                .args(["-c", "exec twistd \"$@\"", "sh"])
                .env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
            shell
        }
        None => Command::new(program),
    };
    let ran = command
        .args(args)
        .current_dir(dir)
        .env_remove("VIRTUAL_ENV")
        .env_remove("PYTHONPATH")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code().unwrap_or(-1), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn called_as_twistd_it_takes_the_python_beside_it() {
    let world = World::empty(Who::Me);
    let env = environment(&world);
    let (bin, dir) = (env.join("bin"), world.dir());
    let python = bin.join("python").display().to_string();
    let expected = format!("rsd run --spec=twistd --interpreter={python} --python=x\n");
    let line = ["--as-rsd", "-y", "x"];
    assert_eq!(called(&bin.join("twistd"), None, &line, &dir), (0, expected.clone(), String::new()));
    assert_eq!(called(Path::new("env/bin/twistd"), None, &line, &dir), (0, expected.clone(), String::new()));
    assert_eq!(called(Path::new("twistd"), Some(&bin), &line, &dir), (0, expected, String::new()));
    let named = ["--as-rsd", "-y", "x", "--interpreter=/other"];
    assert!(called(&bin.join("twistd"), None, &named, &dir).1.contains(" --interpreter=/other "));
    let wrong = called(&bin.join("twistd"), None, &["-q"], &dir);
    assert_eq!(wrong.2, "error: -q is not an option of twistd\n  do: `twistd --help` lists the options\n");

    let elsewhere = dir.join("twistd");
    symlink(env!("CARGO_BIN_EXE_rsd"), &elsewhere).unwrap();
    assert_eq!(called(&elsewhere, None, &line, &dir).1, "rsd run --spec=twistd --python=x\n");
}

#[test]
fn the_version_is_told_without_python() {
    let world = World::empty(Who::Me);
    let env = environment(&world);
    let python = env.join("bin/python");
    let expected = format!(
        "twistd (the Twisted daemon) 1.2.3\nrsd {}, with the Twisted of {}\n",
        env!("CARGO_PKG_VERSION"),
        python.display()
    );
    let ran = twistd(&world, &format!("--interpreter={} --version", python.display()));
    assert_eq!((ran.code, ran.stdout, ran.stderr), (0, expected, String::new()));

    fs::remove_dir(env.join("lib/python3.11/site-packages/Twisted-1.2.3.dist-info")).unwrap();
    let ran = twistd(&world, &format!("--interpreter={} --version", python.display()));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("/env/bin/python has no Twisted\n  do: install it"), "{}", ran.stderr);
    let ran = twistd(&world, "--interpreter=/nowhere --version");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(
        ran.stderr.starts_with("error: host Python /nowhere: No such file or directory\n  do: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn findings_point_into_the_line_that_was_typed() {
    let world = World::empty(Who::Me);
    for line in ["--check -ny x.tac -u nosuchuser", "-ny x.tac -u nosuchuser"] {
        let ran = twistd(&world, line);
        assert!(matches!(ran.code, 4 | 6), "{}: {}", ran.code, ran.stderr);
        let column = format!("rsd twistd {line}").find("nosuchuser").unwrap() + 1;
        let place = format!("--> <command line>:1:{column}\n");
        assert!(ran.stderr.contains(&place), "{place} is not in\n{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("rsd twistd {line}\n")), "{}", ran.stderr);
    }
}

/// A spec that starts nothing that would stay, with the options that `-ny FILE` needs.
const SHORT: &str = "\
rsd: 1
name: short
options:
  python:   { type: path, short: y }
  nodaemon: { type: flag, short: n }
phases:
  umask: { kind: umask, with: { mask: '022' } }
";

#[test]
fn a_start_that_goes_well_says_nothing() {
    let world = World::empty(Who::Me);
    fs::write(world.dir().join("short.yaml"), SHORT).unwrap();
    let ran = twistd(&world, "--spec ./short.yaml --journal j -ny x.tac");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    assert!(fs::read_to_string(world.dir().join("j")).unwrap().contains("\"umask\""), "it was no run");

    let ran = twistd(&world, "--spec ./short.yaml -eny x.tac");
    assert!(ran.stderr.starts_with("note: --encrypted has no effect") && ran.stderr.lines().count() == 1);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
}

/// A log in a directory of root's, and a drop: it cannot be rotated.
const WITH_A_DROP: &str = "  load:  { kind: load-application, with: { command: [/bin/true] } }
  log:   { kind: start-logger, with: { path: short.log, rotate-at: '1000000' } }
  go:    { kind: switch-user, with: { uid: '65534', gid: '65534' } }
  start: { kind: start-application, needs: [load] }
  serve: { kind: serve, needs: [start] }
order: [load, log, go, start, serve]
";

#[test]
fn a_warning_is_a_line_and_an_error_is_whole() {
    if !support::root() {
        println!("skipped: only root can drop, and be warned of how");
        return;
    }
    let world = World::empty(Who::Me);
    fs::write(world.dir().join("short.yaml"), format!("{SHORT}{WITH_A_DROP}")).unwrap();
    let checked = twistd(&world, "--check --spec ./short.yaml -ny x.tac");
    let of = |text: &str, sort: &str| text.lines().filter(|l| l.starts_with(sort)).count();
    let (warnings, errors) = (of(&checked.stderr, "warning["), of(&checked.stderr, "error["));
    assert!(warnings > 0 && errors == 0, "{}{}", checked.stdout, checked.stderr);

    let ran = twistd(&world, "--spec ./short.yaml -ny x.tac");
    assert_eq!(of(&ran.stderr, "warning: RSD"), warnings, "{}", ran.stderr);
    let again = "  why, and what to do: rsd check --spec=./short.yaml --nodaemon --python=x.tac";
    assert!(ran.stderr.lines().any(|l| l == again), "{again} is not in\n{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), warnings + 1, "{}", ran.stderr);
    let words = words(again.split_once("rsd ").unwrap().1);
    assert_eq!(world.rsd(&words).stderr, checked.stderr, "the command that is named says the whole");
}

#[test]
fn shells_complete_its_options() {
    let world = World::empty(Who::Me);
    let text = world.rsd(&words("completions bash")).stdout;
    let at = text
        .find("rsd__subcmd__twistd)")
        .or_else(|| text.find("rsd__twistd)"))
        .expect("no twistd in the completions");
    let part: String = text[at..].lines().take(3).collect();
    for option in ["--python", "--help-reactors", "--no_save", "-y ", "--interpreter"] {
        assert!(part.contains(option), "{option} is not in {part}");
    }
}
