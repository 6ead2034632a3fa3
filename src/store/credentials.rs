//! The credentials of one end, renewed while a run goes on.
//!
//! They are loaded from their source (environment, profile, SSO, IMDS) once, again shortly before they
//! expire, and again when a store says that they have. All requests wait for that one renewal.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::error::chain;

/// So long before they expire, credentials are renewed. *Source:* AWS offers new ones for a role of an
/// instance at least 5 minutes before the old ones expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(120);

/// How long until the source is asked again that gave nothing newer.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// How long a source may take.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Credentials that came so lately are not those that a request which was just refused was signed with.
const JUST_NOW: Duration = Duration::from_secs(3);

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
    /// When the source was last asked, and when it last gave some.
    asked: Option<Instant>,
    loaded: Option<Instant>,
    /// The source is being asked.
    loading: Option<Loading>,
    /// Since when there have been none that may be used.
    missed: Option<Instant>,
    /// What it last answered, if that was no credentials.
    refused: Option<CredentialsFault>,
}

/// Why there are no credentials.
type CredentialsFault = Arc<str>;

/// All who wait for the source wait for one answer.
type Loading = Shared<BoxFuture<'static, Result<Credentials, CredentialsFault>>>;

impl Known {
    /// The credentials, if they may be used.
    fn usable(&self, expired: u64) -> Option<&Credentials> {
        // What was just loaded holds, whatever this machine's clock says: the store's may be another.
        let is_new = self.loaded.is_some_and(|loaded| loaded.elapsed() < ASK_AGAIN);
        let holds = |current: &Credentials| current.expiry().is_none_or(|expiry| expiry > SystemTime::now());
        self.current.as_ref().filter(|current| mark(name(current)) != expired && (is_new || holds(current)))
    }

    fn was_asked_lately(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN)
    }
}

/// The credentials of one end.
pub(super) struct Renewed {
    origin: Origin,
    known: Mutex<Known>,
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
        Arc::new(Self { origin, known: Mutex::default(), expired: AtomicU64::new(0) })
    }

    /// That have been loaded.
    #[cfg(test)]
    pub(super) fn holding(current: Credentials, http: SharedHttpClient) -> Arc<Self> {
        let renewed = Self::new(None, http);
        renewed.hold(current);
        renewed
    }

    /// Loads these.
    #[cfg(test)]
    pub(super) fn hold(&self, current: Credentials) {
        self.known().current = Some(current);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are credentials that may be used, without waiting.
    pub(super) fn is_ready(&self) -> bool {
        self.known().usable(self.expired.load(Relaxed)).is_some()
    }

    /// The credentials to sign with. They are renewed beforehand, while they still hold; where they do
    /// not, all wait for the source.
    ///
    /// # Cancellation
    /// Safe: the source is asked in a task of its own.
    pub(super) async fn provide(self: &Arc<Self>) -> Loaded {
        let loading = {
            let mut known = self.known();
            let usable = known.usable(self.expired.load(Relaxed)).cloned();
            let soon = |current: &Credentials| {
                current.expiry().is_some_and(|expiry| expiry <= SystemTime::now() + BEFORE_EXPIRY)
            };
            if let Some(current) = usable {
                if soon(&current) && !known.was_asked_lately() {
                    drop(self.load(&mut known));
                }
                return Ok(current);
            }
            // A source that had none while the old ones held is asked again.
            let since = *known.missed.get_or_insert_with(Instant::now);
            let was_asked = known.was_asked_lately() && known.asked >= Some(since);
            match known.refused.clone().filter(|_| was_asked) {
                Some(refused) => return Err(CredentialsError::provider_error(refused.to_string())),
                None => self.load(&mut known),
            }
        };
        loading.await.map_err(|fault| CredentialsError::provider_error(fault.to_string()))
    }

    /// A store refuses requests in a way that may mean that temporary credentials have expired. Whether
    /// the source gives others.
    pub(super) async fn are_others(self: &Arc<Self>) -> bool {
        let (before, loading) = {
            let mut known = self.known();
            let Some(current) = known.current.clone().filter(|current| current.session_token().is_some()) else {
                return false;
            };
            let others_came = known.loaded.is_some_and(|loaded| loaded.elapsed() < JUST_NOW);
            if known.loading.is_none() && known.was_asked_lately() {
                return others_came;
            }
            (mark(name(&current)), self.load(&mut known))
        };
        loading.await.is_ok_and(|loaded| mark(name(&loaded)) != before)
    }

    /// Notices that a store calls these credentials expired.
    pub(super) fn notice(&self, signed_with: &Credentials, answer: &Response) {
        if says_expired(answer) {
            self.expired.store(mark(name(signed_with)), Relaxed);
        }
    }

    /// Asks the source, unless it is being asked.
    fn load(self: &Arc<Self>, known: &mut Known) -> Loading {
        if let Some(loading) = &known.loading {
            return loading.clone();
        }
        known.asked = Some(Instant::now());
        let this = Arc::clone(self);
        let is_renewal = known.current.is_some();
        let task = tokio::spawn(async move {
            let loaded = match tokio::time::timeout(SOURCE_TIMEOUT, this.origin.load()).await {
                Ok(Ok(loaded)) if mark(name(&loaded)) == this.expired.load(Relaxed) => Err(EXPIRED.into()),
                Ok(Ok(loaded)) => Ok(loaded),
                Ok(Err(error)) if is_renewal => {
                    tracing::debug!(error = chain(&error), "no new credentials");
                    Err(EXPIRED.into())
                }
                Ok(Err(error)) => Err(chain(&error).into()),
                Err(_) => Err(format!("their source gave none within {} s", SOURCE_TIMEOUT.as_secs()).into()),
            };
            let mut known = this.known();
            known.loading = None;
            known.refused = loaded.as_ref().err().cloned();
            if let Ok(loaded) = &loaded {
                known.missed = None;
                known.current = Some(loaded.clone());
                known.loaded = Some(Instant::now());
                if is_renewal {
                    tracing::info!("the credentials were renewed");
                }
            }
            loaded
        });
        let ended = |ended: Result<_, JoinError>| ended.unwrap_or_else(|error| Err(error.to_string().into()));
        let loading = task.map(ended).boxed().shared();
        known.loading = Some(loading.clone());
        loading
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
        if let Some(SignedWith(mark)) = config.load::<SignedWith>()
            && says_expired(context.response())
        {
            self.0.expired.store(*mark, Relaxed);
        }
        Ok(())
    }
}

fn says_expired(answer: &Response) -> bool {
    if answer.status().is_success() {
        return false;
    }
    let body = answer.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
    CODES.iter().any(|code| body.contains(code))
}

/// What a request was signed with.
#[derive(Clone, Copy, Debug)]
struct SignedWith(u64);

impl Storable for SignedWith {
    type Storer = StoreReplace<Self>;
}
