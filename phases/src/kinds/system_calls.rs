//! `system-calls`: what the kernel may be asked for.

use super::{optional, several};
use engine::effect::{Effect, Otherwise, Setting, SystemCalls, calls};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "system-calls",
    about: "Lets the program make some system calls, and no other.",
    details: "seccomp(2). Names, and groups with `@` that are those of systemd's `SystemCallFilter=`: \
              `@system-service` is a good beginning; `rsd kinds system-calls` lists them all. What is allowed \
              has `@default` in it, memory, time and execve among it. The filter is put on the program in the \
              moment before it is executed, and the keeper goes on without it: it can still rotate the log and \
              pass signals on. An application that is hosted in this process gets it when it is started. With \
              `who: daemon` it is put on this process at once and binds every later phase, the keeper too; the \
              check knows what they need. It needs no_new_privs (`no-new-privileges` before it) or \
              cap_sys_admin. `deny` takes `socket:mptcp` and `socket:smc` as well: socket(2) then answers \
              EPROTONOSUPPORT for those transports. System calls that this build does not know, and those of x32, answer ENOSYS; \
              those of another architecture (i386) end the process. Nothing takes a filter off again.",
    params: &[
        several("allow", Type::String, "system calls that are let through; without it all of them"),
        several("deny", Type::String, "system calls that are not let through, whatever is allowed"),
        optional(
            "otherwise",
            Type::String,
            Some("fail"),
            "what becomes of the others: `fail` with EPERM, `kill` the process by SIGSYS, or `log` and let through",
        ),
        optional(
            "who",
            Type::String,
            Some("program"),
            "`program`: the application alone; `daemon`: this process at once, with all that it starts",
        ),
    ],
    learns: None,
    effects: |args, _| {
        let (allow, deny) = (args.strings("allow"), args.strings("deny"));
        if allow.is_empty() && deny.is_empty() {
            return Ok(Vec::new());
        }
        let otherwise = match args.string("otherwise") {
            None => Otherwise::default(),
            Some(word) => Otherwise::by_name(&word).ok_or_else(|| {
                Unfit::new(format!("`{word}` is nothing to do with a system call"), "write fail, kill or log")
                    .of("otherwise")
            })?,
        };
        let filter = SystemCalls { allow, deny, otherwise, whose: super::whose(args)? };
        if let Some(word) = filter.unknown() {
            let list = if filter.allow.iter().any(|allowed| allowed == word) { "allow" } else { "deny" };
            return Err(unknown(word).in_list(list, word));
        }
        if let Some(word) = filter.allow.iter().find(|word| calls::transports(word).next().is_some()) {
            return Err(Unfit::new(
                format!("`{word}` is no system call, and only what is denied can be a transport"),
                "allow `socket`; sockets of every transport come with it",
            )
            .in_list("allow", word));
        }
        Ok(vec![Effect::Process(Setting::SystemCalls(filter))])
    },
};

fn unknown(word: &str) -> Unfit {
    let known: Vec<&str> = calls::groups()
        .map(|(name, _)| name)
        .chain(calls::TRANSPORTS.iter().map(|t| t.word))
        .chain(calls::names())
        .collect();
    let near = engine::text::did_you_mean(word, known.iter().copied());
    let what = if word.starts_with('@') { "group of system calls" } else { "system call" };
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the groups are {}",
            engine::text::list(&calls::groups().map(|(n, _)| n).collect::<Vec<_>>())
        ),
    };
    Unfit::new(format!("there is no {what} `{word}`"), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::kind::{Args, Context, Value};

    fn effects(key: &'static str, words: &[&str]) -> Result<Vec<Effect>, Unfit> {
        let list = words.iter().map(|w| Value::String((*w).to_owned())).collect();
        (KIND.effects)(&Args(vec![(key, Value::List(list))]), &Context::default())
    }

    #[test]
    fn words_are_known_or_refused() {
        assert_eq!(effects("allow", &[]).unwrap(), []);
        assert_eq!(effects("allow", &["@system-service", "mount"]).unwrap().len(), 1);
        let refused = effects("deny", &["@mounts"]).unwrap_err();
        assert!(refused.why.contains("group of system calls `@mounts`") && refused.help.contains("@mount"));
        assert!(effects("deny", &["opennat"]).unwrap_err().help.contains("openat"));
    }
}
