//! From the SDK's errors to ours: what a failed request means, by its S3 code first.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::{RequestId as _, RequestIdExt as _};
use aws_smithy_runtime_api::http::{Headers, Response};

use super::secrets::without_secrets;
use super::wire::is_whole;
use crate::model::{Class, Operation, RequestError};

/// What an S3 error code or, without one, the HTTP status means. The codes are those of "Error
/// responses" in the S3 API reference, and of other providers where they have their own.
fn classify(code: Option<&str>, status: u16) -> Class {
    match code.unwrap_or_default() {
        "SlowDown"
        | "ServiceUnavailable"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "ThrottledException"
        | "RequestThrottledException"
        | "ProvisionedThroughputExceededException"
        | "KMS.ThrottlingException"
        | "PriorRequestNotComplete" => Class::Throttled,
        "InternalError"
        | "RequestTimeout"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "BadDigest"
        // Mended before the next attempt, by new credentials and by the server's clock.
        | "ExpiredToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "IncompleteBody"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => Class::Transient,
        "NoSuchKey" | "NoSuchVersion" => Class::Missing,
        "AccessDenied" | "Forbidden" => Class::Denied,
        "PreconditionFailed" => Class::Unmet,
        // Not a limit of the request rate: only more capacity that is paid for helps.
        "NotImplemented" | "GlacierExpeditedRetrievalNotAvailable" => Class::Permanent,
        "NoSuchBucket"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "NotSignedUp"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "InvalidSecurity" => Class::Fatal,
        _ => match status {
            429 | 503 => Class::Throttled,
            // An answer that says it succeeded, and could not be understood.
            200..=299 | 408 => Class::Transient,
            301 => Class::Fatal,
            412 => Class::Unmet,
            501 => Class::Permanent,
            500..=599 => Class::Transient,
            404 if code.is_none_or(|code| code == "NotFound") => Class::Missing,
            403 if code.is_none() => Class::Denied,
            _ => Class::Permanent,
        },
    }
}

/// Translates what the SDK reports for `operation`.
pub(super) fn translate<E>(operation: Operation, error: SdkError<E, Response>) -> RequestError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let response = error.raw_response();
    let status = response.map(|response| response.status().as_u16());
    let request_id = response.and_then(|response| request_ids(response.headers()));
    let said = error.as_service_error().map(|service| service.meta());
    let code = said.and_then(|meta| meta.code()).filter(|code| !code.is_empty());
    let (class, code, message) = match (&error, status) {
        (_, Some(status)) => {
            // An answer that broke off says nothing, whatever its status.
            let broken = is_cut(&error) || matches!(error, SdkError::ResponseError(_));
            let class = if broken { Class::Transient } else { classify(code, status) };
            let name = code.map_or_else(|| unnamed(status).to_owned(), plain_code);
            let message = said.and_then(|meta| meta.message()).map_or_else(|| unsaid(&error, &name), str::to_owned);
            (class, name, message)
        }
        _ if is_credentials(&error) => (Class::Fatal, "CredentialsUnavailable".to_owned(), chain(&error)),
        (SdkError::ConstructionFailure(_), _) => (Class::Permanent, CANNOT_BE_SENT.to_owned(), chain(&error)),
        (SdkError::DispatchFailure(failure), _) if failure.is_user() => {
            (Class::Permanent, CANNOT_BE_SENT.to_owned(), chain(&error))
        }
        (SdkError::TimeoutError(_), _) => (Class::Transient, "RequestTimeout".to_owned(), chain(&error)),
        _ => (Class::Transient, "ConnectionFailed".to_owned(), chain(&error)),
    };
    let retry_after = response.and_then(|response| response.headers().get("retry-after")).and_then(in_seconds);
    RequestError { operation, class, code, message: one_line(&message), status, request_id, attempts: 1, retry_after }
}

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// What `Retry-After` says in seconds; its other form, a date, is not used by stores.
fn in_seconds(header: &str) -> Option<Duration> {
    header.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The words for an answer that has none. What the SDK says of it is for the log.
fn unsaid(error: &(dyn StdError + 'static), code: &str) -> String {
    tracing::debug!(error = chain(error), "an answer without a message");
    match code {
        "MalformedAnswer" => "the answer is not what S3 answers to this call",
        "PermanentRedirect" => "the bucket is in another region, or the endpoint is not that of its store",
        _ => "the server says no more",
    }
    .to_owned()
}

/// Whether the answer is XML that ends early: its code cannot be relied on.
fn is_cut<E>(error: &SdkError<E, Response>) -> bool {
    let body = error.raw_response().and_then(|response| response.body().bytes());
    body.is_some_and(|body| !is_whole(body))
}

/// The name of an answer that carries no S3 code, as those to HEAD do.
fn unnamed(status: u16) -> &'static str {
    match status {
        200..=299 => "MalformedAnswer",
        301 => "PermanentRedirect",
        400 => "BadRequest",
        403 => "AccessDenied",
        404 => "NotFound",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "UnknownError",
    }
}

/// The end of a run whose credentials cannot be renewed.
pub(super) fn no_credentials(operation: Operation, error: &CredentialsError) -> RequestError {
    RequestError::local(operation, Class::Fatal, "CredentialsUnavailable", one_line(&chain(error)))
}

/// A request that cannot be written.
pub(super) fn cannot_be_sent(operation: Operation, error: &(dyn StdError + 'static)) -> RequestError {
    RequestError::local(operation, Class::Permanent, CANNOT_BE_SENT, one_line(&chain(error)))
}

/// The name of what is wrong with a request before it is sent.
const CANNOT_BE_SENT: &str = "CannotBeSent";

/// An answer that says it succeeded without what makes a success.
pub(super) fn malformed(operation: Operation, what: &str) -> RequestError {
    RequestError::local(operation, Class::Transient, "MalformedAnswer", format!("the answer carries no {what}"))
}

/// An error in an answer whose status says that there is none.
pub(super) fn in_success(operation: Operation, code: String, message: &str) -> RequestError {
    let class = classify(Some(&code).filter(|code| !code.is_empty()).map(String::as_str), 200);
    RequestError { status: Some(200), ..RequestError::local(operation, class, &plain_code(&code), one_line(message)) }
}

/// An answer whose body broke off on its way.
pub(super) fn broken_body(operation: Operation, error: &(dyn StdError + 'static)) -> RequestError {
    RequestError::local(operation, Class::Transient, "ConnectionFailed", chain(error))
}

/// The server's request ids, for its support.
fn request_ids(headers: &Headers) -> Option<String> {
    match (headers.request_id(), headers.extended_request_id()) {
        (Some(id), Some(extended)) => Some(format!("{id} {extended}")),
        (Some(id), None) | (None, Some(id)) => Some(id.to_owned()),
        (None, None) => None,
    }
}

fn is_credentials(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|error| error.is::<CredentialsError>())
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| StdError::source(error))
}

/// An error with all its causes on one line, each said once.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = one_line(&error.to_string());
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// A code is a short word; what a server sends in its place may be anything.
fn plain_code(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).take(64).collect()
}

/// Characters of a server's message that are kept: each failure is recorded with one.
const LONGEST_MESSAGE: usize = 500;

/// What a server says may hold anything: line breaks and control characters are taken out.
fn one_line(text: &str) -> String {
    let clean: String =
        without_secrets(text).chars().take(LONGEST_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        assert_eq!(classify(Some("SlowDown"), 503), Class::Throttled);
        assert_eq!(classify(Some("SlowDown"), 200), Class::Throttled);
        assert_eq!(classify(Some("InternalError"), 200), Class::Transient);
        assert_eq!(classify(Some("AccessDenied"), 200), Class::Denied);
        assert_eq!(classify(Some("NoSuchBucket"), 404), Class::Fatal);
        assert_eq!(classify(Some("NoSuchKey"), 404), Class::Missing);
        assert_eq!(classify(Some("InvalidRequest"), 400), Class::Permanent);
        assert_eq!(classify(Some("RequestTimeout"), 400), Class::Transient);
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for status in [200, 500, 502, 504, 520] {
            assert_eq!(classify(None, status), Class::Transient, "{status}");
        }
        for status in [429, 503] {
            assert_eq!(classify(None, status), Class::Throttled, "{status}");
        }
        assert_eq!(classify(None, 404), Class::Missing);
        assert_eq!(classify(None, 403), Class::Denied);
        assert_eq!(classify(Some("InvalidObjectState"), 403), Class::Permanent);
        assert_eq!(classify(Some("SignatureDoesNotMatch"), 403), Class::Permanent);
        assert_eq!(classify(Some("NeverHeardOf"), 400), Class::Permanent);
    }
}
