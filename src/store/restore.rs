//! RestoreObject: makes an archived object readable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier as SdkTier};

use super::Bucket;
use super::error::{malformed, translate};
use crate::model::{Accepted, Object, Operation, RequestError, Tier};

/// The status of an answer, which the SDK does not tell.
#[derive(Clone, Debug, Default)]
struct SeenStatus(Arc<AtomicU16>);

impl Intercept for SeenStatus {
    fn name(&self) -> &'static str {
        "SeenStatus"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(context.response().status().as_u16(), Relaxed);
        Ok(())
    }
}

impl Bucket {
    /// Asks for `object` to be made readable for `days`, counted from when it is; without days, for
    /// good (the archive tiers of `INTELLIGENT_TIERING`, which take none).
    ///
    /// # Errors
    /// `RestoreAlreadyInProgress` where it is on its way; `GlacierExpeditedRetrievalNotAvailable`.
    pub async fn restore(&self, object: &Object, days: Option<u32>, tier: Tier) -> Result<Accepted, RequestError> {
        let tier = match tier {
            Tier::Bulk => SdkTier::Bulk,
            Tier::Standard => SdkTier::Standard,
            Tier::Expedited => SdkTier::Expedited,
        };
        let days = days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
        self.call((Operation::RestoreObject, &object.key), Duration::ZERO, || async {
            let parameters = GlacierJobParameters::builder().tier(tier.clone()).build();
            let parameters = parameters.map_err(|_| malformed(Operation::RestoreObject, "tier"))?;
            let wanted = RestoreRequest::builder().set_days(days);
            let wanted = wanted.glacier_job_parameters(parameters).build();
            let status = SeenStatus::default();
            let request = self.client.restore_object().bucket(&self.name).key(&object.key).restore_request(wanted);
            let sent = request
                .set_version_id(object.version_id.clone())
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .customize()
                .interceptor(status.clone())
                .send()
                .await;
            sent.map_err(|error| translate(Operation::RestoreObject, error))?;
            Ok(if status.0.load(Relaxed) == 202 { Accepted::Begun } else { Accepted::Extended })
        })
        .await
    }
}
