//! A large object in parts: an upload is begun or taken up again, filled, completed, or given up.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::copy::{Copied, Copy, Plan};
use super::resume::Taken;
use super::route::Way;
use super::through::refuse_unreadable;
use super::transfer::Transfer;
use super::wants::Read;
use super::{Steps, parts};
use crate::model::{Class, Item, Operation, RequestError, Upload};
use crate::store::Head;

/// Parts that the open uploads may have together: each is remembered, here and in the checkpoint,
/// in some 100 bytes.
pub(super) const OPEN_PARTS: u32 = 20_000;

/// How often an object that changes while it is copied is begun again.
const RESTARTS: u32 = 3;

/// Bytes of a part that the store copies, unless something else is asked for: see
/// `SERVER_THRESHOLD`; smaller ones gain little for many more requests.
const SERVER_PART: u64 = 64 << 20;

/// Bytes of a part through this machine, unless something else is asked for. *Source:* 8 to 16 MiB
/// is what AWS recommends for ranged GETs ("Best practices design patterns").
const CLIENT_PART: u64 = 16 << 20;

/// A part that is larger than this share of the budget is not held in memory, but streamed.
const BUDGET_SHARE: u64 = 8;

/// Seconds that an upload may seem older than it is: servers round.
const ROUNDING: i64 = 2;

impl Copy {
    /// Copies one object in parts, taking up the upload that an earlier run began. An object that
    /// changes meanwhile is begun again a few times.
    pub(super) async fn in_parts(&self, plan: &Plan<'_>, item: &Item, steps: &Steps) -> Result<Copied, RequestError> {
        let mut earlier = item.upload.as_deref().cloned();
        for restart in 0.. {
            // The upload that is under way, to be given up if this goes wrong.
            let mut id = earlier.as_ref().map(|upload| upload.id.clone());
            let error = match self.attempt(plan, item, steps, earlier.take(), &mut id).await {
                Ok(copied) => return Ok(copied),
                Err(error) => error,
            };
            let is_resumed = matches!(error.class, Class::Interrupted | Class::Fatal) && steps.are_kept();
            if let Some(id) = id.filter(|_| !is_resumed) {
                self.give_up(plan, &id).await;
            }
            if !begins_again(&error) {
                return Err(error);
            }
            if restart == RESTARTS {
                return Err(too_often(error));
            }
            tracing::debug!(key = item.object.key, %error, "the object is begun again");
        }
        Err(RequestError::interrupted(Operation::UploadPart, 0))
    }

    async fn attempt(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        steps: &Steps,
        earlier: Option<Upload>,
        id: &mut Option<String>,
    ) -> Result<Copied, RequestError> {
        let key = &item.object.key;
        let head = plan.source.head(key, item.object.version_id.as_deref()).await?;
        refuse_unreadable(&head)?;
        let mut taken = Taken::Gone;
        if let Some(upload) = earlier {
            if upload.of == head.revision {
                taken = self.take_up(plan, upload, &head).await?;
            } else {
                self.give_up(plan, &upload.id).await;
            }
        }
        *id = None;
        let (upload, open, lacks_tags) = match taken {
            Taken::Up(upload) => {
                let open = self.open(&upload).await?;
                (upload, open, false)
            }
            Taken::Complete(upload, written) => {
                let transfer = Transfer::new(self, plan, key, upload);
                return transfer.copied(self, &head, written).await;
            }
            Taken::Gone => {
                let part_size = self.part_size(plan, key, &head).await?;
                let mut upload = Upload {
                    id: String::new(),
                    part_size,
                    of: head.revision.clone(),
                    checksums: false,
                    parts: std::collections::BTreeMap::new(),
                };
                let open = self.open(&upload).await?;
                let lacks_tags = self.begin(plan, item, &head, &mut upload).await?;
                *id = Some(upload.id.clone());
                steps.begun(&upload).await?;
                (upload, open, lacks_tags)
            }
        };
        *id = Some(upload.id.clone());
        let mut transfer = Transfer::new(self, plan, key, upload);
        let written = transfer.run(self, &head, steps).await?;
        drop(open);
        // Completed: there is nothing to give up.
        *id = None;
        let copied = transfer.copied(self, &head, written).await?;
        Ok(Copied { lacks_tags, ..copied })
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
    async fn part_size(&self, plan: &Plan<'_>, key: &str, head: &Head) -> Result<u64, RequestError> {
        let (size, asked) = (head.revision.size, self.settings.part_size);
        let has_parts = head.revision.etag.contains('-');
        let of_source = match asked {
            None if has_parts => plan.source.parts_of(key, &head.revision).await?,
            _ => None,
        };
        let usual = match plan.way {
            Way::Server => SERVER_PART,
            Way::Client => CLIENT_PART.min(self.largest_in_memory() >> 20 << 20).max(parts::SMALLEST_PART),
        };
        let part_size = parts::part_size(size, asked, of_source, usual).ok_or_else(|| {
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

    /// The largest part that is held in memory, in bytes.
    pub(super) fn largest_in_memory(&self) -> u64 {
        self.budget.total() / BUDGET_SHARE
    }

    /// Begins `upload` at the destination; returns whether the tags could not be read.
    async fn begin(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        head: &Head,
        upload: &mut Upload,
    ) -> Result<bool, RequestError> {
        let key = &item.object.key;
        let (tags, lacks_tags) = self.tags(plan, key, &head.revision, head.tag_count).await?;
        let read = Read { head: Some(head), tags: Some(tags), acl: self.acl(plan, item).await? };
        let attributes = self.settings.wants.attributes(&item.object, read, false);
        if self.settings.resumed {
            self.tidy(plan, None, self.settings.since).await;
        }
        let since = jiff::Timestamp::now().as_second();
        let created = self.dest.create_upload(&plan.dest_key, &attributes, plan.way == Way::Client).await;
        match created {
            Ok(created) => {
                if created.attempts > 1 {
                    self.tidy(plan, Some(&created.id), since).await;
                }
                upload.checksums = created.checksums;
                upload.id = created.id;
                Ok(lacks_tags)
            }
            Err(error) => {
                if error.attempts > 1 {
                    self.tidy(plan, None, since).await;
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

    /// Aborts uploads to exactly this key that were begun `since` and are not `ours`: answers to
    /// their creation were lost. A store that does not say which there are is left alone.
    async fn tidy(&self, plan: &Plan<'_>, ours: Option<&str>, since: i64) {
        let mut marker = None;
        loop {
            let listed = self.dest.list_uploads(&plan.dest_key, marker.as_ref()).await;
            let (uploads, next) = match listed {
                Ok(listed) => listed,
                Err(error) => return tracing::debug!(%error, "uploads cannot be listed"),
            };
            let lost = uploads.into_iter().filter(|upload| {
                let is_ours = ours == Some(upload.id.as_str());
                upload.key == plan.dest_key && !is_ours && upload.initiated >= since - ROUNDING
            });
            for upload in lost {
                self.give_up(plan, &upload.id).await;
            }
            marker = next;
            if marker.is_none() {
                return;
            }
        }
    }
}

/// Whether another attempt from the start may succeed: the object changed, the upload is gone, or
/// what was written is not what was read.
fn begins_again(error: &RequestError) -> bool {
    let changed = error.class == Class::Unmet
        && matches!(error.operation, Operation::UploadPartCopy | Operation::GetObject | Operation::HeadObject);
    let mismatch = error.code == "ChecksumMismatch" && error.class == Class::Transient;
    changed || mismatch || matches!(error.code.as_str(), "NoSuchUpload" | "InvalidPart" | "BadDigest")
}

fn too_often(error: RequestError) -> RequestError {
    if error.class != Class::Unmet {
        return error;
    }
    let message = format!("the object was replaced {} times while it was copied", RESTARTS + 1);
    RequestError { class: Class::Permanent, code: "SourceChanges".to_owned(), message, ..error }
}
