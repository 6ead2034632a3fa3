//! What an object is written with beside its bytes, and how that goes into a request: as headers,
//! which CopyObject, PutObject and CreateMultipartUpload have in common.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::http::Headers as HttpHeaders;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::keys::tagging;

/// What describes an object's bytes and goes with them wherever they are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, as the server says it.
    pub expires: Option<String>,
    /// `x-amz-meta-*`, without that prefix.
    pub metadata: HashMap<String, String>,
}

/// How the destination encrypts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// `x-amz-server-side-encryption`: `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub algorithm: Option<String>,
    /// The KMS key.
    pub kms_key_id: Option<String>,
    /// Whether an S3 bucket key is used.
    pub bucket_key: Option<bool>,
}

/// Who may do what with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acl {
    /// A canned ACL, such as `bucket-owner-full-control`.
    Canned(String),
    /// Permissions (`READ`, `READ_ACP`, `WRITE_ACP`, `FULL_CONTROL`) and their grantees, each as
    /// `id="..."` or `uri="..."`.
    Grants(Vec<(String, String)>),
}

/// What keeps an object from being deleted (Object Lock).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// `GOVERNANCE` or `COMPLIANCE`, and until when, RFC 3339.
    pub retention: Option<(String, String)>,
    /// Whether there is a legal hold.
    pub legal_hold: bool,
}

/// What an object is written with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Content headers and user metadata; `None` leaves them to CopyObject, which copies them.
    pub headers: Option<Headers>,
    /// Tags; `None` leaves them to CopyObject, which copies them.
    pub tags: Option<Vec<(String, String)>>,
    /// The storage class; the destination's default otherwise.
    pub storage_class: Option<String>,
    /// The encryption; the destination's default otherwise.
    pub encryption: Encryption,
    /// The access control list; private otherwise.
    pub acl: Option<Acl>,
    /// Retention and legal hold.
    pub lock: Option<Lock>,
}

/// Headers of a request.
pub(super) type RequestHeaders = Vec<(String, String)>;

impl Attributes {
    /// As headers. Where a copy `from` another object does not copy what is given here, it is told.
    pub(super) fn to_request(&self, is_copy: bool) -> RequestHeaders {
        let mut out = RequestHeaders::new();
        if let Some(headers) = &self.headers {
            put_if(&mut out, "x-amz-metadata-directive", is_copy.then_some("REPLACE"));
            headers.write_to(&mut out);
        }
        if let Some(tags) = &self.tags {
            put_if(&mut out, "x-amz-tagging-directive", is_copy.then_some("REPLACE"));
            put_if(&mut out, "x-amz-tagging", (!tags.is_empty()).then(|| tagging(tags)));
        }
        put_if(&mut out, "x-amz-storage-class", self.storage_class.as_ref());
        self.encryption.write_to(&mut out);
        if let Some(acl) = &self.acl {
            acl.write_to(&mut out);
        }
        if let Some(lock) = &self.lock {
            lock.write_to(&mut out);
        }
        out
    }
}

fn put_if(out: &mut RequestHeaders, name: &str, value: Option<impl Into<String>>) {
    out.extend(value.map(|value| (name.to_owned(), value.into())));
}

impl Headers {
    fn write_to(&self, out: &mut RequestHeaders) {
        // Without one, the SDK would say that it is application/octet-stream.
        put_if(out, "content-type", Some(self.content_type.clone().unwrap_or_default()));
        put_if(out, "content-encoding", self.content_encoding.as_ref());
        put_if(out, "content-disposition", self.content_disposition.as_ref());
        put_if(out, "content-language", self.content_language.as_ref());
        put_if(out, "cache-control", self.cache_control.as_ref());
        // As the source has it: `0` and `-1`, which are no dates, are common.
        put_if(out, "expires", self.expires.as_ref());
        out.extend(self.metadata.iter().map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone())));
    }
}

impl Encryption {
    fn write_to(&self, out: &mut RequestHeaders) {
        put_if(out, "x-amz-server-side-encryption", self.algorithm.as_ref());
        put_if(out, "x-amz-server-side-encryption-aws-kms-key-id", self.kms_key_id.as_ref());
        let bucket_key = self.bucket_key.map(|used| used.to_string());
        put_if(out, "x-amz-server-side-encryption-bucket-key-enabled", bucket_key);
    }
}

impl Acl {
    fn write_to(&self, out: &mut RequestHeaders) {
        let grants = match self {
            Self::Canned(name) => return put_if(out, "x-amz-acl", Some(name)),
            Self::Grants(grants) => grants,
        };
        let permissions = [
            ("READ", "x-amz-grant-read"),
            ("READ_ACP", "x-amz-grant-read-acp"),
            ("WRITE_ACP", "x-amz-grant-write-acp"),
            ("FULL_CONTROL", "x-amz-grant-full-control"),
        ];
        for (permission, header) in permissions {
            let grantees = grants.iter().filter(|(granted, _)| granted == permission);
            let grantees: Vec<&str> = grantees.map(|(_, grantee)| grantee.as_str()).collect();
            put_if(out, header, (!grantees.is_empty()).then(|| grantees.join(", ")));
        }
    }
}

impl Lock {
    fn write_to(&self, out: &mut RequestHeaders) {
        if let Some((mode, until)) = &self.retention {
            put_if(out, "x-amz-object-lock-mode", Some(mode));
            put_if(out, "x-amz-object-lock-retain-until-date", Some(until));
        }
        put_if(out, "x-amz-object-lock-legal-hold", self.legal_hold.then_some("ON"));
    }
}

/// The key of SSE-C: 32 bytes that the server uses and does not keep.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey([u8; 32]);

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(not shown)")
    }
}

impl CustomerKey {
    /// From 32 bytes, or from their base64 with or without a line end.
    ///
    /// # Errors
    /// Anything else. The error does not show it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wrong = || "an SSE-C key has 32 bytes, as they are or in base64".to_owned();
        if let Ok(key) = bytes.try_into() {
            return Ok(Self(key));
        }
        let decoded = STANDARD.decode(bytes.trim_ascii()).map_err(|_| wrong())?;
        decoded.try_into().map(Self).map_err(|_| wrong())
    }

    /// The headers of a request for an object that is encrypted with it.
    pub(super) fn to_request(&self) -> RequestHeaders {
        self.headers("x-amz-server-side-encryption-customer")
    }

    /// The headers of a request that copies from such an object.
    pub(super) fn to_copy_request(&self) -> RequestHeaders {
        self.headers("x-amz-copy-source-server-side-encryption-customer")
    }

    fn headers(&self, prefix: &str) -> RequestHeaders {
        vec![
            (format!("{prefix}-algorithm"), "AES256".to_owned()),
            (format!("{prefix}-key"), STANDARD.encode(self.0)),
            (format!("{prefix}-key-md5"), content_md5(&self.0)),
        ]
    }
}

/// The MD5 of `bytes` as `Content-MD5` has it.
pub(super) fn content_md5(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// Sets these headers before a request is signed; an empty `content-type` is none at all.
pub(super) fn with_headers(headers: RequestHeaders) -> WithHeaders {
    WithHeaders(headers)
}

/// Headers on their way into a request. Not shown: there may be a key of SSE-C among them.
pub(super) struct WithHeaders(RequestHeaders);

impl fmt::Debug for WithHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WithHeaders({})", self.0.len())
    }
}

impl Intercept for WithHeaders {
    fn name(&self) -> &'static str {
        "WithHeaders"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        write_headers(&self.0, context.request_mut().headers_mut())
    }
}

/// As [`with_headers`] does.
pub(super) fn write_headers(these: &RequestHeaders, headers: &mut HttpHeaders) -> Result<(), BoxError> {
    for (name, value) in these {
        if name == "content-type" && value.is_empty() {
            headers.remove("content-type");
        } else {
            headers.try_insert(name.clone(), value.clone()).map_err(|_| format!("{name} cannot be a header"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(headers: &'a RequestHeaders, name: &str) -> Option<&'a str> {
        headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_is_given_replaces_what_a_copy_would_copy() {
        let attributes = Attributes {
            headers: Some(Headers { content_type: Some("a/b".into()), ..Headers::default() }),
            tags: Some(Vec::new()),
            ..Attributes::default()
        };
        let copy = attributes.to_request(true);
        assert_eq!(header(&copy, "x-amz-metadata-directive"), Some("REPLACE"));
        assert_eq!(header(&copy, "x-amz-tagging-directive"), Some("REPLACE"));
        assert_eq!(header(&copy, "x-amz-tagging"), None);
        let put = attributes.to_request(false);
        assert_eq!((header(&put, "content-type"), header(&put, "x-amz-metadata-directive")), (Some("a/b"), None));
        assert!(Attributes::default().to_request(true).is_empty());
    }

    #[test]
    fn grants_of_one_permission_share_a_header() {
        let grant = |permission: &str, who: &str| (permission.to_owned(), who.to_owned());
        let grants = vec![grant("READ", "id=\"1\""), grant("FULL_CONTROL", "id=\"2\""), grant("READ", "uri=\"u\"")];
        let headers = Attributes { acl: Some(Acl::Grants(grants)), ..Attributes::default() }.to_request(false);
        assert_eq!(header(&headers, "x-amz-grant-read"), Some("id=\"1\", uri=\"u\""));
        assert_eq!(header(&headers, "x-amz-grant-full-control"), Some("id=\"2\""));
    }

    #[test]
    fn a_customer_key_is_32_bytes_and_never_shown() {
        let raw = [7_u8; 32];
        let key = CustomerKey::parse(&raw).unwrap();
        assert_eq!(CustomerKey::parse(format!("{}\n", STANDARD.encode(raw)).as_bytes()), Ok(key.clone()));
        assert!(CustomerKey::parse(b"short").unwrap_err().contains("32 bytes"));
        assert_eq!(format!("{key:?}"), "CustomerKey(not shown)");
        assert_eq!(key.to_request()[2].1, content_md5(&raw));
    }
}
