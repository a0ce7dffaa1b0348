//! A Twisted application, hosted in this very process: the process tree, the PID and the privileges
//! are twistd's.
//!
//! The phases of twistd are calls into Python: read the TAC (or make the plug-in's service), begin to
//! log, privilegedStartService, startService, reactor.run. What twistd does around them is effects of
//! the engine here, as for any other program.

mod argv;
mod trouble;

use super::{Application, Around, Loaded, Served, Started};
use crate::keeper;
use crate::python::{self, Python};
use crate::snapshot;
use crate::sys::{process, shed, title};
use engine::effect::{Brought, Ended, Identity, Program, Starting, SystemError};
use engine::text::{clean, duration};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A Twisted application and the Python it runs in.
#[derive(Debug)]
pub struct Tac {
    program: Program,
    python: Option<Python>,
    /// what it is, for people
    name: String,
    /// who this process was when it was loaded
    loaded_as: Option<Identity>,
    /// threads of the application when it was last looked
    threads: Vec<String>,
    begun: bool,
}

/// What loading told.
#[derive(Deserialize)]
struct Told {
    twisted: String,
    python: String,
    uid: Option<i64>,
    gid: Option<i64>,
    process: Option<String>,
    logger: Option<String>,
    imports: f64,
    whole: f64,
    modules: i64,
    threads: Vec<String>,
    original: bool,
}

/// What a phase told.
#[derive(Deserialize)]
struct Happened {
    ports: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    threads: Vec<String>,
}

impl Tac {
    /// The application that `program` names: a TAC, or words for Twisted.
    pub fn new(program: Program) -> Tac {
        let name = match &program.tac {
            Some(tac) => clean(&tac.display().to_string()).into_owned(),
            None => format!("`twistd {}`", clean(&program.twisted.words.join(" "))),
        };
        Tac { program, python: None, name, loaded_as: None, threads: Vec::new(), begun: false }
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        phase: &'static str,
        arguments: Value,
        around: &mut Around,
    ) -> Result<T, SystemError> {
        let Some(python) = &mut self.python else {
            return Err(SystemError::new(format!("{phase}: {} was not loaded", self.name)));
        };
        let (log, on_signal) = (around.log, &mut *around.on_signal);
        let mut ask = |question: &str| {
            let mut words = question.splitn(3, ' ');
            if let (Some("signal"), Some(signal)) = (words.next(), words.next()) {
                let then = match (words.next(), signal) {
                    (Some(then), _) => then.to_owned(),
                    (None, "SIGHUP") => keeper::reopen(log),
                    (None, _) => keeper::rotate(log).unwrap_or_else(|| "no log to rotate".to_owned()),
                };
                on_signal(signal, &then);
            }
            String::new()
        };
        let answer = python.call(phase, &arguments, &mut ask).map_err(|trouble| {
            let place = trouble::Place { phase, name: &self.name, identity: around.identity };
            trouble::explain(&trouble, &place)
        })?;
        serde_json::from_value(answer).map_err(|e| {
            SystemError::new(format!("{phase}: {}: an answer that cannot be read: {e}", self.name))
        })
    }

    /// Twisted begins to log: what was said until now, and then everything.
    fn begin_to_log(&mut self, around: &mut Around) -> Result<(), SystemError> {
        if self.begun {
            return Ok(());
        }
        python::log_to(around.log.cloned());
        let fd = around.log.and_then(|log| log.with(|l| l.fixed_fd().ok()).flatten());
        let _: Value = self.call("log", json!({ "fd": fd }), around)?;
        self.begun = true;
        Ok(())
    }

    fn notes(&mut self, happened: &Happened) -> Vec<String> {
        let mut notes: Vec<String> =
            happened.ports.iter().map(|p| format!("listening on {}", clean(p))).collect();
        if !happened.services.is_empty() {
            notes.push(format!("started {}", listed(&happened.services, "service")));
        }
        notes.extend(self.note_threads(&happened.threads));
        notes
    }

    fn note_threads(&mut self, now: &[String]) -> Vec<String> {
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|t| !b.contains(t)).cloned().collect()
        };
        let (gone, new) = (only(&self.threads, now), only(now, &self.threads));
        self.threads = now.to_vec();
        let mut notes = Vec::new();
        if !new.is_empty() {
            notes.push(format!("the application started {}", listed(&new, "thread")));
        }
        if !gone.is_empty() {
            notes.push(format!("gone: {}", listed(&gone, "thread")));
        }
        notes
    }
}

/// "2 threads: a, b".
fn listed(names: &[String], what: &str) -> String {
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<_> = names.iter().take(SHOWN).map(|n| clean(n)).collect();
    format!("{}: {}{more}", engine::text::count(names.len(), what), shown.join(", "))
}

fn brought(told: &Told, name: &str) -> Result<Option<Brought>, SystemError> {
    let number = |what: &str, value: Option<i64>| -> Result<Option<u32>, SystemError> {
        let Some(value) = value else { return Ok(None) };
        u32::try_from(value).ok().filter(|n| *n != u32::MAX).map(Some).ok_or_else(|| {
            SystemError::new(format!("load {name}: its Application({what}={value}) is no id"))
                .help("ids are numbers from 0 up")
        })
    };
    let (uid, gid) = (number("uid", told.uid)?, number("gid", told.gid)?);
    let user = uid.map(|uid| snapshot::user(&uid.to_string())).transpose()?;
    if user.is_none() && gid.is_none() && told.logger.is_none() {
        return Ok(None);
    }
    Ok(Some(Brought { user: user.flatten(), gid, logger: told.logger.clone() }))
}

impl Application for Tac {
    fn load(&mut self, around: &mut Around) -> Result<Loaded, SystemError> {
        if self.python.is_some() {
            return Err(SystemError::new(format!("load {}: it was loaded already", self.name)));
        }
        let begin = process::monotonic();
        let interpreter = python::find(self.program.twisted.interpreter.as_deref())?;
        let line = argv::line(&self.program, &interpreter);
        self.python = Some(Python::start(&interpreter, &line)?);
        let ignored = process::interrupt_was_ignored();
        let _: Value = self.call("setup", json!({ "ignored": ignored }), around)?;
        let started = process::monotonic();
        let arguments = json!({
            "tac": self.program.tac.as_deref().map(argv::as_typed),
            "words": self.program.twisted.words,
            "lazily": self.program.root.is_some() || around.drop_ahead,
        });
        let told: Told = self.call("load", arguments, around)?;
        let seconds = |s: f64| duration((s * 1e9) as u64);
        let mut notes = vec![
            format!(
                "Twisted {} on Python {} ({}), which took {} to begin",
                clean(&told.twisted),
                clean(&told.python),
                clean(&interpreter.program.display().to_string()),
                duration(started.saturating_sub(begin)),
            ),
            format!(
                "imports: {} of {} ({})",
                seconds(told.imports),
                seconds(told.whole),
                engine::text::count(told.modules, "module")
            ),
        ];
        notes.extend(self.note_threads(&told.threads));
        if let Some(name) = told.process.as_ref().filter(|n| !told.original && !n.is_empty()) {
            notes.push(match title::set(name) {
                true => format!("the process is called {}", clean(name)),
                false => format!("the process cannot be called {}", clean(name)),
            });
        }
        let brought = brought(&told, &self.name)?;
        self.begun = told.logger.is_some();
        if around.log.is_some() {
            self.begin_to_log(around)?;
        }
        self.loaded_as = Some(around.identity.clone());
        Ok(Loaded { notes, brought })
    }

    fn log_opened(&mut self, around: &mut Around) -> Result<Vec<String>, SystemError> {
        let own = self.begun;
        self.begin_to_log(around)?;
        Ok(match own {
            true => vec!["the application has its own logger and does not use this log".to_owned()],
            false => Vec::new(),
        })
    }

    fn before_fork(&mut self) {
        if let Some(python) = &mut self.python {
            python.before_fork();
        }
    }

    fn after_fork(&mut self, child: bool) {
        if let Some(python) = &mut self.python {
            python.after_fork(child);
        }
    }

    fn privileged_start(&mut self, around: &mut Around) -> Result<Vec<String>, SystemError> {
        self.begin_to_log(around)?;
        let happened: Happened = self.call("privileged", json!({ "lazily": around.drop_ahead }), around)?;
        Ok(self.notes(&happened))
    }

    fn start(
        &mut self,
        starting: &Starting,
        around: &mut Around,
    ) -> Result<(Option<Started>, Vec<String>), SystemError> {
        super::only_kept(starting)?;
        self.begin_to_log(around)?;
        let dropped = self.loaded_as.as_ref().and_then(|before| dropped(before, around.identity));
        let happened: Happened = self.call("start", json!({ "dropped": dropped }), around)?;
        Ok((None, self.notes(&happened)))
    }

    fn serve(&mut self, around: &mut Around) -> Result<Served, SystemError> {
        self.begin_to_log(around)?;
        shed::shed();
        let stopped: Result<Option<i32>, SystemError> = self.call("serve", json!({}), around);
        if let Some(python) = &mut self.python {
            python.silence();
        }
        let signal = stopped?.filter(|n| Signal::try_from(*n).is_ok());
        Ok(match signal {
            Some(signal) => Served { ended: Some(Ended::Signal(signal)), asked: true },
            None => Served { ended: Some(Ended::Exit(0)), asked: false },
        })
    }
}

impl Drop for Tac {
    /// This process goes down, and threads of the application must not run on while it does.
    fn drop(&mut self) {
        if let Some(python) = &mut self.python {
            python.silence();
        }
    }
}

/// What twistd says in its log about the drop.
fn dropped(before: &Identity, now: &Identity) -> Option<String> {
    let effective = if now.uid[0] != now.uid[1] || now.gid[0] != now.gid[1] { "e" } else { "" };
    let uid = match before.uid != now.uid {
        true => now.uid[1].to_string(),
        false if before.gid != now.gid => "None".to_owned(),
        false => return None,
    };
    Some(format!("{effective}uid/{effective}gid {uid}/{}", now.gid[1]))
}
