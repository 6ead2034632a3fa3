//! From what the user configured to a client: credentials, endpoint, region.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_types::service_config::ServiceConfigKey;

use super::buffers::Buffers;
use super::checksums::{CHECKSUMS, Negotiated};
use super::credentials::{NoticeExpiry, Provider, Renewed};
use super::error::chain;
use super::http::http_client;
use super::lean::{Lean, Learn};
use super::wire::{Agent, BoundedAnswer, EmptyBodyLength, WholeXml};
use super::{Bucket, CustomerKey, Network, head::BucketAnswer};
use crate::model::{Error, RequestError};
use crate::pace::Pacer;

/// How long a connection may take. The SDK's own 3.1 s is short for many connections at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The region that is asked first where none is configured: HeadBucket tells the right one there.
const FIRST_REGION: &str = "us-east-1";

/// Where the bucket's name goes in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// As the provider wants it: in the path on endpoints of one's own, else in the host name.
    #[default]
    Auto,
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    Virtual,
}

/// How one end of a job is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndConfig {
    /// The endpoint, where it is not the one that the AWS configuration says.
    pub endpoint_url: Option<String>,
    /// The region, where it is not the one that the AWS configuration says.
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Requests are sent without a signature.
    pub no_sign_request: bool,
    /// Bodies are left out of signatures (`UNSIGNED-PAYLOAD`), whatever else protects them.
    pub unsigned_payload: bool,
    /// The requester pays (`x-amz-request-payer`).
    pub request_payer: bool,
    /// Where the bucket's name goes.
    pub addressing: Addressing,
    /// The account that must own the bucket (`x-amz-expected-bucket-owner`).
    pub expected_bucket_owner: Option<String>,
    /// The key of SSE-C.
    pub customer_key: Option<CustomerKey>,
    /// How the network is reached.
    pub network: Network,
}

/// One end of a job: credentials and an endpoint, ready to open buckets.
#[derive(Debug)]
pub struct End {
    /// What this end is called in messages: `source`, `destination` or nothing, where it is both.
    role: &'static str,
    config: EndConfig,
    sdk: SdkConfig,
    /// `None` where requests are not signed.
    credentials: Option<Arc<Renewed>>,
    endpoint: Option<String>,
    works: Arc<AtomicBool>,
    buffers: Buffers,
    agent: Agent,
}

impl End {
    /// Loads the configuration of one end and its credentials. Sends nothing to S3.
    ///
    /// # Errors
    /// [`Error::Usage`] for an endpoint that is no URL, and for a network that cannot be meant;
    /// [`Error::Unworkable`] where there are no credentials.
    pub async fn load(role: &'static str, config: EndConfig) -> Result<Self, Error> {
        let http = http_client(&config.network, config.profile.as_deref()).await?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        if let Some(profile) = &config.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let credentials = (!config.no_sign_request).then(|| Renewed::new(config.profile.clone(), http));
        loader = match &credentials {
            Some(credentials) => loader.credentials_provider(Provider(Arc::clone(credentials))),
            None => loader.no_credentials(),
        };
        // They are kept where they can be renewed.
        let sdk = loader.identity_cache(IdentityCache::no_cache()).load().await;
        let endpoint = config.endpoint_url.clone().or_else(|| configured_endpoint(&sdk));
        if let Some(url) = &endpoint {
            check_endpoint(role, url)?;
        }
        let (works, buffers, agent) = (Arc::default(), Buffers::default(), Agent::default());
        let end = Self { role, config, sdk, credentials, endpoint, works, buffers, agent };
        end.check_credentials().await?;
        Ok(end)
    }

    /// With a configuration of the SDK's that is made up.
    #[cfg(test)]
    pub(super) fn made_up(config: EndConfig, sdk: SdkConfig, credentials: Option<Arc<Renewed>>) -> Self {
        let (works, buffers, agent) = (Arc::default(), Buffers::default(), Agent::default());
        let endpoint = config.endpoint_url.clone();
        Self { role: "", config, sdk, credentials, endpoint, works, buffers, agent }
    }

    /// The endpoint, without a final slash; `None` for AWS itself, however it is named.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint_url().filter(|url| !is_aws(url))
    }

    fn endpoint_url(&self) -> Option<&str> {
        self.endpoint.as_deref().map(|url| url.trim_end_matches('/'))
    }

    /// Says in each request from now on for which job it is sent: a store's own log then tells.
    pub fn name_job(&self, job: &str) {
        self.agent.name_job(job);
    }

    /// The region that is configured.
    pub fn region(&self) -> &str {
        // An empty variable counts as one for the SDK.
        self.sdk.region().map(Region::as_ref).filter(|region| !region.is_empty()).unwrap_or(FIRST_REGION)
    }

    /// Opens a bucket: finds out whether it exists and in which region it lives. A bucket that may
    /// not be asked (403) is opened all the same: write-only destinations exist.
    ///
    /// # Errors
    /// [`Error::Unworkable`] where the bucket does not exist or the endpoint does not answer.
    pub async fn bucket(&self, name: &str, pacer: &Arc<Pacer>) -> Result<Bucket, Error> {
        let bucket = self.bucket_in(name, self.region().to_owned(), pacer);
        match bucket.ask().await {
            Ok(BucketAnswer::Here) => Ok(bucket),
            Ok(BucketAnswer::In(region)) => Ok(self.bucket_in(name, region, pacer)),
            Err(error) => Err(self.unworkable(name, &error)),
        }
    }

    pub(super) fn bucket_in(&self, name: &str, region: String, pacer: &Arc<Pacer>) -> Bucket {
        let lean = Arc::<Lean>::default();
        let mut config = self.client_config(&region);
        if let Some(credentials) = &self.credentials {
            let (lean, agent, credentials) = (Arc::clone(&lean), self.agent.clone(), Arc::clone(credentials));
            config = config.interceptor(Learn { lean, agent, credentials });
        }
        let client = aws_sdk_s3::Client::from_conf(config.build());
        Bucket {
            client,
            lean,
            name: name.to_owned(),
            region,
            request_payer: self.config.request_payer,
            expected_owner: self.config.expected_bucket_owner.clone(),
            pacer: Arc::clone(pacer),
            encodes_keys: Arc::default(),
            asks_restores: Arc::default(),
            tells_restores: Arc::default(),
            reads_checksums: Arc::new(Negotiated::new(CHECKSUMS)),
            writes_checksums: Arc::new(Negotiated::new(CHECKSUMS)),
            guards_overwrites: Arc::new(Negotiated::new("conditions on what is overwritten")),
            customer_key: self.config.customer_key.clone(),
            unsigned_payload: self.config.unsigned_payload,
            confirms: Arc::default(),
            buffers: self.buffers.clone(),
            tls: self.endpoint_url().is_none_or(|url| url.starts_with("https://")),
            works: Arc::clone(&self.works),
            credentials: self.credentials.clone(),
        }
    }

    /// The SDK's retries are off, and so is its watch over stalled streams: both are ours, with
    /// permits given back while waiting and deadlines that grow with the bytes.
    fn client_config(&self, region: &str) -> aws_sdk_s3::config::Builder {
        let mut config = aws_sdk_s3::config::Builder::from(&self.sdk)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Checksums are ours, too: the SDK would add its own to what carries none.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .use_arn_region(true)
            .force_path_style(self.path_style())
            .interceptor(self.agent.clone())
            .interceptor(EmptyBodyLength)
            .interceptor(BoundedAnswer)
            .interceptor(WholeXml);
        if let Some(url) = self.endpoint_url() {
            config = config.endpoint_url(url);
        }
        match &self.credentials {
            Some(credentials) => config = config.interceptor(NoticeExpiry(Arc::clone(credentials))),
            None => config = config.allow_no_auth(),
        }
        config
    }

    fn path_style(&self) -> bool {
        match (self.config.addressing, self.endpoint()) {
            (Addressing::Path, _) => true,
            (Addressing::Virtual, _) | (Addressing::Auto, None) => false,
            // Alibaba OSS refuses bucket names in the path (SecondLevelDomainForbidden).
            (Addressing::Auto, Some(url)) => !url.contains(".aliyuncs.com"),
        }
    }

    async fn check_credentials(&self) -> Result<(), Error> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let missing = |why: String| {
            Error::Unworkable(format!(
                "no credentials{}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with --profile, or \
                 give --no-sign-request for public buckets ({why})",
                if self.role.is_empty() { String::new() } else { format!(" for the {}", self.role) }
            ))
        };
        match credentials.provide().await {
            Ok(_) => Ok(()),
            Err(error) => Err(missing(chain(&error))),
        }
    }

    fn unworkable(&self, bucket: &str, error: &RequestError) -> Error {
        let place = self.endpoint_url().unwrap_or("AWS");
        Error::Unworkable(match error.code.as_str() {
            "NoSuchBucket" => format!("the bucket {bucket:?} does not exist at {place}"),
            code => format!(
                "the bucket {bucket:?} cannot be reached at {place}: {code}: {}{}",
                error.message,
                certificate_hint(&error.message)
            ),
        })
    }
}

/// What to do about a server whose certificate nobody vouches for.
fn certificate_hint(message: &str) -> &'static str {
    if message.contains("invalid peer certificate") {
        " (AWS_CA_BUNDLE names a file with the authorities to believe)"
    } else {
        ""
    }
}

/// The endpoint that the environment or a profile gives for S3, or for all services.
fn configured_endpoint(sdk: &SdkConfig) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id("s3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
    let own = sdk.service_config().and_then(|config| config.load_config(key));
    own.or_else(|| sdk.endpoint_url().map(str::to_owned)).filter(|url| !url.is_empty())
}

fn check_endpoint(role: &str, url: &str) -> Result<(), Error> {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_some_and(|host| host.split('/').next().unwrap_or_default().contains('@')) {
        // Not shown: it holds a password.
        return Err(Error::Usage("an endpoint URL must not hold a user name or password".to_owned()));
    }
    let valid = host.is_some_and(|host| !host.trim_matches('/').is_empty() && !url.contains(char::is_whitespace));
    if valid {
        return Ok(());
    }
    let end = if role.is_empty() { String::new() } else { format!("{role} ") };
    Err(Error::Usage(format!("the {end}endpoint {url:?} is not a URL: write it as https://host or http://host:port")))
}

fn is_aws(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or(url).split(['/', ':']).next().unwrap_or_default();
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_with_a_host() {
        assert!(check_endpoint("source", "http://127.0.0.1:9000").is_ok());
        let secret = check_endpoint("source", "http://user:hunter2@host/").unwrap_err().to_string();
        assert!(secret.contains("password") && !secret.contains("hunter2"), "{secret}");
        for bad in ["localhost:9000", "https://", "ftp://x", "http:// x"] {
            assert!(check_endpoint("source", bad).unwrap_err().to_string().contains("not a URL"), "{bad}");
        }
    }

    #[test]
    fn only_amazons_hosts_are_aws() {
        assert!(is_aws("https://s3.eu-west-1.amazonaws.com"));
        assert!(is_aws("https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com/"));
        assert!(!is_aws("https://amazonaws.com.evil.example"));
        assert!(!is_aws("http://127.0.0.1:9000"));
    }
}
