//! The short way of the calls that a run makes for each object and for each page, CopyObject and
//! ListObjectsV2. For every request the SDK works out anew where it goes and how it is signed, and hands
//! it through some twenty interceptors, which costs more than all else that is done for an object.
//!
//! The SDK's own first request of a kind, once it has been answered, teaches its bucket the [`Route`] that
//! it took. The next ones go there by themselves. The SDK still writes them and reads their answers, and
//! they leave through the same HTTP client with the same bytes, but for two headers that are not signed,
//! in which the SDK counts its requests and their attempts. What is not signed plainly stays with the SDK:
//! see [`Scope`](route::Scope).

mod answer;
mod learn;
mod route;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::config::{FrozenLayer, RuntimePlugin};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::copy_object::{CopyObject, CopyObjectError, CopyObjectOutput};
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2, ListObjectsV2Error, ListObjectsV2Output};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use bytes::Bytes;
use futures::future::Either;
use futures::{FutureExt as _, TryFutureExt as _};

pub(super) use self::learn::Learn;
use self::route::Route;
use super::Bucket;
use super::attributes::{RequestHeaders, with_headers};
use super::error::{malformed, translate};
use super::wire::{TakenBody, bytes_of};
use crate::model::{Operation, RequestError};

/// What is known of the short ways to a bucket.
#[derive(Debug)]
pub(super) struct Lean {
    copies: Way,
    listings: Way,
}

impl Default for Lean {
    fn default() -> Self {
        Self { copies: Way::of(&CopyObject::new()), listings: Way::of(&ListObjectsV2::new()) }
    }
}

impl Lean {
    /// The way of a call, by the name that the SDK has for it.
    fn way(&self, call: &str) -> Option<&Way> {
        match call {
            "CopyObject" => Some(&self.copies),
            "ListObjectsV2" => Some(&self.listings),
            _ => None,
        }
    }
}

/// The way of one kind of call.
#[derive(Debug)]
struct Way {
    /// What the SDK writes its requests and reads its answers with.
    call: Option<FrozenLayer>,
    /// Unset while no request of the SDK's has succeeded that others may follow.
    route: OnceLock<Arc<Route>>,
}

impl Way {
    fn of(call: &impl RuntimePlugin) -> Self {
        Self { call: call.config(), route: OnceLock::new() }
    }

    /// The route, with what is needed to write requests for it.
    fn known(&self) -> Option<(&Route, &FrozenLayer)> {
        self.route.get().map(Arc::as_ref).zip(self.call.as_ref())
    }
}

impl Bucket {
    /// Sends a CopyObject with `headers` beside its own.
    pub(super) fn send_copy<'a>(
        &'a self,
        request: CopyObjectFluentBuilder,
        headers: &'a RequestHeaders,
    ) -> impl Future<Output = Result<CopyObjectOutput, RequestError>> + 'a {
        let failed = |error| translate::<CopyObjectError>(Operation::CopyObject, error);
        let Some((route, call)) = self.lean.copies.known() else {
            let by_sdk = async move {
                match headers.is_empty() {
                    true => request.send().await,
                    false => request.customize().interceptor(with_headers(headers.clone())).send().await,
                }
            };
            return Either::Left(by_sdk.map_err(failed).boxed());
        };
        let input = request.as_input().clone().build().map(Input::erase).map_err(SdkError::construction_failure);
        Either::Right(async move {
            let answer = route.send(call, input.map_err(failed)?, headers).await.map_err(failed)?;
            answer.read(call, failed).await
        })
    }

    /// Sends a ListObjectsV2. What comes back is the body of an answer that succeeded: the SDK's errors
    /// are known, the page is not read by it.
    pub(super) async fn send_list(&self, request: ListObjectsV2FluentBuilder) -> Result<Bytes, RequestError> {
        let operation = Operation::ListObjectsV2;
        let failed = |error| translate::<ListObjectsV2Error>(operation, error);
        let Some((route, call)) = self.lean.listings.known() else {
            let body = TakenBody::default();
            request.customize().interceptor(body.clone()).send().await.map_err(failed)?;
            return body.bytes(operation).await;
        };
        let input = request.as_input().clone().build().map(Input::erase);
        let input = input.map_err(|error| failed(SdkError::construction_failure(error)))?;
        let answer = route.send(call, input, &RequestHeaders::new()).await.map_err(failed)?;
        if answer.is_success() {
            return bytes_of(operation, answer.into_body()).await;
        }
        let read: Result<ListObjectsV2Output, _> = answer.read(call, failed).await;
        Err(read.err().unwrap_or_else(|| malformed(operation, "error")))
    }
}
