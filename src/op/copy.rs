//! A copy of one object: which way, and what its errors mean.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::Op;
use super::route::Way;
use crate::model::{Class, Failure, Item, Mapping, Operation, Outcome, RequestError, Skip};
use crate::pace::ByteBudget;
use crate::store::Bucket;

/// The largest object that CopyObject copies: 5 GiB. *Source:* CopyObject in the S3 API reference.
const COPY_OBJECT_LIMIT: u64 = 5 << 30;

/// An object through this machine is in memory whole; it may take this share of the byte budget,
/// so that a few large ones do not make all others wait.
const BUDGET_SHARE: u64 = 4;

/// One source of a copy.
#[derive(Debug)]
pub struct CopySource {
    /// Where it is read.
    pub bucket: Bucket,
    /// What its keys become.
    pub mapping: Mapping,
    /// Which way its objects go.
    pub way: Way,
}

/// Copies objects into one bucket.
#[derive(Debug)]
pub struct Copy {
    sources: Vec<CopySource>,
    pub(super) dest: Bucket,
    pub(super) budget: ByteBudget,
    strict_source: bool,
    fallback: Fallback,
}

impl Copy {
    /// A copy of `sources` into `dest`. A source object that is gone fails under `strict_source`,
    /// and is skipped otherwise. With `may_fall_back`, bytes go through this machine once the
    /// first server-side copy is denied.
    pub fn new(
        sources: Vec<CopySource>,
        dest: Bucket,
        budget: ByteBudget,
        strict_source: bool,
        may_fall_back: bool,
    ) -> Self {
        Self { sources, dest, budget, strict_source, fallback: Fallback::new(may_fall_back) }
    }

    /// What would be done with `item`. Pure, but for what the first copies showed.
    pub(super) fn plan(&self, item: &Item) -> Result<Plan<'_>, RequestError> {
        let refuse = |code: &str, message: String| {
            Err(RequestError::local(Operation::CopyObject, Class::Permanent, code, message))
        };
        let index = usize::try_from(item.source).unwrap_or(usize::MAX);
        let Some(source) = self.sources.get(index) else {
            return refuse("NoSuchSource", format!("there is no source number {index} in this job"));
        };
        let Some(dest_key) = source.mapping.dest_key(&item.object.key) else {
            return refuse("InsideSource", "its copy would land inside the source that is being copied".to_owned());
        };
        // The SDK takes a key of white space alone for no key at all.
        if dest_key.trim().is_empty() || item.object.key.trim().is_empty() {
            return refuse("KeyCannotBeSent", "keys of white space alone cannot be copied".to_owned());
        }
        let way = if self.fallback.is_client() { Way::Client } else { source.way };
        let limit = match way {
            Way::Server => COPY_OBJECT_LIMIT,
            Way::Client => self.client_limit(),
        };
        if item.object.size > limit {
            return refuse("EntityTooLarge", too_large(way, item.object.size, limit));
        }
        Ok(Plan { source: &source.bucket, dest_key, way })
    }

    /// The largest object that goes through this machine, in bytes.
    pub(super) fn client_limit(&self) -> u64 {
        (self.budget.total() / BUDGET_SHARE).min(COPY_OBJECT_LIMIT)
    }

    async fn server_side(&self, plan: &Plan<'_>, item: &Item) -> Result<u64, RequestError> {
        let object = &item.object;
        match self.dest.copy_from(plan.source, &object.key, object.size, &plan.dest_key).await {
            Ok(()) => {
                self.fallback.succeeded();
                Ok(object.size)
            }
            Err(error) if error.class == Class::Denied && self.fallback.take(&error) => {
                if object.size > self.client_limit() {
                    return Err(error);
                }
                self.through_client(plan, item).await
            }
            Err(error) => Err(error),
        }
    }

    /// What an error means for the item. A source that answers that it has no such object is asked
    /// again, by a listing: a skip must be true.
    async fn outcome(&self, item: &Item, plan: &Plan<'_>, error: RequestError) -> Outcome {
        match error.class {
            Class::Interrupted => return Outcome::Interrupted,
            Class::Fatal => return Outcome::Fatal(error),
            Class::Missing => {}
            _ => return self.failed(item, error),
        }
        match plan.source.is_gone(&item.object.key).await {
            Ok(true) if self.strict_source => self.failed(item, error),
            Ok(true) => Outcome::Skipped(Skip::Vanished),
            Ok(false) => {
                let message = format!("{}, though the listing still shows it", error.message);
                self.failed(item, RequestError { message, ..error })
            }
            Err(asking) if asking.class == Class::Interrupted => Outcome::Interrupted,
            Err(_) => self.failed(item, error),
        }
    }

    pub(super) fn failed(&self, item: &Item, error: RequestError) -> Outcome {
        let source = usize::try_from(item.source).ok().and_then(|index| self.sources.get(index));
        let bucket = source.map_or("", |source| source.bucket.name());
        let dest_key = source.map(|source| source.mapping.unchecked(&item.object.key)).unwrap_or_default();
        let dest = format!("s3://{}/{dest_key}", self.dest.name());
        Outcome::Failed(Box::new(Failure::new(bucket, &item.object, dest, error)))
    }
}

impl Op for Copy {
    async fn run(&self, item: &Item) -> Outcome {
        let plan = match self.plan(item) {
            Ok(plan) => plan,
            Err(error) => return self.failed(item, error),
        };
        let copied = match plan.way {
            Way::Server => self.server_side(&plan, item).await,
            Way::Client => self.through_client(&plan, item).await,
        };
        match copied {
            Ok(bytes) => Outcome::Done { bytes },
            Err(error) => self.outcome(item, &plan, error).await,
        }
    }
}

/// What is done with one object.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) source: &'a Bucket,
    pub(super) dest_key: String,
    pub(super) way: Way,
}

fn too_large(way: Way, size: u64, limit: u64) -> String {
    let (size, limit) = (bytesize::ByteSize(size), bytesize::ByteSize(limit));
    match way {
        Way::Server => format!("the object has {size}, and one CopyObject copies at most {limit}"),
        Way::Client => format!(
            "the object has {size}, and at most {limit} (a quarter of --memory) go through this machine in one part"
        ),
    }
}

/// Whether the copies were turned from the server's side to this machine.
#[derive(Debug)]
struct Fallback(AtomicU8);

impl Fallback {
    /// No copy has succeeded or been denied yet.
    const OPEN: u8 = 0;
    /// Server-side copies work, or there is nothing to fall back to.
    const SERVER: u8 = 1;
    /// Bytes go through this machine.
    const CLIENT: u8 = 2;

    fn new(possible: bool) -> Self {
        Self(AtomicU8::new(if possible { Self::OPEN } else { Self::SERVER }))
    }

    fn is_client(&self) -> bool {
        self.0.load(Relaxed) == Self::CLIENT
    }

    fn succeeded(&self) {
        if self.0.load(Relaxed) == Self::OPEN {
            let _ = self.0.compare_exchange(Self::OPEN, Self::SERVER, Relaxed, Relaxed);
        }
    }

    /// Whether a denied copy goes through this machine instead. Says so the first time.
    fn take(&self, error: &RequestError) -> bool {
        match self.0.compare_exchange(Self::OPEN, Self::CLIENT, Relaxed, Relaxed) {
            Ok(_) => {
                tracing::warn!(
                    "the destination's credentials may not copy from the source ({}): the bytes go through this machine",
                    error.code
                );
                true
            }
            Err(now) => now == Self::CLIENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> RequestError {
        RequestError::local(Operation::CopyObject, Class::Denied, "AccessDenied", "no")
    }

    #[test]
    fn the_first_copy_that_is_denied_turns_all_to_this_machine() {
        let fallback = Fallback::new(true);
        assert!(fallback.take(&denied()) && fallback.take(&denied()) && fallback.is_client());
    }

    #[test]
    fn a_copy_that_is_denied_after_one_that_worked_has_failed() {
        let fallback = Fallback::new(true);
        fallback.succeeded();
        assert!(!fallback.take(&denied()) && !fallback.is_client());
    }

    #[test]
    fn without_other_credentials_there_is_nothing_to_fall_back_to() {
        assert!(!Fallback::new(false).take(&denied()));
    }
}
