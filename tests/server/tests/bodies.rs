//! Bodies that take no memory: kept only as a size and a checksum, or made while they are sent.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{Read, Write};

use common::{anonymous, raw, runtime};
use s3bulk_test_server::{Config, Object, Segment, Server};

const CRC: &str = "x-amz-checksum-crc64nvme";
const MIB: usize = 1024 * 1024;

fn server(config: Config) -> Server {
    let server = Server::start_with(config).unwrap();
    server.store().create_bucket("target");
    server
}

#[test]
fn large_bodies_are_not_kept() {
    let server = server(Config { keep_bodies: 1000, ..Config::default() });
    let (small, large) = (vec![1; 1000], vec![2; 100_000]);
    let kept = raw(&server, "PUT /target/small", &[], &small);
    assert_eq!(kept.header("etag").unwrap().trim_matches('"'), Object::new(small).etag);
    let put = raw(&server, "PUT /target/large", &[], &large);
    assert_eq!(put.header(CRC).is_some(), put.status == 200);
    let object = server.store().get("target", "large").unwrap();
    let whole = Object::new(large.clone());
    assert_eq!((object.size(), object.checksum, object.body.len()), (100_000, whole.checksum, 0));
    assert!(matches!(object.rest[..], [Segment::Discarded { .. }]));
    assert!(object.has_bytes_of(&whole) && object.etag != whole.etag);

    let head = raw(&server, "HEAD /target/large", &[("x-amz-checksum-mode", "ENABLED")], b"");
    assert_eq!((head.header("content-length"), head.header(CRC)), (Some("100000"), put.header(CRC)));
    assert_eq!(raw(&server, "GET /target/large", &[], b"").failure(), (501, "NotImplemented".to_owned()));
    let copied = raw(&server, "PUT /target/copy", &[("x-amz-copy-source", "target/large")], b"");
    assert_eq!(copied.element("ChecksumCRC64NVME").as_deref(), put.header(CRC));
    for (digest, status) in [(CRC, 400), ("content-md5", 400)] {
        assert_eq!(raw(&server, "PUT /target/large", &[(digest, "AAAAAAAAAAA=")], &large).status, status);
    }
}

#[test]
fn the_parts_of_an_upload_need_not_be_kept() {
    let server = server(Config { keep_bodies: 100, ..Config::default() });
    let id = raw(&server, "POST /target/m?uploads", &[], b"").element("UploadId").unwrap();
    let mut xml = String::new();
    for (number, body) in [(1, vec![1; 5 * MIB]), (2, vec![2; 50]), (3, vec![])] {
        let part = raw(&server, &format!("PUT /target/m?partNumber={number}&uploadId={id}"), &[], &body);
        let etag = part.header("etag").unwrap();
        if number < 3 {
            xml.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
        }
    }
    let xml = format!("<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>");
    assert_eq!(raw(&server, &format!("POST /target/m?uploadId={id}"), &[], xml.as_bytes()).status, 200);
    let object = server.store().get("target", "m").unwrap();
    assert!(object.has_bytes_of(&Object::new([vec![1; 5 * MIB], vec![2; 50]].concat())));
    assert_eq!(object.part_sizes, [5 * MIB as u64, 50]);
}

#[test]
fn a_body_takes_no_memory_while_it_comes() {
    let server = server(Config { keep_bodies: 0, ..Config::default() });
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let size = 256 * MIB;
    write!(stream, "PUT /target/k HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").unwrap();
    write!(stream, "Content-Length: {size}\r\n\r\n").unwrap();
    for _ in 0..256 {
        stream.write_all(&vec![0; MIB]).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.store().get("target", "k").unwrap().checksum, Object::hole(size as u64).checksum);
    // Where the system tells it, the most memory that this process ever had, in KiB.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some((_, peak)) = status.split_once("VmHWM:") {
        let peak: usize = peak.split_whitespace().next().unwrap().parse().unwrap();
        assert!(peak < 200 * 1024, "{peak} KiB");
    }
}

#[test]
fn an_error_does_not_break_the_connection_of_a_large_body() {
    let server = server(Config::default());
    let line = "PUT /target/k?partNumber=1&uploadId=none";
    assert_eq!(raw(&server, line, &[], &vec![0; 8 * MIB]).failure(), (404, "NoSuchUpload".to_owned()));
    assert_eq!(raw(&server, "PUT /missing/k", &[], &vec![0; 8 * MIB]).failure(), (404, "NoSuchBucket".to_owned()));
    let line = "PUT /target/k?partNumber=0&uploadId=none";
    assert_eq!(raw(&server, line, &[], &vec![0; 8 * MIB]).failure(), (400, "InvalidArgument".to_owned()));
}

#[test]
fn patterns_are_read_in_ranges_and_copied_in_parts() {
    let server = server(Config::default());
    let (size, half) = (6 * MIB as u64 + 12_345, 5 * MIB as u64 + 3);
    let pattern = Object::pattern(size, 42);
    server.store().put("source", "p", pattern.clone());
    let client = anonymous(&server);
    runtime().block_on(async {
        let got = client.get_object().bucket("source").key("p").send().await.unwrap();
        let whole = Object::new(got.body.collect().await.unwrap().into_bytes());
        assert_eq!((whole.size(), whole.checksum), (size, pattern.checksum));
        for (first, last) in [(0, 0), (7, 9), (MIB as u64 - 3, MIB as u64 + 13), (half, size - 1)] {
            let get = client.get_object().bucket("source").key("p").range(format!("bytes={first}-{last}"));
            let got = get.send().await.unwrap().body.collect().await.unwrap().to_vec();
            let at = |at: u64| usize::try_from(at).unwrap();
            assert_eq!(got, whole.body[at(first)..=at(last)]);
        }
        client.copy_object().bucket("target").key("c").copy_source("source/p").send().await.unwrap();
        let id = raw(&server, "POST /target/m?uploads", &[], b"").element("UploadId").unwrap();
        let mut xml = String::new();
        for (number, range) in [(1, (0, half - 1)), (2, (half, size - 1))] {
            let copy = client.upload_part_copy().bucket("target").key("m").upload_id(&id).copy_source("source/p");
            let copy = copy.part_number(number).copy_source_range(format!("bytes={}-{}", range.0, range.1));
            let part = copy.send().await.unwrap().copy_part_result.unwrap();
            let etag = part.e_tag().unwrap();
            xml.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
        }
        let xml = format!("<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>");
        assert_eq!(raw(&server, &format!("POST /target/m?uploadId={id}"), &[], xml.as_bytes()).status, 200);
    });
    for key in ["c", "m"] {
        let copy = server.store().get("target", key).unwrap();
        assert_eq!((copy.checksum, &copy.rest), (pattern.checksum, &pattern.rest), "{key}");
    }
}

#[test]
fn bytes_may_follow_a_hole() {
    let server = server(Config::default());
    server.store().put("source", "hole", Object::hole(5 * MIB as u64));
    let id = raw(&server, "POST /target/m?uploads", &[], b"").element("UploadId").unwrap();
    let part = |number: u8, headers: &[(&str, &str)], body: &[u8]| {
        raw(&server, &format!("PUT /target/m?partNumber={number}&uploadId={id}"), headers, body)
    };
    let first = part(1, &[("x-amz-copy-source", "source/hole")], b"").element("ETag").unwrap();
    let second = part(2, &[], b"tail").header("etag").unwrap().to_owned();
    let listed = |number: u8, etag: &str| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    let parts = listed(1, &first.replace("&quot;", "\"")) + &listed(2, &second);
    let xml = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    assert_eq!(raw(&server, &format!("POST /target/m?uploadId={id}"), &[], xml.as_bytes()).status, 200);
    let tail = raw(&server, "GET /target/m", &[("range", "bytes=-6")], b"");
    assert_eq!(tail.body, b"\0\0tail");
}
