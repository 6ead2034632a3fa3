//! Archived objects: how restores go on, what copies make of them, and whether versions are kept.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::{Answered, raw};
use s3bulk_test_server::{Config, Encryption, Lock, Object, Restore, Server, Versioning};

const ASK: (&str, &str) = ("x-amz-optional-object-attributes", "RestoreStatus");

fn server(config: Config) -> Server {
    let server = Server::start_with(config).unwrap();
    server.store().put("bucket", "cold", Object::new("x").storage_class("GLACIER"));
    server.store().put("bucket", "deep", Object::new("x").storage_class("DEEP_ARCHIVE"));
    server.store().put("bucket", "warm", Object::new("x"));
    server
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn restore(server: &Server, key: &str, days: u32, tier: &str) -> Answered {
    let tier = format!("<GlacierJobParameters><Tier>{tier}</Tier></GlacierJobParameters>");
    let body = format!("<RestoreRequest><Days>{days}</Days>{tier}</RestoreRequest>");
    raw(server, &format!("POST /bucket/{key}?restore"), &[], body.as_bytes())
}

fn eventually(what: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn restores_finish_and_expire_by_themselves() {
    let server = server(Config {
        restore_after: Some(Duration::from_millis(400)),
        restored_for: Some(Duration::from_millis(600)),
        ..Config::default()
    });
    assert_eq!(restore(&server, "cold", 1, "Bulk").status, 202);
    assert_eq!(raw(&server, "GET /bucket/cold", &[], b"").failure(), is(403, "InvalidObjectState"));
    let listed = || raw(&server, "GET /bucket/?list-type=2&prefix=cold", &[ASK], b"").element("IsRestoreInProgress");
    assert_eq!(listed().as_deref(), Some("true"));
    eventually(|| raw(&server, "GET /bucket/cold", &[], b"").status == 200);
    assert_eq!(listed().as_deref(), Some("false"));
    assert_eq!(restore(&server, "cold", 1, "Bulk").status, 200);
    let head = raw(&server, "HEAD /bucket/cold", &[], b"");
    assert!(head.header("x-amz-restore").unwrap().starts_with("ongoing-request=\"false\", expiry-date="));
    eventually(|| raw(&server, "GET /bucket/cold", &[], b"").failure() == is(403, "InvalidObjectState"));
    assert_eq!((listed(), raw(&server, "HEAD /bucket/cold", &[], b"").header("x-amz-restore")), (None, None));
    assert_eq!(server.store().get("bucket", "cold").unwrap().restore, None);
    assert_eq!(restore(&server, "cold", 1, "Bulk").status, 202);
}

#[test]
fn a_restore_in_progress_can_be_made_faster() {
    let server = server(Config::default());
    assert_eq!(restore(&server, "cold", 1, "Bulk").status, 202);
    assert_eq!(restore(&server, "cold", 1, "Bulk").failure(), is(409, "RestoreAlreadyInProgress"));
    assert_eq!(restore(&server, "cold", 9, "Expedited").status, 202);
    assert_eq!(restore(&server, "cold", 1, "Standard").failure(), is(409, "RestoreAlreadyInProgress"));
    let object = server.store().get("bucket", "cold").unwrap();
    assert_eq!(object.restore, Some(Restore::InProgress { days: Some(1) }));
    assert_eq!(object.restore_request.as_ref().unwrap().tier, "Expedited");
}

#[test]
fn expedited_restores_want_capacity_and_a_class_that_has_them() {
    let server = server(Config { expedited: false, ..Config::default() });
    let failure = restore(&server, "cold", 1, "Expedited").failure();
    assert_eq!(failure, is(503, "GlacierExpeditedRetrievalNotAvailable"));
    assert_eq!(restore(&server, "deep", 1, "Expedited").failure(), is(400, "InvalidRequest"));
    assert_eq!(restore(&server, "cold", 1, "Quick").failure(), is(400, "MalformedXML"));
    assert_eq!(restore(&server, "deep", 1, "Standard").status, 202);
}

#[test]
fn a_store_may_not_know_restore_status() {
    let line = "GET /bucket/?list-type=2&prefix=cold";
    let silent = server(Config { tells_restores: false, ..Config::default() });
    restore(&silent, "cold", 1, "Bulk");
    let page = raw(&silent, line, &[ASK], b"");
    assert_eq!((page.status, page.element("RestoreStatus")), (200, None));
    let refuses = server(Config { refuses_restore_status: true, ..Config::default() });
    assert_eq!(raw(&refuses, line, &[ASK], b"").failure(), is(501, "NotImplemented"));
    assert_eq!(raw(&refuses, line, &[], b"").status, 200);
}

#[test]
fn an_object_changes_its_class_in_place() {
    let server = server(Config::default());
    let lock = Lock { legal_hold: true, ..Lock::default() };
    let object = Object::new("x").content_type("a/b").metadata("m", "1").tag("t", "2");
    server.store().put("bucket", "k", Object { lock: Some(lock.clone()), ..object });
    let source = ("x-amz-copy-source", "bucket/k");
    let refused = raw(&server, "PUT /bucket/k", &[source, ("x-amz-tagging-directive", "REPLACE")], b"");
    assert_eq!(refused.failure(), is(400, "InvalidRequest"));
    let class = ("x-amz-storage-class", "DEEP_ARCHIVE");
    let other = raw(&server, "PUT /bucket/k", &[source, class, ("x-amz-copy-source-if-match", "\"0\"")], b"");
    assert_eq!(other.failure(), is(412, "PreconditionFailed"));
    assert_eq!(server.store().get("bucket", "k").unwrap().lock, Some(lock));
    let etag = format!("\"{}\"", server.store().get("bucket", "k").unwrap().etag);
    let moved = raw(&server, "PUT /bucket/k", &[source, class, ("x-amz-copy-source-if-match", &etag)], b"");
    assert_eq!(moved.status, 200);
    let object = server.store().get("bucket", "k").unwrap();
    assert_eq!((object.storage_class.as_str(), object.lock.as_ref()), ("DEEP_ARCHIVE", None));
    assert_eq!((object.metadata["m"].as_str(), object.tags.len()), ("1", 1));
    assert_eq!(raw(&server, "PUT /bucket/k", &[source, class], b"").failure(), is(403, "InvalidObjectState"));
    let encrypted = raw(
        &server,
        "PUT /bucket/warm",
        &[("x-amz-copy-source", "bucket/warm"), ("x-amz-server-side-encryption", "AES256")],
        b"",
    );
    assert_eq!(encrypted.status, 200);
    let encryption = Encryption { algorithm: "AES256".to_owned(), ..Encryption::default() };
    assert_eq!(server.store().get("bucket", "warm").unwrap().encryption, Some(encryption));
}

#[test]
fn buckets_say_whether_they_keep_versions() {
    let server = server(Config::default());
    let status = || raw(&server, "GET /bucket/?versioning", &[], b"");
    assert_eq!((status().status, status().element("Status")), (200, None));
    server.store().set_versioning("bucket", Versioning::Enabled);
    assert_eq!(status().element("Status").as_deref(), Some("Enabled"));
    let write = |body: &str| raw(&server, "PUT /bucket/warm", &[], body.as_bytes());
    let first = write("1").header("x-amz-version-id").unwrap().to_owned();
    assert_eq!(server.store().version("bucket", "warm", "null").unwrap().body, "x", "from before there were versions");
    server.store().set_versioning("bucket", Versioning::Suspended);
    assert_eq!(status().element("Status").as_deref(), Some("Suspended"));
    assert_eq!(write("2").header("x-amz-version-id"), Some("null"));
    assert_eq!(write("3").header("x-amz-version-id"), Some("null"));
    assert_eq!(server.store().version("bucket", "warm", "null").unwrap().body, "3");
    assert_eq!(server.store().version("bucket", "warm", &first).unwrap().body, "1");
    assert_eq!(raw(&server, "GET /missing/?versioning", &[], b"").failure(), is(404, "NoSuchBucket"));
}

#[test]
fn what_is_restored_can_be_copied_until_it_expires() {
    let server = server(Config::default());
    let copy = || raw(&server, "PUT /bucket/copy", &[("x-amz-copy-source", "bucket/cold")], b"");
    assert_eq!(copy().failure(), is(403, "InvalidObjectState"));
    let until = |expiry| {
        server.store().set_restore_status("bucket", "cold", Some(Restore::Restored { expiry }));
    };
    until(SystemTime::now() + Duration::from_secs(60));
    assert_eq!(copy().status, 200);
    until(SystemTime::now());
    assert_eq!(copy().failure(), is(403, "InvalidObjectState"));
}
