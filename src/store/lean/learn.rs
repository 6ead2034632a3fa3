//! How the route is learned: from a request of the SDK's, once it has been answered.

use std::sync::Arc;

use aws_sdk_s3::config::endpoint::Endpoint;
use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, HttpClient as _, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::super::credentials::Renewed;
use super::super::wire::Agent;
use super::Lean;
use super::route::{Clock, Route, Scope};

/// Learns the route to a bucket.
#[derive(Clone, Debug)]
pub(in super::super) struct Learn {
    pub(in super::super) lean: Arc<Lean>,
    pub(in super::super) agent: Agent,
    pub(in super::super) credentials: Arc<Renewed>,
}

/// A route that was taken, and has not led to an answer yet.
#[derive(Clone, Debug)]
struct Taken(Arc<Route>);

impl Storable for Taken {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Learn {
    fn name(&self) -> &'static str {
        "Learn"
    }

    fn read_after_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.lean.route.get().is_none()
            && let Some(route) = self.route(context.request(), components, config)
        {
            config.interceptor_state().store_put(Taken(Arc::new(route)));
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().status().is_success()
            && let Some(Taken(route)) = config.load::<Taken>()
        {
            // Another may have been first.
            let _ = self.lean.route.set(Arc::clone(route));
        }
        Ok(())
    }
}

impl Learn {
    /// The route of a signed request; `None` where others cannot take it by themselves.
    fn route(&self, request: &HttpRequest, components: &RuntimeComponents, config: &ConfigBag) -> Option<Route> {
        let headers = request.headers();
        let scope = Scope::of(headers)?;
        let clock = Clock::new(components.time_source()?);
        clock.set(seconds(headers.get("x-amz-date")?)?);
        let timeouts = config.load::<TimeoutConfig>()?;
        let mut settings = HttpConnectorSettings::builder();
        settings.set_connect_timeout(timeouts.connect_timeout()).set_read_timeout(timeouts.read_timeout());
        let endpoint = config.load::<Endpoint>().filter(|endpoint| endpoint.headers().next().is_none())?;
        let named = |name: &'static str| headers.get(name).map(|value| (name, value.to_owned()));
        Some(Route {
            endpoint: endpoint.clone(),
            scope,
            names: NAMES.into_iter().filter_map(named).collect(),
            agent: self.agent.clone(),
            credentials: Arc::clone(&self.credentials),
            connector: components.http_client()?.http_connector(&settings.build(), components),
            clock,
        })
    }
}

/// What the SDK tells of itself, and of the Lambda function that it is called by.
const NAMES: [&str; 3] = ["user-agent", "x-amz-user-agent", "x-amzn-trace-id"];

/// The time of an `x-amz-date`, `20240131T123456Z`: seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    Some(Offset::UTC.to_timestamp(time).ok()?.as_second())
}
