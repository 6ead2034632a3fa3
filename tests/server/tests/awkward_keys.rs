//! Keys that protocols like to bend come through every call as they are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, EncodingType};
use common::{anonymous, copy_source, runtime, signed, url_decode};
use s3bulk_test_server::{Account, Config, Object, Server};

fn keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "/leading",
        "//",
        "///",
        "a//b",
        "a/",
        "./a",
        "../a",
        "a/./b/../c",
        "..",
        ".",
        "a b",
        " a ",
        "a+b",
        "100%",
        "%41",
        "%2F",
        "a?b=c&d",
        "a#b",
        "back\\slash",
        "q\"uote'<&>",
        "é",
        "e\u{301}",
        "☃/🦀",
        "\u{1}\u{1f}\u{7f}",
        "tab\tnew\nline\rend",
        "\u{FFFD}\u{10FFFF}",
        "a*b(c)!~'",
        "tagging",
        "k;v=1:2@3,4$5",
        "[x]{y}|^`",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("k".repeat(1024));
    keys.push("é".repeat(512));
    keys
}

async fn round_trip(server: &Server, client: &aws_sdk_s3::Client) {
    server.store().create_bucket("source");
    server.store().create_bucket("target");
    for key in keys() {
        let label = key.escape_debug().to_string();
        client
            .put_object()
            .bucket("source")
            .key(&key)
            .body(key.clone().into_bytes().into())
            .send()
            .await
            .expect(&label);
        assert_eq!(server.store().get("source", &key).expect(&label).body, key.as_bytes(), "{label}");
        let got = client.get_object().bucket("source").key(&key).send().await.expect(&label);
        assert_eq!(got.body.collect().await.unwrap().to_vec(), key.as_bytes(), "{label}");
        let head = client.head_object().bucket("source").key(&key).send().await.expect(&label);
        assert_eq!(head.content_length(), Some(key.len() as i64), "{label}");
        let source = copy_source("source", &key);
        let copied = client.copy_object().bucket("target").key(&key).copy_source(&source).send().await.expect(&label);
        assert_eq!(copied.copy_object_result().unwrap().e_tag(), head.e_tag(), "{label}");
        client.delete_object().bucket("target").key(&key).send().await.expect(&label);
        assert!(server.store().get("target", &key).is_none(), "{label}");

        let upload = client.create_multipart_upload().bucket("target").key(&key).send().await.expect(&label);
        let id = upload.upload_id().unwrap();
        assert_eq!(server.store().open_uploads("target"), [(key.clone(), id.to_owned())], "{label}");
        let part = client.upload_part_copy().bucket("target").key(&key).upload_id(id).part_number(1);
        let part = part.copy_source(&source).send().await.expect(&label);
        let etag = part.copy_part_result().unwrap().e_tag().unwrap();
        let parts = CompletedPart::builder().part_number(1).e_tag(etag).build();
        let parts = CompletedMultipartUpload::builder().parts(parts).build();
        let complete = client.complete_multipart_upload().bucket("target").key(&key).upload_id(id);
        complete.multipart_upload(parts).send().await.expect(&label);
        assert_eq!(server.store().get("target", &key).expect(&label).body, key.as_bytes(), "{label}");
    }
    let mut expected = keys();
    expected.sort();
    assert_eq!(server.store().keys("source"), expected);
    assert_eq!(server.store().keys("target"), expected);
    let page = client.list_objects_v2().bucket("source").encoding_type(EncodingType::Url).send().await.unwrap();
    assert_eq!(page.encoding_type(), Some(&EncodingType::Url));
    let listed: Vec<String> = page.contents().iter().map(|object| url_decode(object.key().unwrap())).collect();
    assert_eq!(listed, expected);
    // One key at a time, each found by the key in front of it.
    for pair in expected.windows(2) {
        let list = client.list_objects_v2().bucket("source").encoding_type(EncodingType::Url);
        let sent = list.start_after(&pair[0]).max_keys(1).send().await;
        if pair[0].contains('\u{1}') {
            assert_eq!(sent.unwrap_err().code(), Some("InvalidArgument"));
            continue;
        }
        let page = sent.unwrap();
        assert_eq!(url_decode(page.contents()[0].key().unwrap()), pair[1]);
        assert_eq!(url_decode(page.start_after().unwrap()), pair[0]);
    }
}

#[test]
fn keys_come_through_every_call() {
    let server = Server::start().unwrap();
    let client = anonymous(&server);
    runtime().block_on(round_trip(&server, &client));
}

#[test]
fn keys_come_through_every_call_where_signatures_are_checked() {
    let accounts = vec![Account::new("other", "secret"), Account::new("key", "secret")];
    let server = Server::start_with(Config { accounts, ..Config::default() }).unwrap();
    let client = signed(&server, "key", "secret");
    runtime().block_on(round_trip(&server, &client));
}

#[test]
fn listings_are_encoded_only_when_asked() {
    let server = Server::start().unwrap();
    server.store().put("source", "a b+é/x", Object::new(""));
    let client = anonymous(&server);
    runtime().block_on(async {
        let list = client.list_objects_v2().bucket("source").prefix("a b+").delimiter("/");
        let plain = list.clone().send().await.unwrap();
        assert_eq!(plain.common_prefixes()[0].prefix(), Some("a b+é/"));
        assert_eq!(plain.prefix(), Some("a b+"));
        let encoded = list.encoding_type(EncodingType::Url).send().await.unwrap();
        assert_eq!(encoded.common_prefixes()[0].prefix(), Some("a+b%2B%C3%A9/"));
        assert_eq!(encoded.prefix(), Some("a+b%2B"));
        assert_eq!(encoded.delimiter(), Some("/"));
    });
}

#[test]
fn a_plus_in_a_copy_source_is_a_space() {
    let server = Server::start().unwrap();
    server.store().put("source", "c  ", Object::new("spaces"));
    server.store().create_bucket("target");
    let client = anonymous(&server);
    runtime().block_on(async {
        client.copy_object().bucket("target").key("c").copy_source("source/c++").send().await.unwrap();
    });
    assert_eq!(server.store().get("target", "c").unwrap().body, "spaces");
}
