//! A large object in parts: an upload is begun or taken up again, filled, completed, or given up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::archived::refuse_archived;
use super::copy::{Copied, Copy, Plan};
use super::resume::Taken;
use super::route::Way;
use super::through::refuse_unreadable;
use super::transfer::Transfer;
use super::wants::Read;
use super::{Steps, parts};
use crate::model::{Class, Item, Operation, RequestError, Upload};
use crate::store::{Head, OpenUpload};

/// Parts that the open uploads may have together: each is remembered, here and in the checkpoint,
/// in some 100 bytes.
pub(super) const OPEN_PARTS: u32 = 100_000;

/// How often an object that changes while it is copied is begun again.
pub(super) const RESTARTS: u32 = 3;

/// Bytes of a part that the store copies, unless something else is asked for: see
/// `SERVER_THRESHOLD`; smaller ones gain little for many more requests.
const SERVER_PART: u64 = 64 << 20;

/// Bytes of a part through this machine, unless something else is asked for. *Source:* 8 to 16 MiB
/// is what AWS recommends for ranged GETs ("Best practices design patterns").
const CLIENT_PART: u64 = 16 << 20;

/// A part that is larger than this share of the budget is not held in memory, but streamed.
const BUDGET_SHARE: u64 = 8;

/// Seconds after the last record of a killed run in which its last request may have been answered.
pub(super) const LAST_REQUEST: i64 = 60;

/// Seconds that an upload may seem older than it is: servers round.
const ROUNDING: i64 = 2;

/// An attempt that is under way.
struct Under {
    /// Its upload, to be given up if this goes wrong.
    id: Option<String>,
    /// The source is read by a version that nobody asked for.
    pinned: bool,
}

impl Copy {
    /// Copies one object in parts, taking up the upload that an earlier run began. An object that
    /// changes meanwhile is begun again a few times. `None` for one that has become too small.
    pub(super) async fn in_parts(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        steps: &Steps,
    ) -> Result<Option<Copied>, RequestError> {
        let mut earlier = item.upload.as_deref().cloned();
        let mut restarts = 0;
        loop {
            let mut under = Under { id: earlier.as_ref().map(|upload| upload.id.clone()), pinned: false };
            let error = match self.attempt(plan, item, steps, earlier.take(), &mut under).await {
                Ok(copied) => return Ok(copied),
                Err(error) => error,
            };
            let is_resumed = matches!(error.class, Class::Interrupted | Class::Fatal) && steps.are_kept();
            if let Some(id) = under.id.filter(|_| !is_resumed) {
                self.give_up(plan, &id).await;
            }
            if under.pinned && self.unpins(&error) {
                continue;
            }
            if !begins_again(&error) {
                return Err(error);
            }
            if restarts == RESTARTS {
                return Err(too_often(error));
            }
            restarts += 1;
            tracing::debug!(key = item.object.key, %error, "the object is begun again");
        }
    }

    /// Reading a version by its id wants a permission of its own. Where nobody asked for a version,
    /// the object is read without: its entity tag guards it, too.
    fn unpins(&self, error: &RequestError) -> bool {
        let reads = matches!(error.operation, Operation::GetObject | Operation::UploadPartCopy);
        error.class == Class::Denied && reads && !self.unpinned.swap(true, Relaxed)
    }

    async fn attempt(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        steps: &Steps,
        earlier: Option<Upload>,
        under: &mut Under,
    ) -> Result<Option<Copied>, RequestError> {
        let key = &item.object.key;
        let mut head = self.head_now(plan, item).await?;
        refuse_unreadable(&head)?;
        refuse_archived(&head)?;
        if item.object.version_id.is_none() {
            if self.unpinned.load(Relaxed) {
                head.revision.version_id = None;
            }
            under.pinned = head.revision.version_id.is_some();
        }
        let mut taken = Taken::Gone;
        if let Some(upload) = earlier {
            if upload.of == head.revision {
                taken = self.take_up(plan, upload, &head).await?;
            } else {
                self.give_up(plan, &upload.id).await;
            }
        }
        under.id = None;
        let (upload, open) = match taken {
            Taken::Up(upload) => {
                under.id = Some(upload.id.clone());
                let open = self.open(&upload).await?;
                (upload, open)
            }
            Taken::Complete(upload, written) => {
                let lacks_tags = upload.lacks_tags;
                let copied = Transfer::new(self, plan, key, upload).copied(self, &head, written).await?;
                return Ok(Some(Copied { lacks_tags, ..copied }));
            }
            Taken::Gone if head.revision.size <= self.threshold(plan.way) => return Ok(None),
            Taken::Gone => {
                let mut upload = Upload {
                    part_size: self.part_size(plan, item, &head).await?,
                    of: head.revision.clone(),
                    through_client: plan.way == Way::Client,
                    ..Upload::default()
                };
                let open = self.open(&upload).await?;
                self.begin(plan, item, &head, &mut upload).await?;
                if let Err(error) = steps.begun(&upload).await {
                    // Nothing names it.
                    self.give_up(plan, &upload.id).await;
                    return Err(error);
                }
                under.id = Some(upload.id.clone());
                (upload, open)
            }
        };
        let lacks_tags = upload.lacks_tags;
        let mut transfer = Transfer::new(self, plan, key, upload);
        let written = transfer.run(self, &head, steps).await?;
        drop(open);
        // Completed: there is nothing to give up.
        under.id = None;
        let copied = transfer.copied(self, &head, written).await?;
        Ok(Some(Copied { lacks_tags, ..copied }))
    }

    /// Takes the parts of `upload` out of those that may be open.
    async fn open(&self, upload: &Upload) -> Result<OwnedSemaphorePermit, RequestError> {
        let parts = u32::from(parts::count(upload.of.size, upload.part_size)).min(OPEN_PARTS);
        tokio::select! {
            biased;
            () = self.dest.pacer().stop().cancelled() => {
                Err(RequestError::interrupted(Operation::CreateMultipartUpload, 0))
            }
            open = Arc::clone(&self.open_parts).acquire_many_owned(parts) => {
                open.map_err(|_| RequestError::interrupted(Operation::CreateMultipartUpload, 0))
            }
        }
    }

    /// The size of the parts of an object, in bytes.
    async fn part_size(&self, plan: &Plan<'_>, item: &Item, head: &Head) -> Result<u64, RequestError> {
        let (size, asked, key) = (head.revision.size, self.settings.part_size, &item.object.key);
        let has_parts = head.revision.etag.contains('-');
        let of_source = match asked {
            None if has_parts => plan.source.parts_of(key, item.object.version_id.as_deref()).await?,
            _ => None,
        };
        let part_size = parts::part_size(size, asked, of_source, self.usual_part(plan.way)).ok_or_else(|| {
            let message = format!("the object has {size} bytes, more than any upload can have");
            RequestError::local(Operation::CreateMultipartUpload, Class::Permanent, "EntityTooLarge", message)
        })?;
        if asked.is_some_and(|asked| part_size >= asked + (1 << 20)) {
            self.say_raised.call_once(|| {
                tracing::warn!(
                    "--part-size is too small for {}: it is copied in parts of {} MiB (an upload has at most 10,000 \
                     parts of at least 5 MiB)",
                    crate::model::escape_key(key),
                    part_size >> 20
                );
            });
        }
        Ok(part_size)
    }

    /// The size of parts of which nothing else is known, in bytes.
    pub(super) fn usual_part(&self, way: Way) -> u64 {
        match way {
            Way::Server => SERVER_PART,
            Way::Client => CLIENT_PART.min(self.largest_in_memory() >> 20 << 20).max(parts::SMALLEST_PART),
        }
    }

    /// The largest part that is held in memory, in bytes.
    pub(super) fn largest_in_memory(&self) -> u64 {
        self.budget.total() / BUDGET_SHARE
    }

    /// Begins `upload` at the destination, and aborts those of which the answer to their creation was
    /// lost, now or when an earlier run was killed.
    async fn begin(&self, plan: &Plan<'_>, item: &Item, head: &Head, upload: &mut Upload) -> Result<(), RequestError> {
        let (tags, lacks_tags) = self.tags(plan, item, head.tag_count).await?;
        let read = Read { head: Some(head), tags: Some(tags), acl: self.acl(plan, item).await? };
        let attributes = self.settings.wants.attributes(&item.object, read, false);
        let now = jiff::Timestamp::now().as_second();
        let begun = Instant::now();
        let created = self.dest.create_upload(&plan.dest_key, &attributes, plan.way == Way::Client).await;
        let age = i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
        match created {
            Ok(created) => {
                if let Some((since, until)) = self.settings.unfinished {
                    let ago = |time: i64| now.saturating_sub(time);
                    let youngest = ago(until.saturating_add(LAST_REQUEST));
                    if let Err(error) = self.tidy(plan, Some(&created.id), ago(since), youngest).await {
                        tracing::debug!(%error, "uploads cannot be listed");
                    }
                }
                if created.is_in_doubt {
                    self.tidy_lost(plan, Some(&created.id), age).await;
                }
                (upload.id, upload.checksums, upload.lacks_tags) = (created.id, created.checksums, lacks_tags);
                Ok(())
            }
            Err(error) => {
                let sent = error.attempts > 0 && matches!(error.class, Class::Transient | Class::Interrupted);
                if error.attempts > 1 || sent {
                    self.tidy_lost(plan, None, age).await;
                }
                Err(error)
            }
        }
    }

    /// Gives an upload up. What cannot be aborted is said, since the store keeps and bills it.
    pub(super) async fn give_up(&self, plan: &Plan<'_>, id: &str) {
        if let Err(error) = self.dest.abort_upload(&plan.dest_key, id, true).await {
            tracing::warn!(
                "an upload to s3://{}/{} could not be aborted and is left behind ({}): see s3bulk abort-uploads",
                self.dest.name(),
                crate::model::escape_key(&plan.dest_key),
                error.code
            );
        }
    }

    /// Aborts what was begun up to `age` seconds ago without an answer. That it cannot be looked for
    /// is said, since the store keeps and bills it.
    async fn tidy_lost(&self, plan: &Plan<'_>, ours: Option<&str>, age: i64) {
        if let Err(error) = self.tidy(plan, ours, age, 0).await {
            tracing::warn!(
                "an upload to s3://{}/{} may have been begun without an answer, and cannot be looked for ({}): see \
                 s3bulk abort-uploads",
                self.dest.name(),
                crate::model::escape_key(&plan.dest_key),
                error.code
            );
        }
    }

    /// Aborts uploads to exactly this key that were begun between `oldest` and `youngest` seconds ago
    /// and are not `ours`. By the server's clock, where it shows ours.
    ///
    /// # Errors
    /// That the store does not say which there are: none is aborted.
    async fn tidy(&self, plan: &Plan<'_>, ours: Option<&str>, oldest: i64, youngest: i64) -> Result<(), RequestError> {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let (uploads, next) = self.dest.list_uploads(&plan.dest_key, marker.as_ref(), true).await?;
            found.extend(uploads.into_iter().filter(|upload| upload.key == plan.dest_key));
            marker = next;
            if marker.is_none() {
                break;
            }
        }
        for id in lost(&found, ours, (oldest, youngest), jiff::Timestamp::now().as_second()) {
            self.give_up(plan, id).await;
        }
        Ok(())
    }
}

/// The ids of `uploads` that were begun between (`oldest`, `youngest`) seconds ago and are not `ours`.
/// `now` is by our clock, which counts where the server does not show `ours`.
fn lost<'a>(uploads: &'a [OpenUpload], ours: Option<&str>, ages: (i64, i64), now: i64) -> Vec<&'a str> {
    let (oldest, youngest) = ages;
    let is_ours = |upload: &&OpenUpload| ours == Some(upload.id.as_str());
    let now = uploads.iter().find(is_ours).and_then(|upload| upload.initiated).unwrap_or(now);
    let since = now.saturating_sub(oldest).saturating_sub(ROUNDING);
    let until = now.saturating_sub(youngest.max(0)).saturating_add(ROUNDING);
    let recent = |upload: &&OpenUpload| upload.initiated.is_some_and(|begun| (since..=until).contains(&begun));
    uploads.iter().filter(|upload| !is_ours(upload)).filter(recent).map(|upload| upload.id.as_str()).collect()
}

/// Whether another attempt from the start may succeed: the object changed, the upload is gone, or
/// what was written is not what was read.
pub(super) fn begins_again(error: &RequestError) -> bool {
    let reads = matches!(error.operation, Operation::UploadPartCopy | Operation::GetObject | Operation::CopyObject);
    let changed = error.class == Class::Unmet && reads;
    let mismatch = error.code == "ChecksumMismatch" && error.class == Class::Transient;
    let differs = error.code == "BadDigest" && error.operation == Operation::CompleteMultipartUpload;
    let gone = matches!(error.code.as_str(), "NoSuchUpload" | "InvalidPart" | "NoSuchVersion");
    changed || mismatch || differs || gone
}

pub(super) fn too_often(error: RequestError) -> RequestError {
    if error.class != Class::Unmet {
        return error;
    }
    let message = format!("the object was replaced {} times while it was copied", RESTARTS + 1);
    RequestError { class: Class::Permanent, code: "SourceChanges".to_owned(), message, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(operation: Operation, class: Class, code: &str) -> RequestError {
        RequestError::local(operation, class, code, "message")
    }

    #[test]
    fn an_object_that_changed_is_begun_again_and_a_destination_that_is_there_is_not() {
        let unmet = |operation| begins_again(&error(operation, Class::Unmet, "PreconditionFailed"));
        assert!(unmet(Operation::UploadPartCopy) && unmet(Operation::GetObject));
        assert!(!unmet(Operation::CompleteMultipartUpload) && !unmet(Operation::PutObject));
        let code = |code| begins_again(&error(Operation::UploadPart, Class::Permanent, code));
        assert!(code("NoSuchUpload") && code("InvalidPart") && !code("AccessDenied") && !code("BadDigest"));
        assert_eq!(too_often(error(Operation::GetObject, Class::Unmet, "PreconditionFailed")).code, "SourceChanges");
    }

    #[test]
    fn only_uploads_that_are_as_young_as_the_loss_are_lost() {
        let upload = |id: &str, initiated| OpenUpload { key: "k".into(), id: id.into(), initiated };
        let uploads = [
            upload("other's", Some(990)),
            upload("lost", Some(1_005)),
            upload("ours", Some(1_010)),
            upload("unknown", None),
        ];
        assert_eq!(lost(&uploads, Some("ours"), (5, 0), 1_300), ["lost"], "by the server's clock");
        assert_eq!(lost(&uploads, None, (5, 0), 1_010), ["lost", "ours"]);
        assert!(lost(&uploads, None, (5, 0), 1_300).is_empty());
        assert_eq!(lost(&uploads, Some("ours"), (100, 15), 1_300), ["other's"], "none that is too young");
    }
}
