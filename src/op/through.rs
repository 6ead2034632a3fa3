//! A copy through this machine: GetObject into memory, PutObject from it.

use super::copy::{Copy, Plan};
use crate::model::{Class, Item, Operation, RequestError};
use crate::pace::Reservation;
use crate::store::Fetched;

/// How often an object that has grown since it was last looked at is fetched again.
const GROWTHS: u32 = 3;

impl Copy {
    /// Copies one object through memory: returns its bytes. Body and headers are one answer of the
    /// source, and belong together even where the object is replaced meanwhile.
    pub(super) async fn through_client(&self, plan: &Plan<'_>, item: &Item) -> Result<u64, RequestError> {
        let key = &item.object.key;
        // Held until the write is acknowledged.
        let (fetched, _bytes) = self.fetch(plan, item).await?;
        let tags = plan.source.tags(key, fetched.tag_count).await?;
        self.dest.put(&plan.dest_key, &fetched.body, &fetched.headers, &tags).await?;
        Ok(fetched.body.len() as u64)
    }

    async fn fetch(&self, plan: &Plan<'_>, item: &Item) -> Result<(Fetched, Reservation), RequestError> {
        let key = &item.object.key;
        let mut size = item.object.size;
        for _ in 0..GROWTHS {
            let bytes = self.reserve(size).await?;
            if let Some(fetched) = plan.source.get(key, size).await? {
                return Ok((fetched, bytes));
            }
            drop(bytes);
            size = plan.source.head(key).await?.size;
            if size > self.client_limit() {
                let message = format!("the object has grown to {size} bytes, too many to go through this machine");
                return Err(RequestError::local(Operation::GetObject, Class::Permanent, "EntityTooLarge", message));
            }
        }
        let message = "the object grows faster than it can be read";
        Err(RequestError::local(Operation::GetObject, Class::Permanent, "SourceChanges", message))
    }

    /// Bytes of the budget, unless the run drains first.
    async fn reserve(&self, bytes: u64) -> Result<Reservation, RequestError> {
        tokio::select! {
            biased;
            () = self.dest.pacer().stop().cancelled() => Err(RequestError::interrupted(Operation::GetObject, 0)),
            bytes = self.budget.reserve(bytes) => Ok(bytes),
        }
    }
}
