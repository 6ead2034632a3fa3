//! Versions of objects, and writes that depend on what is there.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Answered, raw};
use s3bulk_test_server::{Config, Object, Server};

const VERSION: &str = "x-amz-version-id";

fn server(versioned: bool) -> Server {
    let server = Server::start_with(Config { versioned, ..Config::default() }).unwrap();
    server.store().create_bucket("target");
    server.store().put("source", "k", Object::new("first").tag("n", "1"));
    server
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn version(answer: &Answered) -> String {
    assert_eq!(answer.status, 200);
    answer.header(VERSION).unwrap().to_owned()
}

#[test]
fn older_versions_stay_readable() {
    let server = server(true);
    let first = version(&raw(&server, "HEAD /source/k", &[], b""));
    let second = version(&raw(&server, "PUT /source/k", &[], b"second"));
    server.store().put("source", "k", Object::new("third"));
    let third = version(&raw(&server, "GET /source/k", &[], b""));
    assert!(first < second && second < third);
    for (id, body) in [(&first, "first"), (&second, "second"), (&third, "third")] {
        let got = raw(&server, &format!("GET /source/k?versionId={id}"), &[], b"");
        assert_eq!((got.text().as_str(), version(&got)), (body, id.clone()));
        let head = raw(&server, &format!("HEAD /source/k?versionId={id}"), &[], b"");
        assert_eq!(head.header("content-length"), Some(body.len().to_string().as_str()));
        let copied = raw(&server, "PUT /target/c", &[("x-amz-copy-source", &format!("source/k?versionId={id}"))], b"");
        assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(id.as_str()));
        assert_eq!(server.store().get("target", "c").unwrap().body, body);
        assert_eq!(server.store().version("target", "c", &version(&copied)).unwrap().body, body);
    }
    let tags = raw(&server, &format!("GET /source/k?tagging&versionId={first}"), &[], b"");
    assert_eq!((tags.element("Key").as_deref(), version(&tags)), (Some("n"), first));
    for line in ["GET /source/k?versionId=x", "GET /source/k?tagging&versionId=x"] {
        assert_eq!(raw(&server, line, &[], b"").failure(), is(404, "NoSuchVersion"));
    }
    assert_eq!(raw(&server, "HEAD /source/k?versionId=x", &[], b"").status, 404);
    let copied = raw(&server, "PUT /target/c", &[("x-amz-copy-source", "source/k?versionId=x")], b"");
    assert_eq!(copied.failure(), is(404, "NoSuchVersion"));

    assert_eq!(raw(&server, "DELETE /source/k", &[], b"").status, 204);
    assert_eq!(raw(&server, "GET /source/k", &[], b"").failure(), is(404, "NoSuchKey"));
    assert_eq!(raw(&server, &format!("GET /source/k?versionId={third}"), &[], b"").text(), "third");
}

/// An upload of one part, copied from this source; answers the copy of the part and the completion.
fn upload(server: &Server, source: &str, headers: &[(&str, &str)]) -> (Answered, Answered) {
    let id = raw(server, "POST /target/m?uploads", &[], b"").element("UploadId").unwrap();
    let line = format!("PUT /target/m?partNumber=1&uploadId={id}");
    let copied = raw(server, &line, &[("x-amz-copy-source", source)], b"");
    let etag = copied.element("ETag").unwrap();
    let xml = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let xml = format!("<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>");
    let completed = raw(server, &format!("POST /target/m?uploadId={id}"), headers, xml.as_bytes());
    (copied, completed)
}

#[test]
fn uploads_in_parts_have_versions() {
    let server = server(true);
    let first = version(&raw(&server, "HEAD /source/k", &[], b""));
    raw(&server, "PUT /source/k", &[], b"second");
    let (copied, completed) = upload(&server, &format!("source/k?versionId={first}"), &[]);
    assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(first.as_str()));
    assert_eq!(server.store().version("target", "m", &version(&completed)).unwrap().body, "first");
}

#[test]
fn without_versions_nothing_is_said_about_them() {
    let server = server(false);
    let (copied, completed) = upload(&server, "source/k", &[]);
    let copy = raw(&server, "PUT /target/c", &[("x-amz-copy-source", "source/k")], b"");
    let answers = ["PUT /source/k", "GET /source/k", "HEAD /source/k"].map(|line| raw(&server, line, &[], b""));
    for answer in answers.iter().chain([&copied, &completed, &copy]) {
        assert_eq!((answer.status, answer.header(VERSION)), (200, None));
        assert_eq!(answer.header("x-amz-copy-source-version-id"), None);
    }
    assert_eq!(raw(&server, "GET /source/k?versionId=x", &[], b"").failure(), is(404, "NoSuchVersion"));
    assert_eq!(raw(&server, "GET /source/k?versionId=null", &[], b"").status, 200);
}

#[test]
fn a_write_may_depend_on_what_is_there() {
    let server = server(false);
    let copy = [("x-amz-copy-source", "source/k")];
    for in_parts in [false, true] {
        let write = |headers: &[(&str, &str)]| match in_parts {
            false => raw(&server, "PUT /target/m", &[headers, &copy].concat(), b""),
            true => upload(&server, "source/k", headers).1,
        };
        server.store().delete("target", "m");
        assert_eq!(write(&[("if-match", "\"0\"")]).failure(), is(404, "NoSuchKey"));
        assert_eq!(write(&[("if-none-match", "*")]).status, 200);
        assert_eq!(write(&[("if-none-match", "*")]).failure(), is(412, "PreconditionFailed"));
        assert_eq!(write(&[("if-match", "\"0\"")]).failure(), is(412, "PreconditionFailed"));
        let etag = format!("\"{}\"", server.store().get("target", "m").unwrap().etag);
        assert_eq!(write(&[("if-match", &etag)]).status, 200);
    }
    server.store().put("target", "there", Object::new(""));
    assert_eq!(raw(&server, "POST /target/there?uploads", &[("if-none-match", "*")], b"").status, 200);
}
