//! `oom-score`: who is ended first when memory runs out.

use super::required;
use engine::effect::{Effect, Setting};
use engine::kind::{Kind, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "oom-score",
    about: "Sets how soon the kernel ends this process when memory runs out: -1000 (never) to 1000 (first).",
    details: "Written to /proc/self/oom_score_adj (proc(5)). Less than the present value may need \
              cap_sys_resource. It stands before the drop, which gives the process's files below /proc to root, \
              and before the root is changed to one without /proc.",
    params: &[required("adjust", Type::Integer, "added to the score; 0 for the usual one")],
    learns: None,
    effects: |args, _| match args.integer("adjust") {
        None => Ok(Vec::new()),
        Some(adjust @ -1000..=1000) => Ok(vec![Effect::Process(Setting::OomScore(adjust as i32))]),
        Some(adjust) => Err(Unfit::new(
            format!("an oom score is adjusted by -1000 to 1000, and this is {adjust}"),
            "write 0 for the usual one",
        )
        .of("adjust")),
    },
};
