//! A range of keys, listed page by page with ListObjectsV2.
//!
//! A range that begins where its source begins is paged by the server's tokens, as every client
//! does. Others begin behind a key, and go on behind the last key of each page (`start-after`): some
//! servers skip a key when a token follows a start-after. Where that key holds characters that XML
//! cannot carry, which S3 refuses in a start-after, the token is used all the same.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::beside::Walk;
use super::ruler::{ascends_in_utf16, carried_by_xml};
use super::share::Share;
use super::{CHUNK, Source, Yield};
use crate::model::{Class, Item, Object, Operation, Position, Range, RequestError, Target, escape_key};
use crate::store::{Page, PageRequest};

/// Works through `range`, the job's number `index`, and sends what it finds to `out`. Others may
/// take parts of it over meanwhile, through `share`.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads.
pub async fn list(source: Arc<Source>, index: usize, range: Range, share: Arc<Share>, out: Sender<Yield>) {
    let listed = match &source.location.target {
        Target::Object(key) => one(&source, index, key, &range, &out).await,
        Target::Prefix(_) | Target::Pattern(_) => {
            Lister::new(&source, index, source.location.path(), range, &share, &out).run().await
        }
    };
    // No cut comes behind the last word.
    share.keep_whole();
    let last = match listed {
        Ok(()) => Yield::Exhausted { range: index },
        Err(error) => Yield::Broken { what: source.location.to_string(), error },
    };
    // Closed only when the run ends.
    let _ = out.send(last).await;
}

/// The one object of a source that names one.
async fn one(source: &Source, index: usize, key: &str, range: &Range, out: &Sender<Yield>) -> Result<(), RequestError> {
    if range.at.is_none() {
        let version_id = source.version_id.clone();
        let (object, kept) = match source.bucket.head(key, version_id.as_deref()).await {
            // Whether it is gone is for the operation to say, as for every object.
            Err(error) if error.class == Class::Missing => (Object::new(key, 0), true),
            head => {
                let object = head?.object(key);
                let kept = source.keeps(&object);
                (object, kept)
            }
        };
        let through = (!kept).then(|| Position::Key(key.to_owned()));
        let item = Item::listed(source.index, Object { version_id, ..object });
        let items = kept.then_some(item).into_iter().collect();
        let _ = out.send(Yield::Items { range: index, items, filtered: u64::from(!kept), through }).await;
    }
    Ok(())
}

struct Lister<'a> {
    source: &'a Source,
    index: usize,
    prefix: &'a str,
    /// Where the range begins.
    begins: Option<String>,
    /// Where it goes on.
    after: Option<String>,
    cursor: Cursor,
    share: &'a Share,
    /// The destination's listing, where it matters what is there.
    beside: Option<Walk<'a>>,
    out: &'a Sender<Yield>,
}

impl<'a> Lister<'a> {
    fn new(
        source: &'a Source,
        index: usize,
        prefix: &'a str,
        range: Range,
        share: &'a Share,
        out: &'a Sender<Yield>,
    ) -> Self {
        let cursor = match range.cursor() {
            Some(Position::Token(token)) => Cursor::unordered(Some(token.clone())),
            None if source.bucket.is_directory() => Cursor::unordered(None),
            at => Cursor::behind(at.and_then(Position::key)),
        };
        let key = |at: Option<&Position>| at.and_then(Position::key).map(str::to_owned);
        let (begins, after) = (key(range.id.after.as_ref()), key(range.cursor()));
        let beside = source.beside.as_ref().map(Walk::new);
        Self { source, index, prefix, begins, after, cursor, share, beside, out }
    }

    async fn run(mut self) -> Result<(), RequestError> {
        if self.cursor.unordered && self.goes_unordered().await.is_err() {
            return Ok(());
        }
        let mut found = self.found();
        loop {
            let page = match found.take() {
                Some(page) => page,
                None => self.source.bucket.list(&self.cursor.request(self.prefix)).await?,
            };
            let next = match self.cursor.next(self.prefix, &page) {
                Err(error) if error.code == OUT_OF_ORDER && self.may_go_unordered(&page) => {
                    tracing::warn!(
                        "{} is not listed in byte order by this store: it is listed one page after another",
                        self.source.location
                    );
                    if self.goes_unordered().await.is_err() {
                        return Ok(());
                    }
                    self.cursor.unordered = true;
                    self.cursor.next(self.prefix, &page)
                }
                next => next,
            }?;
            let truncated = page.truncated;
            let until = self.share.listed(&page.objects, truncated);
            let sent = if self.cursor.unordered {
                let token = next.token.clone().filter(|_| truncated);
                self.send_unordered(page.objects, until.as_deref(), token).await
            } else {
                self.send(page.objects, until.as_deref()).await?
            };
            match sent {
                Ok(More::Perhaps) if truncated => self.cursor = next,
                _ => return Ok(()),
            }
            if self.share.is_far_ahead() && self.give_back().await.is_err() || self.share.is_over() {
                return Ok(());
            }
        }
    }

    /// Gives what is left of the range back.
    async fn give_back(&self) -> Result<(), Closed> {
        let permit = self.out.reserve().await.map_err(|_| Closed)?;
        self.share.give_back(|cut| permit.send(Yield::Split { range: self.index, cuts: vec![Position::Key(cut)] }));
        Ok(())
    }

    /// The page that was found when the range was cut off another, behind the key of the cut.
    fn found(&self) -> Option<Page> {
        let after = self.after.as_deref()?;
        let mut page = self.share.keyspace().take_found(self.source.index, after)?;
        // What stands before the cut belongs to the other range; what is behind it is judged like any page.
        let cut = page.objects.iter().position(|object| object.key == after)?;
        page.objects.drain(..=cut);
        // Where nothing is left of it, it is asked again from the cut: a token would lead on from elsewhere.
        Some(page).filter(|page| !page.objects.is_empty() || !page.truncated)
    }

    /// Whether the server's tokens lead through all of a range that is not in byte order: where nothing
    /// of the source was taken over by others, or where the order is that of UTF-16, in which cuts
    /// divide the keys alike.
    fn may_go_unordered(&self, page: &Page) -> bool {
        let keys = page.objects.iter().map(|object| object.key.as_str());
        ascends_in_utf16(self.cursor.seen.as_deref().into_iter().chain(keys))
            || (self.cursor.by_token && self.share.keep_whole())
    }

    /// From here on the server's order is not that of the keys.
    async fn goes_unordered(&mut self) -> Result<(), Closed> {
        self.share.keep_whole();
        // What is beside cannot be walked through in step: it is asked for.
        self.beside = None;
        self.out.send(Yield::Unordered { range: self.index }).await.map_err(|_| Closed)
    }

    /// Sends the objects of a page that belong to the range, which ends with `until`.
    async fn send(&mut self, objects: Vec<Object>, until: Option<&str>) -> Result<Result<More, Closed>, RequestError> {
        let mut chunk = Chunk::default();
        for object in objects {
            if Some(object.key.as_str()) <= self.after.as_deref() {
                continue;
            }
            if until.is_some_and(|until| object.key.as_str() > until) {
                return Ok(self.emit(chunk).await.map(|()| More::No));
            }
            chunk.passed = None;
            if self.source.keeps(&object) {
                let mut item = Item::listed(self.source.index, object);
                if let Some(beside) = &mut self.beside {
                    item.beside = beside.look(&item.object.key).await?;
                }
                chunk.items.push(item);
            } else {
                chunk.filtered += 1;
                chunk.passed = Some(Position::Key(object.key));
            }
            if chunk.items.len() == CHUNK && self.emit(std::mem::take(&mut chunk)).await.is_err() {
                return Ok(Err(Closed));
            }
        }
        Ok(self.emit(chunk).await.map(|()| More::Perhaps))
    }

    /// Sends a page of a listing without order, behind which the server goes on at `token`: all at once,
    /// since it is finished as a whole.
    async fn send_unordered(
        &mut self,
        objects: Vec<Object>,
        until: Option<&str>,
        token: Option<String>,
    ) -> Result<More, Closed> {
        let (mut chunk, mut more) = (Chunk::default(), More::Perhaps);
        for object in objects {
            if Some(object.key.as_str()) <= self.begins.as_deref() {
                continue;
            }
            if until.is_some_and(|until| object.key.as_str() > until) {
                more = More::No;
                break;
            }
            if !self.source.keeps(&object) {
                chunk.filtered += 1;
                continue;
            }
            chunk.items.push(Item::listed(self.source.index, object));
        }
        chunk.passed = token.filter(|_| matches!(more, More::Perhaps)).map(Position::Token);
        self.emit(chunk).await.map(|()| more)
    }

    async fn emit(&self, chunk: Chunk) -> Result<(), Closed> {
        let Chunk { items, filtered, passed } = chunk;
        if items.is_empty() && filtered == 0 && passed.is_none() {
            return Ok(());
        }
        self.share.take_room(items.len()).await;
        let items = Yield::Items { range: self.index, items, filtered, through: passed };
        self.out.send(items).await.map_err(|_| Closed)
    }
}

/// The job takes no more items.
struct Closed;

/// Whether the range goes on behind a page.
enum More {
    Perhaps,
    No,
}

/// Some of a page.
#[derive(Default)]
struct Chunk {
    items: Vec<Item>,
    /// Objects that the filters left out.
    filtered: u64,
    /// What was left out, behind the last item.
    passed: Option<Position>,
}

/// Where a listing stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// The last key that the server showed in this listing.
    seen: Option<String>,
    start_after: Option<String>,
    token: Option<String>,
    /// It began where the source begins, and goes on by the server's tokens.
    by_token: bool,
    /// The server's order is not that of the keys.
    unordered: bool,
}

/// The code of a listing that is not in the order of its keys.
const OUT_OF_ORDER: &str = "ListingOutOfOrder";

impl Cursor {
    /// A listing that begins behind `after`. Where the server cannot be told that key, it begins
    /// earlier, and what is not behind `after` is left out by the caller.
    fn behind(after: Option<&str>) -> Self {
        let start_after = after.map(carried_by_xml).filter(|start| !start.is_empty()).map(str::to_owned);
        // What is not behind a key that the server was told is a sign that it has another order.
        let seen = start_after.clone().filter(|start| Some(start.as_str()) == after);
        Self { by_token: start_after.is_none(), seen, start_after, ..Self::default() }
    }

    /// A listing in the server's order, from its beginning or where a token leads.
    fn unordered(token: Option<String>) -> Self {
        Self { token, by_token: true, unordered: true, ..Self::default() }
    }

    fn request<'a>(&'a self, prefix: &'a str) -> PageRequest<'a> {
        let (start_after, token) = (self.start_after.as_deref(), self.token.as_deref());
        PageRequest { prefix, start_after, token, ..PageRequest::default() }
    }

    /// Where the listing stands after `page`.
    ///
    /// # Errors
    /// A page that is out of order, of another prefix, or does not go on: some keys would be
    /// missed, or listed for ever.
    fn next(&self, prefix: &str, page: &Page) -> Result<Self, RequestError> {
        let mut seen = self.seen.as_deref();
        for object in &page.objects {
            let key = object.key.as_str();
            if !key.starts_with(prefix) {
                return Err(lies("ListingOutsidePrefix", "shows a key outside the prefix", key));
            }
            if !self.unordered && seen.is_some_and(|before| before >= key) {
                let error = lies(OUT_OF_ORDER, "does not go on in byte order at", key);
                let hint = "list it one page after another, with --restart --list-concurrency 1";
                return Err(RequestError { message: format!("{}: {hint}", error.message), ..error });
            }
            seen = Some(key);
        }
        let next = Self {
            seen: seen.map(str::to_owned),
            start_after: None,
            token: None,
            by_token: self.by_token,
            unordered: self.unordered,
        };
        match (seen, &page.next_token) {
            _ if !page.truncated => Ok(next),
            (_, Some(token)) if self.by_token && self.token.as_ref() != Some(token) => {
                Ok(Self { token: Some(token.clone()), ..next })
            }
            (Some(last), _) if !self.unordered && !page.objects.is_empty() && carried_by_xml(last) == last => {
                Ok(Self { start_after: next.seen.clone(), ..next })
            }
            (_, Some(token)) if self.token.as_ref() != Some(token) => Ok(Self { token: Some(token.clone()), ..next }),
            (last, _) => {
                Err(lies("ListingStuck", "says that there is more and does not go on behind", last.unwrap_or(prefix)))
            }
        }
    }
}

fn lies(code: &str, what: &str, key: &str) -> RequestError {
    let message = format!("the server's listing {what} {:?}", escape_key(key));
    RequestError::local(Operation::ListObjectsV2, Class::Permanent, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], truncated: bool, token: Option<&str>) -> Page {
        let objects = keys.iter().map(|&key| Object::new(key, 1)).collect();
        Page { objects, truncated, next_token: token.map(str::to_owned), ..Page::default() }
    }

    fn after(key: &str) -> Cursor {
        Cursor { seen: Some(key.to_owned()), start_after: Some(key.to_owned()), ..Cursor::default() }
    }

    #[test]
    fn the_next_page_begins_behind_the_last_key() {
        assert_eq!(Cursor::behind(Some("a")).next("", &page(&["aa", "b"], true, Some("t"))), Ok(after("b")));
    }

    #[test]
    fn a_listing_from_the_beginning_goes_on_by_token() {
        let next = Cursor::behind(None).next("", &page(&["a", "b"], true, Some("t"))).unwrap();
        assert_eq!((next.token.as_deref(), next.start_after.as_deref()), (Some("t"), None));
        let next = next.next("", &page(&["c"], true, None)).unwrap();
        assert_eq!(next.start_after.as_deref(), Some("c"));
    }

    #[test]
    fn a_listing_without_order_goes_on_by_token_only() {
        let cursor = Cursor::unordered(None);
        let next = cursor.next("", &page(&["b", "a"], true, Some("t"))).unwrap();
        assert_eq!(next.token.as_deref(), Some("t"));
        assert_eq!(next.next("", &page(&["0"], true, Some("t"))).unwrap_err().code, "ListingStuck");
        assert_eq!(next.next("", &page(&["0"], true, None)).unwrap_err().code, "ListingStuck");
    }

    #[test]
    fn a_key_that_xml_cannot_carry_is_passed_by_token() {
        let next = Cursor::default().next("", &page(&["a\u{1}"], true, Some("t"))).unwrap();
        assert_eq!((next.token.as_deref(), next.start_after), (Some("t"), None));
    }

    #[test]
    fn an_empty_page_is_passed_by_token() {
        let next = after("k").next("", &page(&[], true, Some("t"))).unwrap();
        assert_eq!((next.token.as_deref(), next.seen.as_deref()), (Some("t"), Some("k")));
    }

    #[test]
    fn a_cursor_that_does_not_move_is_an_error() {
        let code = |cursor: &Cursor, page: &Page| cursor.next("", page).unwrap_err().code;
        assert_eq!(code(&Cursor::behind(Some("b")), &page(&["a", "b"], true, None)), "ListingOutOfOrder");
        assert_eq!(code(&after("b"), &page(&["a", "b"], true, None)), "ListingOutOfOrder");
        assert_eq!(code(&after("b"), &page(&[], true, None)), "ListingStuck");
        let stuck = Cursor { token: Some("t".to_owned()), ..Cursor::default() };
        assert_eq!(code(&stuck, &page(&[], true, Some("t"))), "ListingStuck");
        assert_eq!(code(&Cursor::default(), &page(&["b", "a"], false, None)), "ListingOutOfOrder");
    }

    #[test]
    fn a_key_outside_the_prefix_is_an_error() {
        let error = Cursor::default().next("x/", &page(&["y/k"], false, None)).unwrap_err();
        assert_eq!(error.code, "ListingOutsidePrefix");
    }

    #[test]
    fn a_resume_begins_where_the_server_can_be_told() {
        assert_eq!(Cursor::behind(Some("a/b\u{1}c")).start_after.as_deref(), Some("a/b"));
        assert_eq!(Cursor::behind(Some("\u{1}")).start_after, None);
        assert_eq!(Cursor::behind(Some("é/漢🦀")).start_after.as_deref(), Some("é/漢🦀"));
    }
}
