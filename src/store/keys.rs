//! Keys on the wire: the copy source of a request, the encoded keys of a listing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Page;
use crate::model::{Class, Operation, RequestError};

/// All but RFC 3986's unreserved characters and the slash.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// All but RFC 3986's unreserved characters: for the `x-amz-tagging` header, and version ids.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of `x-amz-copy-source`, which the SDK sends as it is given. An access point is named
/// by its ARN, with `/object/` before the key.
pub(super) fn copy_source(bucket: &str, key: &str, version_id: Option<&str>) -> String {
    let middle = if bucket.starts_with("arn:") { "/object/" } else { "/" };
    let bucket = utf8_percent_encode(bucket, COPY_SOURCE);
    let version = version_id.map(|id| format!("?versionId={}", utf8_percent_encode(id, QUERY))).unwrap_or_default();
    format!("{bucket}{middle}{}{version}", utf8_percent_encode(key, COPY_SOURCE))
}

/// The value of `x-amz-tagging`: tags as a query string.
pub(super) fn tagging(tags: &[(String, String)]) -> String {
    let pair =
        |(k, v): &(String, String)| format!("{}={}", utf8_percent_encode(k, QUERY), utf8_percent_encode(v, QUERY));
    tags.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// What a page that says it is encoded shows about whether it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clue {
    /// Nothing, and it does not matter: decoding changes no object's key.
    Nothing,
    /// It is not encoded: it holds what no encoder would leave, or make.
    Literal,
    /// Decoding would change this key, and nothing says whether it should.
    Ambiguous(String),
}

/// Looks for it. Of several ambiguous keys, one that servers can well be asked for.
pub(super) fn clue(page: &Page) -> Clue {
    let keys = || page.objects.iter().map(|object| &object.key);
    if keys().chain(&page.folders).any(|key| is_literal(key)) {
        return Clue::Literal;
    }
    let awkward = |key: &&String| {
        let controls = decode(key).is_none_or(|decoded| decoded.contains(char::is_control));
        // Some encoders leave a plus sign as it is.
        (controls, !key.contains('%'))
    };
    match keys().filter(|key| is_changed(key)).min_by_key(awkward) {
        Some(key) => Clue::Ambiguous(key.clone()),
        None => Clue::Nothing,
    }
}

/// Whether no encoder can have made this: it holds a character that every encoder escapes, an
/// escape of one that none does, or a `%` that begins no escape.
fn is_literal(key: &str) -> bool {
    let raw = |c: char| !c.is_ascii_graphic() || "\"<>".contains(c);
    let escaped = |hex: Option<&str>| hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let wrong = |(at, _)| escaped(key.get(at + 1..at + 3)).is_none_or(|byte| byte.is_ascii_alphanumeric());
    key.contains(raw) || key.match_indices('%').any(wrong)
}

fn is_changed(key: &str) -> bool {
    key.contains(['%', '+'])
}

/// Decodes the keys and folders of a page that is encoded; a key that is not UTF-8 is an error, as
/// it would otherwise pass for another.
pub(super) fn decode_page(page: &mut Page) -> Result<(), RequestError> {
    let keys = page.objects.iter_mut().map(|object| &mut object.key);
    for key in keys.chain(&mut page.folders).filter(|key| is_changed(key)) {
        *key = decode(key).ok_or_else(|| {
            let message = format!("the listing holds a key that is not UTF-8: {key}");
            RequestError::local(Operation::ListObjectsV2, Class::Permanent, "UnreadableKey", message)
        })?;
    }
    Ok(())
}

/// S3 encodes a blank as `+`, and a plus sign as `%2B`. `None` for what is not UTF-8.
pub(super) fn decode(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Object;

    fn page(keys: &[&str]) -> Page {
        let object = |key: &&str| Object::new(*key, 0);
        Page { objects: keys.iter().map(object).collect(), ..Page::default() }
    }

    fn decoded(keys: &[&str]) -> Vec<String> {
        let mut page = page(keys);
        decode_page(&mut page).unwrap();
        page.objects.into_iter().map(|object| object.key).collect()
    }

    #[test]
    fn a_copy_source_keeps_slashes_and_escapes_the_rest() {
        assert_eq!(copy_source("b", "a/c++ é%?", None), "b/a/c%2B%2B%20%C3%A9%25%3F");
        assert_eq!(copy_source("b", "//./../x", Some("v+/1")), "b///./../x?versionId=v%2B%2F1");
        let arn = "arn:aws:s3:eu-west-1:1:accesspoint/ap";
        assert_eq!(copy_source(arn, "k", None), "arn%3Aaws%3As3%3Aeu-west-1%3A1%3Aaccesspoint/ap/object/k");
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
    fn what_no_encoder_makes_shows_that_a_page_is_not_encoded() {
        for key in ["100%", "é", "a b", "d%41", "x\u{1}", "%4", "a<"] {
            assert_eq!(clue(&page(&["plain", key])), Clue::Literal, "{key}");
        }
    }

    #[test]
    fn what_may_be_either_is_said_to_be() {
        let ambiguous = |key: &str| Clue::Ambiguous(key.to_owned());
        assert_eq!(clue(&page(&["plain", "c++.txt"])), ambiguous("c++.txt"));
        assert_eq!(clue(&page(&["%01k", "a+", "a%2Fb", "b%2Fc"])), ambiguous("a%2Fb"));
        assert_eq!(clue(&page(&["x%FF"])), ambiguous("x%FF"));
        assert_eq!(clue(&page(&["plain", "a/b"])), Clue::Nothing);
    }

    #[test]
    fn a_key_that_is_not_utf_8_is_an_error() {
        assert_eq!(decode_page(&mut page(&["x%FF"])).unwrap_err().code, "UnreadableKey");
    }

    proptest! {
        #[test]
        fn decoding_undoes_what_servers_encode(key in "\\PC{0,20}", spaces_as_plus: bool) {
            let mut wire = utf8_percent_encode(&key, COPY_SOURCE).to_string();
            if spaces_as_plus {
                wire = wire.replace("%20", "+");
            }
            prop_assert_ne!(clue(&page(&[&wire])), Clue::Literal);
            prop_assert_eq!(decoded(&[&wire]), [key]);
        }
    }
}
