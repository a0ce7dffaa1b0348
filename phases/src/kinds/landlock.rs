//! `landlock`: the files and ports that are left.

use super::{optional, several};
use engine::effect::calls::TRANSPORTS;
use engine::effect::{Effect, Landlock, Setting, SystemCalls};
use engine::kind::{Args, Kind, Type, Unfit, Value};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "landlock",
    about: "Leaves the program some files and ports, and no other, whoever it is.",
    details: "landlock(7). What a path names is left with all that is below it, and leads where it leads when \
              this phase runs, symbolic links followed. Where one of the three lists is written, all other files \
              are out of reach: list what the program is executed from and its libraries too (`execute: [/usr, \
              /lib, /lib64]`), what it reads below /etc, /dev/null. What is open stays open; chdir, stat, chmod \
              and Unix sockets are not restricted. A port that is bound by a phase and handed over needs no \
              rule. With ports, MPTCP and SMC are taken away by a filter of system calls: whoever connects finds \
              TCP there, and Landlock does not (deny `io_uring_setup` with `system-calls`, too, for a program \
              that would make its sockets by io_uring). It is put on the program in the moment before it is executed, and its keeper goes on without \
              it; on an application that is hosted in this process when it is started. With `who: daemon` it is \
              put on this process at once and binds every later phase. It needs no_new_privs \
              (`no-new-privileges` before it) or cap_sys_admin, and Linux 6.2 for files, 6.7 for ports. Mounting \
              and pivot_root are over with it. Nothing takes it off again.",
    params: &[
        several("read", Type::Path, "files and directories that may be read"),
        several("write", Type::Path, "that may be read and changed: written, made, renamed, removed"),
        several("execute", Type::Path, "that may be read and executed"),
        several(
            "bind",
            Type::Integer,
            "TCP ports that may be bound; without it all, `0` for none but the kernel's choice",
        ),
        several("connect", Type::Integer, "TCP ports that may be connected to; without it all"),
        optional(
            "required",
            Type::Flag,
            Some("true"),
            "a kernel that cannot do all of it is an error; otherwise what it can is done",
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
        let wanted = Landlock {
            read: args.paths("read"),
            write: args.paths("write"),
            execute: args.paths("execute"),
            bind: ports(args, "bind")?,
            connect: ports(args, "connect")?,
            required: args.flag("required").unwrap_or(true),
            whose: super::whose(args)?,
        };
        if !wanted.restricts_files() && !wanted.restricts_ports() {
            return Ok(Vec::new());
        }
        let mut effects = vec![Setting::Landlock(wanted.clone())];
        if wanted.restricts_ports() {
            // To Landlock they are no TCP, and to whoever connects they are.
            let mut deny: Vec<String> = TRANSPORTS.iter().map(|t| t.word.to_owned()).collect();
            deny.dedup();
            effects.push(Setting::SystemCalls(SystemCalls {
                deny,
                whose: wanted.whose,
                ..SystemCalls::default()
            }));
        }
        Ok(effects.into_iter().map(Effect::Process).collect())
    },
};

fn ports(args: &Args, name: &'static str) -> Result<Option<Vec<u16>>, Unfit> {
    let port = |value: &Value| match value {
        Value::Integer(n) => u16::try_from(*n).map_err(|_| {
            Unfit::new(format!("{n} is no port"), "a port is a number from 0 to 65535")
                .in_list(name, n.to_string())
        }),
        _ => Err(Unfit::new("there is something else than a port in the list", "write numbers").of(name)),
    };
    match args.get(name) {
        None => Ok(None),
        Some(Value::List(list)) if list.is_empty() => Ok(None),
        Some(Value::List(list)) => list.iter().map(port).collect::<Result<_, _>>().map(Some),
        Some(one) => port(one).map(|p| Some(vec![p])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::kind::Context;

    #[test]
    fn ports_are_numbers_of_ports() {
        let with = |n| Args(vec![("bind", Value::List(vec![Value::Integer(n)]))]);
        assert!((KIND.effects)(&with(65536), &Context::default()).is_err());
        assert_eq!((KIND.effects)(&with(80), &Context::default()).unwrap().len(), 2);
        assert_eq!((KIND.effects)(&Args::default(), &Context::default()).unwrap(), []);
    }
}
