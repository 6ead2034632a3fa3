//! The short way of the calls that a run makes for each object, part and page: CopyObject, GetObject,
//! PutObject, UploadPart and ListObjectsV2. For every request the SDK works out anew where it goes and how it
//! is signed, and hands it through some twenty interceptors, which costs more than all else that is done.
//!
//! The first request of the SDK's that succeeds teaches its bucket the [`Route`] that it took: where
//! requests go and how they are signed depends on the bucket, and on nothing else. From then on these calls
//! go there by themselves. The SDK still writes them and reads their answers, and they leave through the
//! same HTTP client with the same bytes, but for the SDK's statistics: two headers that number its requests
//! and their attempts, and the features of the call in its `User-Agent`. What is not signed plainly stays
//! with the SDK: see [`Scope`](route::Scope).

mod answer;
mod learn;
mod route;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{FrozenLayer, RuntimePlugin as _};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::copy_object::{CopyObject, CopyObjectError, CopyObjectOutput};
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::get_object::{GetObject, GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2, ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::operation::put_object::{PutObject, PutObjectError, PutObjectInput, PutObjectOutput};
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder;
use aws_sdk_s3::operation::upload_part::{UploadPart, UploadPartError, UploadPartInput, UploadPartOutput};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use bytes::Bytes;
use futures::future::Either;
use futures::{FutureExt as _, TryFutureExt as _};

pub(super) use self::learn::Learn;
use self::route::Route;
use super::Bucket;
use super::attributes::{RequestHeaders, with_headers};
use super::body::Signed;
use super::error::{malformed, translate};
use super::wire::{TakenBody, bytes_of};
use crate::model::{Operation, RequestError};

/// The short way to a bucket.
#[derive(Debug)]
pub(super) struct Lean {
    /// Unset while no request of the SDK's has succeeded that others may follow.
    route: OnceLock<Arc<Route>>,
    /// What the SDK writes requests and reads answers with, for each call.
    copy: Option<FrozenLayer>,
    get: Option<FrozenLayer>,
    put: Option<FrozenLayer>,
    part: Option<FrozenLayer>,
    list: Option<FrozenLayer>,
}

impl Default for Lean {
    fn default() -> Self {
        Self {
            route: OnceLock::new(),
            copy: CopyObject::new().config(),
            get: GetObject::new().config(),
            put: PutObject::new().config(),
            part: UploadPart::new().config(),
            list: ListObjectsV2::new().config(),
        }
    }
}

impl Lean {
    /// The route, for one of its calls.
    fn known<'a>(&'a self, call: &'a Option<FrozenLayer>) -> Option<(&'a Route, &'a FrozenLayer)> {
        self.route.get().map(Arc::as_ref).zip(call.as_ref())
    }
}

/// The request of the SDK's for what a PutObject of ours holds.
fn to_put_request(client: &Client, input: PutObjectInput) -> PutObjectFluentBuilder {
    let request = client.put_object().set_bucket(input.bucket).set_key(input.key).body(input.body);
    request
        .set_checksum_crc64_nvme(input.checksum_crc64_nvme)
        .set_content_md5(input.content_md5)
        .set_if_none_match(input.if_none_match)
        .set_request_payer(input.request_payer)
        .set_expected_bucket_owner(input.expected_bucket_owner)
}

/// The same for an UploadPart of ours.
fn to_part_request(client: &Client, input: UploadPartInput) -> UploadPartFluentBuilder {
    let request = client.upload_part().set_bucket(input.bucket).set_key(input.key).body(input.body);
    request
        .set_upload_id(input.upload_id)
        .set_part_number(input.part_number)
        .set_checksum_crc64_nvme(input.checksum_crc64_nvme)
        .set_content_md5(input.content_md5)
        .set_request_payer(input.request_payer)
        .set_expected_bucket_owner(input.expected_bucket_owner)
}

impl Bucket {
    /// Sends a CopyObject with `headers` beside its own.
    pub(super) fn send_copy<'a>(
        &'a self,
        request: CopyObjectFluentBuilder,
        headers: &'a RequestHeaders,
    ) -> impl Future<Output = Result<CopyObjectOutput, RequestError>> + Send + 'a {
        let failed = |error| translate::<CopyObjectError>(Operation::CopyObject, error);
        let Some((route, call)) = self.lean.known(&self.lean.copy) else {
            let by_sdk = async move { request.customize().interceptor(with_headers(headers.clone())).send().await };
            return Either::Left(by_sdk.map_err(failed).boxed());
        };
        let input = request.as_input().clone().build().map(Input::erase).map_err(SdkError::construction_failure);
        Either::Right(async move {
            let answer = route.send(call, input.map_err(failed)?, headers, &Signed::empty()).await.map_err(failed)?;
            answer.read(call, failed).await
        })
    }

    /// Sends a GetObject with `headers` beside its own. The body is on its way.
    pub(super) fn send_get(
        &self,
        request: GetObjectFluentBuilder,
        headers: RequestHeaders,
    ) -> impl Future<Output = Result<GetObjectOutput, RequestError>> + Send + '_ {
        let failed = |error| translate::<GetObjectError>(Operation::GetObject, error);
        let Some((route, call)) = self.lean.known(&self.lean.get) else {
            let by_sdk = async move { request.customize().interceptor(with_headers(headers)).send().await };
            return Either::Left(by_sdk.map_err(failed).boxed());
        };
        let input = request.as_input().clone().build().map(Input::erase).map_err(SdkError::construction_failure);
        Either::Right(async move {
            let sent = route.send(call, input.map_err(failed)?, &headers, &Signed::empty()).await;
            let mut answer = sent.map_err(failed)?;
            answer.keep_expires();
            answer.read(call, failed).await
        })
    }

    /// Sends a PutObject with `headers` beside its own, and says of its body what `signed` does.
    pub(super) fn send_put(
        &self,
        input: PutObjectInput,
        headers: RequestHeaders,
        signed: Signed,
    ) -> impl Future<Output = Result<PutObjectOutput, RequestError>> + Send + '_ {
        let failed = |error| translate::<PutObjectError>(Operation::PutObject, error);
        let Some((route, call)) = self.lean.known(&self.lean.put) else {
            let request = to_put_request(&self.client, input);
            let by_sdk = request.customize().interceptor(with_headers(headers)).interceptor(signed);
            return Either::Left(async { by_sdk.send().await }.map_err(failed).boxed());
        };
        Either::Right(async move {
            let answer = route.send(call, Input::erase(input), &headers, &signed).await.map_err(failed)?;
            answer.read(call, failed).await
        })
    }

    /// Sends an UploadPart with `headers` beside its own, and says of its body what `signed` does.
    pub(super) fn send_part(
        &self,
        input: UploadPartInput,
        headers: RequestHeaders,
        signed: Signed,
    ) -> impl Future<Output = Result<UploadPartOutput, RequestError>> + Send + '_ {
        let failed = |error| translate::<UploadPartError>(Operation::UploadPart, error);
        let Some((route, call)) = self.lean.known(&self.lean.part) else {
            let request = to_part_request(&self.client, input);
            let by_sdk = request.customize().interceptor(with_headers(headers)).interceptor(signed);
            return Either::Left(async { by_sdk.send().await }.map_err(failed).boxed());
        };
        Either::Right(async move {
            let answer = route.send(call, Input::erase(input), &headers, &signed).await.map_err(failed)?;
            answer.read(call, failed).await
        })
    }

    /// Sends a ListObjectsV2. What comes back is the body of an answer that succeeded: the SDK's errors
    /// are known, the page is not read by it.
    pub(super) async fn send_list(&self, request: ListObjectsV2FluentBuilder) -> Result<Bytes, RequestError> {
        let operation = Operation::ListObjectsV2;
        let failed = |error| translate::<ListObjectsV2Error>(operation, error);
        let Some((route, call)) = self.lean.known(&self.lean.list) else {
            let body = TakenBody::default();
            request.customize().interceptor(body.clone()).send().await.map_err(failed)?;
            return body.bytes(operation).await;
        };
        let input = request.as_input().clone().build().map(Input::erase);
        let input = input.map_err(|error| failed(SdkError::construction_failure(error)))?;
        let sent = route.send(call, input, &RequestHeaders::new(), &Signed::empty()).await;
        let answer = sent.map_err(failed)?;
        if answer.is_success() {
            return bytes_of(operation, answer.into_body()).await;
        }
        let read: Result<ListObjectsV2Output, _> = answer.read(call, failed).await;
        Err(read.err().unwrap_or_else(|| malformed(operation, "error")))
    }
}
