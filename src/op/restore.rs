//! RestoreObject for one archived object; then, where that is wanted, its copy.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::copy::{Copy, never_there};
use super::restored::{Aim, Seen, Step, pause, step, tiers_of};
use super::window::Window;
use super::{Look, Op, Steps, Waits};
use crate::model::{
    Accepted, Access, Class, Cost, Done, Failure, Item, Money, Object, Operation, Origin, Outcome, Prices,
    RequestError, Requests, RestoreStatus, STANDARD, Skip, Spent, Tier, Waited, is_archive_class,
};
use crate::pace::Kind;
use crate::store::{Bucket, Head};

/// How long a tier that had no capacity is not asked for again.
const NO_CAPACITY_FOR: Duration = Duration::from_secs(60);

/// How often an answer that cannot be true is asked for again.
const MOST_DOUBTS: u32 = 5;

/// The code of an object that was not restored in time.
const NOT_RESTORED: &str = "NotRestored";

/// How a job restores.
#[derive(Clone, Debug)]
pub struct RestoreSettings {
    /// How long restored copies stay, in days.
    pub days: u32,
    /// The tiers that are asked for, each where the one before has no capacity.
    pub tiers: Vec<Tier>,
    /// A source object that is gone fails, rather than being skipped.
    pub strict_source: bool,
    /// What restores cost.
    pub prices: Option<Arc<Prices>>,
    /// How it waits, if it does.
    pub waiting: Option<Waiting>,
}

/// How a job waits for what it restores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// How often it looks; as fits the tier, where that is not said.
    pub poll_interval: Option<Duration>,
    /// How long it waits.
    pub timeout: Option<Duration>,
    /// Bytes that may be restored and not yet copied, beside one object.
    pub window: Option<u64>,
}

/// Restores objects.
#[derive(Debug)]
pub struct Restore {
    /// By the number of the source.
    buckets: Vec<Bucket>,
    pub(super) settings: RestoreSettings,
    /// Copies what can be read.
    pub(super) copy: Option<Copy>,
    /// Whether what waits is looked at, and not what is new.
    again: AtomicBool,
    given_up: AtomicBool,
    /// Whether the store's listings tell of restores.
    tells: AtomicBool,
    window: Window,
    /// Since when the first tier has had no capacity.
    no_capacity: Mutex<Option<Instant>>,
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Restore {
    /// Restores what is in `buckets`, one for each source; then `copy` copies it, if that is wanted.
    pub fn new(buckets: Vec<Bucket>, settings: RestoreSettings, copy: Option<Copy>) -> Self {
        let size = settings.waiting.and_then(|waiting| waiting.window).filter(|_| copy.is_some());
        Self {
            buckets,
            settings,
            copy,
            again: AtomicBool::default(),
            given_up: AtomicBool::default(),
            tells: AtomicBool::default(),
            window: Window { size, ..Window::default() },
            no_capacity: Mutex::default(),
        }
    }

    fn aim(&self) -> Aim {
        match (&self.copy, self.settings.waiting) {
            (Some(_), _) => Aim::Copy,
            (None, Some(_)) => Aim::Wait,
            (None, None) => Aim::Ask,
        }
    }

    pub(super) fn step(&self, access: Access, is_sure: bool) -> Step {
        let again = self.again.load(Relaxed);
        step(self.aim(), Seen { access, again, is_sure, now: now() }, self.settings.days)
    }

    pub(super) fn failed(&self, item: &Item, error: RequestError) -> Outcome {
        if let Some(copy) = &self.copy {
            return copy.failed(item, error);
        }
        let bucket = self.bucket(item).map_or("", Bucket::name);
        Outcome::Failed(Box::new(Failure::new(bucket, &item.object, String::new(), error)))
    }

    pub(super) fn bucket(&self, item: &Item) -> Option<&Bucket> {
        usize::try_from(item.source).ok().and_then(|index| self.buckets.get(index))
    }

    /// It waits, unless that was given up.
    fn waits_for(&self, item: &Item, accepted: Option<Accepted>) -> Outcome {
        let spent = accepted.filter(|accepted| *accepted == Accepted::Begun).and_then(|_| self.spent(item));
        if self.settings.waiting.is_none() {
            let done = Done { bytes: item.object.size, restore: accepted, spent, ..Done::default() };
            return Outcome::Done(done);
        }
        if self.given_up.load(Relaxed) {
            let message = "it is not restored, and --timeout is over";
            return self
                .failed(item, RequestError::local(Operation::RestoreObject, Class::Transient, NOT_RESTORED, message));
        }
        if matches!(item.origin, Origin::Failure(_)) && item.object.version_id.is_some() {
            let message = "its restore is on its way, and a version is not waited for: try it again in some hours";
            return self
                .failed(item, RequestError::local(Operation::RestoreObject, Class::Transient, NOT_RESTORED, message));
        }
        self.window.found.fetch_add(item.object.size, Relaxed);
        Outcome::Waiting(Waited { accepted, spent })
    }

    /// The price of the restore of an item, and for how long it is; `None` where it is not known.
    pub(super) fn cost(&self, object: &Object) -> Option<Cost> {
        let (prices, tier) = (self.settings.prices.as_ref()?, *self.tiers(object).first()?);
        let class = object.storage_class.as_deref().unwrap_or(STANDARD);
        prices.restore(class, tier, self.settings.days.into(), object.size)
    }

    /// What the restore of an item has cost, where prices are known.
    fn spent(&self, item: &Item) -> Option<Box<Spent>> {
        self.settings.prices.as_ref()?;
        let money = self.cost(&item.object).unwrap_or_default().total();
        Some(Box::new(Spent { money, requests: Requests::of(&[Operation::RestoreObject]) }))
    }

    /// What an error means for the item.
    pub(super) async fn refused(&self, bucket: &Bucket, item: &Item, error: RequestError) -> Outcome {
        match error.class {
            Class::Interrupted => return Outcome::Interrupted,
            Class::Fatal => return Outcome::Fatal(error),
            Class::Missing if item.object.version_id.is_none() && !self.settings.strict_source => {}
            _ => return self.failed(item, error),
        }
        // A skip must be true: the listing is asked.
        match bucket.is_gone(&item.object.key).await {
            Ok(true) if item.was_only_named() => self.failed(item, never_there(error)),
            Ok(true) => Outcome::Skipped(Skip::Vanished),
            Err(asking) if asking.class == Class::Interrupted => Outcome::Interrupted,
            Ok(false) | Err(_) => self.failed(item, error),
        }
    }

    /// The tiers that are tried for an object, in order.
    pub(super) fn tiers(&self, object: &Object) -> &[Tier] {
        let named = tiers_of(object.storage_class.as_deref(), &self.settings.tiers);
        let since = *self.no_capacity.lock().unwrap_or_else(PoisonError::into_inner);
        let skips = since.is_some_and(|since| since.elapsed() < NO_CAPACITY_FOR)
            && named.len() > 1
            && named.first() == Some(&Tier::Expedited);
        named.get(usize::from(skips)..).unwrap_or_default()
    }

    /// Asks for the restore of an object; one without `days` is moved back for good. `None` where it was
    /// asked for before.
    async fn ask(&self, bucket: &Bucket, object: &Object, days: Option<u32>) -> Result<Option<Accepted>, RequestError> {
        let mut tiers = self.tiers(object);
        let mut doubts = 0;
        while let Some((tier, others)) = tiers.split_first() {
            let error = match bucket.restore(object, days, *tier).await {
                // A listing may not tell of restores, or the answer not be true.
                Ok(Accepted::Extended) if object.restore.is_none() && !is_restored(bucket, object).await? => {
                    doubts += 1;
                    let message = "the store answers that it is restored already, and its HEAD that it is not";
                    RequestError::local(Operation::RestoreObject, Class::Transient, NOT_RESTORED, message)
                }
                Ok(accepted) => return Ok(Some(accepted)),
                Err(error) => error,
            };
            match error.code.as_str() {
                // An attempt before it may have been ours, whose answer was lost.
                "RestoreAlreadyInProgress" => return Ok((error.attempts > 1).then_some(Accepted::Begun)),
                NOT_RESTORED if doubts < MOST_DOUBTS => {}
                "GlacierExpeditedRetrievalNotAvailable" if !others.is_empty() => {
                    tracing::debug!(object.key, "there is no capacity for expedited restores");
                    *self.no_capacity.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    tiers = others;
                }
                _ => return Err(error),
            }
        }
        Err(no_tier())
    }

    /// Asks for the restore of an item that is archived.
    async fn restore(&self, bucket: &Bucket, item: &Item, days: Option<u32>, steps: &Steps) -> Outcome {
        if self.given_up.load(Relaxed) {
            return self.waits_for(item, None);
        }
        match self.is_left_alone(item).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return self.ended(item, outcome),
            Err(error) => {
                let outcome = self.refused(bucket, item, error).await;
                return self.ended(item, outcome);
            }
        }
        match (self.ask(bucket, &item.object, days).await, &self.copy) {
            (Ok(None), _) if self.settings.waiting.is_none() => Outcome::Skipped(Skip::Restoring),
            // It could be read all the time, and the listing did not tell.
            (Ok(Some(Accepted::Extended)), Some(copy)) => match copy.run(&readable(item), steps).await {
                Outcome::Failed(failure) if is_cold(&failure.code) => self.waits_for(item, Some(Accepted::Extended)),
                outcome => self.ended(item, outcome),
            },
            (Ok(accepted), _) => self.waits_for(item, accepted),
            (Err(error), None) if error.code == "ObjectAlreadyInActiveTierError" => Outcome::Skipped(Skip::NotArchived),
            (Err(error), _) => {
                let outcome = self.refused(bucket, item, error).await;
                self.ended(item, outcome)
            }
        }
    }

    /// An item is over, and with it the room that it took.
    fn ended(&self, item: &Item, outcome: Outcome) -> Outcome {
        if !matches!(outcome, Outcome::Interrupted | Outcome::Fatal(_)) {
            self.window.give_back(item.object.size);
        }
        outcome
    }

    /// What a HEAD tells of an item: the object as it is, whether it can be read, and for how long a restore
    /// is to last.
    pub(super) fn as_told(&self, item: &Item, head: &Head) -> (Object, Access, Option<u32>) {
        let version_id = item.object.version_id.clone();
        let object = Object { version_id, ..head.object(&item.object.key) };
        let is_tiered = !is_archive_class(object.storage_class.as_deref());
        let access = match object.access(now()) {
            Access::Unknown if head.is_in_archive_tier => Access::Archived,
            Access::Unknown => Access::Always,
            access => access,
        };
        // The archive tiers of INTELLIGENT_TIERING take no days.
        (object, access, (!is_tiered).then_some(self.settings.days))
    }

    /// Copies an item that can be read; one that went away first is restored again.
    async fn copied(&self, bucket: &Bucket, item: &Item, steps: &Steps) -> Outcome {
        let Some(copy) = &self.copy else { return Outcome::Skipped(Skip::NotArchived) };
        if self.again.load(Relaxed) {
            match self.is_left_alone(item).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(error) => return self.refused(bucket, item, error).await,
            }
        }
        let outcome = copy.run(item, steps).await;
        let is_archived = matches!(&outcome, Outcome::Failed(failure) if is_cold(&failure.code));
        if is_archived && is_archive_class(item.object.storage_class.as_deref()) {
            return self.restore(bucket, item, Some(self.settings.days), steps).await;
        }
        // Only what was archived took room.
        let took_room = self.again.load(Relaxed) && is_archive_class(item.object.storage_class.as_deref());
        if took_room { self.ended(item, outcome) } else { outcome }
    }

    /// Whether it is known how the object of an item is stored: one that failed before comes without its
    /// class, and what a manifest says of it may be old.
    fn is_told(&self, item: &Item) -> bool {
        match item.origin {
            Origin::Listing => true,
            Origin::Manifest { asked, .. } => asked && !item.object.is_unknown(),
            Origin::Failure(_) => false,
        }
    }

    /// What becomes of an item, if it is left alone for what the destination has. What was left alone, or
    /// copied, when it was looked at first has been counted.
    async fn is_left_alone(&self, item: &Item) -> Result<Option<Outcome>, RequestError> {
        let Some(copy) = &self.copy else { return Ok(None) };
        let again = self.again.load(Relaxed);
        if again && copy.finds_own(item).await? {
            return Ok(Some(Outcome::Passed));
        }
        let skip = copy.skips(item).await?;
        Ok(skip.map(|skip| if again { Outcome::Passed } else { Outcome::Skipped(skip) }))
    }

    /// Whether the destination has this job's copy of an item, as far as its listing tells.
    fn has_copied(&self, item: &Item) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.has_made(&item.object, &item.beside) == Some(true))
    }
}

/// The error for an object of a class that none of the named tiers is for.
pub(super) fn no_tier() -> RequestError {
    let message = "there are no expedited restores from DEEP_ARCHIVE: name another tier, as --tier expedited,standard";
    RequestError::local(Operation::RestoreObject, Class::Permanent, "TierNotOffered", message)
}

/// An item of which the store has said that it can be read, whatever its listing says.
fn readable(item: &Item) -> Item {
    let object = Object { restore: Some(RestoreStatus::Until(i64::MAX)), ..item.object.clone() };
    Item { object, ..item.clone() }
}

/// Whether a HEAD tells that an object is restored, or on its way.
async fn is_restored(bucket: &Bucket, object: &Object) -> Result<bool, RequestError> {
    let head = bucket.head(&object.key, object.version_id.as_deref()).await?;
    Ok(head.restore.is_some() || !is_archive_class(head.storage_class.as_deref()))
}

/// Whether it is the code of an object that has to be restored first. *Source:* GetObject and CopyObject in
/// the S3 API reference.
fn is_cold(code: &str) -> bool {
    matches!(code, "InvalidObjectState" | "ObjectNotInActiveTierError")
}

impl Op for Restore {
    fn decide(&self, item: &Item) -> Option<Outcome> {
        let object = &item.object;
        if object.restore.is_some() && !self.tells.load(Relaxed) {
            self.tells.store(true, Relaxed);
        }
        let again = self.again.load(Relaxed);
        if again && self.has_copied(item) {
            return Some(Outcome::Passed);
        }
        if !self.is_told(item) {
            return None;
        }
        // What is only waited for is done when the store says so, and not when its listing is silent.
        let is_sure = self.copy.is_some() && self.tells.load(Relaxed);
        match self.step(object.access(now()), is_sure) {
            Step::Skip(skip) => Some(Outcome::Skipped(skip)),
            Step::Readable => Some(Outcome::Readable),
            Step::Pass => Some(Outcome::Passed),
            Step::Wait => Some(self.waits_for(item, None)),
            Step::Ask if again && !self.given_up.load(Relaxed) && !self.window.take(object.size) => {
                Some(Outcome::Waiting(Waited::default()))
            }
            Step::Ask | Step::Copy | Step::Head => None,
        }
    }

    fn price(&self, item: &Item) -> Money {
        match (&self.copy, item.object.access(now())) {
            (_, Access::Archived) => self.cost(&item.object).unwrap_or_default().total(),
            (Some(copy), _) => copy.price(item),
            (None, _) => Money::ZERO,
        }
    }

    fn dest(&self, item: &Item) -> String {
        self.copy.as_ref().map(|copy| copy.dest_of(item)).unwrap_or_default()
    }

    fn waits(&self) -> Option<&dyn Waits> {
        self.settings.waiting.is_some().then_some(self)
    }

    fn must_wait(&self, item: &Item) -> bool {
        if let (Some(copy), true) = (&self.copy, item.object.access(now()) == Access::Always) {
            return copy.must_wait(item);
        }
        self.bucket(item).is_some_and(|bucket| {
            !bucket.pacer().is_calm() && bucket.pacer().is_crowded(bucket.spot(&item.object.key), Kind::Restore)
        })
    }

    async fn run(&self, item: &Item, steps: &Steps) -> Outcome {
        let Some(bucket) = self.bucket(item) else {
            let message = format!("there is no source number {} in this job", item.source);
            return self.failed(
                item,
                RequestError::local(Operation::RestoreObject, Class::Permanent, "NoSuchSource", message),
            );
        };
        let access = item.object.access(now());
        let is_sure = self.copy.is_some() && self.tells.load(Relaxed);
        let listed = if self.is_told(item) { self.step(access, is_sure) } else { Step::Head };
        if listed != Step::Head {
            return match listed {
                Step::Copy => self.copied(bucket, item, steps).await,
                _ => self.restore(bucket, item, Some(self.settings.days), steps).await,
            };
        }
        let head = match bucket.head(&item.object.key, item.object.version_id.as_deref()).await {
            Ok(head) => head,
            Err(error) => return self.refused(bucket, item, error).await,
        };
        let (object, access, days) = self.as_told(item, &head);
        let item = &Item { object, ..item.clone() };
        match self.step(access, true) {
            Step::Skip(skip) => Outcome::Skipped(skip),
            Step::Readable => Outcome::Readable,
            Step::Pass | Step::Head => Outcome::Passed,
            Step::Wait => self.waits_for(item, None),
            // Its listing did not tell that there had to be room for it.
            Step::Ask if !self.given_up.load(Relaxed) && !self.window.take(item.object.size) => {
                Outcome::Waiting(Waited::default())
            }
            Step::Ask => self.restore(bucket, item, days, steps).await,
            Step::Copy => self.copied(bucket, item, steps).await,
        }
    }
}

impl Waits for Restore {
    fn begin(&self, again: bool) {
        let was_look = self.again.swap(again, Relaxed);
        let found = self.window.found.swap(0, Relaxed);
        if was_look {
            self.window.taken.store(found, Relaxed);
        }
    }

    fn has_room(&self) -> bool {
        self.window.has_room()
    }

    fn take_room(&self, item: &Item) -> bool {
        let is_new = !self.again.load(Relaxed) && !self.given_up.load(Relaxed);
        // Of what is not told, it is taken when a HEAD has told.
        let is_archived = self.is_told(item) && item.object.access(now()) == Access::Archived;
        !is_new || !is_archived || self.window.take(item.object.size)
    }

    fn pause(&self, asked: Duration, last: Look) -> Duration {
        let interval = self.settings.waiting.and_then(|waiting| waiting.poll_interval);
        let tier = self.settings.tiers.iter().max().copied().unwrap_or(Tier::Bulk);
        interval.unwrap_or_else(|| pause(tier, asked, last))
    }

    fn timeout(&self) -> Option<Duration> {
        self.settings.waiting.and_then(|waiting| waiting.timeout)
    }

    fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    fn is_done_when_readable(&self) -> bool {
        self.copy.is_none()
    }
}
