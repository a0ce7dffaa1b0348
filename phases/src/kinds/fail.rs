//! `fail`: fails on purpose.

use super::optional;
use engine::effect::{Effect, Fault, Manner};
use engine::kind::{Kind, Type, Unfit};
use engine::text::{ERRNO_NAMES, did_you_mean, errno_by_name};

/// The kind of this file.
pub const KIND: Kind = Kind {
    name: "fail",
    about: "Fails on purpose, so that you can see what a start that fails there leaves behind.",
    details: "It changes nothing. `how: error` answers with `errno`, and the start is taken back. With `undo` it works, \
              and it is the taking back that fails: the run is stuck (exit code 7), and says so. With `kill` the \
              process that runs the phase, daemon or guard, is gone as with `kill -9`. With `hang` it never comes \
              back, as with a file system that does not answer: give the phase a `timeout`; nothing but that and \
              SIGKILL ends it. `rsd check` warns of the phase (RSD0512), and `rsd run` runs it: `--deny warnings` \
              keeps one that was forgotten from going further.",
    params: &[
        optional(
            "how",
            Type::String,
            Some("error"),
            "`error`, `undo` (it cannot be taken back), `kill` (as with `kill -9`) or `hang`",
        ),
        optional(
            "errno",
            Type::String,
            Some("EIO"),
            "the error it answers with: a name or a number, `ENOSPC`, `28`",
        ),
        optional("message", Type::String, None, "what it says instead of `fail`"),
    ],
    learns: None,
    effects: |args, _| {
        let how = args.string("how").unwrap_or_else(|| Manner::default().name().to_owned());
        let manner = *Manner::ALL.iter().find(|m| m.name() == how).ok_or_else(|| {
            let names: Vec<_> = Manner::ALL.iter().map(|m| m.name()).collect();
            Unfit::new(format!("`{how}` is no way to fail"), format!("write one of {}", names.join(", ")))
                .of("how")
        })?;
        let text = args.string("errno").unwrap_or_else(|| "EIO".to_owned());
        let number = errno_by_name(&text).or_else(|| text.parse().ok().filter(|n| (1..=4095).contains(n)));
        let errno = number.ok_or_else(|| {
            let near = did_you_mean(&text, ERRNO_NAMES.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write a name as in errno(3), such as ENOSPC, or its number".to_owned(),
            };
            Unfit::new(format!("`{text}` is no error that is known"), help).of("errno")
        })?;
        Ok(vec![Effect::Fail(Fault { manner, errno, message: args.string("message") })])
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use engine::kind::{Args, Context, Value};

    fn fault(args: &[(&'static str, &str)]) -> Result<Effect, Unfit> {
        let args = args.iter().map(|(name, text)| (*name, Value::String((*text).to_owned()))).collect();
        (KIND.effects)(&Args(args), &Context::default()).map(|mut effects| effects.remove(0))
    }

    #[test]
    fn an_error_is_a_name_or_a_number() {
        let errno = |text| fault(&[("errno", text)]).map(|e| e.to_string());
        assert_eq!(errno("ENOSPC"), Ok("fail with ENOSPC".to_owned()));
        assert_eq!(errno("28"), Ok("fail with ENOSPC".to_owned()));
        assert_eq!(errno("4095"), Ok("fail with 4095".to_owned()));
        for wrong in ["0", "-1", "4096", "enospc", ""] {
            assert!(errno(wrong).is_err(), "{wrong}");
        }
        assert!(errno("ENOSPCE").is_err_and(|unfit| unfit.help.contains("ENOSPC")));
    }

    #[test]
    fn there_are_four_ways() {
        for manner in Manner::ALL {
            let Ok(Effect::Fail(made)) = fault(&[("how", manner.name())]) else { panic!("{manner:?}") };
            assert_eq!(made.manner, *manner);
        }
        assert!(fault(&[("how", "explode")]).is_err());
    }
}
