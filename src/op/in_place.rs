//! A copy of an object onto itself: what is asked for changes, and all else stays. Nothing is written but
//! onto the object that was looked at; where an answer was lost, a look at the object tells whether it had
//! changed, since a second try at an object that is archived by then is refused.

use super::archived::{is_archived, judge};
use super::copy::{Copied, Copy, Plan, size_changes, written_as};
use super::existing::one_part;
use super::left_alone::Alone;
use super::multipart::{LAST_REQUEST, RESTARTS, too_often};
use super::wants::STANDARD;
use super::{Archived, Steps};
use crate::model::{Class, Evidence, Item, Object, Operation, Origin, RequestError, Skip, Written};
use crate::store::{Head, Onto};

/// How objects are changed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// The storage class is all that is to change: an object that is in it is left alone.
    pub only_class: bool,
}

/// What a look at an object, before it is changed, leads to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Change,
    Skip(Skip),
}

/// What is to be done with `object`, of which the class `to` is wanted: one that is there already is no
/// question to the archive.
fn verdict(
    object: &Object,
    to: Option<&str>,
    how: InPlace,
    archived: Archived,
    now: i64,
) -> Result<Verdict, RequestError> {
    if how.only_class && to == Some(class(object)) {
        return Ok(Verdict::Skip(Skip::SameClass));
    }
    Ok(judge(object, archived, Operation::CopyObject, now)?.map_or(Verdict::Change, Verdict::Skip))
}

fn class(object: &Object) -> &str {
    object.storage_class.as_deref().unwrap_or(STANDARD)
}

/// Whether what is `there` is `before` after its change to the class `to`, and how that is known: by that
/// class, by its size, by a checksum or an entity tag that is still the same, or that was written anew.
fn settled(before: &Object, there: &Head, to: &str) -> Option<Evidence> {
    let now = there.object(&before.key);
    let is_changed = class(before) != to || before.last_modified != now.last_modified || before.etag != now.etag;
    if class(&now) != to || before.size != now.size || !is_changed {
        return None;
    }
    let etags = [&before.etag, &now.etag].map(|etag| etag.as_deref().and_then(one_part));
    let same = matches!(etags, [Some(before), Some(now)] if before == now && !there.has_opaque_etag);
    Some(if same { Evidence::Etag } else { Evidence::Size })
}

impl Copy {
    /// What a write may overwrite, where the source has this entity tag.
    pub(super) fn onto<'a>(&self, etag: Option<&'a str>) -> Onto<'a> {
        match (self.settings.keep.all, self.settings.in_place, etag) {
            (true, _, _) => Onto::Nothing,
            (false, Some(_), Some(etag)) => Onto::Only(etag),
            _ => Onto::Anything,
        }
    }

    /// Whether an item can be left alone as its listing shows it, for its class or since it is archived.
    pub(super) fn left_as_listed(&self, plan: &Plan<'_>, item: &Item) -> Result<Alone, RequestError> {
        // What was begun goes on; what failed before is looked at anew.
        let is_fresh = matches!(item.origin, Origin::Listing | Origin::Manifest { asked: true, .. });
        if item.upload.is_some() || !is_fresh {
            return Ok(Alone::Not);
        }
        let (settings, object) = (&self.settings, &item.object);
        let is_told = object.restore.is_some() || plan.source.tells_restores();
        let to = settings.wants.storage_class.as_deref();
        let is_there = settings.in_place.is_some_and(|how| how.only_class) && to == Some(class(object));
        if is_there && self.was_written_by_an_earlier_run(object) {
            let written = Written { etag: object.etag.clone(), ..Written::default() };
            return Ok(Alone::Done(Box::new(self.made(plan, item, Evidence::Answer, written))));
        }
        let skip = match (is_there, is_told) {
            (true, _) => Some(Skip::SameClass),
            (false, true) => judge(object, settings.archived, plan.reads(), now())?,
            // The request itself tells.
            (false, false) => None,
        };
        Ok(skip.map_or(Alone::Not, Alone::Skipped))
    }

    /// Whether an object was written while an earlier run, which was interrupted, changed objects.
    fn was_written_by_an_earlier_run(&self, object: &Object) -> bool {
        let written = object.last_modified.unwrap_or(i64::MIN);
        self.settings
            .unfinished
            .is_some_and(|(since, until)| (since..=until.saturating_add(LAST_REQUEST)).contains(&written))
    }

    /// Changes an object in place, unless it turns out to be left alone. One that is replaced meanwhile is
    /// begun again with what it is then.
    pub(super) async fn change(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        how: InPlace,
        steps: &Steps,
    ) -> Result<Changed, RequestError> {
        if item.object.version_id.is_some() {
            let message = "a version cannot be changed in place: what is written is a new one";
            return Err(RequestError::local(Operation::CopyObject, Class::Permanent, "VersionInPlace", message));
        }
        let mut seen = Item { origin: Origin::Listing, ..item.clone() };
        if item.listed_etag().is_none() || item.upload.is_some() {
            match self.look(plan, &seen, how, None, true).await? {
                Look::Ended(changed) => {
                    if let Some(upload) = &item.upload {
                        self.give_up(plan, &upload.id).await;
                    }
                    return Ok(changed);
                }
                Look::Again(object) => seen.object = object,
            }
        }
        let mut restarts = RESTARTS;
        loop {
            let in_parts = seen.upload.is_some() || seen.object.size > self.threshold(plan.way);
            let copied = match in_parts {
                true => self.in_parts(plan, &seen, steps).await,
                false => self.copy_object(plan, &seen).await.map(Some),
            };
            let tried = match copied {
                Ok(Some(copied)) => return Ok(Changed::Done(copied)),
                // It has become small.
                Ok(None) => None,
                Err(error) if is_refused(&error) || is_in_doubt(&error) => Some(error),
                Err(error) => return Err(error),
            };
            seen.upload = None;
            match self.look(plan, &seen, how, tried, restarts > 0).await? {
                Look::Ended(changed) => return Ok(changed),
                Look::Again(object) => seen.object = object,
            }
            restarts = restarts.saturating_sub(1);
        }
    }

    /// Looks at the object, before it is changed or after that was `tried`: it may have changed all the
    /// same, or be another one by now.
    async fn look(
        &self,
        plan: &Plan<'_>,
        seen: &Item,
        how: InPlace,
        tried: Option<RequestError>,
        may_go_on: bool,
    ) -> Result<Look, RequestError> {
        let key = &seen.object.key;
        let there = match (plan.source.head(key, None).await, &tried) {
            (Ok(there), _) => there,
            (Err(_), Some(tried)) if !is_refused(tried) => return Err(tried.clone()),
            (Err(error), _) => return Err(error),
        };
        let to = self.settings.wants.storage_class.as_deref();
        let object = Object { version_id: None, ..there.object(key) };
        let in_doubt = seen.upload.is_some()
            || tried.as_ref().is_some_and(is_in_doubt)
            || self.was_written_by_an_earlier_run(&object);
        if let Some(evidence) = to.filter(|_| in_doubt).and_then(|to| settled(&seen.object, &there, to)) {
            return Ok(Look::Ended(Changed::Done(self.made(plan, seen, evidence, written_as(&there)))));
        }
        match (verdict(&object, to, how, self.settings.archived, now())?, tried) {
            (Verdict::Skip(skip), _) => Ok(Look::Ended(Changed::Skipped(skip))),
            (Verdict::Change, Some(tried)) if !may_go_on || tried.class != Class::Unmet => Err(too_often(tried)),
            (Verdict::Change, None) if !may_go_on => Err(size_changes()),
            (Verdict::Change, _) => Ok(Look::Again(object)),
        }
    }
}

/// What became of an object that was to be changed.
#[derive(Debug)]
pub(super) enum Changed {
    Done(Copied),
    Skipped(Skip),
}

/// What follows from a look at an object.
#[derive(Debug)]
enum Look {
    Ended(Changed),
    /// It is to be changed, and this is what it is now.
    Again(Object),
}

/// Whether the store says that the object is not what it was taken for.
fn is_refused(error: &RequestError) -> bool {
    error.class == Class::Unmet || is_archived(error)
}

/// Whether the object may have been changed without an answer.
fn is_in_doubt(error: &RequestError) -> bool {
    (error.attempts > 1 || error.class.is_retryable()) && !matches!(error.class, Class::Interrupted | Class::Fatal)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RestoreStatus, Revision};
    use crate::store::{Encryption, Headers, Lock};

    const A: &str = "\"0123456789abcdef0123456789abcdef\"";
    const PARTS: &str = "\"0123456789abcdef0123456789abcdef-3\"";
    const CLASS: InPlace = InPlace { only_class: true };

    fn object(storage_class: &str, etag: &str) -> Object {
        let storage_class = Some(storage_class.to_owned()).filter(|class| class != STANDARD);
        Object { storage_class, etag: Some(etag.to_owned()), last_modified: Some(50), ..Object::new("k", 5) }
    }

    fn head(of: &Object, last_modified: i64) -> Head {
        Head {
            revision: Revision { size: of.size, etag: of.etag.clone().unwrap(), version_id: None },
            last_modified,
            headers: Headers::default(),
            has_unreadable_metadata: false,
            tag_count: 0,
            storage_class: of.storage_class.clone(),
            restore: None,
            is_in_archive_tier: false,
            encryption: Encryption::default(),
            has_opaque_etag: false,
            lock: Lock::default(),
            checksum: None,
        }
    }

    #[test]
    fn what_is_in_the_class_is_skipped_before_the_archive_is_thought_of() {
        let judged = |class: &str, to, how, archived| verdict(&object(class, A), Some(to), how, archived, 100).ok();
        let skip = |skip| Some(Verdict::Skip(skip));
        assert_eq!(judged("GLACIER", "GLACIER", CLASS, Archived::Fail), skip(Skip::SameClass));
        assert_eq!(judged("STANDARD", "STANDARD", CLASS, Archived::Fail), skip(Skip::SameClass));
        assert_eq!(judged("STANDARD", "GLACIER", CLASS, Archived::Fail), Some(Verdict::Change));
        assert_eq!(judged("GLACIER", "DEEP_ARCHIVE", CLASS, Archived::Skip), skip(Skip::Archived));
        assert_eq!(judged("GLACIER", "DEEP_ARCHIVE", CLASS, Archived::Fail), None);
        let more = InPlace { only_class: false };
        assert_eq!(judged("STANDARD_IA", "STANDARD_IA", more, Archived::Fail), Some(Verdict::Change));
        let restored = Object { restore: Some(RestoreStatus::Until(101)), ..object("GLACIER", A) };
        assert_eq!(verdict(&restored, Some("STANDARD"), CLASS, Archived::Fail, 100), Ok(Verdict::Change));
    }

    #[test]
    fn a_change_whose_answer_was_lost_is_told_by_the_class() {
        let before = object("STANDARD", A);
        let after = object("DEEP_ARCHIVE", A);
        let settled = |before: &Object, there: &Head| settled(before, there, "DEEP_ARCHIVE");
        assert_eq!(settled(&before, &head(&after, 60)), Some(Evidence::Etag));
        assert_eq!(settled(&before, &head(&before, 50)), None, "nothing has happened");
        assert_eq!(settled(&before, &head(&Object { size: 6, ..after.clone() }, 60)), None, "another object");
        assert_eq!(settled(&object("STANDARD", PARTS), &head(&after, 60)), Some(Evidence::Size));
        let opaque = Head { has_opaque_etag: true, ..head(&after, 60) };
        assert_eq!(settled(&before, &opaque), Some(Evidence::Size));
        assert_eq!(settled(&after, &head(&after, 50)), None, "it was in the class before");
        assert_eq!(settled(&after, &head(&after, 60)), Some(Evidence::Etag), "and was written anew");
    }
}
