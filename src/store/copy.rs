//! CopyObject: the store copies by itself.

use super::Bucket;
use super::error::{malformed, translate};
use super::keys::copy_source;
use crate::model::{Operation, RequestError};
use crate::pace::copy_allowance;

impl Bucket {
    /// Copies `key` of `source` to `dest_key` here, with its headers, metadata and tags. The
    /// request goes to this bucket's region with this bucket's credentials, which must be allowed
    /// to read the source. `size` is the object's, in bytes, for the deadline.
    ///
    /// # Errors
    /// A 200 that carries an error, or no ETag, is an error too.
    pub async fn copy_from(&self, source: &Self, key: &str, size: u64, dest_key: &str) -> Result<(), RequestError> {
        let copy_source = copy_source(&source.name, key);
        self.call(Operation::CopyObject, copy_allowance(size), || async {
            let request = self.client.copy_object().bucket(&self.name).key(dest_key).copy_source(&copy_source);
            let answer = request
                .set_request_payer(source.payer().or_else(|| self.payer()))
                .set_expected_bucket_owner(self.expected_owner.clone())
                .set_expected_source_bucket_owner(source.expected_owner.clone())
                .send()
                .await
                .map_err(|error| translate(Operation::CopyObject, error))?;
            match answer.copy_object_result().and_then(|result| result.e_tag()) {
                Some(_) => Ok(()),
                None => Err(malformed(Operation::CopyObject, "ETag")),
            }
        })
        .await
    }
}
