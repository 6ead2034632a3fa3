//! PutObject: a whole object from memory.

use std::collections::HashMap;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use bytes::Bytes;

use super::Bucket;
use super::error::{malformed, translate};
use super::keys::tagging;
use crate::model::{Operation, RequestError};
use crate::pace::transfer_allowance;

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
    /// A 200 without an ETag is an error.
    pub async fn put(
        &self,
        key: &str,
        body: &Bytes,
        headers: &Headers,
        tags: &[(String, String)],
    ) -> Result<(), RequestError> {
        let operation = Operation::PutObject;
        let tagging = (!tags.is_empty()).then(|| tagging(tags));
        self.call(operation, transfer_allowance(body.len() as u64), || async {
            let request = self.client.put_object().bucket(&self.name).key(key);
            let answer = request
                .body(ByteStream::from(body.clone()))
                .set_content_type(headers.content_type.clone())
                .set_content_encoding(headers.content_encoding.clone())
                .set_content_disposition(headers.content_disposition.clone())
                .set_content_language(headers.content_language.clone())
                .set_cache_control(headers.cache_control.clone())
                .set_metadata(Some(headers.metadata.clone()))
                .set_tagging(tagging.clone())
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .customize()
                .mutate_request(with_expires(headers.expires.clone()))
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

/// Sets `Expires` as the source has it: the SDK would send only what it reads as a date, and `0` and
/// `-1` are common.
fn with_expires(expires: Option<String>) -> impl Fn(&mut HttpRequest) {
    move |request| {
        if let Some(expires) = &expires {
            // A value that cannot be a header could not have been read from one.
            let _ = request.headers_mut().try_insert("expires", expires.clone());
        }
    }
}
