//! Faults in the bytes of large bodies, on their way out and in.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{raw, runtime, with_checksums};
use s3bulk_test_server::{Account, Config, Fault, Object, Operation, Rule, Server, When};

const MIB: usize = 1024 * 1024;

fn server(config: Config) -> Server {
    let server = Server::start_with(config).unwrap();
    server.store().create_bucket("target");
    server
}

fn differences(left: &[u8], right: &[u8]) -> usize {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).filter(|(left, right)| left != right).count()
}

#[test]
fn a_corrupted_answer_differs_in_one_byte() {
    let server = server(Config::default());
    let bytes: Vec<u8> = (0..=255).cycle().take(3 * MIB).collect();
    server.store().put("source", "stored", Object::new(bytes.clone()));
    server.store().put("source", "hole", Object::hole(3 * MIB as u64));
    server.store().put("source", "byte", Object::new("x"));
    server.store().put("source", "none", Object::new(""));
    let get = |key: &str, range: &str| raw(&server, &format!("GET /source/{key}"), &[("range", range)], b"");
    let pattern = Object::pattern(3 * MIB as u64, 1);
    server.store().put("source", "pattern", pattern);
    let whole = get("pattern", "bytes=0-");
    server.faults().add(Rule::always(Fault::Corrupted));
    assert_eq!(differences(&get("stored", "bytes=0-").body, &bytes), 1);
    assert_eq!(differences(&get("stored", "bytes=1000-").body, &bytes[1000..]), 1);
    assert_eq!(differences(&get("hole", "bytes=0-").body, &vec![0; 3 * MIB]), 1);
    assert_eq!(differences(&get("pattern", "bytes=0-").body, &whole.body), 1);
    assert_eq!(differences(&get("byte", "bytes=0-").body, b"x"), 1);
    assert_eq!(raw(&server, "GET /source/none", &[], b"").status, 200);
    assert_eq!(get("missing", "bytes=0-").failure(), (404, "NoSuchKey".to_owned()));
    assert_eq!(raw(&server, "HEAD /source/byte", &[], b"").status, 200);
    assert!(raw(&server, "GET /source?list-type=2", &[], b"").text().contains("<Key>stored</Key>"));
}

#[test]
fn a_corrupted_request_is_noticed_by_its_digest_only() {
    let server = server(Config::default());
    server.faults().add(Rule::always(Fault::CorruptedRequest));
    let body = vec![b'a'; 2 * MIB];
    assert_eq!(raw(&server, "PUT /target/k", &[], &body).status, 200);
    let stored = server.store().get("target", "k").unwrap();
    assert_eq!(differences(&stored.body, &body), 1);
    server.faults().clear();
    let checksum = raw(&server, "PUT /target/k", &[], &body).header("x-amz-checksum-crc64nvme").unwrap().to_owned();
    server.faults().add(Rule::always(Fault::CorruptedRequest));
    let put = raw(&server, "PUT /target/k", &[("x-amz-checksum-crc64nvme", &checksum)], &body);
    assert_eq!(put.failure(), (400, "BadDigest".to_owned()));
    let framed = [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")];
    assert_eq!(raw(&server, "PUT /target/f", &framed, b"1\r\na\r\n0\r\n\r\n").status, 200);
    assert_eq!(server.store().get("target", "f").unwrap().body, "`");
    assert_eq!(raw(&server, "HEAD /target/k", &[], b"").status, 200);
}

#[test]
fn a_corrupted_request_does_not_have_its_signature() {
    let server = server(Config { accounts: vec![Account::new("one", "secret")], ..Config::default() });
    server.faults().add(Rule::on(Operation::PutObject, Fault::CorruptedRequest).when(When::Kth(1)));
    let client = with_checksums(&server, "one", "secret");
    runtime().block_on(async {
        let put = || client.put_object().bucket("target").key("k").body(vec![1; 100].into()).send();
        let refused = put().await.unwrap_err();
        assert!((400..500).contains(&refused.raw_response().unwrap().status().as_u16()), "{refused:?}");
        put().await.unwrap();
    });
}

/// Reads an answer until the connection ends, and says how much came and how it ended.
fn read_out(server: &Server, line: &str) -> (usize, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(server.endpoint().trim_start_matches("http://")).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let (mut received, mut buffer) = (0, vec![0; MIB]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (received, None),
            Ok(size) => received += size,
            Err(error) => return (received, Some(error.kind())),
        }
    }
}

#[test]
fn a_stalled_answer_stops_half_way_and_ends_with_a_reset() {
    let server = server(Config::default());
    let size = 64 * MIB;
    server.store().put("source", "k", Object::pattern(size as u64, 1));
    let silence = Duration::from_millis(300);
    server.faults().add(Rule::always(Fault::Stalled(silence)));
    let started = Instant::now();
    let (received, ended) = read_out(&server, "GET /source/k");
    assert!(started.elapsed() >= silence);
    assert!((size / 2..size / 2 + 2000).contains(&received), "{received}");
    assert_eq!(ended, Some(ErrorKind::ConnectionReset));

    let started = Instant::now();
    assert_eq!(read_out(&server, "HEAD /source/k"), (0, Some(ErrorKind::ConnectionReset)));
    assert!(started.elapsed() >= silence);
}

#[test]
fn a_truncated_answer_takes_no_memory() {
    let server = server(Config::default());
    // Far more than there is memory; the client goes away after the first bytes.
    server.store().put("source", "k", Object::hole(1 << 42));
    server.faults().add(Rule::always(Fault::Truncated));
    let mut stream = TcpStream::connect(server.endpoint().trim_start_matches("http://")).unwrap();
    write!(stream, "GET /source/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut head = vec![0; 2000];
    stream.read_exact(&mut head).unwrap();
    assert!(String::from_utf8_lossy(&head).to_lowercase().contains("content-length: 4398046511104\r\n"));
}
