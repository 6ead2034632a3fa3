//! Keys on the wire: the copy source of a request, the encoded keys of a listing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but RFC 3986's unreserved characters and the slash.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// All but RFC 3986's unreserved characters: for the `x-amz-tagging` header.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of `x-amz-copy-source`, which the SDK sends as it is given. An access point is named
/// by its ARN, with `/object/` before the key.
pub(super) fn copy_source(bucket: &str, key: &str) -> String {
    let middle = if bucket.starts_with("arn:") { "/object/" } else { "/" };
    let bucket = utf8_percent_encode(bucket, COPY_SOURCE);
    format!("{bucket}{middle}{}", utf8_percent_encode(key, COPY_SOURCE))
}

/// The value of `x-amz-tagging`: tags as a query string.
pub(super) fn tagging(tags: &[(String, String)]) -> String {
    let pair =
        |(k, v): &(String, String)| format!("{}={}", utf8_percent_encode(k, QUERY), utf8_percent_encode(v, QUERY));
    tags.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Decodes a page that says it is encoded with `encoding-type=url`.
///
/// Some servers say so and do not encode. A page that holds a character which every encoder
/// encodes, or a `%` that begins no escape, or whose decoded bytes are not UTF-8, is taken as it is.
pub(super) fn decode_page(keys: &mut [String], folders: &mut [String]) {
    let all = || keys.iter().chain(folders.iter());
    if !all().all(|key| is_encoded(key)) {
        return;
    }
    for key in keys.iter_mut().chain(folders.iter_mut()) {
        if let Some(decoded) = decode(key) {
            *key = decoded;
        }
    }
}

fn is_encoded(key: &str) -> bool {
    let bytes = key.as_bytes();
    let plain = |b: &u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}#?&".contains(b);
    let escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    bytes.iter().all(plain)
        && bytes.iter().enumerate().all(|(at, b)| *b != b'%' || escape(at))
        && percent_decode_str(key).decode_utf8().is_ok()
}

/// S3 encodes a blank as `+`, and a plus sign as `%2B`.
fn decode(key: &str) -> Option<String> {
    if !key.contains(['%', '+']) {
        return None;
    }
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(keys: &[&str]) -> Vec<String> {
        let mut keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        decode_page(&mut keys, &mut []);
        keys
    }

    #[test]
    fn a_copy_source_keeps_slashes_and_escapes_the_rest() {
        assert_eq!(copy_source("b", "a/c++ é%?"), "b/a/c%2B%2B%20%C3%A9%25%3F");
        assert_eq!(copy_source("b", "//./../x"), "b///./../x");
        let arn = "arn:aws:s3:eu-west-1:1:accesspoint/ap";
        assert_eq!(copy_source(arn, "k"), "arn%3Aaws%3As3%3Aeu-west-1%3A1%3Aaccesspoint/ap/object/k");
    }

    #[test]
    fn tags_become_a_query_string() {
        let tags = [("a b".to_owned(), "c&d=é".to_owned()), ("e".to_owned(), String::new())];
        assert_eq!(tagging(&tags), "a%20b=c%26d%3D%C3%A9&e=");
    }

    #[test]
    fn an_encoded_page_is_decoded() {
        assert_eq!(decoded(&["a+b%2Bc/%C3%A9", "plain", "%01"]), ["a b+c/é", "plain", "\u{1}"]);
    }

    #[test]
    fn a_page_that_only_claims_to_be_encoded_is_taken_as_it_is() {
        for page in [["100%", "a%41"], ["é", "a%41"], ["a b", "a+b"], ["%ff", "a%41"]] {
            assert_eq!(decoded(&page), page);
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_what_servers_encode(key in "\\PC{0,20}", spaces_as_plus: bool) {
            let mut wire = utf8_percent_encode(&key, COPY_SOURCE).to_string();
            if spaces_as_plus {
                wire = wire.replace("%20", "+");
            }
            let page = decoded(&[&wire]);
            prop_assert_eq!(page, [key]);
        }
    }
}
