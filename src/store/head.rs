//! HeadBucket and HeadObject: what is there, and what describes it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_bucket::{HeadBucketError, HeadBucketOutput};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumType, ObjectLockLegalHoldStatus};
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::date_time::Format;

use super::attributes::with_headers;
use super::error::{malformed, translate};
use super::{Bucket, Encryption, Headers, Lock, PageRequest};
use crate::model::{Checksum, Class, Object, Operation, RequestError, RestoreStatus, Revision};
use crate::pace::RetryPolicy;

/// The header in which S3 tells a bucket's region, on errors too.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// An endpoint that does not answer is told within seconds: three of waiting on average, six at most.
const FIRST_QUESTIONS: RetryPolicy = RetryPolicy { attempts: 6, patience: Duration::from_secs(60) };

/// Where a bucket is.
pub(super) enum BucketAnswer {
    /// Where we asked.
    Here,
    /// In this other region.
    In(String),
}

/// An object without its bytes.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which state of the object this is.
    pub revision: Revision,
    /// When it was written: seconds since 1970.
    pub last_modified: i64,
    /// What describes its bytes.
    pub headers: Headers,
    /// Whether some of its user metadata cannot be in HTTP headers: a copy would lose them.
    pub has_unreadable_metadata: bool,
    /// How many tags it has, as far as we may know; they are read apart.
    pub tag_count: usize,
    /// The storage class; `None` for `STANDARD`.
    pub storage_class: Option<String>,
    /// How far its restore from an archive is, where one was asked for.
    pub restore: Option<RestoreStatus>,
    /// Whether it is in an archive tier of `INTELLIGENT_TIERING`.
    pub is_in_archive_tier: bool,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// Whether its entity tag is no MD5, because of its encryption (SSE-KMS, SSE-C).
    pub has_opaque_etag: bool,
    /// What keeps it from being deleted.
    pub lock: Lock,
    /// The checksum of all its bytes, where the store has one.
    pub checksum: Option<Checksum>,
}

impl Head {
    /// As a listing would show it.
    pub fn object(&self, key: &str) -> Object {
        Object {
            etag: Some(self.revision.etag.clone()),
            last_modified: Some(self.last_modified),
            storage_class: self.storage_class.clone(),
            version_id: self.revision.version_id.clone(),
            restore: self.restore,
            ..Object::new(key, self.revision.size)
        }
    }

    /// Checks that it is not the object that was `listed` with another size: where no checksum tells,
    /// a length that is wrong would make a copy of another length.
    ///
    /// # Errors
    /// Another size under the same entity tag.
    pub(super) fn check_against(&self, operation: Operation, listed: &Object) -> Result<(), RequestError> {
        let there = self.revision.etag.trim_matches('"');
        let is_listed = listed.etag.as_ref().is_some_and(|etag| etag.trim_matches('"') == there);
        if !is_listed || there.is_empty() || listed.size == self.revision.size {
            return Ok(());
        }
        let message = format!(
            "it tells of {} bytes, where {} were listed under the same entity tag",
            self.revision.size, listed.size
        );
        Err(RequestError::local(operation, Class::Transient, "MalformedAnswer", message))
    }
}

/// HeadObject and GetObject answer with the same headers.
macro_rules! head_of {
    ($name:ident, $answer:ty, $operation:expr) => {
        pub(super) fn $name(answer: &$answer) -> Result<Head, RequestError> {
            let malformed = |what| malformed($operation, what);
            let size = answer.content_length().and_then(|length| u64::try_from(length).ok());
            let version_id = answer.version_id().filter(|id| *id != "null").map(str::to_owned);
            let is_kms = answer.server_side_encryption().is_some_and(|sse| sse.as_str().starts_with("aws:kms"));
            let is_whole = answer.checksum_type().is_none_or(|kind| *kind == ChecksumType::FullObject);
            // A retention that is over cannot be asked for anew.
            let now = jiff::Timestamp::now().as_second();
            let until = answer.object_lock_retain_until_date().filter(|until| until.secs() > now);
            let until = until.and_then(|date| date.fmt(Format::DateTime).ok());
            Ok(Head {
                revision: Revision {
                    size: size.ok_or_else(|| malformed("Content-Length"))?,
                    etag: answer.e_tag().ok_or_else(|| malformed("ETag"))?.to_owned(),
                    version_id,
                },
                last_modified: answer.last_modified().map_or(0, |date| date.secs()),
                headers: Headers {
                    content_type: answer.content_type.clone(),
                    content_encoding: answer.content_encoding.clone(),
                    content_disposition: answer.content_disposition.clone(),
                    content_language: answer.content_language.clone(),
                    cache_control: answer.cache_control.clone(),
                    expires: answer.expires_string.clone(),
                    metadata: answer.metadata.clone().unwrap_or_default(),
                },
                has_unreadable_metadata: answer.missing_meta().is_some_and(|missing| missing > 0),
                tag_count: answer.tag_count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
                storage_class: class_name(answer.storage_class().map(|class| class.as_str())),
                restore: answer.restore().and_then(restore_status),
                is_in_archive_tier: false,
                encryption: Encryption {
                    algorithm: answer.server_side_encryption().map(|sse| sse.as_str().to_owned()),
                    kms_key_id: answer.ssekms_key_id.clone(),
                    bucket_key: answer.bucket_key_enabled,
                },
                has_opaque_etag: is_kms || answer.sse_customer_algorithm().is_some(),
                lock: Lock {
                    retention: answer.object_lock_mode().map(|mode| mode.as_str().to_owned()).zip(until),
                    legal_hold: answer.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
                },
                checksum: answer.checksum_crc64_nvme().filter(|_| is_whole).and_then(Checksum::parse),
            })
        }
    };
}

head_of!(head_of_head, HeadObjectOutput, Operation::HeadObject);
head_of!(head_of_get, GetObjectOutput, Operation::GetObject);

/// The name of a storage class; that of the default is left out.
pub(super) fn class_name(class: Option<&str>) -> Option<String> {
    class.filter(|class| !class.is_empty() && *class != "STANDARD").map(str::to_owned)
}

/// What the header `x-amz-restore` says: `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00
/// GMT"`. *Source:* HeadObject in the S3 API reference.
fn restore_status(header: &str) -> Option<RestoreStatus> {
    let value = |name: &str| {
        let (_, rest) = header.split_once(name)?;
        rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
    };
    if value("ongoing-request")?.eq_ignore_ascii_case("true") {
        return Some(RestoreStatus::Ongoing);
    }
    let until = jiff::fmt::rfc2822::parse(value("expiry-date")?).ok()?;
    Some(RestoreStatus::Until(until.timestamp().as_second()))
}

impl Bucket {
    /// Asks whether the bucket exists and where. An answer that forbids asking counts as existing.
    ///
    /// # Errors
    /// `NoSuchBucket`, or that no answer came.
    pub(super) async fn ask(&self) -> Result<BucketAnswer, RequestError> {
        let answer = self
            .pacer
            .call_with(
                &self.pacer.patience_of(FIRST_QUESTIONS),
                self.question(Operation::HeadBucket, "", Duration::ZERO),
                || async {
                    let sent = self.client.head_bucket().bucket(&self.name);
                    let answer = sent.set_expected_bucket_owner(self.expected_owner.clone()).send().await;
                    if answer.is_ok() {
                        self.works.store(true, Relaxed);
                    }
                    match region_of(&answer) {
                        Some(region) => Ok(region),
                        None => match answer {
                            Ok(_) => Ok(self.region.clone()),
                            Err(error) => Err(translate(Operation::HeadBucket, error)),
                        },
                    }
                },
            )
            .await;
        match answer {
            Ok(region) if region == self.region => Ok(BucketAnswer::Here),
            Ok(region) => Ok(BucketAnswer::In(region)),
            Err(mut error) if error.status == Some(404) => {
                "NoSuchBucket".clone_into(&mut error.code);
                Err(error)
            }
            // No answer at all, or credentials that cannot be had.
            Err(error) if error.status.is_none() => Err(error),
            // The server is there; whether it lets us work is for the first real request to say.
            Err(error) => {
                tracing::debug!(bucket = self.name, %error, "HeadBucket was not answered, going on");
                Ok(BucketAnswer::Here)
            }
        }
    }

    /// The object as it is now, or one version of it.
    ///
    /// # Errors
    /// [`Class::Missing`] where there is none.
    pub async fn head(&self, key: &str, version_id: Option<&str>) -> Result<Head, RequestError> {
        self.head_unless(key, version_id, |_| Ok(())).await
    }

    /// An object that was listed, as it is now.
    ///
    /// # Errors
    /// Those of [`Bucket::head`]; an answer that has another size for what was listed.
    pub async fn head_of(&self, listed: &Object) -> Result<Head, RequestError> {
        let check = |head: &Head| head.check_against(Operation::HeadObject, listed);
        self.head_unless(&listed.key, listed.version_id.as_deref(), check).await
    }

    /// The object, asked for again where its head does not pass the `check`.
    async fn head_unless(
        &self,
        key: &str,
        version_id: Option<&str>,
        check: impl Fn(&Head) -> Result<(), RequestError>,
    ) -> Result<Head, RequestError> {
        let check = &check;
        self.reads_checksums
            .call(|checksum| async move {
                self.call((Operation::HeadObject, key), Duration::ZERO, || async {
                    let request = self.client.head_object().bucket(&self.name).key(key);
                    let answer = request
                        .set_version_id(version_id.map(str::to_owned))
                        .set_request_payer(self.payer())
                        .set_expected_bucket_owner(self.expected_owner.clone())
                        .customize()
                        .interceptor(with_headers(self.read_headers(checksum)))
                        .send()
                        .await
                        .map_err(|error| translate(Operation::HeadObject, error))?;
                    let is_in_archive_tier = answer.archive_status().is_some();
                    let head = Head { is_in_archive_tier, ..head_of_head(&answer)? };
                    check(&head)?;
                    Ok(head)
                })
                .await
            })
            .await
    }

    /// How large the first part of an object of several parts is, and how many there are; `None`
    /// where the server does not say. (Without a condition: moto compares it with the part.)
    ///
    /// # Errors
    /// [`Class::Missing`] where there is no such object.
    pub async fn parts_of(&self, key: &str, version_id: Option<&str>) -> Result<Option<(u64, u64)>, RequestError> {
        let answer = self
            .call((Operation::HeadObject, key), Duration::ZERO, || async {
                let request = self.client.head_object().bucket(&self.name).key(key).part_number(1);
                request
                    .set_version_id(version_id.map(str::to_owned))
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.expected_owner.clone())
                    .customize()
                    .interceptor(with_headers(self.read_headers(false)))
                    .send()
                    .await
                    .map_err(|error| translate(Operation::HeadObject, error))
            })
            .await;
        match answer {
            Ok(answer) => {
                let first = answer.content_length().and_then(|length| u64::try_from(length).ok());
                let count = answer.parts_count().and_then(|count| u64::try_from(count).ok());
                Ok(first.zip(count))
            }
            // A server that does not know of parts.
            Err(error) if error.class == Class::Permanent => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the object is gone: asked of the listing, since a server that bends keys on their
    /// way answers a HEAD of a key that it has with 404.
    ///
    /// # Errors
    /// Those of ListObjectsV2.
    pub async fn is_gone(&self, key: &str) -> Result<bool, RequestError> {
        self.find(key).await.map(|found| found.is_none())
    }

    /// The object as a listing shows it.
    ///
    /// # Errors
    /// Those of ListObjectsV2.
    pub async fn find(&self, key: &str) -> Result<Option<Object>, RequestError> {
        let page = self.list(&PageRequest { prefix: key, max_keys: Some(1), ..Default::default() }).await?;
        // The key would be the first of all that begin with it.
        match page.objects.into_iter().next() {
            Some(object) => Ok((object.key == key).then_some(object)),
            None if page.truncated => Err(malformed(Operation::ListObjectsV2, "key")),
            None => Ok(None),
        }
    }
}

fn region_of(answer: &Result<HeadBucketOutput, SdkError<HeadBucketError, Response>>) -> Option<String> {
    let region = match answer {
        Ok(output) => output.bucket_region(),
        // A bucket that does not exist has no region: some servers send their own all the same.
        Err(error) => error
            .raw_response()
            .filter(|response| matches!(response.status().as_u16(), 301 | 307 | 400 | 403))
            .and_then(|response| response.headers().get(REGION_HEADER)),
    };
    region.filter(|region| !region.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restores_are_read() {
        let done = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
        assert_eq!(restore_status(done), Some(RestoreStatus::Until(1_356_048_000)));
        assert_eq!(restore_status("ongoing-request=\"true\""), Some(RestoreStatus::Ongoing));
        for odd in ["", "ongoing-request", "ongoing-request=\"false\"", "ongoing-request=\"false\", expiry-date=\"x\""]
        {
            assert_eq!(restore_status(odd), None, "{odd}");
        }
    }
}
