//! How a route is learned: from a request of the SDK's, once it has been answered.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::endpoint::Endpoint;
use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, FrozenLayer, HttpClient as _, Intercept, RuntimeComponents, RuntimePlugin as _};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::copy_object::CopyObject;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2;
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, Metadata};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::super::wire::Agent;
use super::Lean;
use super::route::{Route, Scope, Skew};

/// Learns the routes to a bucket.
#[derive(Clone, Debug)]
pub(in super::super) struct Learn {
    pub(in super::super) lean: Arc<Lean>,
    pub(in super::super) agent: Agent,
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
        let call = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        if self.lean.way(call).is_some()
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
            && let Some(way) = config.load::<Metadata>().and_then(|call| self.lean.way(call.name()))
        {
            way.set(Some(Arc::clone(route)));
        }
        Ok(())
    }
}

impl Learn {
    /// The route of a signed request; `None` where others cannot take it by themselves.
    fn route(&self, request: &HttpRequest, components: &RuntimeComponents, config: &ConfigBag) -> Option<Route> {
        let headers = request.headers();
        let scope = Scope::of(headers)?;
        let clock = components.time_source()?;
        let skew = Skew::between(clock.now(), time(headers.get("x-amz-date")?)?);
        let timeouts = config.load::<TimeoutConfig>()?;
        let mut settings = HttpConnectorSettings::builder();
        settings.set_connect_timeout(timeouts.connect_timeout()).set_read_timeout(timeouts.read_timeout());
        let endpoint = config.load::<Endpoint>().filter(|endpoint| endpoint.headers().next().is_none())?;
        let name = |name: &'static str| headers.get(name).map(|value| (name, value.to_owned()));
        Some(Route {
            call: call(config.load::<Metadata>()?.name())?,
            endpoint: endpoint.clone(),
            scope,
            names: ["user-agent", "x-amz-user-agent"].into_iter().filter_map(name).collect(),
            agent: self.agent.clone(),
            connector: components.http_client()?.http_connector(&settings.build(), components),
            clock,
            skew,
        })
    }
}

/// What the SDK brings along for a call.
fn call(name: &str) -> Option<FrozenLayer> {
    match name {
        "CopyObject" => CopyObject::new().config(),
        "ListObjectsV2" => ListObjectsV2::new().config(),
        _ => None,
    }
}

/// The time of an `x-amz-date`, `20240131T123456Z`.
fn time(date: &str) -> Option<SystemTime> {
    let seconds = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    let seconds = Offset::UTC.to_timestamp(seconds).ok()?.as_second();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?))
}
