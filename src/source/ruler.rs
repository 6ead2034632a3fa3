//! Places between keys: which a request can carry, and what lies before and behind them. Pure.

/// The longest key of S3, in bytes ("Object key naming guidelines").
pub(super) const LONGEST_KEY: usize = 1_024;

/// Behind every key that begins as what it is put behind, as far as XML can carry it.
const LAST: char = '\u{10fffd}';

/// The longest beginning of `key` that XML 1.0 can carry: S3 refuses others in `start-after`.
/// Every key behind `key` is behind it, too.
pub(super) fn carried_by_xml(key: &str) -> &str {
    key.find(|c| !is_carried(c)).map_or(key, |end| &key[..end])
}

fn is_carried(c: char) -> bool {
    let noncharacter = u32::from(c) & 0xfffe == 0xfffe;
    let carried =
        matches!(c, '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    carried && !noncharacter
}

/// Whether a place between keys may hold it. Some servers decode a `%` twice.
pub(super) fn is_plain(c: char) -> bool {
    is_carried(c) && c != '%'
}

/// Whether a range may be cut at a key: some stores list in the order of UTF-16, and what lies before
/// this key is the same in both orders.
pub(super) fn is_cut(key: &str) -> bool {
    key.chars().all(|c| c <= '\u{d7ff}')
}

/// What `key` begins with, up to its first astral character (U+10000 and more), and a place that is
/// before the key in the order of bytes, and behind all astral characters there in that of UTF-16. `None`
/// where it has none, or XML cannot carry the place.
pub(super) fn before_astral(key: &str) -> Option<(&str, String)> {
    let beginning = &key[..key.find(|c| c > '\u{ffff}')?];
    let place = format!("{beginning}\u{fffd}");
    (carried_by_xml(&place) == place).then_some((beginning, place))
}

/// The bytes that both begin with, whole characters only.
pub(super) fn common(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
}

/// A place behind every key that begins with `prefix`.
pub(super) fn behind_all(prefix: &str) -> String {
    let mut place = prefix.to_owned();
    place.push(LAST);
    place
}

/// Some place strictly between two keys, by code points; `high` is open where it is `None`. `None`
/// where there is none that XML can carry and a key can be.
pub(super) fn between(low: &str, high: Option<&str>) -> Option<String> {
    if high.is_some_and(|high| low >= high) {
        return None;
    }
    let mut place = String::new();
    let (mut low, mut high) = (low.chars(), high.map(str::chars));
    loop {
        let (from, to) = (low.next(), high.as_mut().map(Iterator::next));
        if let (Some(from), Some(Some(to))) = (from, to)
            && from == to
        {
            place.push(from);
            continue;
        }
        // They part here: `from` is lower, or at its end.
        let to = match to {
            Some(None) => return None,
            to => to.flatten(),
        };
        if let Some(middle) = middle(from, to) {
            place.push(middle);
            break;
        }
        match (from, to) {
            // What begins as the low one goes on, and is low enough for that.
            (Some(from), _) => {
                place.push(from);
                high = None;
            }
            // The low one has ended: what is before the high one's end may do.
            (None, Some(to)) => place.push(to),
            (None, None) => return None,
        }
    }
    Some(place).filter(|place| place.len() <= LONGEST_KEY && carried_by_xml(place) == place)
}

/// A plain character about halfway between two; `None` where there is none.
fn middle(from: Option<char>, to: Option<char>) -> Option<char> {
    let (from, to) = (from.map_or(0, |c| u32::from(c) + 1), to.map_or(u32::from(LAST) + 1, u32::from));
    // Letters are looked for where letters are: an open end is not the middle of all of Unicode.
    let to = if to > 0x7f && from < 0x7e { 0x7f } else { to };
    let half = from + to.saturating_sub(from) / 2;
    let up = (half..to).take(0x1000).filter_map(char::from_u32);
    let down = (from..half.min(to)).rev().take(0x1000).filter_map(char::from_u32);
    up.chain(down).find(|c| is_plain(*c))
}

/// Looks for the longest beginning of a key that all keys behind it share, by asking what lies
/// behind all keys that begin so. Depths are in characters.
#[derive(Clone, Debug)]
pub(super) struct Depth<'a> {
    key: &'a str,
    /// All share this much.
    shared: usize,
    /// Not all share this much, or it is not worth asking.
    parted: usize,
}

impl<'a> Depth<'a> {
    /// A search where all keys behind `key` share its first `shared` bytes, and `similar` bytes are
    /// what the keys before it share with it.
    pub(super) fn new(key: &'a str, shared: usize, similar: usize) -> Self {
        let chars = |bytes: usize| key.get(..bytes).unwrap_or(key).chars().count();
        let shared = chars(shared);
        Self { key, shared, parted: chars(similar).max(shared) + 1 }
    }

    /// The beginning behind whose keys the next question is; `None` when there is no more to ask.
    pub(super) fn next(&self) -> Option<&'a str> {
        let depth = self.shared + (self.parted - self.shared) / 2;
        (depth > self.shared).then(|| self.beginning(depth))
    }

    /// Takes in what was found behind all keys that begin with `asked`.
    pub(super) fn found(&mut self, asked: &str, key: Option<&str>) {
        let asked = asked.chars().count();
        let together = key.map(|key| self.key.chars().zip(key.chars()).take_while(|(a, b)| a == b).count());
        match together {
            Some(together) if together < asked => self.parted = self.parted.min(together + 1).max(self.shared + 1),
            // Nothing, or what no place can be put behind.
            _ => self.shared = asked,
        }
    }

    /// What all keys behind the key begin with.
    pub(super) fn shared(&self) -> &'a str {
        self.beginning(self.shared)
    }

    fn beginning(&self, chars: usize) -> &'a str {
        self.key.char_indices().nth(chars).map_or(self.key, |(end, _)| &self.key[..end])
    }
}

/// Whether `keys` ascend in the order of their UTF-16 code units, which some stores take for that of
/// keys.
pub(super) fn ascends_in_utf16<'a>(keys: impl Iterator<Item = &'a str>) -> bool {
    keys.is_sorted_by(|a, b| a.encode_utf16().lt(b.encode_utf16()))
}

/// The smaller of two ends, where `None` is open.
pub(super) fn lower<'a>(a: Option<&'a str>, b: Option<&'a str>) -> Option<&'a str> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Keys that are hard to cut between: long equal beginnings, control characters, astral ones,
    /// noncharacters, the first and last of everything.
    pub(in super::super) fn awkward() -> impl Strategy<Value = String> {
        let characters = prop::sample::select(vec![
            'a',
            'b',
            '~',
            ' ',
            '!',
            '/',
            '%',
            '\u{1}',
            '\u{7f}',
            '\u{a0}',
            'é',
            '漢',
            '\u{d7ff}',
            '\u{e000}',
            '\u{fffd}',
            '\u{ffff}',
            '\u{10000}',
            '🦀',
            '\u{10fffd}',
            '\u{10ffff}',
        ]);
        let tail = prop::collection::vec(characters, 0..5).prop_map(|chars| chars.into_iter().collect::<String>());
        let beginning = prop::sample::select(vec![0_usize, 0, 3, 1_000, 1_020]);
        (beginning, tail).prop_map(|(length, tail)| "x".repeat(length) + &tail)
    }

    pub(in super::super) fn is_a_place(place: &str, low: &str, high: Option<&str>) -> bool {
        place > low
            && high.is_none_or(|high| place < high)
            && place.len() <= LONGEST_KEY
            && carried_by_xml(place) == place
    }

    #[test]
    fn there_is_a_place_between_neighbours() {
        for (low, high) in [("a", "b"), ("a", "aa"), ("", "a"), ("ab", "b"), ("é", "ê"), ("a~~", "b"), ("", "~")] {
            let place = between(low, Some(high)).unwrap();
            assert!(is_a_place(&place, low, Some(high)), "{low:?} {place:?} {high:?}");
        }
        assert!(is_a_place(&between("🦀\u{10fffd}", None).unwrap(), "🦀\u{10fffd}", None));
    }

    #[test]
    fn there_is_none_where_there_can_be_none() {
        assert_eq!(between("a", Some("a ")), None);
        assert_eq!(between("a", Some("a")), None);
        assert_eq!(between("b", Some("a")), None);
        assert_eq!(between(&"x".repeat(1_024), Some(&("x".repeat(1_024) + "a"))), None);
    }

    fn search(key: &str, keys: &[&str], similar: usize) -> (String, usize) {
        let keys: BTreeSet<&str> = keys.iter().copied().collect();
        let mut depth = Depth::new(key, 0, similar);
        let mut questions = 0;
        while let Some(beginning) = depth.next() {
            questions += 1;
            let behind = behind_all(beginning);
            let found = keys.range(behind.as_str()..).find(|key| **key > behind.as_str()).copied();
            depth.found(beginning, found);
        }
        (depth.shared().to_owned(), questions)
    }

    #[test]
    fn what_all_keys_behind_one_share_is_found_with_few_questions() {
        let numbers = ["img-00000999", "img-00001000", "img-00100000", "img-00299999"];
        assert_eq!(search("img-00000999", &numbers, 9), ("img-00".to_owned(), 3));
        let dates = ["2024/01/01/f", "2024/01/02/a", "2024/10/01/a"];
        assert_eq!(search("2024/01/01/f", &dates, 10).0, "2024/");
        assert_eq!(search("2024/01/01/f", &[], 10).0, "2024/01/01");
    }

    proptest! {
        #[test]
        fn a_cut_divides_keys_alike_in_both_orders(cut in awkward(), key in awkward()) {
            prop_assume!(is_cut(&cut));
            prop_assert_eq!(key < cut, key.encode_utf16().lt(cut.encode_utf16()));
        }

        #[test]
        fn the_orders_part_before_an_astral_character(key in awkward(), other in awkward()) {
            let Some((beginning, place)) = before_astral(&key) else { return Ok(()) };
            prop_assert!(key > place && key.encode_utf16().lt(place.encode_utf16()));
            if other.strip_prefix(beginning).is_some_and(|rest| rest.starts_with(|c| c > '\u{ffff}')) {
                prop_assert!(other > place && other.encode_utf16().lt(place.encode_utf16()));
            }
        }

        #[test]
        fn a_place_between_two_keys_is_between_them(low in awkward(), high in awkward()) {
            prop_assume!(low < high);
            if let Some(place) = between(&low, Some(&high)) {
                prop_assert!(is_a_place(&place, &low, Some(&high)), "{:?}", place);
            }
            if let Some(place) = between(&low, None) {
                prop_assert!(is_a_place(&place, &low, None), "{:?}", place);
            }
        }

        #[test]
        fn plain_keys_apart_by_a_letter_always_have_one(low in "[!-z]{0,8}", up in "[#-z]", tail in "[!-z]{1,3}") {
            let (low, high) = (format!("{low}{tail}"), format!("{low}{up}~~"));
            prop_assume!(low < high);
            prop_assert!(between(&low, Some(&high)).is_some());
        }

        #[test]
        fn what_is_shared_is_shared_by_all(
            key in awkward(), keys in prop::collection::btree_set(awkward(), 0..8), similar in 0_usize..6,
        ) {
            // No place can be put behind the last characters of all.
            let last = |key: &String| key.contains(['\u{10fffd}', '\u{10ffff}']);
            prop_assume!(!last(&key));
            let behind: Vec<&str> = keys.iter().filter(|k| **k > key && !last(k)).map(String::as_str).collect();
            let similar = key.char_indices().map(|(at, _)| at).take(similar + 1).last().unwrap_or(0);
            let (shared, _) = search(&key, &behind, similar);
            prop_assert!(behind.iter().all(|behind| behind.starts_with(&shared)), "{:?}", shared);
        }

        #[test]
        fn a_safe_start_loses_no_key(at in "(\\PC|\u{1}|\u{7f}|\u{ffff}){0,5}", other in "(\\PC|\u{1}|\u{7f}|\u{ffff}){0,5}") {
            prop_assume!(other > at);
            prop_assert!(other.as_str() > carried_by_xml(&at));
        }
    }
}
