//! How keys are spelled: which characters follow which, learned from keys that were seen. It tells
//! places that divide the keys between two evenly, and how much may be left of a range. Pure.
//!
//! Nothing is assumed of an alphabet or of `/`. What was seen after the same characters says most;
//! where nothing was seen, all letters that the keys are made of are alike, and where that does not
//! help, the code points decide.

use std::collections::HashMap;

use super::ruler::{LONGEST_KEY, between, carried_by_xml, common, is_plain};

/// Letters of all keys at most: of the scripts with more, those that came first.
const LETTERS: usize = 256;

/// Contexts at most, so that the memory does not grow with the number of keys (mostly some 100 bytes each).
const CONTEXTS: usize = 16_384;

/// What was seen in a context is trusted from so many times as often as it has letters.
const TRUSTED: f64 = 4.0;

/// How finely places are told apart, as a part of the way between two.
const FINE: f64 = 1e-9;

/// Characters that a place is measured by, behind what the ends have in common.
const LONGEST: usize = 48;

/// Characters of a key that are learned, behind what it has in common with the ends of its page.
const LEARNED: usize = 16;

/// In the place of a letter: a key ends here. No key has it in a place.
const END: char = '\0';

/// Where in a key a character stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Context {
    /// How much of the rest is told; contexts of different detail are never the same.
    detail: u8,
    /// How many words begin before it.
    words: u8,
    /// How many characters of its word are before it; at most 31.
    at: u8,
    /// The characters before it.
    before: [char; 2],
}

impl Context {
    /// The context behind a character.
    fn behind(self, c: char) -> Context {
        let [_, last] = self.before;
        let before = [last, c];
        if !is_mark(c) {
            return Context { at: (self.at + 1).min(31), before, ..self };
        }
        let words = if is_mark(last) { self.words } else { self.words.saturating_add(1) };
        Context { words, at: 0, before, ..self }
    }

    /// The context as far as it matters for what is missing.
    fn of_word(self) -> Context {
        Context { detail: 5, before: [END, self.before[1]], ..self }
    }

    /// The contexts that it is one of, from the one that tells least.
    fn wider(self) -> [Context; 4] {
        let [_, last] = self.before;
        let none = Context::default();
        [
            Context { detail: 1, at: self.at, ..none },
            Context { detail: 2, at: self.at, before: [END, last], ..none },
            Context { detail: 3, at: self.at, before: self.before, ..none },
            Context { detail: 4, ..self },
        ]
    }
}

/// Letters in order, with how often each was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    letters: Vec<(char, u32)>,
    total: u32,
}

impl Seen {
    fn add(&mut self, c: char) {
        match self.letters.binary_search_by_key(&c, |(letter, _)| *letter) {
            Ok(at) => self.letters[at].1 = self.letters[at].1.saturating_add(1),
            Err(at) if self.letters.len() < LETTERS => self.letters.insert(at, (c, 1)),
            Err(_) => return,
        }
        self.total = self.total.saturating_add(1);
    }

    fn forget(&mut self, c: char) {
        if let Ok(at) = self.letters.binary_search_by_key(&c, |(letter, _)| *letter) {
            self.total -= self.letters.remove(at).1;
        }
    }
}

/// What was learned of the keys of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spelling {
    /// All letters, in order.
    letters: Vec<char>,
    contexts: HashMap<Context, Seen>,
    /// How often letters were looked for in a context in vain.
    missing: HashMap<Context, Seen>,
}

impl Spelling {
    /// Takes in keys of one page, without the prefix of their source; `first` and `last` are the ends of
    /// that page. What a key has in common with one of those was not met by chance: the listing stands
    /// there. How it goes on behind that was: all keys that begin so are on the page.
    pub(super) fn learn<'a>(&mut self, keys: impl Iterator<Item = &'a str>, first: &str, last: &str) {
        for key in keys {
            let met = common(key, first).max(common(key, last));
            let mut context = Context::default();
            let ends = key.len();
            for (at, c) in key.char_indices().chain([(ends, END)]) {
                if at > met + LEARNED || c != END && !is_plain(c) {
                    break;
                }
                if c != END
                    && let Err(rank) = self.letters.binary_search(&c)
                    && self.letters.len() < LETTERS
                {
                    self.letters.insert(rank, c);
                }
                for wider in context.wider().into_iter().filter(|_| at > met) {
                    let has_room = self.contexts.len() < CONTEXTS;
                    if let Some(seen) = self.contexts.get_mut(&wider) {
                        seen.add(c);
                    } else if has_room {
                        self.contexts.entry(wider).or_default().add(c);
                    }
                }
                context = context.behind(c);
            }
        }
    }

    /// Takes in that there is nothing between `place` and the key `found` behind it; `None` where there is
    /// nothing behind it. Both are without the prefix of their source.
    pub(super) fn learn_gap(&mut self, place: &str, found: Option<&str>) {
        let parted = found.map_or(0, |found| place.chars().zip(found.chars()).take_while(|(a, b)| a == b).count());
        let until = found.and_then(|found| found.chars().nth(parted));
        let last = place.chars().count().saturating_sub(1);
        let mut context = Context::default();
        for (at, c) in place.chars().enumerate() {
            // Of the keys that begin as the place does up to here, none goes on with one of these.
            let until = until.filter(|_| at == parted);
            let is_missing = |letter: &char| {
                at >= parted && (*letter > c || at == last && *letter == c) && until.is_none_or(|until| *letter < until)
            };
            let missing = self.letters.iter().filter(|letter| is_missing(letter));
            let context_here = context.of_word();
            if self.missing.len() < CONTEXTS || self.missing.contains_key(&context_here) {
                let seen = self.missing.entry(context_here).or_default();
                missing.for_each(|letter| seen.add(*letter));
                if at < parted {
                    seen.forget(c);
                }
            }
            context = context.behind(c);
        }
    }

    /// At most `count` places strictly between `low` and `high`, in order: `part` of the way apart, if
    /// so many have room, and else evenly. All keys between them begin with `prefix`; `high` is open
    /// where it is `None`.
    pub(super) fn places(&self, prefix: &str, low: &str, high: Option<&str>, count: usize, part: f64) -> Vec<String> {
        let start = high.map_or(prefix.len(), |high| common(low, high));
        let Some((beginning, tail)) = low.split_at_checked(start) else { return Vec::new() };
        let ruler = self.ruler(prefix, low, start);
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
        let ruler = self.ruler(prefix, cursor, start);
        let place = |key: &str| key.get(start..).map_or(0.0, |tail| ruler.place(tail));
        let (first, at) = (place(first), place(cursor));
        let end = high.map_or(1.0, place);
        if at > first { ((end - at) / (at - first)).max(0.0) } else { 0.0 }
    }

    /// A ruler for what is behind the first `start` bytes of `like`: where nothing was seen, keys have
    /// letters of the kinds that it has.
    fn ruler<'a>(&'a self, prefix: &str, like: &str, start: usize) -> Ruler<'a> {
        let beginning = like.get(prefix.len()..start).unwrap_or_default();
        let context = beginning.chars().fold(Context::default(), Context::behind);
        let skipped = like.get(..start).unwrap_or_default().chars().count();
        Ruler { spelling: self, context, kinds: kinds(like).split_off(skipped) }
    }

    /// What may stand in a context, in order, and how likely that is, where the word there is of some
    /// kinds of letters. All is 1.
    #[allow(clippy::cast_precision_loss, reason = "alphabets are small")]
    fn next(&self, context: Context, kinds: Option<u8>) -> Vec<(char, f64)> {
        let of_kinds = |c: &char| kinds.is_none_or(|kinds| kinds & kind(*c) != 0);
        let letters = [END].into_iter().chain(self.letters.iter().copied().filter(of_kinds));
        let mut next: Vec<(char, f64)> = letters.map(|c| (c, 1.0)).collect();
        let alike = 1.0 / next.len() as f64;
        next.iter_mut().for_each(|(_, part)| *part = alike);
        for seen in context.wider().iter().filter_map(|context| self.contexts.get(context)) {
            let doubt = TRUSTED * seen.letters.len() as f64;
            let trust = f64::from(seen.total) / (f64::from(seen.total) + doubt);
            next.iter_mut().for_each(|(_, part)| *part *= 1.0 - trust);
            for (c, count) in &seen.letters {
                let part = trust * f64::from(*count) / f64::from(seen.total);
                match next.binary_search_by_key(c, |(letter, _)| *letter) {
                    Ok(at) => next[at].1 += part,
                    Err(at) => next.insert(at, (*c, part)),
                }
            }
        }
        if let Some(missing) = self.missing.get(&context.of_word()) {
            for (c, times) in &missing.letters {
                if let Ok(at) = next.binary_search_by_key(c, |(letter, _)| *letter) {
                    next[at].1 /= f64::from(1 + times).powi(2);
                }
            }
            let all: f64 = next.iter().map(|(_, part)| part).sum();
            next.iter_mut().for_each(|(_, part)| *part /= all);
        }
        next
    }
}

/// Measures what may follow one beginning.
struct Ruler<'a> {
    spelling: &'a Spelling,
    context: Context,
    /// The kinds of letters of the words of some key, by character.
    kinds: Vec<u8>,
}

impl Ruler<'_> {
    /// Where `tail` stands among all tails, from 0 to 1.
    fn place(&self, tail: &str) -> f64 {
        let (mut place, mut unit, mut context) = (0.0, 1.0, self.context);
        for (at, c) in tail.chars().take(LONGEST).enumerate() {
            let next = self.spelling.next(context, self.kinds.get(at).copied());
            place += unit * next.iter().take_while(|(letter, _)| *letter < c).map(|(_, part)| part).sum::<f64>();
            unit *= next.iter().find(|(letter, _)| *letter == c).map_or(0.0, |(_, part)| *part);
            if unit < FINE {
                break;
            }
            context = context.behind(c);
        }
        place
    }

    /// The tail at `place`, as long as needed to tell it from others `step` away.
    fn tail(&self, mut place: f64, step: f64) -> String {
        let (mut tail, mut unit, mut context) = (String::new(), 1.0, self.context);
        for at in 0..LONGEST {
            if unit < step.max(FINE) {
                break;
            }
            let next = self.spelling.next(context, self.kinds.get(at).copied());
            let mut before = 0.0;
            let found = next.iter().find(|(_, part)| {
                let is_here = place < before + part;
                before += if is_here { 0.0 } else { *part };
                is_here
            });
            let Some((c, part)) = found.copied().filter(|(c, _)| *c != END) else { break };
            tail.push(c);
            (place, unit) = ((place - before) / part, unit * part);
            context = context.behind(c);
        }
        tail
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

fn is_mark(c: char) -> bool {
    kind(c) == MARK
}

/// For each character of a key, the kinds that its word is made of: any of them may stand there in
/// other keys.
fn kinds(key: &str) -> Vec<u8> {
    let mut kinds: Vec<u8> = key.chars().map(kind).collect();
    for word in kinds.chunk_by_mut(|a, b| (*a == MARK) == (*b == MARK)) {
        let all = word.iter().fold(0, |all, kind| all | kind);
        word.fill(all);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ruler::tests::{awkward, is_a_place};
    use super::*;

    fn spelling(keys: &[&str]) -> Spelling {
        let mut spelling = Spelling::default();
        spelling.learn(keys.iter().copied(), "", "");
        spelling
    }

    #[test]
    fn hexadecimal_keys_are_cut_into_even_parts() {
        let seen = spelling(&["0f3b9d", "00a1c7", "2468e5"]);
        assert_eq!(seen.places("", "00ffab", None, 3, 1.0), ["42", "81", "c0"]);
        assert_eq!(seen.places("", "00/ffab", None, 3, 1.0), ["24", "50", "74"]);
    }

    #[test]
    fn what_is_left_is_told_by_the_way_gone() {
        let digits = spelling(&["0123456789"]);
        let left = digits.left("n", "n000", "n100", Some("n9"));
        assert!((6.0..=9.0).contains(&left), "{left}");
        assert!(digits.left("n", "n000", "n000", Some("n9")).abs() < f64::EPSILON);
    }

    #[test]
    fn words_that_were_seen_in_one_folder_are_looked_for_in_others() {
        let words = ["alpha", "данные", "漢字", "🦀"];
        let keys: Vec<String> = words.iter().flat_map(|a| words.map(|b| format!("photos/{a}/{b}/1"))).collect();
        let mut seen = Spelling::default();
        seen.learn(keys.iter().map(String::as_str), "photos/", "photos/");
        let places = seen.places("", "writings/alpha/1", Some("writings/\u{10fffd}"), 12, 1.0);
        let hits = places.iter().filter(|place| {
            let rest = place["writings/".len()..].chars().next();
            words.iter().any(|word| word.chars().next() == rest)
        });
        assert!(hits.count() > places.len() / 2, "{places:?}");
    }

    #[test]
    fn what_was_looked_for_in_vain_is_not_looked_for_again() {
        let mut seen = spelling(&["2022/01/01/0f9b", "2022/01/02/3478", "2022/01/03/c56e"]);
        let months = |seen: &Spelling| -> usize {
            let places = seen.places("", "2022/01/03/c56e", Some("2022/\u{10fffd}"), 8, 1.0);
            places.iter().filter(|place| place.starts_with("2022/0") || place.starts_with("2022/1")).count()
        };
        let before = months(&seen);
        seen.learn_gap("2022/4", Some("2023/01/01/0000"));
        seen.learn_gap("2022/2", Some("2023/01/01/0000"));
        assert!(months(&seen) > before && months(&seen) >= 6, "{before} {}", months(&seen));
    }

    proptest! {
        #[test]
        fn places_ascend_between_the_ends(
            seen in prop::collection::vec(awkward(), 0..6), low in awkward(), high in awkward(), count in 0_usize..9, open: bool,
        ) {
            prop_assume!(low < high);
            let mut spelling = Spelling::default();
            spelling.learn(seen.iter().map(String::as_str), "", "");
            let high = (!open).then_some(high.as_str());
            let places = spelling.places("", &low, high, count, 1.0);
            prop_assert!(places.len() <= count);
            prop_assert!(places.iter().all(|place| is_a_place(place, &low, high)), "{:?}", places);
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", places);
        }

        #[test]
        fn a_key_further_on_has_a_place_further_on(
            seen in prop::collection::vec("[a-c/]{0,6}", 0..6), a in "[a-d/]{0,6}", b in "[a-d/]{0,6}", asked in "[a-d/]{0,4}", found in "[a-d/]{0,4}",
        ) {
            let mut spelling = Spelling::default();
            spelling.learn(seen.iter().map(String::as_str), "a", "c");
            spelling.learn_gap(&asked, Some(found.as_str()).filter(|found| *found > asked.as_str()));
            let ruler = spelling.ruler("", "abc/abc", 0);
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(ruler.place(&low) <= ruler.place(&high) + 1e-9);
        }
    }
}
