//! What goes over the wire the short way is what the SDK would send, to the byte; left out are the
//! statistics of the SDK: two headers that number its requests and their attempts, and which of its
//! features a call has, in its names.

mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::SeqCst;

use aws_credential_types::Credentials;
use aws_sdk_s3::operation::upload_part::UploadPartInput;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::http::Headers as HttpHeaders;
use bytes::Bytes;

use super::super::body::Signed;
use super::super::{
    Acl, Addressing, Attributes, Bucket, CustomerKey, Encryption, EndConfig, Headers, Lock, Onto, PageRequest,
};
use super::route::Scope;
use crate::model::{Checksum, Checksummer, Class, Object, Operation, RequestError, Revision, Upload, Written};
use wire::{COPIED, Canned, LISTED, LONGEST, Place, Sent, Wire};

/// What is copied, and how.
#[derive(Clone, Debug)]
struct Copy {
    source: Place,
    from: Object,
    to: &'static str,
    attributes: Attributes,
    onto: Onto<'static>,
    if_match: Option<&'static str>,
}

impl Default for Copy {
    fn default() -> Self {
        let (source, from, attributes) = (Place::of("source"), Object::new("k", 1), Attributes::default());
        Self { source, from, to: "to/k", attributes, onto: Onto::Anything, if_match: None }
    }
}

impl Copy {
    async fn send(&self, source: &Bucket, bucket: &Bucket) -> Result<Written, RequestError> {
        bucket.copy_from(source, &self.from, self.to, &self.attributes, self.onto, self.if_match).await
    }
}

fn places() -> Vec<Place> {
    let key = || CustomerKey::parse(&[7; 32]).ok();
    vec![
        Place::default(),
        Place { token: Some("session/token+=="), ..Place::default() },
        Place::with(|config| config.addressing = Addressing::Path),
        Place::with(|config| config.request_payer = true),
        Place::with(|config| config.expected_bucket_owner = Some("123456789012".to_owned())),
        Place::with(|config| config.customer_key = key()),
        Place { fips: true, ..Place::default() },
        Place { dual_stack: true, ..Place::default() },
        Place { fips: true, dual_stack: true, ..Place::default() },
        Place::of("a.bucket.with.dots"),
        Place::of("arn:aws:s3:us-west-2:123456789012:accesspoint/point"),
        Place { fips: true, ..Place::of("arn:aws:s3:eu-west-1:123456789012:accesspoint/point") },
        Place { dual_stack: true, ..Place::of("arn:aws:s3:eu-west-1:123456789012:accesspoint/point") },
        Place::of("arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/lambda"),
        Place::at("http://127.0.0.1:9000", Addressing::Auto),
        Place::at("http://127.0.0.1:9000/", Addressing::Path),
        unsigned("http://127.0.0.1:9000"),
        Place::at("https://store.example:443/base/", Addressing::Path),
        Place::at("http://store.example:80", Addressing::Virtual),
        Place::at("https://oss-eu-central-1.aliyuncs.com", Addressing::Auto),
        Place::at("https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com", Addressing::Auto),
    ]
}

/// Where bodies are left out of signatures, as the user wants it.
fn unsigned(url: &str) -> Place {
    let place = Place::at(url, Addressing::Auto);
    Place { config: EndConfig { unsigned_payload: true, ..place.config.clone() }, ..place }
}

#[tokio::test]
async fn a_body_has_no_second_hash_that_nobody_needs() {
    let (http, https) = ("http://127.0.0.1:9000", "https://store.example");
    let plain = |url| Place::at(url, Addressing::Auto);
    for (place, confirmed, checksums, has_sha256) in [
        (plain(http), false, true, true),
        (plain(http), true, true, false),
        (plain(http), true, false, true),
        (plain(https), false, true, false),
        (plain(https), false, false, true),
        (unsigned(http), false, true, false),
        (unsigned(http), false, false, false),
    ] {
        let (wire, body) = (Wire::default(), Bytes::from_static(b"content"));
        let (bucket, checksum) = (place.open(&wire), Checksum::of(&body));
        bucket.confirmed(confirmed.then_some(checksum));
        for _ in 0..2 {
            bucket.upload_part("k", &upload(checksums), 1, &body, checksum).await.unwrap();
            let sha256 = wire.sent().pop().unwrap().header("x-amz-content-sha256").unwrap().to_owned();
            let known = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
            assert_eq!(
                sha256,
                if has_sha256 { known } else { "UNSIGNED-PAYLOAD" },
                "{place:?} {confirmed} {checksums}"
            );
        }
    }
}

fn copies() -> Vec<Copy> {
    let text = |text: &str| Some(text.to_owned());
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let headers = Headers {
        content_type: text("text/plain; charset=utf-8"),
        cache_control: text("no-cache,  no-store"),
        expires: text("-1"),
        content_disposition: text("attachment; filename=\"é.txt\""),
        content_encoding: text("gzip"),
        content_language: text("de, fr"),
        metadata: HashMap::from([pair("a", "1"), pair("b", "two  words "), pair("c", "日本")]),
    };
    let all = Attributes {
        headers: Some(headers),
        tags: Some(vec![pair("a b", "c&d=é")]),
        storage_class: text("GLACIER_IR"),
        encryption: Encryption {
            algorithm: text("aws:kms"),
            kms_key_id: text("arn:aws:kms:x"),
            bucket_key: Some(true),
        },
        acl: Some(Acl::Grants(vec![pair("READ", "id=\"1\""), pair("READ", "uri=\"u\"")])),
        lock: Some(Lock { retention: Some(pair("GOVERNANCE", "2030-01-01T00:00:00Z")), legal_hold: true }),
    };
    let untyped = Attributes { headers: Some(Headers::default()), tags: Some(Vec::new()), ..Attributes::default() };
    let canned = Attributes { acl: Some(Acl::Canned("private".to_owned())), ..Attributes::default() };
    let version = Object { version_id: text("v+/1=="), ..Object::new("k", 1) };
    let payer = Place::with(|config| {
        config.request_payer = true;
        config.expected_bucket_owner = text("210987654321");
        config.customer_key = CustomerKey::parse(&[9; 32]).ok();
    });
    let mut copies = vec![
        Copy::default(),
        Copy { source: payer, ..Copy::default() },
        Copy { source: Place::of("arn:aws:s3:us-west-2:123456789012:accesspoint/point"), ..Copy::default() },
        Copy { from: version, if_match: Some("\"etag\""), ..Copy::default() },
        Copy { onto: Onto::Nothing, ..Copy::default() },
        Copy { onto: Onto::Only("\"old\""), ..Copy::default() },
    ];
    copies.extend([all, untyped, canned].map(|attributes| Copy { attributes, ..Copy::default() }));
    let keys =
        ["a b+c%20&é?#x", "//./../x", ".", "a//b/", "*'()!~$,:;=@", "\u{1}\u{7f}", "x-id=y&z", "日本/𝄞", "\\\"<>^`{|}"];
    copies.extend(keys.map(|key| Copy { from: Object::new(key, 1), to: key, ..Copy::default() }));
    copies.extend(["\0", LONGEST].map(|key| Copy { from: Object::new(key, 1), to: key, ..Copy::default() }));
    copies
}

#[tokio::test]
async fn a_copy_goes_as_the_sdk_sends_it_wherever_the_bucket_is() {
    for place in places() {
        for copy in [Copy::default(), Copy { to: "a b+%é//x", ..Copy::default() }] {
            assert_same(&place, &copy).await;
        }
    }
}

#[tokio::test]
async fn a_copy_goes_as_the_sdk_sends_it_whatever_it_carries() {
    for copy in copies() {
        for place in [Place::default(), Place::at("http://127.0.0.1:9000", Addressing::Auto)] {
            assert_same(&place, &copy).await;
        }
    }
}

/// The first request of a bucket is the SDK's; a bucket that another request has taught sends the same.
async fn assert_same(place: &Place, copy: &Copy) {
    let (wire, taught) = (Wire::default(), Wire::default());
    let by_sdk = copy.send(&copy.source.open(&wire), &place.open(&wire)).await.unwrap();
    let bucket = place.open(&taught);
    Copy::default().send(&Place::default().open(&taught), &bucket).await.unwrap();
    assert_eq!(copy.send(&copy.source.open(&taught), &bucket).await.unwrap(), by_sdk);
    assert_last_is_same(&wire, &taught, &format!("{place:?} {copy:?}"));
}

fn assert_last_is_same(wire: &Wire, taught: &Wire, what: &str) {
    let (sdk, mut lean) = (wire.sent().pop().unwrap(), taught.sent().pop().unwrap());
    assert!(sdk.is_sdks() && !lean.is_sdks(), "{what}");
    let other = sdk.header("x-amz-user-agent") != lean.header("x-amz-user-agent");
    if other {
        let signature = lean.headers.iter_mut().find(|header| header.0 == "authorization").unwrap();
        signature.1.truncate(signature.1.find("Signature=").unwrap());
    }
    assert_eq!(lean, sdk.without_statistics(), "{what}");
    assert!(lean.header("user-agent").unwrap().contains(" job/abc "), "{lean:?}");
    assert!(lean.timeouts[0].is_some(), "{lean:?}");
}

#[tokio::test]
async fn a_listing_goes_as_the_sdk_sends_it() {
    let pages = [
        PageRequest::default(),
        PageRequest { prefix: "a b+%é/&=?", start_after: Some("a b+%é/&=?~*'()"), ..PageRequest::default() },
        PageRequest { token: Some("1/x+y=="), delimiter: Some("/"), max_keys: Some(7), ..PageRequest::default() },
    ];
    for place in places() {
        for page in &pages {
            for asks in [false, true] {
                let (wire, taught) = (Wire::default(), Wire::default());
                let buckets = [&wire, &taught].map(|wire| place.open(wire));
                let [fresh, bucket] = buckets.map(|bucket| if asks { bucket.asking_restores() } else { bucket });
                bucket.list(&PageRequest { prefix: "other/", ..PageRequest::default() }).await.unwrap();
                assert_eq!(fresh.list(page).await.unwrap(), bucket.list(page).await.unwrap());
                assert_last_is_same(&wire, &taught, &format!("{place:?} {page:?}"));
            }
        }
    }
}

#[tokio::test]
async fn a_get_goes_as_the_sdk_sends_it() {
    let version = Object { version_id: Some("v+/1==".to_owned()), ..Object::new("a b+%é//x", 7) };
    let revision = Revision { version_id: version.version_id.clone(), etag: "\"e\"".to_owned(), size: 7 };
    for place in places() {
        for object in [Object::new("k", 7), version.clone()] {
            let (wire, taught) = (Wire::default(), Wire::default());
            let [fresh, bucket] = [&wire, &taught].map(|wire| place.open(wire));
            bucket.list(&PageRequest::default()).await.unwrap();
            let got = fresh.get(&object, 100).await.unwrap().unwrap();
            let again = bucket.get(&object, 100).await.unwrap().unwrap();
            assert_eq!(&got.body[..], b"content");
            assert_eq!(format!("{got:?}"), format!("{again:?}"));
            assert_eq!(got.head.headers.expires.as_deref(), Some("tomorrow"));
            assert_last_is_same(&wire, &taught, &format!("{place:?} {object:?}"));
        }
        let (wire, taught) = (Wire::default(), Wire::default());
        let [fresh, bucket] = [&wire, &taught].map(|wire| place.open(wire));
        bucket.list(&PageRequest::default()).await.unwrap();
        assert_eq!(
            fresh.get_range("k", &revision, &(0..7)).await.unwrap(),
            bucket.get_range("k", &revision, &(0..7)).await.unwrap()
        );
        assert_last_is_same(&wire, &taught, &format!("{place:?}"));
    }
}

#[tokio::test]
async fn a_put_goes_as_the_sdk_sends_it() {
    let checksum = |body: &Bytes| {
        let mut checksum = Checksummer::default();
        checksum.update(body);
        checksum.finish()
    };
    for (copy, place) in
        copies().into_iter().flat_map(|copy| places().into_iter().map(move |place| (copy.clone(), place)))
    {
        for body in [Bytes::new(), Bytes::from_static(b"content")] {
            let (wire, taught) = (Wire::default(), Wire::default());
            let [fresh, bucket] = [&wire, &taught].map(|wire| place.open(wire));
            bucket.list(&PageRequest::default()).await.unwrap();
            let only_new = matches!(copy.onto, Onto::Nothing);
            let put = |bucket: Bucket, body: Bytes| {
                let (attributes, to) = (copy.attributes.clone(), copy.to);
                async move { bucket.put(to, &body, checksum(&body), &attributes, only_new).await.unwrap() }
            };
            assert_eq!(put(fresh, body.clone()).await, put(bucket, body.clone()).await);
            assert_last_is_same(&wire, &taught, &format!("{place:?} {copy:?}"));
        }
    }
}

fn upload(checksums: bool) -> Upload {
    Upload {
        id: "id+/=&?%é".to_owned(),
        of: Revision { version_id: None, etag: "\"e\"".to_owned(), size: 7 },
        part_size: 7,
        checksums,
        through_client: true,
        lacks_tags: false,
        parts: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_part_goes_as_the_sdk_sends_it() {
    let body = Bytes::from_static(b"content");
    let checksum = Checksum::of(&body);
    let trailer = || {
        let named = [("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", "7")];
        let trailer = ("x-amz-trailer", "x-amz-checksum-crc64nvme");
        named.into_iter().chain([trailer]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    for place in places() {
        for (key, checksums) in [("k", true), ("a b+%é//x", false)] {
            let upload = upload(checksums);
            for in_memory in [true, false] {
                let (wire, taught) = (Wire::default(), Wire::default());
                let [fresh, bucket] = [&wire, &taught].map(|wire| place.open(wire));
                bucket.list(&PageRequest::default()).await.unwrap();
                for bucket in [fresh, bucket] {
                    if in_memory {
                        let sent = bucket.upload_part(key, &upload, 10_000, &body, checksum).await.unwrap();
                        assert_eq!((&sent.etag[..], sent.checksum), ("\"e\"", Some(checksum)));
                    } else {
                        // As a part is that is streamed, but for its body.
                        let (signed, headers, md5) = match checksums {
                            true => (Signed::with_trailer(), trailer(), None),
                            false => (Signed::unsigned(), Vec::new(), Some("md5".to_owned())),
                        };
                        let part = UploadPartInput::builder().key(key).upload_id(&upload.id).part_number(1);
                        let part = part.body(ByteStream::from(body.clone())).set_content_md5(md5);
                        bucket.upload(part, signed, headers).await.unwrap();
                    }
                }
                assert_last_is_same(&wire, &taught, &format!("{place:?} {key} {in_memory}"));
            }
        }
    }
}

#[tokio::test]
async fn credentials_are_those_of_the_moment() {
    let (wire, taught) = (Wire::default(), Wire::default());
    let bucket = Place::default().open(&taught);
    Copy::default().send(&bucket, &bucket).await.unwrap();
    for token in [Some("one"), Some("two"), None] {
        let fresh = Place { token, ..Place::default() }.open(&wire);
        let current = Credentials::new("AKIDEXAMPLE", "secret/key+", token.map(str::to_owned), None, "a test");
        bucket.credentials.as_ref().unwrap().hold(current);
        Copy::default().send(&fresh, &fresh).await.unwrap();
        Copy::default().send(&bucket, &bucket).await.unwrap();
        assert_last_is_same(&wire, &taught, &format!("{token:?}"));
    }
}

#[tokio::test]
async fn what_is_not_signed_plainly_stays_with_the_sdk() {
    for place in [
        Place::with(|config| config.no_sign_request = true),
        Place::of("bucket--euw1-az1--x-s3"),
        Place::of("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"),
        // Its endpoint's rules prefer a signature for all regions.
        Place::of("arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/point"),
    ] {
        let wire = Wire::default();
        let bucket = place.open(&wire);
        for _ in 0..3 {
            Copy::default().send(&bucket, &bucket).await.unwrap();
            bucket.list(&PageRequest::default()).await.unwrap();
        }
        let sent = wire.sent();
        assert_eq!(sent.len(), 6, "{place:?}");
        assert!(sent.iter().all(Sent::is_sdks), "{place:?}");
    }
}

#[test]
fn a_scope_is_that_of_a_plain_signature() {
    let scope = |authorization: &'static str| {
        let mut headers = HttpHeaders::new();
        headers.insert("authorization", authorization);
        Scope::of(&headers).map(|scope| format!("{scope:?}"))
    };
    let plain = "AWS4-HMAC-SHA256 Credential=a/b/20261121/r/s3/aws4_request, SignedHeaders=x, Signature=y";
    assert_eq!(scope(plain).unwrap(), "Scope { region: \"r\", service: \"s3\" }");
    for other in [
        "AWS4-HMAC-SHA256 Credential=a/20261121/r/s3express/aws4_request, SignedHeaders=x, Signature=y",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20261121/s3/aws4_request, SignedHeaders=x, Signature=y",
        "AWS4-HMAC-SHA256 Credential=a",
        "Bearer x",
    ] {
        assert_eq!(scope(other), None, "{other}");
    }
    assert_eq!(Scope::of(&HttpHeaders::new()), None);
}

/// The answers that are told the same, whoever asked.
fn answers() -> Vec<Canned> {
    let error =
        |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no\nway</Message></Error>");
    let ids = || vec![("x-amz-request-id", "R".to_owned()), ("x-amz-id-2", "I".to_owned())];
    let mut answers = vec![
        (503, [ids(), vec![("retry-after", "7".to_owned())]].concat(), error("SlowDown")),
        (503, ids(), String::new()),
        (400, ids(), error("RequestTimeout")),
        (500, ids(), error("InternalError")),
        (404, ids(), error("NoSuchKey")),
        (403, ids(), error("AccessDenied")),
        (403, ids(), String::new()),
        (412, ids(), error("PreconditionFailed")),
        (301, ids(), error("PermanentRedirect")),
        (307, ids(), String::new()),
        (400, ids(), error("ExpiredToken")),
        (500, Vec::new(), "<Error><Code>Internal".to_owned()),
        (502, Vec::new(), "<html>bad</html>".to_owned()),
        (500, Vec::new(), "x".repeat(9 << 20)),
    ];
    let in_success = [error("InternalError"), error("SlowDown"), String::new(), "<a".to_owned(), "<a></a>".to_owned()];
    let large = format!("<CopyObjectResult>{}", "x".repeat(9 << 20));
    let cut = [COPIED, LISTED].map(|body| body[..body.len() - 5].to_owned());
    answers.extend(in_success.into_iter().chain(cut).chain([large]).map(|body| (200, ids(), body)));
    answers
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_told_as_the_sdk_tells_it() {
    for canned in answers() {
        let sum = format!("{} {}", canned.0, canned.2.get(..40).unwrap_or(&canned.2));
        let (mut told, mut illness) = (Vec::new(), Vec::new());
        for taught in [false, true] {
            let wire = Wire::default();
            let bucket = Place { token: Some("t"), ..Place::default() }.open(&wire);
            if taught {
                Copy::default().send(&bucket, &bucket).await.unwrap();
                bucket.list(&PageRequest::default()).await.unwrap();
            }
            wire.answers(canned.clone());
            let copied = Copy::default().send(&bucket, &bucket).await.map(|_| ());
            let poisoned = wire.poisoned.swap(0, SeqCst);
            let (sdks, ready) = (wire.sent().pop().unwrap().is_sdks(), bucket.credentials.as_ref().unwrap().is_ready());
            assert_eq!(sdks, !taught, "{sum}");
            wire.next.lock().unwrap().clear();
            let other = Place::default().open(&wire);
            if taught {
                other.list(&PageRequest::default()).await.unwrap();
            }
            wire.answers(canned.clone());
            let listed = other.list(&PageRequest::default()).await.map(|_| ());
            let (mut moved, body) = (Vec::new(), Bytes::new());
            for operation in [Operation::GetObject, Operation::PutObject, Operation::UploadPart] {
                wire.next.lock().unwrap().clear();
                let bucket = Place::default().open(&wire);
                if taught {
                    bucket.list(&PageRequest::default()).await.unwrap();
                }
                wire.poisoned.store(0, SeqCst);
                wire.answers(canned.clone());
                let answer = match operation {
                    Operation::GetObject => bucket.get(&Object::new("k", 0), 100).await.map(|_| ()),
                    Operation::UploadPart => {
                        bucket.upload_part("k", &upload(true), 1, &body, Checksum::EMPTY).await.map(|_| ())
                    }
                    _ => bucket.put("k", &body, Checksum::EMPTY, &Attributes::default(), false).await.map(|_| ()),
                };
                let sdks = wire.sent().last().unwrap().is_sdks();
                assert_eq!(sdks, !taught, "{sum}");
                moved.push((answer, wire.poisoned.swap(0, SeqCst)));
            }
            told.push((copied, listed, ready, moved));
            assert!(poisoned <= 1, "{sum}");
            illness.push(poisoned == 1);
        }
        assert_eq!(told[0], told[1], "{sum}");
        assert!(told[0].0.is_err(), "{sum}");
        assert_eq!(illness[0], illness[1], "whether the connection is used again: {sum}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_store_counts() {
    let wire = Wire::default();
    let bucket = Place { attempts: 2, ..Place::default() }.open(&wire);
    let times = [
        ("20261121T133456Z", "Sat, 21 Nov 2026 13:34:56 GMT"),
        // It is turned back, and on.
        ("20261121T103456Z", "Sat, 21 Nov 2026 10:34:56 GMT"),
        ("20261122T123456Z", "Sun, 22 Nov 2026 12:34:56 GMT"),
    ];
    let mut before = "20261121T123456Z";
    for (round, time) in times.into_iter().enumerate() {
        *wire.time.lock().unwrap() = Some(time);
        for _ in 0..2 {
            Copy::default().send(&bucket, &bucket).await.unwrap();
        }
        let sent = wire.sent();
        let dates: Vec<_> = sent.iter().map(|sent| sent.header("x-amz-date").unwrap()).collect();
        assert_eq!(dates, [before, time.0, time.0]);
        // Two were needed until one of the SDK's had an answer.
        let sdks: Vec<_> = sent.iter().map(Sent::is_sdks).collect();
        assert_eq!(sdks, [round == 0, round == 0, false]);
        before = time.0;
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_one_is_told_as_the_sdk_tells_it() {
    let wire = Wire::default();
    let odd = Attributes { storage_class: Some("a\nb".to_owned()), ..Attributes::default() };
    let odd = Copy { attributes: odd, ..Copy::default() };
    let bucket = Place::default().open(&wire);
    let by_sdk = odd.send(&bucket, &bucket).await.unwrap_err();
    Copy::default().send(&bucket, &bucket).await.unwrap();
    let lean = odd.send(&bucket, &bucket).await.unwrap_err();
    assert_eq!((lean.class, &lean.code), (by_sdk.class, &by_sdk.code));
    assert_eq!((lean.class, wire.sent().len()), (Class::Transient, 1));
}
