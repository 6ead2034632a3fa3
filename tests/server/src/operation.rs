//! Which S3 call a request is, told from its method, path, query and headers alone.
//!
//! Nothing is validated here: a request that makes no sense is named as well as it can be, and
//! refused further in.

use std::fmt;

use ::http::request::Parts;
use ::http::{HeaderMap, Method, Uri};

use crate::encoding;

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// The S3 calls that the server tells apart, by their S3 names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operation {
            $(#[allow(missing_docs, reason = "named as S3 names it")] $name,)*
            /// Any call not listed here.
            Other,
        }

        impl Operation {
            /// Every operation, in a fixed order.
            pub const ALL: &[Operation] = &[$(Operation::$name,)* Operation::Other];

            /// The name S3 gives to the call.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Operation::$name => stringify!($name),)*
                    Operation::Other => "Other",
                }
            }
        }
    };
}

operations! {
    ListBuckets, CreateBucket, HeadBucket, ListObjectsV2, HeadObject, GetObject, PutObject,
    DeleteObject, CopyObject, GetObjectTagging, PutObjectTagging, GetObjectAcl,
    CreateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload, ListParts,
    ListMultipartUploads, RestoreObject, GetBucketVersioning,
}

impl Operation {
    /// The place in [`Operation::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Whether a success changes what the store holds.
    pub(crate) fn writes(self) -> bool {
        !matches!(
            self,
            Operation::ListBuckets
                | Operation::HeadBucket
                | Operation::ListObjectsV2
                | Operation::HeadObject
                | Operation::GetObject
                | Operation::GetObjectTagging
                | Operation::GetObjectAcl
                | Operation::ListParts
                | Operation::ListMultipartUploads
                | Operation::GetBucketVersioning
                | Operation::Other
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    pub(crate) bucket: Option<String>,
    /// Decoded, exactly as the client means it.
    pub(crate) key: Option<String>,
}

impl Target {
    /// Names the request and decodes its path-style address.
    pub(crate) fn of(parts: &Parts) -> Target {
        let (bucket, key) = address(&parts.uri);
        let operation = named(&parts.method, &parts.uri, &parts.headers);
        Target { operation, bucket, key }
    }
}

/// The bucket and the key of a path-style address, decoded.
pub(crate) fn address(uri: &Uri) -> (Option<String>, Option<String>) {
    let (bucket, key) = halves(uri);
    let decoded = |text: &str| (!text.is_empty()).then(|| encoding::decode_path(text)).flatten();
    (decoded(bucket), decoded(key))
}

/// The name of a call.
pub(crate) fn named(method: &Method, uri: &Uri, headers: &HeaderMap) -> Operation {
    let query = QueryString::of(uri);
    match halves(uri) {
        ("", _) if method == Method::GET => Operation::ListBuckets,
        ("", _) => Operation::Other,
        (_, "") => of_bucket(method, &query),
        (_, _) => of_object(method, &query, headers),
    }
}

fn halves(uri: &Uri) -> (&str, &str) {
    let path = uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').unwrap_or((path, ""))
}

/// The query string of an address.
pub(crate) struct QueryString<'a>(&'a str);

impl<'a> QueryString<'a> {
    pub(crate) fn of(uri: &'a Uri) -> QueryString<'a> {
        QueryString(uri.query().unwrap_or_default())
    }

    /// What a name stands for, as it came; empty where nothing is said.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether it names a part of the object or bucket that has calls of its own.
    fn names_subresource(&self) -> bool {
        const SUBRESOURCES: &[&str] = &[
            "acl",
            "attributes",
            "legal-hold",
            "location",
            "policy",
            "retention",
            "select",
            "tagging",
            "torrent",
            "versioning",
        ];
        SUBRESOURCES.iter().any(|name| self.has(name))
    }
}

fn of_bucket(method: &Method, query: &QueryString<'_>) -> Operation {
    match *method {
        Method::HEAD => Operation::HeadBucket,
        Method::GET if query.has("uploads") => Operation::ListMultipartUploads,
        Method::GET if query.has("versioning") => Operation::GetBucketVersioning,
        Method::GET if query.has("list-type") => Operation::ListObjectsV2,
        Method::PUT if !query.names_subresource() => Operation::CreateBucket,
        _ => Operation::Other,
    }
}

fn of_object(method: &Method, query: &QueryString<'_>, headers: &HeaderMap) -> Operation {
    let copies = headers.contains_key("x-amz-copy-source");
    match *method {
        Method::GET if query.has("tagging") => Operation::GetObjectTagging,
        Method::GET if query.has("acl") => Operation::GetObjectAcl,
        Method::PUT if query.has("tagging") => Operation::PutObjectTagging,
        Method::POST if query.has("uploads") => Operation::CreateMultipartUpload,
        Method::POST if query.has("uploadId") => Operation::CompleteMultipartUpload,
        Method::POST if query.has("restore") => Operation::RestoreObject,
        _ if query.names_subresource() => Operation::Other,
        Method::HEAD => Operation::HeadObject,
        Method::GET if query.has("uploadId") => Operation::ListParts,
        Method::GET => Operation::GetObject,
        Method::PUT if query.has("uploadId") && copies => Operation::UploadPartCopy,
        Method::PUT if query.has("uploadId") => Operation::UploadPart,
        Method::PUT if copies => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::DELETE if query.has("uploadId") => Operation::AbortMultipartUpload,
        Method::DELETE => Operation::DeleteObject,
        _ => Operation::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, uri: &str, copy_source: Option<&str>) -> Target {
        let mut request = ::http::Request::builder().method(method).uri(uri);
        if let Some(source) = copy_source {
            request = request.header("x-amz-copy-source", source);
        }
        Target::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn every_operation_is_told_apart() {
        let cases = [
            ("GET", "/", Operation::ListBuckets),
            ("GET", "/?x-id=ListBuckets", Operation::ListBuckets),
            ("PUT", "/bucket/", Operation::CreateBucket),
            ("HEAD", "/bucket", Operation::HeadBucket),
            ("GET", "/bucket/?list-type=2&prefix=a", Operation::ListObjectsV2),
            ("GET", "/bucket?location", Operation::Other),
            ("GET", "/bucket?uploads", Operation::ListMultipartUploads),
            ("GET", "/bucket/?versioning", Operation::GetBucketVersioning),
            ("HEAD", "/bucket/k?partNumber=1", Operation::HeadObject),
            ("GET", "/bucket/k?x-id=GetObject", Operation::GetObject),
            ("GET", "/bucket/k?uploadId=1", Operation::ListParts),
            ("GET", "/bucket/k?tagging", Operation::GetObjectTagging),
            ("GET", "/bucket/k?acl", Operation::GetObjectAcl),
            ("PUT", "/bucket/k?acl", Operation::Other),
            ("GET", "/bucket/k?attributes", Operation::Other),
            ("PUT", "/bucket/k", Operation::PutObject),
            ("PUT", "/bucket/k?tagging=", Operation::PutObjectTagging),
            ("PUT", "/bucket/k?partNumber=1&uploadId=1", Operation::UploadPart),
            ("POST", "/bucket/k?uploads=", Operation::CreateMultipartUpload),
            ("POST", "/bucket/k?uploadId=1", Operation::CompleteMultipartUpload),
            ("POST", "/bucket/k?restore", Operation::RestoreObject),
            ("DELETE", "/bucket/k?uploadId=1", Operation::AbortMultipartUpload),
            ("DELETE", "/bucket/k", Operation::DeleteObject),
        ];
        for (method, uri, operation) in cases {
            assert_eq!(target(method, uri, None).operation, operation, "{method} {uri}");
        }
        assert_eq!(target("PUT", "/bucket/k", Some("b/k")).operation, Operation::CopyObject);
        let part = target("PUT", "/bucket/k?partNumber=1&uploadId=1", Some("b/k"));
        assert_eq!(part.operation, Operation::UploadPartCopy);
    }

    #[test]
    fn keys_are_decoded_once_and_never_normalised() {
        let key = |uri: &str| target("GET", uri, None).key.unwrap();
        assert_eq!(key("/bucket//a//./../b"), "/a//./../b");
        assert_eq!(key("/bucket/a+b%2Bc%2525"), "a+b+c%25");
        assert_eq!(key("/bucket/%2F"), "/");
    }

    #[test]
    fn the_index_is_the_place_in_the_list() {
        for (index, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(operation.index(), index);
        }
    }
}
