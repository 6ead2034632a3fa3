//! What the AWS configuration says of an end, read from the environment and from files: nothing is
//! sent, and no credentials are looked for.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region};
use aws_types::service_config::ServiceConfigKey;

use super::EndConfig;

/// Where an end is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The endpoint, without a final slash; `None` for AWS itself.
    pub endpoint: Option<String>,
    /// The region, where one is configured.
    pub region: Option<String>,
}

/// Reads where an end is.
pub async fn place(config: &EndConfig) -> Place {
    let mut files = ProfileFileRegionProvider::builder();
    if let Some(profile) = &config.profile {
        files = files.profile_name(profile);
    }
    let files = files.build();
    let region = RegionProviderChain::first_try(config.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(files)
        .region()
        .await;
    // A region is given in any case: to look for one further would ask the instance's metadata.
    let known = region.clone().unwrap_or_else(|| Region::new("us-east-1"));
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(known).no_credentials();
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    let sdk = loader.load().await;
    let key = ServiceConfigKey::builder().service_id("s3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let of_s3 = || key.ok().and_then(|key| sdk.service_config().and_then(|config| config.load_config(key)));
    let endpoint = config.endpoint_url.clone().or_else(of_s3).or_else(|| sdk.endpoint_url().map(str::to_owned));
    let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
    Place { endpoint: endpoint.filter(|url| !is_aws(url)), region: region.map(|region| region.to_string()) }
}

fn is_aws(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or(url).split(['/', ':']).next().unwrap_or_default();
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}
