//! A range while it is listed, shared between the task that lists it and those that take a part of
//! it over. Whoever holds the lock may move the end; the lister reads it again for each page.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cuts::{Cost, is_believed};
use super::ruler::{ascends_in_utf16, behind_all, common, lower};
use super::spelling::Spelling;
use super::survey::LEAST_PAGES;
use tokio::sync::Semaphore;

use crate::model::{Object, Position, Range};
use crate::store::Page;

/// Pages after which a range shows for itself that it is worth a cut.
const SETTLED: u64 = 64;

/// Keys of a page that their spelling is learned from: of the first pages more, while little is known.
const SAMPLES: [usize; 2] = [64, 12];

/// What is known of the keys of a job, and what it cost to know it.
#[derive(Debug, Default)]
pub struct Keyspace {
    spelling: Mutex<Spelling>,
    pages: AtomicU64,
    probes: AtomicU64,
    cuts: AtomicU64,
    in_byte_order: AtomicBool,
    order_asked: AtomicBool,
    /// Pages that were listed to find a place to cut at: the first of the range behind that key of a
    /// source.
    found: Mutex<HashMap<(u32, String), Page>>,
}

impl Keyspace {
    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Relaxed)
    }

    /// Requests that looked for a place to cut at, and found no page of the listing by that.
    pub fn probes(&self) -> u64 {
        self.probes.load(Relaxed)
    }

    /// Whether the store has shown that its order is that of bytes, and not that of UTF-16.
    pub(super) fn is_in_byte_order(&self) -> bool {
        self.in_byte_order.load(Relaxed)
    }

    /// Looks for that in the keys of a page.
    pub(super) fn learn_order<'a, K: Iterator<Item = &'a str>>(&self, keys: impl Fn() -> K) {
        if !self.is_in_byte_order() && keys().is_sorted() && !ascends_in_utf16(keys()) {
            self.has_byte_order();
        }
    }

    /// The order was shown by an answer.
    pub(super) fn has_byte_order(&self) {
        self.in_byte_order.store(true, Relaxed);
    }

    /// Whether the order is unknown and nobody has asked for it: the caller does.
    pub(super) fn asks_order(&self) -> bool {
        !self.is_in_byte_order() && !self.order_asked.swap(true, Relaxed)
    }

    /// What the listing has cost so far.
    pub fn cost(&self) -> Cost {
        Cost { pages: self.pages(), probes: self.probes(), cuts: self.cuts.load(Relaxed) }
    }

    pub(super) fn probed(&self, requests: usize) {
        self.probes.fetch_add(requests as u64, Relaxed);
    }

    /// The page that was found right behind `after`.
    pub(super) fn take_found(&self, source: u32, after: &str) -> Option<Page> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(&(source, after.to_owned()))
    }

    pub(super) fn keep_found(&self, source: u32, after: String, page: Page) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert((source, after), page);
    }

    pub(super) fn spelling(&self) -> MutexGuard<'_, Spelling> {
        self.spelling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn<'a>(&self, objects: &'a [Object], skip: usize) {
        let step = (objects.len() / SAMPLES[usize::from(self.pages() > SETTLED)]).max(1);
        let tail = |object: &'a Object| object.key.get(skip..);
        let (first, last) = (objects.first().and_then(tail), objects.last().and_then(tail));
        let keys = objects.iter().step_by(step).filter_map(tail);
        self.spelling().learn(keys, first.unwrap_or_default(), last.unwrap_or_default());
    }
}

/// What is thought to be left of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// Pages.
    pub pages: f64,
    /// Whether it is known where they are.
    pub is_sure: bool,
}

/// A range that is being listed.
#[derive(Debug)]
pub struct Share {
    prefix: String,
    /// Where it begins.
    begins: Option<String>,
    keyspace: Arc<Keyspace>,
    standing: Mutex<Standing>,
    /// How many pages it may list before its turn, where ranges are handed on in order.
    ahead: u64,
    /// Whether its turn has come.
    first: AtomicBool,
    /// Items that it may yield before others were begun.
    room: Semaphore,
    /// All the room that there is.
    most: usize,
}

/// Where a range stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The first key that was seen in it.
    pub(super) first: Option<String>,
    /// The first key of its last page.
    page: Option<String>,
    /// The last key that was seen in it, or where it begins.
    pub(super) cursor: Option<String>,
    /// The last key that belongs to it.
    pub(super) until: Option<String>,
    /// It has no key behind this.
    pub(super) top: Option<String>,
    /// Pages that were listed.
    pages: u64,
    /// Pages that were listed since it was last cut.
    since_cut: u64,
    /// It is not looked at again before so many pages.
    patience: u64,
    /// Whether it is all of its source, and has folders that were not looked at.
    pub(super) folders: bool,
    /// Whether somebody looks for places to cut it at.
    surveyed: bool,
    /// It is listed to its end, or cannot be cut.
    whole: bool,
    /// What is thought to be left, since it last changed.
    told: Option<Left>,
}

impl Standing {
    /// The end of what may be left.
    pub(super) fn high(&self) -> Option<&str> {
        lower(self.until.as_deref(), self.top.as_deref())
    }

    /// How many bytes all keys that were seen begin with.
    pub(super) fn similar(&self) -> usize {
        self.first.as_deref().zip(self.cursor.as_deref()).map_or(0, |(first, cursor)| common(first, cursor))
    }
}

impl Share {
    /// A range of the source whose keys begin with `prefix`. It may list `ahead` pages before its turn,
    /// and yield `room` items before any was begun.
    pub fn new(prefix: &str, range: &Range, keyspace: &Arc<Keyspace>, ahead: u64, room: usize) -> Arc<Self> {
        let key = |position: Option<&Position>| position.and_then(Position::key).map(str::to_owned);
        let standing = Standing {
            cursor: key(range.cursor()),
            until: key(range.until.as_ref()),
            whole: range.at.as_ref().is_some_and(|at| !at.is_ordered()),
            ..Standing::default()
        };
        let (prefix, begins, keyspace) = (prefix.to_owned(), key(range.id.after.as_ref()), Arc::clone(keyspace));
        Arc::new(Self {
            prefix,
            begins,
            keyspace,
            standing: Mutex::new(standing),
            ahead,
            first: AtomicBool::new(false),
            room: Semaphore::new(room),
            most: room,
        })
    }

    /// Waits until `items` more may be yielded; they take the room until they are begun.
    ///
    /// # Cancellation
    /// Safe: nothing is taken before the future is finished.
    pub(super) async fn take_room(&self, items: usize) {
        // More than there is room for waits for all of it.
        let items = u32::try_from(items.min(self.most)).unwrap_or(u32::MAX);
        // Never closed.
        if let Ok(room) = self.room.acquire_many(items).await {
            room.forget();
        }
    }

    /// So many items were begun.
    pub fn begun(&self, items: usize) {
        let free = self.most.saturating_sub(self.room.available_permits());
        self.room.add_permits(items.min(free));
    }

    /// Its turn has come: nothing holds it back any more.
    pub fn put_first(&self) {
        self.first.store(true, Relaxed);
    }

    /// Whether it has listed as much as it may before its turn.
    pub(super) fn is_far_ahead(&self) -> bool {
        !self.first.load(Relaxed) && self.lock().pages >= self.ahead
    }

    /// Gives what is left back, from where it stands. `record` is told that, as by [`Share::cut`].
    pub(super) fn give_back(&self, record: impl FnOnce(String)) {
        let mut standing = self.lock();
        let Some(cursor) = standing.cursor.clone() else { return };
        let moved = self.begins.as_ref().is_none_or(|begins| cursor > *begins);
        if moved && !standing.whole && standing.until.as_ref().is_none_or(|until| cursor < *until) {
            standing.until = Some(cursor.clone());
            record(cursor);
        }
    }

    /// Whether nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        let standing = self.lock();
        standing.until.is_some() && standing.until <= standing.cursor
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a page that the lister has, up to its last key. Returns the range's end: no cut will be
    /// before that key.
    pub(super) fn listed(&self, objects: &[Object], truncated: bool) -> Option<String> {
        self.keyspace.pages.fetch_add(1, Relaxed);
        let (Some(first), Some(last)) = (objects.first(), objects.last()) else { return self.lock().until.clone() };
        if truncated {
            self.keyspace.learn(objects, self.prefix.len());
        }
        let mut standing = self.lock();
        if standing.first.is_none() {
            let in_folder =
                |object: &Object| object.key.get(self.prefix.len()..).is_some_and(|rest| rest.contains('/'));
            standing.folders = standing.cursor.is_none() && objects.iter().any(in_folder);
            standing.first = Some(first.key.clone());
        }
        if standing.cursor.as_deref() < Some(last.key.as_str()) {
            standing.cursor = Some(last.key.clone());
        }
        standing.page = Some(first.key.clone());
        standing.pages += 1;
        standing.since_cut += 1;
        standing.told = None;
        standing.until.clone()
    }

    /// The range is listed to its end, or is not to be cut any more. Whether it is open at its end.
    pub(super) fn keep_whole(&self) -> bool {
        let mut standing = self.lock();
        standing.whole = true;
        standing.until.is_none()
    }

    /// What is left, beside the page that is being listed; `None` while that cannot be told, or while
    /// the range is not to be cut.
    ///
    /// That is told by the way gone, or by that of the last page where the keys lie densely; where they
    /// are not as even as that, by the pages that were listed since it was last cut: half as many may
    /// well follow.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn left(&self) -> Option<Left> {
        let mut standing = self.lock();
        // Later on, what is small comes to its end by itself.
        let is_fresh = standing.since_cut < 2 && self.keyspace.pages() > SETTLED;
        if standing.whole || standing.surveyed || standing.pages < standing.patience || is_fresh {
            return None;
        }
        if let Some(told) = standing.told {
            return Some(told);
        }
        let measured = self.measure(&standing)?;
        let nearby = self.neighbourhood(&standing).map(|(_, left)| left);
        let believed = is_believed(measured, self.keyspace.pages());
        let told = match nearby {
            Some(nearby) if !believed => nearby,
            nearby => measured.max(nearby.unwrap_or_default()),
        };
        let is_sure = believed || nearby.is_some();
        standing.told = Some(Left { pages: told.max(standing.since_cut as f64 / 2.0), is_sure });
        standing.told
    }

    /// About how many pages are left, told by the way gone.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn measure(&self, standing: &Standing) -> Option<f64> {
        let (first, cursor) = (standing.first.as_deref()?, standing.cursor.as_deref()?);
        let spelling = self.keyspace.spelling();
        Some(spelling.left(&self.prefix, first, cursor, standing.high()) * standing.pages as f64)
    }

    /// The largest neighbourhood of the cursor, keys that begin as its last page does, that may well
    /// hold as many pages as the last one tells: its end, and how many.
    pub(super) fn neighbourhood(&self, standing: &Standing) -> Option<(String, f64)> {
        let (page, cursor) = (standing.page.as_deref()?, standing.cursor.as_deref()?);
        let shared = standing.high().map_or(self.prefix.len(), |high| common(cursor, high));
        let similar = common(page, cursor);
        let ends = cursor.char_indices().map(|(at, _)| at).filter(|at| (shared + 1..=similar).contains(at));
        let spelling = self.keyspace.spelling();
        let left = |high: &str| spelling.left(&self.prefix, page, cursor, Some(high));
        let mut highs = ends.map(|end| behind_all(&cursor[..end])).map(|high| (left(&high), high));
        let found = highs.find(|(left, _)| *left >= 2.0 * LEAST_PAGES && is_believed(*left, self.keyspace.pages()));
        found.map(|(left, high)| (high, left))
    }

    /// Begins to look for places to cut at. Where it stands, if nobody else does.
    pub(super) fn begin_survey(&self) -> Option<Standing> {
        let mut standing = self.lock();
        (!standing.surveyed && !standing.whole).then(|| {
            standing.surveyed = true;
            standing.clone()
        })
    }

    /// Ends to look for them; there is no key behind `top`. A range in which there was none is left
    /// alone for a while.
    pub(super) fn end_survey(&self, top: Option<String>, found: bool) {
        let mut standing = self.lock();
        standing.surveyed = false;
        standing.folders = false;
        standing.told = None;
        standing.top = lower(standing.top.as_deref(), top.as_deref()).map(str::to_owned);
        if !found {
            standing.patience = 2 * standing.pages;
        }
    }

    /// Cuts what is left at those of `cuts` (in order) that still lie in it. `record` is told which,
    /// before anybody sees the new end; where it is not told, nothing was cut.
    pub(super) fn cut(&self, mut cuts: Vec<String>, record: impl FnOnce(Vec<String>)) {
        let mut standing = self.lock();
        let until = standing.until.as_deref();
        cuts.retain(|cut| {
            Some(cut.as_str()) > standing.cursor.as_deref() && until.is_none_or(|until| cut.as_str() < until)
        });
        let Some(first) = cuts.first().cloned().filter(|_| !standing.whole) else { return };
        self.keyspace.cuts.fetch_add(cuts.len() as u64, Relaxed);
        record(cuts);
        standing.since_cut = 0;
        standing.told = None;
        standing.until = Some(first);
    }
}
