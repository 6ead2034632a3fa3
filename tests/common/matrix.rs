//! The cells of the fault matrix: which run meets the fault, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use s3bulk_test_server::{Config, Fault, Object, Operation, Rule, When};
use serde_json::Value;

use super::{DEST, MIB, Ran, SMALL_PARTS, SOURCE, World, assert_same, object};

/// What a request may take where nothing answers, and how long a body drips.
const PATIENCE: &str = "1s";
const DRIP: Duration = Duration::from_secs(3);

/// The faults of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SlowDown,
    InternalError,
    TooManyRequests,
    ResetBefore,
    ResetAfter,
    ErrorIn200,
    Empty200,
    MalformedXml,
    Truncated,
    WrongLength,
    Drip,
    Hang,
    /// 403, for good.
    Forbidden,
    /// 404, for good: what is not there depends on the call.
    NotFound,
    /// The source object is deleted just before the call.
    Vanishes,
}

pub const KINDS: [Kind; 15] = [
    Kind::SlowDown,
    Kind::InternalError,
    Kind::TooManyRequests,
    Kind::ResetBefore,
    Kind::ResetAfter,
    Kind::ErrorIn200,
    Kind::Empty200,
    Kind::MalformedXml,
    Kind::Truncated,
    Kind::WrongLength,
    Kind::Drip,
    Kind::Hang,
    Kind::Forbidden,
    Kind::NotFound,
    Kind::Vanishes,
];

impl Kind {
    /// A fault of the moment: the next call may be well.
    pub fn is_transient(self) -> bool {
        !matches!(self, Kind::Forbidden | Kind::NotFound | Kind::Vanishes)
    }

    fn fault(self, operation: Operation) -> Fault {
        let code = |status, code: &str| Fault::Code { status, code: code.to_owned() };
        match self {
            Kind::SlowDown => Fault::SlowDown,
            Kind::InternalError => Fault::InternalError,
            Kind::TooManyRequests => Fault::TooManyRequests,
            Kind::ResetBefore => Fault::ResetBefore,
            Kind::ResetAfter => Fault::ResetAfter,
            Kind::ErrorIn200 => Fault::ErrorIn200,
            Kind::Empty200 => Fault::Empty200,
            Kind::MalformedXml => Fault::MalformedXml,
            Kind::Truncated => Fault::Truncated,
            Kind::WrongLength => Fault::WrongLength,
            Kind::Drip => Fault::Drip(DRIP),
            Kind::Hang => Fault::Hang(Duration::from_secs(600)),
            Kind::Forbidden => code(403, "AccessDenied"),
            Kind::NotFound => code(404, missing(operation)),
            Kind::Vanishes => Fault::Deletes { bucket: SOURCE.to_owned(), key: "in/a".to_owned() },
        }
    }
}

/// What a 404 to this call says that there is not.
pub fn missing(operation: Operation) -> &'static str {
    match operation {
        Operation::HeadBucket
        | Operation::ListObjectsV2
        | Operation::PutObject
        | Operation::CreateMultipartUpload
        | Operation::ListMultipartUploads => "NoSuchBucket",
        Operation::UploadPart
        | Operation::CompleteMultipartUpload
        | Operation::AbortMultipartUpload
        | Operation::ListParts => "NoSuchUpload",
        _ => "NoSuchKey",
    }
}

/// A run that sends an operation: which way it goes, and whether the object has parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    pub operation: Operation,
    /// Where it is sent.
    pub bucket: &'static str,
    pub way: &'static str,
    pub large: bool,
    /// Parts are never in memory whole.
    pub streamed: bool,
}

const fn reads(operation: Operation, way: &'static str, large: bool) -> Scene {
    Scene { operation, bucket: SOURCE, way, large, streamed: false }
}

const fn scene(operation: Operation, way: &'static str, large: bool) -> Scene {
    Scene { operation, bucket: DEST, way, large, streamed: false }
}

const fn streamed(scene: Scene) -> Scene {
    Scene { streamed: true, ..scene }
}

pub const SCENES: [Scene; 19] = [
    reads(Operation::HeadBucket, "server", false),
    reads(Operation::ListObjectsV2, "server", false),
    reads(Operation::HeadObject, "server", true),
    // It is asked what became of an upload.
    scene(Operation::HeadObject, "server", true),
    reads(Operation::GetObject, "client", false),
    reads(Operation::GetObject, "client", true),
    streamed(reads(Operation::GetObject, "client", true)),
    scene(Operation::PutObject, "client", false),
    scene(Operation::CopyObject, "server", false),
    scene(Operation::UploadPart, "client", true),
    streamed(scene(Operation::UploadPart, "client", true)),
    scene(Operation::UploadPartCopy, "server", true),
    scene(Operation::CreateMultipartUpload, "server", true),
    scene(Operation::CompleteMultipartUpload, "server", true),
    scene(Operation::CompleteMultipartUpload, "client", true),
    scene(Operation::AbortMultipartUpload, "server", true),
    reads(Operation::GetObjectTagging, "client", false),
    scene(Operation::ListParts, "server", true),
    // It is looked for an upload of which the answer was lost.
    scene(Operation::ListMultipartUploads, "server", true),
];

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub scene: Scene,
    pub kind: Kind,
    /// The fault strikes every call, rather than one.
    pub lasts: bool,
}

/// What became of the object that the fault was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Copied,
    /// Copied without its tags, which is said.
    WithoutTags,
    /// In the failures file, with this code.
    Failed(&'static str),
    /// Skipped, as it is gone.
    Vanished,
    /// The run could not go on, and says this code.
    Unworkable(&'static str),
}

/// What became of its upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// None is open.
    None,
    /// One may be open, and it is said.
    Said,
    /// One may be open: the server said that there was none.
    Denied,
}

/// A key that is struck, and two that are not.
fn world(large: bool) -> World {
    let world = World::with(Config { page_size: 2, ..Config::default() });
    let first = if large { Object::pattern(5 * MIB + 20, 1) } else { Object::new("a body of some bytes") };
    // Nothing but its length and its entity tag tells that it is whole.
    let first = first.content_type("text/plain").metadata("key", "a").tag("key", "a").without_checksum();
    world.store().put(SOURCE, "in/a", first);
    world.store().put(SOURCE, "in/b", object("in/b", 0));
    world.store().put(SOURCE, "in/c", object("in/c", 1));
    world
}

impl Cell {
    /// Runs the cell, and tells what is not as it should be.
    pub fn check(self, expected: &End, upload: Upload) -> Result<(), String> {
        let found = std::panic::catch_unwind(|| self.run(expected, upload));
        found.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("{self:?}: {}", text.unwrap_or_default())
        })
    }

    fn args(self) -> Vec<&'static str> {
        let mut args = SMALL_PARTS.to_vec();
        // One after the other: the second part is the short one.
        args.extend(["--via", self.scene.way, "--concurrency", "1", "--list-concurrency", "1"]);
        if self.scene.streamed {
            args.extend(["--memory", "16MiB"]);
        }
        if self.lasts {
            args.extend(["--attempts", "2"]);
        }
        if matches!(self.kind, Kind::Hang | Kind::Drip) {
            args.extend(["--request-timeout", PATIENCE]);
        }
        args
    }

    /// What has to have happened before the operation is sent at all.
    fn prepare(self, world: &World) {
        let code = |status, code: &str| Fault::Code { status, code: code.to_owned() };
        let second_part = |fault| Rule::on(Operation::UploadPartCopy, fault).key("out/a").when(When::Kth(2));
        match self.scene.operation {
            Operation::AbortMultipartUpload => world.server.faults().add(second_part(code(403, "AccessDenied"))),
            Operation::ListMultipartUploads => {
                let lost = Rule::on(Operation::CreateMultipartUpload, Fault::ResetAfter).when(When::Kth(1));
                world.server.faults().add(lost);
            }
            Operation::ListParts => {
                world.server.faults().add(second_part(code(404, "NoSuchBucket")));
                world.copy_all(&self.args()).expect(10);
                assert_eq!(world.open_uploads().len(), 1);
                world.server.faults().clear();
            }
            _ => {}
        }
    }

    fn rules(self) -> Vec<Rule> {
        let operation = self.scene.operation;
        let rule = Rule::on(operation, self.kind.fault(operation));
        let rule = match (operation, self.scene.bucket) {
            (Operation::HeadBucket | Operation::ListObjectsV2 | Operation::ListMultipartUploads, bucket) => {
                rule.bucket(bucket)
            }
            (_, SOURCE) => rule.bucket(SOURCE).key("in/a"),
            (_, bucket) => rule.bucket(bucket).key("out/a"),
        };
        // The first page and the first part come through: it is the second that is struck.
        let is_part = matches!(operation, Operation::UploadPart | Operation::UploadPartCopy | Operation::GetObject);
        let first = if (self.scene.large && is_part) || operation == Operation::ListObjectsV2 { 2 } else { 1 };
        let last = if self.lasts { first + 40 } else { first };
        (first..=last).map(|nth| rule.clone().when(When::Kth(nth))).collect()
    }

    fn run(self, expected: &End, upload: Upload) {
        let world = world(self.scene.large);
        let source = world.under(SOURCE, "in/");
        self.prepare(&world);
        let earlier = world.server.faults().injected_into(self.scene.operation);
        self.rules().into_iter().for_each(|rule| world.server.faults().add(rule));
        let ran = world.copy_all(&self.args()).expect_sums();
        let injected = world.server.faults().injected_into(self.scene.operation) - earlier;
        assert!(injected > 0 && (self.lasts || injected == 1), "{injected} faults were injected: {ran:?}");
        ended(&world, &ran, expected, &source);
        let open = world.open_uploads();
        match upload {
            Upload::None if ran.json()["checkpoint"].is_null() => assert_eq!(open, [""; 0], "{ran:?}"),
            Upload::None if matches!(expected, End::Unworkable(_)) => {
                assert_eq!(open, world.named_uploads(), "{ran:?}")
            }
            Upload::None => assert_eq!(open, [""; 0], "{ran:?}"),
            Upload::Said => {
                assert!(ran.said("see s3bulk abort-uploads") >= open.len().max(1), "{ran:?}")
            }
            Upload::Denied => assert!(open.len() <= 1, "{ran:?}"),
        }
        mended(&world, &self.args(), expected);
        let left = if upload == Upload::None { Vec::new() } else { open };
        assert_eq!(world.open_uploads(), left);
    }
}

/// The run ended as it should.
#[track_caller]
fn ended(world: &World, ran: &Ran, expected: &End, source: &BTreeMap<String, Arc<Object>>) {
    let mut source = source.clone();
    let mut dest = world.under(DEST, "out/");
    let settled = ran.count("resumed") + ran.count("done");
    let exit = match expected {
        End::Copied => {
            assert_eq!((settled, ran.count("skipped"), &ran.json()["failures"]), (3, 0, &Value::Null), "{ran:?}");
            assert_eq!(ran.count_or_none("lacking_tags"), 0, "{ran:?}");
            0
        }
        End::WithoutTags => {
            assert_eq!((settled, ran.count_or_none("lacking_tags")), (3, 1), "{ran:?}");
            source.entry("a".to_owned()).and_modify(|object| Arc::make_mut(object).tags.clear());
            0
        }
        End::Failed(code) => {
            assert_eq!((settled, ran.count("failed"), ran.count("skipped")), (2, 1, 0), "{ran:?}");
            let failures = std::fs::read_to_string(ran.json()["failures"].as_str().unwrap()).unwrap();
            let failure: Value = serde_json::from_str(&failures).unwrap();
            assert_eq!((failure["key"].as_str(), failure["bucket"].as_str()), (Some("in/a"), Some(SOURCE)));
            assert_eq!(failure["code"].as_str(), Some(*code), "{failure}");
            3
        }
        End::Vanished => {
            let skipped = ran.json()["skipped_by_reason"]["vanished"].as_u64();
            assert_eq!((settled, ran.count("skipped"), skipped), (2, 1, Some(1)), "{ran:?}");
            0
        }
        End::Unworkable(code) => {
            assert_eq!((ran.count("failed"), ran.count("skipped")), (0, 0), "{ran:?}");
            assert!(ran.stderr.contains(code), "{ran:?}");
            10
        }
    };
    assert_eq!(ran.code, Some(exit), "{ran:?}");
    if matches!(expected, End::Copied | End::WithoutTags) {
        return assert_same(&source, &dest);
    }
    // What is there is whole.
    if dest.contains_key("a") && *expected != End::Vanished {
        assert_same(&only(&source, "a"), &only(&dest, "a"));
    }
    if !matches!(expected, End::Unworkable(_)) {
        dest.remove("a");
        source.remove("a");
    }
    source.retain(|key, _| dest.contains_key(key) || !matches!(expected, End::Unworkable(_)));
    assert_same(&source, &dest);
}

fn only(objects: &BTreeMap<String, Arc<Object>>, key: &str) -> BTreeMap<String, Arc<Object>> {
    objects.iter().filter(|(found, _)| *found == key).map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
}

/// Without the fault the next run brings what is missing.
#[track_caller]
fn mended(world: &World, args: &[&str], expected: &End) {
    world.server.faults().clear();
    let more: &[&str] = match expected {
        End::Failed(_) => &["--retry-failed"],
        End::Unworkable(_) => &[],
        _ => return,
    };
    let ran = world.copy_all(&[args, more].concat()).expect(0).expect_sums();
    assert_eq!(ran.count("resumed") + ran.count("done"), 3, "{ran:?}");
    world.assert_copied();
}

/// Runs `check` on all cells, some at once, and tells all that are not as they should be.
pub fn check_all(cells: &[Cell], expected: impl Fn(Cell) -> (End, Upload) + Sync) {
    let (next, wrong) = (std::sync::atomic::AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let (end, upload) = expected(*cell);
                    if let Err(why) = cell.check(&end, upload) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}
