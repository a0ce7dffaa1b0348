//! The catalogue of phase kinds: one file a kind, one row here.

mod bounding_set;
mod capabilities;
mod chdir;
mod check_pid_file;
mod chroot;
mod cpu_affinity;
mod create_pid_file;
mod daemonize;
mod dumpable;
mod environment;
mod fail;
mod io_priority;
mod keep_guard;
mod keyring;
mod landlock;
mod limits;
mod load_application;
mod make_directories;
mod mounts;
mod namespaces;
mod nice;
mod no_new_privileges;
mod oom_score;
mod pivot_root;
mod privileged_start;
mod remove_directories;
mod remove_pid_file;
mod remove_sockets;
mod scheduler;
mod securebits;
mod serve;
mod start_application;
mod start_logger;
mod switch_group;
mod switch_user;
mod system_calls;
mod timer_slack;
mod umask;

use engine::effect::Whose;
use engine::kind::{Args, Catalogue, Param, Type, Unfit};

/// Every kind, in the order of a usual start-up.
pub const CATALOGUE: Catalogue = Catalogue(&[
    &check_pid_file::KIND,
    &load_application::KIND,
    &start_logger::KIND,
    &chroot::KIND,
    &chdir::KIND,
    &umask::KIND,
    &daemonize::KIND,
    &create_pid_file::KIND,
    &environment::KIND,
    &make_directories::KIND,
    &limits::KIND,
    &nice::KIND,
    &scheduler::KIND,
    &io_priority::KIND,
    &cpu_affinity::KIND,
    &timer_slack::KIND,
    &oom_score::KIND,
    &keyring::KIND,
    &namespaces::KIND,
    &mounts::KIND,
    &pivot_root::KIND,
    &privileged_start::KIND,
    &keep_guard::KIND,
    &securebits::KIND,
    &bounding_set::KIND,
    &switch_group::KIND,
    &switch_user::KIND,
    &capabilities::KIND,
    &dumpable::KIND,
    &no_new_privileges::KIND,
    &landlock::KIND,
    &system_calls::KIND,
    &start_application::KIND,
    &serve::KIND,
    &remove_pid_file::KIND,
    &remove_directories::KIND,
    &remove_sockets::KIND,
    &fail::KIND,
]);

/// A parameter that a spec must write.
const fn required(name: &'static str, ty: Type, help: &'static str) -> Param {
    Param { name, ty, list: false, required: true, default: None, help }
}

/// A parameter that may be absent.
const fn optional(name: &'static str, ty: Type, default: Option<&'static str>, help: &'static str) -> Param {
    Param { name, ty, list: false, required: false, default, help }
}

/// A parameter that takes a list and may be absent.
const fn several(name: &'static str, ty: Type, help: &'static str) -> Param {
    Param { name, ty, list: true, required: false, default: None, help }
}

/// Whom a confinement is put on, by the parameter `who`.
fn whose(args: &Args) -> Result<Whose, Unfit> {
    let Some(word) = args.string("who") else { return Ok(Whose::default()) };
    Whose::by_name(&word).ok_or_else(|| {
        Unfit::new(format!("nobody is called `{word}` here"), "write program or daemon").of("who")
    })
}

/// A kind without parameters that is always one effect.
macro_rules! plain {
    ($name:literal, $about:literal, $details:expr, $effect:expr) => {
        /// The kind of this file.
        pub const KIND: engine::kind::Kind = engine::kind::Kind {
            name: $name,
            about: $about,
            details: $details,
            params: &[],
            learns: None,
            effects: |_, _| Ok(vec![$effect]),
        };
    };
}
use plain;

/// The names of all kinds are distinct and so are the parameters of each.
#[cfg(test)]
mod tests {
    use super::*;
    use engine::kind::Context;
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_is_sound() {
        let names: BTreeSet<_> = CATALOGUE.names().collect();
        assert_eq!(names.len(), CATALOGUE.0.len());
        for kind in CATALOGUE.0 {
            let params: BTreeSet<_> = kind.params.iter().map(|p| p.name).collect();
            assert_eq!(params.len(), kind.params.len(), "{}", kind.name);
            assert!(kind.about.ends_with('.') && !kind.details.is_empty(), "{}", kind.name);
            assert!(kind.params.iter().all(|p| !(p.required && p.default.is_some())), "{}", kind.name);
        }
    }

    /// A value that is wholly an unset option is absent: every kind must live with that.
    #[test]
    fn no_parameter_is_no_panic() {
        for kind in CATALOGUE.0 {
            let _ = (kind.effects)(&Args::default(), &Context::default());
        }
    }
}
