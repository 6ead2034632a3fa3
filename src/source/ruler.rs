//! Places between keys: where a range may be cut, and how much of it may be left. Pure.
//!
//! Nothing is assumed of an alphabet or of `/`. What keys look like is learned from those that were
//! seen; where that does not help, the code points decide.

/// The longest key of S3, in bytes ("Object key naming guidelines").
const LONGEST_KEY: usize = 1_024;

/// Behind every key that begins as what it is put behind, as far as XML can carry it.
const LAST: char = '\u{10fffd}';

/// Characters of an alphabet at most: of the scripts with more, those that came first.
const LETTERS: usize = 256;

/// Characters that a place is measured by, behind what the ends have in common: more than a 64-bit
/// float can tell apart.
const DIGITS: usize = 16;

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
fn is_plain(c: char) -> bool {
    is_carried(c) && c != '%'
}

/// Whether a range may be cut at a key: some stores list in the order of UTF-16, and what lies before
/// this key is the same in both orders.
pub(super) fn is_cut(key: &str) -> bool {
    key.chars().all(|c| c <= '\u{d7ff}')
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

/// The characters that keys were seen to be made of, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alphabet(Vec<char>);

impl Alphabet {
    /// Takes in the characters of a key, or of a part of it.
    pub(super) fn learn(&mut self, key: &str) {
        for c in key.chars().filter(|c| is_plain(*c)) {
            if let Err(at) = self.0.binary_search(&c)
                && self.0.len() < LETTERS
            {
                self.0.insert(at, c);
            }
        }
    }

    /// A ruler for what is behind the first `start` bytes of keys that look like `like`: where that has a
    /// number, they have numbers.
    fn ruler(&self, like: &str, start: usize) -> Ruler {
        let mut kinds = runs(like).into_iter().skip(like.get(..start).unwrap_or_default().chars().count());
        let letters = |kinds: Option<u8>| -> Vec<char> {
            self.0.iter().copied().filter(|c| kinds.is_none_or(|kinds| kinds & kind(*c) != 0)).collect()
        };
        Ruler((0..DIGITS).map(|_| letters(kinds.next())).collect())
    }

    /// At most `count` places strictly between `low` and `high`, in order: `part` of the way apart, if
    /// so many have room, and else evenly. All keys between them begin with `prefix`; `high` is open
    /// where it is `None`.
    pub(super) fn places(&self, prefix: &str, low: &str, high: Option<&str>, count: usize, part: f64) -> Vec<String> {
        let start = high.map_or(prefix.len(), |high| common(low, high));
        let (Some(beginning), Some(tail)) = (low.get(..start), low.get(start..)) else { return Vec::new() };
        let ruler = self.ruler(low, start);
        let from = ruler.place(tail);
        let to = high.map_or(1.0, |high| ruler.place(&high[start..]));
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let step = (to - from) * part.min(1.0 / (count as f64 + 1.0));
        let inside = |place: &String| {
            place.as_str() > low
                && high.is_none_or(|high| place.as_str() < high)
                && place.len() <= LONGEST_KEY
                && carried_by_xml(place) == place
        };
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let even = |n: usize| format!("{beginning}{}", ruler.tail(from + step * n as f64, step / 4.0));
        let mut places: Vec<String> =
            if step > 0.0 { (1..=count).map(even).filter(inside).collect() } else { Vec::new() };
        places.dedup();
        if places.is_empty() && count > 0 {
            places.extend(between(low, high).filter(|place| place.starts_with(prefix)));
        }
        places
    }

    /// How much of the way from `first` to the end at `high` is behind `cursor`, in units of the way
    /// from `first` to `cursor`.
    pub(super) fn left(&self, prefix: &str, first: &str, cursor: &str, high: Option<&str>) -> f64 {
        let start = high.map_or(prefix.len(), |high| common(first, high)).min(common(first, cursor));
        let ruler = self.ruler(cursor, start);
        let place = |key: &str| key.get(start..).map_or(0.0, |tail| ruler.place(tail));
        let (first, at) = (place(first), place(cursor));
        let end = high.map_or(1.0, place);
        if at > first { ((end - at) / (at - first)).max(0.0) } else { 0.0 }
    }
}

/// What is no letter and no digit: it divides keys into words.
const MARK: u8 = 16;

/// The kind of a character, a bit: digits, small letters and capitals, letters of other scripts, marks.
fn kind(c: char) -> u8 {
    match c {
        '0'..='9' => 1,
        'a'..='z' => 2,
        'A'..='Z' => 4,
        c if c.is_alphanumeric() => 8,
        _ => MARK,
    }
}

/// For each character of a key, the kinds that its word is made of: any of them may stand there in
/// other keys.
fn runs(key: &str) -> Vec<u8> {
    let mut kinds: Vec<u8> = key.chars().map(kind).collect();
    for word in kinds.chunk_by_mut(|a, b| (*a == MARK) == (*b == MARK)) {
        let all = word.iter().fold(0, |all, kind| all | kind);
        word.fill(all);
    }
    kinds
}

/// The characters that may stand at each place of a tail.
struct Ruler(Vec<Vec<char>>);

impl Ruler {
    /// Where `tail` stands among all tails, from 0 to 1.
    #[allow(clippy::cast_precision_loss, reason = "alphabets are small")]
    fn place(&self, tail: &str) -> f64 {
        let (mut place, mut unit) = (0.0, 1.0);
        for (c, letters) in tail.chars().zip(&self.0) {
            unit /= letters.len() as f64 + 1.0;
            match letters.binary_search(&c) {
                // Nothing is where a tail ends.
                Ok(rank) => place += (rank as f64 + 1.0) * unit,
                Err(rank) => return place + (rank as f64 + 0.5) * unit,
            }
        }
        place
    }

    /// The tail at `place`, as long as needed to tell it from others `step` away.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a digit, from 0 to the base")]
    #[allow(clippy::cast_precision_loss, reason = "alphabets are small")]
    fn tail(&self, mut place: f64, step: f64) -> String {
        let (mut tail, mut unit) = (String::new(), 1.0);
        for letters in &self.0 {
            let base = letters.len() as f64 + 1.0;
            place *= base;
            unit /= base;
            let digit = place.floor();
            place -= digit;
            let Some(letter) = (digit as usize).checked_sub(1).and_then(|rank| letters.get(rank)) else { break };
            tail.push(*letter);
            if unit < step {
                break;
            }
        }
        tail
    }
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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn alphabet(keys: &[&str]) -> Alphabet {
        let mut alphabet = Alphabet::default();
        keys.iter().for_each(|key| alphabet.learn(key));
        alphabet
    }

    /// Keys that are hard to cut between: long equal beginnings, control characters, astral ones,
    /// noncharacters, the first and last of everything.
    fn awkward() -> impl Strategy<Value = String> {
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

    fn is_a_place(place: &str, low: &str, high: Option<&str>) -> bool {
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

    #[test]
    fn hexadecimal_keys_are_cut_into_even_parts() {
        let seen = alphabet(&["0f3b9d", "00a1c7", "2468e5"]);
        assert_eq!(seen.places("", "00ffab", None, 3, 1.0), ["40", "8", "c"]);
        assert_eq!(seen.places("", "00/ffab", None, 3, 1.0), ["25", "5", "74"]);
    }

    #[test]
    fn what_is_left_is_told_by_the_way_gone() {
        let digits = alphabet(&["0123456789"]);
        let left = digits.left("n", "n000", "n100", Some("n9"));
        assert!((6.0..=9.0).contains(&left), "{left}");
        assert!(digits.left("n", "n000", "n000", Some("n9")).abs() < f64::EPSILON);
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
        fn places_ascend_between_the_ends(
            seen in prop::collection::vec(awkward(), 0..6), low in awkward(), high in awkward(), count in 0_usize..9, open: bool,
        ) {
            prop_assume!(low < high);
            let mut alphabet = Alphabet::default();
            seen.iter().for_each(|key| alphabet.learn(key));
            let high = (!open).then_some(high.as_str());
            let places = alphabet.places("", &low, high, count, 1.0);
            prop_assert!(places.len() <= count);
            prop_assert!(places.iter().all(|place| is_a_place(place, &low, high)), "{:?}", places);
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", places);
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
