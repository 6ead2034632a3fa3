//! What S3 says about its calls, asked of this server by the SDK.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, MetadataDirective, OptionalObjectAttributes, RestoreRequest, StorageClass,
    Tag, Tagging, TaggingDirective,
};
use common::{anonymous, in_region, runtime, signed, with_checksums};
use s3bulk_test_server::{Account, Config, Object, Operation, Restore, Server};

const MIB: usize = 1024 * 1024;

fn seeded() -> (Server, Client) {
    let server = Server::start().unwrap();
    server.store().create_bucket("target");
    server.store().put("source", "k", Object::new("0123456789"));
    let client = anonymous(&server);
    (server, client)
}

fn status<E>(error: &SdkError<E>) -> u16 {
    error.raw_response().unwrap().status().as_u16()
}

/// Status and code of a call that has to fail.
fn failed<O: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<O, SdkError<E>>,
) -> (u16, String) {
    let error = result.unwrap_err();
    (status(&error), error.code().unwrap_or_default().to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn listings_page_by_token_and_by_key() {
    let (server, client) = seeded();
    let keys: Vec<String> = (0..2500).map(|number| format!("{:02}/{number:05}", number % 7)).collect();
    for key in &keys {
        server.store().put("many", key, Object::new("x"));
    }
    let expected = server.store().keys("many");
    runtime().block_on(async {
        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let page = client.list_objects_v2().bucket("many").set_continuation_token(token).send().await.unwrap();
            assert_eq!(page.key_count(), i32::try_from(page.contents().len()).ok());
            listed.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
            token = page.next_continuation_token().map(str::to_owned);
            assert_eq!(page.is_truncated(), Some(token.is_some()));
            if token.is_none() {
                break;
            }
        }
        assert_eq!(listed, expected);
        assert_eq!(server.requests(Operation::ListObjectsV2), 3);

        let folders = client.list_objects_v2().bucket("many").delimiter("/").max_keys(3);
        let page = folders.clone().start_after("01/99999").send().await.unwrap();
        let prefixes: Vec<&str> = page.common_prefixes().iter().filter_map(|prefix| prefix.prefix()).collect();
        assert_eq!((prefixes, page.key_count(), page.is_truncated()), (vec!["02/", "03/", "04/"], Some(3), Some(true)));
        let page = folders.continuation_token(page.next_continuation_token().unwrap()).send().await.unwrap();
        assert_eq!((page.common_prefixes().len(), page.is_truncated()), (2, Some(false)));
        let none = client.list_objects_v2().bucket("many").max_keys(0).send().await.unwrap();
        assert_eq!((none.key_count(), none.is_truncated()), (Some(0), Some(false)));
        let wrong = client.list_objects_v2().bucket("many").continuation_token("x").send().await;
        assert_eq!(failed(wrong), is(400, "InvalidArgument"));
        let missing = client.list_objects_v2().bucket("missing").send().await;
        assert_eq!(failed(missing), is(404, "NoSuchBucket"));
    });
}

#[test]
fn everything_about_an_object_comes_back() {
    let (server, client) = seeded();
    runtime().block_on(async {
        let put = client.put_object().bucket("source").key("full").body(ByteStream::from_static(b"body"));
        let put = put.content_type("text/x").content_encoding("gzip").content_disposition("inline; a=\"b\"");
        let put = put.content_language("de").cache_control("no-cache").expires(DateTime::from_secs(1_700_000_000));
        let put = put.metadata("color", "dark green").metadata("n", "1").tagging("a=b%20c&d=");
        let put = put.storage_class(StorageClass::StandardIa).website_redirect_location("/there").send().await.unwrap();
        let head = client.head_object().bucket("source").key("full").send().await.unwrap();
        assert_eq!(head.e_tag(), put.e_tag());
        assert_eq!(head.e_tag(), Some("\"841a2d689ad86bd1611447453c22c6fc\""));
        assert_eq!(head.content_type(), Some("text/x"));
        assert_eq!(head.content_encoding(), Some("gzip"));
        assert_eq!(head.content_disposition(), Some("inline; a=\"b\""));
        assert_eq!(head.content_language(), Some("de"));
        assert_eq!(head.cache_control(), Some("no-cache"));
        assert_eq!(head.expires_string(), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
        assert_eq!(head.website_redirect_location(), Some("/there"));
        assert_eq!(head.metadata().unwrap().len(), 2);
        assert_eq!(head.metadata().unwrap().get("color").unwrap(), "dark green");
        assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa));
        let got = client.get_object().bucket("source").key("full").send().await.unwrap();
        assert_eq!(got.tag_count(), Some(2));
        let tags = client.get_object_tagging().bucket("source").key("full").send().await.unwrap();
        let tags: Vec<(&str, &str)> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
        assert_eq!(tags, [("a", "b c"), ("d", "")]);

        let copied = client.copy_object().bucket("target").key("copy").copy_source("source/full");
        copied.send().await.unwrap();
    });
    let (source, copy) = (server.store().get("source", "full").unwrap(), server.store().get("target", "copy").unwrap());
    assert_eq!((&copy.body, &copy.metadata, &copy.tags), (&source.body, &source.metadata, &source.tags));
    assert_eq!(copy.headers.expires, source.headers.expires);
    assert_eq!((copy.storage_class.as_str(), &copy.headers.website_redirect_location), ("STANDARD", &None));
}

#[test]
fn ranges_and_conditions() {
    let (server, client) = seeded();
    let etag = server.store().get("source", "k").unwrap().etag.clone();
    runtime().block_on(async {
        let get = client.get_object().bucket("source").key("k");
        for (range, body, described) in [
            ("bytes=2-4", "234", "bytes 2-4/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-3", "789", "bytes 7-9/10"),
            ("bytes=5-99", "56789", "bytes 5-9/10"),
        ] {
            let got = get.clone().range(range).send().await.unwrap();
            assert_eq!(got.content_range(), Some(described));
            assert_eq!(got.body.collect().await.unwrap().to_vec(), body.as_bytes());
        }
        assert_eq!(failed(get.clone().range("bytes=10-").send().await), is(416, "InvalidRange"));
        assert_eq!(get.clone().if_match(&etag).send().await.unwrap().content_length(), Some(10));
        assert_eq!(failed(get.clone().if_match("\"other\"").send().await), is(412, "PreconditionFailed"));
        assert_eq!(status(&get.clone().if_none_match(&etag).send().await.unwrap_err()), 304);
        assert_eq!(failed(get.key("missing").send().await), is(404, "NoSuchKey"));
        let put = client.put_object().bucket("source").key("k").if_none_match("*");
        assert_eq!(failed(put.send().await), is(412, "PreconditionFailed"));
        let put = client.put_object().bucket("source").key("k").body(ByteStream::from_static(b"x"));
        let put = put.content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await;
        assert_eq!(failed(put), is(400, "BadDigest"));
        client.delete_object().bucket("source").key("missing").send().await.unwrap();
    });
}

#[test]
fn copies_obey_their_conditions_and_directives() {
    let (server, client) = seeded();
    let source = Object::new("body").metadata("a", "b").tag("t", "u").content_type("text/a");
    server.store().put("source", "s", source.clone().storage_class("GLACIER_IR"));
    server.store().put("source", "cold", Object::new("body").storage_class("DEEP_ARCHIVE"));
    server.store().put("source", "huge", Object::hole(5 * 1024 * 1024 * 1024 + 1));
    server.store().put("source", "parts", Object::new(vec![1; 20]).uploaded_in_parts(7));
    runtime().block_on(async {
        let copy = client.copy_object().bucket("target").key("c").copy_source("source/s");
        let other = copy.clone().copy_source_if_match("\"other\"").send().await;
        assert_eq!(failed(other), is(412, "PreconditionFailed"));
        copy.clone().copy_source_if_match(&source.etag).if_none_match("*").send().await.unwrap();
        assert_eq!(failed(copy.clone().if_none_match("*").send().await), is(412, "PreconditionFailed"));
        let replaced = copy.clone().metadata_directive(MetadataDirective::Replace).metadata("x", "y");
        let replaced = replaced.tagging_directive(TaggingDirective::Replace).tagging("v=w");
        replaced.storage_class(StorageClass::OnezoneIa).send().await.unwrap();
        let object = server.store().get("target", "c").unwrap();
        assert_eq!(object.metadata, BTreeMap::from([("x".to_owned(), "y".to_owned())]));
        assert_eq!(object.tags, [("v".to_owned(), "w".to_owned())]);
        assert_eq!((&object.headers.content_type, object.storage_class.as_str()), (&None, "ONEZONE_IA"));

        let copy_of = |key: &str| client.copy_object().bucket("target").key("c").copy_source(format!("source/{key}"));
        assert_eq!(failed(copy_of("cold").send().await), is(403, "InvalidObjectState"));
        assert_eq!(failed(copy_of("huge").send().await), is(400, "InvalidRequest"));
        assert_eq!(failed(copy_of("missing").send().await), is(404, "NoSuchKey"));
        assert_eq!(failed(copy_of("k").bucket("missing").send().await), is(404, "NoSuchBucket"));
        assert_eq!(failed(copy_of("k").bucket("source").key("k").send().await), is(400, "InvalidRequest"));
        let etag = copy_of("parts").send().await.unwrap().copy_object_result().unwrap().e_tag().unwrap().to_owned();
        assert!(!etag.contains('-'));
    });
}

async fn upload(client: &Client, key: &str, sizes: &[usize]) -> (String, Vec<CompletedPart>) {
    let created = client.create_multipart_upload().bucket("target").key(key).metadata("m", "v").tagging("t=u");
    let created = created.content_type("text/x").storage_class(StorageClass::StandardIa).send().await.unwrap();
    let id = created.upload_id().unwrap().to_owned();
    let mut parts = Vec::new();
    for (number, size) in (1..).zip(sizes) {
        let body = vec![u8::try_from(number).unwrap(); *size];
        let part = client.upload_part().bucket("target").key(key).upload_id(&id).part_number(number);
        let part = part.body(body.into()).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap()).build());
    }
    (id, parts)
}

fn parts(parts: impl IntoIterator<Item = CompletedPart>) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts.into_iter().collect())).build()
}

#[test]
fn uploads_in_parts() {
    let (server, client) = seeded();
    runtime().block_on(async {
        let (id, uploaded) = upload(&client, "m", &[5 * MIB, 5 * MIB, 3]).await;
        let list = client.list_parts().bucket("target").key("m").upload_id(&id).max_parts(2);
        let page = list.clone().send().await.unwrap();
        assert_eq!((page.parts().len(), page.next_part_number_marker()), (2, Some("2")));
        let page = list.part_number_marker("2").send().await.unwrap();
        assert_eq!((page.parts()[0].size(), page.is_truncated()), (Some(3), Some(false)));

        let complete = client.complete_multipart_upload().bucket("target").key("m").upload_id(&id);
        let reversed = complete.clone().multipart_upload(parts(uploaded.iter().rev().cloned()));
        assert_eq!(failed(reversed.send().await), is(400, "InvalidPartOrder"));
        let wrong = CompletedPart::builder().part_number(1).e_tag("\"0\"").build();
        let wrong = complete.clone().multipart_upload(parts([wrong]));
        assert_eq!(failed(wrong.send().await), is(400, "InvalidPart"));
        let done = complete.clone().multipart_upload(parts(uploaded.clone())).send().await.unwrap();
        assert!(done.e_tag().unwrap().ends_with("-3\""));
        let again = complete.multipart_upload(parts(uploaded)).send().await;
        assert_eq!(failed(again), is(404, "NoSuchUpload"));

        let head = client.head_object().bucket("target").key("m").part_number(1).send().await.unwrap();
        assert_eq!((head.content_length(), head.parts_count()), (Some(5 * MIB as i64), Some(3)));
        let object = server.store().get("target", "m").unwrap();
        assert_eq!(object.size(), 10 * MIB as u64 + 3);
        assert_eq!((&object.body[5 * MIB - 1..=5 * MIB], &object.body[10 * MIB..]), (&[1, 2][..], &[3, 3, 3][..]));
        assert_eq!((object.tags.len(), object.metadata.len(), object.storage_class.as_str()), (1, 1, "STANDARD_IA"));

        let (id, uploaded) = upload(&client, "small", &[5, 5]).await;
        let complete = client.complete_multipart_upload().bucket("target").key("small").upload_id(&id);
        let small = complete.clone().multipart_upload(parts(uploaded.clone())).send().await;
        assert_eq!(failed(small), is(400, "EntityTooSmall"));
        server.store().put("target", "small", Object::new("there"));
        let there = complete.multipart_upload(parts([uploaded[1].clone()])).if_none_match("*").send().await;
        assert_eq!(failed(there), is(412, "PreconditionFailed"));
        let abort = client.abort_multipart_upload().bucket("target").key("small").upload_id(&id);
        abort.clone().send().await.unwrap();
        assert_eq!(failed(abort.send().await), is(404, "NoSuchUpload"));
        assert!(server.store().open_uploads("target").is_empty());
    });
}

#[test]
fn parts_copied_from_an_object_that_takes_no_memory() {
    let (server, client) = seeded();
    let size: u64 = 6 * 1024 * 1024 * 1024;
    server.store().put("source", "huge", Object::hole(size));
    runtime().block_on(async {
        let created = client.create_multipart_upload().bucket("target").key("h").send().await.unwrap();
        let id = created.upload_id().unwrap();
        let copy = client.upload_part_copy().bucket("target").key("h").upload_id(id).copy_source("source/huge");
        let half = size / 2;
        let mut copied = Vec::new();
        for (number, range) in [(1, (0, half - 1)), (2, (half, size - 1))] {
            let part = copy.clone().part_number(number).copy_source_range(format!("bytes={}-{}", range.0, range.1));
            let part = part.send().await.unwrap();
            let etag = part.copy_part_result().unwrap().e_tag().unwrap().to_owned();
            copied.push(CompletedPart::builder().part_number(number).e_tag(etag).build());
        }
        let beyond = copy.clone().part_number(3).copy_source_range(format!("bytes=0-{size}")).send().await;
        assert_eq!(failed(beyond), is(416, "InvalidRange"));
        let changed = copy.part_number(3).copy_source_if_match("\"other\"").send().await;
        assert_eq!(failed(changed), is(412, "PreconditionFailed"));
        let complete = client.complete_multipart_upload().bucket("target").key("h").upload_id(id);
        complete.multipart_upload(parts(copied)).send().await.unwrap();
        let tail = client.get_object().bucket("target").key("h").range("bytes=-600000").send().await.unwrap();
        assert_eq!(tail.body.collect().await.unwrap().to_vec(), vec![0; 600_000]);
    });
    assert_eq!(server.store().get("target", "h").unwrap().size(), size);
}

#[test]
fn open_uploads_are_listed_in_pages() {
    let (_server, client) = seeded();
    runtime().block_on(async {
        for key in ["a/1", "a/1", "a/2", "b"] {
            upload(&client, key, &[]).await;
        }
        let list = client.list_multipart_uploads().bucket("target").prefix("a/").max_uploads(1);
        let (mut keys, mut markers) = (Vec::new(), (None, None));
        loop {
            let page = list.clone().set_key_marker(markers.0).set_upload_id_marker(markers.1).send().await.unwrap();
            keys.extend(page.uploads().iter().map(|upload| upload.key().unwrap().to_owned()));
            if page.is_truncated() != Some(true) {
                break;
            }
            markers = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
        }
        assert_eq!(keys, ["a/1", "a/1", "a/2"]);
        let rest = client.list_multipart_uploads().bucket("target").key_marker("a/1").send().await.unwrap();
        assert_eq!(rest.uploads().len(), 2);
    });
}

#[test]
fn archived_objects_are_restored() {
    let (server, client) = seeded();
    server.store().put("source", "cold", Object::new("x").storage_class("GLACIER"));
    runtime().block_on(async {
        let days = RestoreRequest::builder().days(2).build();
        let restore = client.restore_object().bucket("source").key("cold");
        assert_eq!(failed(restore.clone().send().await), is(400, "MalformedXML"));
        let restore = restore.restore_request(days.clone());
        restore.clone().send().await.unwrap();
        assert_eq!(failed(restore.clone().send().await), is(409, "RestoreAlreadyInProgress"));
        let get = client.get_object().bucket("source").key("cold");
        assert_eq!(failed(get.clone().send().await), is(403, "InvalidObjectState"));
        let list = client.list_objects_v2().bucket("source").prefix("cold");
        let list = list.optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
        let page = list.clone().send().await.unwrap();
        assert_eq!(page.contents()[0].restore_status().unwrap().is_restore_in_progress(), Some(true));
        assert_eq!(server.store().finish_restores("source"), 1);
        let page = list.send().await.unwrap();
        assert!(page.contents()[0].restore_status().unwrap().restore_expiry_date().is_some());
        assert_eq!(get.send().await.unwrap().content_length(), Some(1));
        let head = client.head_object().bucket("source").key("cold").send().await.unwrap();
        assert!(head.restore().unwrap().starts_with("ongoing-request=\"false\", expiry-date=\""));
        restore.send().await.unwrap();
        assert!(matches!(server.store().get("source", "cold").unwrap().restore, Some(Restore::Restored { .. })));
        let warm = client.restore_object().bucket("source").key("k").restore_request(days).send().await;
        assert_eq!(failed(warm), is(403, "ObjectAlreadyInActiveTierError"));
    });
}

#[test]
fn buckets_tell_their_regions() {
    let (server, client) = seeded();
    server.store().create_bucket_in("far", "eu-north-1");
    runtime().block_on(async {
        let head = client.head_bucket().bucket("source").send().await.unwrap();
        assert_eq!(head.bucket_region(), Some("us-east-1"));
        assert_eq!(status(&client.head_bucket().bucket("missing").send().await.unwrap_err()), 404);
        let redirected = client.head_bucket().bucket("far").send().await.unwrap_err();
        assert_eq!(status(&redirected), 301);
        assert_eq!(redirected.raw_response().unwrap().headers().get("x-amz-bucket-region"), Some("eu-north-1"));
        let listed = client.list_objects_v2().bucket("far").send().await;
        assert_eq!(failed(listed), is(301, "PermanentRedirect"));
        let near = in_region(&server, "eu-north-1");
        assert_eq!(near.head_bucket().bucket("far").send().await.unwrap().bucket_region(), Some("eu-north-1"));
        client.create_bucket().bucket("new-one").send().await.unwrap();
        let again = client.create_bucket().bucket("new-one").send().await;
        assert_eq!(failed(again), is(409, "BucketAlreadyOwnedByYou"));
        let buckets = client.list_buckets().send().await.unwrap();
        let names: Vec<&str> = buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect();
        assert_eq!(names, ["far", "new-one", "source", "target"]);
    });
}

#[test]
fn only_known_accounts_are_let_in() {
    let accounts = vec![Account::new("one", "secret1"), Account::new("two", "secret2")];
    let server = Server::start_with(Config { accounts, ..Config::default() }).unwrap();
    server.store().create_bucket("target");
    runtime().block_on(async {
        for (access_key, secret_key) in [("one", "secret1"), ("two", "secret2")] {
            let client = with_checksums(&server, access_key, secret_key);
            client.put_object().bucket("target").key("k").body(vec![1; 100].into()).send().await.unwrap();
            client.list_objects_v2().bucket("target").send().await.unwrap();
        }
        let wrong = signed(&server, "one", "secret2").list_objects_v2().bucket("target").send().await;
        assert_eq!(failed(wrong), is(403, "SignatureDoesNotMatch"));
        let unknown = signed(&server, "three", "secret").list_objects_v2().bucket("target").send().await;
        assert_eq!(failed(unknown), is(403, "InvalidAccessKeyId"));
    });
}

#[test]
fn streamed_uploads_lose_their_framing() {
    let body = |size: u8| {
        let chunks = (0..size).map(|at| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![at; 10_000])));
        let frames = futures::stream::iter(chunks.map(|chunk| chunk.map(http_body::Frame::data)).collect::<Vec<_>>());
        ByteStream::from_body_1_x(http_body_util::StreamBody::new(frames))
    };
    for accounts in [vec![], vec![Account::new("one", "secret")]] {
        let server = Server::start_with(Config { accounts, ..Config::default() }).unwrap();
        server.store().create_bucket("target");
        let client = with_checksums(&server, "one", "secret");
        runtime().block_on(async {
            let put = client.put_object().bucket("target").key("k").content_length(200_000).body(body(20));
            put.send().await.unwrap();
        });
        let object = server.store().get("target", "k").unwrap();
        assert_eq!((object.size(), object.body[199_999]), (200_000, 19));
        assert_eq!(object.headers.content_encoding, None);
    }
}

#[test]
fn presigned_addresses_work_signed_or_not() {
    use aws_sdk_s3::presigning::PresigningConfig;
    for accounts in [vec![], vec![Account::new("one", "secret")]] {
        let server = Server::start_with(Config { accounts, ..Config::default() }).unwrap();
        server.store().put("source", "a b", Object::new("x"));
        let client = signed(&server, "one", "secret");
        runtime().block_on(async {
            let presigning = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
            let request = client.head_object().bucket("source").key("a b").presigned(presigning).await.unwrap();
            let mut stream = std::net::TcpStream::connect(server.endpoint().trim_start_matches("http://")).unwrap();
            let path = request.uri().trim_start_matches(&server.endpoint());
            let host = server.endpoint().trim_start_matches("http://").to_owned();
            let text = format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            std::io::Write::write_all(&mut stream, text.as_bytes()).unwrap();
            let answer = std::io::read_to_string(stream).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        });
    }
}

#[test]
fn tags_are_replaced() {
    let (server, client) = seeded();
    runtime().block_on(async {
        let tag = Tag::builder().key("a").value("b & <c>").build().unwrap();
        let tagging = Tagging::builder().tag_set(tag).build().unwrap();
        client.put_object_tagging().bucket("source").key("k").tagging(tagging).send().await.unwrap();
    });
    assert_eq!(server.store().get("source", "k").unwrap().tags, [("a".to_owned(), "b & <c>".to_owned())]);
}
