//! The `aws-chunked` framing of request bodies, taken off without checking its signatures.
//!
//! Needed where no account is configured: whoever checks signatures takes the framing off too.

use bytes::{Buf, Bytes, BytesMut};

/// The payload in a body of `SIZE[;extensions]CRLF DATA CRLF ... 0 CRLF [trailers]`.
/// `None` where the framing is broken.
pub(crate) fn decode(mut body: Bytes) -> Option<Bytes> {
    let mut payload = BytesMut::with_capacity(body.len());
    loop {
        let line_end = body.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(body.get(..line_end)?).ok()?;
        let size = line.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        body.advance(line_end + 2);
        if size == 0 {
            return Some(payload.freeze());
        }
        payload.extend_from_slice(body.get(..size)?);
        if body.get(size..size + 2)? != b"\r\n" {
            return None;
        }
        body.advance(size + 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_comes_out() {
        let body = "5;chunk-signature=abc\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n";
        assert_eq!(decode(Bytes::from(body)).as_deref(), Some(b"hello!".as_slice()));
    }

    #[test]
    fn a_cut_body_is_refused() {
        assert_eq!(decode(Bytes::from("5\r\nhel")), None);
        assert_eq!(decode(Bytes::from("5\r\nhello\r\n")), None);
    }
}
