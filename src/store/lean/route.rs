//! Where the requests for a bucket go, and how they get there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::endpoint::Endpoint;
use aws_sdk_s3::config::{ConfigBag, FrozenLayer};
use aws_sdk_s3::error::{BoxError, SdkError};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableRequest, SigningParams, SigningSettings,
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
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::super::attributes::{RequestHeaders, write_headers};
use super::super::body::Signed;
use super::super::credentials::Renewed;
use super::super::wire::{Agent, say_empty};
use super::answer::{Answer, load};

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

/// Where the requests for a bucket go, and how they get there.
#[derive(Debug)]
pub(super) struct Route {
    /// With the bucket in it.
    pub(super) endpoint: Endpoint,
    pub(super) scope: Scope,
    /// Headers that each request of the SDK's has.
    pub(super) names: Vec<(&'static str, String)>,
    /// What it is called here.
    pub(super) agent: Agent,
    pub(super) credentials: Arc<Renewed>,
    pub(super) clock: Clock,
    pub(super) connector: SharedHttpConnector,
}

/// How far a store's clock may be from ours, in seconds: ten years. What is farther is no time.
const FARTHEST: u64 = 10 * 366 * 86_400;

/// The store's clock: ours, and by how much it is ahead.
#[derive(Debug)]
pub(super) struct Clock {
    ours: SharedTimeSource,
    /// Seconds; less than 0 where it is behind.
    ahead: AtomicI64,
}

impl Clock {
    pub(super) fn new(ours: SharedTimeSource) -> Self {
        Self { ours, ahead: AtomicI64::new(0) }
    }

    /// It shows so many seconds since 1970 now.
    pub(super) fn set(&self, seconds: i64) {
        let ours = DateTime::from(self.ours.now()).secs();
        self.ahead.store(seconds.saturating_sub(ours), Relaxed);
    }

    fn now(&self) -> SystemTime {
        let (ours, ahead) = (self.ours.now(), self.ahead.load(Relaxed));
        let by = Duration::from_secs(ahead.unsigned_abs());
        let now = if ahead < 0 { ours.checked_sub(by) } else { ours.checked_add(by) };
        now.unwrap_or(ours)
    }

    /// Takes over what a refusal says. One of a cache (RFC 9111: it has an age) is old.
    fn notice(&self, headers: &Headers) {
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        let time = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let ours = DateTime::from(self.ours.now()).secs();
        if let Some(time) = time.filter(|time| time.secs().abs_diff(ours) <= FARTHEST) {
            self.set(time.secs());
        }
    }
}

impl Route {
    /// Sends a request, whose signature says of its body what `signed` does.
    pub(super) async fn send<E>(
        &self,
        call: &FrozenLayer,
        input: Input,
        headers: &RequestHeaders,
        signed: &Signed,
    ) -> Result<Answer, SdkError<E, Response>> {
        let writer = call.load::<SharedRequestSerializer>().ok_or("the SDK does not write this call");
        let written =
            writer.map_err(BoxError::from).and_then(|writer| writer.serialize_input(input, &mut ConfigBag::base()));
        let mut request = written.map_err(SdkError::construction_failure)?;
        let refused = |error| SdkError::dispatch_failure(ConnectorError::other(error, None));
        let credentials = self.credentials.provide().await.map_err(|error| refused(error.into()))?;
        self.complete(&mut request, headers, signed, &credentials).map_err(refused)?;
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        let mut response = self.connector.call(request).await.map_err(SdkError::dispatch_failure)?;
        // What refuses a signature that is not of its time does so with 403.
        if response.status().as_u16() == 403 {
            self.clock.notice(response.headers());
        }
        if !response.status().is_success() {
            response = load(response, &connection).await?;
            self.credentials.notice(&credentials, &response);
        }
        Ok(Answer::new(response, connection))
    }

    /// All that is in a request beside what its call is about.
    fn complete(
        &self,
        request: &mut HttpRequest,
        headers: &RequestHeaders,
        signed: &Signed,
        credentials: &Credentials,
    ) -> Result<(), BoxError> {
        request.uri_mut().set_endpoint(self.endpoint.url())?;
        for (name, value) in &self.names {
            request.headers_mut().try_insert(*name, value.clone())?;
        }
        write_headers(headers, request.headers_mut())?;
        self.sign(request, signed, credentials)?;
        self.agent.write_to(request.headers_mut())?;
        say_empty(request);
        Ok(())
    }

    fn sign(&self, request: &mut HttpRequest, signed: &Signed, credentials: &Credentials) -> Result<(), BoxError> {
        let mut settings = SigningSettings::default();
        // What the SDK sets for S3, whose keys may hold anything.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = Identity::from(credentials.clone());
        let params = v4::SigningParams::builder().identity(&identity).settings(settings).time(self.clock.now());
        let params = SigningParams::V4(params.region(&self.scope.region).name(&self.scope.service).build()?);
        let headers = request.headers().iter();
        let signable = SignableRequest::new(request.method(), request.uri(), headers, signed.to_sign())?;
        let (headers, _) = sign(signable, &params)?.into_parts().0.into_parts();
        for header in headers {
            request.headers_mut().try_insert(header.name(), header.value().to_owned())?;
        }
        Ok(())
    }
}
