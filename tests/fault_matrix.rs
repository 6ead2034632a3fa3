//! Every fault on every operation: what becomes of the object that is struck, cell by cell.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::matrix::{Cell, End, KINDS, Kind, SCENES, Upload, check_all, missing};
use common::{DEST, MIB, SOURCE, World};
use s3bulk_test_server::{Fault, Object, Operation, Rule};

/// What a fault that strikes one call, or one for good (403, 404), comes to.
fn expected_of_one(cell: Cell) -> (End, Upload) {
    use Operation::*;
    let operation = cell.scene.operation;
    let end = match (operation, cell.kind) {
        // The object fails for another reason: that is why its upload is aborted.
        (AbortMultipartUpload, _) => End::Failed("AccessDenied"),
        (_, kind) if kind.is_transient() => End::Copied,
        // What a bucket is asked for need not be allowed.
        (HeadBucket | ListMultipartUploads, Kind::Forbidden) => End::Copied,
        (HeadObject, Kind::Forbidden) if cell.scene.bucket == DEST => End::Copied,
        (HeadBucket, Kind::NotFound) => End::Unworkable("does not exist"),
        (ListMultipartUploads, Kind::NotFound) => End::Copied,
        (ListObjectsV2, Kind::Forbidden) => End::Unworkable("AccessDenied"),
        (GetObjectTagging, Kind::Forbidden) => End::WithoutTags,
        // What the checkpoint says of the parts is relied on.
        (ListParts, Kind::Forbidden) => End::Copied,
        (_, Kind::Forbidden) => End::Failed("AccessDenied"),
        // It is begun anew.
        (ListParts, Kind::NotFound) => End::Copied,
        (_, Kind::NotFound) if missing(operation) == "NoSuchBucket" => End::Unworkable("NoSuchBucket"),
        // An answer to HEAD has no body that would name it.
        (HeadObject, Kind::NotFound) => End::Failed("NotFound"),
        (_, Kind::NotFound) => End::Failed(missing(operation)),
        // All that is needed of the source was read before.
        (PutObject | UploadPart | CompleteMultipartUpload, _) => End::Copied,
        (HeadObject, _) if cell.scene.bucket == DEST => End::Copied,
        _ => End::Vanished,
    };
    let upload = match (operation, cell.kind) {
        (AbortMultipartUpload | ListMultipartUploads, Kind::Forbidden) => Upload::Said,
        (ListMultipartUploads, Kind::NotFound) => Upload::Said,
        (AbortMultipartUpload | ListParts, Kind::NotFound) | (AbortMultipartUpload, Kind::Empty200) => Upload::Denied,
        _ => Upload::None,
    };
    (end, upload)
}

/// What a fault that strikes every call, until the attempts are used up, comes to.
fn expected_of_all(cell: Cell) -> (End, Upload) {
    use Operation::*;
    let operation = cell.scene.operation;
    let has_body = !matches!(operation, HeadBucket | HeadObject | PutObject | UploadPart | AbortMultipartUpload);
    let code = match (operation, cell.kind) {
        // An answer to HEAD has no body that would name it.
        (HeadObject, Kind::SlowDown) => "ServiceUnavailable",
        (HeadObject, Kind::ErrorIn200 | Kind::Empty200 | Kind::MalformedXml) => "InternalError",
        (_, Kind::SlowDown) => "SlowDown",
        (_, Kind::TooManyRequests) => "TooManyRequests",
        (_, Kind::InternalError) => "InternalError",
        // An object may be anything; that it is not the one that was asked for shows otherwise.
        (GetObject, Kind::ErrorIn200) => "MalformedAnswer",
        (_, Kind::ErrorIn200) => "InternalError",
        (_, Kind::ResetBefore | Kind::ResetAfter) => "ConnectionFailed",
        // It is the size of the object that is told.
        (HeadObject, Kind::WrongLength) if cell.scene.bucket == DEST => "ChecksumMismatch",
        (_, Kind::Truncated) if !has_body => "ConnectionFailed",
        (GetObject, Kind::Truncated) => "IncompleteBody",
        (ListObjectsV2, Kind::Truncated) => "ConnectionFailed",
        // The head of a part is right, its bytes are not.
        (GetObject, Kind::MalformedXml | Kind::WrongLength) if cell.scene.large => "IncompleteBody",
        (_, Kind::Hang | Kind::Drip) => "RequestTimeout",
        _ => "MalformedAnswer",
    };
    // The work was done, if not answered: that it was is found out.
    let is_done =
        matches!(cell.kind, Kind::ResetAfter | Kind::MalformedXml | Kind::Truncated | Kind::WrongLength | Kind::Drip);
    let end = match operation {
        AbortMultipartUpload => End::Failed("AccessDenied"),
        CompleteMultipartUpload if is_done => End::Copied,
        // It is answered, if with an error: whether one may work is for the first request to say.
        HeadBucket if !matches!(code, "ConnectionFailed" | "RequestTimeout") => End::Copied,
        HeadBucket | ListObjectsV2 => End::Unworkable(code),
        ListMultipartUploads => End::Copied,
        _ => End::Failed(code),
    };
    let upload = match (operation, cell.kind) {
        (AbortMultipartUpload, Kind::Empty200) => Upload::Denied,
        (AbortMultipartUpload, Kind::MalformedXml | Kind::WrongLength) => Upload::None,
        (AbortMultipartUpload | ListMultipartUploads, _) => Upload::Said,
        _ => Upload::None,
    };
    (end, upload)
}

#[test]
fn a_fault_that_strikes_once_is_healed_and_one_that_does_not_pass_is_told() {
    let applies = |cell: &Cell| {
        // Whether a listing shows what is deleted meanwhile is a matter of luck.
        let before = matches!(cell.scene.operation, Operation::HeadBucket | Operation::ListObjectsV2);
        !(cell.kind == Kind::Vanishes && (before || cell.scene.operation == Operation::AbortMultipartUpload))
    };
    let cell = |scene, kind: Kind| Cell { scene, kind, lasts: matches!(kind, Kind::Forbidden | Kind::NotFound) };
    let cells = SCENES.iter().flat_map(|scene| KINDS.map(|kind| cell(*scene, kind)));
    check_all(&cells.filter(applies).collect::<Vec<_>>(), expected_of_one);
}

#[test]
fn a_fault_that_strikes_every_call_is_told_by_its_name() {
    let cells = SCENES.iter().flat_map(|scene| KINDS.map(|kind| Cell { scene: *scene, kind, lasts: true }));
    check_all(&cells.filter(|cell| cell.kind.is_transient()).collect::<Vec<_>>(), expected_of_all);
}

#[test]
fn a_length_that_is_always_wrong_is_refused_again_when_failures_are_tried_again() {
    for large in [false, true] {
        let world = World::new();
        let object = if large { Object::pattern(6 * MIB, 1) } else { Object::new("a body of some bytes") };
        world.store().put(SOURCE, "in/a", object.without_checksum());
        for operation in [Operation::HeadObject, Operation::GetObject] {
            world.server.faults().add(Rule::on(operation, Fault::WrongLength).bucket(SOURCE));
        }
        for more in [&[][..], &["--retry-failed"], &["--retry-failed"]] {
            let ran = world.copy_in_parts("client", &[&["--attempts", "2"], more].concat()).expect(3).expect_sums();
            assert!(ran.stderr.contains("MalformedAnswer"), "{ran:?}");
            assert!(world.store().keys(DEST).is_empty());
        }
        // It is another object by now, of another length.
        world.server.faults().clear();
        world.store().put(SOURCE, "in/a", Object::new("short").without_checksum());
        world.copy_in_parts("client", &["--retry-failed"]).expect(0);
        world.assert_copied();
    }
}
