//! Looks for places to cut a range at: a few requests for one key each, so that every cut is at a key
//! that is there, and what lies behind it is worth a request.

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::mpsc::Sender;

use super::cuts::cut_points;
use super::ruler::{Depth, behind_all, carried_by_xml, common};
use super::share::{Share, Standing};
use super::{Source, Yield};
use crate::model::{Position, RequestError};
use crate::store::PageRequest;

/// How often places are looked for between ends that have come nearer.
const ROUNDS: usize = 8;

/// Places that are asked for at once where those before were behind all keys.
const NARROWING: usize = 3;

/// Pages that a part should have at least.
pub(super) const LEAST_PAGES: f64 = 2.0;

/// Cuts what is left of the range, the job's number `index`, at up to `want` places, and sends which.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads, and a cut is sent as it is made.
pub async fn survey(source: Arc<Source>, share: Arc<Share>, index: usize, want: usize, out: Sender<Yield>) {
    let Some(standing) = share.begin_survey() else { return };
    let mut survey = Survey { source: &source, share: &share, top: standing.top.clone(), standing };
    let cuts = survey.cuts(want).await.unwrap_or_else(|error| {
        // The range is then listed in one.
        tracing::debug!(%error, "no place to cut the listing at");
        Vec::new()
    });
    let top = survey.top.take();
    share.end_survey(top, !cuts.is_empty());
    if cuts.is_empty() {
        return;
    }
    // The cut and the word of it are one step: nothing that follows from it can be sent before.
    if let Ok(permit) = out.reserve().await {
        share.cut(cuts, |cuts| {
            let cuts = cuts.into_iter().map(Position::Key).collect();
            permit.send(Yield::Split { range: index, cuts });
        });
    }
}

struct Survey<'a> {
    source: &'a Source,
    share: &'a Share,
    standing: Standing,
    /// There is no key behind it.
    top: Option<String>,
}

impl Survey<'_> {
    /// Keys to cut at, in order.
    async fn cuts(&mut self, want: usize) -> Result<Vec<String>, RequestError> {
        let Some(cursor) = self.standing.cursor.clone() else { return Ok(Vec::new()) };
        if self.standing.folders {
            let folders = self.folders(&cursor).await?;
            let places = cut_points(&folders, &cursor, self.standing.high(), want + 1);
            let cuts = self.keys_behind(places).await?;
            if !cuts.is_empty() {
                return Ok(cuts);
            }
        }
        self.narrow(&cursor).await?;
        for round in 0..ROUNDS {
            // A copy: no lock is held while the server is asked.
            let alphabet = self.share.keyspace().alphabet().clone();
            self.standing.top.clone_from(&self.top);
            let left = self.share.measure(&self.standing, &alphabet).unwrap_or_default();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of pages")]
            let worth = ((left / LEAST_PAGES) as usize).max(1);
            let count = if round == 0 { want } else { want.min(NARROWING) }.min(worth);
            let places = alphabet.places(self.share.prefix(), &cursor, self.standing.high(), count);
            if places.is_empty() {
                break;
            }
            let cuts = self.keys_behind(places).await?;
            if !cuts.is_empty() {
                return Ok(cuts);
            }
        }
        Ok(Vec::new())
    }

    /// The folders behind the cursor.
    async fn folders(&self, cursor: &str) -> Result<Vec<String>, RequestError> {
        let request = PageRequest {
            prefix: self.share.prefix(),
            start_after: Some(carried_by_xml(cursor)).filter(|start| !start.is_empty()),
            delimiter: Some("/"),
            ..PageRequest::default()
        };
        self.share.keyspace().probed();
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
            let found = self.key_behind(&behind).await?;
            depth.found(beginning, found.as_deref());
        }
        if depth.shared().len() > shared {
            self.top = Some(behind_all(depth.shared()));
        }
        Ok(())
    }

    /// The keys right behind `places` (in order) that belong to the range, each once. Where there is
    /// none, the range has no key behind that place.
    async fn keys_behind(&mut self, places: Vec<String>) -> Result<Vec<String>, RequestError> {
        let found = try_join_all(places.iter().map(|place| self.key_behind(place))).await?;
        if let Some((place, _)) = places.iter().zip(&found).find(|(_, key)| key.is_none()) {
            self.top = Some(place.clone());
        }
        let mut keys: Vec<String> = found.into_iter().flatten().collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// The first key behind `place` that belongs to the range.
    async fn key_behind(&self, place: &str) -> Result<Option<String>, RequestError> {
        let request = PageRequest {
            prefix: self.share.prefix(),
            start_after: Some(place),
            max_keys: Some(1),
            ..PageRequest::default()
        };
        self.share.keyspace().probed();
        let page = self.source.bucket.list(&request).await?;
        let key = page.objects.into_iter().next().map(|object| object.key);
        let until = self.standing.until.as_deref();
        // A server that does not go on behind the place has not answered.
        Ok(key.filter(|key| key.as_str() > place && until.is_none_or(|until| key.as_str() <= until)))
    }
}
