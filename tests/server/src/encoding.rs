//! Percent-encoding the way S3 does it, hexadecimal and base64, and their reverse. No other escaping
//! lives here.

use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes as S3 does in listings with `encoding-type=url`: UTF-8 bytes in upper-case
/// hexadecimal, a space as `+`, and `/` as it is.
pub(crate) fn url_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    url_encode_to(text, &mut encoded);
    encoded
}

/// The same, added to what is there.
pub(crate) fn url_encode_to(text: &str, encoded: &mut String) {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*' | b'/');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !kept(byte)) {
        // What is kept is ASCII, so it ends where a character begins.
        let (plain, odd) = rest.split_at(at);
        encoded.push_str(plain);
        let mut chars = odd.chars();
        match chars.next() {
            Some(' ') => encoded.push('+'),
            Some(odd) => odd.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_escape(byte, encoded)),
            None => {}
        }
        rest = chars.as_str();
    }
    encoded.push_str(rest);
}

fn push_escape(byte: u8, encoded: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
    encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// Decodes `%XX`; `+` stays what it is. `None` where the result is not UTF-8.
pub(crate) fn decode_path(text: &str) -> Option<String> {
    decode(text, false)
}

/// Decodes `%XX` and `+` (a space), as in queries, `x-amz-tagging` and `x-amz-copy-source`.
pub(crate) fn decode_form(text: &str) -> Option<String> {
    decode(text, true)
}

fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'%' => {
                if let Some(value) = hex_pair(bytes.get(at..at + 2)) {
                    decoded.push(value);
                    at += 2;
                } else {
                    decoded.push(b'%');
                }
            }
            b'+' if plus_is_space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex_pair(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// The bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The reverse of [`hex`].
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(|pair| hex_pair(Some(pair))).collect()
}

/// The bytes in base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(ALPHABET.get(index as usize).copied().map_or('=', char::from));
        }
        text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

/// The reverse of [`base64`], with its padding.
pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut pending) = (0_u32, 0);
    for digit in digits {
        let index = ALPHABET.iter().position(|letter| *letter == digit)?;
        bits = bits << 6 | u32::try_from(index).ok()?;
        pending += 6;
        if pending >= 8 {
            pending -= 8;
            bytes.push(u8::try_from(bits >> pending & 0xFF).ok()?);
        }
    }
    (base64(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_encoded_like_s3() {
        assert_eq!(url_encode("a b/c+d%é*~"), "a+b/c%2Bd%25%C3%A9*%7E");
        assert_eq!(url_encode("\u{1}"), "%01");
    }

    #[test]
    fn a_plus_is_a_space_in_forms_only() {
        assert_eq!(decode_path("a+b%2Bc").as_deref(), Some("a+b+c"));
        assert_eq!(decode_form("a+b%2Bc").as_deref(), Some("a b+c"));
    }

    #[test]
    fn broken_escapes_are_left_alone_and_broken_utf8_is_refused() {
        assert_eq!(decode_path("100%").as_deref(), Some("100%"));
        assert_eq!(decode_path("%zz").as_deref(), Some("%zz"));
        assert_eq!(decode_path("%FF"), None);
    }

    #[test]
    fn encoding_and_decoding_agree() {
        for text in ["", "a b", "ключ/☃", "%41", "+", "\u{0}\u{7f}"] {
            assert_eq!(decode_form(&url_encode(text)).as_deref(), Some(text));
            assert_eq!(unhex(&hex(text.as_bytes())).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(unhex("abc"), None);
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(unbase64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in ["Zg", "Zh==", "Z!==", "Zg==="] {
            assert_eq!(unbase64(wrong), None, "{wrong}");
        }
    }
}
