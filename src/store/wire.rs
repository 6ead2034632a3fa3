//! What the SDK leaves undone on the wire, mended by interceptors.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, Metadata};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};

use super::error::{broken_body, malformed};
use crate::model::{Operation, RequestError};

/// Says `Content-Length: 0` on writes without a body: the HTTP client leaves it out, and Google
/// Cloud Storage answers 411 without it.
#[derive(Debug)]
pub(super) struct EmptyBodyLength;

impl Intercept for EmptyBodyLength {
    fn name(&self) -> &'static str {
        "EmptyBodyLength"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        say_empty(context.request_mut());
        Ok(())
    }
}

/// As [`EmptyBodyLength`] does.
pub(super) fn say_empty(request: &mut HttpRequest) {
    let writes = matches!(request.method(), "PUT" | "POST");
    if writes && request.body().content_length() == Some(0) && request.headers().get("content-length").is_none() {
        request.headers_mut().insert("content-length", "0");
    }
}

/// Names the program and its job in the `User-Agent` header, which CloudTrail and server access logs
/// record. The header is not part of the signature.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent(Arc<OnceLock<String>>);

impl Agent {
    /// The first name stays.
    pub(super) fn name_job(&self, job: &str) {
        let _ = self.0.set(job.to_owned());
    }

    /// Puts it before the SDK's own name.
    pub(super) fn write_to(&self, headers: &mut Headers) -> Result<(), BoxError> {
        let job = self.0.get().map(|job| format!(" job/{job}")).unwrap_or_default();
        let sdk = headers.get("user-agent").map(|sdk| format!(" {sdk}")).unwrap_or_default();
        headers.try_insert("user-agent", format!("s3bulk/{}{job}{sdk}", env!("CARGO_PKG_VERSION")))?;
        Ok(())
    }
}

impl Intercept for Agent {
    fn name(&self) -> &'static str {
        "Agent"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.write_to(context.request_mut().headers_mut())
    }
}

/// The largest answer that is not an object: a page of 1,000 keys of 1,024 bytes, each byte escaped
/// as three, is some 4 MB.
const LARGEST_ANSWER: u64 = 8 << 20;

/// Cuts answers that do not end: all but objects are read into memory whole.
#[derive(Debug)]
pub(super) struct BoundedAnswer;

impl Intercept for BoundedAnswer {
    fn name(&self) -> &'static str {
        "BoundedAnswer"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let is_object = config.load::<Metadata>().is_some_and(|call| call.name() == "GetObject");
        let length = response.headers().get("content-length").and_then(|length| length.parse::<u64>().ok());
        if (is_object && response.status().is_success()) || length.is_some_and(|length| length <= LARGEST_ANSWER) {
            return Ok(());
        }
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = SdkBody::from_body_1_x(limited(body));
        Ok(())
    }
}

fn limited(body: SdkBody) -> Limited<SdkBody> {
    Limited::new(body, usize::try_from(LARGEST_ANSWER).unwrap_or(usize::MAX))
}

/// All of a body.
///
/// # Errors
/// One that breaks off, or is larger than any answer.
pub(super) async fn whole(body: SdkBody) -> Result<Bytes, BoxError> {
    Ok(limited(body).collect().await?.to_bytes())
}

/// Takes the body of an answer that succeeded away from the SDK, to be read by ourselves. The SDK is
/// shown an answer that says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct TakenBody(Arc<Mutex<Option<SdkBody>>>);

/// The answer to ListObjectsV2 that says nothing.
const NOTHING: &str = "<ListBucketResult/>";

impl Intercept for TakenBody {
    fn name(&self) -> &'static str {
        "TakenBody"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if response.status().is_success() {
            let body = std::mem::replace(response.body_mut(), SdkBody::from(NOTHING));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
        Ok(())
    }
}

impl TakenBody {
    /// All of the body.
    ///
    /// # Errors
    /// One that breaks off, or is larger than any answer.
    pub(super) async fn bytes(&self, operation: Operation) -> Result<Bytes, RequestError> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let body = body.ok_or_else(|| malformed(operation, "body"))?;
        bytes_of(operation, body).await
    }
}

/// All of the body of an answer to `operation`.
///
/// # Errors
/// As [`whole`] has them.
pub(super) async fn bytes_of(operation: Operation, body: SdkBody) -> Result<Bytes, RequestError> {
    whole(body).await.map_err(|error| broken_body(operation, &*error))
}

/// What is said of an answer that ends early.
pub(super) const CUT: &str = "the answer was cut short";

/// Refuses XML answers that end early: the SDK's decoder takes the end of the bytes for the end of
/// the document, and a page of a listing that was cut would lose its keys.
#[derive(Debug)]
pub(super) struct WholeXml;

impl Intercept for WholeXml {
    fn name(&self) -> &'static str {
        "WholeXml"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // The body of an object is a stream, and has no bytes here.
        match response.body().bytes() {
            Some(body) if response.status().is_success() && !is_whole(body) => Err(CUT.into()),
            _ => Ok(()),
        }
    }
}

/// Whether a body that begins as XML ends with the closing tag of its first element.
pub(super) fn is_whole(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    if !body.starts_with(b"<") {
        return true;
    }
    let Some(name) = root(body) else { return false };
    if let Some(front) = body.strip_suffix(b">") {
        let front = front.trim_ascii_end();
        let closed = front.strip_suffix(name).is_some_and(|front| front.ends_with(b"</"));
        let empty = front.ends_with(b"/") && body.iter().filter(|byte| **byte == b'<').count() <= 2;
        return closed || empty;
    }
    false
}

/// The name of the first element: the first `<` that begins neither a declaration nor a comment.
fn root(body: &[u8]) -> Option<&[u8]> {
    let starts =
        body.windows(2).position(|pair| pair[0] == b'<' && (pair[1].is_ascii_alphabetic() || pair[1] == b'_'))?;
    let name = &body[starts + 1..];
    let end = name.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "<?xml version=\"1.0\"?>\n<List xmlns=\"x\"><IsTruncated>false</IsTruncated><C><K>a</K></C></List>\n";

    #[test]
    fn whole_answers_pass() {
        for body in [PAGE, "", " \n", "plain text", "<?xml version=\"1.0\"?><Empty/>", "<Empty />", "<A></A >"] {
            assert!(is_whole(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_does_not() {
        let end = PAGE.trim_end().len();
        for cut in 1..end {
            assert!(!is_whole(&PAGE.as_bytes()[..cut]), "{}", &PAGE[..cut]);
        }
    }
}
