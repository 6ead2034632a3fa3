//! How a copy is known to be right. Pure.

use super::existing::one_part;
use crate::model::{Checksum, Evidence, Operation, RequestError, Written};
use crate::store::mismatch;

/// The evidence for a copy that the store made: equal checksums of the whole, or else equal entity
/// tags of objects of one part. Tags that differ prove nothing: one may be encrypted.
///
/// # Errors
/// Checksums that differ.
pub(super) fn of_store_copy(
    operation: Operation,
    etag: Option<&str>,
    checksum: Option<Checksum>,
    written: &Written,
) -> Result<Evidence, RequestError> {
    if let (Some(source), Some(dest)) = (checksum, written.checksum) {
        return if source == dest { Ok(Evidence::Checksum) } else { Err(mismatch(operation, source, dest)) };
    }
    let tags = (etag.and_then(one_part), written.etag.as_deref().and_then(one_part));
    match tags {
        (Some(source), Some(dest)) if source == dest && !written.has_opaque_etag => Ok(Evidence::Etag),
        _ => Ok(Evidence::Answer),
    }
}

/// Whether a copy that the store made is not that of the object with this entity tag: both are of one part.
pub(super) fn is_of_another(etag: &str, written: &Written) -> bool {
    let tags = (one_part(etag), written.etag.as_deref().and_then(one_part));
    !written.has_opaque_etag && matches!(tags, (Some(source), Some(dest)) if source != dest)
}

/// The evidence for bytes that went through this machine: `computed` is their checksum here,
/// `source` the one that the source's store has, which was compared.
///
/// # Errors
/// A destination that has other bytes.
pub(super) fn of_bytes(
    operation: Operation,
    computed: Option<Checksum>,
    source: Option<Checksum>,
    written: &Written,
) -> Result<Evidence, RequestError> {
    match (computed.or(source), written.checksum) {
        (Some(here), Some(there)) if here != there => Err(mismatch(operation, here, there)),
        (Some(_), Some(_)) if source.is_some() => Ok(Evidence::Checksum),
        (Some(_), Some(_)) => Ok(Evidence::Digest),
        _ if written.has_checked => Ok(Evidence::Digest),
        _ => Ok(Evidence::Size),
    }
}

/// How many parts an entity tag says that its object was written in.
pub(super) fn parts_in(etag: &str) -> Option<usize> {
    let (digest, count) = etag.trim_matches('"').split_once('-')?;
    one_part(digest)?;
    count.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"0123456789abcdef0123456789abcdef\"";

    fn written(etag: &str, checksum: Option<Checksum>) -> Written {
        Written { etag: Some(etag.to_owned()), checksum, ..Written::default() }
    }

    fn store_copy(checksum: Option<Checksum>, written: &Written) -> Result<Evidence, RequestError> {
        of_store_copy(Operation::CopyObject, Some(ETAG), checksum, written)
    }

    #[test]
    fn checksums_outweigh_entity_tags() {
        let (a, b) = (Checksum::of(b"a"), Checksum::of(b"b"));
        assert_eq!(store_copy(Some(a), &written("\"x\"", Some(a))), Ok(Evidence::Checksum));
        let error = store_copy(Some(a), &written(ETAG, Some(b))).unwrap_err();
        assert!(error.message.contains(&a.to_string()) && error.message.contains(&b.to_string()));
    }

    #[test]
    fn entity_tags_are_compared_only_where_they_are_md5s() {
        assert_eq!(store_copy(None, &written(ETAG, None)), Ok(Evidence::Etag));
        assert_eq!(store_copy(None, &written("\"0-2\"", None)), Ok(Evidence::Answer));
        let opaque = Written { has_opaque_etag: true, ..written(ETAG, None) };
        assert_eq!(store_copy(None, &opaque), Ok(Evidence::Answer));
        let parts = format!("{}-2\"", ETAG.trim_end_matches('"'));
        let copied = of_store_copy(Operation::CopyObject, Some(&parts), None, &written(&parts, None));
        assert_eq!(copied, Ok(Evidence::Answer));
        assert_eq!((parts_in(&parts), parts_in(ETAG)), (Some(2), None));
    }

    #[test]
    fn bytes_are_known_by_what_the_destination_confirmed() {
        let of = |source, confirmed| {
            let computed = Some(Checksum::of(b"a"));
            of_bytes(Operation::PutObject, computed, source, &written(ETAG, confirmed)).map_err(|error| error.code)
        };
        let a = Some(Checksum::of(b"a"));
        assert_eq!(of(a, a), Ok(Evidence::Checksum));
        assert_eq!(of(None, a), Ok(Evidence::Digest));
        assert_eq!(of(a, None), Ok(Evidence::Size));
        assert_eq!(of(a, Some(Checksum::of(b"b"))), Err("ChecksumMismatch".to_owned()));
    }
}
