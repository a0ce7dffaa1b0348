//! Ids that are the same whenever the same run is told again, and never twice in one run.

use crate::timeline::Timeline;

pub struct Ids {
    trace: u128,
    base: u64,
}

/// FNV-1a with 128 bits: short, and the same for ever, which the standard library's hash is not.
fn fnv(bytes: &[u8]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

impl Ids {
    pub fn new(timeline: &Timeline) -> Ids {
        let Timeline { spec, run, pid, wall_ns, .. } = timeline;
        let hash = fnv(format!("{spec}\0{run}\0{pid}\0{wall_ns}").as_bytes());
        // Neither id may be all zeros. The numbers of spans leave the highest bit alone.
        let base = (hash >> 64) as u64 ^ hash as u64 | 1 << 63;
        Ids { trace: hash.max(1), base }
    }

    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace)
    }

    fn span(&self, sort: u64, number: usize) -> String {
        format!("{:016x}", self.base ^ (sort << 48 | number as u64 & 0xffff_ffff_ffff))
    }

    pub fn root(&self) -> String {
        self.span(0, 0)
    }

    pub fn group(&self, number: usize) -> String {
        self.span(1, number)
    }

    pub fn phase(&self, number: usize) -> String {
        self.span(2, number)
    }

    pub fn undo(&self, number: usize) -> String {
        self.span(3, number)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of draft-eastlake-fnv: FNV-1a-128 of "" and of "a".
        assert_eq!(super::fnv(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(super::fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
