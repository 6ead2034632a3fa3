//! The ranges of a pass, and the tasks that work through them. Where tasks are idle, ranges that
//! have most left are cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinError, JoinSet};

use crate::journal::Journal;
use crate::model::{Error, Position, Range, RangeId};
use crate::source::{self, Keyspace, Left, Manifest, Order, READERS, Share, Source, Spread, Task, Yield};

/// Messages of the listers that may wait: with 100 items each, what listing runs ahead of copying,
/// beside the page that each lister holds.
const FEED: usize = 32;

/// Pages that a range may list before its turn, where items are handed on in order: the lines of so
/// many pages, for each range that is listed at once, are in memory at most.
const AHEAD: u64 = 8;

/// Items that a range may yield before they are begun, where so many ranges are listed at once: at least
/// a few messages.
fn room(ranges: usize) -> usize {
    (6_400 / ranges.max(1)).max(200)
}

/// The ranges of a job, as they are listed.
#[derive(Debug)]
pub(super) struct Feed {
    sources: Vec<Arc<Source>>,
    /// What gives the objects, in place of listings.
    manifest: Option<Arc<Manifest>>,
    /// Ranges that are listed at once.
    concurrency: usize,
    order: Order,
    keyspace: Arc<Keyspace>,
    /// Ranges of the pass that no lister has begun, in their order.
    waiting: BTreeMap<RangeId, usize>,
    /// The range whose items are waited for, where they are handed on in order.
    first: Option<usize>,
    /// Ranges of the pass that are not exhausted.
    unlisted: usize,
    /// Ranges that are being listed, in their order.
    shares: BTreeMap<RangeId, (usize, Arc<Share>)>,
    ids: BTreeMap<usize, RangeId>,
    listers: JoinSet<()>,
    surveys: JoinSet<Task>,
    /// Cuts that are being looked for, and requests that this may take.
    sought: (usize, usize),
    channel: (Sender<Yield>, Receiver<Yield>),
}

impl Feed {
    pub(super) fn new(sources: Vec<Source>, manifest: Option<Arc<Manifest>>, concurrency: usize, order: Order) -> Self {
        let readers = if manifest.is_some() { READERS } else { usize::MAX };
        Self {
            sources: sources.into_iter().map(Arc::new).collect(),
            manifest,
            concurrency: concurrency.min(readers),
            order,
            keyspace: Arc::default(),
            waiting: BTreeMap::new(),
            first: None,
            unlisted: 0,
            shares: BTreeMap::new(),
            ids: BTreeMap::new(),
            listers: JoinSet::new(),
            surveys: JoinSet::new(),
            sought: (0, 0),
            channel: mpsc::channel(FEED),
        }
    }

    /// All that the sources hold, or the manifest names, as ranges.
    pub(super) fn whole(&self) -> Vec<Range> {
        if let Some(manifest) = &self.manifest {
            return manifest.ranges();
        }
        self.sources.iter().map(|source| Range::whole(source.index)).collect()
    }

    /// Begins a pass over these ranges.
    pub(super) fn plan(&mut self, journal: &mut Journal, ranges: Vec<usize>) -> Result<(), Error> {
        self.unlisted = 0;
        // A pass that was ended early has left some.
        self.waiting.clear();
        self.first = None;
        self.channel = mpsc::channel(FEED);
        self.on_split(journal, ranges)
    }

    /// Whether all that there is was yielded.
    pub(super) fn is_exhausted(&self) -> bool {
        self.unlisted == 0
    }

    /// Requests that looked for places to cut at.
    pub(super) fn probes(&self) -> u64 {
        self.keyspace.probes()
    }

    /// Begins as many of the waiting ranges as may be listed at once. `held` ranges are exhausted, and
    /// what they found is in memory until its turn comes.
    pub(super) fn begin_listers(&mut self, journal: &mut Journal, held: usize) -> Result<(), Error> {
        let room = self.concurrency.saturating_sub(held);
        while let Some((_, index)) = self.waiting.first_key_value() {
            // The one that all others wait for is listed in any case.
            if self.listers.len() >= room && self.first != Some(*index) {
                break;
            }
            let Some((id, index)) = self.waiting.pop_first() else { break };
            self.begin(id, index, journal)?;
        }
        Ok(())
    }

    fn begin(&mut self, id: RangeId, index: usize, journal: &mut Journal) -> Result<(), Error> {
        let range = journal.range(index)?.clone();
        let sender = self.channel.0.clone();
        if matches!(range.until, Some(Position::Failure(_))) {
            let failures = journal.failures(Some(&range))?;
            self.listers.spawn(source::replay(failures, index, sender));
            return Ok(());
        }
        if let (Some(Position::Line(_)), Some(manifest)) = (&range.until, &self.manifest) {
            let sources = self.sources.clone();
            self.listers.spawn(source::read(Arc::clone(manifest), sources, index, range, sender));
            return Ok(());
        }
        let source = self.source(&id)?;
        let ahead = if matches!(self.order, Order::First(_)) { AHEAD } else { u64::MAX };
        let share = Share::new(source.location.path(), &range, &self.keyspace, ahead, room(self.concurrency));
        if self.first == Some(index) {
            share.put_first();
        }
        self.shares.insert(id.clone(), (index, Arc::clone(&share)));
        self.ids.insert(index, id);
        self.listers.spawn(source::list(source, index, range, share, sender));
        Ok(())
    }

    /// Items of a range were begun: it may yield more.
    pub(super) fn begun(&self, range: usize, items: usize) {
        if let Some((_, share)) = self.ids.get(&range).and_then(|id| self.shares.get(id)) {
            share.begun(items);
        }
    }

    /// The items of this range are waited for: nothing holds it back any more.
    pub(super) fn put_first(&mut self, range: usize) {
        self.first = Some(range);
        if let Some((_, share)) = self.ids.get(&range).and_then(|id| self.shares.get(id)) {
            share.put_first();
        }
    }

    fn source(&self, range: &RangeId) -> Result<Arc<Source>, Error> {
        let number = range.source;
        let source = usize::try_from(number).ok().and_then(|number| self.sources.get(number));
        source.map(Arc::clone).ok_or_else(|| {
            Error::Checkpoint(format!("the checkpoint names a source number {number} that this job has not"))
        })
    }

    /// Looks for places to cut ranges at, where there are tasks without one.
    pub(super) fn cut(&mut self) -> Result<(), Error> {
        let busy = self.listers.len() + self.waiting.len() + self.sought.0;
        let idle = self.concurrency.saturating_sub(busy);
        if idle == 0 || self.shares.is_empty() {
            return Ok(());
        }
        let left = |(index, share): &(usize, Arc<Share>)| Some((*index, Arc::clone(share), share.left()?));
        let ranges: Vec<(usize, Arc<Share>, Left)> = self.shares.values().filter_map(left).collect();
        let left: Vec<Left> = ranges.iter().map(|(_, _, left)| *left).collect();
        let mut cost = self.keyspace.cost();
        cost.probes += self.sought.1 as u64;
        for task in source::share_out(&left, idle, cost, self.order) {
            let (index, share, _) = &ranges[task.range];
            let Some(id) = self.ids.get(index) else { continue };
            let (source, out) = (self.source(id)?, self.channel.0.clone());
            let spread = if let Order::First(pages) = self.order { Spread::Near(pages.into()) } else { Spread::Even };
            let survey = source::survey(source, Arc::clone(share), *index, (task, spread), out);
            self.sought = (self.sought.0 + task.cuts, self.sought.1 + task.requests);
            self.surveys.spawn(async move {
                survey.await;
                task
            });
        }
        Ok(())
    }

    /// The next word of a lister, unless there is no `room` for it, or the end of a task. `None` where
    /// there is nothing to wait for.
    ///
    /// # Cancellation
    /// Nothing is lost: a dropped call has taken nothing.
    pub(super) async fn next(&mut self, room: bool) -> Option<Heard> {
        // Every arm is cancel-safe: a dropped branch has taken nothing.
        tokio::select! {
            biased;
            Some(ended) = self.listers.join_next(), if !self.listers.is_empty() => Some(Heard::Ended(ended)),
            Some(ended) = self.surveys.join_next(), if !self.surveys.is_empty() => {
                let over = |task: Task| self.sought = (self.sought.0 - task.cuts, self.sought.1 - task.requests);
                Some(Heard::Ended(ended.map(over)))
            }
            Some(yielded) = self.channel.1.recv(), if room => Some(Heard::Yield(yielded)),
            else => None,
        }
    }

    /// These are new ranges of the pass.
    pub(super) fn on_split(&mut self, journal: &mut Journal, ranges: Vec<usize>) -> Result<(), Error> {
        self.unlisted += ranges.len();
        for range in ranges {
            self.waiting.insert(journal.range(range)?.id.clone(), range);
        }
        Ok(())
    }

    /// A range has no more items.
    pub(super) fn on_exhausted(&mut self, range: usize) {
        self.unlisted -= 1;
        if let Some(id) = self.ids.remove(&range) {
            self.shares.remove(&id);
        }
    }

    /// Nothing more is wanted: the listers end, and what they sent and was not taken is left.
    pub(super) fn cease(&mut self) {
        self.channel = mpsc::channel(1);
        // Dropped, their tasks end.
        (self.listers, self.surveys) = (JoinSet::new(), JoinSet::new());
        self.sought = (0, 0);
        self.waiting.clear();
        self.unlisted = 0;
        self.shares.clear();
        self.ids.clear();
    }

    /// Lets the listers end: none can send any more. What they sent and was not taken is listed
    /// again by the next run.
    pub(super) async fn end(&mut self) {
        self.channel = mpsc::channel(1);
        self.surveys.shutdown().await;
        self.sought = (0, 0);
        self.listers.shutdown().await;
        self.shares.clear();
        self.ids.clear();
    }
}

/// What the feed has to say.
#[derive(Debug)]
pub(super) enum Heard {
    /// A lister's word.
    Yield(Yield),
    /// A task ended.
    Ended(Result<(), JoinError>),
}
