//! States that have been seen, 128 bits each.

use alloc::vec;
use alloc::vec::Vec;

/// A set of fingerprints: a table with open addressing, half full at most.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Zero is a free place.
    table: Vec<u128>,
    len: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            table: vec![0; 1 << 10],
            len: 0,
        }
    }

    pub(super) fn contains(&self, print: u128) -> bool {
        self.table[self.place(print)] != 0
    }

    /// Whether it was not there.
    pub(super) fn insert(&mut self, print: u128) -> bool {
        if self.len * 2 >= self.table.len() {
            self.grow();
        }
        let place = self.place(print);
        let new = self.table[place] == 0;
        if new {
            self.table[place] = some(print);
            self.len += 1;
        }
        new
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.capacity() * size_of::<u128>()
    }

    /// Where it is, or is to be.
    fn place(&self, print: u128) -> usize {
        let (print, mask) = (some(print), self.table.len() - 1);
        let mut place = print as usize & mask;
        while self.table[place] != 0 && self.table[place] != print {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let bigger = vec![0; self.table.len() * 2];
        for print in core::mem::replace(&mut self.table, bigger) {
            if print != 0 {
                let place = self.place(print);
                self.table[place] = print;
            }
        }
    }
}

fn some(print: u128) -> u128 {
    print.max(1)
}

/// 128 bits that differ where the bytes differ, but for chance: two sums, each of all products of a word and a key, folded.
pub(super) fn fingerprint(bytes: &[u8]) -> u128 {
    let (mut one, mut other) = (KEYS[0], KEYS[1] ^ bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        one = fold(one ^ word, KEYS[2]).wrapping_add(word.rotate_left(29));
        other = fold(other.rotate_left(23) ^ word, KEYS[3]) ^ other;
    }
    let (high, low) = (fold(one, KEYS[1] ^ other), fold(other, KEYS[0] ^ one));
    u128::from(high ^ one) << 64 | u128::from(low ^ other)
}

/// The two halves of a product, one laid on the other.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// The first digits of pi, as far as they are odd.
const KEYS: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_knows_what_was_put_into_it(prints in prop::collection::vec(0..5_000u128, 0..3_000)) {
            let (mut seen, mut model) = (Seen::new(), BTreeSet::new());
            for print in prints {
                // Spread over the whole range, and at its end, where the search wraps around.
                let print = u128::MAX - print * 1_025;
                prop_assert_eq!(seen.contains(print), model.contains(&print));
                prop_assert_eq!(seen.insert(print), model.insert(print));
                prop_assert!(seen.contains(print));
            }
        }
    }

    #[test]
    fn half_of_a_fingerprint_is_enough_to_tell_a_million_apart() {
        let mut halves = [BTreeSet::new(), BTreeSet::new()];
        for number in 0..100_000u32 {
            for length in 4..14 {
                let mut bytes = [0; 14];
                bytes[length - 4..length].copy_from_slice(&number.to_le_bytes());
                let print = fingerprint(&bytes[..length]);
                halves[0].insert(print as u64);
                halves[1].insert((print >> 64) as u64);
            }
        }
        assert_eq!(halves.map(|half| half.len()), [1_000_000; 2]);
    }
}
