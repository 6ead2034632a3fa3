//! GetObject, GetObjectTagging and GetObjectAcl: an object, or a range of it, into memory.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Grantee, Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::attributes::RequestHeaders;
use super::checksums::compare;
use super::error::{chain, malformed, translate};
use super::head::head_of_get;
use super::{Acl, Bucket, Head};
use crate::model::{Checksum, Checksummer, Class, Object, Operation, RequestError, Revision};
use crate::pace::transfer_allowance;

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its bytes.
    pub body: Bytes,
    /// Their checksum, computed as they came.
    pub checksum: Checksum,
    /// What describes them.
    pub head: Head,
}

impl Bucket {
    /// Reads an object that was listed, whole: what a single answer says, so that body and headers
    /// belong together even where the object is being replaced. At most `limit` bytes; `None` if the
    /// object has more.
    ///
    /// # Errors
    /// A body that ends early, is not what the store's checksum says, or has another size than the
    /// listing says of the same entity tag.
    pub async fn get(&self, listed: &Object, limit: u64) -> Result<Option<Fetched>, RequestError> {
        self.reads_checksums
            .call(|checksum| async move {
                self.call((Operation::GetObject, &listed.key), transfer_allowance(limit), || async {
                    let request = self.client.get_object().bucket(&self.name).key(&listed.key);
                    let request = request
                        .set_version_id(listed.version_id.clone())
                        .set_request_payer(self.payer())
                        .set_expected_bucket_owner(self.expected_owner.clone());
                    let answer = self.send_get(request, self.read_headers(checksum)).await?;
                    let head = head_of_get(&answer)?;
                    head.check_against(Operation::GetObject, listed)?;
                    if head.revision.size > limit {
                        return Ok(None);
                    }
                    let (body, checksum) = self.collect(answer.body, head.revision.size).await?;
                    compare(Operation::GetObject, head.checksum, Some(checksum))?;
                    Ok(Some(Fetched { body, checksum, head }))
                })
                .await
            })
            .await
    }

    /// Reads a range of bytes of one state of `key`.
    ///
    /// # Errors
    /// [`Class::Unmet`] where the object is another one by now; a body that ends early.
    pub async fn get_range(
        &self,
        key: &str,
        revision: &Revision,
        range: &Range<u64>,
    ) -> Result<(Bytes, Checksum), RequestError> {
        let length = range.end - range.start;
        self.call((Operation::GetObject, key), transfer_allowance(length), || async {
            let answer = self.open_range(key, revision, range).await?;
            self.collect(answer.body, length).await
        })
        .await
    }

    /// The checksum of a range of bytes of one state of `key`, holding none of it.
    ///
    /// # Errors
    /// Those of [`Bucket::get_range`].
    pub async fn checksum_of(
        &self,
        key: &str,
        revision: &Revision,
        range: &Range<u64>,
    ) -> Result<Checksum, RequestError> {
        let read = self.read_through(key, revision, range, Checksummer::default, Checksummer::update).await?;
        Ok(read.finish())
    }

    /// The MD5 of a range of bytes, as `Content-MD5` has it.
    pub(super) async fn md5_of(
        &self,
        key: &str,
        revision: &Revision,
        range: &Range<u64>,
    ) -> Result<String, RequestError> {
        let read = self.read_through(key, revision, range, Md5::new, |md5, bytes| md5.update(bytes)).await?;
        Ok(STANDARD.encode(read.finalize()))
    }

    /// Reads a range of bytes, each attempt into a `new` digest.
    async fn read_through<D>(
        &self,
        key: &str,
        revision: &Revision,
        range: &Range<u64>,
        new: impl Fn() -> D,
        update: impl Fn(&mut D, &[u8]),
    ) -> Result<D, RequestError> {
        let length = range.end - range.start;
        let (new, update) = (&new, &update);
        self.call((Operation::GetObject, key), transfer_allowance(length), || async move {
            let mut body = self.open_range(key, revision, range).await?.body;
            let (mut digest, mut read) = (new(), 0);
            while let Some(chunk) = self.next_chunk(&mut body).await? {
                update(&mut digest, &chunk);
                read += chunk.len() as u64;
            }
            if read == length { Ok(digest) } else { Err(broken(format!("the body has {read} of {length} bytes"))) }
        })
        .await
    }

    /// The head of the answer to a ranged GetObject. Sent as it is: the caller holds the permit.
    pub(super) async fn open_range(
        &self,
        key: &str,
        revision: &Revision,
        range: &Range<u64>,
    ) -> Result<GetObjectOutput, RequestError> {
        let request = self.client.get_object().bucket(&self.name).key(key);
        let request = request
            .range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
            .if_match(&revision.etag)
            .set_version_id(revision.version_id.clone())
            .set_request_payer(self.payer())
            .set_expected_bucket_owner(self.expected_owner.clone());
        let answer = self.send_get(request, self.read_headers(false)).await?;
        // A server without conditions would answer with whatever is there now.
        if answer.e_tag().is_some_and(|etag| etag != revision.etag) {
            let message = "the object was replaced while it was read";
            return Err(RequestError::local(Operation::GetObject, Class::Unmet, "PreconditionFailed", message));
        }
        let expected = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), revision.size);
        match answer.content_range() {
            Some(said) if said == expected => Ok(answer),
            _ => Err(malformed(Operation::GetObject, "Content-Range as asked")),
        }
    }

    /// The `count` tags of `key`; none are not asked for.
    ///
    /// # Errors
    /// An answer with fewer tags is an error.
    pub async fn tags(
        &self,
        key: &str,
        version_id: Option<&str>,
        count: usize,
    ) -> Result<Vec<(String, String)>, RequestError> {
        self.call((Operation::GetObjectTagging, key), Duration::ZERO, || async {
            let request = self.client.get_object_tagging().bucket(&self.name).key(key);
            let answer = request
                .set_version_id(version_id.map(str::to_owned))
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

    /// Who may do what with `key`.
    ///
    /// # Errors
    /// A grant that cannot be given again.
    pub async fn acl(&self, key: &str, version_id: Option<&str>) -> Result<Acl, RequestError> {
        let operation = Operation::GetObjectAcl;
        self.call((operation, key), Duration::ZERO, || async {
            let request = self.client.get_object_acl().bucket(&self.name).key(key);
            let answer = request
                .set_version_id(version_id.map(str::to_owned))
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .send()
                .await
                .map_err(|error| translate(operation, error))?;
            let grants = answer.grants().iter().map(|grant| {
                let permission = grant.permission().map(|permission| permission.as_str().to_owned());
                permission.zip(grant.grantee().and_then(grantee)).ok_or_else(|| malformed(operation, "known grantee"))
            });
            Ok(Acl::Grants(grants.collect::<Result<_, _>>()?))
        })
        .await
    }

    /// Reads a body of exactly `length` bytes that never pauses for long, and its checksum.
    async fn collect(&self, mut stream: ByteStream, length: u64) -> Result<(Bytes, Checksum), RequestError> {
        let capacity =
            usize::try_from(length).map_err(|_| broken(format!("{length} bytes do not fit this machine")))?;
        let mut body = self.buffers.take(capacity);
        let mut checksum = Checksummer::default();
        while let Some(chunk) = self.next_chunk(&mut stream).await? {
            if chunk.len() > capacity - body.len() {
                return Err(broken(format!("the body is longer than the {length} bytes it said")));
            }
            checksum.update(&chunk);
            body.extend(&chunk);
        }
        if body.len() < capacity {
            return Err(broken(format!("the body ended after {} of {length} bytes", body.len())));
        }
        Ok((body.freeze(), checksum.finish()))
    }

    /// How long a body may pause.
    pub(super) fn body_pause(&self) -> Duration {
        self.pacer.body_pause()
    }

    /// The next bytes of a body.
    ///
    /// # Errors
    /// A body that stalls or breaks.
    pub(super) async fn next_chunk(&self, stream: &mut ByteStream) -> Result<Option<Bytes>, RequestError> {
        let pause = self.body_pause();
        let next = tokio::time::timeout(pause, stream.next());
        let chunk = next.await.map_err(|_| broken(format!("the body stalled for {} s", pause.as_secs_f64())))?;
        let chunk = chunk.transpose().map_err(|error| broken(chain(&error)))?;
        if let Some(chunk) = &chunk
            && !self.pacer.read(chunk.len()).await
        {
            return Err(RequestError::interrupted(Operation::GetObject, 1));
        }
        Ok(chunk)
    }

    /// Headers of a request that reads an object.
    pub(super) fn read_headers(&self, checksum: bool) -> RequestHeaders {
        let mut headers = self.customer_key.as_ref().map(|key| key.to_request()).unwrap_or_default();
        if checksum {
            headers.push(("x-amz-checksum-mode".to_owned(), "ENABLED".to_owned()));
        }
        headers
    }
}

/// The error of a body that is not whole.
pub(super) fn broken(message: String) -> RequestError {
    RequestError::local(Operation::GetObject, Class::Transient, "IncompleteBody", message)
}

fn grantee(grantee: &Grantee) -> Option<String> {
    match grantee.r#type() {
        Type::CanonicalUser => grantee.id().map(|id| format!("id=\"{id}\"")),
        Type::Group => grantee.uri().map(|uri| format!("uri=\"{uri}\"")),
        Type::AmazonCustomerByEmail => grantee.email_address().map(|email| format!("emailAddress=\"{email}\"")),
        _ => None,
    }
}
