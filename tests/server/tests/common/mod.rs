//! Clients and small helpers that the test files share.
#![allow(dead_code, unreachable_pub, reason = "no test file uses all of it")]

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use s3bulk_test_server::Server;

fn config(server: &Server) -> Builder {
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.endpoint())
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

/// A client whose signatures nobody checks; it tries each request once.
pub fn anonymous(server: &Server) -> Client {
    signed(server, "any", "thing")
}

/// A client with these keys; it tries each request once.
pub fn signed(server: &Server, access_key: &str, secret_key: &str) -> Client {
    let credentials = Credentials::new(access_key, secret_key, None, None, "test");
    Client::from_conf(config(server).credentials_provider(credentials).build())
}

/// A client in another region.
pub fn in_region(server: &Server, region: &'static str) -> Client {
    let credentials = Credentials::new("any", "thing", None, None, "test");
    Client::from_conf(config(server).region(Region::new(region)).credentials_provider(credentials).build())
}

/// A client with the checksums that the SDK sends by itself.
pub fn with_checksums(server: &Server, access_key: &str, secret_key: &str) -> Client {
    let credentials = Credentials::new(access_key, secret_key, None, None, "test");
    let config = config(server)
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
    Client::from_conf(config.credentials_provider(credentials).build())
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A copy source as it has to be sent.
pub fn copy_source(bucket: &str, key: &str) -> String {
    let mut source = format!("{bucket}/");
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => source.push(byte.into()),
            _ => source.push_str(&format!("%{byte:02X}")),
        }
    }
    source
}

/// A name from a listing with `encoding-type=url`.
pub fn url_decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let pair = [bytes.next().unwrap(), bytes.next().unwrap()];
                decoded.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).unwrap()
}
