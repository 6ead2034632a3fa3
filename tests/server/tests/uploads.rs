//! Uploads in parts: their pages, their times, and what is left of their parts.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::{Duration, Instant, UNIX_EPOCH};

use common::{anonymous, raw, runtime};
use s3bulk_test_server::{Config, Object, Server};

fn server(config: Config) -> Server {
    let server = Server::start_with(config).unwrap();
    server.store().create_bucket("target");
    server
}

#[test]
fn parts_are_told_by_number() {
    let server = server(Config::default());
    for object in [Object::hole(25), Object::pattern(25, 1), Object::new(vec![1; 25])] {
        server.store().put("source", "k", object.uploaded_in_parts(10));
        for (number, size, range) in [(1, "10", "bytes 0-9/25"), (3, "5", "bytes 20-24/25")] {
            let head = raw(&server, &format!("HEAD /source/k?partNumber={number}"), &[], b"");
            assert_eq!((head.status, head.header("x-amz-mp-parts-count")), (206, Some("3")));
            assert_eq!((head.header("content-length"), head.header("content-range")), (Some(size), Some(range)));
        }
        assert_eq!(raw(&server, "HEAD /source/k?partNumber=4", &[], b"").status, 416);
        assert_eq!(raw(&server, "HEAD /source/k", &[], b"").header("x-amz-mp-parts-count"), None);
    }
    server.store().put("source", "k", Object::new("x"));
    let head = raw(&server, "HEAD /source/k?partNumber=1", &[], b"");
    assert_eq!((head.status, head.header("x-amz-mp-parts-count")), (206, None));
}

#[test]
fn pages_are_as_small_as_the_server_likes() {
    let server = server(Config { page_size: 2, ..Config::default() });
    let opened: Vec<(String, String)> = ["a", "a", "b", "c", "c"]
        .iter()
        .map(|key| ((*key).to_owned(), server.store().open_upload("target", key, UNIX_EPOCH)))
        .collect();
    assert_eq!(server.store().open_uploads("target"), opened);
    let (key, id) = opened[0].clone();
    for number in 1..=5 {
        raw(&server, &format!("PUT /target/{key}?partNumber={number}&uploadId={id}"), &[], b"x");
    }
    let client = anonymous(&server);
    runtime().block_on(async {
        let (mut listed, mut key_marker, mut id_marker) = (Vec::new(), None, None);
        loop {
            let page = client.list_multipart_uploads().bucket("target").max_uploads(1000);
            let page = page.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await.unwrap();
            assert!(page.uploads().len() <= 2);
            for upload in page.uploads() {
                assert_eq!(upload.initiated().unwrap().secs(), 0);
                listed.push((upload.key().unwrap().to_owned(), upload.upload_id().unwrap().to_owned()));
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            id_marker = page.next_upload_id_marker().map(str::to_owned);
        }
        assert_eq!(listed, opened);

        let (mut numbers, mut marker) = (Vec::new(), None);
        loop {
            let page = client.list_parts().bucket("target").key(&key).upload_id(&id).max_parts(1000);
            let page = page.set_part_number_marker(marker).send().await.unwrap();
            assert!(page.parts().len() <= 2);
            numbers.extend(page.parts().iter().filter_map(|part| part.part_number()));
            if page.is_truncated() != Some(true) {
                break;
            }
            marker = page.next_part_number_marker().map(str::to_owned);
        }
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    });
}

#[test]
fn an_upload_opened_long_ago_is_like_any_other() {
    let server = server(Config::default());
    let id = server.store().open_upload("target", "k", UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let listed = raw(&server, "GET /target?uploads", &[], b"");
    assert_eq!(listed.element("Initiated").as_deref(), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!(raw(&server, &format!("DELETE /target/k?uploadId={id}"), &[], b"").status, 204);
    assert!(server.store().open_uploads("target").is_empty());
}

#[test]
fn copies_take_their_time() {
    let server = server(Config { copy_bytes_per_second: Some(1 << 30), ..Config::default() });
    server.store().put("source", "k", Object::hole(1 << 30));
    let id = server.store().open_upload("target", "k", UNIX_EPOCH);
    let source = ("x-amz-copy-source", "source/k");
    let part = format!("PUT /target/k?partNumber=1&uploadId={id}");
    let time = |line: &str, headers: &[(&str, &str)]| {
        let started = Instant::now();
        assert_eq!(raw(&server, line, headers, b"").status, 200);
        started.elapsed()
    };
    assert!(time("PUT /target/k", &[source]) >= Duration::from_secs(1));
    let quarter = ("x-amz-copy-source-range", "bytes=0-268435455");
    let quarter = time(&part, &[source, quarter]);
    assert!((Duration::from_millis(250)..Duration::from_secs(1)).contains(&quarter), "{quarter:?}");
}
