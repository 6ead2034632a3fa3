//! The HTTP client of every connection, those to S3 and those that fetch credentials: through which
//! proxy it goes, and whose certificates are believed. What the environment says of that is read by
//! the command line, and is a plain value here.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_config::profile;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_s3::config::{ConfigBag, RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::error::BoxError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::model::Error;

/// The addresses at which machines and containers of AWS are told their credentials: no proxy may
/// see, or give, these. *Source:* the SDK's providers for IMDS, ECS and EKS.
const METADATA: &str = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// How the network is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The proxy for `http://` endpoints; its URL may hold a password.
    pub http_proxy: Option<String>,
    /// The proxy for `https://` endpoints, likewise.
    pub https_proxy: Option<String>,
    /// The hosts that are reached without a proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// The certificates that are believed, in place of the machine's.
    pub ca_bundle: Option<PathBuf>,
}

/// Without the passwords.
impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxies = (self.http_proxy.is_some(), self.https_proxy.is_some());
        f.debug_struct("Network").field("proxies", &proxies).field("ca_bundle", &self.ca_bundle).finish()
    }
}

/// One HTTP client a process end: connections are pooled in it.
///
/// # Errors
/// [`Error::Usage`] for a proxy that is no URL and for a bundle without certificates.
pub(super) async fn http_client(network: &Network, profile: Option<&str>) -> Result<SharedHttpClient, Error> {
    let bundle = match &network.ca_bundle {
        Some(path) => Some(path.clone()),
        None => configured_bundle(profile).await,
    };
    let trust = match bundle {
        Some(path) => only(&path)?,
        None => TlsContext::default(),
    };
    let by_itself = network.http_proxy.is_none() && network.https_proxy.is_none();
    let rules = no_proxy(network.no_proxy.as_deref().unwrap_or_default()).filter(|_| !by_itself);
    let Some(no_proxy) = rules else { return Ok(client(ProxyConfig::disabled(), trust)) };
    let through = |url: &Option<String>| match url {
        Some(url) => Ok(ProxyConfig::all(checked(url)?).map_err(|_| no_url())?.no_proxy(&no_proxy)),
        None => Ok(ProxyConfig::disabled()),
    };
    let http = client(through(&network.http_proxy)?, trust.clone());
    let https = client(through(&network.https_proxy)?, trust);
    Ok(SharedHttpClient::new(ByScheme { http, https }))
}

fn client(proxy: ProxyConfig, trust: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        let mut builder = Connector::builder().proxy_config(proxy.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.tls_provider(provider).tls_context(trust.clone()).build()
    })
}

/// What aws-cli takes from a profile where the environment says nothing. A configuration that cannot
/// be read is told where the rest of it is needed.
async fn configured_bundle(profile: Option<&str>) -> Option<PathBuf> {
    let files = EnvConfigFiles::default();
    let named = profile.map(|name| name.to_owned().into());
    let profiles = profile::load(&Default::default(), &Default::default(), &files, named).await.ok()?;
    profiles.get("ca_bundle").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Believes the certificates in this file, and no others: as aws-cli does.
fn only(path: &Path) -> Result<TlsContext, Error> {
    let refused = |why: &str| Error::Usage(format!("the CA bundle {}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| refused(&error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| refused("it is not in the PEM format"))?;
    let mut roots = RootCertStore::empty();
    let mut trusted = TrustStore::empty();
    // The SDK ends the process at one that it cannot read: bundles of whole systems hold such.
    for certificate in certificates.iter().filter(|found| roots.add((*found).clone()).is_ok()) {
        trusted.add_pem_certificate(pem(certificate));
    }
    if roots.is_empty() {
        return Err(refused("it holds no certificate of an authority"));
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|error| refused(&error.to_string()))
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The URL of a proxy; one without a scheme is `http://`, as for curl.
fn checked(url: &str) -> Result<String, Error> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") && scheme.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Error::Usage(format!("proxies of the kind {scheme}:// are not known: name an http:// proxy")));
    }
    Ok(url)
}

/// Does not show it: it may hold a password.
fn no_url() -> Error {
    Error::Usage(
        "the proxy that the environment names is not a URL: write it as http://host:port, with odd characters of a \
         password as %XX"
            .to_owned(),
    )
}

/// The hosts that are reached directly: those that were named, and those of [`METADATA`]. `None`: all.
fn no_proxy(named: &str) -> Option<String> {
    let mut hosts: Vec<&str> = named.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
    if hosts.contains(&"*") {
        return None;
    }
    // A domain means its hosts, too; many write it as a pattern.
    hosts.iter_mut().for_each(|host| *host = host.strip_prefix('*').unwrap_or(host));
    hosts.push(METADATA);
    Some(hosts.join(","))
}

/// The SDK's client knows one proxy; which it is depends on the scheme of the endpoint.
#[derive(Debug)]
struct ByScheme<T> {
    http: T,
    https: T,
}

impl HttpClient for ByScheme<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let http = self.http.http_connector(settings, components);
        let https = self.https.http_connector(settings, components);
        SharedHttpConnector::new(ByScheme { http, https })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.https.validate_base_client_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.https.connector_metadata()
    }
}

impl HttpConnector for ByScheme<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let plain = request.uri().starts_with("http://");
        if plain { self.http.call(request) } else { self.https.call(request) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_http_url_and_never_shown() {
        assert_eq!(checked("proxy:3128").unwrap(), "http://proxy:3128");
        assert_eq!(checked("http://me:hunter2@proxy:3128").unwrap(), "http://me:hunter2@proxy:3128");
        let refused = checked("socks5://me:hunter2@proxy").unwrap_err().to_string();
        assert!(refused.contains("socks5") && !refused.contains("hunter2"), "{refused}");
        let network = Network { https_proxy: Some("http://me:hunter2@proxy".to_owned()), ..Network::default() };
        assert!(!format!("{network:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_proxy_that_is_no_url_is_refused_without_its_password() {
        for bad in ["http://me:hunter2@", "http://me:hunter2@pro xy:1", "http://"] {
            let network = Network { http_proxy: Some(bad.to_owned()), ..Network::default() };
            let refused = http_client(&network, None).await.unwrap_err().to_string();
            assert!(refused.contains("not a URL") && !refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn where_credentials_are_told_is_never_behind_a_proxy() {
        assert_eq!(no_proxy("").unwrap(), METADATA);
        assert_eq!(no_proxy(" .example.com, *.corp ,h,").unwrap(), format!(".example.com,.corp,h,{METADATA}"));
        assert_eq!(no_proxy("h, *"), None);
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refused = |why: &str| {
            let error = only(&path).unwrap_err();
            assert!(matches!(error, Error::Usage(_)) && error.to_string().contains(why), "{error}");
        };
        refused("No such file");
        std::fs::write(&path, "no certificate\n").unwrap();
        refused("no certificate");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        refused("no certificate");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAA").unwrap();
        refused("PEM");
    }
}
