//! Looks for places to cut a range at. A place is asked for the page behind it: the cut is made at the
//! first key of that page, which is there, and the page is the first of the range behind the cut, so
//! that the question costs nothing. What all keys that are left begin with is asked for before, with
//! requests for one key each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::mpsc::Sender;

use super::cuts::{cut_points, is_believed};
use super::ruler::{Depth, before_astral, behind_all, carried_by_xml, common, is_cut, lower};
use super::share::{Share, Standing};
use super::{Source, Task, Yield};
use crate::model::{Position, RequestError};
use crate::store::{Page, PageRequest};

/// How often places are looked for between ends that have come nearer.
const ROUNDS: usize = 8;

/// Places that are asked for at once where those before were behind all keys.
const NARROWING: usize = 3;

/// Folders that a source is cut at in the beginning.
const FOLDERS: usize = 4;

/// Pages that a part should have at least.
pub(super) const LEAST_PAGES: f64 = 2.0;

/// Where a range is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Into even parts.
    Even,
    /// Near where it stands: parts of about so many pages, and the rest.
    Near(f64),
}

/// Cuts what is left of the range, the job's number `index`, as the task says, and sends where.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads, and a cut is sent as it is made.
pub async fn survey(
    source: Arc<Source>,
    share: Arc<Share>,
    index: usize,
    (task, spread): (Task, Spread),
    out: Sender<Yield>,
) {
    let Some(standing) = share.begin_survey() else { return };
    let top = standing.top.clone();
    let mut survey = Survey { source: &source, share: &share, top, standing, spread, asked: 0, may_ask: task.requests };
    let mut pages = survey.pages(task.cuts).await.unwrap_or_else(|error| {
        // The range is then listed in one.
        tracing::debug!(%error, "no place to cut the listing at");
        BTreeMap::new()
    });
    let (top, asked) = (survey.top.take(), survey.asked);
    share.end_survey(top, !pages.is_empty());
    let cuts: Vec<String> = pages.keys().cloned().collect();
    // The cut and the word of it are one step: nothing that follows from it can be sent before.
    let mut made = 0;
    if !cuts.is_empty()
        && let Ok(permit) = out.reserve().await
    {
        share.cut(cuts, |cuts| {
            made = cuts.len();
            for cut in &cuts {
                if let Some(page) = pages.remove(cut) {
                    share.keyspace().keep_found(source.index, cut.clone(), page);
                }
            }
            let cuts = cuts.into_iter().map(Position::Key).collect();
            permit.send(Yield::Split { range: index, cuts });
        });
    }
    share.keyspace().probed(asked - made);
    tracing::debug!(index, wanted = task.cuts, asked, made, "looked for places to cut a listing at");
}

struct Survey<'a> {
    source: &'a Source,
    share: &'a Share,
    standing: Standing,
    spread: Spread,
    /// There is no key behind it.
    top: Option<String>,
    /// Requests that were sent.
    asked: usize,
    /// Requests that may be sent.
    may_ask: usize,
}

impl Survey<'_> {
    /// Keys to cut at, and the pages that begin with them.
    async fn pages(&mut self, want: usize) -> Result<BTreeMap<String, Page>, RequestError> {
        let Some(cursor) = self.standing.cursor.clone() else { return Ok(BTreeMap::new()) };
        if self.standing.folders {
            let pages = self.pages_of_folders(&cursor, want).await?;
            if !pages.is_empty() {
                return Ok(pages);
            }
        }
        let left = self.left();
        let is_believed = is_believed(left, self.share.keyspace().pages());
        let nearby = self.share.neighbourhood(&self.standing);
        // Where more is nearby than in all that is left, that is told wrong.
        if let Some((high, _)) = nearby.filter(|(_, nearby)| !is_believed || *nearby > left) {
            let pages = self.pages_nearby(&cursor, high, want).await?;
            if !pages.is_empty() {
                return Ok(pages);
            }
        }
        if !is_believed {
            self.narrow(&cursor).await?;
        }
        for round in 0..ROUNDS {
            self.standing.top.clone_from(&self.top);
            let high = self.standing.high().map(str::to_owned);
            let (count, part) = self.count(want, round);
            let mut pages = self.pages_between(&cursor, high.as_deref(), count, part).await?;
            if pages.is_empty() && self.asked < self.may_ask {
                continue;
            }
            if pages.len() * 2 < count
                && let Some((high, _)) = self.share.neighbourhood(&self.standing)
            {
                // Where it stands there may be more than all around.
                let nearby = self.pages_nearby(&cursor, high, count - pages.len()).await?;
                pages.extend(nearby);
            }
            return Ok(pages);
        }
        Ok(BTreeMap::new())
    }

    /// How many places are asked for in a round, and how far apart at most.
    fn count(&self, want: usize, round: usize) -> (usize, f64) {
        let left = self.left();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of pages")]
        let worth = ((left / LEAST_PAGES) as usize).max(1);
        match self.spread {
            Spread::Near(pages) if round == 0 => (want.min(worth), pages / left.max(pages)),
            _ if round == 0 => (want.min(worth), 1.0),
            _ => (want.min(worth).min(NARROWING), 1.0),
        }
    }

    /// The pages at `count` places between `low` and `high`, as far as may be asked.
    async fn pages_between(
        &mut self,
        low: &str,
        high: Option<&str>,
        count: usize,
        part: f64,
    ) -> Result<BTreeMap<String, Page>, RequestError> {
        let count = count.min(self.may_ask.saturating_sub(self.asked));
        let places = self.share.keyspace().spelling().places(self.share.prefix(), low, high, count, part);
        self.pages_behind(places).await
    }

    /// The pages at `count` places in the neighbourhood of the cursor up to `high`; one of them is right
    /// behind it, if there may be more.
    async fn pages_nearby(
        &mut self,
        cursor: &str,
        high: String,
        count: usize,
    ) -> Result<BTreeMap<String, Page>, RequestError> {
        let count = count.min(self.may_ask.saturating_sub(self.asked));
        let behind = self.standing.until.is_none() || count > 1;
        let inside = count.saturating_sub(behind.into());
        let prefix = self.share.prefix();
        let mut places = if inside > 0 {
            self.share.keyspace().spelling().places(prefix, cursor, Some(&high), inside, 1.0)
        } else {
            Vec::new()
        };
        places.extend(Some(high).filter(|_| behind && count > 0));
        self.pages_behind(places).await
    }

    /// About how many pages are left.
    fn left(&self) -> f64 {
        self.share.measure(&self.standing).unwrap_or_default()
    }

    /// The pages that begin with folders of the source, behind the cursor.
    async fn pages_of_folders(&mut self, cursor: &str, want: usize) -> Result<BTreeMap<String, Page>, RequestError> {
        let request = PageRequest {
            prefix: self.share.prefix(),
            start_after: Some(carried_by_xml(cursor)).filter(|start| !start.is_empty()),
            delimiter: Some("/"),
            ..PageRequest::default()
        };
        self.asked += 1;
        let folders = self.source.bucket.list(&request).await?.folders;
        // What is known to be there costs little: the work begins in several places at once.
        let want = if self.spread == Spread::Even { want.max(FOLDERS) } else { want };
        let places = cut_points(&folders, cursor, self.standing.high(), want + 1);
        self.pages_behind(places).await
    }

    /// Finds out what all keys that are left begin with: places are looked for there.
    async fn narrow(&mut self, cursor: &str) -> Result<(), RequestError> {
        let shared = self.standing.high().map_or(self.share.prefix().len(), |high| common(cursor, high));
        let mut depth = Depth::new(cursor, shared, self.standing.similar());
        // One request is kept for a place.
        while let Some(beginning) = depth.next().filter(|_| self.asked + 1 < self.may_ask) {
            let behind = behind_all(beginning);
            if carried_by_xml(&behind) != behind {
                break;
            }
            self.asked += 1;
            let found = self.page_behind(&behind, Some(1)).await?;
            let key = found.as_ref().and_then(|page| page.objects.first()).map(|object| object.key.as_str());
            depth.found(beginning, key);
        }
        if depth.shared().len() > shared {
            self.top = Some(behind_all(depth.shared()));
        }
        Ok(())
    }

    /// The pages right behind `places` (in order) that belong to the range, by their first keys. Where
    /// there is none, the range has no key behind that place.
    async fn pages_behind(&mut self, places: Vec<String>) -> Result<BTreeMap<String, Page>, RequestError> {
        self.asked += places.len();
        let found = try_join_all(places.iter().map(|place| self.page_behind(place, None))).await?;
        let first = |page: &Page| page.objects.first().map(|object| object.key.clone());
        for key in found.iter().flatten().filter_map(first) {
            self.learn_order(&key).await?;
        }
        let mut pages: BTreeMap<String, Page> = BTreeMap::new();
        let mut end: Option<String> = None;
        for (place, page) in places.into_iter().zip(found) {
            let Some(page) = page else {
                self.top = Some(lower(self.top.as_deref(), Some(&place)).unwrap_or(&place).to_owned());
                break;
            };
            let Some(last) = page.objects.last().map(|object| object.key.clone()) else { continue };
            let keys = || page.objects.iter().map(|object| &object.key);
            self.share.keyspace().learn_order(|| keys().map(String::as_str));
            let cut = keys().find(|key| self.share.keyspace().is_in_byte_order() || is_cut(key));
            // A part that is less than a page is none.
            let begins = page.objects.first().is_some_and(|first| end.as_ref() < Some(&first.key));
            if let Some(cut) = cut.filter(|cut| begins && self.belongs(cut)).cloned() {
                end = Some(last);
                pages.insert(cut, page);
            }
        }
        Ok(pages)
    }

    /// Finds out, once, whether the store lists `key` where the order of bytes has it, if that of UTF-16
    /// has it elsewhere.
    async fn learn_order(&mut self, key: &str) -> Result<(), RequestError> {
        let Some((beginning, place)) = before_astral(key) else { return Ok(()) };
        if self.share.keyspace().asks_order() {
            self.asked += 1;
            let found = self.page_behind(&place, Some(1)).await?;
            let is_astral =
                |key: &str| key.strip_prefix(beginning).is_some_and(|rest| rest.starts_with(|c| c > '\u{ffff}'));
            if found.is_some_and(|page| page.objects.first().is_some_and(|object| is_astral(&object.key))) {
                self.share.keyspace().has_byte_order();
            }
        }
        Ok(())
    }

    /// Whether a key belongs to the range, and is not its last one: that is nothing to cut at, and no mass
    /// to look for.
    fn belongs(&self, key: &str) -> bool {
        self.standing.until.as_deref().is_none_or(|until| key < until)
    }

    /// The page behind `place`, if it begins with a key that belongs to the range.
    async fn page_behind(&self, place: &str, max_keys: Option<i32>) -> Result<Option<Page>, RequestError> {
        let (prefix, start_after) = (self.share.prefix(), Some(place));
        let request = PageRequest { prefix, start_after, max_keys, ..PageRequest::default() };
        let page = self.source.bucket.list(&request).await?;
        let found = page.objects.first().map(|object| object.key.as_str());
        // A server that does not go on behind the place has not answered.
        if found.is_none_or(|found| found > place) {
            let tail = |key: &str| key.get(prefix.len()..).unwrap_or_default().to_owned();
            self.share.keyspace().spelling().learn_gap(&tail(place), found.map(tail).as_deref());
        }
        let begins = found.is_some_and(|found| found > place && self.belongs(found));
        Ok(Some(page).filter(|_| begins))
    }
}
