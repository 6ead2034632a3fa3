//! Archived objects that are not restored: what a copy makes of them. Pure.

use crate::model::{Access, Class, Object, Operation, RequestError, Skip};
use crate::store::Head;

/// The code of S3 for objects that have to be restored before they can be read.
const CODE: &str = "InvalidObjectState";

/// What to do about one.
const HINT: &str = "restore it first (s3bulk restore --wait; with --to DEST it copies objects as soon as they can be \
                    read), or leave such objects out with --archived skip";

/// What becomes of archived objects that are not restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Archived {
    /// They fail, with a word on what to do.
    #[default]
    Fail,
    /// They are skipped.
    Skip,
}

/// What follows for `object`, if it cannot be read `now` as far as is known: it is skipped, or fails without
/// a request. `None` where it may be read.
///
/// # Errors
/// `InvalidObjectState`, where such objects fail.
pub(super) fn judge(
    object: &Object,
    archived: Archived,
    operation: Operation,
    now: i64,
) -> Result<Option<Skip>, RequestError> {
    let access = object.access(now);
    match archived {
        _ if !access.is_cold() => Ok(None),
        Archived::Skip => Ok(Some(Skip::Archived)),
        Archived::Fail => {
            let class = object.storage_class.as_deref().unwrap_or("an archive");
            let state = if access == Access::Restoring {
                format!("the object is being restored from {class} and cannot be read yet: wait for it")
            } else {
                format!("the object is archived ({class}) and not restored: {HINT}")
            };
            Err(RequestError { attempts: 0, ..RequestError::local(operation, Class::Permanent, CODE, state) })
        }
    }
}

/// What follows from an answer of the store: a skip, or the error, with a word on what to do where it
/// says that the object is archived.
pub(super) fn answered(error: RequestError, archived: Archived) -> Result<Skip, RequestError> {
    // Our own has its words.
    if error.code != CODE || error.attempts == 0 {
        return Err(error);
    }
    match archived {
        Archived::Skip => Ok(Skip::Archived),
        Archived::Fail => Err(RequestError { message: format!("{}: {HINT}", error.message), ..error }),
    }
}

/// Refuses what its HEAD shows to be archived, before an upload is begun for it. What follows is as for
/// the answer of the store that it stands for.
///
/// # Errors
/// `InvalidObjectState`.
pub(super) fn refuse_archived(head: &Head) -> Result<(), RequestError> {
    let access = head.object("").access(jiff::Timestamp::now().as_second());
    if !head.is_in_archive_tier && !access.is_cold() {
        return Ok(());
    }
    let message = "the object is archived and not restored";
    Err(RequestError::local(Operation::HeadObject, Class::Permanent, CODE, message))
}

/// Whether a store refused to read an object because it is archived.
pub(super) fn is_archived(error: &RequestError) -> bool {
    error.code == CODE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RestoreStatus;

    fn judged(class: &str, restore: Option<RestoreStatus>, archived: Archived) -> Result<Option<Skip>, RequestError> {
        let object = Object { storage_class: Some(class.to_owned()), restore, ..Object::new("k", 1) };
        judge(&object, archived, Operation::CopyObject, 100)
    }

    #[test]
    fn what_can_be_read_is_copied() {
        for archived in [Archived::Fail, Archived::Skip] {
            for class in ["STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"] {
                assert_eq!(judged(class, None, archived), Ok(None));
            }
            assert_eq!(judged("GLACIER", Some(RestoreStatus::Until(101)), archived), Ok(None));
        }
    }

    #[test]
    fn what_cannot_is_skipped_or_fails_without_a_request() {
        assert_eq!(judged("GLACIER", None, Archived::Skip), Ok(Some(Skip::Archived)));
        assert_eq!(judged("GLACIER", Some(RestoreStatus::Until(100)), Archived::Skip), Ok(Some(Skip::Archived)));
        let error = judged("DEEP_ARCHIVE", None, Archived::Fail).unwrap_err();
        assert_eq!((error.code.as_str(), error.attempts, error.class), (CODE, 0, Class::Permanent));
        assert!(error.message.contains("(DEEP_ARCHIVE)") && error.message.contains("s3bulk restore"), "{error}");
        let error = judged("GLACIER", Some(RestoreStatus::Ongoing), Archived::Fail).unwrap_err();
        assert!(error.message.contains("being restored from GLACIER"), "{error}");
    }

    #[test]
    fn the_answer_of_a_store_follows_the_same_choice() {
        let said = || RequestError::local(Operation::GetObject, Class::Permanent, CODE, "no");
        assert_eq!(answered(said(), Archived::Skip), Ok(Skip::Archived));
        let error = answered(said(), Archived::Fail).unwrap_err();
        assert!(error.message.starts_with("no: restore it first"), "{error}");
        let other = RequestError::local(Operation::GetObject, Class::Denied, "AccessDenied", "no");
        assert_eq!(answered(other.clone(), Archived::Skip), Err(other));
    }
}
