//! ListMultipartUploads: the uploads that are under way.

use std::time::Duration;

use aws_sdk_s3::types::EncodingType;

use super::Bucket;
use super::error::{malformed, translate};
use super::keys::decode;
use crate::model::{Operation, RequestError};

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// The key that it will write.
    pub key: String,
    /// The upload id.
    pub id: String,
    /// When it was begun, where the server says it: seconds since 1970.
    pub initiated: Option<i64>,
}

/// Where a listing of uploads goes on: key marker and upload id marker.
pub type UploadMarker = (String, String);

impl Bucket {
    /// One page of the uploads to keys that begin with `prefix`, and where the next one begins.
    /// `even_when_draining`: it is asked though the run ends.
    ///
    /// # Errors
    /// A page that does not say whether it is the last one, or does not go on.
    pub async fn list_uploads(
        &self,
        prefix: &str,
        marker: Option<&UploadMarker>,
        even_when_draining: bool,
    ) -> Result<(Vec<OpenUpload>, Option<UploadMarker>), RequestError> {
        let operation = Operation::ListMultipartUploads;
        let (key_marker, id_marker) = marker.cloned().unzip();
        let request = || async {
            let request = self.client.list_multipart_uploads().bucket(&self.name);
            let answer = request
                .encoding_type(EncodingType::Url)
                .set_prefix(Some(prefix).filter(|prefix| !prefix.is_empty()).map(str::to_owned))
                .set_key_marker(key_marker.clone())
                .set_upload_id_marker(id_marker.clone())
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .send()
                .await
                .map_err(|error| translate(operation, error))?;
            answer.is_truncated().ok_or_else(|| malformed(operation, "IsTruncated"))?;
            Ok(answer)
        };
        let answer = if even_when_draining {
            self.pacer.last_call(self.question(operation, prefix, Duration::ZERO), request).await?
        } else {
            self.call((operation, prefix), Duration::ZERO, request).await?
        };
        let encoded = answer.encoding_type() == Some(&EncodingType::Url)
            && self.encodes_keys.get().is_none_or(|encodes| *encodes);
        let name = |text: &str| if encoded { decode(text) } else { Some(text.to_owned()) };
        let unreadable = || malformed(operation, "readable key");
        let mut uploads = Vec::new();
        for upload in answer.uploads() {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { return Err(unreadable()) };
            let initiated = upload.initiated().map(aws_smithy_types::DateTime::secs);
            uploads.push(OpenUpload { key: name(key).ok_or_else(unreadable)?, id: id.to_owned(), initiated });
        }
        if answer.is_truncated() != Some(true) {
            return Ok((uploads, None));
        }
        let key = answer.next_key_marker().and_then(name);
        let next = key.zip(answer.next_upload_id_marker().map(str::to_owned));
        match next {
            Some(next) if Some(&next) != marker => Ok((uploads, Some(next))),
            _ => Err(malformed(operation, "marker that goes on")),
        }
    }
}
