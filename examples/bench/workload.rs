//! What is measured, and the servers that it is measured on.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use s3bulk_test_server::{Config, Fault, Object, Operation, Rule, Server, Shape, When};

use crate::Outcome;

/// The bucket that is read.
pub(crate) const SOURCE: &str = "bench-source";
/// The bucket that is written.
pub(crate) const DEST: &str = "bench-dest";

/// Before each answer, where it is small objects: about that of S3 for a copy of one.
const LATENCY: Duration = Duration::from_millis(20);
/// Before each page of the listing that is measured: about that of S3 for a page of 1,000 keys.
const PAGE_LATENCY: Duration = Duration::from_millis(80);
/// What a limited server does in a second.
const LIMIT: f64 = 1_000.0;
/// The one large object, in bytes.
const LARGE: u64 = 4 << 30;
/// Larger bodies are not kept: the server's memory is not measured, and is not to be in the way.
const KEEP_BODIES: u64 = 1 << 20;
/// Where the keys start from: the same are made each time.
const SEED: u64 = 1;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Small objects within one endpoint.
    SmallServer,
    /// Small objects from one endpoint to another.
    SmallClient,
    /// One large object from one endpoint to another.
    Large,
    /// A flat listing.
    List,
    /// Small objects within an endpoint that refuses what is too much.
    Limited,
    /// Starting, and nothing else.
    Start,
}

impl Workload {
    /// How many objects there are; `typed` in place of what it has by itself.
    pub(crate) fn count(self, typed: Option<u64>) -> u64 {
        match self {
            Workload::SmallServer | Workload::Limited => typed.unwrap_or(20_000),
            Workload::SmallClient => typed.unwrap_or(5_000),
            Workload::List => typed.unwrap_or(1_000_000),
            Workload::Large => 1,
            Workload::Start => 0,
        }
    }

    /// What is done, for people.
    pub(crate) fn title(self, count: u64) -> String {
        let count = crate::table::grouped(&count.to_string(), ',');
        match self {
            Workload::SmallServer => {
                format!("{count} objects of 16 bytes within one endpoint, 20 ms before each answer")
            }
            Workload::SmallClient => {
                format!("{count} objects of 4 KiB from one endpoint to another, 20 ms before each answer")
            }
            Workload::Large => "One object of 4 GiB from one endpoint to another".to_owned(),
            Workload::List => format!("A listing of {count} keys without folders, 80 ms before each page"),
            Workload::Limited => format!("{count} objects within one endpoint that does 1,000 CopyObject a second"),
            Workload::Start => "Start: `--version`".to_owned(),
        }
    }

    /// Whether source and destination are two endpoints.
    pub(crate) fn has_two_ends(self) -> bool {
        matches!(self, Workload::SmallClient | Workload::Large)
    }

    fn object(self) -> Object {
        match self {
            Workload::SmallClient => Object::new(vec![b'x'; 4 << 10]),
            Workload::Large => Object::pattern(LARGE, SEED),
            _ => Object::new("0123456789abcdef"),
        }
    }

    /// The servers, filled: the one that is read, and the one that is written where that is another.
    pub(crate) fn servers(self, count: u64) -> Outcome<(Server, Option<Server>)> {
        let small = matches!(self, Workload::SmallServer | Workload::SmallClient);
        let config = Config {
            latency: if small { LATENCY } else { Duration::ZERO },
            list_latency: if self == Workload::List { PAGE_LATENCY } else { Duration::ZERO },
            keep_bodies: KEEP_BODIES,
            ..Config::default()
        };
        let source = Server::start_with(config.clone())?;
        source.store().create_bucket(SOURCE);
        source.store().fill(SOURCE, Shape::Hex.keys(SEED, count), self.object());
        let dest = if self.has_two_ends() { Some(Server::start_with(config)?) } else { None };
        dest.as_ref().unwrap_or(&source).store().create_bucket(DEST);
        if self == Workload::Limited {
            let operation = Some(Operation::CopyObject);
            source.faults().add(Rule { operation, when: When::Above(LIMIT), ..Rule::always(Fault::SlowDown) });
        }
        Ok((source, dest))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", PossibleValue::get_name))
    }
}
