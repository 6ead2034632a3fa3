//! GetObject and GetObjectTagging: a whole object into memory.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};

use super::error::{chain, malformed, translate};
use super::{Bucket, Headers};
use crate::model::{Class, Operation, RequestError};
use crate::pace::transfer_allowance;

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its bytes.
    pub body: Bytes,
    /// What describes them.
    pub headers: Headers,
    /// How many tags it has; they are read apart.
    pub tag_count: usize,
}

impl Bucket {
    /// Reads `key` whole: what a single answer says, so that body and headers belong together even
    /// where the object is being replaced. At most `limit` bytes; `None` if the object has more.
    ///
    /// # Errors
    /// A body that ends early is an error, and so are user metadata that the SDK cannot read: a
    /// copy would lose them.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Option<Fetched>, RequestError> {
        self.call(Operation::GetObject, transfer_allowance(limit), || async {
            let request = self.client.get_object().bucket(&self.name).key(key);
            let answer = request
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .send()
                .await
                .map_err(|error| translate(Operation::GetObject, error))?;
            read(answer, limit, self.pacer.request_timeout()).await
        })
        .await
    }

    /// The `count` tags of `key`; none are not asked for.
    ///
    /// # Errors
    /// An answer with fewer tags is an error.
    pub async fn tags(&self, key: &str, count: usize) -> Result<Vec<(String, String)>, RequestError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.call(Operation::GetObjectTagging, Duration::ZERO, || async {
            let request = self.client.get_object_tagging().bucket(&self.name).key(key);
            let answer = request
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .send()
                .await
                .map_err(|error| translate(Operation::GetObjectTagging, error))?;
            if answer.tag_set.len() < count {
                return Err(malformed(Operation::GetObjectTagging, "tag"));
            }
            Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect())
        })
        .await
    }
}

async fn read(answer: GetObjectOutput, limit: u64, pause: Duration) -> Result<Option<Fetched>, RequestError> {
    let operation = Operation::GetObject;
    if answer.e_tag().is_none() {
        return Err(malformed(operation, "ETag"));
    }
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let Some(length) = length else { return Err(malformed(operation, "Content-Length")) };
    if length > limit {
        return Ok(None);
    }
    if answer.missing_meta().is_some_and(|missing| missing > 0) {
        let message = "the object has user metadata that HTTP headers cannot carry";
        return Err(RequestError::local(operation, Class::Permanent, "UnreadableMetadata", message));
    }
    let headers = Headers {
        content_type: answer.content_type,
        content_encoding: answer.content_encoding,
        content_disposition: answer.content_disposition,
        content_language: answer.content_language,
        cache_control: answer.cache_control,
        expires: answer.expires_string,
        metadata: answer.metadata.unwrap_or_default(),
    };
    let tag_count = answer.tag_count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let body = collect(answer.body, length, pause).await?;
    Ok(Some(Fetched { body, headers, tag_count }))
}

/// Reads a body of exactly `length` bytes that never pauses for longer than `pause`.
async fn collect(mut stream: ByteStream, length: u64, pause: Duration) -> Result<Bytes, RequestError> {
    let broken =
        |message: String| RequestError::local(Operation::GetObject, Class::Transient, "IncompleteBody", message);
    let capacity = usize::try_from(length).map_err(|_| broken(format!("{length} bytes do not fit this machine")))?;
    let mut body = BytesMut::with_capacity(capacity);
    let stalled = |_| broken(format!("the body stalled for {} s", pause.as_secs_f64()));
    while let Some(chunk) = tokio::time::timeout(pause, stream.next()).await.map_err(stalled)? {
        let chunk = chunk.map_err(|error| broken(chain(&error)))?;
        if chunk.len() > capacity - body.len() {
            return Err(broken(format!("the body is longer than the {length} bytes it said")));
        }
        body.extend_from_slice(&chunk);
    }
    if body.len() < capacity {
        return Err(broken(format!("the body ended after {} of {length} bytes", body.len())));
    }
    Ok(body.freeze())
}
