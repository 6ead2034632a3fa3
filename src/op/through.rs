//! A small object through this machine: GetObject into memory, PutObject from it.

use super::copy::{Copied, Copy, Plan};
use super::evidence;
use super::route::Way;
use super::wants::Read;
use crate::model::{Class, Item, Made, Operation, RequestError};
use crate::pace::Reservation;
use crate::store::{Fetched, Head};

/// How often an object that has grown since it was last looked at is fetched again.
const GROWTHS: u32 = 3;

/// Bytes that the two connections of an object hold beside it. Chosen so that many small objects
/// beside large ones stay within the budget, too.
const CONNECTIONS: u64 = 256 << 10;

impl Copy {
    /// Copies one object through memory. Body and headers are one answer of the source, and belong
    /// together even where the object is replaced meanwhile.
    /// `None` for an object that has grown too large for one piece.
    pub(super) async fn through_client(&self, plan: &Plan<'_>, item: &Item) -> Result<Option<Copied>, RequestError> {
        // The bytes are held until the write is acknowledged.
        let Some((fetched, _bytes)) = self.fetch(plan, item).await? else { return Ok(None) };
        let (object, head) = (&item.object, &fetched.head);
        refuse_unreadable(head)?;
        let (tags, lacks_tags) = self.tags(plan, item, head.tag_count).await?;
        let read = Read { head: Some(head), tags: Some(tags), acl: self.acl(plan, item).await? };
        let attributes = self.settings.wants.attributes(object, read, false);
        let (body, only_new) = (&fetched.body, self.settings.keep.all);
        let copied = |evidence, written| Copied {
            bytes: body.len() as u64,
            evidence,
            lacks_tags,
            etag: Some(head.revision.etag.clone()),
            version_id: head.revision.version_id.clone(),
            checksum: Some(fetched.checksum),
            written,
            made: Made::PutObject,
        };
        match self.dest.put(&plan.dest_key, body, fetched.checksum, &attributes, only_new).await {
            Ok(written) => {
                let computed = Some(fetched.checksum);
                let evidence = evidence::of_bytes(Operation::PutObject, computed, head.checksum, &written)?;
                let by_etag =
                    || evidence::of_store_copy(Operation::PutObject, Some(&head.revision.etag), None, &written);
                let evidence = evidence.min(by_etag()?);
                Ok(Some(copied(evidence, written)))
            }
            Err(error) => {
                let (evidence, written) = self.settle_unmet(plan, item, error).await?;
                Ok(Some(copied(evidence, written)))
            }
        }
    }

    /// The object, and its bytes of the budget; `None` if it has grown too large for one piece.
    async fn fetch(&self, plan: &Plan<'_>, item: &Item) -> Result<Option<(Fetched, Reservation)>, RequestError> {
        let object = &item.object;
        let mut size = item.object.size;
        if size > self.threshold(Way::Client) {
            // It was large when it was listed.
            size = plan.source.head_of(object).await?.revision.size;
        }
        for _ in 0..GROWTHS {
            let bytes = self.reserve(size.saturating_add(CONNECTIONS)).await?;
            if let Some(fetched) = plan.source.get(object, size).await? {
                return Ok(Some((fetched, bytes)));
            }
            drop(bytes);
            size = plan.source.head_of(object).await?.revision.size;
            if size > self.threshold(Way::Client) {
                return Ok(None);
            }
        }
        let message = "the object grows faster than it can be read";
        Err(RequestError::local(Operation::GetObject, Class::Permanent, "SourceChanges", message))
    }

    /// Bytes of the budget, unless the run drains first.
    pub(super) async fn reserve(&self, bytes: u64) -> Result<Reservation, RequestError> {
        tokio::select! {
            biased;
            () = self.dest.pacer().stop().cancelled() => Err(RequestError::interrupted(Operation::GetObject, 0)),
            bytes = self.budget.reserve(bytes) => Ok(bytes),
        }
    }
}

/// A copy would lose user metadata that cannot be in HTTP headers.
pub(super) fn refuse_unreadable(head: &Head) -> Result<(), RequestError> {
    if !head.has_unreadable_metadata {
        return Ok(());
    }
    let message = "the object has user metadata that HTTP headers cannot carry";
    Err(RequestError::local(Operation::HeadObject, Class::Permanent, "UnreadableMetadata", message))
}
