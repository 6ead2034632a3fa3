//! PutObject: a whole object from memory.

use aws_sdk_s3::operation::put_object::PutObjectInput;
use aws_sdk_s3::types::ServerSideEncryption;
use bytes::Bytes;

use super::attributes::content_md5;
use super::body::body as body_of;
use super::checksums::compare;
use super::error::{cannot_be_sent, malformed};
use super::{Attributes, Bucket};
use crate::model::{Checksum, Operation, RequestError, Written};
use crate::pace::transfer_allowance;

impl Bucket {
    /// Writes `body`, whose checksum is given, to `key`; where `only_new`, only if there is nothing.
    /// The store checks the CRC-64, or an MD5 where it refuses that. What comes back tells whether
    /// it did.
    ///
    /// # Errors
    /// A 200 without an ETag is an error, and so is one with another checksum.
    pub async fn put(
        &self,
        key: &str,
        body: &Bytes,
        checksum: Checksum,
        attributes: &Attributes,
        only_new: bool,
    ) -> Result<Written, RequestError> {
        let operation = Operation::PutObject;
        let attributes = attributes.to_request(false);
        let attributes = &attributes;
        self.writes_checksums
            .call(|with_crc| async move {
                let md5 = (!with_crc).then(|| content_md5(body));
                self.call((operation, key), transfer_allowance(body.len() as u64), || async {
                    let mut headers = attributes.clone();
                    headers.extend(self.customer_key.iter().flat_map(|key| key.to_request()));
                    let unsigned = self.leaves_bodies_unsigned(with_crc);
                    let (sent, signed) = body_of(body, unsigned);
                    let input = PutObjectInput::builder().bucket(&self.name).key(key).body(sent);
                    let input = input
                        .set_checksum_crc64_nvme(with_crc.then(|| checksum.to_string()))
                        .set_content_md5(md5.clone())
                        .set_if_none_match(only_new.then(|| "*".to_owned()))
                        .set_request_payer(self.payer())
                        .set_expected_bucket_owner(self.expected_owner.clone())
                        .build();
                    let input = input.map_err(|error| cannot_be_sent(operation, &error))?;
                    let answer = self.send_put(input, headers, signed).await?;
                    let confirmed = answer.checksum_crc64_nvme().and_then(Checksum::parse);
                    compare(operation, Some(checksum), confirmed)?;
                    self.confirmed(confirmed);
                    Ok(Written {
                        etag: Some(answer.e_tag().ok_or_else(|| malformed(operation, "ETag"))?.to_owned()),
                        version_id: answer.version_id().map(str::to_owned),
                        checksum: confirmed,
                        // A store that refuses the CRC-64 has checked the MD5.
                        has_checked: !with_crc,
                        has_opaque_etag: is_opaque(
                            answer.server_side_encryption(),
                            answer.sse_customer_algorithm().is_some(),
                        ),
                    })
                })
                .await
            })
            .await
    }
}

/// Whether the entity tag of an object that is encrypted so is no MD5.
pub(super) fn is_opaque(sse: Option<&ServerSideEncryption>, by_customer: bool) -> bool {
    by_customer || sse.is_some_and(|sse| sse.as_str().starts_with("aws:kms"))
}
