//! Pages of a listing, as a pure function of an ordered map: seeks, never scans.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::config::Order;

/// What a page is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Query<'a> {
    /// Only keys that begin so.
    pub(crate) prefix: &'a str,
    /// Keys that hold it after the prefix are rolled up to a common prefix; empty: none are.
    pub(crate) delimiter: &'a str,
    /// Only entries greater than this.
    pub(crate) after: Option<&'a str>,
    /// The most entries on the page.
    pub(crate) limit: usize,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry<'a, V> {
    /// A key with its value.
    Key(Cow<'a, str>, &'a V),
    /// The common prefix of at least one key.
    Prefix(Cow<'a, str>),
}

impl<V> Entry<'_, V> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Entry::Key(key, _) => key,
            Entry::Prefix(prefix) => prefix,
        }
    }
}

/// A page, with the way to the next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page<'a, V> {
    /// In the order of the listing.
    pub(crate) entries: Vec<Entry<'a, V>>,
    /// What to list after for the next page; absent on the last page.
    pub(crate) next: Option<String>,
}

/// The keys of a map in another order than that of their bytes: their ranks.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    order: Order,
    ranks: BTreeMap<String, ()>,
}

impl Index {
    /// An empty one; nothing for the order that a map has by itself.
    pub(crate) fn new(order: Order) -> Option<Index> {
        (order != Order::Bytes).then(|| Index { order, ranks: BTreeMap::new() })
    }

    pub(crate) fn insert(&mut self, key: &str) {
        self.ranks.insert(self.order.rank(key).into_owned(), ());
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.ranks.remove(self.order.rank(key).as_ref());
    }

    /// Lists one page of the map, whose keys are those of the index.
    pub(crate) fn page<'a, V>(&'a self, map: &'a BTreeMap<String, V>, query: &Query<'_>) -> Page<'a, V> {
        if self.order == Order::Shuffled {
            return self.shuffled(map, query);
        }
        let (prefix, delimiter) = (self.order.rank(query.prefix), self.order.rank(query.delimiter));
        let after = query.after.map(|after| self.order.rank(after));
        let ranked = Query { prefix: &prefix, delimiter: &delimiter, after: after.as_deref(), ..*query };
        let found = page(&self.ranks, &ranked);
        let entry = |entry| match entry {
            Entry::Key(rank, ()) => self.look_up(map, &rank),
            Entry::Prefix(rank) => Some(Entry::Prefix(Cow::Owned(self.order.name(&rank).into_owned()))),
        };
        let next = found.next.map(|rank| self.order.name(&rank).into_owned());
        Page { entries: found.entries.into_iter().filter_map(entry).collect(), next }
    }

    /// Keys that begin the same are not neighbours here: with a prefix it is searched for them, and
    /// with a delimiter everything is looked at.
    fn shuffled<'a, V>(&'a self, map: &'a BTreeMap<String, V>, query: &Query<'_>) -> Page<'a, V> {
        let most = query.limit.saturating_add(1);
        let rank = |name: &str| self.order.rank(name).into_owned();
        let from = query.after.map_or(Bound::Unbounded, |after| Bound::Excluded(rank(after)));
        let mut entries: Vec<Entry<'a, V>> = if query.delimiter.is_empty() {
            let ranks = self.ranks.range::<str, _>((as_str(&from), Bound::Unbounded));
            let found = ranks.filter_map(|(rank, ())| self.look_up(map, rank));
            found.filter(|entry| entry.name().starts_with(query.prefix)).take(most).collect()
        } else {
            let all = page(map, &Query { after: None, limit: usize::MAX, ..*query }).entries;
            let all: BTreeMap<String, Entry<'a, V>> =
                all.into_iter().map(|entry| (rank(entry.name()), entry)).collect();
            let seen = |rank: &str| matches!(&from, Bound::Excluded(after) if rank <= after.as_str());
            all.into_iter().filter(|(rank, _)| !seen(rank)).map(|(_, entry)| entry).take(most).collect()
        };
        let more = entries.len() == most;
        entries.truncate(query.limit);
        let next = entries.last().filter(|_| more).map(|entry| entry.name().to_owned());
        Page { entries, next }
    }

    fn look_up<'a, V>(&self, map: &'a BTreeMap<String, V>, rank: &str) -> Option<Entry<'a, V>> {
        let (key, value) = map.get_key_value(self.order.name(rank).as_ref())?;
        Some(Entry::Key(Cow::Borrowed(key), value))
    }
}

/// Lists one page.
pub(crate) fn page<'a, V>(map: &'a BTreeMap<String, V>, query: &Query<'_>) -> Page<'a, V> {
    let mut page = Page { entries: Vec::new(), next: None };
    if query.limit == 0 {
        return page;
    }
    let mut from = match query.after {
        Some(after) if after >= query.prefix => Bound::Excluded(after.to_owned()),
        _ => Bound::Included(query.prefix.to_owned()),
    };
    'seek: loop {
        let range = map.range::<str, _>((as_str(&from), Bound::Unbounded));
        for (key, value) in range.take_while(|(key, _)| key.starts_with(query.prefix)) {
            let entry = match common_prefix(key, query) {
                Some(prefix) => Entry::Prefix(Cow::Borrowed(prefix)),
                None => Entry::Key(Cow::Borrowed(key), value),
            };
            let listed = query.after.is_none_or(|after| entry.name() > after);
            if listed && page.entries.len() == query.limit {
                page.next = page.entries.last().map(|entry| entry.name().to_owned());
                return page;
            }
            let successor = match &entry {
                Entry::Prefix(prefix) => Some(after_all(prefix)),
                Entry::Key(..) => None,
            };
            if listed {
                page.entries.push(entry);
            }
            if let Some(successor) = successor {
                let Some(successor) = successor else { return page };
                from = Bound::Included(successor);
                continue 'seek;
            }
        }
        return page;
    }
}

fn as_str(bound: &Bound<String>) -> Bound<&str> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// What the key is rolled up to.
fn common_prefix<'a>(key: &'a str, query: &Query<'_>) -> Option<&'a str> {
    if query.delimiter.is_empty() {
        return None;
    }
    let rest = key.get(query.prefix.len()..)?;
    let end = query.prefix.len() + rest.find(query.delimiter)? + query.delimiter.len();
    key.get(..end)
}

/// The smallest string greater than every string that begins with this one. UTF-8 sorts like its
/// code points, so raising the last character by one is exact.
fn after_all(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn bucket(keys: &[&str]) -> BTreeMap<String, ()> {
        keys.iter().map(|key| ((*key).to_owned(), ())).collect()
    }

    fn names(page: &Page<'_, ()>) -> Vec<String> {
        page.entries.iter().map(|entry| entry.name().to_owned()).collect()
    }

    /// The rules of S3 said in the slowest way.
    fn reference(map: &BTreeMap<String, ()>, query: &Query<'_>) -> Vec<String> {
        let names: BTreeSet<String> = map
            .keys()
            .filter(|key| key.starts_with(query.prefix))
            .map(|key| common_prefix(key, query).unwrap_or(key).to_owned())
            .filter(|name| query.after.is_none_or(|after| name.as_str() > after))
            .collect();
        names.into_iter().collect()
    }

    fn all_pages(map: &BTreeMap<String, ()>, query: &Query<'_>) -> Vec<String> {
        pages(query, |query| page(map, query))
    }

    fn pages<'a>(query: &Query<'_>, page: impl Fn(&Query<'_>) -> Page<'a, ()>) -> Vec<String> {
        let mut listed = Vec::new();
        let mut after = query.after.map(str::to_owned);
        loop {
            let page = page(&Query { after: after.as_deref(), ..*query });
            assert!(page.entries.len() <= query.limit);
            listed.extend(names(&page));
            match page.next {
                Some(next) => after = Some(next),
                None => return listed,
            }
        }
    }

    fn all_kinds() -> BTreeMap<String, ()> {
        let alphabet =
            ["", "a", "b", "/", "//", "a/", "é", "\u{D7FF}", "\u{FFFD}", "\u{10FFFF}", "\u{10FFFF}/", "\u{1}"];
        let mut keys = Vec::new();
        for x in alphabet {
            for y in alphabet {
                for z in alphabet {
                    keys.push(format!("{x}{y}{z}"));
                }
            }
        }
        keys.retain(|key| !key.is_empty());
        bucket(&keys.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn pages_together_are_the_whole_listing() {
        let map = all_kinds();
        for prefix in ["", "a", "a/", "/", "\u{10FFFF}", "zz"] {
            for delimiter in ["", "/", "a", "//", "\u{10FFFF}"] {
                for after in [None, Some(""), Some("a"), Some("a/"), Some("a/a"), Some("b/é"), Some("\u{10FFFF}")] {
                    for limit in [1, 2, 7, 2000] {
                        let query = Query { prefix, delimiter, after, limit };
                        assert_eq!(all_pages(&map, &query), reference(&map, &query), "{query:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn pages_in_another_order_are_the_same_listing_in_that_order() {
        let map = all_kinds();
        for order in [Order::Utf16, Order::Shuffled] {
            let mut index = Index::new(order).unwrap();
            map.keys().for_each(|key| index.insert(key));
            index.insert("gone");
            index.remove("gone");
            for (prefix, delimiter) in [("", ""), ("", "/"), ("a", ""), ("a", "\u{10FFFF}"), ("\u{FFFD}", "/")] {
                for limit in [7, 2000] {
                    for after in [None, Some("a/\u{FFFD}"), Some("\u{10FFFF}a")] {
                        let query = Query { prefix, delimiter, after, limit };
                        let mut expected = reference(&map, &Query { after: None, ..query });
                        expected.retain(|name| after.is_none_or(|after| order.rank(name) > order.rank(after)));
                        expected.sort_by_key(|name| order.rank(name).into_owned());
                        assert_eq!(pages(&query, |query| index.page(&map, query)), expected, "{order:?} {query:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_last_full_page_is_not_truncated() {
        let map = bucket(&["a", "b"]);
        let query = Query { limit: 2, ..Query::default() };
        assert_eq!(page(&map, &query).next, None);
        assert_eq!(page(&map, &Query { limit: 1, ..query }).next.as_deref(), Some("a"));
    }

    #[test]
    fn nothing_is_listed_when_nothing_is_asked_for() {
        let map = bucket(&["a"]);
        let page = page(&map, &Query::default());
        assert_eq!((page.entries.len(), page.next), (0, None));
    }

    #[test]
    fn a_folder_is_seeked_over() {
        let map = bucket(&["a/1", "a/2", "a/3", "b"]);
        let query = Query { delimiter: "/", limit: 1, ..Query::default() };
        let first = page(&map, &query);
        assert_eq!(names(&first), ["a/"]);
        assert_eq!(names(&page(&map, &Query { after: first.next.as_deref(), ..query })), ["b"]);
    }
}
