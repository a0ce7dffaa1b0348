//! `limits`: resource limits.

use super::optional;
use engine::effect::{Effect, Limits, Resource, Setting, Unit};
use engine::kind::{Kind, Param, Type, Unfit};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "limits",
    about: "Sets resource limits, setrlimit(2).",
    details: "Each is `N` for both limits, or `SOFT:HARD`; `unlimited` is no limit. Bytes take the units of a size, \
              `cpu` those of a duration, `rttime` is in microseconds. A hard limit above the present one needs \
              cap_sys_resource. The limits hold for rsd's keeper too, which counts as one process of the user \
              and needs some twenty descriptors.",
    params: &PARAMS,
    learns: None,
    effects: |args, _| {
        let mut effects = Vec::new();
        for resource in Resource::ALL {
            let Some(text) = args.string(resource.name()) else { continue };
            let limits = read(*resource, &text).map_err(|why| {
                Unfit::new(
                    format!("`{text}` is not a limit of {resource}: {why}"),
                    "write `N` or `SOFT:HARD`, each a number or `unlimited`",
                )
                .of(resource.name())
            })?;
            effects.push(Effect::Process(Setting::Limit(*resource, limits)));
        }
        Ok(effects)
    },
};

const PARAMS: [Param; Resource::ALL.len()] = {
    let mut params = [optional("", Type::String, None, ""); Resource::ALL.len()];
    let mut n = 0;
    while n < params.len() {
        params[n] = optional(Resource::ALL[n].name(), Type::String, None, Resource::ALL[n].about());
        n += 1;
    }
    params
};

fn read(resource: Resource, text: &str) -> Result<Limits, String> {
    let one = |text: &str| match (text, resource.unit()) {
        ("unlimited" | "infinity", _) => Ok(Limits::NONE),
        (text, Unit::Bytes) => engine::options::size_text(text),
        (text, Unit::Seconds) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map_err(|_| "it is no number of seconds".to_owned())
        }
        (text, Unit::Seconds) => engine::options::duration_text(text).map(|ns| ns.div_ceil(1_000_000_000)),
        (text, Unit::Count | Unit::Microseconds) => {
            text.parse().map_err(|_| "it is not a whole number".to_owned())
        }
    };
    let limits = match text.split_once(':') {
        Some((soft, hard)) => Limits { soft: one(soft)?, hard: one(hard)? },
        None => one(text).map(|both| Limits { soft: both, hard: both })?,
    };
    if limits.soft > limits.hard {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_or_two() {
        let limits = |soft, hard| Ok(Limits { soft, hard });
        assert_eq!(read(Resource::Nofile, "1024:524288"), limits(1024, 524_288));
        assert_eq!(read(Resource::Core, "0"), limits(0, 0));
        assert_eq!(read(Resource::As, "2GiB:unlimited"), limits(2 << 30, u64::MAX));
        assert_eq!(read(Resource::Cpu, "90s"), limits(90, 90));
        assert_eq!(read(Resource::Cpu, "90"), limits(90, 90));
        for (resource, wrong) in
            [(Resource::Nofile, "1k"), (Resource::Nofile, "3:2"), (Resource::Core, ""), (Resource::Cpu, "-1")]
        {
            assert!(read(resource, wrong).is_err(), "{wrong}");
        }
    }
}
