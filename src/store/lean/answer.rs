//! What comes back, read as the SDK reads it.

use aws_sdk_s3::config::ConfigBag;
use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse as _, SharedResponseDeserializer};
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;

use super::super::wire::{CUT, is_whole, whole};
use super::route::Route;

/// Takes the body into memory.
pub(super) async fn load<E>(mut answer: Response) -> Result<Response, SdkError<E, Response>> {
    match whole(answer.take_body()).await {
        Ok(body) => {
            *answer.body_mut() = SdkBody::from(body);
            Ok(answer)
        }
        Err(error) => Err(SdkError::response_error(error, answer)),
    }
}

/// Whether the store's clock and ours are too far apart. *Source:* "Error responses" in the S3 API reference.
pub(super) fn is_skewed(answer: &Response) -> bool {
    let code = b"<Code>RequestTimeTooSkewed</Code>";
    answer.body().bytes().is_some_and(|body| body.windows(code.len()).any(|window| window == code))
}

/// What the SDK reads in an answer of this kind.
#[expect(clippy::result_large_err, reason = "it is the SDK's own")]
pub(super) fn read<O, E>(route: &Route, answer: Response) -> Result<O, SdkError<E, Response>>
where
    O: std::fmt::Debug + Send + Sync + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let Some(reader) = route.call.load::<SharedResponseDeserializer>() else {
        return Err(SdkError::response_error(OTHER, answer));
    };
    let result = reader.deserialize_nonstreaming_with_config(&answer, &ConfigBag::base());
    if answer.status().is_success() && !answer.body().bytes().is_some_and(is_whole) {
        return Err(SdkError::response_error(CUT, answer));
    }
    let error = match result {
        Ok(output) => match output.downcast() {
            Ok(output) => return Ok(output),
            Err(_) => return Err(SdkError::response_error(OTHER, answer)),
        },
        Err(error) => error,
    };
    if !error.is_operation_error() {
        return Err(SdkError::response_error(error, answer));
    }
    let mut said = None;
    error.map_operation_error(|error| said = error.downcast().ok());
    Err(match said {
        Some(said) => SdkError::service_error(said, answer),
        None => SdkError::response_error(OTHER, answer),
    })
}

const OTHER: &str = "the answer was read as that to another call";
