//! Encryption, locks and access lists: remembered, and told as S3 tells them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{anonymous, raw, runtime};
use s3bulk_test_server::{Config, Encryption, Lock, Object, Server};

const SSE: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CUSTOMER_MD5: &str = "x-amz-server-side-encryption-customer-key-MD5";

/// 32 bytes of the letter `k`, in base64, and their MD5.
const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
const KEY_MD5: &str = "mT2HRsMGJ5IX5C+0rreZ8Q==";

fn server() -> Server {
    let server = Server::start_with(Config::default()).unwrap();
    server.store().create_bucket("target");
    server.store().put("source", "k", Object::new("body"));
    server
}

fn customer_key<'a>(prefix: &'a str) -> impl Fn(&'a str) -> (String, String) {
    move |name| {
        let value = match name {
            "algorithm" => "AES256",
            "key" => KEY,
            _ => KEY_MD5,
        };
        (format!("{prefix}server-side-encryption-customer-{name}"), value.to_owned())
    }
}

/// The three headers of a customer's key.
fn key_headers(prefix: &str) -> Vec<(String, String)> {
    ["algorithm", "key", "key-MD5"].map(customer_key(prefix)).to_vec()
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn all_writes_take_encryption_lock_and_grants() {
    let server = server();
    let headers = [
        (SSE, "aws:kms"),
        (KMS_KEY, "key-1"),
        (BUCKET_KEY, "true"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", "2030-01-02T03:04:05Z"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-grant-read", "id=\"1\", uri=\"http://x/y\""),
        ("x-amz-grant-full-control", "id=2"),
    ];
    let source = [("x-amz-copy-source", "source/k")];
    let put = raw(&server, "PUT /target/put", &headers, b"body");
    let copied = raw(&server, "PUT /target/copy", &[&headers[..], &source].concat(), b"");
    let created = raw(&server, "POST /target/parts?uploads", &headers, b"");
    let id = created.element("UploadId").unwrap();
    let part = raw(&server, &format!("PUT /target/parts?partNumber=1&uploadId={id}"), &[], b"body");
    let etag = part.header("etag").unwrap();
    let xml = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let xml = format!("<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>");
    let completed = raw(&server, &format!("POST /target/parts?uploadId={id}"), &[], xml.as_bytes());
    for answer in [put, copied, created, completed] {
        assert_eq!((answer.status, answer.header(SSE), answer.header(KMS_KEY)), (200, Some("aws:kms"), Some("key-1")));
        assert_eq!(answer.header(BUCKET_KEY), Some("true"));
    }
    let grant = |permission: &str, grantee: &str| (permission.to_owned(), grantee.to_owned());
    for key in ["put", "copy", "parts"] {
        let object = server.store().get("target", key).unwrap();
        let (algorithm, kms_key_id) = ("aws:kms".to_owned(), Some("key-1".to_owned()));
        assert_eq!(object.encryption, Some(Encryption { algorithm, kms_key_id, bucket_key: true }));
        let (mode, retain_until) = (Some("GOVERNANCE".to_owned()), Some("2030-01-02T03:04:05Z".to_owned()));
        assert_eq!(object.lock, Some(Lock { mode, retain_until, legal_hold: true }));
        let acl = [grant("READ", "id=1"), grant("READ", "uri=http://x/y"), grant("FULL_CONTROL", "id=2")];
        assert_eq!(object.acl, acl);
        assert!(!object.etag.starts_with(&Object::new("body").etag));
        for method in ["HEAD", "GET"] {
            let read = raw(&server, &format!("{method} /target/{key}"), &[], b"");
            assert_eq!((read.header(SSE), read.header(KMS_KEY)), (Some("aws:kms"), Some("key-1")));
            assert_eq!(read.header("x-amz-object-lock-mode"), Some("GOVERNANCE"));
            assert_eq!(read.header("x-amz-object-lock-retain-until-date"), Some("2030-01-02T03:04:05Z"));
            assert_eq!(read.header("x-amz-object-lock-legal-hold"), Some("ON"));
        }
    }
    // None of it comes with a copy by itself, and the entity tag is the MD5 again.
    raw(&server, "PUT /target/plain", &[("x-amz-copy-source", "target/put")], b"");
    let plain = server.store().get("target", "plain").unwrap();
    assert_eq!((&plain.encryption, &plain.lock, plain.acl.len()), (&None, &None, 0));
    assert_eq!(plain.etag, Object::new("body").etag);
    assert_eq!(raw(&server, "HEAD /target/plain", &[], b"").header(SSE), None);
    raw(&server, "PUT /target/aes", &[(SSE, "AES256"), ("x-amz-acl", "public-read")], b"body");
    let aes = server.store().get("target", "aes").unwrap();
    assert_eq!((aes.canned_acl.as_deref(), &aes.etag), (Some("public-read"), &plain.etag));
}

#[test]
fn an_object_with_a_customer_key_needs_it_for_every_read() {
    let server = server();
    let key = key_headers("x-amz-");
    let key = borrowed(&key);
    let put = raw(&server, "PUT /target/k", &key, b"body");
    assert_eq!((put.status, put.header(CUSTOMER_MD5)), (200, Some(KEY_MD5)));
    let object = server.store().get("target", "k").unwrap();
    assert_eq!(object.customer_key_md5.as_deref(), Some(KEY_MD5));
    assert_ne!(object.etag, Object::new("body").etag);
    assert_eq!(raw(&server, "GET /target/k", &[], b"").failure(), is(400, "InvalidRequest"));
    assert_eq!(raw(&server, "HEAD /target/k", &[], b"").status, 400);
    assert_eq!(raw(&server, "GET /source/k", &key, b"").failure(), is(400, "InvalidRequest"));
    assert_eq!(raw(&server, "GET /target/k", &key[..2], b"").failure(), is(400, "InvalidArgument"));
    let got = raw(&server, "GET /target/k", &key, b"");
    assert_eq!((got.text().as_str(), got.header(CUSTOMER_MD5)), ("body", Some(KEY_MD5)));
    assert_eq!(raw(&server, "HEAD /target/k", &key, b"").status, 200);

    let source = ("x-amz-copy-source", "target/k");
    assert_eq!(raw(&server, "PUT /target/c", &[source], b"").failure(), is(400, "InvalidRequest"));
    let source_key = key_headers("x-amz-copy-source-");
    let with_key = [borrowed(&source_key), vec![source]].concat();
    let copied = raw(&server, "PUT /target/c", &with_key, b"");
    assert_eq!((copied.status, copied.header(CUSTOMER_MD5)), (200, None));
    assert_eq!(server.store().get("target", "c").unwrap().etag, Object::new("body").etag);
}

#[test]
fn the_parts_of_an_upload_need_the_key_again() {
    let server = server();
    let key = key_headers("x-amz-");
    let key = borrowed(&key);
    let id = raw(&server, "POST /target/m?uploads", &key, b"").element("UploadId").unwrap();
    let part = format!("PUT /target/m?partNumber=1&uploadId={id}");
    let source = ("x-amz-copy-source", "source/k");
    for more in [vec![], vec![source]] {
        assert_eq!(raw(&server, &part, &more, b"").failure(), is(400, "InvalidRequest"));
        assert_eq!(raw(&server, &part, &[more, key.clone()].concat(), b"").status, 200);
    }
    let plain = raw(&server, "POST /target/p?uploads", &[], b"").element("UploadId").unwrap();
    let part = format!("PUT /target/p?partNumber=1&uploadId={plain}");
    assert_eq!(raw(&server, &part, &key, b"").failure(), is(400, "InvalidRequest"));
}

#[test]
fn access_lists_are_answered() {
    let server = server();
    let granted = Object { acl: vec![("READ".to_owned(), "uri=http://x/y".to_owned())], ..Object::new("") };
    server.store().put("source", "granted", granted);
    server.store().put("source", "public", Object { canned_acl: Some("public-read".to_owned()), ..Object::new("") });
    let client = anonymous(&server);
    runtime().block_on(async {
        for (key, expected) in [
            ("k", vec![("FULL_CONTROL", Some("owner"), None)]),
            ("granted", vec![("READ", None, Some("http://x/y"))]),
            (
                "public",
                vec![
                    ("FULL_CONTROL", Some("owner"), None),
                    ("READ", None, Some("http://acs.amazonaws.com/groups/global/AllUsers")),
                ],
            ),
        ] {
            let acl = client.get_object_acl().bucket("source").key(key).send().await.unwrap();
            assert_eq!(acl.owner().unwrap().id(), Some("owner"));
            let grants: Vec<_> =
                acl.grants().iter().map(|grant| (grant.permission().unwrap(), grant.grantee())).collect();
            let grants: Vec<_> = grants
                .iter()
                .map(|(permission, grantee)| (permission.as_str(), grantee.unwrap().id(), grantee.unwrap().uri()))
                .collect();
            assert_eq!(grants, expected, "{key}");
        }
    });
    assert_eq!(raw(&server, "GET /source/missing?acl", &[], b"").failure(), is(404, "NoSuchKey"));
}
