//! What comes back, read as the SDK reads it.

use aws_sdk_s3::config::{ConfigBag, FrozenLayer};
use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::interceptors::context::OutputOrError;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse as _, SharedResponseDeserializer};
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;

use super::super::wire::{CUT, is_whole, whole};
use crate::model::{Class, RequestError};

/// An answer of whatever status.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response,
    connection: CaptureSmithyConnection,
}

impl Answer {
    /// What came over a connection.
    pub(super) fn new(response: Response, connection: CaptureSmithyConnection) -> Self {
        Self { response, connection }
    }

    /// Whether its status says that it is the answer that was asked for.
    pub(super) fn is_success(&self) -> bool {
        self.response.status().is_success()
    }

    /// Its body, as it comes.
    pub(super) fn into_body(mut self) -> SdkBody {
        self.response.take_body()
    }

    /// What the SDK reads in it, its errors as `failed` tells them. A connection over which the server has
    /// shown to be ill is not used again, much as with the SDK; one over which it asked to slow down is.
    pub(super) async fn read<O, E>(
        mut self,
        call: &FrozenLayer,
        failed: impl Fn(SdkError<E, Response>) -> RequestError,
    ) -> Result<O, RequestError>
    where
        O: std::fmt::Debug + Send + Sync + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let Some(reader) = call.load::<SharedResponseDeserializer>() else {
            return Err(failed(SdkError::response_error(OTHER, self.response)));
        };
        if let Some(read) = reader.deserialize_streaming_with_config(&mut self.response, &ConfigBag::base()) {
            return told(read, self.response).map_err(failed);
        }
        let response = load(self.response, &self.connection).await.map_err(&failed)?;
        let read = reader.deserialize_nonstreaming_with_config(&response, &ConfigBag::base());
        let is_cut = response.status().is_success() && !response.body().bytes().is_some_and(is_whole);
        let told = if is_cut { Err(SdkError::response_error(CUT, response)) } else { told(read, response) };
        told.map_err(failed).inspect_err(|error| {
            if is_ill(error) {
                give_up(&self.connection);
            }
        })
    }

    /// Keeps an `Expires` that is no date, as the SDK does for GetObject: its reader takes the text from
    /// another header.
    pub(super) fn keep_expires(&mut self) {
        let headers = self.response.headers_mut();
        let Some(expires) = headers.get("expires").map(str::to_owned) else { return };
        if DateTime::from_str(&expires, Format::HttpDate).is_err() {
            headers.remove("expires");
        }
        headers.insert("expiresstring", expires);
    }
}

/// Whether the fault is the server's, and not that of too many requests.
fn is_ill(error: &RequestError) -> bool {
    let is_servers = error.class == Class::Transient && error.status.is_some_and(|status| status >= 500);
    is_servers || matches!(error.code.as_str(), "InternalError" | "RequestTimeout" | "ServiceUnavailable")
}

fn give_up(connection: &CaptureSmithyConnection) {
    if let Some(connection) = connection.get() {
        connection.poison();
    }
}

/// Takes the body into memory.
pub(super) async fn load<E>(
    mut response: Response,
    connection: &CaptureSmithyConnection,
) -> Result<Response, SdkError<E, Response>> {
    match whole(response.take_body()).await {
        Ok(body) => {
            *response.body_mut() = SdkBody::from(body);
            Ok(response)
        }
        Err(error) => {
            give_up(connection);
            Err(SdkError::response_error(error, response))
        }
    }
}

/// What a reader of the SDK's has told.
#[expect(clippy::result_large_err, reason = "it is the SDK's own")]
fn told<O, E>(read: OutputOrError, response: Response) -> Result<O, SdkError<E, Response>>
where
    O: std::fmt::Debug + Send + Sync + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let error = match read {
        Ok(output) => return output.downcast().map_err(|_| SdkError::response_error(OTHER, response)),
        Err(error) => error,
    };
    if !error.is_operation_error() {
        return Err(SdkError::response_error(error, response));
    }
    let mut said = None;
    error.map_operation_error(|error| said = error.downcast().ok());
    Err(match said {
        Some(said) => SdkError::service_error(said, response),
        None => SdkError::response_error(OTHER, response),
    })
}

const OTHER: &str = "the answer was read as that to another call";
