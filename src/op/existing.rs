//! Whether an object that the destination already has is left alone. Pure.

use crate::model::{Object, Skip};

/// What is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Nothing is overwritten: what is there is not written, and each write is made on the condition
    /// that there is nothing (which some stores ignore).
    pub all: bool,
    /// An object of the same size, not older than the source, with an equal entity tag or checksum
    /// where these can be compared.
    pub same: bool,
    /// An object that is newer than the source.
    pub newer: bool,
}

impl Keep {
    /// Whether it matters what the destination holds.
    pub fn looks_beside(self) -> bool {
        self.all || self.same || self.newer
    }
}

/// What follows from what two listings show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Copy,
    Skip(Skip),
    /// The same, if the entity tags differ only because one is no MD5: the listing does not say.
    SkipIfOpaque,
}

/// Compares a source object with what the destination holds under the name of its copy.
pub(super) fn compare(source: &Object, dest: &Object, keep: Keep) -> Verdict {
    let (written, found) = (source.last_modified.unwrap_or(i64::MAX), dest.last_modified.unwrap_or(i64::MIN));
    if keep.newer && found > written {
        return Verdict::Skip(Skip::Newer);
    }
    if !keep.same || source.size != dest.size || found < written {
        return Verdict::Copy;
    }
    match (source.etag.as_deref().and_then(one_part), dest.etag.as_deref().and_then(one_part)) {
        (Some(source), Some(dest)) if source != dest => Verdict::SkipIfOpaque,
        // Of several parts: it depends on how they were cut.
        _ => Verdict::Skip(Skip::Same),
    }
}

/// The entity tag of an object of one part, which is its MD5 unless it is encrypted.
pub(super) fn one_part(etag: &str) -> Option<&str> {
    let bare = etag.trim_matches('"');
    (bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "\"0123456789abcdef0123456789abcdef\"";
    const B: &str = "\"ffffffffffffffffffffffffffffffff\"";
    const PARTS: &str = "\"0123456789abcdef0123456789abcdef-3\"";
    const SAME: Keep = Keep { all: false, same: true, newer: false };
    const NEWER: Keep = Keep { all: false, same: false, newer: true };

    fn object(size: u64, time: i64, etag: &str) -> Object {
        Object { last_modified: Some(time), etag: Some(etag.to_owned()), ..Object::new("k", size) }
    }

    #[test]
    fn the_same_object_is_skipped() {
        let verdict = |source: &Object, dest: &Object| compare(source, dest, SAME);
        let source = object(5, 100, A);
        assert_eq!(verdict(&source, &object(5, 100, A)), Verdict::Skip(Skip::Same));
        assert_eq!(verdict(&source, &object(5, 99, A)), Verdict::Copy, "older than the source");
        assert_eq!(verdict(&source, &object(6, 200, A)), Verdict::Copy, "another size");
        assert_eq!(verdict(&source, &object(5, 200, B)), Verdict::SkipIfOpaque);
        assert_eq!(verdict(&source, &object(5, 200, PARTS)), Verdict::Skip(Skip::Same));
        assert_eq!(verdict(&source, &Object { last_modified: None, ..object(5, 0, A) }), Verdict::Copy);
    }

    #[test]
    fn a_newer_object_is_skipped_whatever_it_holds() {
        let source = object(5, 100, A);
        assert_eq!(compare(&source, &object(9, 101, B), NEWER), Verdict::Skip(Skip::Newer));
        assert_eq!(compare(&source, &object(5, 100, A), NEWER), Verdict::Copy);
        assert_eq!(compare(&source, &object(9, 101, B), SAME), Verdict::Copy);
    }
}
