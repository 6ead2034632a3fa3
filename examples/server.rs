//! The S3 server of the tests on its own, so that any client can be pointed at it:
//!
//! ```text
//! cargo run --release --example server -- --bucket photos --objects 20000
//! ```
//!
//! It holds everything in memory and forgets it on Ctrl-C.
#![allow(clippy::print_stdout, reason = "the endpoint on standard output is its interface")]

use std::io;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use s3bulk_test_server::{Account, Config, Fault, Object, Operation, Order, Rule, Server, Shape, Store, When};

/// Where the keys start from: the same are made each time.
const SEED: u64 = 1;

/// Run an S3 server in memory until Ctrl-C
#[derive(Debug, Parser)]
struct Arguments {
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Create this bucket; may be given several times
    #[arg(long = "bucket", value_name = "NAME")]
    buckets: Vec<String>,

    /// Fill the first bucket with so many small objects in folders
    #[arg(long, value_name = "COUNT", default_value_t = 0, requires = "buckets")]
    objects: u64,

    /// Fill the first bucket with so many keys of a shape, each an object of 16 bytes; may be given
    /// several times
    ///
    /// The shapes are hex (32 random digits), dates (2024/01/31/89abcdef), one-folder (fifty folders,
    /// one of them with 90 %), numbers (img-000000000123.jpg) and scripts (names in many scripts).
    #[arg(long, value_name = "SHAPE:COUNT", requires = "buckets")]
    fill: Vec<Fill>,

    /// Put an object of so many bytes, made up while it is read, into the first bucket under
    /// large/; may be given several times
    #[arg(long, value_name = "BYTES", requires = "buckets")]
    large: Vec<u64>,

    /// Keep only size and checksum of larger bodies that are written
    #[arg(long, value_name = "BYTES", default_value_t = u64::MAX, hide_default_value = true)]
    keep_bodies: u64,

    /// Copy only so many bytes a second within the store, for each request
    #[arg(long, value_name = "BYTES")]
    copy_rate: Option<u64>,

    /// The storage class of the objects that the first bucket is filled with
    #[arg(long, value_name = "CLASS", default_value = "STANDARD")]
    storage_class: String,

    /// Finish each restore after a time of its own, between half of this and all of it
    #[arg(long, value_name = "MILLISECONDS")]
    restore_after_ms: Option<u64>,

    /// Let restored copies expire after so long, in place of the days that were asked for
    #[arg(long, value_name = "MILLISECONDS")]
    restored_for_ms: Option<u64>,

    /// Refuse expedited restores for want of capacity
    #[arg(long)]
    no_expedited: bool,

    /// Leave RestoreStatus out of listings
    #[arg(long)]
    no_restore_status: bool,

    /// Keep older versions of what is written
    #[arg(long)]
    versioned: bool,

    /// Wait so long before every answer
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    latency_ms: u64,

    /// Wait so long, in addition, before every answer to ListObjectsV2
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    list_latency_ms: u64,

    /// List in this order: bytes, utf16, or shuffled like a directory bucket
    #[arg(long, value_name = "ORDER", default_value = "bytes", value_parser = order_named)]
    order: Order,

    /// Leave out the first key behind a start-after that names no object
    #[arg(long)]
    skips_after_missing: bool,

    /// Say that listings are encoded, and do not encode them
    #[arg(long)]
    claims_encoding: bool,

    /// Let in only requests signed with this key; everybody is let in without it
    #[arg(long, value_name = "KEY", requires = "secret_key")]
    access_key: Option<String>,

    /// The secret half of the access key
    #[arg(long, value_name = "SECRET", requires = "access_key")]
    secret_key: Option<String>,

    /// Fail an operation at random, such as CopyObject:slow-down:0.01; may be given several times
    ///
    /// The operation is named as S3 names it, or `any`. The kinds are slow-down,
    /// too-many-requests, internal-error, service-unavailable, reset-before, reset-after,
    /// error-in-200, empty-200, malformed-xml, cut-xml, truncated, corrupted, corrupted-request and hang (five
    /// minutes of silence).
    #[arg(long = "fault", value_name = "OPERATION:KIND:PROBABILITY")]
    faults: Vec<RandomFault>,

    /// Answer what is above so many requests a second with 503 SlowDown, such as CopyObject:1000, or
    /// CopyObject:1000:logs/ for keys that begin so; may be given several times
    #[arg(long = "limit", value_name = "OPERATION:RATE[:PREFIX]")]
    limits: Vec<Limit>,
}

/// A limit as it is typed.
#[derive(Clone, Debug)]
struct Limit {
    operation: Option<Operation>,
    rate: f64,
    key_prefix: Option<String>,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(operation), Some(rate)) = (parts.next(), parts.next()) else {
            return Err("a limit is OPERATION:RATE or OPERATION:RATE:PREFIX".to_owned());
        };
        let rate = rate.parse().ok().filter(|rate| *rate > 0.0).ok_or("a rate is a number above 0")?;
        Ok(Limit { operation: operation_named(operation)?, rate, key_prefix: parts.next().map(str::to_owned) })
    }
}

/// Many keys as they are typed.
#[derive(Clone, Debug)]
struct Fill {
    shape: Shape,
    count: u64,
}

impl FromStr for Fill {
    type Err = String;

    fn from_str(text: &str) -> Result<Fill, String> {
        let (shape, count) = text.split_once(':').ok_or("it is SHAPE:COUNT")?;
        let count = count.parse().map_err(|_| "a count is a whole number")?;
        Ok(Fill { shape: shape.parse()?, count })
    }
}

fn order_named(name: &str) -> Result<Order, String> {
    match name {
        "bytes" => Ok(Order::Bytes),
        "utf16" => Ok(Order::Utf16),
        "shuffled" => Ok(Order::Shuffled),
        _ => Err(format!("no order is named {name:?}")),
    }
}

/// A fault as it is typed.
#[derive(Clone, Debug)]
struct RandomFault {
    operation: Option<Operation>,
    fault: Fault,
    probability: f64,
}

impl FromStr for RandomFault {
    type Err = String;

    fn from_str(text: &str) -> Result<RandomFault, String> {
        let [operation, kind, probability] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err("a fault is OPERATION:KIND:PROBABILITY".to_owned());
        };
        let probability = probability.parse().ok().filter(|value| (0.0..=1.0).contains(value));
        Ok(RandomFault {
            operation: operation_named(operation)?,
            fault: fault_named(kind)?,
            probability: probability.ok_or("a probability is a number from 0 to 1")?,
        })
    }
}

fn operation_named(name: &str) -> Result<Option<Operation>, String> {
    if name == "any" {
        return Ok(None);
    }
    let found = Operation::ALL.iter().find(|operation| operation.as_str().eq_ignore_ascii_case(name));
    found.copied().map(Some).ok_or_else(|| format!("no operation is named {name:?}"))
}

fn fault_named(name: &str) -> Result<Fault, String> {
    Ok(match name {
        "slow-down" => Fault::SlowDown,
        "too-many-requests" => Fault::TooManyRequests,
        "internal-error" => Fault::InternalError,
        "service-unavailable" => Fault::ServiceUnavailable,
        "reset-before" => Fault::ResetBefore,
        "reset-after" => Fault::ResetAfter,
        "error-in-200" => Fault::ErrorIn200,
        "empty-200" => Fault::Empty200,
        "malformed-xml" => Fault::MalformedXml,
        "cut-xml" => Fault::CutXml,
        "truncated" => Fault::Truncated,
        "corrupted" => Fault::Corrupted,
        "corrupted-request" => Fault::CorruptedRequest,
        "hang" => Fault::Hang(Duration::from_secs(300)),
        _ => return Err(format!("no fault is named {name:?}")),
    })
}

/// A hundred objects to a folder, a hundred folders to a folder of folders.
fn fill(store: &Store, bucket: &str, objects: u64, class: &str) {
    for number in 0..objects {
        let key = format!("{:03}/{:03}/object-{number:08}.txt", number / 10_000, number / 100 % 100);
        let object = Object::new(format!("object {number}\n")).content_type("text/plain");
        store.put(bucket, &key, object.storage_class(class));
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let account = arguments.access_key.zip(arguments.secret_key);
    let server = Server::start_with(Config {
        port: arguments.port,
        accounts: account.map(|(access_key, secret_key)| Account::new(access_key, secret_key)).into_iter().collect(),
        latency: Duration::from_millis(arguments.latency_ms),
        list_latency: Duration::from_millis(arguments.list_latency_ms),
        order: arguments.order,
        skips_after_missing: arguments.skips_after_missing,
        claims_encoding: arguments.claims_encoding,
        keep_bodies: arguments.keep_bodies,
        copy_bytes_per_second: arguments.copy_rate,
        restore_after: arguments.restore_after_ms.map(Duration::from_millis),
        restored_for: arguments.restored_for_ms.map(Duration::from_millis),
        expedited: !arguments.no_expedited,
        tells_restores: !arguments.no_restore_status,
        versioned: arguments.versioned,
        ..Config::default()
    })?;
    for bucket in &arguments.buckets {
        server.store().create_bucket(bucket);
    }
    if let Some(first) = arguments.buckets.first() {
        let class = arguments.storage_class.as_str();
        fill(server.store(), first, arguments.objects, class);
        for Fill { shape, count } in &arguments.fill {
            server.store().fill(first, shape.keys(SEED, *count), Object::new("0123456789abcdef").storage_class(class));
        }
        for (number, size) in (1..).zip(&arguments.large) {
            server.store().put(
                first,
                &format!("large/{number}.bin"),
                Object::pattern(*size, number).storage_class(class),
            );
        }
    }
    for RandomFault { operation, fault, probability } in arguments.faults {
        let when = When::Probability(probability);
        server.faults().add(Rule { operation, when, ..Rule::always(fault) });
    }
    for Limit { operation, rate, key_prefix } in arguments.limits {
        server.faults().add(Rule { operation, key_prefix, when: When::Above(rate), ..Rule::always(Fault::SlowDown) });
    }
    println!("{}", server.endpoint());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())
}
