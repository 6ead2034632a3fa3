//! The ways in which stores list: what S3 writes, other orders, and known faults of servers.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;
use common::{anonymous, raw, runtime, signed, url_decode};
use s3bulk_test_server::{Account, Config, Listings, Object, Operation, Order, Restore, Server, Shape};

fn filled(config: Config, keys: impl IntoIterator<Item = String>) -> Server {
    let server = Server::start_with(config).unwrap();
    server.store().fill("bucket", keys, Object::new("0123456789abcdef"));
    server
}

/// Lists all pages by their tokens.
async fn by_token(client: &Client, start_after: Option<&str>, delimiter: Option<&str>) -> Vec<String> {
    let list = client.list_objects_v2().bucket("bucket").encoding_type(EncodingType::Url);
    let list = list.set_start_after(start_after.map(str::to_owned)).set_delimiter(delimiter.map(str::to_owned));
    let (mut listed, mut token) = (Vec::new(), None);
    loop {
        let page = list.clone().set_continuation_token(token).send().await.unwrap();
        listed.extend(page.contents().iter().map(|object| url_decode(object.key().unwrap())));
        listed.extend(page.common_prefixes().iter().map(|prefix| url_decode(prefix.prefix().unwrap())));
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            return listed;
        }
    }
}

/// Lists all pages, each behind the last key of the one before.
async fn by_key(client: &Client) -> Vec<String> {
    let mut listed: Vec<String> = Vec::new();
    loop {
        let list = client.list_objects_v2().bucket("bucket").encoding_type(EncodingType::Url);
        let page = list.set_start_after(listed.last().cloned()).send().await.unwrap();
        listed.extend(page.contents().iter().map(|object| url_decode(object.key().unwrap())));
        if page.is_truncated() != Some(true) {
            return listed;
        }
    }
}

#[test]
fn the_answer_is_written_as_s3_writes_it() {
    let time = UNIX_EPOCH + Duration::from_secs(1_706_704_496);
    let server = Server::start().unwrap();
    let object = Object::new("hello").last_modified(time).storage_class("GLACIER");
    server.store().put("bucket", "x/a b&c", Object { restore: Some(Restore::InProgress { days: None }), ..object });
    server.store().put("bucket", "x/y/1", Object::new(""));
    server.store().put("bucket", "x/z", Object::new(""));
    let opened = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
                  xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>";
    let object = "<LastModified>2024-01-31T12:34:56.000Z</LastModified><ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;\
                  </ETag><Size>5</Size><StorageClass>GLACIER</StorageClass>";
    let line = "GET /bucket?list-type=2&prefix=x/&delimiter=/&max-keys=2&start-after=x&encoding-type=url";
    let answer = raw(&server, line, &[("x-amz-optional-object-attributes", "RestoreStatus")], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/xml")));
    let token = answer.element("NextContinuationToken").unwrap();
    assert_eq!(
        answer.text(),
        format!(
            "{opened}<Prefix>x/</Prefix><StartAfter>x</StartAfter><NextContinuationToken>{token}\
             </NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter>\
             <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>x/a+b%26c</Key>{object}\
             <RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus></Contents>\
             <CommonPrefixes><Prefix>x/y/</Prefix></CommonPrefixes></ListBucketResult>"
        )
    );
    let answer = raw(&server, "GET /bucket/?list-type=2&max-keys=1", &[], b"");
    assert!(answer.text().contains(&format!("<Contents><Key>x/a b&amp;c</Key>{object}</Contents></ListBucketResult>")));
    assert!(answer.text().contains("<Prefix></Prefix>"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = filled(Config::default(), ["k".to_owned()]);
    for query in [
        "max-keys=-1",
        "max-keys=x",
        "encoding-type=xml",
        "start-after=%01",
        "start-after=a%EF%BF%BF",
        "prefix=%FF",
        "continuation-token=k",
    ] {
        let answer = raw(&server, &format!("GET /bucket?list-type=2&{query}"), &[], b"");
        assert_eq!(answer.failure(), (400, "InvalidArgument".to_owned()), "{query}");
    }
    for query in ["start-after=%09%0A%0D%7F%EF%BF%BD%F0%9F%A6%80", "prefix=%01"] {
        assert_eq!(raw(&server, &format!("GET /bucket?list-type=2&{query}"), &[], b"").status, 200, "{query}");
    }
    let lenient = filled(Config { checks_start_after: false, ..Config::default() }, ["k".to_owned()]);
    let answer = raw(&lenient, "GET /bucket?list-type=2&start-after=%01", &[], b"");
    assert_eq!((answer.status, answer.element("Key").as_deref()), (200, Some("k")));
}

#[test]
fn signatures_are_checked_where_there_are_accounts() {
    let accounts = vec![Account::new("key", "secret")];
    let server = filled(Config { accounts, ..Config::default() }, ["k".to_owned()]);
    assert_eq!(raw(&server, "GET /bucket?list-type=2", &[], b"").failure(), (403, "AccessDenied".to_owned()));
    runtime().block_on(async {
        assert_eq!(by_key(&signed(&server, "key", "secret")).await, ["k"]);
        let wrong = signed(&server, "key", "wrong").list_objects_v2().bucket("bucket").send().await;
        assert_eq!(wrong.unwrap_err().raw_response().unwrap().status().as_u16(), 403);
    });
}

#[test]
fn utf_16_is_another_order_for_tokens_and_keys() {
    let server = filled(
        Config { order: Order::Utf16, page_size: 7, ..Config::default() },
        Shape::Scripts.keys(1, 300).chain(["\u{FFFD}a", "\u{FF21}", "🦀a", "𝄞"].map(str::to_owned)),
    );
    let client = anonymous(&server);
    let mut expected = server.store().keys("bucket");
    assert!(expected.is_sorted());
    expected.sort_by_key(|key| key.encode_utf16().collect::<Vec<u16>>());
    assert!(!expected.is_sorted());
    runtime().block_on(async {
        assert_eq!(by_token(&client, None, None).await, expected);
        assert_eq!(by_key(&client).await, expected);
    });
}

#[test]
fn a_shuffled_bucket_is_listed_by_tokens_only() {
    let config = Config { order: Order::Shuffled, page_size: 7, ..Config::default() };
    let server = filled(config, Shape::OneFolder.keys(1, 300));
    let client = anonymous(&server);
    let expected = server.store().keys("bucket");
    let folders: BTreeSet<String> = expected.iter().map(|key| key[..10].to_owned()).collect();
    runtime().block_on(async {
        let listed = by_token(&client, Some("folder-20/"), None).await;
        assert!(!listed.is_sorted());
        assert_eq!(listed, by_token(&client, None, None).await);
        let mut sorted = listed;
        sorted.sort();
        assert_eq!(sorted, expected);
        let mut listed = by_token(&client, None, Some("/")).await;
        assert!(!listed.is_sorted());
        listed.sort();
        assert!(listed.iter().eq(&folders));
    });
    assert!(server.store().delete("bucket", &expected[0]));
    server.store().put("bucket", "new", Object::new(""));
    let listed = runtime().block_on(by_token(&client, None, None));
    assert!(!listed.contains(&expected[0]) && listed.contains(&"new".to_owned()));
}

#[test]
fn the_first_key_behind_a_missing_one_is_skipped() {
    let keys = ["b", "c", "d", "e"].map(str::to_owned);
    let server = filled(Config { skips_after_missing: true, page_size: 2, ..Config::default() }, keys);
    let client = anonymous(&server);
    runtime().block_on(async {
        assert_eq!(by_token(&client, None, None).await, ["b", "c", "d", "e"]);
        assert_eq!(by_key(&client).await, ["b", "c", "d", "e"]);
        assert_eq!(by_token(&client, Some("b"), None).await, ["c", "d", "e"]);
        assert_eq!(by_token(&client, Some("a"), None).await, ["c", "d", "e"]);
        assert_eq!(by_token(&client, Some("dd"), None).await, [""; 0]);
    });
}

#[test]
fn listings_are_counted_by_what_they_ask() {
    let latency = Duration::from_millis(100);
    let server =
        filled(Config { list_latency: latency, record_keys: true, ..Config::default() }, Shape::Dates.keys(1, 10));
    let client = anonymous(&server);
    let list = client.list_objects_v2().bucket("bucket");
    let start = Instant::now();
    runtime().block_on(async {
        let (probe, folders, all) = tokio::join!(
            list.clone().max_keys(1).send(),
            list.clone().delimiter("/").max_keys(1000).send(),
            list.clone().delimiter("").send(),
        );
        assert!(probe.is_ok() && folders.is_ok() && all.is_ok());
        assert!((latency..4 * latency).contains(&start.elapsed()), "{:?}", start.elapsed());
        list.send().await.unwrap();
        client.head_bucket().bucket("bucket").send().await.unwrap();
    });
    assert_eq!(server.listings(), Listings { requests: 4, probes: 1, with_delimiter: 1, most_at_once: 3 });
    let arrivals = server.arrivals(Operation::ListObjectsV2);
    assert_eq!(arrivals.len(), 4);
    assert!(arrivals[3] - arrivals[0] >= latency);
    assert_eq!(server.arrivals(Operation::HeadBucket).len(), 1);
}
