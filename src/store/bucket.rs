//! A bucket, as one end's credentials reach it. The calls are in the other files of this room.

use std::sync::Arc;

use aws_sdk_s3::types::RequestPayer;

use crate::pace::Pacer;

/// A bucket that requests can be sent to.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) request_payer: bool,
    pub(super) expected_owner: Option<String>,
    pub(super) pacer: Arc<Pacer>,
}

impl Bucket {
    /// Its name, or its access point's ARN.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The region that requests for it are sent to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The gate that its requests go through.
    pub fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    pub(super) fn payer(&self) -> Option<RequestPayer> {
        self.request_payer.then_some(RequestPayer::Requester)
    }
}
