//! The flags that say how the two ends are reached. Each has a plain form for both, and a form for
//! one end that wins over it.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::machine::network;
use crate::model::{Error, Location, Mapping, Target, escape_key};
use crate::op::{CopySource, Side, Via, choose};
use crate::pace::Pacer;
use crate::source::{DestSide, Source};
use crate::store::{Addressing, Bucket, CustomerKey, End, EndConfig, PageRequest};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AddressingArg {
    Auto,
    Path,
    Virtual,
}

impl From<AddressingArg> for Addressing {
    fn from(arg: AddressingArg) -> Self {
        match arg {
            AddressingArg::Auto => Self::Auto,
            AddressingArg::Path => Self::Path,
            AddressingArg::Virtual => Self::Virtual,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    next_help_heading = "Endpoint and credentials (the usual AWS configuration applies: environment, profiles, SSO, IMDS)"
)]
pub(super) struct StoreArgs {
    /// Endpoint, as http://host:port
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Region; a bucket elsewhere is found all the same
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Profile of the AWS configuration files
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Send unsigned requests: for public buckets
    #[arg(long)]
    no_sign_request: bool,
    /// Accept that the requester pays
    #[arg(long)]
    request_payer: bool,
    /// Where the bucket's name goes; auto: in the path on endpoints of your own
    #[arg(long, value_enum, value_name = "STYLE")]
    addressing_style: Option<AddressingArg>,
    /// Account id that must own the buckets
    #[arg(long, value_name = "ACCOUNT")]
    expected_bucket_owner: Option<String>,
}

/// How both ends are reached: each as the store, unless it differs.
#[derive(Debug, Args)]
pub(super) struct EndArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    dest: DestArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The source, where it differs")]
struct SourceArgs {
    /// Endpoint of the source
    #[arg(long, value_name = "URL")]
    source_endpoint_url: Option<String>,
    /// Region of the source
    #[arg(long, value_name = "REGION")]
    source_region: Option<String>,
    /// Profile for the source
    #[arg(long, value_name = "NAME")]
    source_profile: Option<String>,
    /// Send unsigned requests to the source
    #[arg(long)]
    source_no_sign_request: bool,
    /// Accept that the requester pays for the source
    #[arg(long)]
    source_request_payer: bool,
    /// Where the bucket's name goes at the source
    #[arg(long, value_enum, value_name = "STYLE")]
    source_addressing_style: Option<AddressingArg>,
    /// Account id that must own the source
    #[arg(long, value_name = "ACCOUNT")]
    source_expected_bucket_owner: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The destination, where it differs")]
struct DestArgs {
    /// Endpoint of the destination
    #[arg(long, value_name = "URL")]
    dest_endpoint_url: Option<String>,
    /// Region of the destination
    #[arg(long, value_name = "REGION")]
    dest_region: Option<String>,
    /// Profile for the destination
    #[arg(long, value_name = "NAME")]
    dest_profile: Option<String>,
    /// Send unsigned requests to the destination
    #[arg(long)]
    dest_no_sign_request: bool,
    /// Leave all bodies out of signatures: a SHA-256 less for stores over plain http that check no CRC-64
    #[arg(long)]
    unsigned_payload: bool,
    /// Accept that the requester pays for the destination
    #[arg(long)]
    dest_request_payer: bool,
    /// Where the bucket's name goes at the destination
    #[arg(long, value_enum, value_name = "STYLE")]
    dest_addressing_style: Option<AddressingArg>,
    /// Account id that must own the destination
    #[arg(long, value_name = "ACCOUNT")]
    dest_expected_bucket_owner: Option<String>,
}

impl StoreArgs {
    /// The profile that was typed.
    pub(super) fn profile(&self) -> Option<String> {
        self.profile.clone()
    }

    /// How the store is reached.
    pub(super) fn config(&self) -> EndConfig {
        EndConfig {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            no_sign_request: self.no_sign_request,
            unsigned_payload: false,
            request_payer: self.request_payer,
            addressing: self.addressing_style.map(Addressing::from).unwrap_or_default(),
            expected_bucket_owner: self.expected_bucket_owner.clone(),
            customer_key: None,
            network: network(),
        }
    }
}

impl EndArgs {
    /// How the source is reached.
    pub(super) fn source(&self) -> EndConfig {
        let (own, both) = (&self.source, self.store.config());
        EndConfig {
            endpoint_url: own.source_endpoint_url.clone().or(both.endpoint_url),
            region: own.source_region.clone().or(both.region),
            profile: own.source_profile.clone().or(both.profile),
            no_sign_request: own.source_no_sign_request || both.no_sign_request,
            // Nothing is written there: the ends are not to differ in it.
            unsigned_payload: self.dest.unsigned_payload,
            request_payer: own.source_request_payer || both.request_payer,
            addressing: own.source_addressing_style.map_or(both.addressing, Addressing::from),
            expected_bucket_owner: own.source_expected_bucket_owner.clone().or(both.expected_bucket_owner),
            customer_key: None,
            network: both.network,
        }
    }

    /// How the destination is reached.
    pub(super) fn dest(&self) -> EndConfig {
        let (own, both) = (&self.dest, self.store.config());
        EndConfig {
            endpoint_url: own.dest_endpoint_url.clone().or(both.endpoint_url),
            region: own.dest_region.clone().or(both.region),
            profile: own.dest_profile.clone().or(both.profile),
            no_sign_request: own.dest_no_sign_request || both.no_sign_request,
            unsigned_payload: own.unsigned_payload,
            request_payer: own.dest_request_payer || both.request_payer,
            addressing: own.dest_addressing_style.map_or(both.addressing, Addressing::from),
            expected_bucket_owner: own.dest_expected_bucket_owner.clone().or(both.expected_bucket_owner),
            customer_key: None,
            network: both.network,
        }
    }

    /// Loads both ends, with the keys of SSE-C of source and destination; one that is reached as the
    /// other is loaded once.
    ///
    /// # Errors
    /// Those of [`End::load`].
    pub(super) async fn load(
        &self,
        keys: (Option<CustomerKey>, Option<CustomerKey>),
    ) -> Result<(Arc<End>, Arc<End>), Error> {
        let source = EndConfig { customer_key: keys.0, ..self.source() };
        let dest = EndConfig { customer_key: keys.1, ..self.dest() };
        if source == dest {
            let both = Arc::new(End::load("", source).await?);
            return Ok((Arc::clone(&both), both));
        }
        let (source, dest) = tokio::try_join!(End::load("source", source), End::load("destination", dest))?;
        Ok((Arc::new(source), Arc::new(dest)))
    }

    /// Whether both ends are reached in the same way.
    pub(super) fn are_alike(&self) -> bool {
        self.source() == self.dest()
    }

    /// The profiles that were typed.
    pub(super) fn profiles(&self) -> impl Iterator<Item = (&'static str, String)> {
        let profiles = [("source-profile", self.source().profile), ("dest-profile", self.dest().profile)];
        profiles.into_iter().filter_map(|(name, profile)| Some((name, profile?)))
    }

    /// Whether the source is reached with other credentials than the destination.
    pub(super) fn source_has_own_credentials(&self) -> bool {
        let (source, dest) = (self.source(), self.dest());
        source.profile != dest.profile || source.no_sign_request != dest.no_sign_request
    }
}

/// What the choice of a way depends on, before any bucket is opened.
pub(super) fn side(end: &End) -> Side<'_> {
    Side { endpoint: end.endpoint(), region: end.region() }
}

/// Opens the buckets of a copy.
pub(super) struct Open<'a> {
    pub(super) source: &'a End,
    pub(super) dest: &'a End,
    pub(super) pacer: &'a Arc<Pacer>,
    pub(super) via: Via,
    pub(super) version_id: Option<&'a str>,
    /// Whether the destination is listed beside the sources.
    pub(super) looks_beside: bool,
}

/// The buckets of a copy.
pub(super) struct Opened {
    pub(super) sources: Vec<Source>,
    pub(super) copies: Vec<CopySource>,
    pub(super) dest: Bucket,
}

impl Open<'_> {
    /// Opens the destination and all sources, each bucket once, and chooses the way of each.
    ///
    /// # Errors
    /// [`Error::Unworkable`] for a bucket that is not there.
    pub(super) async fn all(
        &self,
        locations: Vec<Location>,
        mappings: Vec<Mapping>,
        dest: &Location,
    ) -> Result<Opened, Error> {
        let dest = self.dest.bucket(&dest.bucket, self.pacer).await?;
        let mut buckets: Vec<Bucket> = Vec::new();
        let (mut sources, mut copies) = (Vec::new(), Vec::new());
        for ((location, mapping), index) in locations.into_iter().zip(mappings).zip(0..) {
            let known = buckets.iter().find(|bucket| bucket.name() == location.bucket);
            let bucket = match known {
                Some(bucket) => bucket.clone(),
                None => self.source.bucket(&location.bucket, self.pacer).await?.asking_restores(),
            };
            buckets.push(bucket.clone());
            let from = Side { endpoint: self.source.endpoint(), region: bucket.region() };
            let to = Side { endpoint: self.dest.endpoint(), region: dest.region() };
            let beside = self.looks_beside.then(|| DestSide { bucket: dest.clone(), mapping: mapping.clone() });
            copies.push(CopySource { bucket: bucket.clone(), mapping, way: choose(self.via, from, to) });
            let version_id = self.version_id.map(str::to_owned);
            sources.push(Source { index, bucket, location, filter: None, version_id, beside });
        }
        Ok(Opened { sources, copies, dest })
    }
}

/// Each source that names one object must be there.
///
/// # Errors
/// [`Error::Unworkable`] for one that is not; it says so where a slash is missing.
pub(super) async fn check_objects(sources: &[Source]) -> Result<(), Error> {
    for source in sources {
        check_object(&source.bucket, &source.location, source.version_id.as_deref()).await?;
    }
    Ok(())
}

async fn check_object(bucket: &Bucket, location: &Location, version_id: Option<&str>) -> Result<(), Error> {
    let Target::Object(key) = &location.target else { return Ok(()) };
    let Err(error) = bucket.head(key, version_id).await else { return Ok(()) };
    let shown = escape_key(&location.to_string());
    if let (true, Some(version_id)) = (error.is_missing(), version_id) {
        return Err(Error::Unworkable(format!("there is no version {version_id:?} of {shown}")));
    }
    if !error.is_missing() {
        return Err(Error::Unworkable(format!("{shown} cannot be read: {}: {}", error.code, error.message)));
    }
    let folder = format!("{key}/");
    let request = PageRequest { prefix: &folder, max_keys: Some(1), ..PageRequest::default() };
    let hint = match bucket.list(&request).await {
        Ok(page) if !page.objects.is_empty() => {
            format!(": there are objects under {shown}/, add the slash to mean them")
        }
        _ => String::new(),
    };
    Err(Error::Unworkable(format!("there is no object {shown}{hint}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        ends: EndArgs,
    }

    #[test]
    fn bodies_that_are_not_signed_make_no_other_end() {
        let typed = |flags: &[&str]| Typed::try_parse_from([&["s3bulk"], flags].concat()).unwrap().ends;
        let plain = typed(&[]);
        assert!(!plain.dest().unsigned_payload && plain.are_alike());
        let unsigned = typed(&["--unsigned-payload"]);
        assert!(unsigned.dest().unsigned_payload && unsigned.are_alike());
        assert!(!typed(&["--unsigned-payload", "--dest-profile", "other"]).are_alike());
    }
}
