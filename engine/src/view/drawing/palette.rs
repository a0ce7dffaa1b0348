//! The colours, light and dark, and the style sheets that use them.

/// The rules of a drawing; they name colours as `var(--name)`.
pub(in crate::view) const RULES: &str = include_str!("drawing.css");

/// Colours: name, light, dark.
pub(in crate::view) const PALETTE: [(&str, &str, &str); 26] = [
    ("paper", "#faf9f7", "#14151a"),
    ("card", "#ffffff", "#1b1d24"),
    ("ink", "#1c1917", "#f1f0ee"),
    ("dim", "#635b55", "#a9a6a0"),
    ("line", "#e2ded9", "#333640"),
    ("grid", "#efece8", "#272a33"),
    ("edge", "#8a827b", "#7b7f8c"),
    ("zone", "#f5f3ef", "#20232b"),
    ("lane", "#efece6", "#262932"),
    ("lane2", "#ddd8cf", "#3a3e4a"),
    ("hover", "#f3f0ea", "#23262f"),
    ("picked", "#e8eefb", "#243049"),
    ("focus", "#1d4ed8", "#93b4ff"),
    ("root", "#b45309", "#f0a04b"),
    ("root-soft", "#e2b58c", "#8a5c2a"),
    ("kept", "#7c3aed", "#b79bff"),
    ("kept-soft", "#c9b0f7", "#5f4a94"),
    ("user", "#1d5fc4", "#74a7ff"),
    ("user-soft", "#a3c1ee", "#3b5b95"),
    ("other", "#0f766e", "#3cc7b8"),
    ("other-soft", "#8fc7c2", "#226f68"),
    ("on", "#ffffff", "#14151a"),
    ("bad", "#b4123f", "#ff6f91"),
    ("bad-tint", "#fdecef", "#371722"),
    ("good", "#1f7a46", "#5fca8d"),
    ("good-tint", "#ecf7f0", "#14291d"),
];

/// The colours as custom properties: by the reader's preference, or by `data-theme` on the root element.
pub(in crate::view) fn properties() -> String {
    let block = |dark: bool| -> String {
        PALETTE.iter().map(|(name, l, d)| format!("--{name}:{};", if dark { d } else { l })).collect()
    };
    let (light, dark) = (block(false), block(true));
    format!(
        ":root{{color-scheme:light;{light}}}\n\
         @media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n\
         :root[data-theme=dark]{{color-scheme:dark;{dark}}}\n\
         @media print{{:root,:root:not([data-theme=light]),:root[data-theme=dark]{{color-scheme:light;{light}}}}}\n"
    )
}

/// The rules of a drawing with the colours in them.
pub(in crate::view) fn flat() -> String {
    flat_of(RULES)
}

/// Rules, one a line, with the colours in them, for programs that know no custom properties: light,
/// and dark where the reader prefers it.
pub(in crate::view) fn flat_of(rules: &str) -> String {
    let with = |text: &str, dark: bool| {
        PALETTE.iter().fold(text.to_owned(), |css, (name, l, d)| {
            css.replace(&format!("var(--{name})"), if dark { d } else { l })
        })
    };
    // only rules that name a colour change with the theme
    let coloured: String = rules.lines().filter(|r| r.contains("var(--")).map(|r| format!("{r}\n")).collect();
    let (light, dark) = (with(rules, false), with(&coloured, true));
    format!("{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(hex: &str) -> f64 {
        let channel = |i: usize| {
            let c = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal")) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_in_both_themes() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.01);
        let colour = |name: &str, dark: bool| {
            let (_, l, d) = PALETTE.iter().find(|(n, ..)| *n == name).expect(name);
            if dark { *d } else { *l }
        };
        let texts = [
            ("ink", &["paper", "card", "zone", "lane", "lane2", "hover", "picked", "bad-tint"][..]),
            ("dim", &["paper", "card", "zone", "hover", "picked", "bad-tint"]),
            ("on", &["root", "kept", "user", "other", "bad", "ink"]),
            ("root", &["card"]),
            ("kept", &["card"]),
            ("user", &["card"]),
            ("other", &["card"]),
            ("bad", &["paper", "card", "zone", "bad-tint", "hover", "picked"]),
            ("good", &["paper", "card", "zone", "good-tint"]),
        ];
        for dark in [false, true] {
            for (text, grounds) in texts {
                for ground in grounds {
                    let ratio = contrast(colour(text, dark), colour(ground, dark));
                    assert!(ratio >= 4.5, "{text} on {ground}, dark {dark}: {ratio:.2}");
                }
            }
            // what is no text but must be seen: 3 by WCAG 1.4.11
            for (mark, ground) in [("focus", "card"), ("edge", "card"), ("root", "card"), ("user", "card")] {
                let ratio = contrast(colour(mark, dark), colour(ground, dark));
                assert!(ratio >= 3.0, "{mark} on {ground}, dark {dark}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn every_colour_is_known_and_used() {
        let sheets = [RULES, include_str!("../html/page.css"), include_str!("../svg/names.css")];
        for (name, ..) in PALETTE {
            let used = format!("var(--{name})");
            assert!(sheets.iter().any(|css| css.contains(&used)), "{name} is used nowhere");
        }
        for css in sheets {
            for part in css.split("var(--").skip(1) {
                let name = part.split(')').next().unwrap_or_default();
                assert!(PALETTE.iter().any(|(n, ..)| *n == name), "no colour {name}");
            }
        }
        assert!(!flat().contains("var(") && !flat_of(sheets[2]).contains("var("));
    }
}
