//! A network whose far end answers at once, and the ways to reach a bucket over it.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{IdentityCache, SharedHttpClient};
use aws_smithy_async::rt::sleep::default_async_sleep;
use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;

use super::super::super::credentials::{Provider, Renewed};
use super::super::super::{Addressing, Bucket, End, EndConfig};
use crate::pace::{Bounds, Pacer, RetryPolicy};

/// 2026-11-21T12:34:56Z.
pub(super) const NOW: u64 = 1_795_264_496;

/// A name without the features of the SDK's that some calls have, and the call that teaches the route has not.
fn without_features(name: &str) -> String {
    let Some((name, features)) = name.split_once(" m/") else { return name.to_owned() };
    let features: Vec<_> = features.split(',').filter(|feature| !["a", "c"].contains(feature)).collect();
    format!("{name} m/{}", features.join(","))
}

/// A request as it would go over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) uri: String,
    /// Sorted.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) timeouts: [Option<Duration>; 2],
}

impl Sent {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    /// The SDK gives each of its requests a number.
    pub(super) fn is_sdks(&self) -> bool {
        self.header("amz-sdk-invocation-id").is_some()
    }

    /// Without what the SDK tells only of itself. Its names are signed: so is what it tells there.
    pub(super) fn without_statistics(mut self) -> Self {
        self.headers.retain(|(name, _)| !["amz-sdk-invocation-id", "amz-sdk-request"].contains(&name.as_str()));
        let is_other = self.header("x-amz-user-agent").is_some_and(|name| without_features(name) != name);
        for (name, value) in &mut self.headers {
            if name.ends_with("user-agent") {
                *value = without_features(value);
            }
            if is_other && name == "authorization" {
                value.truncate(value.find("Signature=").unwrap());
            }
        }
        self
    }
}

/// An answer: status, headers, body.
pub(super) type Canned = (u16, Vec<(&'static str, String)>, String);

/// A network whose far end answers at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire {
    pub(super) sent: Arc<Mutex<Vec<Sent>>>,
    /// What is answered in place of a success, from the front.
    pub(super) next: Arc<Mutex<Vec<Canned>>>,
    /// Requests that are signed at another time are refused, as a store does whose clock shows this.
    pub(super) time: Arc<Mutex<Option<(&'static str, &'static str)>>>,
    /// Connections that are not to be used again.
    pub(super) poisoned: Arc<AtomicU32>,
    pub(super) timeouts: [Option<Duration>; 2],
}

pub(super) const COPIED: &str =
    "<?xml version=\"1.0\"?>\n<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>";
/// A key of 1,024 bytes.
pub(super) const LONGEST: &str = match str::from_utf8(&[b'+'; 1024]) {
    Ok(key) => key,
    Err(_) => "",
};
pub(super) const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
pub(super) const LISTED: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
/// What is said of an object that is read; its `Expires` is no date.
pub(super) const READ: [(&str, &str); 5] = [
    ("etag", "\"e\""),
    ("content-length", "7"),
    ("content-range", "bytes 0-6/7"),
    ("expires", "tomorrow"),
    ("last-modified", "Sat, 21 Nov 2026 12:34:56 GMT"),
];
pub(super) const SESSION: &str = "<CreateSessionResult><Credentials><SessionToken>t</SessionToken><SecretAccessKey>s\
    </SecretAccessKey><AccessKeyId>a</AccessKeyId><Expiration>2036-11-21T12:34:56Z</Expiration></Credentials>\
    </CreateSessionResult>";

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = request.try_into_http1x().unwrap();
        let poisoned = Arc::clone(&self.poisoned);
        let poison = move || {
            poisoned.fetch_add(1, SeqCst);
        };
        let connection = ConnectionMetadata::builder().proxied(false).poison_fn(poison).build();
        let capture = request.extensions().get::<CaptureSmithyConnection>().unwrap();
        capture.set_connection_retriever(move || Some(connection.clone()));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = request.headers().iter();
        let mut headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect();
        headers.sort();
        let sent = Sent {
            method: request.method().to_string(),
            uri: request.uri().to_string(),
            headers,
            body: request.into_body().collect().now_or_never().unwrap().unwrap().to_bytes().to_vec(),
            timeouts: self.timeouts,
        };
        let is_copy = sent.header("x-amz-copy-source").is_some();
        let (fields, body) = match (sent.uri.contains("?session"), sent.method.as_str()) {
            (true, _) => (Vec::new(), SESSION),
            (false, "PUT") if is_copy => (Vec::new(), COPIED),
            (false, "PUT") => (vec![("etag", "\"e\"".to_owned())], ""),
            _ if sent.uri.contains("list-type=2") => (Vec::new(), LISTED),
            _ => (READ.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), "content"),
        };
        let mut next = self.next.lock().unwrap();
        let refusal = self.time.lock().unwrap().filter(|(time, _)| sent.header("x-amz-date") != Some(time));
        let canned = match refusal {
            Some((_, date)) => (403, vec![("date", date.to_owned())], SKEWED.to_owned()),
            None if next.is_empty() => {
                (if sent.header("range").is_some() { 206 } else { 200 }, fields, body.to_owned())
            }
            None => next.remove(0),
        };
        let mut answer = Response::new(StatusCode::try_from(canned.0).unwrap(), SdkBody::from(canned.2));
        canned.1.into_iter().for_each(|(name, value)| drop(answer.headers_mut().insert(name, value)));
        if !sent.uri.contains("?session") {
            self.sent.lock().unwrap().push(sent);
        }
        HttpConnectorFuture::ready(Ok(answer))
    }
}

impl Wire {
    pub(super) fn client(&self) -> SharedHttpClient {
        let wire = self.clone();
        http_client_fn(move |settings, _| {
            let timeouts = [settings.connect_timeout(), settings.read_timeout()];
            SharedHttpConnector::new(Wire { timeouts, ..wire.clone() })
        })
    }

    pub(super) fn answers(&self, canned: Canned) {
        self.next.lock().unwrap().push(canned);
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

/// One way to reach a bucket.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bucket: &'static str,
    pub(super) config: EndConfig,
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
    pub(super) token: Option<&'static str>,
    pub(super) attempts: u32,
}

impl Default for Place {
    fn default() -> Self {
        let config = EndConfig { region: Some("eu-west-1".to_owned()), ..EndConfig::default() };
        Self { bucket: "bucket", config, fips: false, dual_stack: false, token: None, attempts: 1 }
    }
}

impl Place {
    pub(super) fn at(url: &str, addressing: Addressing) -> Self {
        let place = Self::default();
        Self { config: EndConfig { endpoint_url: Some(url.to_owned()), addressing, ..place.config }, ..place }
    }

    pub(super) fn with(change: impl FnOnce(&mut EndConfig)) -> Self {
        let mut place = Self::default();
        change(&mut place.config);
        place
    }

    pub(super) fn of(bucket: &'static str) -> Self {
        Self { bucket, ..Self::default() }
    }

    pub(super) fn open(&self, wire: &Wire) -> Bucket {
        let token = self.token.map(str::to_owned);
        let current = Credentials::new("AKIDEXAMPLE", "secret/key+", token, None, "a test");
        let credentials = (!self.config.no_sign_request).then(|| Renewed::holding(current, wire.client()));
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(wire.client())
            .region(Region::new("eu-west-1"))
            .identity_cache(IdentityCache::no_cache())
            .time_source(SharedTimeSource::new(StaticTimeSource::from_secs(NOW)))
            .use_fips(self.fips)
            .use_dual_stack(self.dual_stack);
        sdk.set_sleep_impl(default_async_sleep());
        if let Some(credentials) = &credentials {
            let provider = SharedCredentialsProvider::new(Provider(Arc::clone(credentials)));
            sdk = sdk.credentials_provider(provider);
        }
        let end = End::made_up(self.config.clone(), sdk.build(), credentials);
        end.name_job("abc");
        let bounds = Bounds {
            concurrency: 1,
            retry: RetryPolicy { attempts: self.attempts, ..RetryPolicy::default() },
            request_timeout: Duration::from_secs(60),
            max_rps: None,
            bandwidth: None,
        };
        end.bucket_in(self.bucket, "eu-west-1".to_owned(), &Pacer::new(bounds, CancellationToken::new()))
    }
}
