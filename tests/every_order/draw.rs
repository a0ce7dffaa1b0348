//! Orders by number and by chance.

/// Numbers that are the same for the same seed (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

/// How many orders `n` phases have.
pub fn factorial(n: usize) -> usize {
    (1..=n).product()
}

/// The order of that number, of [`factorial`] many: the numbering is lexicographic.
pub fn order<T: Copy>(phases: &[T], mut number: usize) -> Vec<T> {
    let mut left = phases.to_vec();
    let mut made = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let behind = factorial(left.len() - 1);
        made.push(left.remove((number / behind) % left.len()));
        number %= behind;
    }
    made
}
