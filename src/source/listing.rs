//! A range of keys, listed page by page with ListObjectsV2.
//!
//! A page begins behind the last key of the page before (`start-after`), since some servers skip a
//! key when a token follows a start-after. Where that key holds characters that XML cannot carry,
//! which S3 refuses in a start-after, the server's token is used instead.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::beside::Walk;
use super::cuts::cut_points;
use super::{CHUNK, Source, Yield};
use crate::model::{Class, Item, Object, Operation, Position, Range, RequestError, Target, escape_key};
use crate::store::{Page, PageRequest};

/// Works through `range`, the job's number `index`, and sends what it finds to `out`. A range that
/// is a whole source, and longer than a page, is cut into at most `max_ranges`.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads.
pub async fn list(source: Arc<Source>, index: usize, range: Range, max_ranges: usize, out: Sender<Yield>) {
    let listed = match &source.location.target {
        Target::Object(key) => one(&source, index, key, &range, &out).await,
        Target::Prefix(_) | Target::Pattern(_) => {
            Lister::new(&source, index, source.location.path(), range, max_ranges, &out).run().await
        }
    };
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
        let object = match source.bucket.head(key, version_id.as_deref()).await {
            // Whether it is gone is for the operation to say, as for every object.
            Err(error) if error.class == Class::Missing => Object::new(key, 0),
            head => {
                let object = head?.object(key);
                if source.filter.as_ref().is_some_and(|filter| !filter.keeps(&object)) {
                    return Ok(());
                }
                object
            }
        };
        let items = vec![Item::listed(source.index, Object { version_id, ..object })];
        let _ = out.send(Yield::Items { range: index, items }).await;
    }
    Ok(())
}

struct Lister<'a> {
    source: &'a Source,
    index: usize,
    prefix: &'a str,
    after: Option<String>,
    until: Option<String>,
    /// How many ranges this one may become; 1 where it may not be cut.
    max_ranges: usize,
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
        max_ranges: usize,
        out: &'a Sender<Yield>,
    ) -> Self {
        let key = |position: Option<&Position>| position.and_then(Position::key).map(str::to_owned);
        let whole = range.id.after.is_none() && range.until.is_none();
        let max_ranges = if whole { max_ranges } else { 1 };
        let (after, until) = (key(range.cursor()), key(range.until.as_ref()));
        let beside = source.beside.as_ref().map(Walk::new);
        Self { source, index, prefix, after, until, max_ranges, beside, out }
    }

    async fn run(mut self) -> Result<(), RequestError> {
        let mut cursor = Cursor::behind(self.after.as_deref());
        loop {
            let page = self.source.bucket.list(&cursor.request(self.prefix)).await?;
            let next = cursor.next(self.prefix, &page)?;
            let truncated = page.truncated;
            if self.send(page.objects).await?.is_err() {
                return Ok(());
            }
            let last = next.seen.as_deref();
            if !truncated || self.until.as_deref().zip(last).is_some_and(|(until, last)| last >= until) {
                return Ok(());
            }
            cursor = next;
            if self.max_ranges > 1 {
                let seen = cursor.seen.as_deref().max(self.after.as_deref()).unwrap_or_default();
                self.cut(seen.to_owned()).await;
            }
        }
    }

    /// Sends the objects of a page that belong to the range.
    async fn send(&mut self, objects: Vec<Object>) -> Result<Result<(), Closed>, RequestError> {
        let mut items = Vec::with_capacity(CHUNK);
        for object in objects {
            let key = Some(object.key.as_str());
            let inside = key > self.after.as_deref() && self.until.as_deref().is_none_or(|until| key <= Some(until));
            if !inside || self.source.filter.as_ref().is_some_and(|filter| !filter.keeps(&object)) {
                continue;
            }
            let mut item = Item::listed(self.source.index, object);
            if let Some(beside) = &mut self.beside {
                item.beside = beside.look(&item.object.key).await?;
            }
            items.push(item);
            if items.len() == CHUNK && self.emit(&mut items).await.is_err() {
                return Ok(Err(Closed));
            }
        }
        Ok(if items.is_empty() { Ok(()) } else { self.emit(&mut items).await })
    }

    async fn emit(&self, items: &mut Vec<Item>) -> Result<(), Closed> {
        let items = std::mem::replace(items, Vec::with_capacity(CHUNK));
        self.out.send(Yield::Items { range: self.index, items }).await.map_err(|_| Closed)
    }

    /// Asks once for the folders behind `last` and cuts the range by them. That it cannot be asked
    /// is no fault: the range is then listed in one.
    async fn cut(&mut self, last: String) {
        let ranges = std::mem::replace(&mut self.max_ranges, 1);
        let request = PageRequest {
            prefix: self.prefix,
            start_after: Some(carried_by_xml(&last)).filter(|start| !start.is_empty()),
            delimiter: Some("/"),
            ..PageRequest::default()
        };
        let folders = match self.source.bucket.list(&request).await {
            Ok(page) => page.folders,
            Err(error) => return tracing::debug!(%error, "no folders to cut the listing by"),
        };
        let cuts = cut_points(&folders, &last, self.until.as_deref(), ranges);
        if let Some(first) = cuts.first() {
            self.until = Some(first.clone());
            let cuts = cuts.into_iter().map(Position::Key).collect();
            // Closed only when the run ends.
            let _ = self.out.send(Yield::Split { range: self.index, cuts }).await;
        }
    }
}

/// The job takes no more items.
struct Closed;

/// Where a listing stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// The last key that the server showed in this listing.
    seen: Option<String>,
    start_after: Option<String>,
    token: Option<String>,
}

impl Cursor {
    /// A listing that begins behind `after`. Where the server cannot be told that key, it begins
    /// earlier, and what is not behind `after` is left out by the caller.
    fn behind(after: Option<&str>) -> Self {
        let start_after = after.map(carried_by_xml).filter(|start| !start.is_empty()).map(str::to_owned);
        Self { seen: None, start_after, token: None }
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
            if seen.is_some_and(|before| before >= key) {
                return Err(lies("ListingOutOfOrder", "does not go on in byte order at", key));
            }
            seen = Some(key);
        }
        let seen = seen.map(str::to_owned);
        match seen.as_deref() {
            Some(last) if !page.objects.is_empty() && carried_by_xml(last) == last => {
                Ok(Self { start_after: seen.clone(), seen, token: None })
            }
            _ if !page.truncated => Ok(Self { seen, ..Self::default() }),
            last => match &page.next_token {
                Some(token) if self.token.as_ref() != Some(token) => {
                    Ok(Self { token: Some(token.clone()), seen, start_after: None })
                }
                _ => Err(lies(
                    "ListingStuck",
                    "says that there is more and does not go on behind",
                    last.unwrap_or(prefix),
                )),
            },
        }
    }
}

fn lies(code: &str, what: &str, key: &str) -> RequestError {
    let message = format!("the server's listing {what} {:?}", escape_key(key));
    RequestError::local(Operation::ListObjectsV2, Class::Permanent, code, message)
}

/// The longest beginning of `key` that XML 1.0 can carry: S3 refuses others in `start-after`.
/// Every key behind `key` is behind it, too.
pub(super) fn carried_by_xml(key: &str) -> &str {
    let carried =
        |c: char| matches!(c, '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..);
    let noncharacter = |c: char| u32::from(c) & 0xfffe == 0xfffe;
    key.find(|c| !carried(c) || noncharacter(c)).map_or(key, |end| &key[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(keys: &[&str], truncated: bool, token: Option<&str>) -> Page {
        let objects = keys.iter().map(|&key| Object::new(key, 1)).collect();
        Page { objects, truncated, next_token: token.map(str::to_owned), ..Page::default() }
    }

    fn after(key: &str) -> Cursor {
        Cursor { seen: Some(key.to_owned()), start_after: Some(key.to_owned()), token: None }
    }

    #[test]
    fn the_next_page_begins_behind_the_last_key() {
        assert_eq!(Cursor::default().next("", &page(&["a", "b"], true, Some("t"))), Ok(after("b")));
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

    proptest! {
        #[test]
        fn a_safe_start_loses_no_key(at in "(\\PC|\u{1}|\u{7f}|\u{ffff}){0,5}", other in "(\\PC|\u{1}|\u{7f}|\u{ffff}){0,5}") {
            prop_assume!(other > at);
            prop_assert!(other.as_str() > carried_by_xml(&at));
        }
    }
}
