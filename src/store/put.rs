//! PutObject: a whole object from memory.

use std::collections::HashMap;

use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use bytes::Bytes;

use super::Bucket;
use super::error::{malformed, translate};
use super::keys::tagging;
use crate::model::{Class, Operation, RequestError};

/// What describes an object's bytes and goes with them wherever they are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, as the server says it.
    pub expires: Option<String>,
    /// `x-amz-meta-*`, without that prefix.
    pub metadata: HashMap<String, String>,
}

impl Bucket {
    /// Writes `body` to `key`, with its headers and tags.
    ///
    /// # Errors
    /// A 200 without an ETag is an error; so is an `Expires` that is no HTTP date, which the SDK
    /// cannot send: it would be lost.
    pub async fn put(
        &self,
        key: &str,
        body: &Bytes,
        headers: &Headers,
        tags: &[(String, String)],
    ) -> Result<(), RequestError> {
        let operation = Operation::PutObject;
        let expires = headers.expires.as_deref().map(http_date).transpose()?;
        let tagging = (!tags.is_empty()).then(|| tagging(tags));
        self.pacer
            .call(operation, body.len() as u64, || async {
                let request = self.client.put_object().bucket(&self.name).key(key);
                let answer = request
                    .body(ByteStream::from(body.clone()))
                    .set_content_type(headers.content_type.clone())
                    .set_content_encoding(headers.content_encoding.clone())
                    .set_content_disposition(headers.content_disposition.clone())
                    .set_content_language(headers.content_language.clone())
                    .set_cache_control(headers.cache_control.clone())
                    .set_expires(expires)
                    .set_metadata(Some(headers.metadata.clone()))
                    .set_tagging(tagging.clone())
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.expected_owner.clone())
                    .send()
                    .await
                    .map_err(|error| translate(operation, error))?;
                match answer.e_tag() {
                    Some(_) => Ok(()),
                    None => Err(malformed(operation, "ETag")),
                }
            })
            .await
    }
}

fn http_date(text: &str) -> Result<DateTime, RequestError> {
    DateTime::from_str(text, DateTimeFormat::HttpDate).map_err(|_| {
        let message = format!("the source's Expires header {text:?} is not an HTTP date, and would be lost");
        RequestError::local(Operation::PutObject, Class::Permanent, "UnreadableExpires", message)
    })
}
