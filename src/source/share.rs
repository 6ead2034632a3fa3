//! A range while it is listed, shared between the task that lists it and those that take a part of
//! it over. Whoever holds the lock may move the end; the lister reads it again for each page.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ruler::{Alphabet, common, lower};
use crate::model::{Object, Position, Range};
use crate::store::Page;

/// Keys of a page that the alphabet is learned from.
const SAMPLES: usize = 32;

/// What is known of the keys of a job, and what it cost to know it.
#[derive(Debug, Default)]
pub struct Keyspace {
    alphabet: Mutex<Alphabet>,
    pages: AtomicU64,
    probes: AtomicU64,
    cuts: AtomicU64,
    /// Pages that were listed to find a place to cut at: the first of the range behind that key of a
    /// source.
    found: Mutex<HashMap<(u32, String), Page>>,
}

impl Keyspace {
    /// Pages that were listed.
    pub fn pages(&self) -> u64 {
        self.pages.load(Relaxed)
    }

    /// Requests that looked for a place to cut at, and found no page of the listing by that.
    pub fn probes(&self) -> u64 {
        self.probes.load(Relaxed)
    }

    /// Requests beyond the pages: the probes and, for each cut, half a page that is listed twice.
    pub fn spent(&self) -> u64 {
        self.probes() + self.cuts.load(Relaxed).div_ceil(2)
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

    pub(super) fn alphabet(&self) -> MutexGuard<'_, Alphabet> {
        self.alphabet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, objects: &[Object], skip: usize) {
        let mut alphabet = self.alphabet();
        let step = (objects.len() / SAMPLES).max(1);
        objects.iter().step_by(step).filter_map(|object| object.key.get(skip..)).for_each(|key| alphabet.learn(key));
    }
}

/// A range that is being listed.
#[derive(Debug)]
pub struct Share {
    prefix: String,
    keyspace: Arc<Keyspace>,
    standing: Mutex<Standing>,
    /// How many pages it may list before its turn, where ranges are handed on in order.
    ahead: u64,
    /// Whether its turn has come.
    first: AtomicBool,
}

/// Where a range stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The first key that was seen in it.
    pub(super) first: Option<String>,
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
    /// A range of the source whose keys begin with `prefix`. It may list `ahead` pages before its turn.
    pub fn new(prefix: &str, range: &Range, keyspace: &Arc<Keyspace>, ahead: u64) -> Arc<Self> {
        let key = |position: Option<&Position>| position.and_then(Position::key).map(str::to_owned);
        let standing = Standing {
            cursor: key(range.cursor()),
            until: key(range.until.as_ref()),
            whole: range.at.as_ref().is_some_and(|at| !at.is_ordered()),
            ..Standing::default()
        };
        let (prefix, keyspace) = (prefix.to_owned(), Arc::clone(keyspace));
        Arc::new(Self { prefix, keyspace, standing: Mutex::new(standing), ahead, first: AtomicBool::new(false) })
    }

    /// Its turn has come: nothing holds it back any more.
    pub fn put_first(&self) {
        self.first.store(true, Relaxed);
    }

    /// Gives what is left back, if it has listed as much as it may before its turn. `record` is told
    /// where it is cut, as by [`Share::cut`].
    pub(super) fn give_back(&self, record: impl FnOnce(Vec<String>)) {
        let mut standing = self.lock();
        let Some(cursor) = standing.cursor.clone() else { return };
        let over = standing.whole || standing.until.as_ref().is_some_and(|until| *until <= cursor);
        if !over && standing.pages >= self.ahead && !self.first.load(Relaxed) {
            record(vec![cursor.clone()]);
            standing.until = Some(cursor);
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
        standing.pages += 1;
        standing.since_cut += 1;
        standing.until.clone()
    }

    /// The range is listed to its end, or is not to be cut any more. Whether it is open at its end.
    pub(super) fn keep_whole(&self) -> bool {
        let mut standing = self.lock();
        standing.whole = true;
        standing.until.is_none()
    }

    /// About how many pages are left, beside the one that is being listed; `None` while that cannot be
    /// told, or while it is not to be cut.
    ///
    /// That is told by the way gone and, where the keys are not as even as that, by the pages that
    /// were listed since it was last cut: half as many may well follow.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn left(&self) -> Option<f64> {
        let alphabet = self.keyspace.alphabet();
        let standing = self.lock();
        if standing.whole || standing.surveyed || standing.pages < standing.patience {
            return None;
        }
        Some(self.measure(&standing, &alphabet)?.max(standing.since_cut as f64 / 2.0))
    }

    /// About how many pages are left, told by the way gone.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn measure(&self, standing: &Standing, alphabet: &Alphabet) -> Option<f64> {
        let (first, cursor) = (standing.first.as_deref()?, standing.cursor.as_deref()?);
        Some(alphabet.left(&self.prefix, first, cursor, standing.high()) * standing.pages as f64)
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
        standing.until = Some(first);
    }
}
