//! What S3 keeps of an object besides its bytes and headers: encryption, lock, and access list.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest, Md5};

use super::Object;
use super::headers::{text, value};
use crate::encoding;

const ALGORITHM: &str = "x-amz-server-side-encryption";
const KMS_KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
const CUSTOMER_KEY_MD5: &str = "x-amz-server-side-encryption-customer-key-MD5";
const LOCK_MODE: &str = "x-amz-object-lock-mode";
const RETAIN_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";

/// The headers that grant something on an object, with what they grant.
const GRANTS: [(&str, &str); 4] = [
    ("x-amz-grant-read", "READ"),
    ("x-amz-grant-read-acp", "READ_ACP"),
    ("x-amz-grant-write-acp", "WRITE_ACP"),
    ("x-amz-grant-full-control", "FULL_CONTROL"),
];

/// How the server says it encrypted an object with keys of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// The key, where one was named.
    pub kms_key_id: Option<String>,
    /// Whether the bucket's key stands in for it.
    pub bucket_key: bool,
}

/// What keeps an object from being deleted; no delete looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: Option<String>,
    /// Until when the mode holds, as it was sent.
    pub retain_until: Option<String>,
    /// Whether it is held without an end.
    pub legal_hold: bool,
}

impl Object {
    /// The object with all that a request asks for besides bytes and headers.
    pub(crate) fn protected_as_in(self, headers: &HeaderMap, customer_key_md5: Option<String>) -> Object {
        let get = |name: &str| headers.get(name).and_then(text).filter(|value| !value.is_empty());
        let is = |name: &str, wanted: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
        let encryption = get(ALGORITHM).map(|algorithm| Encryption {
            algorithm,
            kms_key_id: get(KMS_KEY_ID),
            bucket_key: is(BUCKET_KEY, "true"),
        });
        let lock = Lock { mode: get(LOCK_MODE), retain_until: get(RETAIN_UNTIL), legal_hold: is(LEGAL_HOLD, "ON") };
        let granted = |(name, permission): &(&str, &str)| {
            grantees(&get(name).unwrap_or_default()).map(|grantee| ((*permission).to_owned(), grantee)).collect()
        };
        Object {
            encryption,
            customer_key_md5,
            lock: Some(lock).filter(|lock| *lock != Lock::default()),
            acl: GRANTS.iter().flat_map::<Vec<_>, _>(granted).collect(),
            canned_acl: get("x-amz-acl"),
            ..self
        }
    }

    /// Adds what every answer about the object says about its encryption.
    pub(crate) fn write_encryption(&self, headers: &mut HeaderMap) {
        if let Some(encryption) = &self.encryption {
            add(headers, ALGORITHM, Some(&encryption.algorithm));
            add(headers, KMS_KEY_ID, encryption.kms_key_id.as_ref());
            if encryption.bucket_key {
                add(headers, BUCKET_KEY, Some(&"true".to_owned()));
            }
        }
        if self.customer_key_md5.is_some() {
            add(headers, CUSTOMER_ALGORITHM, Some(&"AES256".to_owned()));
            add(headers, CUSTOMER_KEY_MD5, self.customer_key_md5.as_ref());
        }
    }

    /// Adds what the answers to reads say about its lock.
    pub(crate) fn write_lock(&self, headers: &mut HeaderMap) {
        let Some(lock) = &self.lock else { return };
        add(headers, LOCK_MODE, lock.mode.as_ref());
        add(headers, RETAIN_UNTIL, lock.retain_until.as_ref());
        if lock.legal_hold {
            add(headers, LEGAL_HOLD, Some(&"ON".to_owned()));
        }
    }

    /// What its entity tags are made of: the MD5, or something else where the encryption hides it.
    pub(crate) fn hash_in_etag(&self, md5: [u8; 16]) -> [u8; 16] {
        if self.hides_md5() { Md5::new_with_prefix("encrypted").chain_update(md5).finalize().into() } else { md5 }
    }

    /// Whether its entity tag is not the MD5 of its bytes.
    pub(crate) fn hides_md5(&self) -> bool {
        let kms = self.encryption.as_ref().is_some_and(|encryption| encryption.algorithm.starts_with("aws:kms"));
        kms || self.customer_key_md5.is_some()
    }
}

/// A key that a client brings for each request.
#[derive(Clone, Copy)]
pub(crate) enum CustomerKey {
    /// The one of the object that the request is about.
    OfObject,
    /// The one of the source of a copy.
    OfSource,
}

impl CustomerKey {
    /// The MD5 of the key in a request, if it brings one; `Err` where the headers do not agree.
    pub(crate) fn md5(self, headers: &HeaderMap) -> Result<Option<String>, ()> {
        let prefix = match self {
            CustomerKey::OfObject => "x-amz-server-side-encryption-customer",
            CustomerKey::OfSource => "x-amz-copy-source-server-side-encryption-customer",
        };
        let get = |name: &str| headers.get(format!("{prefix}-{name}")).and_then(text);
        match (get("algorithm"), get("key"), get("key-md5")) {
            (None, None, None) => Ok(None),
            (Some(algorithm), Some(key), Some(md5)) if algorithm == "AES256" => {
                let key = encoding::unbase64(&key).filter(|key| key.len() == 32).ok_or(())?;
                if encoding::base64(&Md5::digest(&key)) == md5 { Ok(Some(md5)) } else { Err(()) }
            }
            _ => Err(()),
        }
    }
}

/// The grantees in a header such as `id="1", uri="http://..."`, each as `id=1`.
fn grantees(header: &str) -> impl Iterator<Item = String> {
    let grantees = header.split(',').map(|grantee| grantee.trim().replace('"', ""));
    grantees.filter(|grantee| !grantee.is_empty()).collect::<Vec<_>>().into_iter()
}

fn add(headers: &mut HeaderMap, name: &str, text: Option<&String>) {
    let name = HeaderName::try_from(name).ok();
    let value: Option<HeaderValue> = text.and_then(|text| value(text));
    if let (Some(name), Some(value)) = (name, value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grantees_lose_their_quotes() {
        let listed: Vec<String> = grantees("id=\"a b\", uri=\"http://x/y\"").collect();
        assert_eq!(listed, ["id=a b", "uri=http://x/y"]);
        assert_eq!(grantees("").count(), 0);
    }

    #[test]
    fn a_customer_key_is_whole_or_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(CustomerKey::OfObject.md5(&headers), Ok(None));
        let key = [7; 32];
        let md5 = encoding::base64(&Md5::digest(key));
        add(&mut headers, CUSTOMER_ALGORITHM, Some(&"AES256".to_owned()));
        add(&mut headers, "x-amz-server-side-encryption-customer-key", Some(&encoding::base64(&key)));
        assert_eq!(CustomerKey::OfObject.md5(&headers), Err(()));
        add(&mut headers, CUSTOMER_KEY_MD5, Some(&md5));
        assert_eq!(CustomerKey::OfObject.md5(&headers), Ok(Some(md5)));
        assert_eq!(CustomerKey::OfSource.md5(&headers), Ok(None));
    }
}
