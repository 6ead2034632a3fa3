//! Ranges of work and positions within them.
//!
//! A range is `(after, until]` in the order of its source: `after` is excluded, `until` included,
//! and `None` is an open end. Keys are compared as bytes, which is how `str` compares.

use serde::{Deserialize, Serialize};

/// A place in a manifest: behind one of its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// Which of the manifest's files it is in, from 0.
    pub file: u32,
    /// Bytes of the file up to and with the line, as they are without compression; rows, where the file
    /// is a table.
    pub at: u64,
    /// Lines up to and with it.
    pub number: u64,
}

/// A place in the order in which a source yields its items. Opaque to the job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// In a listing: the key.
    Key(String),
    /// In the failures that a checkpoint holds: the failure's number.
    Failure(u64),
    /// In a listing that is not in the order of its keys: where the server goes on, in its words.
    Token(String),
    /// In a manifest.
    Line(Line),
}

impl Position {
    /// The key, if this is a place in a listing.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Failure(_) | Self::Token(_) | Self::Line(_) => None,
        }
    }

    /// Whether it can be told which of two such places comes first.
    pub fn is_ordered(&self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

/// A range's name: made from its start, so that it needs no counter and two journals can be merged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RangeId {
    /// Index of the source on the command line.
    pub source: u32,
    /// The open start of the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
}

impl RangeId {
    /// Whether a range of this name may hold an item at `position` of `source`: failures of all
    /// sources are in one range, and so are the lines of a manifest.
    pub fn is_of(&self, source: u32, position: &Position) -> bool {
        match (&self.after, position) {
            (Some(Position::Failure(_)), Position::Failure(_)) => true,
            (Some(Position::Failure(_)), _) | (_, Position::Failure(_)) => false,
            (Some(Position::Line(_)), Position::Line(_)) => true,
            _ => self.source == source,
        }
    }
}

/// A range of work: `(id.after, until]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The range's name and start.
    #[serde(flatten)]
    pub id: RangeId,
    /// The last position that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Position>,
    /// Everything up to here is finished or recorded as open (the watermark).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
}

impl Range {
    /// All that the source at index `source` holds.
    pub fn whole(source: u32) -> Self {
        Self { id: RangeId { source, after: None }, until: None, at: None }
    }

    /// The failures numbered `(after, until]` of the checkpoint.
    pub fn failures(after: u64, until: u64) -> Self {
        Self {
            id: RangeId { source: 0, after: Some(Position::Failure(after)) },
            until: Some(Position::Failure(until)),
            at: None,
        }
    }

    /// This key of a source, and few others.
    pub fn around(source: u32, key: &str) -> Self {
        let before = just_before(key);
        let after = Some(before).filter(|before| !before.is_empty()).map(Position::Key);
        Self { id: RangeId { source, after }, until: Some(Position::Key(key.to_owned())), at: None }
    }

    /// All lines of the file numbered `file` of a manifest.
    pub fn lines(file: u32) -> Self {
        let end = Line { file, at: u64::MAX, number: u64::MAX };
        Self {
            id: RangeId { source: 0, after: Some(Position::Line(Line { file, ..Line::default() })) },
            until: Some(Position::Line(end)),
            at: None,
        }
    }

    /// Where work goes on: the watermark, or the start.
    pub fn cursor(&self) -> Option<&Position> {
        self.at.as_ref().or(self.id.after.as_ref())
    }

    /// Whether `position` belongs to the range and is still to be worked on; `false` where it cannot be
    /// told.
    pub fn is_ahead(&self, position: &Position) -> bool {
        self.cursor().is_none_or(|cursor| cursor.is_ordered() && position > cursor)
            && self.until.as_ref().is_none_or(|until| position <= until)
    }

    /// Cuts `(after, until]` at `cuts` (ascending, inside the range): this range keeps what is up
    /// to the first cut, the others are returned.
    pub fn split(&mut self, cuts: &[Position]) -> Vec<Self> {
        let Some((first, _)) = cuts.split_first() else { return Vec::new() };
        let end = self.until.replace(first.clone());
        let ends = cuts.iter().skip(1).cloned().map(Some).chain([end]);
        let source = self.id.source;
        let starts = cuts.iter().cloned();
        starts
            .zip(ends)
            .map(|(after, until)| Self { id: RangeId { source, after: Some(after) }, until, at: None })
            .collect()
    }
}

/// A key before `key`, with few that can lie between them; nothing, where it is the first of all.
pub fn just_before(key: &str) -> String {
    let mut chars = key.chars();
    let Some(last) = chars.next_back() else { return String::new() };
    let mut before = chars.as_str().to_owned();
    // Near the longest key that there can be, something shorter will do.
    if let Some(less) = char::from_u32(u32::from(last).wrapping_sub(1)).filter(|_| key.len() < 1_000) {
        before.push(less);
        before.push('\u{10fffd}');
    }
    before
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_keys_lie_between_a_key_and_the_one_just_before() {
        assert_eq!(just_before("abc"), "abb\u{10fffd}");
        assert_eq!(just_before(""), "");
        assert_eq!(just_before(&"x".repeat(1_000)).len(), 999);
    }

    proptest! {
        #[test]
        fn it_is_before_the_key(key in "\\PC{1,8}") {
            prop_assert!(just_before(&key) < key);
            let range = Range::around(0, &key);
            prop_assert!(range.is_ahead(&Position::Key(key)));
        }
    }

    fn key(k: &str) -> Position {
        Position::Key(k.to_owned())
    }

    #[test]
    fn a_split_covers_the_range_without_gap_or_overlap() {
        let mut range = Range { until: Some(key("z")), ..Range::whole(3) };
        let rest = range.split(&[key("b"), key("m")]);
        assert_eq!(range.until, Some(key("b")));
        let bounds: Vec<_> = rest.iter().map(|r| (r.id.after.clone(), r.until.clone())).collect();
        assert_eq!(bounds, [(Some(key("b")), Some(key("m"))), (Some(key("m")), Some(key("z")))]);
        assert!(rest.iter().all(|r| r.id.source == 3 && r.at.is_none()));
    }

    #[test]
    fn a_split_at_nothing_changes_nothing() {
        let mut range = Range::whole(0);
        assert!(range.split(&[]).is_empty());
        assert_eq!(range, Range::whole(0));
    }

    #[test]
    fn each_file_of_a_manifest_is_a_range_of_lines_of_all_sources() {
        let line = |file, at| Position::Line(Line { file, at, number: 1 });
        let (first, second) = (Range::lines(0), Range::lines(1));
        assert!(first.is_ahead(&line(0, 7)) && !first.is_ahead(&line(1, 7)) && second.is_ahead(&line(1, 7)));
        assert!(first.id.is_of(3, &line(0, 7)) && !first.id.is_of(0, &Position::Failure(1)));
        assert!(!Range::failures(0, 9).id.is_of(0, &line(0, 7)));
    }

    #[test]
    fn work_goes_on_at_the_watermark_or_else_at_the_start() {
        let mut range = Range::failures(2, 9);
        assert_eq!(range.cursor(), Some(&Position::Failure(2)));
        range.at = Some(Position::Failure(5));
        assert_eq!(range.cursor(), Some(&Position::Failure(5)));
    }
}
