//! A copy of one object: which way, and what its errors mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Semaphore;

use super::archived::answered;
use super::evidence::{is_of_another, of_store_copy};
use super::fallback::Fallback;
use super::in_place::Changed;
use super::left_alone::Alone;
use super::multipart::{RESTARTS, begins_again};
use super::route::Way;
use super::settings::{CopySettings, CopySource};
use super::wants::Read;
use super::{Op, Steps, parts};
use crate::model::{
    Checksum, Class, Done, Evidence, Failure, Item, Made, Money, Object, Operation, Origin, Outcome, Receipt,
    RequestError, Skip, Written, now,
};
use crate::pace::{ByteBudget, Kind, Permits};
use crate::store::{Bucket, Head};

/// The largest object that CopyObject copies: 5 GiB. *Source:* CopyObject in the S3 API reference.
const COPY_OBJECT_LIMIT: u64 = 5 << 30;

/// Above this the store copies in parts, unless the user says otherwise. Measured against a server
/// that copies 100 MB/s a request at 20 ms: an object of 1 GiB alone takes 10.8 s by CopyObject and
/// 0.8 s in parts of 64 MiB; one of 256 MiB 2.7 s and 0.8 s; one of 128 MiB 1.4 s and 0.8 s, for
/// seven requests in place of one.
const SERVER_THRESHOLD: u64 = 256 << 20;

/// Above this an object goes through this machine in parts: it is never in memory whole.
const CLIENT_THRESHOLD: u64 = 32 << 20;

/// Copies objects into one bucket.
#[derive(Debug)]
pub struct Copy {
    sources: Vec<CopySource>,
    pub(super) dest: Bucket,
    pub(super) budget: ByteBudget,
    pub(super) settings: CopySettings,
    /// Parts in flight: fewer than requests, so that large objects do not hold up small ones.
    pub(super) part_slots: Arc<Semaphore>,
    /// Those of them that are in memory: only as many as bring something.
    pub(super) in_memory: Arc<Permits>,
    /// Parts of all uploads that are open: each is remembered until its object is complete.
    pub(super) open_parts: Arc<Semaphore>,
    /// Versions are not named in reads: they may not be read by version.
    pub(super) unpinned: AtomicBool,
    /// Whether copies have other entity tags than their sources, because of their encryption.
    pub(super) makes_opaque_etags: AtomicBool,
    /// That `--part-size` was too small is said once.
    pub(super) say_raised: std::sync::Once,
    fallback: Fallback,
}

/// Parts that large objects may have in flight, of the requests in flight: three quarters.
fn part_slots(concurrency: usize) -> usize {
    (concurrency - concurrency / 4).max(1)
}

/// Parts in memory at first. A machine near its store is busy with so few; each more takes memory that is
/// touched for the first time, which costs more than to move the bytes.
const FIRST_IN_MEMORY: usize = 4;

impl Copy {
    /// A copy of `sources` into `dest`, with `concurrency` requests at once.
    pub fn new(
        sources: Vec<CopySource>,
        dest: Bucket,
        budget: ByteBudget,
        settings: CopySettings,
        concurrency: usize,
    ) -> Self {
        let fallback = Fallback::new(settings.may_fall_back);
        let most = part_slots(concurrency);
        let part_slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let in_memory = Arc::new(Permits::new(FIRST_IN_MEMORY, most));
        let open_parts = Arc::new(Semaphore::new(super::multipart::OPEN_PARTS as usize));
        let say_raised = std::sync::Once::new();
        let (unpinned, makes_opaque_etags) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            sources,
            dest,
            budget,
            settings,
            part_slots,
            in_memory,
            open_parts,
            unpinned,
            makes_opaque_etags,
            say_raised,
            fallback,
        }
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
        // An upload goes on as it was begun.
        let was_client = item.upload.as_ref().is_some_and(|upload| upload.through_client);
        let way = if self.fallback.is_client() || was_client { Way::Client } else { source.way };
        Ok(Plan { source: &source.bucket, dest_key, way })
    }

    /// Gives up what an earlier run began for an item, which is not to be gone on with.
    pub async fn abandon(&self, item: &Item) {
        if let (Ok(plan), Some(upload)) = (self.plan(item), &item.upload) {
            self.give_up(&plan, &upload.id).await;
        }
    }

    /// The largest object that is copied in one piece, in bytes.
    pub(super) fn threshold(&self, way: Way) -> u64 {
        match way {
            Way::Server => self.settings.threshold.unwrap_or(SERVER_THRESHOLD).min(COPY_OBJECT_LIMIT),
            Way::Client => {
                let usual = CLIENT_THRESHOLD.min(self.budget.total() / 8).max(parts::SMALLEST_PART);
                self.settings.threshold.unwrap_or(usual).min(self.budget.total().max(parts::SMALLEST_PART))
            }
        }
    }

    /// One CopyObject. Where the source had to be asked first, it must still be the same object.
    async fn server_side(&self, plan: &Plan<'_>, item: &Item) -> Result<Copied, RequestError> {
        let mut restarts = RESTARTS;
        loop {
            match self.copy_object(plan, item).await {
                Err(error) if begins_again(&error) && restarts > 0 => restarts -= 1,
                copied => return copied,
            }
        }
    }

    pub(super) async fn copy_object(&self, plan: &Plan<'_>, item: &Item) -> Result<Copied, RequestError> {
        let (object, wants) = (&item.object, &self.settings.wants);
        let version = object.version_id.as_deref();
        let head = if wants.need_head(object) { Some(plan.source.head(&object.key, version).await?) } else { None };
        let acl = self.acl(plan, item).await?;
        let attributes = wants.attributes(object, Read { head: head.as_ref(), tags: None, acl }, true);
        let checksum = head.as_ref().and_then(|head| head.checksum);
        let etag = head.as_ref().map(|head| &head.revision.etag).or(item.listed_etag());
        let mut bytes = object.size;
        let copied = |bytes, evidence, checksum: Option<Checksum>, written: Written| Copied {
            bytes,
            evidence,
            lacks_tags: false,
            etag: etag.cloned(),
            version_id: object.version_id.clone(),
            checksum: checksum.or(written.checksum),
            written,
            made: Made::CopyObject,
        };
        // Where nothing may be overwritten, a refusal has to mean that. What is changed in place has to be
        // what was looked at, here and there.
        let (only_new, in_place) = (self.settings.keep.all, self.settings.in_place.is_some());
        let seen = item.listed_etag().filter(|_| in_place).map(String::as_str);
        let if_match = seen.or(head.as_ref().map(|head| head.revision.etag.as_str())).filter(|_| !only_new);
        let onto = self.onto(if_match);
        let answer = self.dest.copy_from(plan.source, object, &plan.dest_key, &attributes, onto, if_match).await;
        match answer {
            Ok(written) => {
                self.fallback.succeeded();
                let claimed = item.claimed_etag();
                if claimed.is_some_and(|claimed| is_of_another(claimed, &written)) {
                    // It is another object than the one that the manifest tells of.
                    let now = plan.source.head(&object.key, version).await?.revision;
                    bytes = now.size;
                }
                let etag = etag.or(claimed).map(String::as_str);
                let evidence = of_store_copy(Operation::CopyObject, etag, checksum, &written)?;
                Ok(copied(bytes, evidence, checksum, written))
            }
            Err(error) => {
                let (evidence, written) = self.settle_unmet(plan, item, error).await?;
                Ok(copied(bytes, evidence, checksum, written))
            }
        }
    }

    /// The access control list, where it is kept.
    pub(super) async fn acl(&self, plan: &Plan<'_>, item: &Item) -> Result<Option<crate::store::Acl>, RequestError> {
        if !self.settings.wants.reads_acl() {
            return Ok(None);
        }
        plan.source.acl(&item.object.key, item.object.version_id.as_deref()).await.map(Some)
    }

    /// The tags of an object that the store does not copy whole, and whether they cannot be read.
    pub(super) async fn tags(
        &self,
        plan: &Plan<'_>,
        item: &Item,
        count: usize,
    ) -> Result<(Vec<(String, String)>, bool), RequestError> {
        let wants = &self.settings.wants;
        if wants.tags.is_some() || (count == 0 && !wants.tags_required) {
            return Ok((Vec::new(), false));
        }
        let object = &item.object;
        match plan.source.tags(&object.key, object.version_id.as_deref(), count).await {
            Ok(tags) => Ok((tags, false)),
            Err(error) if error.class == Class::Denied && !wants.tags_required => {
                tracing::debug!(object.key, %error, "the tags cannot be read");
                Ok((Vec::new(), true))
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
            Class::Unmet if self.settings.keep.all && error.operation.is_write() => {
                return Outcome::Skipped(Skip::Exists);
            }
            Class::Missing if item.object.version_id.is_none() => {}
            _ => {
                return match answered(error, self.settings.archived) {
                    Ok(skip) => Outcome::Skipped(skip),
                    Err(error) => self.failed(item, error),
                };
            }
        }
        match plan.source.is_gone(&item.object.key).await {
            Ok(true) if self.settings.strict_source => self.failed(item, error),
            Ok(true) if item.was_only_named() => self.failed(item, never_there(error)),
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
        let bucket = self.source_of(item).map_or("", |source| source.bucket.name());
        Outcome::Failed(Box::new(Failure::new(bucket, &item.object, self.dest_of(item), error)))
    }

    fn source_of(&self, item: &Item) -> Option<&CopySource> {
        usize::try_from(item.source).ok().and_then(|index| self.sources.get(index))
    }

    /// Where the copy of an item goes: `s3://bucket/key`.
    pub(super) fn dest_of(&self, item: &Item) -> String {
        let source = self.source_of(item);
        let dest_key = source.map(|source| source.mapping.unchecked(&item.object.key)).unwrap_or_default();
        format!("s3://{}/{dest_key}", self.dest.name())
    }

    fn done(&self, item: &Item, plan: &Plan<'_>, copied: Copied) -> Outcome {
        if copied.written.has_opaque_etag {
            self.makes_opaque_etags.store(true, Relaxed);
        }
        let receipt = self.settings.receipts.then(|| {
            Box::new(Receipt {
                time: now(),
                bucket: plan.source.name().to_owned(),
                key: item.object.key.clone(),
                version_id: copied.version_id,
                size: copied.bytes,
                etag: copied.etag,
                dest_bucket: self.dest.name().to_owned(),
                dest_key: plan.dest_key.clone(),
                dest_version_id: copied.written.version_id,
                dest_etag: copied.written.etag,
                checksum: copied.checksum,
                evidence: copied.evidence,
                way: copied.made,
            })
        });
        Outcome::Done(Done {
            bytes: copied.bytes,
            evidence: Some(copied.evidence),
            lacks_tags: copied.lacks_tags,
            restore: None,
            spent: self.spent(item, plan, copied.made),
            receipt,
        })
    }

    /// In parts or in one piece, as the object turns out to be large or small.
    async fn copy(&self, plan: &Plan<'_>, item: &Item, steps: &Steps) -> Result<Copied, RequestError> {
        let known;
        // It failed before it was known.
        let item = if matches!(item.origin, Origin::Failure(_)) && item.object.is_unknown() && item.upload.is_none() {
            known = self.seen_now(plan, item).await?;
            &known
        } else {
            item
        };
        let mut in_parts = item.upload.is_some() || self.goes_in_parts(plan.way, item.object.size);
        let mut seen = std::borrow::Cow::Borrowed(item);
        for _ in 0..=RESTARTS {
            // What is rare, or larger, is on the heap, so that the usual way stays small.
            let copied = match (in_parts, plan.way) {
                (true, _) => Box::pin(self.in_parts(plan, &seen, steps)).await?,
                (false, Way::Server) => Some(self.server_side(plan, &seen).await?),
                (false, Way::Client) => Box::pin(self.through_client(plan, &seen)).await?,
            };
            if let Some(copied) = copied {
                return Ok(copied);
            }
            in_parts = !in_parts;
            // It is another object than the one that was listed.
            seen = std::borrow::Cow::Owned(self.seen_now(plan, item).await?);
        }
        Err(size_changes())
    }

    /// The head of an item: of one that was listed, it has the size that was listed with its entity tag.
    pub(super) async fn head_now(&self, plan: &Plan<'_>, item: &Item) -> Result<Head, RequestError> {
        let object = &item.object;
        match item.claimed_etag() {
            Some(_) => plan.source.head(&object.key, object.version_id.as_deref()).await,
            None => plan.source.head_of(object).await,
        }
    }

    /// An item as it is now.
    async fn seen_now(&self, plan: &Plan<'_>, item: &Item) -> Result<Item, RequestError> {
        let version_id = item.object.version_id.clone();
        let head = self.head_now(plan, item).await?;
        let object = Object { version_id, ..head.object(&item.object.key) };
        Ok(Item { object, upload: None, ..item.clone() })
    }

    /// The same; a server-side copy that is denied goes through this machine, if it is the first.
    async fn copy_or_fall_back(&self, plan: &Plan<'_>, item: &Item, steps: &Steps) -> Result<Copied, RequestError> {
        let denied = match self.copy(plan, item, steps).await {
            Err(error) if error.class == Class::Denied && plan.way == Way::Server => error,
            copied => return copied,
        };
        let is_copy = matches!(denied.operation, Operation::CopyObject | Operation::UploadPartCopy);
        if !is_copy || !self.fallback.take(&denied) {
            return Err(denied);
        }
        let plan = Plan { way: Way::Client, dest_key: plan.dest_key.clone(), source: plan.source };
        self.copy(&plan, item, steps).await
    }
}

impl Op for Copy {
    fn price(&self, item: &Item) -> Money {
        let (Some(_), Ok(plan)) = (&self.settings.prices, self.plan(item)) else { return Money::ZERO };
        self.planned(item, &plan).cost.map(|cost| cost.total()).unwrap_or_default()
    }

    fn dest(&self, item: &Item) -> String {
        self.dest_of(item)
    }

    fn must_wait(&self, item: &Item) -> bool {
        let pacer = self.dest.pacer();
        if pacer.is_calm() {
            return false;
        }
        let source = usize::try_from(item.source).ok().and_then(|source| self.sources.get(source));
        source.is_some_and(|source| {
            let dest_key = source.mapping.dest_key(&item.object.key);
            pacer.is_crowded(source.bucket.spot(&item.object.key), Kind::Read)
                || dest_key.is_some_and(|key| pacer.is_crowded(self.dest.spot(&key), Kind::Write))
        })
    }

    async fn run(&self, item: &Item, steps: &Steps) -> Outcome {
        let plan = match self.plan(item) {
            Ok(plan) => plan,
            Err(error) => return self.failed(item, error),
        };
        let outcome = match self.left_alone(&plan, item).await {
            Ok(Alone::Not) => {
                let changed = match self.settings.in_place {
                    Some(how) => self.change(&plan, item, how, steps).await,
                    None => self.copy_or_fall_back(&plan, item, steps).await.map(Changed::Done),
                };
                return match changed {
                    Ok(Changed::Done(copied)) => self.done(item, &plan, copied),
                    Ok(Changed::Skipped(skip)) => Outcome::Skipped(skip),
                    Err(error) => self.outcome(item, &plan, error).await,
                };
            }
            Ok(Alone::Done(copied)) => self.done(item, &plan, *copied),
            Ok(Alone::Skipped(skip)) => Outcome::Skipped(skip),
            Err(error) => self.outcome(item, &plan, error).await,
        };
        // The item is over, and with it what an earlier run began.
        if let (Some(upload), false) = (&item.upload, matches!(outcome, Outcome::Interrupted | Outcome::Fatal(_))) {
            self.give_up(&plan, &upload.id).await;
        }
        outcome
    }
}

/// What is done with one object.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) source: &'a Bucket,
    pub(super) dest_key: String,
    pub(super) way: Way,
}

impl Plan<'_> {
    /// The request that reads the source.
    pub(super) fn reads(&self) -> Operation {
        match self.way {
            Way::Server => Operation::CopyObject,
            Way::Client => Operation::GetObject,
        }
    }
}

/// The error for an object that is not there, and of which nobody said that it ever was.
pub(super) fn never_there(error: RequestError) -> RequestError {
    let message = "the manifest names it, and there is no such object".to_owned();
    RequestError { message, ..error }
}

/// The error for an object that is small, and large, and small again.
pub(super) fn size_changes() -> RequestError {
    let message = "the size of the object changes faster than it can be read";
    RequestError::local(Operation::GetObject, Class::Permanent, "SourceChanges", message)
}

/// A copy that was acknowledged.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) evidence: Evidence,
    pub(super) lacks_tags: bool,
    /// The source's entity tag and version, where they are known.
    pub(super) etag: Option<String>,
    pub(super) version_id: Option<String>,
    pub(super) checksum: Option<Checksum>,
    pub(super) written: Written,
    pub(super) made: Made,
}

/// An object of the destination, as the answer to its write would have shown it.
pub(super) fn written_as(head: &Head) -> Written {
    Written {
        etag: Some(head.revision.etag.clone()),
        version_id: head.revision.version_id.clone(),
        checksum: head.checksum,
        has_checked: false,
        has_opaque_etag: head.has_opaque_etag,
    }
}
