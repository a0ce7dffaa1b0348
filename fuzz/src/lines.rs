//! Everything that is read here is made of lines: changes of whole lines get further than those of bytes.

/// Changes lines of the first `size` bytes. `None`: bytes are to be changed, this time.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32) -> Option<usize> {
    let mut seed = u64::from(seed) | 1 << 40;
    let mut draw = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    let mut lines: Vec<Vec<u8>> = data.get(..size)?.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    if draw(3) != 0 || lines.len() < 3 {
        return None;
    }
    for _ in 0..=draw(3) {
        let (at, other) = (draw(lines.len()), draw(lines.len()));
        match draw(6) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[other].clone()),
            2 => lines.swap(at, other),
            3 => {
                // the end of another line, behind what both have of a key
                let cut =
                    |line: &[u8]| line.iter().position(|b| *b == b':').map_or(line.len() / 2, |n| n + 1);
                let tail = lines[other][cut(&lines[other])..].to_vec();
                let cut = cut(&lines[at]);
                lines[at].truncate(cut);
                lines[at].extend(tail);
            }
            4 => {
                let line = lines.remove(at);
                lines.insert(other.min(lines.len()), line);
            }
            _ => {
                let indent = draw(9);
                let text = lines[at].iter().position(|b| *b != b' ').unwrap_or(0);
                lines[at].splice(..text, std::iter::repeat_n(b' ', indent));
            }
        }
    }
    let text = lines.join(&b'\n');
    let length = text.len().min(most).min(data.len());
    data[..length].copy_from_slice(&text[..length]);
    Some(length)
}
