//! RestoreObject.

use std::sync::Arc;
use std::time::SystemTime;

use ::http::StatusCode;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response, S3Result};

use super::{Answer, Call, Calls, fail, fail_with};
use crate::object::{self, Restore};

pub(super) async fn object(calls: &Calls, req: Call<RestoreObjectInput>) -> Answer<RestoreObjectOutput> {
    let input = req.input;
    let request = input.restore_request.unwrap_or_default();
    let tier = request.glacier_job_parameters.map(|parameters| parameters.tier).or(request.tier);
    let tier = tier.unwrap_or_else(|| Tier::from_static(Tier::STANDARD));
    let days = request.days.and_then(|days| u32::try_from(days).ok());
    let mut state = calls.store.lock();
    let bucket = state.bucket(&input.bucket)?;
    let restoring = bucket.restoring;
    let object = bucket.settle(&input.key);
    let object = object.ok_or_else(|| fail(S3ErrorCode::NoSuchKey, "there is no object under this key"))?;
    check(calls, object, days, &tier)?;
    let now = SystemTime::now();
    let (restore, status) = match (&object.restore, days) {
        (Some(Restore::InProgress { .. }), _) if !is_faster(&tier, object) => {
            return Err(fail(S3ErrorCode::RestoreAlreadyInProgress, "the object is being restored already"));
        }
        // Only its speed changes: S3 does not update the days of a restore in progress.
        (Some(in_progress @ Restore::InProgress { .. }), _) => (in_progress.clone(), StatusCode::ACCEPTED),
        (Some(Restore::Restored { .. }), Some(days)) => {
            (Restore::Restored { expiry: restoring.expiry(now, days) }, StatusCode::OK)
        }
        (_, days) => (Restore::InProgress { days }, StatusCode::ACCEPTED),
    };
    let begun = object.restore_request.as_ref().map_or(now, |request| request.at);
    let request = object::RestoreRequest { at: begun, tier: tier.as_str().to_owned() };
    let object = Arc::make_mut(object);
    object.restore_request = matches!(restore, Restore::InProgress { .. }).then_some(request);
    object.restore = Some(restore);
    let mut response = S3Response::new(RestoreObjectOutput::default());
    response.extensions.insert(status);
    Ok(response)
}

/// Refuses what cannot be restored, or not so.
fn check(calls: &Calls, object: &object::Object, days: Option<u32>, tier: &Tier) -> S3Result<()> {
    let tiered = object.archive_status.is_some();
    let cold = matches!(object.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE");
    if !tiered && !cold {
        let message = "the object is not archived";
        return Err(fail_with(StatusCode::FORBIDDEN, "ObjectAlreadyInActiveTierError", message));
    }
    if tiered == days.is_some() || days == Some(0) {
        let message = "days are for GLACIER and DEEP_ARCHIVE, and needed there";
        return Err(fail(S3ErrorCode::MalformedXML, message));
    }
    if speed(tier.as_str()).is_none() {
        return Err(fail(S3ErrorCode::MalformedXML, "the tier is none of Bulk, Standard and Expedited"));
    }
    if tier.as_str() != Tier::EXPEDITED {
        return Ok(());
    }
    let is_deep = object.archive_status.as_ref().unwrap_or(&object.storage_class).starts_with("DEEP_ARCHIVE");
    if is_deep {
        return Err(fail(S3ErrorCode::InvalidRequest, "Retrieval option is not supported by this storage class"));
    }
    if !calls.config.expedited {
        let message = "Glacier expedited retrievals are currently not available, please try again later";
        return Err(fail_with(StatusCode::SERVICE_UNAVAILABLE, "GlacierExpeditedRetrievalNotAvailable", message));
    }
    Ok(())
}

/// Whether a tier is faster than the one with which an object is being restored.
fn is_faster(tier: &Tier, object: &object::Object) -> bool {
    object.restore_request.as_ref().is_some_and(|request| speed(tier.as_str()) > speed(&request.tier))
}

fn speed(tier: &str) -> Option<usize> {
    [Tier::BULK, Tier::STANDARD, Tier::EXPEDITED].iter().position(|known| *known == tier)
}
