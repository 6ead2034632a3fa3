//! Where the requests of one kind go, and how they get there.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::endpoint::Endpoint;
use aws_sdk_s3::config::{ConfigBag, FrozenLayer};
use aws_sdk_s3::error::{BoxError, SdkError};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::interceptors::context::Input;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::ser_de::{SerializeRequest as _, SharedRequestSerializer};
use aws_smithy_runtime_api::http::{Headers, Response};

use super::super::attributes::{RequestHeaders, write_headers};
use super::super::wire::{Agent, say_empty};

/// What a signature holds for: the region and the service that the endpoint's rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    region: String,
    service: String,
}

impl Scope {
    /// That of a signed request, where others can be signed as plainly. What has none is not signed, is
    /// signed for many regions (multi-region access points, Outposts), or for a directory bucket, some of
    /// whose calls are signed with the credentials of a session.
    pub(super) fn of(headers: &Headers) -> Option<Self> {
        let signed = headers.get("authorization")?.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
        let mut scope = signed.split(',').next()?.rsplit('/');
        let (end, service, region) = (scope.next()?, scope.next()?, scope.next()?);
        let is_plain = end == "aws4_request" && service != "s3express";
        is_plain.then(|| Self { region: region.to_owned(), service: service.to_owned() })
    }
}

/// Where the requests of one kind go, and how they get there.
#[derive(Debug)]
pub(super) struct Route {
    /// The SDK's own of the call: that which writes requests, that which reads answers.
    pub(super) call: FrozenLayer,
    /// With the bucket in it.
    pub(super) endpoint: Endpoint,
    pub(super) scope: Scope,
    /// What the SDK calls itself.
    pub(super) names: Vec<(&'static str, String)>,
    /// What it is called here.
    pub(super) agent: Agent,
    pub(super) clock: SharedTimeSource,
    pub(super) skew: Skew,
    pub(super) connector: SharedHttpConnector,
}

/// By how much the store's clock is ahead, or behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skew {
    Ahead(Duration),
    Behind(Duration),
}

impl Skew {
    /// From the time that a request says when it was signed.
    pub(super) fn between(now: SystemTime, signed: SystemTime) -> Self {
        match signed.duration_since(now) {
            Ok(ahead) => Self::Ahead(ahead),
            Err(behind) => Self::Behind(behind.duration()),
        }
    }

    fn apply(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Ahead(by) => now.checked_add(by),
            Self::Behind(by) => now.checked_sub(by),
        }
        .unwrap_or(now)
    }
}

/// The SHA-256 of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The statuses after which the SDK does not use a connection again: its server may be ill.
/// *Source:* the SDK's `TransientErrorClassifier`.
const ILL: [u16; 4] = [500, 502, 503, 504];

impl Route {
    /// Sends a request that has no body.
    pub(super) async fn send<E>(
        &self,
        input: Input,
        headers: &RequestHeaders,
        credentials: &Credentials,
    ) -> Result<Response, SdkError<E, Response>> {
        let mut request = self.write(input).map_err(SdkError::construction_failure)?;
        let refused = |error| SdkError::dispatch_failure(ConnectorError::other(error, None));
        write_headers(headers, request.headers_mut()).map_err(refused)?;
        let time = self.skew.apply(self.clock.now());
        self.sign(&mut request, credentials, time).map_err(refused)?;
        self.agent.write_to(request.headers_mut()).map_err(refused)?;
        say_empty(&mut request);
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        let answer = self.connector.call(request).await.map_err(SdkError::dispatch_failure)?;
        if ILL.contains(&answer.status().as_u16())
            && let Some(connection) = connection.get()
        {
            connection.poison();
        }
        Ok(answer)
    }

    fn write(&self, input: Input) -> Result<HttpRequest, BoxError> {
        let writer = self.call.load::<SharedRequestSerializer>().ok_or("the SDK does not write this call")?;
        let mut request = writer.serialize_input(input, &mut ConfigBag::base())?;
        request.uri_mut().set_endpoint(self.endpoint.url())?;
        for (name, value) in &self.names {
            request.headers_mut().try_insert(*name, value.clone())?;
        }
        Ok(request)
    }

    fn sign(&self, request: &mut HttpRequest, credentials: &Credentials, time: SystemTime) -> Result<(), BoxError> {
        let mut settings = SigningSettings::default();
        // What the SDK sets for S3, whose keys may hold anything.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = Identity::from(credentials.clone());
        let params = v4::SigningParams::builder().identity(&identity).settings(settings).time(time);
        let params = SigningParams::V4(params.region(&self.scope.region).name(&self.scope.service).build()?);
        let body = SignableBody::Precomputed(EMPTY.to_owned());
        let signable = SignableRequest::new(request.method(), request.uri(), request.headers().iter(), body)?;
        let (headers, _) = sign(signable, &params)?.into_parts().0.into_parts();
        for header in headers {
            request.headers_mut().try_insert(header.name(), header.value().to_owned())?;
        }
        Ok(())
    }
}
