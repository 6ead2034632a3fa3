//! Which way the bytes of a copy go. Pure.

use crate::model::Made;

/// What the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// Server-side where the store can, else through this machine.
    #[default]
    Auto,
    /// The store copies by itself.
    Server,
    /// Through this machine.
    Client,
}

/// Which way it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// CopyObject: the store copies by itself.
    Server,
    /// GetObject and PutObject: through this machine.
    Client,
}

impl Way {
    /// How an object is copied that way, in parts or in one piece.
    pub(super) fn made(self, in_parts: bool) -> Made {
        match (self, in_parts) {
            (Self::Server, false) => Made::CopyObject,
            (Self::Server, true) => Made::UploadPartCopy,
            (Self::Client, false) => Made::PutObject,
            (Self::Client, true) => Made::UploadPart,
        }
    }
}

/// What the choice depends on, of one end.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The endpoint; `None` for AWS.
    pub endpoint: Option<&'a str>,
    /// The bucket's region.
    pub region: &'a str,
}

/// Chooses the way: one endpoint, or two AWS regions of one partition, can copy by themselves.
pub fn choose(via: Via, source: Side<'_>, dest: Side<'_>) -> Way {
    match via {
        Via::Server => Way::Server,
        Via::Client => Way::Client,
        Via::Auto if same_store(source, dest) => Way::Server,
        Via::Auto => Way::Client,
    }
}

/// Whether equal bucket names at both ends would mean the same bucket.
pub fn same_store(source: Side<'_>, dest: Side<'_>) -> bool {
    match (source.endpoint, dest.endpoint) {
        (None, None) => partition(source.region) == partition(dest.region),
        (Some(source), Some(dest)) => source.eq_ignore_ascii_case(dest),
        _ => false,
    }
}

/// The AWS partition of a region: the partitions share no buckets and no credentials.
/// *Source:* `partitions.json` of the AWS SDKs.
pub fn partition(region: &str) -> &'static str {
    const BY_PREFIX: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-iso-", "aws-iso"),
        ("eusc-", "aws-eusc"),
    ];
    BY_PREFIX.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side<'a>(endpoint: Option<&'a str>, region: &'a str) -> Side<'a> {
        Side { endpoint, region }
    }

    #[test]
    fn the_store_copies_where_it_can() {
        let auto = |a, b| choose(Via::Auto, a, b);
        assert_eq!(auto(side(None, "us-east-1"), side(None, "eu-west-1")), Way::Server);
        assert_eq!(auto(side(None, "us-east-1"), side(None, "cn-north-1")), Way::Client);
        assert_eq!(auto(side(Some("http://x"), "a"), side(Some("HTTP://X"), "b")), Way::Server);
        assert_eq!(auto(side(Some("http://x"), "a"), side(Some("http://y"), "a")), Way::Client);
        assert_eq!(auto(side(Some("http://x"), "a"), side(None, "a")), Way::Client);
    }

    #[test]
    fn the_user_may_say_which_way() {
        let (x, y) = (side(Some("http://x"), "a"), side(Some("http://y"), "a"));
        assert_eq!(choose(Via::Server, x, y), Way::Server);
        assert_eq!(choose(Via::Client, x, x), Way::Client);
    }
}
