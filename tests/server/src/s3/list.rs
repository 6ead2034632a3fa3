//! ListObjectsV2.

use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::{Answer, Call, Calls, answer, etag, fail, int};
use crate::encoding;
use crate::listing::{self, Entry, Query};
use crate::object::Restore;

pub(super) async fn objects(calls: &Calls, req: Call<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
    let input = req.input;
    let asked = input.max_keys.unwrap_or(1000);
    let asked = usize::try_from(asked).map_err(|_| fail(S3ErrorCode::InvalidArgument, "max-keys is negative"))?;
    let cursor = input.continuation_token.as_deref().map(read_token).transpose()?;
    let limit = asked.min(calls.config.page_size.into());
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref().unwrap_or_default(),
        after: cursor.as_deref().or(input.start_after.as_deref()),
        limit,
    };
    let encode = encoder(input.encoding_type.as_ref().filter(|_| !calls.config.claims_encoding));
    let attributes = input.optional_object_attributes.unwrap_or_default();
    let with_restore = attributes.iter().any(|attribute| attribute.as_str() == "RestoreStatus");
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    let mut state = calls.store.lock();
    let page = listing::page(&state.bucket(&input.bucket)?.objects, &query);
    for entry in page.entries {
        match entry {
            Entry::Key(key, object) => contents.push(Object {
                e_tag: Some(etag(&object.etag)),
                key: Some(encode(key)),
                last_modified: Some(object.last_modified.into()),
                restore_status: object.restore.as_ref().filter(|_| with_restore).map(restore_status),
                size: Some(int(object.size())),
                storage_class: Some(ObjectStorageClass::from(object.storage_class.clone())),
                ..Default::default()
            }),
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encode(prefix)) }),
        }
    }
    answer(ListObjectsV2Output {
        key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
        max_keys: i32::try_from(limit).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|cursor| write_token(&cursor)),
        continuation_token: input.continuation_token,
        contents: Some(contents),
        common_prefixes: (!prefixes.is_empty()).then_some(prefixes),
        delimiter: input.delimiter.as_deref().map(encode),
        prefix: Some(encode(query.prefix)),
        start_after: input.start_after.as_deref().map(encode),
        encoding_type: input.encoding_type,
        name: Some(input.bucket),
        ..Default::default()
    })
}

/// What is done to the names in the answer.
pub(super) fn encoder(encoding: Option<&EncodingType>) -> fn(&str) -> String {
    match encoding {
        Some(encoding) if encoding.as_str() == EncodingType::URL => encoding::url_encode,
        _ => str::to_owned,
    }
}

fn restore_status(restore: &Restore) -> RestoreStatus {
    let expiry = match restore {
        Restore::InProgress { .. } => None,
        Restore::Restored { expiry } => Some((*expiry).into()),
    };
    RestoreStatus { is_restore_in_progress: Some(expiry.is_none()), restore_expiry_date: expiry }
}

/// Tokens are opaque to clients; hexadecimal keeps them from looking like keys.
fn write_token(cursor: &str) -> String {
    format!("1{}", encoding::hex(cursor.as_bytes()))
}

fn read_token(token: &str) -> S3Result<String> {
    let cursor = token.strip_prefix('1').and_then(encoding::unhex).and_then(|bytes| String::from_utf8(bytes).ok());
    cursor.ok_or_else(|| fail(S3ErrorCode::InvalidArgument, "the continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_any_key() {
        for key in ["a", "é/☃", "\u{1}"] {
            assert_eq!(read_token(&write_token(key)).unwrap(), key);
        }
        assert!(read_token("a").is_err());
        assert!(read_token("1zz").is_err());
    }
}
