//! ListObjectsV2: one page.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

use super::Bucket;
use super::error::{malformed, translate};
use super::keys::decode_page;
use crate::model::{Object, Operation, RequestError};

/// Which page is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageRequest<'a> {
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Only keys behind this one.
    pub start_after: Option<&'a str>,
    /// Goes on where another page ended; wins over `start_after`.
    pub token: Option<&'a str>,
    /// Keys with this behind the prefix are rolled up into [`Page::folders`].
    pub delimiter: Option<&'a str>,
    /// At most so many keys and folders; the server's own limit is 1,000.
    pub max_keys: Option<i32>,
}

/// One page of a listing, in the order of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Object>,
    /// The common prefixes, where a delimiter was given.
    pub folders: Vec<String>,
    /// Whether there is more behind this page.
    pub truncated: bool,
    /// Where the next page begins, in the server's own words.
    pub next_token: Option<String>,
}

impl Bucket {
    /// One page of keys, decoded.
    ///
    /// # Errors
    /// A page that does not say whether it is the last one is malformed: it may have been cut.
    pub async fn list(&self, page: &PageRequest<'_>) -> Result<Page, RequestError> {
        self.pacer
            .call(Operation::ListObjectsV2, 0, || async {
                let request = self.client.list_objects_v2().bucket(&self.name).encoding_type(EncodingType::Url);
                let answer = request
                    .set_prefix(Some(page.prefix).filter(|prefix| !prefix.is_empty()).map(str::to_owned))
                    .set_start_after(page.start_after.filter(|_| page.token.is_none()).map(str::to_owned))
                    .set_continuation_token(page.token.map(str::to_owned))
                    .set_delimiter(page.delimiter.map(str::to_owned))
                    .set_max_keys(page.max_keys)
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.expected_owner.clone())
                    .send()
                    .await
                    .map_err(|error| translate(Operation::ListObjectsV2, error))?;
                read(answer)
            })
            .await
    }
}

fn read(answer: ListObjectsV2Output) -> Result<Page, RequestError> {
    let Some(truncated) = answer.is_truncated() else {
        return Err(malformed(Operation::ListObjectsV2, "IsTruncated"));
    };
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let next_token = answer.next_continuation_token;
    let mut sizes = Vec::new();
    let mut keys = Vec::new();
    for object in answer.contents.unwrap_or_default() {
        let key = object.key.ok_or_else(|| malformed(Operation::ListObjectsV2, "Key"))?;
        let size = object.size.and_then(|size| u64::try_from(size).ok());
        sizes.push(size.ok_or_else(|| malformed(Operation::ListObjectsV2, "Size"))?);
        keys.push(key);
    }
    let mut folders: Vec<String> =
        answer.common_prefixes.into_iter().flatten().filter_map(|folder| folder.prefix).collect();
    if encoded {
        decode_page(&mut keys, &mut folders);
    }
    let objects = keys.into_iter().zip(sizes).map(|(key, size)| Object { key, size }).collect();
    Ok(Page { objects, folders, truncated, next_token })
}
