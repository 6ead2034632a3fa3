//! ListObjectsV2. The protocol layer only checks its signature: what it would make of a page costs
//! several times as much as the page.

use std::time::SystemTime;

use ::http::header::CONTENT_TYPE;
use ::http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use s3s::dto::EncodingType;
use s3s::route::S3Route;
use s3s::{Body, S3ErrorCode, S3Request, S3Response, S3Result};

use super::fail;
use crate::config::{Config, Order};
use crate::encoding;
use crate::listing::{Entry, Page, Query};
use crate::object::{Object, Restore};
use crate::operation::{self, Operation, QueryString};
use crate::store::{Bucket, Store};
use crate::xml::Xml;

/// The most entries that S3 puts on a page.
const MOST: usize = 1000;

/// How much a key takes on a page, about.
const ENTRY: usize = 320;

/// The call, as the protocol layer sees it.
pub(crate) struct Listing {
    store: Store,
    config: Config,
}

impl Listing {
    pub(crate) fn new(store: Store, config: &Config) -> Listing {
        Listing { store, config: config.clone() }
    }
}

#[async_trait::async_trait]
impl S3Route for Listing {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        operation::named(method, uri, headers) == Operation::ListObjectsV2
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        if request.credentials.is_none() && !self.config.accounts.is_empty() {
            return Err(fail(S3ErrorCode::AccessDenied, "Signature is required"));
        }
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let wanted = Wanted::of(&request.uri, &request.headers, &self.config)?;
        let state = self.store.read();
        let bucket = state.existing(&wanted.bucket)?;
        let xml = wanted.answer(bucket, &self.config);
        let mut response = S3Response::new(Body::from(xml));
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        Ok(response)
    }
}

/// What a request asks for, decoded.
struct Wanted {
    bucket: String,
    prefix: String,
    delimiter: Option<String>,
    start_after: Option<String>,
    token: Option<String>,
    /// What the token stands for.
    cursor: Option<String>,
    limit: usize,
    url: bool,
    restore: bool,
}

impl Wanted {
    fn of(uri: &Uri, headers: &HeaderMap, config: &Config) -> S3Result<Wanted> {
        let query = QueryString::of(uri);
        let text = |name: &str| {
            let decoded = query.get(name).map(encoding::decode_form);
            decoded.map(|text| text.ok_or_else(|| invalid("the query is not UTF-8"))).transpose()
        };
        let start_after = text("start-after")?;
        if config.checks_start_after && start_after.as_deref().is_some_and(|after| !after.chars().all(is_xml)) {
            return Err(invalid("start-after holds characters that XML cannot carry"));
        }
        let asked = text("max-keys")?.map_or(Ok(MOST), |text| text.parse());
        let asked = asked.map_err(|_| invalid("max-keys is no number from 0 on"))?;
        let encoding = text("encoding-type")?;
        if encoding.as_deref().is_some_and(|encoding| encoding != EncodingType::URL) {
            return Err(invalid("this is no encoding-type"));
        }
        let token = text("continuation-token")?;
        let attributes = headers.get("x-amz-optional-object-attributes").and_then(|value| value.to_str().ok());
        let restore = attributes.is_some_and(|names| names.split(',').any(|name| name.trim() == "RestoreStatus"));
        if restore && config.refuses_restore_status {
            return Err(fail(S3ErrorCode::NotImplemented, "x-amz-optional-object-attributes is not implemented"));
        }
        Ok(Wanted {
            bucket: operation::address(uri).0.unwrap_or_default(),
            prefix: text("prefix")?.unwrap_or_default(),
            delimiter: text("delimiter")?,
            cursor: token.as_deref().map(read_token).transpose()?,
            token,
            start_after,
            limit: asked.min(config.page_size.into()),
            url: encoding.is_some(),
            restore: restore && config.tells_restores,
        })
    }

    fn page<'a>(&self, bucket: &'a Bucket, config: &Config) -> Page<'a, std::sync::Arc<Object>> {
        let start_after = self.start_after.as_deref().filter(|after| !after.is_empty());
        let start_after = start_after.filter(|_| self.cursor.is_none() && config.order != Order::Shuffled);
        let query = Query {
            prefix: &self.prefix,
            delimiter: self.delimiter.as_deref().unwrap_or_default(),
            after: self.cursor.as_deref().or(start_after),
            limit: self.limit,
        };
        let missing = start_after.is_some_and(|after| !bucket.objects.contains_key(after));
        if !config.skips_after_missing || !missing || self.limit == 0 {
            return bucket.page(&query);
        }
        let mut page = bucket.page(&Query { limit: self.limit + 1, ..query });
        page.entries.drain(..1.min(page.entries.len()));
        page
    }

    fn answer(&self, bucket: &Bucket, config: &Config) -> String {
        let page = self.page(bucket, config);
        let mut xml = Xml::with_capacity(1024 + page.entries.len() * ENTRY);
        let encode = self.url && !config.claims_encoding;
        let name = |xml: &mut Xml, element, name| {
            if encode { xml.url_encoded(element, name) } else { xml.text(element, name) }
        };
        xml.raw("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        xml.text("Name", &self.bucket);
        name(&mut xml, "Prefix", &self.prefix);
        if let Some(after) = &self.start_after {
            name(&mut xml, "StartAfter", after);
        }
        if let Some(token) = &self.token {
            xml.text("ContinuationToken", token);
        }
        if let Some(next) = &page.next {
            xml.plain("NextContinuationToken", write_token(next));
        }
        xml.plain("KeyCount", page.entries.len());
        xml.plain("MaxKeys", self.limit);
        if let Some(delimiter) = &self.delimiter {
            name(&mut xml, "Delimiter", delimiter);
        }
        if self.url {
            xml.plain("EncodingType", EncodingType::URL);
        }
        xml.plain("IsTruncated", page.next.is_some());
        let now = SystemTime::now();
        for entry in &page.entries {
            if let Entry::Key(key, object) = entry {
                xml.element("Contents", |xml| {
                    name(xml, "Key", key);
                    describe(object, xml);
                    if self.restore {
                        let state = bucket.restoring.state(key, object, now);
                        state.iter().for_each(|restore| describe_restore(restore, xml));
                    }
                });
            }
        }
        for entry in &page.entries {
            if let Entry::Prefix(prefix) = entry {
                xml.element("CommonPrefixes", |xml| name(xml, "Prefix", prefix));
            }
        }
        xml.raw("</ListBucketResult>");
        xml.finish()
    }
}

fn describe(object: &Object, xml: &mut Xml) {
    xml.time("LastModified", object.last_modified);
    xml.element("ETag", |xml| {
        xml.raw("&quot;");
        xml.escape(&object.etag);
        xml.raw("&quot;");
    });
    xml.plain("Size", object.size());
    xml.text("StorageClass", &object.storage_class);
}

fn describe_restore(restore: &Restore, xml: &mut Xml) {
    xml.element("RestoreStatus", |xml| match restore {
        Restore::InProgress { .. } => xml.plain("IsRestoreInProgress", true),
        Restore::Restored { expiry } => {
            xml.plain("IsRestoreInProgress", false);
            xml.time("RestoreExpiryDate", *expiry);
        }
    });
}

fn invalid(message: &'static str) -> s3s::S3Error {
    fail(S3ErrorCode::InvalidArgument, message)
}

/// Whether XML 1.0 has it.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// What is done to the names in the answer.
pub(super) fn encoder(encoding: Option<&EncodingType>) -> fn(&str) -> String {
    match encoding {
        Some(encoding) if encoding.as_str() == EncodingType::URL => encoding::url_encode,
        _ => str::to_owned,
    }
}

/// Tokens are opaque to clients; hexadecimal keeps them from looking like keys.
fn write_token(cursor: &str) -> String {
    format!("1{}", encoding::hex(cursor.as_bytes()))
}

fn read_token(token: &str) -> S3Result<String> {
    let cursor = token.strip_prefix('1').and_then(encoding::unhex).and_then(|bytes| String::from_utf8(bytes).ok());
    cursor.ok_or_else(|| invalid("the continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_any_key() {
        for key in ["a", "é/☃", "\u{1}"] {
            assert_eq!(read_token(&write_token(key)).unwrap(), key);
        }
        assert!(read_token("a").is_err());
        assert!(read_token("1zz").is_err());
    }
}
