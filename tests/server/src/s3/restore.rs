//! RestoreObject.

use std::sync::Arc;

use ::http::StatusCode;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response};

use super::{Answer, Call, Calls, fail, fail_with};
use crate::object::{Restore, now};
use crate::store::days_long;

pub(super) async fn object(calls: &Calls, req: Call<RestoreObjectInput>) -> Answer<RestoreObjectOutput> {
    let input = req.input;
    let days = input.restore_request.and_then(|request| request.days).and_then(|days| u32::try_from(days).ok());
    let mut state = calls.store.lock();
    let object = state.bucket(&input.bucket)?.objects.get_mut(&input.key);
    let object = object.ok_or_else(|| fail(S3ErrorCode::NoSuchKey, "there is no object under this key"))?;
    let tiered = object.archive_status.is_some();
    let cold = matches!(object.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE");
    if !tiered && !cold {
        let message = "the object is not archived";
        return Err(fail_with(StatusCode::FORBIDDEN, "ObjectAlreadyInActiveTierError", message));
    }
    if tiered == days.is_some() {
        let message = "days are for GLACIER and DEEP_ARCHIVE, and needed there";
        return Err(fail(S3ErrorCode::MalformedXML, message));
    }
    let (restore, status) = match (&object.restore, days) {
        (Some(Restore::InProgress { .. }), _) => {
            return Err(fail(S3ErrorCode::RestoreAlreadyInProgress, "the object is being restored already"));
        }
        (Some(Restore::Restored { .. }), Some(days)) => {
            (Restore::Restored { expiry: now() + days_long(days) }, StatusCode::OK)
        }
        (_, days) => (Restore::InProgress { days }, StatusCode::ACCEPTED),
    };
    Arc::make_mut(object).restore = Some(restore);
    Ok(S3Response::with_status(RestoreObjectOutput::default(), status))
}
