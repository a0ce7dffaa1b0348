//! `when: nodaemon`, `when: not nodaemon`, `when: [root, not chroot]`.

use super::reader::Reader;
use crate::diagnostic::{At, Place};
use crate::spec::Condition;
use crate::spec::tree::Node;

pub(super) fn conditions(reader: &mut Reader, key: Place, node: Node<'_>) -> Option<Vec<At<Condition>>> {
    let texts = reader.texts("when", key, node, true)?;
    Some(texts.iter().filter_map(|text| condition(reader, text)).collect())
}

fn condition(reader: &mut Reader, text: &At<String>) -> Option<At<Condition>> {
    let words: Vec<&str> = text.v.split_whitespace().collect();
    let (not, option) = match words[..] {
        [option] if option != "not" => (false, option),
        ["not", option] => (true, option),
        _ => {
            reader.bad(
                format!("`{}` is not a condition", text.v),
                text.at,
                "expected `OPTION` or `not OPTION`",
                "a list means that all of them must hold: `when: [a, not b]`",
            );
            return None;
        }
    };
    if let Some(bare) = option.strip_prefix('!') {
        reader.bad(
            format!("`{}` is not a condition", text.v),
            text.at,
            "expected `OPTION` or `not OPTION`",
            format!("write `not {bare}`"),
        );
        return None;
    }
    Some(At::new(Condition { option: option.to_owned(), not }, text.at))
}
