//! Numbers as Python's `int()` reads them, which is how twistd reads ids and the umask.

/// What a text is as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// none
    None,
    /// this one
    Is(i64),
    /// one that no id or mask can be
    Beyond,
}

/// Blanks around, a sign, underscores between digits, leading zeros, and `0o` before octal digits.
pub fn python(text: &str, base: u32) -> Number {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = (base == 8).then(|| digits.strip_prefix("0o").or(digits.strip_prefix("0O"))).flatten();
    let digits = prefixed.map_or(digits, |rest| rest.strip_prefix('_').unwrap_or(rest));
    let (mut value, mut beyond) = (0_i64, false);
    let mut after_digit = false;
    for c in digits.chars() {
        match (c, c.to_digit(base)) {
            ('_', _) if after_digit => after_digit = false,
            (_, Some(digit)) => {
                after_digit = true;
                match value.checked_mul(i64::from(base)).and_then(|v| v.checked_add(i64::from(digit))) {
                    Some(more) => value = more,
                    None => beyond = true,
                }
            }
            _ => return Number::None,
        }
    }
    match (after_digit, beyond) {
        (false, _) => Number::None,
        (true, true) => Number::Beyond,
        (true, false) => Number::Is(if negative { -value } else { value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_has_it() {
        let cases = [
            ("5001", 10, Number::Is(5001)),
            ("05001", 10, Number::Is(5001)),
            ("-5", 10, Number::Is(-5)),
            (" +5_001\n", 10, Number::Is(5001)),
            ("0x5", 10, Number::None),
            ("0o5", 10, Number::None),
            ("5__0", 10, Number::None),
            ("_5", 10, Number::None),
            ("5_", 10, Number::None),
            ("", 10, Number::None),
            ("-", 10, Number::None),
            ("--5", 10, Number::None),
            ("- 5", 10, Number::None),
            ("99999999999999999999", 10, Number::Beyond),
            ("022", 8, Number::Is(0o22)),
            ("0o22", 8, Number::Is(0o22)),
            ("0O_22", 8, Number::Is(0o22)),
            ("0o", 8, Number::None),
            ("0o__2", 8, Number::None),
            ("-22", 8, Number::Is(-0o22)),
            ("9", 8, Number::None),
        ];
        for (text, base, expected) in cases {
            assert_eq!(python(text, base), expected, "int({text:?}, {base})");
        }
    }
}
