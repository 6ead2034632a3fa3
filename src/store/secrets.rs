//! Keeps out of messages what some servers and proxies repeat of a request: its signature, the token
//! and the keys that went with it.

/// What stands before a secret, in lower case.
const MARKS: [&str; 5] = ["aws4-hmac-sha256", "authorization", "security-token", "customer-key", "signature"];

/// What stands between the name of a header, a parameter or a JSON field, and its value.
const BEFORE_VALUE: [char; 5] = [':', '=', '"', '\'', '%'];

/// The text up to the first secret.
pub(super) fn without_secrets(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let marks = MARKS.iter().flat_map(|mark| {
        let found = lower.match_indices(mark);
        found.filter(|(at, mark)| {
            let rest = &lower[at + mark.len()..];
            mark.starts_with("aws4-hmac") || rest.starts_with(BEFORE_VALUE) || rest.starts_with("-md5")
        })
    });
    match marks.map(|(at, _)| at).min() {
        Some(at) => format!("{}... (the rest repeats what was signed)", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_signature_is_cut() {
        for text in [
            "sent: Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=secret",
            "sent: X-Amz-Security-Token=secret",
            "sent: {\"x-amz-server-side-encryption-customer-key\":\"secret\"}",
            "sent: https://h/k?X-Amz-Signature=secret",
            "sent: AWS4-HMAC-SHA256 secret",
        ] {
            let cut = without_secrets(text);
            assert!(cut.starts_with("sent: ") && !cut.contains("secret"), "{cut}");
        }
    }

    #[test]
    fn what_s3_says_of_them_stays() {
        for text in [
            "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
            "The security token included in the request is expired",
            "The request signature we calculated does not match the signature you provided.",
            "größe",
        ] {
            assert_eq!(without_secrets(text), text);
        }
    }
}
