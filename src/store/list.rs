//! ListObjectsV2: one page.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_sdk_s3::types::{EncodingType, OptionalObjectAttributes};

use super::Bucket;
use super::error::{in_success, malformed};
use super::keys::{Clue, clue, decode, decode_page};
use super::page::{Answer, Wire, read};
use crate::model::{Class, Object, Operation, RequestError};

/// How often a page is asked for whose keys do not tell whether they are encoded: each time, an
/// object would have to be deleted between two requests.
const ENCODING_TRIES: u32 = 5;

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
    /// A page that does not say whether it is the last one is malformed: it may have been cut. So
    /// is one of which it cannot be found out whether it is encoded as it says.
    pub async fn list(&self, page: &PageRequest<'_>) -> Result<Page, RequestError> {
        for _ in 0..ENCODING_TRIES {
            let mut wire = self.list_restores(page).await?;
            let encoded = if wire.encoded { self.is_encoded(&wire.page).await? } else { Some(false) };
            match encoded {
                Some(true) => decode_page(&mut wire.page)?,
                Some(false) => {}
                None => continue,
            }
            return Ok(wire.page);
        }
        Err(malformed(Operation::ListObjectsV2, "key that tells whether it is encoded"))
    }

    /// Whether a page that says it is encoded really is: some servers say so and are not. Where
    /// the page itself does not tell, one of its keys is asked for both ways. `None` if that did
    /// not tell either (the object is gone since). Once known, it is known for the bucket.
    async fn is_encoded(&self, page: &Page) -> Result<Option<bool>, RequestError> {
        if let Some(known) = self.encodes_keys.get() {
            return Ok(Some(*known));
        }
        let encoded = match clue(page) {
            // What it says of keys that decoding does not change.
            Clue::Nothing => return Ok(Some(true)),
            Clue::Literal => false,
            Clue::Ambiguous(key) => {
                let decoded = decode(&key).unwrap_or_default();
                if !decoded.is_empty() && self.shows(&decoded, &key).await? {
                    true
                } else if self.shows(&key, &key).await? {
                    false
                } else {
                    return Ok(None);
                }
            }
        };
        if !encoded {
            tracing::info!(bucket = self.name, "this store says that it encodes keys in listings, and does not");
        }
        Ok(Some(*self.encodes_keys.get_or_init(|| encoded)))
    }

    /// Whether the first key that begins with `prefix` looks like `key` on the wire. A server that
    /// does not take the question has not answered it.
    async fn shows(&self, prefix: &str, key: &str) -> Result<bool, RequestError> {
        let request = PageRequest { prefix, max_keys: Some(1), ..PageRequest::default() };
        match self.list_raw(&request, false).await {
            Ok(wire) => Ok(wire.page.objects.first().is_some_and(|object| object.key == key)),
            Err(error) if error.class == Class::Permanent => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One page, with how far restores are where that is asked for. A store that does not take the question
    /// is not asked again.
    async fn list_restores(&self, page: &PageRequest<'_>) -> Result<Wire, RequestError> {
        let asks = self.asks_restores.load(Relaxed);
        match self.list_raw(page, asks).await {
            Err(error) if asks && error.class == Class::Permanent && !self.tells_restores.load(Relaxed) => {
                let wire = self.list_raw(page, false).await?;
                tracing::info!(bucket = self.name, %error, "this store does not tell in listings how far restores are");
                self.asks_restores.store(false, Relaxed);
                Ok(wire)
            }
            answer => {
                if asks && answer.is_ok() {
                    self.tells_restores.store(true, Relaxed);
                }
                answer
            }
        }
    }

    /// One page as it comes. The body is read here.
    async fn list_raw(&self, page: &PageRequest<'_>, restores: bool) -> Result<Wire, RequestError> {
        self.call((Operation::ListObjectsV2, page.start_after.unwrap_or(page.prefix)), Duration::ZERO, || async {
            let request = self.client.list_objects_v2().bucket(&self.name).encoding_type(EncodingType::Url);
            let request = request
                .set_prefix(Some(page.prefix).filter(|prefix| !prefix.is_empty()).map(str::to_owned))
                .set_start_after(page.start_after.filter(|_| page.token.is_none()).map(str::to_owned))
                .set_continuation_token(page.token.map(str::to_owned))
                .set_delimiter(page.delimiter.map(str::to_owned))
                .set_max_keys(page.max_keys)
                .set_optional_object_attributes(restores.then(|| vec![OptionalObjectAttributes::RestoreStatus]))
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone());
            match read(&self.send_list(request).await?) {
                Ok(Answer::Page(wire)) => Ok(wire),
                Ok(Answer::Error { code, message }) => Err(in_success(Operation::ListObjectsV2, code, &message)),
                Err(what) => Err(malformed(Operation::ListObjectsV2, what)),
            }
        })
        .await
    }
}
