//! What an object is made of: bytes that are stored, and bytes that need no memory.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};

use crate::checksum;
use crate::pattern::Pattern;

/// How much of a hole is sent at once.
const ZEROS: &[u8] = &[0; 256 * 1024];

/// A piece of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Stored bytes.
    Stored(Bytes),
    /// So many zero bytes.
    Hole(u64),
    /// Bytes that are a function of the seed and of their offset.
    Pattern {
        /// Two seeds have nothing in common.
        seed: u64,
        /// Which of the bytes of that seed.
        range: Range<u64>,
    },
    /// Bytes that came in and were not kept; they cannot be read.
    Discarded {
        /// How many.
        size: u64,
        /// Their CRC-64/NVME.
        checksum: u64,
    },
}

/// The pieces of an object, in order. None is empty, and neighbours are one piece where they can be
/// without copying bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    segments: Vec<Segment>,
}

impl Segment {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match self {
            Segment::Stored(bytes) => bytes.len() as u64,
            Segment::Hole(size) | Segment::Discarded { size, .. } => *size,
            Segment::Pattern { range, .. } => range.end.saturating_sub(range.start),
        }
    }

    fn checksum(&self) -> u64 {
        match self {
            Segment::Stored(bytes) => checksum::of(bytes),
            Segment::Hole(size) => checksum::of_zeros(*size),
            Segment::Pattern { seed, range } => Pattern::new(*seed).checksum(range.clone()),
            Segment::Discarded { checksum, .. } => *checksum,
        }
    }

    /// The bytes of a range within it; `None` where they were not kept.
    fn slice(&self, range: Range<u64>) -> Option<Segment> {
        if range == (0..self.size()) {
            return Some(self.clone());
        }
        Some(match self {
            Segment::Stored(bytes) => {
                let at = |at: u64| usize::try_from(at).unwrap_or(bytes.len());
                Segment::Stored(bytes.slice(at(range.start)..at(range.end)))
            }
            Segment::Hole(_) => Segment::Hole(range.end - range.start),
            Segment::Pattern { seed, range: own } => {
                Segment::Pattern { seed: *seed, range: own.start + range.start..own.start + range.end }
            }
            Segment::Discarded { .. } => return None,
        })
    }

    /// Adds to the MD5; only stored bytes are really hashed, the others told apart.
    fn hash(&self, hash: &mut Md5) {
        match self {
            Segment::Stored(bytes) => hash.update(bytes),
            Segment::Hole(size) => hash.update(size.to_be_bytes()),
            Segment::Pattern { seed, range } => {
                [*seed, range.start, range.end].iter().for_each(|number| hash.update(number.to_be_bytes()));
            }
            Segment::Discarded { size, checksum } => {
                [*size, *checksum].iter().for_each(|number| hash.update(number.to_be_bytes()));
            }
        }
    }

    /// The bytes, piece by piece; none where they were not kept.
    fn pieces(self) -> Box<dyn Iterator<Item = Bytes> + Send> {
        match self {
            Segment::Stored(bytes) => Box::new(std::iter::once(bytes)),
            Segment::Hole(mut left) => Box::new(std::iter::from_fn(move || {
                let size = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
                left -= size as u64;
                (size > 0).then(|| Bytes::from_static(ZEROS).slice(..size))
            })),
            Segment::Pattern { seed, range } => Box::new(Pattern::new(seed).pieces(range)),
            Segment::Discarded { .. } => Box::new(std::iter::empty()),
        }
    }
}

impl Content {
    /// Adds a piece at the end.
    pub(crate) fn push(&mut self, segment: Segment) {
        match (self.segments.last_mut(), &segment) {
            _ if segment.size() == 0 => {}
            (Some(Segment::Hole(size)), Segment::Hole(more)) => *size += more,
            (Some(Segment::Pattern { seed, range }), Segment::Pattern { seed: next, range: more })
                if seed == next && range.end == more.start =>
            {
                range.end = more.end;
            }
            _ => self.segments.push(segment),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// The bytes of a range; `None` where they were not kept, and not all of them are asked for.
    pub(crate) fn slice(&self, range: &Range<u64>) -> Option<Content> {
        let mut sliced = Content::default();
        let mut start = 0;
        for segment in &self.segments {
            let end = start + segment.size();
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                sliced.push(segment.slice(from - start..to - start)?);
            }
            start = end;
        }
        Some(sliced)
    }

    /// Whether all the bytes can be read.
    pub(crate) fn is_kept(&self) -> bool {
        !self.segments.iter().any(|segment| matches!(segment, Segment::Discarded { .. }))
    }

    /// The CRC-64/NVME of all the bytes.
    pub(crate) fn checksum(&self) -> u64 {
        let add = |sum, segment: &Segment| checksum::combine(sum, segment.checksum(), segment.size());
        match self.segments.as_slice() {
            [only] => only.checksum(),
            segments => segments.iter().fold(0, add),
        }
    }

    /// The MD5 of all the bytes if all are stored, else something made up.
    pub(crate) fn md5(&self) -> [u8; 16] {
        let mut hash = Md5::new();
        self.segments.iter().for_each(|segment| segment.hash(&mut hash));
        hash.finalize().into()
    }

    /// The bytes, piece by piece.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Bytes> + Send {
        self.segments.into_iter().flat_map(Segment::pieces)
    }

    /// The stored bytes that it begins with, the size of the hole after them, and the rest.
    pub(crate) fn split(self) -> (Bytes, u64, Vec<Segment>) {
        let mut segments = self.segments.into_iter().peekable();
        let mut stored = Vec::new();
        while let Some(Segment::Stored(bytes)) = segments.next_if(|next| matches!(next, Segment::Stored(_))) {
            stored.push(bytes);
        }
        let hole = segments.next_if(|next| matches!(next, Segment::Hole(_))).map_or(0, |hole| hole.size());
        (joined(stored), hole, segments.collect())
    }
}

impl FromIterator<Segment> for Content {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Content {
        let mut content = Content::default();
        segments.into_iter().for_each(|segment| content.push(segment));
        content
    }
}

impl IntoIterator for Content {
    type Item = Segment;
    type IntoIter = std::vec::IntoIter<Segment>;

    fn into_iter(self) -> Self::IntoIter {
        self.segments.into_iter()
    }
}

/// The pieces in one; a single piece is not copied.
pub(crate) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Content {
        let pattern = |range| Segment::Pattern { seed: 3, range };
        let stored = |text: &'static str| Segment::Stored(Bytes::from(text));
        [stored("abc"), Segment::Hole(7), Segment::Hole(3), stored("d"), pattern(0..9), pattern(9..50)]
            .into_iter()
            .collect()
    }

    fn bytes(content: Content) -> Vec<u8> {
        content.pieces().flatten().collect()
    }

    #[test]
    fn neighbours_become_one() {
        let (body, hole, rest) = mixed().split();
        assert_eq!((body.as_ref(), hole), (b"abc".as_slice(), 10));
        assert_eq!(rest, [Segment::Stored(Bytes::from("d")), Segment::Pattern { seed: 3, range: 0..50 }]);
        assert_eq!(mixed().size(), 64);
    }

    #[test]
    fn slices_and_checksums_are_those_of_the_bytes() {
        let whole = bytes(mixed());
        for range in [0..64, 0..0, 1..2, 2..5, 5..9, 12..15, 13..64, 20..30] {
            let slice = mixed().slice(&range).unwrap();
            let at = |at: u64| usize::try_from(at).unwrap();
            let expected = &whole[at(range.start)..at(range.end)];
            assert_eq!(slice.checksum(), checksum::of(expected), "{range:?}");
            assert_eq!(bytes(slice), expected, "{range:?}");
        }
    }

    #[test]
    fn discarded_bytes_are_whole_or_not_at_all() {
        let content: Content = [Segment::Hole(2), Segment::Discarded { size: 5, checksum: 9 }].into_iter().collect();
        assert!(!content.is_kept());
        assert_eq!(content.slice(&(2..7)).unwrap().checksum(), 9);
        assert!(content.slice(&(2..6)).is_none());
        assert!(content.slice(&(0..2)).unwrap().is_kept());
    }
}
