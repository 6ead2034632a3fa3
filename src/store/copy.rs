//! CopyObject: the store copies by itself.

use aws_sdk_s3::types::ChecksumType;

use super::attributes::RequestHeaders;
use super::error::malformed;
use super::keys::copy_source;
use super::put::is_opaque;
use super::{Attributes, Bucket, Onto};
use crate::model::{Checksum, Object, Operation, RequestError, Written};
use crate::pace::copy_allowance;

impl Bucket {
    /// Copies `object` of `source` to `dest_key` here, on the condition `onto`; where `if_match` is given,
    /// only the object with this entity tag.
    /// What `attributes` leave out is copied: headers, metadata and tags. The request goes to this
    /// bucket's region with this bucket's credentials, which must be allowed to read the source.
    ///
    /// # Errors
    /// A 200 that carries an error, or no ETag, is an error too.
    pub async fn copy_from(
        &self,
        source: &Self,
        object: &Object,
        dest_key: &str,
        attributes: &Attributes,
        onto: Onto<'_>,
        if_match: Option<&str>,
    ) -> Result<Written, RequestError> {
        self.guarded(onto, |onto| self.copy_onto(source, object, dest_key, attributes, onto, if_match)).await
    }

    async fn copy_onto(
        &self,
        source: &Self,
        object: &Object,
        dest_key: &str,
        attributes: &Attributes,
        onto: Onto<'_>,
        if_match: Option<&str>,
    ) -> Result<Written, RequestError> {
        let copy_source = copy_source(&source.name, &object.key, object.version_id.as_deref());
        let mut headers = attributes.to_request(true);
        headers.extend(self.copy_headers(source));
        let headers = &headers;
        self.call((Operation::CopyObject, dest_key), copy_allowance(object.size), || async {
            let request = self.client.copy_object().bucket(&self.name).key(dest_key).copy_source(&copy_source);
            let request = request
                .set_copy_source_if_match(if_match.map(str::to_owned))
                .set_if_none_match(onto.if_none_match())
                .set_if_match(onto.if_match())
                .set_request_payer(source.payer().or_else(|| self.payer()))
                .set_expected_bucket_owner(self.expected_owner.clone())
                .set_expected_source_bucket_owner(source.expected_owner.clone());
            let answer = self.send_copy(request, headers).await?;
            let result = answer.copy_object_result().ok_or_else(|| malformed(Operation::CopyObject, "ETag"))?;
            let is_whole = result.checksum_type().is_none_or(|kind| *kind == ChecksumType::FullObject);
            Ok(Written {
                etag: Some(result.e_tag().ok_or_else(|| malformed(Operation::CopyObject, "ETag"))?.to_owned()),
                version_id: answer.version_id().map(str::to_owned),
                checksum: result.checksum_crc64_nvme().filter(|_| is_whole).and_then(Checksum::parse),
                has_checked: false,
                has_opaque_etag: is_opaque(answer.server_side_encryption(), answer.sse_customer_algorithm().is_some()),
            })
        })
        .await
    }

    /// The keys of SSE-C for a copy from `source` to here.
    pub(super) fn copy_headers(&self, source: &Self) -> RequestHeaders {
        let from = source.customer_key.iter().flat_map(|key| key.to_copy_request());
        let to = self.customer_key.iter().flat_map(|key| key.to_request());
        from.chain(to).collect()
    }
}
