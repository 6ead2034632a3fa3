//! The credentials of one end, renewed while a run goes on.
//!
//! They are loaded from their source (environment, profile, SSO, IMDS) once, again shortly before they
//! expire, and again when a store says that they have. All requests wait for that one renewal.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, Result as Loaded};
use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

/// So long before they expire, credentials are renewed. *Source:* AWS offers new ones for a role of an
/// instance at least 5 minutes before the old ones expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(120);

/// How long until the source is asked again that gave nothing newer.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// Where credentials come from.
#[derive(Clone, Debug)]
struct Origin {
    profile: Option<String>,
    http: SharedHttpClient,
}

impl Origin {
    /// Reads the source anew: what a chain has read once, it keeps.
    async fn load(&self) -> Loaded {
        let provider = ProviderConfig::without_region().with_http_client(self.http.clone());
        let mut profile = ProfileFileRegionProvider::builder();
        if let Some(name) = &self.profile {
            profile = profile.profile_name(name);
        }
        // The default chain, which would ask the machine's metadata with an HTTP client of its own.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(profile.build())
            .or_else(ImdsRegionProvider::builder().configure(&provider).build());
        let provider = provider.with_region(region.region().await);
        match &self.profile {
            // As with aws-cli, a profile that was named wins over the environment.
            Some(profile) => {
                let provider = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
                provider.build().provide_credentials().await
            }
            None => {
                let chain = DefaultCredentialsChain::builder().configure(provider).build().await;
                chain.provide_credentials().await
            }
        }
    }
}

/// What is known of the credentials.
#[derive(Default)]
struct Known {
    current: Option<Credentials>,
    /// When the source was last asked.
    asked: Option<SystemTime>,
}

/// The credentials of one end.
pub(super) struct Renewed {
    origin: Origin,
    known: tokio::sync::Mutex<Known>,
    /// The mark of those that a store said have expired; 0 for none.
    expired: AtomicU64,
}

impl fmt::Debug for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("profile", &self.origin.profile).finish_non_exhaustive()
    }
}

impl Renewed {
    /// The credentials of a profile, or those that the environment gives.
    pub(super) fn new(profile: Option<String>, http: SharedHttpClient) -> Arc<Self> {
        let origin = Origin { profile, http };
        Arc::new(Self { origin, known: tokio::sync::Mutex::default(), expired: AtomicU64::new(0) })
    }

    fn is_expired(&self, credentials: &Credentials) -> bool {
        self.expired.load(Relaxed) == mark(name(credentials))
    }

    /// The credentials to sign with. Where there is a choice, those that still hold.
    pub(super) async fn provide(&self) -> Loaded {
        let mut known = self.known.lock().await;
        let now = SystemTime::now();
        let current = known.current.clone();
        let holds = current
            .as_ref()
            .filter(|current| !self.is_expired(current) && current.expiry().is_none_or(|expiry| expiry > now));
        if let Some(current) = holds {
            let soon = current.expiry().is_some_and(|expiry| expiry <= now + BEFORE_EXPIRY);
            let lately = known.asked.is_some_and(|asked| now < asked + ASK_AGAIN);
            if !soon || lately {
                return Ok(current.clone());
            }
        }
        known.asked = Some(now);
        match (self.origin.load().await, holds) {
            (Ok(loaded), _) if !self.is_expired(&loaded) => {
                if current.is_some() {
                    tracing::info!("the credentials were renewed");
                }
                known.current = Some(loaded.clone());
                Ok(loaded)
            }
            (_, Some(current)) => Ok(current.clone()),
            (Ok(_), None) => Err(CredentialsError::provider_error(EXPIRED)),
            (Err(error), None) if current.is_some() => {
                tracing::debug!(error = %error, "no new credentials");
                Err(CredentialsError::provider_error(EXPIRED))
            }
            (Err(error), None) => Err(error),
        }
    }
}

const EXPIRED: &str = "they have expired, and their source gives no new ones: log in again or set new ones, then run \
                       the same command again to resume";

/// What tells credentials from others: their token, or their id where they have none.
fn name(credentials: &Credentials) -> &str {
    credentials.session_token().unwrap_or_else(|| credentials.access_key_id())
}

/// A name without its secret; never 0.
fn mark(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish().max(1)
}

/// The credentials, as the SDK asks for them.
#[derive(Debug)]
pub(super) struct Provider(pub(super) Arc<Renewed>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(self.0.provide())
    }
}

/// Notices that a store calls the credentials of a request expired.
#[derive(Debug)]
pub(super) struct NoticeExpiry(pub(super) Arc<Renewed>);

/// The codes of that, in "Error responses" of the S3 API reference.
const CODES: [&str; 2] = ["<Code>ExpiredToken</Code>", "<Code>TokenRefreshRequired</Code>"];

impl Intercept for NoticeExpiry {
    fn name(&self) -> &'static str {
        "NoticeExpiry"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request().headers();
        let id = || headers.get("authorization")?.split("Credential=").nth(1)?.split('/').next();
        if let Some(name) = headers.get("x-amz-security-token").or_else(id) {
            config.interceptor_state().store_put(SignedWith(mark(name)));
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        if response.status().is_success() {
            return Ok(());
        }
        let body = response.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
        if let Some(SignedWith(mark)) = config.load::<SignedWith>()
            && CODES.iter().any(|code| body.contains(code))
        {
            self.0.expired.store(*mark, Relaxed);
        }
        Ok(())
    }
}

/// What a request was signed with.
#[derive(Clone, Copy, Debug)]
struct SignedWith(u64);

impl Storable for SignedWith {
    type Storer = StoreReplace<Self>;
}
