//! ListObjectsV2: one page.

use std::time::Duration;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

use super::Bucket;
use super::error::{malformed, translate};
use super::keys::{Evidence, decode_page, evidence};
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
        let mut wire = self.list_raw(page, Some(EncodingType::Url)).await?;
        if wire.encoded && self.is_encoded(page, &wire.page).await? {
            decode_page(&mut wire.page);
        }
        Ok(wire.page)
    }

    /// Whether a page that says it is encoded really is. Some servers say so and are not; where
    /// the page itself does not tell, its first ambiguous key is asked for again as it is. Once
    /// known, it is known for the bucket.
    async fn is_encoded(&self, request: &PageRequest<'_>, page: &Page) -> Result<bool, RequestError> {
        if let Some(known) = self.encodes_keys.get() {
            return Ok(*known);
        }
        let encoded = match evidence(page) {
            Evidence::Nothing => return Ok(true),
            Evidence::Literal => false,
            Evidence::Ambiguous(at) => {
                let max_keys = i32::try_from(at + 1).ok();
                let plain = self.list_raw(&PageRequest { max_keys, delimiter: None, ..*request }, None).await?;
                match plain.page.objects.get(at) {
                    Some(object) if object.key == page.objects[at].key => false,
                    Some(_) => true,
                    // The object is gone since: the next page will tell.
                    None => return Ok(true),
                }
            }
        };
        if !encoded {
            tracing::info!(bucket = self.name, "this store says that it encodes keys in listings, and does not");
        }
        Ok(*self.encodes_keys.get_or_init(|| encoded))
    }

    async fn list_raw(&self, page: &PageRequest<'_>, encoding: Option<EncodingType>) -> Result<Wire, RequestError> {
        self.call(Operation::ListObjectsV2, Duration::ZERO, || async {
            let request = self.client.list_objects_v2().bucket(&self.name).set_encoding_type(encoding.clone());
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

/// A page as it came.
struct Wire {
    page: Page,
    /// Whether it says that it is encoded.
    encoded: bool,
}

fn read(answer: ListObjectsV2Output) -> Result<Wire, RequestError> {
    let malformed = |what| malformed(Operation::ListObjectsV2, what);
    let truncated = answer.is_truncated().ok_or_else(|| malformed("IsTruncated"))?;
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let object = |object: aws_sdk_s3::types::Object| {
        let key = object.key.ok_or_else(|| malformed("Key"))?;
        let size = object.size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| malformed("Size"))?;
        Ok(Object { key, size })
    };
    let objects = answer.contents.into_iter().flatten().map(object).collect::<Result<_, RequestError>>()?;
    let folders = answer.common_prefixes.into_iter().flatten().filter_map(|folder| folder.prefix).collect();
    Ok(Wire { page: Page { objects, folders, truncated, next_token: answer.next_continuation_token }, encoded })
}
