//! What the destination has already: whether it is left alone, and whether it is our own copy, of
//! which an answer or a kill kept the news.

use std::sync::atomic::Ordering::Relaxed;

use super::copy::{Copied, Copy, Plan, written_as};
use super::existing::{Verdict, compare, one_part};
use crate::model::{Beside, Class, Evidence, Item, Object, RequestError, Skip, Written};
use crate::store::Head;

/// How far clocks may be apart, in seconds. *Source:* S3 refuses signatures that are 15 minutes off
/// (RequestTimeTooSkewed).
const CLOCK_SKEW: i64 = 15 * 60;

/// Whether an item is left alone.
#[derive(Debug)]
pub(super) enum Alone {
    /// It is copied.
    Not,
    /// It is skipped.
    Skipped(Skip),
    /// An earlier run has copied it, and did not come to record that.
    Done(Box<Copied>),
}

impl Copy {
    /// Whether an item is left alone: for what the destination has already, or for what its listing shows.
    pub(super) async fn left_alone(&self, plan: &Plan<'_>, item: &Item) -> Result<Alone, RequestError> {
        match self.kept(plan, item).await? {
            Alone::Not => self.left_as_listed(plan, item),
            alone => Ok(alone),
        }
    }

    /// Why an item would be skipped for what the destination has already, if it would.
    pub(super) async fn skips(&self, item: &Item) -> Result<Option<Skip>, RequestError> {
        match self.kept(&self.plan(item)?, item).await? {
            Alone::Skipped(skip) => Ok(Some(skip)),
            Alone::Not | Alone::Done(_) => Ok(None),
        }
    }

    /// Whether the destination's object is left alone.
    pub(super) async fn kept(&self, plan: &Plan<'_>, item: &Item) -> Result<Alone, RequestError> {
        let keep = self.settings.keep;
        // What an upload of an earlier run made is its own.
        if !keep.looks_beside() || item.upload.is_some() {
            return Ok(Alone::Not);
        }
        let found;
        let dest = match &item.beside {
            Beside::Unknown => {
                found = self.dest.find(&plan.dest_key).await?;
                found.as_ref()
            }
            Beside::Nothing => None,
            Beside::Object(object) => Some(&**object),
        };
        let Some(dest) = dest else { return Ok(Alone::Not) };
        // An earlier run may have made it just before it was killed.
        let is_recent = self.settings.unfinished.is_some() && dest.last_modified >= Some(self.since());
        if keep.all {
            let ours = if is_recent { self.recognise(plan, item, false).await? } else { None };
            return Ok(match ours {
                Some((evidence, written)) => Alone::Done(Box::new(self.made(plan, item, evidence, written))),
                None => Alone::Skipped(Skip::Exists),
            });
        }
        let source = self.dated(plan, item).await?;
        match compare(&source, dest, keep) {
            Verdict::Skip(Skip::Same) if is_recent => Ok(Alone::Not),
            Verdict::Copy => Ok(Alone::Not),
            Verdict::Skip(skip) => Ok(Alone::Skipped(skip)),
            Verdict::SkipIfOpaque => self.skip_if_opaque(plan, item).await,
        }
    }

    /// Whether what a listing shows `beside` an object is the copy that this job has made of it; `None` where
    /// entity tags differ, and may do so because of an encryption.
    pub(super) fn has_made(&self, object: &Object, beside: &Beside) -> Option<bool> {
        let Beside::Object(dest) = beside else { return Some(false) };
        let is_later = dest.last_modified >= Some(self.since()) && dest.last_modified >= object.last_modified;
        if !is_later || object.size != dest.size {
            return Some(false);
        }
        match (object.etag.as_deref().and_then(one_part), dest.etag.as_deref().and_then(one_part)) {
            (Some(ours), Some(theirs)) if ours != theirs => self.makes_opaque_etags.load(Relaxed).then_some(true),
            _ => Some(true),
        }
    }

    /// Whether the destination has the copy that this job has made of an item.
    pub(super) async fn finds_own(&self, item: &Item) -> Result<bool, RequestError> {
        let plan = self.plan(item)?;
        let found = match &item.beside {
            Beside::Unknown => {
                self.dest.find(&plan.dest_key).await?.map_or(Beside::Nothing, |it| Beside::Object(it.into()))
            }
            beside => beside.clone(),
        };
        if let Some(known) = self.has_made(&item.object, &found) {
            return Ok(known);
        }
        let Some((source, dest)) = self.both_heads(&plan, item).await? else { return Ok(false) };
        let is_opaque = source.has_opaque_etag || dest.has_opaque_etag;
        if is_opaque {
            self.makes_opaque_etags.store(true, Relaxed);
        }
        Ok(is_opaque && resemblance(&source, &dest).is_some())
    }

    /// When the job was begun, by a clock that may be off.
    pub(super) fn since(&self) -> i64 {
        self.settings.since.saturating_sub(CLOCK_SKEW)
    }

    /// The source as a listing shows it: one that failed before comes without its time.
    async fn dated(&self, plan: &Plan<'_>, item: &Item) -> Result<Object, RequestError> {
        let object = &item.object;
        if object.last_modified.is_some() {
            return Ok(object.clone());
        }
        plan.source.head(&object.key, object.version_id.as_deref()).await.map(|head| head.object(&object.key))
    }

    /// Entity tags differ: that means something only where neither comes of an encryption, and
    /// nothing where there are checksums to compare.
    async fn skip_if_opaque(&self, plan: &Plan<'_>, item: &Item) -> Result<Alone, RequestError> {
        let Some((source, dest)) = self.both_heads(plan, item).await? else { return Ok(Alone::Not) };
        let same = match (source.checksum, dest.checksum) {
            (Some(source), Some(dest)) => source == dest,
            _ => source.has_opaque_etag || dest.has_opaque_etag,
        };
        Ok(if same { Alone::Skipped(Skip::Same) } else { Alone::Not })
    }

    /// Source and destination; `None` where the destination is not there or may not be read.
    async fn both_heads(&self, plan: &Plan<'_>, item: &Item) -> Result<Option<(Head, Head)>, RequestError> {
        let version = item.object.version_id.as_deref();
        // On the heap: few objects take this way, and all would have to hold room for it.
        let (source, dest) = tokio::join!(
            Box::pin(plan.source.head(&item.object.key, version)),
            Box::pin(self.dest.head(&plan.dest_key, None))
        );
        match dest {
            Err(error) if matches!(error.class, Class::Missing | Class::Denied) => Ok(None),
            dest => Ok(Some((source?, dest?))),
        }
    }

    /// What is at the destination, if it is this job's copy of the item as it is now: proven, or, after a
    /// write `was_lost` where there had been nothing, not disproved.
    async fn recognise(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        was_lost: bool,
    ) -> Result<Option<(Evidence, Written)>, RequestError> {
        let Some((source, dest)) = self.both_heads(plan, item).await? else { return Ok(None) };
        let evidence = resemblance(&source, &dest).filter(|evidence| was_lost || *evidence != Evidence::Size);
        let is_ours = dest.last_modified >= self.since();
        Ok(evidence.filter(|_| is_ours).map(|evidence| (evidence, written_as(&dest))))
    }

    /// A write on the condition that there is nothing was refused. After an attempt whose answer
    /// was lost, what is there may be our own copy.
    ///
    /// # Errors
    /// The refusal, where it is not; any other error as it is.
    pub(super) async fn settle_unmet(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        error: RequestError,
    ) -> Result<(Evidence, Written), RequestError> {
        let in_doubt = error.class == Class::Unmet && error.attempts > 1 && self.settings.keep.all;
        if !in_doubt {
            return Err(error);
        }
        self.recognise(plan, item, true).await?.ok_or(error)
    }

    pub(super) fn made(&self, plan: &Plan<'_>, item: &Item, evidence: Evidence, written: Written) -> Copied {
        let in_parts = self.goes_in_parts(plan.way, item.object.size);
        Copied {
            bytes: item.object.size,
            evidence,
            lacks_tags: false,
            etag: item.listed_etag().cloned(),
            version_id: item.object.version_id.clone(),
            checksum: written.checksum,
            written,
            made: plan.way.made(in_parts),
        }
    }
}

/// What tells that one is a copy of the other: checksums, entity tags of one part each, or, where there is
/// nothing of them to compare, the size alone. `None` where they differ.
fn resemblance(source: &Head, dest: &Head) -> Option<Evidence> {
    if source.revision.size != dest.revision.size {
        return None;
    }
    if let (Some(ours), Some(theirs)) = (source.checksum, dest.checksum) {
        return (ours == theirs).then_some(Evidence::Checksum);
    }
    match (one_part(&source.revision.etag), one_part(&dest.revision.etag)) {
        (Some(ours), Some(theirs)) if ours == theirs => Some(Evidence::Etag),
        (Some(_), Some(_)) if !source.has_opaque_etag && !dest.has_opaque_etag => None,
        _ => Some(Evidence::Size),
    }
}
