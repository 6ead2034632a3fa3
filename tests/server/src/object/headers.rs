//! The headers that S3 keeps of an object and answers as they came.

use std::collections::BTreeMap;

use ::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderName,
};
use ::http::{HeaderMap, HeaderValue};

/// The standard headers of an object, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentHeaders {
    /// `Content-Type`; answered as `binary/octet-stream` when absent.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without the `aws-chunked` of the transport.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`, which no copy carries over.
    pub website_redirect_location: Option<String>,
}

impl ContentHeaders {
    fn fields(&mut self) -> [(HeaderName, &mut Option<String>); 7] {
        [
            (CONTENT_TYPE, &mut self.content_type),
            (CONTENT_ENCODING, &mut self.content_encoding),
            (CONTENT_DISPOSITION, &mut self.content_disposition),
            (CONTENT_LANGUAGE, &mut self.content_language),
            (CACHE_CONTROL, &mut self.cache_control),
            (EXPIRES, &mut self.expires),
            (HeaderName::from_static("x-amz-website-redirect-location"), &mut self.website_redirect_location),
        ]
    }

    /// What a request says about the object that it writes.
    pub(crate) fn from_request(headers: &HeaderMap) -> ContentHeaders {
        let mut content = ContentHeaders::default();
        for (name, field) in content.fields() {
            let value = hidden(&name).and_then(|hidden| headers.get(hidden)).or_else(|| headers.get(name));
            *field = value.and_then(text).filter(|value| !value.is_empty());
        }
        // Without that of the transport it stays as it came.
        let is_of_transport = |coding: &&str| coding.trim() == "aws-chunked";
        if let Some(encoding) = content.content_encoding.take_if(|it| it.split(',').any(|it| is_of_transport(&it))) {
            let codings: Vec<&str> = encoding.split(',').filter(|it| !is_of_transport(it)).map(str::trim).collect();
            content.content_encoding = (!codings.is_empty()).then(|| codings.join(","));
        }
        content
    }

    /// Adds them to the headers of an answer.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
        for (name, field) in self.clone().fields() {
            if let Some(value) = field.as_deref().and_then(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Takes what S3 accepts and the protocol layer refuses past it: values that are not ASCII, and an
/// `Expires` that is no date.
pub(crate) fn hide_odd_values(headers: &mut HeaderMap) {
    for (name, _) in ContentHeaders::default().fields() {
        let is_odd = |value: &HeaderValue| name == EXPIRES || value.to_str().is_err();
        if let (true, Some(hidden)) = (headers.get(&name).is_some_and(is_odd), hidden(&name))
            && let Some(value) = headers.remove(&name)
        {
            headers.insert(hidden, value);
        }
    }
}

/// The name under which the protocol layer does not look for a header.
fn hidden(name: &HeaderName) -> Option<HeaderName> {
    HeaderName::try_from(format!("x-hidden-{name}")).ok()
}

/// The user metadata in the headers of a request.
pub(crate) fn metadata_from_request(headers: &HeaderMap) -> BTreeMap<String, String> {
    let entry = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = name.as_str().strip_prefix("x-amz-meta-")?;
        Some((name.to_owned(), text(value)?))
    };
    headers.iter().filter_map(entry).collect()
}

/// Adds user metadata to the headers of an answer.
pub(crate) fn write_metadata(metadata: &BTreeMap<String, String>, headers: &mut HeaderMap) {
    for (name, text) in metadata {
        let name = HeaderName::try_from(format!("x-amz-meta-{name}"));
        if let (Ok(name), Some(value)) = (name, value(text)) {
            headers.insert(name, value);
        }
    }
}

pub(super) fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}

pub(super) fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_encoding_is_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked, gzip"));
        assert_eq!(ContentHeaders::from_request(&headers).content_encoding.as_deref(), Some("gzip"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        assert_eq!(ContentHeaders::from_request(&headers).content_encoding, None);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br, gzip"));
        assert_eq!(ContentHeaders::from_request(&headers).content_encoding.as_deref(), Some("br, gzip"));
    }

    #[test]
    fn odd_values_come_past_the_protocol_layer() {
        let mut headers = HeaderMap::new();
        headers.insert(EXPIRES, HeaderValue::from_static("-1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("a/b"));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_bytes("größe".as_bytes()).unwrap());
        let seen = ContentHeaders::from_request(&headers);
        hide_odd_values(&mut headers);
        assert!(headers.contains_key(CONTENT_TYPE));
        assert!(!headers.contains_key(EXPIRES) && !headers.contains_key(CONTENT_DISPOSITION));
        assert_eq!(ContentHeaders::from_request(&headers), seen);
        assert_eq!(seen.content_disposition.as_deref(), Some("größe"));
    }
}
