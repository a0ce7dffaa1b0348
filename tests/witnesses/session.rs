//! A session: what is typed, and what is seen.

/// A witness as it is written down.
#[derive(Clone, Debug)]
pub struct Session {
    /// what is to be seen, in words
    head: Vec<String>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    /// what is typed, without the prompt
    typed: Vec<String>,
    seen: Vec<String>,
}

/// Stands before what a command prints; nothing prints it.
const MARK: &str = "\u{1}";

impl Session {
    pub fn parse(text: &str) -> Result<Session, String> {
        let mut session = Session { head: Vec::new(), parts: Vec::new() };
        for line in text.lines() {
            match (line.strip_prefix("$ "), line.strip_prefix("> "), session.parts.last_mut()) {
                (Some(typed), _, _) => {
                    session.parts.push(Part { typed: vec![typed.to_owned()], seen: Vec::new() });
                }
                (None, Some(more), Some(part)) if part.seen.is_empty() => part.typed.push(more.to_owned()),
                (None, _, Some(part)) => part.seen.push(line.to_owned()),
                (None, _, None) => session.head.push(line.to_owned()),
            }
        }
        if session.head.iter().all(|l| l.trim().is_empty()) {
            return Err("the first line must say what is to be seen".to_owned());
        }
        Ok(session)
    }

    pub fn text(&self) -> String {
        let mut text: String = self.head.iter().map(|l| format!("{l}\n")).collect();
        for part in &self.parts {
            for (n, line) in part.typed.iter().enumerate() {
                text.push_str(&format!("{} {line}\n", if n == 0 { '$' } else { '>' }));
            }
            text.extend(part.seen.iter().map(|l| format!("{l}\n")));
        }
        text
    }

    /// What is missing for it to be a witness.
    pub fn faults(&self, code: &str) -> Vec<String> {
        let Some(check) = self.parts.iter().find(|p| p.arguments("check").is_some()) else {
            return vec!["it does not ask `rsd check`".to_owned()];
        };
        let named = |level: &str| check.seen.iter().any(|l| l.starts_with(&format!("{level}[{code}]")));
        let mut faults = Vec::new();
        if !["error", "warning", "note"].iter().any(|l| named(l)) {
            faults.push("`rsd check` does not name the code".to_owned());
        }
        let asked = check.arguments("check").unwrap_or_default();
        let runs = |p: &&Part| {
            p.arguments("run").is_some_and(|mut ran| {
                let before = ran.len();
                ran.retain(|w| w != "--unchecked");
                ran == asked && (ran.len() != before || !named("error"))
            })
        };
        match self.parts.iter().position(|p| runs(&p)) {
            None => faults.push(format!(
                "it does not run what it has checked: `rsd run {}`{}",
                asked.join(" "),
                if named("error") { " with --unchecked" } else { "" }
            )),
            Some(n) if self.parts[n].seen.is_empty() && n + 1 == self.parts.len() => {
                faults.push("it does not look at what came of it".to_owned());
            }
            Some(_) => {}
        }
        faults
    }

    /// Types it; the answer is the same session with what was seen, and what was printed after its end.
    pub fn play(
        &self,
        run: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(Session, String), String> {
        let mut script = String::new();
        for part in &self.parts {
            script.push_str("mark $?\n");
            script.extend(part.typed.iter().map(|l| format!("{l}\n")));
        }
        script.push_str("mark $?\ndivergences\n");
        let printed = run(&script)?;
        // `MARK STATUS` ends what the command before it has printed.
        let mut pieces = printed.split(MARK);
        let mut session = self.clone();
        let mut piece = pieces.next().unwrap_or_default();
        for (n, next) in pieces.enumerate() {
            let (status, output) = next.split_once('\n').unwrap_or((next, ""));
            if let Some(part) = n.checked_sub(1).and_then(|n| session.parts.get_mut(n)) {
                part.seen = piece.lines().filter_map(same).collect();
                part.seen.extend((status != "0").then(|| format!("[{status}]")));
            }
            if n == self.parts.len() {
                return Ok((session, output.to_owned()));
            }
            piece = output;
        }
        Err(format!("the shell ended before the session did:\n{printed}"))
    }
}

impl Part {
    /// The words behind `rsd check`, up to a pipe, a redirection or the next command.
    fn arguments(&self, command: &str) -> Option<Vec<String>> {
        let line = self.typed.join(" ");
        let (_, words) = line.split_once(&format!("rsd {command}"))?;
        let end = |w: &&str| !matches!(*w, "|" | ";" | "&&" | "&" | "||") && !w.starts_with("2>");
        Some(words.split_whitespace().take_while(end).map(|w| w.trim_end_matches(';').to_owned()).collect())
    }
}

/// What is the same in every run.
fn same(line: &str) -> Option<String> {
    if line.starts_with("  timeline: rsd trace ") {
        return None;
    }
    let mut line = line.trim_end().to_owned();
    for end in [": ready in ", " stopped in "] {
        if let Some(n) = line.find(end) {
            line.truncate(n + end.len() - " in ".len());
        }
    }
    Some(numbered(&line))
}

/// Numbers of processes differ from run to run.
fn numbered(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for n in 1..words.len() {
        if words[n - 1] == "process" && words[n].bytes().all(|b| b.is_ascii_digit()) {
            words[n] = "[PID]";
        }
    }
    words.join(" ")
}
