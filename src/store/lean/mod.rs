//! The short way of the calls that a run makes for each object and for each page, CopyObject and
//! ListObjectsV2. For every request the SDK works out anew where it goes and how it is signed, and hands
//! it through some thirty interceptors, which costs more than all else that is done for an object.
//!
//! The SDK's own first request of a kind, once it has been answered, teaches its bucket the [`Route`] that
//! it took. The next ones go there by themselves. The SDK still writes them and reads their answers, and
//! they leave through the same HTTP client with the same bytes. What is not signed plainly stays with
//! the SDK: see [`Scope`](route::Scope).

mod answer;
mod learn;
mod route;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::copy_object::{CopyObjectError, CopyObjectOutput};
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use aws_smithy_runtime_api::http::Response;
use bytes::Bytes;

use self::answer::{is_skewed, load, read};
pub(super) use self::learn::Learn;
use self::route::Route;
use super::Bucket;
use super::attributes::{RequestHeaders, with_headers};
use super::error::{malformed, translate};
use super::wire::{TakenBody, bytes_of};
use crate::model::{Operation, RequestError};

/// What is known of the short ways to a bucket.
#[derive(Debug, Default)]
pub(super) struct Lean {
    copies: Way,
    listings: Way,
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
#[derive(Debug, Default)]
struct Way(RwLock<Option<Arc<Route>>>);

impl Way {
    fn route(&self) -> Option<Arc<Route>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, route: Option<Arc<Route>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = route;
    }

    /// Sends a request by the route. The body of a success is left unread.
    async fn send<I, E>(&self, route: &Route, input: I, bucket: &Bucket, headers: &RequestHeaders) -> Sent<E>
    where
        I: std::fmt::Debug + Send + Sync + 'static,
    {
        let credentials = bucket.credentials.as_ref().ok_or_else(|| SdkError::construction_failure(UNSIGNED))?;
        let current = credentials.provide().await.map_err(SdkError::construction_failure)?;
        let answer = route.send(Input::erase(input), headers, &current).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let answer = load(answer).await?;
        credentials.notice(&current, &answer);
        if is_skewed(&answer) {
            // The SDK measures the store's clock: it leads the next one.
            self.set(None);
        }
        Ok(answer)
    }
}

/// An answer of whatever status, or none.
type Sent<E> = Result<Response, SdkError<E, Response>>;

/// Routes are learned from signed requests only.
const UNSIGNED: &str = "requests for this bucket are not signed";

impl Bucket {
    /// Sends a CopyObject with `headers` beside its own.
    pub(super) async fn send_copy(
        &self,
        request: CopyObjectFluentBuilder,
        headers: &RequestHeaders,
    ) -> Result<CopyObjectOutput, SdkError<CopyObjectError, Response>> {
        let way = &self.lean.copies;
        let Some(route) = way.route() else {
            return match headers.is_empty() {
                true => request.send().await,
                false => request.customize().interceptor(with_headers(headers.clone())).send().await,
            };
        };
        let input = request.as_input().clone().build().map_err(SdkError::construction_failure)?;
        let answer = way.send(&route, input, self, headers).await?;
        read(&route, load(answer).await?)
    }

    /// Sends a ListObjectsV2. What comes back is the body of an answer that succeeded: the SDK's errors
    /// are known, the page is not read by it.
    pub(super) async fn send_list(&self, request: ListObjectsV2FluentBuilder) -> Result<Bytes, RequestError> {
        let operation = Operation::ListObjectsV2;
        let failed = |error| translate::<ListObjectsV2Error>(operation, error);
        let way = &self.lean.listings;
        let Some(route) = way.route() else {
            let body = TakenBody::default();
            request.customize().interceptor(body.clone()).send().await.map_err(failed)?;
            return body.bytes(operation).await;
        };
        let input = request.as_input().clone().build();
        let input = input.map_err(|error| failed(SdkError::construction_failure(error)))?;
        let mut answer = way.send(&route, input, self, &RequestHeaders::new()).await.map_err(failed)?;
        if answer.status().is_success() {
            return bytes_of(operation, answer.take_body()).await;
        }
        read::<ListObjectsV2Output, _>(&route, answer).map_err(failed)?;
        Err(malformed(operation, "error"))
    }
}
