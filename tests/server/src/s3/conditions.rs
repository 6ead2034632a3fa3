//! Conditional requests: `If-Match` and its kin.

use s3s::dto::ETagCondition;
use s3s::{S3ErrorCode, S3Result};

use super::fail;
use crate::object::Object;

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    }
}

/// Refuses a read unless the conditions on the object hold; 412 for both, as for copies.
pub(super) fn check_source(
    object: &Object,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let changed = if_match.is_some_and(|condition| !matches(condition, object));
    let unchanged = if_none_match.is_some_and(|condition| matches(condition, object));
    if changed || unchanged {
        return Err(fail(S3ErrorCode::PreconditionFailed, "the entity tag of the source is not as asked"));
    }
    Ok(())
}

/// Refuses a read of the object itself: 412, or 304 where the client has it already.
pub(super) fn check_read(
    object: &Object,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    check_source(object, if_match, None)?;
    if if_none_match.is_some_and(|condition| matches(condition, object)) {
        return Err(fail(S3ErrorCode::NotModified, "the object has this entity tag"));
    }
    Ok(())
}

/// Refuses a write unless the conditions on what is there already hold.
pub(super) fn check_write(
    existing: Option<&Object>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    if if_none_match.is_some() && existing.is_some() {
        return Err(fail(S3ErrorCode::PreconditionFailed, "there is an object under this key"));
    }
    match (if_match, existing) {
        (Some(_), None) => Err(fail(S3ErrorCode::NoSuchKey, "there is no object to match")),
        (Some(condition), Some(object)) if !matches(condition, object) => {
            Err(fail(S3ErrorCode::PreconditionFailed, "the object under this key has another entity tag"))
        }
        _ => Ok(()),
    }
}

/// The condition in a header that the protocol layer does not know on this call.
pub(super) fn from_header(headers: &::http::HeaderMap, name: &str) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let condition = ETagCondition::parse_http_header(value.as_bytes());
    condition.map(Some).map_err(|_| fail(S3ErrorCode::InvalidArgument, "no entity tag in the condition"))
}
