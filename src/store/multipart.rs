//! Multipart uploads: an object written in parts, from memory or copied by the store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use aws_sdk_s3::operation::upload_part::UploadPartInput;
use aws_sdk_s3::operation::upload_part::builders::UploadPartInputBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::attributes::{RequestHeaders, content_md5, with_headers};
use super::body::{Signed, body as body_of};
use super::checksums::compare;
use super::error::{cannot_be_sent, malformed, translate};
use super::keys::copy_source;
use super::put::is_opaque;
use super::{Attributes, Bucket, Onto};
use crate::model::{Checksum, Class, Operation, RequestError, Revision, Upload, UploadedPart, Written};
use crate::pace::{copy_allowance, transfer_allowance};

/// A part of an upload: which, and of which bytes of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRange {
    /// Its number, from 1.
    pub number: u16,
    /// Its bytes.
    pub bytes: Range<u64>,
}

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// Whether its parts carry CRC-64 checksums.
    pub checksums: bool,
    /// Whether it was asked for before, and no answer said that nothing was begun: there may be others
    /// that nobody knows.
    pub is_in_doubt: bool,
}

/// A part as ListParts shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// Size in bytes.
    pub size: u64,
    /// Entity tag and checksum.
    pub part: UploadedPart,
}

impl Bucket {
    /// Begins an upload to `key`. `of_bytes` says that this machine sends the parts, and their
    /// checksums: parts that the store copies have none.
    ///
    /// # Errors
    /// After a lost answer there may be an upload whose id nobody knows.
    pub async fn create_upload(
        &self,
        key: &str,
        attributes: &Attributes,
        of_bytes: bool,
    ) -> Result<Created, RequestError> {
        let operation = Operation::CreateMultipartUpload;
        let mut headers = attributes.to_request(false);
        headers.extend(self.customer_key.iter().flat_map(|key| key.to_request()));
        let (headers, in_doubt) = (&headers, &AtomicU32::new(0));
        let create = |checksums: bool| async move {
            let id = self
                .call((operation, key), Duration::ZERO, || async {
                    // Until there is an answer: it may not come to that.
                    in_doubt.fetch_add(1, Relaxed);
                    let request = self.client.create_multipart_upload().bucket(&self.name).key(key);
                    let answer = request
                        .set_checksum_algorithm(checksums.then_some(ChecksumAlgorithm::Crc64Nvme))
                        .set_checksum_type(checksums.then_some(ChecksumType::FullObject))
                        .set_request_payer(self.payer())
                        .set_expected_bucket_owner(self.expected_owner.clone())
                        .customize()
                        .interceptor(with_headers(headers.clone()))
                        .send()
                        .await
                        .map_err(|error| translate(operation, error))
                        .inspect_err(|error| {
                            if error.class != Class::Transient {
                                in_doubt.fetch_sub(1, Relaxed);
                            }
                        })?;
                    let id = answer.upload_id().filter(|id| !id.is_empty());
                    id.map(str::to_owned).ok_or_else(|| malformed(operation, "UploadId"))
                })
                .await?;
            // The last one was answered with this upload.
            Ok(Created { id, checksums, is_in_doubt: in_doubt.load(Relaxed) > 1 })
        };
        if of_bytes { self.writes_checksums.call(create).await } else { create(false).await }
    }

    /// Writes one part from memory. The store checks its CRC-64, or an MD5 where it refuses that.
    ///
    /// # Errors
    /// `NoSuchUpload` where the upload is gone.
    pub async fn upload_part(
        &self,
        key: &str,
        upload: &Upload,
        number: u16,
        body: &Bytes,
        checksum: Checksum,
    ) -> Result<UploadedPart, RequestError> {
        let operation = Operation::UploadPart;
        let with_crc = upload.checksums;
        let md5 = (!with_crc).then(|| content_md5(body));
        self.call((operation, key), transfer_allowance(body.len() as u64), || async {
            let unsigned = self.leaves_bodies_unsigned(with_crc);
            let (sent, signed) = body_of(body, unsigned);
            let part = UploadPartInput::builder().key(key).upload_id(&upload.id).part_number(number.into());
            let part = part
                .body(sent)
                .set_checksum_crc64_nvme(with_crc.then(|| checksum.to_string()))
                .set_content_md5(md5.clone());
            let (etag, confirmed) = self.upload(part, signed, RequestHeaders::new()).await?;
            compare(operation, Some(checksum), confirmed)?;
            self.confirmed(confirmed);
            Ok(UploadedPart { etag, checksum: Some(checksum) })
        })
        .await
    }

    /// Sends `part`, in memory or streamed: its entity tag, and the checksum that the server says. Sent as it is, for
    /// the caller holds the permit.
    pub(super) async fn upload(
        &self,
        part: UploadPartInputBuilder,
        signed: Signed,
        mut headers: RequestHeaders,
    ) -> Result<(String, Option<Checksum>), RequestError> {
        let operation = Operation::UploadPart;
        headers.extend(self.customer_key.iter().flat_map(|key| key.to_request()));
        let part = part
            .bucket(&self.name)
            .set_request_payer(self.payer())
            .set_expected_bucket_owner(self.expected_owner.clone())
            .build();
        let part = part.map_err(|error| cannot_be_sent(operation, &error))?;
        let answer = self.send_part(part, headers, signed).await?;
        let etag = answer.e_tag().ok_or_else(|| malformed(operation, "ETag"))?;
        Ok((etag.to_owned(), answer.checksum_crc64_nvme().and_then(Checksum::parse)))
    }

    /// Has the store copy one part of one state of `source_key` in `source`.
    ///
    /// # Errors
    /// [`Class::Unmet`] where the source is another object by now.
    pub async fn upload_part_copy(
        &self,
        source: &Self,
        source_key: &str,
        revision: &Revision,
        key: &str,
        upload_id: &str,
        part: &PartRange,
    ) -> Result<UploadedPart, RequestError> {
        let operation = Operation::UploadPartCopy;
        let copy_source = copy_source(&source.name, source_key, revision.version_id.as_deref());
        let range = &part.bytes;
        let headers = self.copy_headers(source);
        self.call((operation, key), copy_allowance(range.end - range.start), || async {
            let request = self.client.upload_part_copy().bucket(&self.name).key(key).upload_id(upload_id);
            let answer = request
                .part_number(part.number.into())
                .copy_source(&copy_source)
                .copy_source_if_match(&revision.etag)
                .copy_source_range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
                .set_request_payer(source.payer().or_else(|| self.payer()))
                .set_expected_bucket_owner(self.expected_owner.clone())
                .set_expected_source_bucket_owner(source.expected_owner.clone())
                .customize()
                .interceptor(with_headers(headers.clone()))
                .send()
                .await
                .map_err(|error| translate(operation, error))?;
            let result = answer.copy_part_result().ok_or_else(|| malformed(operation, "ETag"))?;
            Ok(UploadedPart {
                etag: result.e_tag().ok_or_else(|| malformed(operation, "ETag"))?.to_owned(),
                checksum: result.checksum_crc64_nvme().and_then(Checksum::parse),
            })
        })
        .await
    }

    /// Makes the parts of `upload` the object `key`, on the condition `onto`.
    /// `checksum` is that of the whole, if it is known.
    ///
    /// # Errors
    /// `NoSuchUpload` where the upload is gone: completed, if an answer was lost before.
    pub async fn complete_upload(
        &self,
        key: &str,
        upload: &Upload,
        checksum: Option<Checksum>,
        onto: Onto<'_>,
    ) -> Result<Written, RequestError> {
        self.guarded(onto, |onto| self.complete_onto(key, upload, checksum, onto)).await
    }

    async fn complete_onto(
        &self,
        key: &str,
        upload: &Upload,
        checksum: Option<Checksum>,
        onto: Onto<'_>,
    ) -> Result<Written, RequestError> {
        let operation = Operation::CompleteMultipartUpload;
        let checksum = checksum.filter(|_| upload.checksums);
        let part = |(number, part): (&u16, &UploadedPart)| {
            let checksum = part.checksum.filter(|_| upload.checksums).map(|checksum| checksum.to_string());
            let part = CompletedPart::builder().part_number((*number).into()).e_tag(&part.etag);
            part.set_checksum_crc64_nvme(checksum).build()
        };
        let parts: Vec<CompletedPart> = upload.parts.iter().map(part).collect();
        let size = i64::try_from(upload.of.size).ok().filter(|_| upload.checksums);
        let headers = self.customer_key.as_ref().map(|key| key.to_request()).unwrap_or_default();
        let allowance = copy_allowance(upload.of.size / 100);
        self.call((operation, key), allowance, || async {
            let request = self.client.complete_multipart_upload().bucket(&self.name).key(key).upload_id(&upload.id);
            let answer = request
                .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts.clone())).build())
                .set_checksum_crc64_nvme(checksum.map(|checksum| checksum.to_string()))
                .set_checksum_type(checksum.map(|_| ChecksumType::FullObject))
                .set_mpu_object_size(size)
                .set_if_none_match(onto.if_none_match())
                .set_if_match(onto.if_match())
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .customize()
                .interceptor(with_headers(headers.clone()))
                .send()
                .await
                .map_err(|error| match translate(operation, error) {
                    // The same parts would add up to the same again.
                    error if error.code == "BadDigest" => RequestError { class: Class::Permanent, ..error },
                    error => error,
                })?;
            let is_whole = answer.checksum_type().is_none_or(|kind| *kind == ChecksumType::FullObject);
            Ok(Written {
                etag: Some(answer.e_tag().ok_or_else(|| malformed(operation, "ETag"))?.to_owned()),
                version_id: answer.version_id().map(str::to_owned),
                checksum: answer.checksum_crc64_nvme().filter(|_| is_whole).and_then(Checksum::parse),
                has_checked: false,
                has_opaque_etag: is_opaque(answer.server_side_encryption(), false),
            })
        })
        .await
    }

    /// Gives an upload up; one that is gone is no fault. `even_when_draining`: it is sent though the
    /// run ends, since nothing would name the upload afterwards.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn abort_upload(&self, key: &str, id: &str, even_when_draining: bool) -> Result<(), RequestError> {
        let operation = Operation::AbortMultipartUpload;
        let request = || async {
            let request = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(id);
            let answer = request
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .send()
                .await;
            match answer.map_err(|error| translate(operation, error)) {
                Err(error) if error.code == "NoSuchUpload" => Ok(()),
                answer => answer.map(|_| ()),
            }
        };
        if even_when_draining {
            self.pacer.last_call(self.question(operation, key, Duration::ZERO), request).await
        } else {
            self.call((operation, key), Duration::ZERO, request).await
        }
    }

    /// The parts that an upload has, by number.
    ///
    /// # Errors
    /// `NoSuchUpload` where it is gone.
    pub async fn list_parts(&self, key: &str, id: &str) -> Result<BTreeMap<u16, ListedPart>, RequestError> {
        let operation = Operation::ListParts;
        let headers = self.customer_key.as_ref().map(|key| key.to_request()).unwrap_or_default();
        let (mut parts, mut marker) = (BTreeMap::new(), None::<String>);
        loop {
            let answer = self
                .call((operation, key), Duration::ZERO, || async {
                    let request = self.client.list_parts().bucket(&self.name).key(key).upload_id(id);
                    let answer = request
                        .set_part_number_marker(marker.clone())
                        .set_request_payer(self.payer())
                        .set_expected_bucket_owner(self.expected_owner.clone())
                        .customize()
                        .interceptor(with_headers(headers.clone()))
                        .send()
                        .await
                        .map_err(|error| translate(operation, error))?;
                    // Without it, a page that was cut would pass for the last one.
                    answer.is_truncated().ok_or_else(|| malformed(operation, "IsTruncated"))?;
                    Ok(answer)
                })
                .await?;
            for part in answer.parts() {
                let number = part.part_number().and_then(|number| u16::try_from(number).ok());
                let size = part.size().and_then(|size| u64::try_from(size).ok());
                let checksum = part.checksum_crc64_nvme().and_then(Checksum::parse);
                if let (Some(number), Some(size), Some(etag)) = (number, size, part.e_tag()) {
                    let part = UploadedPart { etag: etag.to_owned(), checksum };
                    parts.insert(number, ListedPart { size, part });
                }
            }
            let next = answer.next_part_number_marker().map(str::to_owned);
            if answer.is_truncated() != Some(true) {
                return Ok(parts);
            }
            if next.is_none() || next == marker {
                return Err(malformed(operation, "marker that goes on"));
            }
            marker = next;
        }
    }
}

/// The entity tag of an object of these parts, where theirs are MD5s: the MD5 of them all, and their
/// number. *Source:* not promised by S3, but done by it and by all that speak S3; used only to
/// recognise, never to refuse.
pub fn composite_etag<'a>(parts: impl ExactSizeIterator<Item = &'a UploadedPart>) -> Option<String> {
    let count = parts.len();
    let mut all = Md5::new();
    for part in parts {
        let hex = part.etag.trim_matches('"');
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let md5: Option<Vec<u8>> = (0..16).map(|n| byte(2 * n)).collect();
        all.update(md5.filter(|_| hex.len() == 32)?);
    }
    let hex: String = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{hex}-{count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entity_tag_of_parts_is_that_of_s3() {
        let part = |etag: &str| UploadedPart { etag: etag.to_owned(), checksum: None };
        // Parts "aa" and "b", as the server of the tests and S3 have them.
        let parts = [part("\"4124bc0a9335c27f086f24ba207a4912\""), part("92eb5ffee6ae2fec3ad71c777531578f")];
        assert_eq!(composite_etag(parts.iter()).unwrap(), "4bae95d1ce34ae766cac2a1e313d7b06-2");
        assert_eq!(composite_etag([part("not-hex")].iter()), None);
    }
}
