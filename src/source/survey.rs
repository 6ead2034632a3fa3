//! Looks for places to cut a range at. A place is asked for the page behind it: the cut is made at the
//! first key of that page, which is there, and the page is the first of the range behind the cut, so
//! that the question costs nothing. What all keys that are left begin with is asked for before, with
//! requests for one key each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::mpsc::Sender;

use super::cuts::{cut_points, is_believed};
use super::ruler::{Depth, behind_all, carried_by_xml, common};
use super::share::{Share, Standing};
use super::{Source, Yield};
use crate::model::{Position, RequestError};
use crate::store::{Page, PageRequest};

/// How often places are looked for between ends that have come nearer.
const ROUNDS: usize = 8;

/// Places that are asked for at once where those before were behind all keys.
const NARROWING: usize = 3;

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

/// Cuts what is left of the range, the job's number `index`, at up to `want` places, and sends which.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads, and a cut is sent as it is made.
pub async fn survey(
    source: Arc<Source>,
    share: Arc<Share>,
    index: usize,
    (want, spread): (usize, Spread),
    out: Sender<Yield>,
) {
    let Some(standing) = share.begin_survey() else { return };
    let top = standing.top.clone();
    let mut survey = Survey { source: &source, share: &share, top, standing, spread, asked: 0 };
    let mut pages = survey.pages(want).await.unwrap_or_else(|error| {
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
}

impl Survey<'_> {
    /// Keys to cut at, and the pages that begin with them.
    async fn pages(&mut self, want: usize) -> Result<BTreeMap<String, Page>, RequestError> {
        let Some(cursor) = self.standing.cursor.clone() else { return Ok(BTreeMap::new()) };
        if self.standing.folders {
            let folders = self.folders(&cursor).await?;
            let places = cut_points(&folders, &cursor, self.standing.high(), want + 1);
            let pages = self.pages_behind(places).await?;
            if !pages.is_empty() {
                return Ok(pages);
            }
        }
        let left = self.left();
        if !is_believed(left, self.share.keyspace().pages()) {
            self.narrow(&cursor).await?;
        }
        for round in 0..ROUNDS {
            self.standing.top.clone_from(&self.top);
            let left = self.left();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of pages")]
            let worth = ((left / LEAST_PAGES) as usize).max(1);
            let count = if round == 0 { want } else { want.min(NARROWING) }.min(worth);
            let part = match self.spread {
                Spread::Near(pages) if round == 0 => pages / left.max(pages),
                _ => 1.0,
            };
            // A copy: no lock is held while the server is asked.
            let alphabet = self.share.keyspace().alphabet().clone();
            let places = alphabet.places(self.share.prefix(), &cursor, self.standing.high(), count, part);
            if places.is_empty() {
                break;
            }
            let pages = self.pages_behind(places).await?;
            if !pages.is_empty() {
                return Ok(pages);
            }
        }
        Ok(BTreeMap::new())
    }

    /// About how many pages are left.
    fn left(&self) -> f64 {
        let alphabet = self.share.keyspace().alphabet();
        self.share.measure(&self.standing, &alphabet).unwrap_or_default()
    }

    /// The folders behind the cursor.
    async fn folders(&mut self, cursor: &str) -> Result<Vec<String>, RequestError> {
        let request = PageRequest {
            prefix: self.share.prefix(),
            start_after: Some(carried_by_xml(cursor)).filter(|start| !start.is_empty()),
            delimiter: Some("/"),
            ..PageRequest::default()
        };
        self.asked += 1;
        Ok(self.source.bucket.list(&request).await?.folders)
    }

    /// Finds out what all keys that are left begin with: places are looked for there.
    async fn narrow(&mut self, cursor: &str) -> Result<(), RequestError> {
        let shared = self.standing.high().map_or(self.share.prefix().len(), |high| common(cursor, high));
        let mut depth = Depth::new(cursor, shared, self.standing.similar());
        while let Some(beginning) = depth.next() {
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
        let mut pages: BTreeMap<String, Page> = BTreeMap::new();
        let mut end: Option<String> = None;
        for (place, page) in places.into_iter().zip(found) {
            let Some(page) = page else {
                self.top = Some(place);
                break;
            };
            let (Some(first), Some(last)) = (page.objects.first(), page.objects.last()) else { continue };
            // A part that is less than a page is none.
            if end.as_deref() < Some(first.key.as_str()) {
                end = Some(last.key.clone());
                pages.insert(first.key.clone(), page);
            }
        }
        Ok(pages)
    }

    /// The page behind `place`, if it begins with a key that belongs to the range.
    async fn page_behind(&self, place: &str, max_keys: Option<i32>) -> Result<Option<Page>, RequestError> {
        let (prefix, start_after) = (self.share.prefix(), Some(place));
        let request = PageRequest { prefix, start_after, max_keys, ..PageRequest::default() };
        let page = self.source.bucket.list(&request).await?;
        let until = self.standing.until.as_deref();
        // A server that does not go on behind the place has not answered.
        let belongs = |key: &str| key > place && until.is_none_or(|until| key <= until);
        let begins = page.objects.first().is_some_and(|object| belongs(&object.key));
        Ok(Some(page).filter(|_| begins))
    }
}
