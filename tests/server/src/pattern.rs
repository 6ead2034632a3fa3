//! Bytes without meaning and without end, made as they are read: each is a function of a seed and of
//! its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;

use crate::checksum::{self, Running, Shift};
use crate::random::SplitMix;

/// The bytes repeat after so many, all but the number of the repetition.
const BLOCK: usize = 1 << 20;

/// Where the number of the repetition is mixed in.
const NUMBER: usize = size_of::<u64>();

/// What the blocks of all seeds are cut from, at a place that depends on the seed.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let mut random = SplitMix(0);
    let words = (0..2 * BLOCK / NUMBER).map(|_| random.next_u64().to_le_bytes());
    words.flatten().collect::<Vec<u8>>().into()
});

/// The checksums of the blocks that were asked for, by where they are cut from.
static CHECKSUMS: Mutex<BTreeMap<usize, u64>> = Mutex::new(BTreeMap::new());

/// The bytes of one seed.
pub(crate) struct Pattern {
    /// Where the block is cut from.
    start: usize,
    /// Block number 0; in the others the first bytes differ.
    block: Bytes,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Pattern {
        let start = usize::try_from(SplitMix(seed).next_u64() % BLOCK as u64).unwrap_or_default();
        Pattern { start, block: NOISE.slice(start..start + BLOCK) }
    }

    /// The bytes of the range in pieces, as they lie in memory.
    pub(crate) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> + Send + 'static {
        let block = self.block.clone();
        let mut at = range.start;
        std::iter::from_fn(move || {
            let most = usize::try_from(range.end.checked_sub(at)?).unwrap_or(usize::MAX);
            let piece = piece(&block, at, most);
            at += piece.len() as u64;
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// The checksum of the range. Whole blocks cost a multiplication each.
    pub(crate) fn checksum(&self, range: Range<u64>) -> u64 {
        let size = BLOCK as u64;
        let (first, last) = (range.start.div_ceil(size), range.end / size);
        if first >= last {
            return self.read(range);
        }
        let mut checksum = self.read(range.start..first * size);
        let (block, shift) = (self.block_checksum(), Shift::by(size));
        for number in first..last {
            // The number lies where a checksum of what came before is mixed in, too.
            checksum = shift.apply(checksum ^ number) ^ block;
        }
        checksum::combine(checksum, self.read(last * size..range.end), range.end - last * size)
    }

    fn block_checksum(&self) -> u64 {
        let mut known = CHECKSUMS.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(self.start).or_insert_with(|| checksum::of(&self.block))
    }

    fn read(&self, range: Range<u64>) -> u64 {
        let mut running = Running::new();
        self.pieces(range).for_each(|piece| running.update(&piece));
        running.finish()
    }
}

fn piece(block: &Bytes, at: u64, most: usize) -> Bytes {
    let number = at / BLOCK as u64;
    let within = usize::try_from(at % BLOCK as u64).unwrap_or_default();
    if within >= NUMBER || number == 0 {
        return block.slice(within..within.saturating_add(most).min(BLOCK));
    }
    let mixed: Vec<u8> = block.iter().zip(number.to_le_bytes()).map(|(byte, mixed)| byte ^ mixed).collect();
    Bytes::from(mixed).slice(within..within.saturating_add(most).min(NUMBER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: u64, range: Range<u64>) -> Vec<u8> {
        Pattern::new(seed).pieces(range).flatten().collect()
    }

    #[test]
    fn every_byte_has_its_place() {
        let end = 3 * BLOCK as u64 + 100;
        let whole = bytes(7, 0..end);
        assert_eq!(whole.len() as u64, end);
        for start in [0, 3, 9, BLOCK as u64 - 2, BLOCK as u64 + 5, 2 * BLOCK as u64] {
            let at = usize::try_from(start).unwrap();
            assert!(bytes(7, start..end) == whole[at..], "{start}");
            assert!(bytes(7, start..start + 12) == whole[at..at + 12], "{start}");
        }
        assert!(whole[..BLOCK] != whole[BLOCK..2 * BLOCK]);
        assert!(whole[..100] != bytes(8, 0..100));
        assert!(bytes(7, 5..5).is_empty());
    }

    #[test]
    fn checksums_need_no_bytes() {
        let size = BLOCK as u64;
        for range in [0..0, 0..1, 5..100, 0..size, 3..size + 3, 0..3 * size + 7, 9..4 * size, 2 * size..3 * size] {
            let pattern = Pattern::new(1);
            assert_eq!(pattern.checksum(range.clone()), checksum::of(&bytes(1, range.clone())), "{range:?}");
        }
    }
}
