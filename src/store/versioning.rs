//! GetBucketVersioning: whether what is overwritten stays.

use std::time::Duration;

use aws_sdk_s3::types::BucketVersioningStatus;

use super::Bucket;
use super::error::translate;
use crate::model::{Operation, RequestError, Versioning};

impl Bucket {
    /// Whether the bucket keeps older versions.
    ///
    /// # Errors
    /// Those of the request: it needs a permission of its own, and not all stores know it.
    pub async fn versioning(&self) -> Result<Versioning, RequestError> {
        self.call((Operation::GetBucketVersioning, ""), Duration::ZERO, || async {
            let request = self.client.get_bucket_versioning().bucket(&self.name);
            let sent = request.set_expected_bucket_owner(self.expected_owner.clone()).send().await;
            let answer = sent.map_err(|error| translate(Operation::GetBucketVersioning, error))?;
            Ok(match answer.status() {
                None => Versioning::Never,
                Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
                Some(_) => Versioning::Enabled,
            })
        })
        .await
    }
}
