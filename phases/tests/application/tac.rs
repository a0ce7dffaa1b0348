//! Twisted applications in this process. `RSD_TEST_TWISTED` names a virtual environment with Twisted.

use super::world::{Daemon, Setup, become_nobody, eventually, root};
use super::{Skipped, Test};
use engine::effect::{Program, Twisted};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    ("tac_lives_and_is_stopped", lives),
    ("tac_troubles_have_place_and_reason", troubles),
    ("tac_trouble_of_a_service_is_in_the_log", service_trouble),
    ("tac_port_in_use_is_named", port_in_use),
    ("tac_second_term_forces_the_stop", forced),
    ("tac_stops_itself", stops_itself),
    ("tac_hup_and_usr1", log_signals),
    ("tac_hup_and_usr1_without_log", no_log),
    ("tac_own_handler_is_respected", own_handler),
    ("tac_threads_run_while_rsd_works", threads),
    ("tac_goes_on_behind_a_fork", forks),
    ("tac_goes_on_behind_the_drop", drops),
    ("tac_brings_user_group_and_logger", brings),
    ("tac_postponed_modules_come_when_used", postponed),
    ("tac_postponed_modules_are_there_before_a_drop", not_postponed),
    ("tac_children_have_no_blocked_signals", children),
    ("tac_words_are_for_twisted", words),
    ("tac_words_that_are_wrong", wrong_words),
    ("tac_library_of_another_build", another_build),
];

const SERVICE: &str = "from twisted.application import service, internet\nfrom twisted.internet import reactor, protocol, defer\nimport os, sys, signal, threading, time\napplication = service.Application('a')\n";

fn program(dir: &Path, tac: Option<&str>, words: &[&str]) -> Result<Program, Skipped> {
    let Ok(environment) = std::env::var("RSD_TEST_TWISTED") else {
        assert!(std::env::var_os("RSD_TEST_NO_SKIP").is_none(), "RSD_TEST_TWISTED is not set");
        return Err(Skipped("RSD_TEST_TWISTED names no virtual environment with Twisted"));
    };
    let tac = tac.map(|text| {
        let path = dir.join("a.tac");
        fs::write(&path, text).expect("tac");
        path
    });
    let words = words.iter().map(|w| w.to_string()).collect();
    Ok(Program { tac, twisted: Twisted { interpreter: Some(environment), words }, ..Program::default() })
}

fn setup(text: &str) -> Result<(Setup, tempfile::TempDir), Skipped> {
    let dir = tempfile::tempdir().expect("dir");
    let program = program(dir.path(), Some(text), &[])?;
    Ok((Setup { program, log: true, ..Default::default() }, dir))
}

fn start(text: &str) -> Result<(Daemon, tempfile::TempDir), Skipped> {
    let (setup, dir) = setup(text)?;
    Ok((setup.start(), dir))
}

fn error(text: &str) -> Result<String, Skipped> {
    let (daemon, _dir) = start(text)?;
    Ok(daemon.end())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

fn lives() -> Result<(), Skipped> {
    let port = free_port();
    let (daemon, _dir) = start(&format!(
        "{SERVICE}class Echo(protocol.Protocol):\n    def dataReceived(self, data): self.transport.write(data)\n\
         factory = protocol.Factory(); factory.protocol = Echo\nprint('\\udcff')\n\
         internet.TCPServer({port}, factory, interface='127.0.0.1').setServiceParent(application)\n\
         reactor.callWhenRunning(print, 'up \\udcff')\n"
    ))?;
    daemon.until_logged("up \\udcff");
    let notes = daemon.line("privileged");
    assert!(notes.contains(&format!("listening on tcp:127.0.0.1:{port}")), "{notes}");
    assert!(daemon.line("started").contains("started 1 service: TCPServer"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.write_all(b"hello").expect("write");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).expect("read");
    assert_eq!(&answer, b"hello");
    drop(stream);
    daemon.signal(Signal::SIGTERM);
    let report = daemon.end();
    assert!(report.contains("served Served { ended: Some(Signal(15)), asked: true }"), "{report}");
    assert!(report.contains("signal SIGTERM: the application is stopped"), "{report}");
    let log = daemon.log();
    let said: Vec<&str> = log.lines().map(|l| l.split_once(' ').expect("time").1).collect();
    assert!(said[0].starts_with("[-] Loading ") && said[0].ends_with("a.tac..."), "{log}");
    assert_eq!(said[1], "[-] Loaded.");
    let start = "[twisted.scripts._twistd_unix.UnixAppLogger#info] ";
    assert!(said[2].starts_with(&format!("{start}twistd ")) && said[2].ends_with(") starting up."), "{log}");
    assert!(said[3].starts_with(&format!("{start}reactor class: twisted.internet.")), "{log}");
    let last = &said[said.len() - 2..];
    assert_eq!(last[0], "[twisted.internet.base#info] Main loop terminated.");
    assert_eq!(last[1], format!("{start}Server Shut Down."));
    Ok(())
}

fn troubles() -> Result<(), Skipped> {
    for (text, wanted) in [
        ("def f():\n    raise RuntimeError('boom')\nf()\n", "a.tac line 2: RuntimeError: boom"),
        ("x = 1\ny = (\n", "a.tac line 2: SyntaxError"),
        ("x = 1\n", "it sets no variable `application`"),
        ("{}['application']\n", "a.tac line 1: KeyError: 'application'"),
        ("application = 'a'\n", "its `application` is of type str"),
        ("import sys\nsys.exit(7)\n", "a.tac line 2: it called sys.exit(7)"),
        ("import os\nos._exit(3)\n", "a.tac line 2: it called os._exit(3)"),
        ("raise KeyboardInterrupt\n", "a.tac line 1: KeyboardInterrupt"),
        ("raise MemoryError\n", "a.tac line 1: MemoryError"),
        ("def f(): f()\nf()\n", "a.tac line 1: RecursionError"),
        ("import no_such.thing\n", "a.tac line 1: ModuleNotFoundError: No module named 'no_such'"),
        ("import os\nos.kill(os.getpid(), 15)\n", "SIGTERM asked to stop before the start was complete"),
        (
            "from twisted.application import service\napplication = service.Application('a', uid='x')\n",
            "its Application(uid='x') is not a number",
        ),
    ] {
        let report = error(text)?;
        assert!(report.starts_with("error") && report.contains(wanted), "{text}: {report}");
    }
    let (setup, dir) = setup("")?;
    fs::write(dir.path().join("a.tac"), b"x = 1\n# caf\xe9\n").expect("write");
    let report = setup.start().end();
    assert!(report.contains("a.tac line 2: it is not in "), "{report}");
    Ok(())
}

fn service_trouble() -> Result<(), Skipped> {
    let (daemon, _dir) = start(&format!(
        "{SERVICE}class S(service.Service):\n    def startService(self): raise ValueError('bad')\nS().setServiceParent(application)\n"
    ))?;
    let report = daemon.end();
    assert!(report.contains("a.tac line 6: ValueError: bad"), "{report}");
    assert!(daemon.log().contains("[rsd#critical] The start failed."), "{}", daemon.log());
    assert!(daemon.log().contains("\tbuiltins.ValueError: bad"), "{}", daemon.log());
    Ok(())
}

fn port_in_use() -> Result<(), Skipped> {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("address").port();
    let report = error(&format!(
        "{SERVICE}internet.TCPServer({port}, protocol.Factory(), interface='127.0.0.1').setServiceParent(application)\n"
    ))?;
    let wanted = "error Some(98) privileged start of ";
    assert!(report.lines().any(|l| l.starts_with(wanted)), "{report}");
    assert!(report.contains(&format!("listen on 127.0.0.1:{port}: Address already in use")), "{report}");
    Ok(())
}

fn forced() -> Result<(), Skipped> {
    let (daemon, _dir) = start(&format!(
        "{SERVICE}class S(service.Service):\n    def stopService(self):\n        print('never')\n        return defer.Deferred()\n\
         S().setServiceParent(application)\nreactor.callWhenRunning(print, 'up')\n"
    ))?;
    daemon.until_logged("] up");
    daemon.signal(Signal::SIGTERM);
    daemon.until_logged("] never");
    sleep(Duration::from_millis(100));
    assert!(kill(daemon.pid, None).is_ok() && !daemon.log().contains("Main loop"), "it waits");
    daemon.signal(Signal::SIGINT);
    let report = daemon.end();
    assert!(report.contains("served Served { ended: Some(Signal(2)), asked: true }"), "{report}");
    assert!(report.contains("signal SIGINT: the stop is forced"), "{report}");
    Ok(())
}

fn stops_itself() -> Result<(), Skipped> {
    let (daemon, dir) = start(&format!(
        "{SERVICE}import atexit\natexit.register(lambda: open(__file__ + '.end', 'w').close())\nreactor.callLater(0, reactor.stop)\n"
    ))?;
    let report = daemon.end();
    assert!(report.contains("served Served { ended: Some(Exit(0)), asked: false }"), "{report}");
    assert!(dir.path().join("a.tac.end").exists(), "what was registered for the exit has run");
    let report = error(&format!("{SERVICE}reactor.run = lambda: 1 / 0\n"))?;
    assert!(report.contains("came down: a.tac line 5: ZeroDivisionError"), "{report}");
    Ok(())
}

fn log_signals() -> Result<(), Skipped> {
    let (daemon, _dir) = start(&format!("{SERVICE}reactor.callWhenRunning(print, 'up')\n"))?;
    daemon.until_logged("] up");
    let moved = daemon.dir.path().join("logs/moved");
    fs::rename(daemon.log_path(), &moved).expect("rename");
    daemon.signal(Signal::SIGHUP);
    daemon.line("signal SIGHUP: log reopened");
    daemon.signal(Signal::SIGUSR1);
    daemon.line("signal SIGUSR1: log rotated");
    daemon.signal(Signal::SIGTERM);
    daemon.end();
    assert!(fs::read_to_string(moved).expect("moved").contains("] up"));
    assert!(daemon.dir.path().join("logs/d.log.1").exists());
    assert!(daemon.log().contains("Main loop terminated."));
    Ok(())
}

fn no_log() -> Result<(), Skipped> {
    let (setup, dir) =
        setup(&format!("{SERVICE}reactor.callWhenRunning(lambda: open(__file__ + '.up', 'w').close())\n"))?;
    let daemon = Setup { log: false, ..setup }.start();
    eventually("up", || dir.path().join("a.tac.up").exists().then_some(()));
    daemon.signal(Signal::SIGHUP);
    daemon.line("signal SIGHUP: no log to reopen");
    daemon.signal(Signal::SIGUSR1);
    daemon.line("signal SIGUSR1: no log to rotate");
    daemon.signal(Signal::SIGINT);
    assert!(daemon.end().contains("ended: Some(Signal(2)), asked: true"));
    Ok(())
}

fn own_handler() -> Result<(), Skipped> {
    let (daemon, _dir) = start(&format!(
        "{SERVICE}signal.signal(signal.SIGHUP, lambda *_: print('mine'))\nreactor.callWhenRunning(print, 'up')\n"
    ))?;
    daemon.until_logged("] up");
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("] mine");
    daemon.signal(Signal::SIGTERM);
    assert!(!daemon.end().contains("SIGHUP"));
    Ok(())
}

const TICKER: &str = "ticks = [0]\ndef tick():\n    while True:\n        ticks[0] += 1\n        time.sleep(0.01)\n\
    thread = threading.Thread(target=tick, name='ticker', daemon=True)\nthread.start()\n\
    class S(service.Service):\n    def startService(self): print('ticks', ticks[0], thread.is_alive(), os.getuid())\n\
    S().setServiceParent(application)\nreactor.callWhenRunning(print, 'up')\n";

fn logged_ticks(daemon: &Daemon) -> (u32, String) {
    daemon.until_logged("] up");
    let log = daemon.log();
    let line = log.lines().find_map(|l| l.split_once("] ticks ")).expect("ticks").1;
    let (count, rest) = line.split_once(' ').expect("count");
    daemon.signal(Signal::SIGTERM);
    daemon.end();
    (count.parse().expect("number"), rest.to_owned())
}

fn threads() -> Result<(), Skipped> {
    let (setup, _dir) = setup(&format!("{SERVICE}{TICKER}"))?;
    let daemon = Setup { before: Some(|_| sleep(Duration::from_secs(1))), ..setup }.start();
    let (ticks, _) = logged_ticks(&daemon);
    assert!(daemon.line("loaded").contains("the application started 1 thread: ticker"));
    assert!(ticks > 5, "{ticks} in a second");
    Ok(())
}

fn forks() -> Result<(), Skipped> {
    let (setup, _dir) = setup(&format!("{SERVICE}{TICKER}"))?;
    let daemon = Setup { fork: true, ..setup }.start();
    let said = daemon.line("privileged");
    assert!(said.contains("gone: 1 thread: ticker"), "{said}");
    daemon.until_logged("] up");
    assert!(daemon.log().contains(" False "), "the thread is not taken for alive: {}", daemon.log());
    let child: i32 = daemon.line("forked")["forked ".len()..].parse().expect("pid");
    kill(nix::unistd::Pid::from_raw(child), Signal::SIGTERM).expect("kill");
    assert!(daemon.end().contains("ended: Some(Signal(15)), asked: true"));
    Ok(())
}

fn drops() -> Result<(), Skipped> {
    if !root() {
        return Err(Skipped("only root can drop"));
    }
    let (setup, _dir) = setup(&format!("{SERVICE}{TICKER}"))?;
    let before = |dir: &Path| {
        become_nobody(dir);
        sleep(Duration::from_secs(1));
    };
    let daemon = Setup { before: Some(before), ..setup }.start();
    let (ticks, rest) = logged_ticks(&daemon);
    assert!(ticks > 5, "{ticks} in a second");
    assert_eq!(rest, "True 65534");
    Ok(())
}

fn brings() -> Result<(), Skipped> {
    let text = "from twisted.application import service\nfrom twisted.python.log import ILogObserver\nlines = []\n\
        application = service.Application('a', uid=65534, gid=7)\napplication.setComponent(ILogObserver, lines.append)\n\
        from twisted.internet import reactor\nreactor.callLater(0, reactor.stop)\n\
        reactor.addSystemEventTrigger('after', 'shutdown', lambda: open(__file__ + '.n', 'w').write(str(len(lines))))\n";
    let (daemon, dir) = start(text)?;
    daemon.end();
    let loaded = daemon.line("loaded");
    let wanted = ["uid: 65534", "gid: Some(7)", "logger: Some(\"its own observer "];
    assert!(wanted.iter().all(|w| loaded.contains(w)), "{loaded}");
    assert_eq!(daemon.log(), "", "the application's own logger has it all");
    let lines = fs::read_to_string(dir.path().join("a.tac.n")).expect("lines");
    assert!(lines.parse::<u32>().expect("number") >= 4, "{lines}");
    Ok(())
}

const COOKIES: &str = "from http import cookiejar as c\ndef kind(): return type(c).__name__\n\
    def out(*words): print('seen', *words)\n\
    def used():\n    out(kind(), c is sys.modules['http.cookiejar'], c.__name__, c.__file__[-12:], kind())\n    \
    with_all, found = threading.Barrier(8), []\n    \
    def one(): with_all.wait(); found.append(c.CookieJar)\n    \
    threads = [threading.Thread(target=one) for _ in range(8)]\n    \
    for t in threads: t.start()\n    \
    for t in threads: t.join()\n    \
    out(len(found), len(set(found)), kind(), 'exec_module' in vars(c.__loader__), c.CookieJar.__module__)\n    \
    out([f for f in sys.meta_path if 'rsd' in str(getattr(f, '__module__', ''))], 'up')\n";

/// What Twisted imports and hardly an application uses runs when it is used: once, in any thread.
fn postponed() -> Result<(), Skipped> {
    let (daemon, _dir) = start(&format!("{SERVICE}{COOKIES}reactor.callWhenRunning(used)\n"))?;
    daemon.until_logged("seen [] up");
    daemon.signal(Signal::SIGTERM);
    daemon.end();
    let log = daemon.log();
    let seen: Vec<&str> = log.lines().filter_map(|l| l.split_once("seen ")).map(|(_, s)| s).collect();
    assert_eq!(seen[0], "Later True http.cookiejar cookiejar.py Later", "{log}");
    assert_eq!(seen[1], "8 1 module False http.cookiejar", "{log}");
    assert_eq!(seen[2], "[] up", "{log}");
    Ok(())
}

/// Where it could be out of reach later, it runs at once.
fn not_postponed() -> Result<(), Skipped> {
    let text = format!("{SERVICE}{COOKIES}reactor.callWhenRunning(lambda: out(kind(), 'now'))\n");
    let (daemon, _dir) = start(&text.replace("Application('a')", "Application('a', gid=0)"))?;
    daemon.until_logged(" now");
    daemon.signal(Signal::SIGTERM);
    daemon.end();
    assert!(daemon.log().contains("seen module now"), "{}", daemon.log());
    Ok(())
}

fn children() -> Result<(), Skipped> {
    let (daemon, _dir) = start(&format!(
        "{SERVICE}import subprocess\n\
         def look(): print('child', subprocess.run(['sh', '-c', 'exec grep ^SigBlk: /proc/self/status'], capture_output=True).stdout)\n\
         look()\nreactor.callWhenRunning(look)\nreactor.callWhenRunning(print, 'up')\n"
    ))?;
    daemon.until_logged("] up");
    daemon.signal(Signal::SIGTERM);
    daemon.end();
    let (log, none) = (daemon.log(), "SigBlk:\\t0000000000000000");
    assert!(log.contains(none), "{log}");
    Ok(())
}

fn words() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().expect("dir");
    let program = program(
        dir.path(),
        Some(&format!("{SERVICE}reactor.callLater(0, reactor.stop)\n")),
        &["--reactor=select"],
    )?;
    let daemon = Setup { program, log: true, ..Default::default() }.start();
    daemon.end();
    assert!(
        daemon.log().contains("reactor class: twisted.internet.selectreactor.SelectReactor."),
        "{}",
        daemon.log()
    );
    let port = free_port();
    let address = format!("tcp:{port}:interface=127.0.0.1");
    let program = self::program(
        dir.path(),
        None,
        &["portforward", "--port", &address, "--host", "127.0.0.1", "--dest_port", "9"],
    )?;
    let daemon = Setup { program, log: true, ..Default::default() }.start();
    let notes = format!("{}{}", daemon.line("privileged"), daemon.line("started"));
    assert!(notes.contains(&format!("listening on tcp:127.0.0.1:{port}")), "{notes}");
    daemon.until_logged("starting on");
    sleep(Duration::from_millis(200));
    daemon.signal(Signal::SIGTERM);
    assert!(matches!(super::world::finished(daemon.pid), WaitStatus::Exited(_, 0)));
    Ok(())
}

fn wrong_words() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().expect("dir");
    for (words, message, help) in [
        (&["portforwad"][..], "Unknown command: portforwad", "did you mean `portforward`?"),
        (&["--reactor=nonsense"], "The specified reactor does not exist: 'nonsense'.", "reactors: "),
        (&["--logger=no.such.thing"], "Logger 'no.such.thing' could not be imported", "twistd --help"),
        (&["--nodaemon"], "no application", "twistd --help"),
    ] {
        let program = program(dir.path(), None, words)?;
        let report = Setup { program, log: true, ..Default::default() }.start().end();
        assert!(report.contains(message) && report.contains(help), "{words:?}: {report}");
    }
    Ok(())
}

fn another_build() -> Result<(), Skipped> {
    let dir = tempfile::tempdir().expect("dir");
    let environment = program(dir.path(), None, &[])?.twisted.interpreter;
    let mut interpreter =
        phases::python::find(environment.as_deref()).map_err(|_| Skipped("no interpreter"))?;
    interpreter.shared = false;
    interpreter.file = "/bin/sh".into();
    let error = phases::python::Python::start(&interpreter, &[]).expect_err("another build");
    assert!(error.message.ends_with("is of another build"), "{error:?}");
    Ok(())
}
