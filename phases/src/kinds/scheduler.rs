//! `scheduler`: the scheduling policy.

use super::{optional, required};
use engine::effect::{Effect, Policy, Setting};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "scheduler",
    about: "Sets the scheduling policy, sched_setscheduler(2).",
    details: "`other`, `batch` and `idle` are anybody's; `fifo` and `rr` are real time, take a `priority` of 1 to \
              99, and need cap_sys_nice or a limit `rtprio` that allows it (sched(7)).",
    params: &[
        required("policy", Type::String, "`other`, `batch`, `idle`, `fifo` or `rr`"),
        optional("priority", Type::Integer, None, "of `fifo` and `rr`: 1 to 99"),
    ],
    learns: None,
    effects: |args, _| {
        let Some(name) = args.string("policy") else { return Ok(Vec::new()) };
        let priority = args.integer("priority");
        let realtime = |make: fn(u8) -> Policy| match priority {
            Some(priority @ 1..=99) => Ok(make(priority as u8)),
            _ => Err(Unfit::new(
                format!("`{name}` needs a priority of 1 to 99"),
                "write `priority: 1`, or another policy",
            )),
        };
        let policy = match name.as_str() {
            "other" => Policy::Other,
            "batch" => Policy::Batch,
            "idle" => Policy::Idle,
            "fifo" => realtime(Policy::Fifo)?,
            "rr" => realtime(Policy::Rr)?,
            _ => {
                return Err(Unfit::new(
                    format!("there is no scheduling policy `{name}`"),
                    "write `other`, `batch`, `idle`, `fifo` or `rr`",
                )
                .of("policy"));
            }
        };
        if policy.priority() == 0 && priority.is_some_and(|p| p != 0) {
            return Err(Unfit::new(
                format!("`{name}` has no priority"),
                "leave `priority` away, or use `nice`",
            )
            .of("priority"));
        }
        Ok(vec![Effect::Process(Setting::Scheduler(policy))])
    },
};
