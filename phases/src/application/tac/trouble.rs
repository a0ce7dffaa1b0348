//! What went wrong in Python, in the words of an error of rsd: phase, file and line, reason, advice.

use crate::python::Trouble;
use engine::effect::{Capability, ErrorKind, Identity, SystemError};
use engine::text::clean;
use nix::sys::signal::Signal;
use std::path::Path;

/// Where it happened.
pub(super) struct Place<'a> {
    /// the phase of the application
    pub phase: &'static str,
    /// the application
    pub name: &'a str,
    /// who this process was
    pub identity: &'a Identity,
}

/// The error.
pub(super) fn explain(trouble: &Trouble, place: &Place) -> SystemError {
    let what = place.what();
    if let Some(signal) = trouble.signal {
        let signal = Signal::try_from(signal).map_or("a signal", Signal::as_str);
        return SystemError::new(format!("{signal} asked to stop before the start was complete"))
            .kind(ErrorKind::Interrupted);
    }
    if let Some(reason) = &trouble.refused {
        let error = SystemError::new(format!("{what}: {}", clean(reason)));
        return match &trouble.help {
            Some(help) => error.help(clean(help)),
            None => error,
        };
    }
    let message = format!("{what}: {}{}", trouble.place(), trouble.reason());
    let error = SystemError { errno: trouble.errno, ..SystemError::new(message) };
    let error = match trouble.trace() {
        Some(trace) => error.why(trace),
        None => error,
    };
    let error = match (trouble.errno, &trouble.address) {
        (Some(libc::EACCES), Some(_)) => error.lacks(Capability::NetBindService),
        _ => error,
    };
    match advice(trouble, place) {
        Some(help) => error.help(help),
        None => error,
    }
}

impl Place<'_> {
    fn what(&self) -> String {
        let name = self.name;
        match self.phase {
            "load" => format!("load {name}"),
            "log" => format!("start the logger of {name}"),
            "privileged" => format!("privileged start of {name}"),
            "start" => format!("start {name}"),
            "serve" => format!("{name} came down"),
            other => format!("{other}: {name}"),
        }
    }
}

impl Trouble {
    /// "app.tac line 3: "
    fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{} line {line}: ", short(file)),
            (Some(file), None) => format!("{}: ", short(file)),
            _ => String::new(),
        }
    }

    fn reason(&self) -> String {
        let text = clean(&self.text);
        if let Some(code) = self.left {
            return format!("it called os._exit({code})");
        }
        if let Some(code) = self.exit {
            let said = if text.is_empty() { String::new() } else { format!(": {text}") };
            return format!("it called sys.exit({code}){said}");
        }
        if let Some(encoding) = &self.undecodable {
            return format!("it is not in {}: {text}", clean(encoding));
        }
        if self.no_application {
            return "it sets no variable `application`".to_owned();
        }
        let class = clean(&self.class);
        if let Some(address) = &self.address {
            let reason = match self.errno {
                Some(errno) => engine::text::errno_message(errno).into_owned(),
                None => text.into_owned(),
            };
            return format!("listen on {}: {reason}", clean(address));
        }
        match text.is_empty() {
            true => class.into_owned(),
            false => format!("{class}: {text}"),
        }
    }

    /// The calls that led there, outermost first, on one line.
    fn trace(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let calls = self.frames.len().saturating_sub(SHOWN);
        let mut parts: Vec<String> = self.frames[calls..]
            .iter()
            .map(|(file, line, function, source)| {
                let code = if source.is_empty() { String::new() } else { format!(": {}", clean(source)) };
                format!("{} line {line}, in {}{code}", short(file), clean(function))
            })
            .collect();
        if parts.is_empty() {
            let source = self.source.as_ref().filter(|s| !s.is_empty())?;
            return Some(format!("the line is `{}`", clean(source)));
        }
        if calls > 0 {
            parts.insert(0, "…".to_owned());
        }
        Some(parts.join(" > "))
    }
}

/// The name of a file, and the directory it is in where that says something.
fn short(file: &str) -> String {
    let path = Path::new(file);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    match (&*name, path.parent().and_then(Path::file_name)) {
        ("__init__.py", Some(dir)) => clean(&format!("{}/{name}", dir.to_string_lossy())).into_owned(),
        _ => clean(&name).into_owned(),
    }
}

fn advice(trouble: &Trouble, place: &Place) -> Option<String> {
    let loading = place.phase == "load";
    let class = trouble.class.as_str();
    if trouble.address.is_some() {
        return match trouble.errno {
            Some(libc::EADDRINUSE) => Some("see who has it: `ss -lntup`; or choose another address".to_owned()),
            Some(libc::EACCES) => Some(
                "ports below 1024 need root or cap_net_bind_service: bind in privilegedStartService, or choose a port from 1024 up"
                    .to_owned(),
            ),
            Some(libc::EADDRNOTAVAIL) => Some("no interface of this machine has that address".to_owned()),
            _ => None,
        };
    }
    if trouble.exit.is_some() || trouble.left.is_some() {
        return Some(
            "an application must not end the process while it starts: raise an exception that says why"
                .to_owned(),
        );
    }
    if trouble.no_application {
        return Some("set `application = service.Application(NAME)` at the top level of the file".to_owned());
    }
    if trouble.undecodable.is_some() {
        return Some("save the file in UTF-8; twistd reads it in the locale's encoding".to_owned());
    }
    let imported = matches!(class, "ModuleNotFoundError" | "ImportError");
    let outside = place.identity.root != Path::new("/");
    if outside && (imported || trouble.errno == Some(libc::ENOENT)) {
        let root = place.identity.root.display();
        return Some(match &trouble.module {
            Some(module) => format!(
                "Python's files are outside the new root {root}: import `{}` at the top of the TAC, or put Python into the root",
                clean(module)
            ),
            None => format!("paths are those inside the new root {root}"),
        });
    }
    if imported {
        let module = trouble.module.as_deref().unwrap_or_default();
        let top = clean(module.split('.').next().unwrap_or_default()).into_owned();
        return Some(match place.identity.uid[1] {
            0 => format!(
                "install `{top}` in the environment of that Python, or name another with --interpreter"
            ),
            uid if !loading => format!(
                "uid {uid} may not be able to read Python's files: import `{top}` at the top of the TAC"
            ),
            _ => format!(
                "install `{top}` in the environment of that Python; twistd does not look in the working directory (PYTHONPATH does)"
            ),
        });
    }
    match class {
        "FileNotFoundError" if loading && trouble.frames.is_empty() => {
            Some("check the path of the TAC".to_owned())
        }
        "IsADirectoryError" if loading && trouble.frames.is_empty() => Some("name the file in it".to_owned()),
        "SyntaxError" | "IndentationError" | "TabError" => Some(
            "it is Python code: correct that line, or name the Python it is written for with --interpreter"
                .to_owned(),
        ),
        "MemoryError" => Some("memory was out, or limited (ulimit -v)".to_owned()),
        "ReactorNotRunning" if !loading => Some(
            "it was stopped before it ran: to refuse a start, raise an exception that says why".to_owned(),
        ),
        _ if loading => Some(
            "it comes from the application's own code, or from what it was told: the calls that led there are above"
                .to_owned(),
        ),
        _ => Some("the whole traceback is in the log".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(phase: &'static str, identity: &Identity) -> String {
        Place { phase, name: "/srv/a.tac", identity }.what()
    }

    #[test]
    fn the_message_has_phase_file_line_and_reason() {
        let identity = Identity::default();
        let trouble = Trouble {
            class: "RuntimeError".to_owned(),
            text: "boom".to_owned(),
            file: Some("/srv/a.tac".to_owned()),
            line: Some(3),
            frames: vec![("/srv/a.tac".to_owned(), 3, "<module>".to_owned(), "f()".to_owned())],
            ..Trouble::default()
        };
        let error = explain(&trouble, &Place { phase: "load", name: "/srv/a.tac", identity: &identity });
        assert_eq!(error.message, "load /srv/a.tac: a.tac line 3: RuntimeError: boom");
        assert_eq!(error.why.as_deref(), Some("a.tac line 3, in <module>: f()"));
        assert_eq!(place("privileged", &identity), "privileged start of /srv/a.tac");
    }

    #[test]
    fn an_address_in_use_is_named() {
        let identity = Identity::default();
        let trouble = Trouble {
            class: "CannotListenError".to_owned(),
            address: Some("127.0.0.1:80".to_owned()),
            errno: Some(libc::EADDRINUSE),
            ..Trouble::default()
        };
        let error = explain(&trouble, &Place { phase: "privileged", name: "a", identity: &identity });
        assert_eq!(error.message, "privileged start of a: listen on 127.0.0.1:80: Address already in use");
        assert_eq!(error.errno, Some(libc::EADDRINUSE));
    }
}
