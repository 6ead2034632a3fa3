//! CRC-64/NVME and MD5, on their way in and out.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use common::{anonymous, raw, runtime, with_checksums};
use s3bulk_test_server::{Account, Checksums, Config, Object, Server};

const CRC: &str = "x-amz-checksum-crc64nvme";
const BODY: &[u8] = b"123456789";
const RIGHT: &str = "rosUhgp5mIg=";
const WRONG: &str = "rosUhgp5mIh=";
const MIB: usize = 1024 * 1024;

fn server(config: Config) -> Server {
    let server = Server::start_with(config).unwrap();
    server.store().create_bucket("target");
    server.store().put("source", "k", Object::new(BODY));
    server
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn upload(server: &Server, key: &str) -> String {
    raw(server, &format!("POST /target/{key}?uploads"), &[], b"").element("UploadId").unwrap()
}

#[test]
fn bodies_are_checked_and_answers_carry_the_checksum() {
    let server = server(Config::default());
    let put = raw(&server, "PUT /target/k", &[(CRC, RIGHT)], BODY);
    assert_eq!((put.status, put.header(CRC)), (200, Some(RIGHT)));
    assert_eq!(put.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(raw(&server, "PUT /target/w", &[(CRC, WRONG)], BODY).failure(), is(400, "BadDigest"));
    assert_eq!(raw(&server, "PUT /target/n", &[], BODY).header(CRC), Some(RIGHT));
    assert_eq!(server.store().keys("target"), ["k", "n"]);

    let id = upload(&server, "m");
    let part = format!("PUT /target/m?partNumber=1&uploadId={id}");
    assert_eq!(raw(&server, &part, &[(CRC, WRONG)], BODY).failure(), is(400, "BadDigest"));
    let wrong_md5 = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    assert_eq!(raw(&server, &part, &wrong_md5, BODY).failure(), is(400, "BadDigest"));
    let right_md5 = [("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")];
    assert_eq!(raw(&server, &part, &right_md5, BODY).header(CRC), Some(RIGHT));
    let copied = raw(&server, &part, &[("x-amz-copy-source", "source/k")], b"");
    assert_eq!(copied.element("ChecksumCRC64NVME").as_deref(), Some(RIGHT));
    let listed = raw(&server, &format!("GET /target/m?uploadId={id}"), &[], b"");
    assert_eq!(listed.element("ChecksumCRC64NVME").as_deref(), Some(RIGHT));
    let copied = raw(&server, "PUT /target/c", &[("x-amz-copy-source", "source/k")], b"");
    assert_eq!(copied.element("ChecksumCRC64NVME").as_deref(), Some(RIGHT));
}

#[test]
fn reads_tell_the_checksum_of_the_whole_object_to_those_who_ask() {
    let server = server(Config::default());
    let enabled = ("x-amz-checksum-mode", "ENABLED");
    for method in ["HEAD", "GET"] {
        let read = |query: &str, headers: &[(&str, &str)]| {
            let answer = raw(&server, &format!("{method} /source/k{query}"), headers, b"");
            assert!(answer.status < 300);
            assert_eq!(answer.header("x-amz-checksum-type").is_some(), answer.header(CRC).is_some());
            answer.header(CRC).map(str::to_owned)
        };
        assert_eq!(read("", &[enabled]).as_deref(), Some(RIGHT));
        assert_eq!(read("", &[]), None);
        assert_eq!(read("", &[enabled, ("range", "bytes=0-8")]), None);
        assert_eq!(read("?partNumber=1", &[enabled]), None);
    }
    server.store().put("source", "k", Object::new(BODY).without_checksum());
    assert_eq!(raw(&server, "HEAD /source/k", &[enabled], b"").header(CRC), None);
    // A copy has one even if its source has none.
    raw(&server, "PUT /target/c", &[("x-amz-copy-source", "source/k")], b"");
    assert_eq!(server.store().get("target", "c").unwrap().checksum, Object::new(BODY).checksum);
}

#[test]
fn the_parts_are_checked_together() {
    let server = server(Config::default());
    let (first, second) = (vec![1; 5 * MIB], vec![2; 3]);
    let whole = Object::new([first.as_slice(), second.as_slice()].concat());
    raw(&server, "PUT /target/whole", &[], &whole.body);
    let head = raw(&server, "HEAD /target/whole", &[("x-amz-checksum-mode", "ENABLED")], b"");
    let right = head.header(CRC).unwrap();
    let id = upload(&server, "m");
    let parts: Vec<(String, String)> = [(1, &first), (2, &second)]
        .iter()
        .map(|(number, body)| {
            let part = raw(&server, &format!("PUT /target/m?partNumber={number}&uploadId={id}"), &[], body);
            (part.header("etag").unwrap().to_owned(), part.header(CRC).unwrap().to_owned())
        })
        .collect();
    let complete = |headers: &[(&str, &str)], second_checksum: &str| {
        let part = |number: u8, etag: &str, checksum: &str| {
            let checksum = format!("<ChecksumCRC64NVME>{checksum}</ChecksumCRC64NVME>");
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>")
        };
        let parts = part(1, &parts[0].0, &parts[0].1) + &part(2, &parts[1].0, second_checksum);
        let xml = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        raw(&server, &format!("POST /target/m?uploadId={id}"), headers, xml.as_bytes())
    };
    let full = ("x-amz-checksum-type", "FULL_OBJECT");
    assert_eq!(complete(&[], WRONG).failure(), is(400, "InvalidPart"));
    assert_eq!(complete(&[(CRC, WRONG), full], &parts[1].1).failure(), is(400, "BadDigest"));
    let composite = ("x-amz-checksum-type", "COMPOSITE");
    assert_eq!(complete(&[(CRC, right), composite], &parts[1].1).failure(), is(400, "InvalidRequest"));
    let done = complete(&[(CRC, right), full], &parts[1].1);
    assert_eq!((done.status, done.element("ChecksumCRC64NVME").as_deref()), (200, Some(right)));
    assert_eq!(server.store().get("target", "m").unwrap().checksum, whole.checksum);
}

#[test]
fn the_checksums_of_the_sdk_are_understood() {
    let body = |bytes: &'static [u8]| {
        let frames = futures::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(bytes.into()))]);
        ByteStream::from_body_1_x(http_body_util::StreamBody::new(frames))
    };
    for accounts in [vec![], vec![Account::new("one", "secret")]] {
        let server = server(Config { accounts, requires_digest: true, ..Config::default() });
        let client = with_checksums(&server, "one", "secret");
        runtime().block_on(async {
            let put = || {
                let put = client.put_object().bucket("target").key("k");
                put.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            };
            put().body(BODY.to_vec().into()).send().await.unwrap();
            // Streamed, the checksum is behind the body.
            put().body(body(BODY)).content_length(9).send().await.unwrap();
            let wrong = put().body(BODY.to_vec().into()).checksum_crc64_nvme(WRONG).send().await;
            assert_eq!(wrong.unwrap_err().raw_response().unwrap().status().as_u16(), 400);
            let got = client.get_object().bucket("target").key("k").checksum_mode(ChecksumMode::Enabled);
            let got = got.send().await.unwrap();
            assert_eq!(got.checksum_crc64_nvme(), Some(RIGHT));
            assert_eq!(got.checksum_type(), Some(&ChecksumType::FullObject));
            assert_eq!(got.body.collect().await.unwrap().to_vec(), BODY);
        });
    }
}

#[test]
fn a_wrong_checksum_behind_the_body_is_noticed() {
    let server = server(Config::default());
    let put = |checksum: &str| {
        let headers = [
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-trailer", CRC),
        ];
        let body = format!("9\r\n123456789\r\n0\r\n{CRC}:{checksum}\r\n\r\n");
        raw(&server, "PUT /target/k", &headers, body.as_bytes())
    };
    assert_eq!(put(RIGHT).status, 200);
    assert_eq!(put(WRONG).failure(), is(400, "BadDigest"));
    let cut = [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")];
    assert_eq!(raw(&server, "PUT /target/k", &cut, b"9\r\n1234").failure(), is(400, "IncompleteBody"));
}

#[test]
fn imitators_ignore_checksums_or_refuse_them() {
    let ignoring = server(Config { checksums: Checksums::Ignored, ..Config::default() });
    let put = raw(&ignoring, "PUT /target/k", &[(CRC, WRONG)], BODY);
    assert_eq!((put.status, put.header(CRC), put.header("x-amz-checksum-type")), (200, None, None));
    assert_eq!(raw(&ignoring, "HEAD /target/k", &[("x-amz-checksum-mode", "ENABLED")], b"").header(CRC), None);

    let refusing = server(Config { checksums: Checksums::Refused, ..Config::default() });
    for header in [CRC, "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-type"] {
        assert_eq!(raw(&refusing, "PUT /target/k", &[(header, RIGHT)], BODY).failure(), is(501, "NotImplemented"));
    }
    let create = raw(&refusing, "POST /target/k?uploads", &[("x-amz-checksum-algorithm", "CRC64NVME")], b"");
    assert_eq!(create.failure(), is(501, "NotImplemented"));
    assert_eq!(raw(&refusing, "PUT /target/k", &[], BODY).status, 200);
    runtime().block_on(async {
        let put = anonymous(&refusing).put_object().bucket("target").key("k").body(BODY.to_vec().into());
        put.send().await.unwrap();
    });
}

#[test]
fn some_buckets_insist_on_a_digest() {
    let server = server(Config { requires_digest: true, ..Config::default() });
    let id = upload(&server, "m");
    for line in ["PUT /target/k".to_owned(), format!("PUT /target/m?partNumber=1&uploadId={id}")] {
        assert_eq!(raw(&server, &line, &[], BODY).failure(), is(400, "InvalidRequest"));
        for digest in [("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="), (CRC, RIGHT), ("x-amz-checksum-crc32", "y/Q5Jg==")]
        {
            assert_eq!(raw(&server, &line, &[digest], BODY).status, 200);
        }
    }
    assert_eq!(raw(&server, "PUT /target/c", &[("x-amz-copy-source", "source/k")], b"").status, 200);
}
