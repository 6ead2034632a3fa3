//! Into which parts an object is cut. Pure.

use std::ops::Range;

/// Parts that an upload may have. *Source:* "Amazon S3 multipart upload limits".
pub(super) const MOST_PARTS: u64 = 10_000;
/// The smallest part but the last: 5 MiB. *Source:* the same.
pub const SMALLEST_PART: u64 = 5 * MIB;
/// The largest part: 5 GiB. *Source:* the same.
pub const LARGEST_PART: u64 = 5 << 30;
/// The largest object: as many of the largest parts as there may be, S3's "50 TB".
const LARGEST_OBJECT: u64 = MOST_PARTS * LARGEST_PART;
/// Parts of the source that are taken over. Larger ones would be copied with little in parallel,
/// and sent again whole after a fault. Chosen, not measured.
const LARGEST_TAKEN_OVER: u64 = 1 << 30;

const MIB: u64 = 1 << 20;

/// The size of the parts of an object of `size` bytes, in bytes: whole MiB, all parts equal but the
/// last (Cloudflare R2 insists on that), at most 10,000. What was `asked` for counts most; then the
/// parts that the source was written in (size of the first, number), so that entity tags come out
/// equal; then the `usual` size. Raised where it is too small for the object.
///
/// `None` for an object that is larger than any upload can be.
pub(super) fn part_size(size: u64, asked: Option<u64>, source: Option<(u64, u64)>, usual: u64) -> Option<u64> {
    if size > LARGEST_OBJECT {
        return None;
    }
    let wanted = asked.or_else(|| sensible(size, source?)).unwrap_or(usual);
    let least = size.div_ceil(MOST_PARTS).max(SMALLEST_PART);
    Some(wanted.max(least).div_ceil(MIB).saturating_mul(MIB).min(LARGEST_PART))
}

/// The source's part size, if all of its parts but the last have it and it is one of ours.
fn sensible(size: u64, (first, count): (u64, u64)) -> Option<u64> {
    let whole = first.is_multiple_of(MIB) && (SMALLEST_PART..=LARGEST_TAKEN_OVER).contains(&first);
    (whole && count == size.div_ceil(first)).then_some(first)
}

/// The number of parts of an object; one that is empty has one.
pub(super) fn count(size: u64, part_size: u64) -> u16 {
    u16::try_from(size.div_ceil(part_size.max(1)).max(1)).unwrap_or(u16::MAX)
}

/// The bytes of part `number`, counted from 1.
pub(super) fn bytes(size: u64, part_size: u64, number: u16) -> Range<u64> {
    let start = u64::from(number.saturating_sub(1)).saturating_mul(part_size).min(size);
    start..start.saturating_add(part_size).min(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_usual_size_until_there_would_be_too_many_parts() {
        assert_eq!(part_size(GIB, None, None, 16 * MIB), Some(16 * MIB));
        assert_eq!(part_size(160_000 * MIB, None, None, 16 * MIB), Some(16 * MIB));
        assert_eq!(part_size(160_000 * MIB + 1, None, None, 16 * MIB), Some(17 * MIB));
        assert_eq!(part_size(LARGEST_OBJECT, None, None, 16 * MIB), Some(LARGEST_PART));
        assert_eq!(part_size(LARGEST_OBJECT + 1, None, None, 16 * MIB), None);
    }

    #[test]
    fn what_was_asked_for_counts_most_and_is_raised_where_it_must_be() {
        assert_eq!(part_size(GIB, Some(64 * MIB), Some((8 * MIB, 128)), 16 * MIB), Some(64 * MIB));
        assert_eq!(part_size(GIB, Some(1), None, 16 * MIB), Some(5 * MIB));
        assert_eq!(part_size(GIB, Some(6 * MIB + 1), None, 16 * MIB), Some(7 * MIB));
        assert_eq!(part_size(1000 * GIB, Some(5 * MIB), None, 16 * MIB), Some(103 * MIB));
    }

    #[test]
    fn the_source_s_parts_are_taken_over_where_they_are_regular() {
        let of = |source| part_size(GIB, None, Some(source), 16 * MIB);
        assert_eq!(of((8 * MIB, 128)), Some(8 * MIB));
        assert_eq!(of((8 * MIB, 127)), Some(16 * MIB), "another number than equal parts would make");
        assert_eq!(of((8 * MIB + 1, 128)), Some(16 * MIB));
        assert_eq!(of((MIB, 1024)), Some(16 * MIB));
    }

    proptest! {
        #[test]
        fn parts_cover_the_object_within_the_limits(
            size in prop_oneof![1..=LARGEST_OBJECT, 1..=100 * GIB, 1..=20 * MIB],
            asked in proptest::option::of(1..=2 * LARGEST_PART),
            source in proptest::option::of((1..=LARGEST_PART, 1..=MOST_PARTS)),
            usual in (5..=128u64).prop_map(|n| n * MIB),
        ) {
            let part = part_size(size, asked, source, usual).unwrap();
            prop_assert!(part.is_multiple_of(MIB) && (SMALLEST_PART..=LARGEST_PART).contains(&part));
            let count = count(size, part);
            prop_assert!(u64::from(count) <= MOST_PARTS);
            prop_assert_eq!(bytes(size, part, 1).start, 0);
            prop_assert_eq!(bytes(size, part, count).end, size);
            for number in [2, count / 2, count].into_iter().filter(|number| (2..=count).contains(number)) {
                let (before, this) = (bytes(size, part, number - 1), bytes(size, part, number));
                prop_assert_eq!((before.end, before.end - before.start), (this.start, part));
                prop_assert!(!this.is_empty());
            }
        }
    }
}
