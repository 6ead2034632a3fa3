//! Every kind of fault, as a client meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::copy_object::{CopyObjectError, CopyObjectOutput};
use common::{anonymous, runtime};
use s3bulk_test_server::{Config, Fault, Object, Operation, Rule, Server, When};

type Copied = Result<CopyObjectOutput, SdkError<CopyObjectError>>;

async fn copy(client: &Client) -> Copied {
    client.copy_object().bucket("target").key("k").copy_source("source/k").send().await
}

fn seeded() -> Server {
    let server = Server::start_with(Config { record_keys: true, ..Config::default() }).unwrap();
    server.store().put("source", "k", Object::new("body"));
    server.store().create_bucket("target");
    server
}

/// One copy that meets the fault, and whether the store did it.
fn copy_with(fault: Fault) -> (Copied, bool) {
    let server = seeded();
    server.faults().add(Rule::on(Operation::CopyObject, fault));
    let client = anonymous(&server);
    let copied = runtime().block_on(copy(&client));
    assert_eq!(server.requests(Operation::CopyObject), 1);
    assert_eq!(server.faults().injected(), 1);
    let done = server.store().get("target", "k").is_some();
    assert_eq!(server.completed(Operation::CopyObject), u64::from(done));
    assert_eq!(server.log().len(), usize::from(done));
    (copied, done)
}

fn status_and_code(copied: Copied) -> (u16, String) {
    let error = copied.unwrap_err();
    let status = error.raw_response().unwrap().status().as_u16();
    assert!(error.raw_response().unwrap().headers().get("x-amz-request-id").is_some());
    (status, error.code().unwrap_or_default().to_owned())
}

#[test]
fn errors_have_their_status_and_code_and_nothing_is_done() {
    let cases = [
        (Fault::SlowDown, 503, "SlowDown"),
        (Fault::TooManyRequests, 429, "TooManyRequests"),
        (Fault::InternalError, 500, "InternalError"),
        (Fault::ServiceUnavailable, 503, "ServiceUnavailable"),
        (Fault::Code { status: 403, code: "AccessDenied".to_owned() }, 403, "AccessDenied"),
        (Fault::ErrorIn200, 200, "InternalError"),
    ];
    for (fault, status, code) in cases {
        let (copied, done) = copy_with(fault.clone());
        assert_eq!(status_and_code(copied), (status, code.to_owned()), "{fault:?}");
        assert!(!done, "{fault:?}");
    }
}

#[test]
fn an_empty_200_has_no_result() {
    let (copied, done) = copy_with(Fault::Empty200);
    assert!(copied.unwrap().copy_object_result().is_none());
    assert!(!done);
}

#[test]
fn a_reset_before_does_nothing_and_a_reset_after_does_the_work() {
    for (fault, expected) in [(Fault::ResetBefore, false), (Fault::ResetAfter, true)] {
        let (copied, done) = copy_with(fault);
        assert!(matches!(copied, Err(SdkError::DispatchFailure(_))));
        assert_eq!(done, expected);
    }
}

#[test]
fn damaged_answers_cannot_be_read_but_the_work_is_done() {
    for fault in [Fault::MalformedXml, Fault::Truncated] {
        let (copied, done) = copy_with(fault.clone());
        assert!(copied.is_err(), "{fault:?}");
        assert!(done, "{fault:?}");
    }
}

#[test]
fn a_truncated_get_delivers_half_of_the_body() {
    let server = seeded();
    let size = 1_000_000;
    server.store().put("source", "large", Object::new(vec![7; size]));
    server.faults().add(Rule::on(Operation::GetObject, Fault::Truncated));
    let client = anonymous(&server);
    runtime().block_on(async {
        let mut got = client.get_object().bucket("source").key("large").send().await.unwrap();
        assert_eq!(got.content_length(), Some(size as i64));
        let mut received = 0;
        let ended = loop {
            match got.body.try_next().await {
                Ok(Some(bytes)) => received += bytes.len(),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(ended.is_err());
        assert!(received <= size / 2 && received > 0, "{received}");
    });
}

#[test]
fn a_hang_ends_without_an_answer_and_latency_with_one() {
    let wait = Duration::from_millis(150);
    for (fault, answered) in [(Fault::Hang(wait), false), (Fault::Latency(wait), true)] {
        let started = Instant::now();
        let (copied, done) = copy_with(fault);
        assert!(started.elapsed() >= wait);
        assert_eq!((copied.is_ok(), done), (answered, answered));
    }
}

#[test]
fn faults_behave_alike_for_every_operation() {
    let server = seeded();
    let client = anonymous(&server);
    let check = |fault: Fault| {
        server.faults().clear();
        server.faults().add(Rule::always(fault.clone()));
        runtime().block_on(async {
            let body = vec![1; 3_000_000].into();
            assert!(client.list_buckets().send().await.is_err(), "{fault:?}");
            assert!(client.head_bucket().bucket("source").send().await.is_err(), "{fault:?}");
            assert!(client.list_objects_v2().bucket("source").send().await.is_err(), "{fault:?}");
            assert!(client.head_object().bucket("source").key("k").send().await.is_err(), "{fault:?}");
            assert!(client.get_object().bucket("source").key("k").send().await.is_err(), "{fault:?}");
            assert!(client.put_object().bucket("target").key("p").body(body).send().await.is_err(), "{fault:?}");
            assert!(client.create_multipart_upload().bucket("target").key("p").send().await.is_err(), "{fault:?}");
        });
    };
    for fault in [Fault::SlowDown, Fault::InternalError, Fault::ResetBefore] {
        check(fault);
        assert!(server.store().keys("target").is_empty());
        assert!(server.store().open_uploads("target").is_empty());
    }
    check(Fault::ResetAfter);
    assert_eq!(server.store().keys("target"), ["p"]);
    assert_eq!(server.store().open_uploads("target").len(), 1);
    assert_eq!(server.requests(Operation::HeadObject), 4);
    assert_eq!(server.completed(Operation::HeadObject), 1);
}

#[test]
fn a_rule_for_a_key_matches_the_decoded_key() {
    let server = seeded();
    server.store().put("source", "a b+c/é", Object::new("x"));
    server.faults().add(Rule::always(Fault::SlowDown).key("a b+c/é").when(When::First(1)));
    let client = anonymous(&server);
    runtime().block_on(async {
        let head = client.head_object().bucket("source").key("a b+c/é");
        assert!(client.head_object().bucket("source").key("k").send().await.is_ok());
        assert!(head.clone().send().await.is_err());
        assert!(head.send().await.is_ok());
    });
}

#[test]
fn the_log_says_how_often_a_key_was_written() {
    let server = seeded();
    let client = anonymous(&server);
    runtime().block_on(async {
        copy(&client).await.unwrap();
        server.faults().add(Rule::on(Operation::CopyObject, Fault::SlowDown).when(When::Kth(1)));
        copy(&client).await.unwrap_err();
        copy(&client).await.unwrap();
    });
    let write = (Operation::CopyObject, "target/k".to_owned());
    assert_eq!(server.log(), [write.clone(), write]);
}

#[test]
fn a_reset_is_a_reset_on_the_wire() {
    use std::io::{Read, Write};
    let server = seeded();
    server.faults().add(Rule::always(Fault::ResetBefore));
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /source/k HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_dropped_server_is_gone() {
    let server = seeded();
    let endpoint = server.endpoint();
    let client = anonymous(&server);
    runtime().block_on(async { copy(&client).await.unwrap() });
    drop(server);
    assert!(std::net::TcpStream::connect(endpoint.trim_start_matches("http://")).is_err());
}

#[test]
fn a_head_has_no_body_that_could_be_wrong() {
    for fault in [Fault::ErrorIn200, Fault::Empty200, Fault::MalformedXml] {
        let server = seeded();
        server.faults().add(Rule::on(Operation::HeadObject, fault));
        let client = anonymous(&server);
        let head = runtime().block_on(client.head_object().bucket("source").key("k").send());
        assert_eq!(head.unwrap_err().raw_response().unwrap().status().as_u16(), 500);
    }
}
