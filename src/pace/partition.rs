//! Where in the keys of a bucket the server asks to slow down: a store divides its keys into partitions
//! and throttles each on its own. Nothing is assumed of where: what was answered for which key tells. Pure.

use std::collections::VecDeque;
use std::ops::Range;

/// Stretches of time that are remembered: those in which something was throttled.
const REMEMBERED: usize = 64;

/// Answers that tell something, and throttles among them.
const TELLING: usize = 64;
const THROTTLES: usize = 16;

/// Answers that came one after another are compared with each other only: what is throttled changes from
/// one moment to the next. So many make a stretch, and so many of each side.
const STRETCH: usize = 32;
const FEW: u32 = 2;

/// Stretches that tell something: in one the keys that came first may be better off by chance.
const STRETCHES: usize = 12;

/// Where none is throttled, so many would have to be if it were chance.
const EXPECTED: f64 = 11.0;

/// How far apart two parts are, in standard deviations and as a ratio.
const SURE: f64 = 7.0;
const FAR: f64 = 3.0;

/// The longest key that is remembered: what is behind that does not matter.
const LONGEST: usize = 128;

/// One answer, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    key: Box<str>,
    throttled: bool,
}

/// The answers in a range of keys, while there is one limit for it.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The stretch that goes on.
    current: Vec<Answer>,
    /// The last ones in which something was throttled.
    kept: VecDeque<Vec<Answer>>,
}

/// Where to divide a range of keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Division {
    /// The first keys of the parts behind the first.
    pub(super) cuts: Vec<String>,
    /// For each part, the part of the accepted requests that went to it, if it is throttled; `None` where
    /// it is not.
    pub(super) parts: Vec<Option<f64>>,
}

impl Answers {
    /// Takes an answer in. Where to divide the range, if a part of it is left alone by the server while
    /// others, at the same time, are not; or if one part is throttled far more than the rest.
    pub(super) fn add(&mut self, key: &str, throttled: bool) -> Option<Division> {
        let end = (0..=LONGEST.min(key.len())).rev().find(|end| key.is_char_boundary(*end)).unwrap_or_default();
        self.current.push(Answer { key: key[..end].into(), throttled });
        if self.current.len() < STRETCH {
            return None;
        }
        let stretch = std::mem::take(&mut self.current);
        if !stretch.iter().any(|answer| answer.throttled) {
            return None;
        }
        if self.kept.len() >= REMEMBERED {
            self.kept.pop_front();
        }
        self.kept.push_back(stretch);
        self.divide()
    }

    fn divide(&self) -> Option<Division> {
        let mut by_key: Vec<(usize, &Answer)> = Vec::new();
        for (time, stretch) in self.kept.iter().enumerate() {
            by_key.extend(stretch.iter().map(|answer| (time, answer)));
        }
        let throttles = by_key.iter().filter(|(_, answer)| answer.throttled).count();
        if self.kept.len() < STRETCHES || throttles < THROTTLES {
            return None;
        }
        by_key.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        calm(&by_key).or_else(|| uneven(&by_key))
    }
}

/// How the answers inside a row of keys compare with the others of the same time.
#[derive(Debug, Default)]
struct Compared {
    /// Stretches of time in which both were there and some were throttled.
    stretches: usize,
    /// Those of them in which the inside was throttled less, and more.
    less: usize,
    more: usize,
    /// How many of the inside would be throttled if it were as the others.
    expected: f64,
}

fn compare(all: &[(usize, &Answer)], inside: &Range<usize>) -> Compared {
    let mut stretches = vec![[(0_u32, 0_u32); 2]; REMEMBERED];
    for (at, (time, answer)) in all.iter().enumerate() {
        let (count, throttled) = &mut stretches[*time][usize::from(inside.contains(&at))];
        *count += 1;
        *throttled += u32::from(answer.throttled);
    }
    let both =
        stretches.iter().filter(|[outside, inside]| outside.0 >= FEW && inside.0 >= FEW && outside.1 + inside.1 > 0);
    both.fold(Compared::default(), |told, [outside, inside]| {
        let (less, more) = (inside.1 * outside.0, outside.1 * inside.0);
        Compared {
            stretches: told.stretches + 1,
            less: told.less + usize::from(less < more),
            more: told.more + usize::from(less > more),
            expected: told.expected + f64::from(more) / f64::from(outside.0),
        }
    })
}

/// Where, among these, a key has least in common with the one before it: what it begins with, as far as
/// that tells it from that one.
fn boundary(by_key: &[(usize, &Answer)], among: Range<usize>) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for at in among.start.max(1)..among.end.min(by_key.len()) {
        let (before, key) = (&by_key[at - 1].1.key, &by_key[at].1.key);
        let common = before.chars().zip(key.chars()).take_while(|(a, b)| a == b).count();
        if before < key && best.as_ref().is_none_or(|(least, _)| common < *least) {
            best = Some((common, key.chars().take(common + 1).collect()));
        }
    }
    best.map(|(_, cut)| cut)
}

/// The longest row of keys without a throttle, if that is no chance.
fn calm(by_key: &[(usize, &Answer)]) -> Option<Division> {
    let (mut longest, mut begin) = (0..0, 0);
    for end in 0..=by_key.len() {
        if end == by_key.len() || by_key[end].1.throttled {
            if end - begin > longest.len() {
                longest = begin..end;
            }
            begin = end + 1;
        }
    }
    let told = compare(by_key, &longest);
    if told.stretches < STRETCHES || told.expected < EXPECTED {
        return None;
    }
    let (before, behind) = (longest.start > 0, longest.end < by_key.len());
    // Some keys at its ends were only lucky: the ends are where the keys change most.
    let some = longest.len() / 4;
    let start = if before { Some(boundary(by_key, longest.start..longest.start + some)?) } else { None };
    let end = if behind { Some(boundary(by_key, longest.end - some..longest.end + 1)?) } else { None };
    if !(before || behind) || end.is_some() && start >= end {
        return None;
    }
    let (low, high) = (accepted(&by_key[..longest.start]), accepted(&by_key[longest.end..]));
    let all = (low + high).max(1.0);
    let mut parts: Vec<Option<f64>> = Vec::new();
    parts.extend(before.then_some(Some(low / all)));
    parts.push(None);
    parts.extend(behind.then_some(Some(high / all)));
    Some(Division { cuts: start.into_iter().chain(end).collect(), parts })
}

/// The place where the keys before and behind it differ most in how often they are throttled, if they do
/// so all the time.
#[allow(clippy::cast_precision_loss, reason = "hundreds")]
fn uneven(by_key: &[(usize, &Answer)]) -> Option<Division> {
    let all = by_key.len();
    let total = by_key.iter().filter(|(_, answer)| answer.throttled).count() as f64;
    let (mut before, mut best) = (0.0, (SURE, None));
    for (at, (_, answer)) in by_key.iter().enumerate() {
        let (low, high) = (at as f64, (all - at) as f64);
        if at >= TELLING && all - at >= TELLING && by_key[at - 1].1.key < answer.key {
            let (left, right) = (before / low, (total - before) / high);
            let mean = total / all as f64;
            let score = (left - right).abs() / (mean * (1.0 - mean) * (1.0 / low + 1.0 / high)).sqrt().max(1e-9);
            if score > best.0 && left.max(right) > FAR * left.min(right) {
                best = (score, Some(at));
            }
        }
        before += f64::from(u8::from(answer.throttled));
    }
    let at = best.1?;
    let told = compare(by_key, &(0..at));
    if told.stretches < STRETCHES || told.less.max(told.more) * 10 < told.stretches * 9 {
        return None;
    }
    let (low, high) = (accepted(&by_key[..at]), accepted(&by_key[at..]));
    let sum = (low + high).max(1.0);
    let some = at.min(all - at) / 4;
    let cut = boundary(by_key, at - some..at + some)?;
    Some(Division { cuts: vec![cut], parts: vec![Some(low / sum), Some(high / sum)] })
}

#[allow(clippy::cast_precision_loss, reason = "hundreds")]
fn accepted(answers: &[(usize, &Answer)]) -> f64 {
    answers.iter().filter(|(_, answer)| !answer.throttled).count() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divided(answers: impl IntoIterator<Item = (String, bool)>) -> Option<Division> {
        let mut told = Answers::default();
        answers.into_iter().filter_map(|(key, throttled)| told.add(&key, throttled)).next()
    }

    /// Keys of five partitions in turn.
    fn in_turn(throttled: impl Fn(u32, u32) -> bool) -> Option<Division> {
        divided((0..2_000).map(|n| (format!("p{}/{:04}", n % 5, n), throttled(n % 5, n / 5))))
    }

    #[test]
    fn a_cold_partition_gets_a_range_of_its_own() {
        let last = in_turn(|partition, n| partition < 4 && n % 2 == 0).unwrap();
        assert_eq!(last.cuts, ["p4"]);
        assert_eq!(last.parts[1], None);
        let middle = in_turn(|partition, n| partition != 2 && n % 2 == 0).unwrap();
        assert_eq!(middle.cuts, ["p2", "p3"]);
        assert!(middle.parts[0].is_some() && middle.parts[1].is_none() && middle.parts[2].is_some());
    }

    #[test]
    fn a_partition_that_is_throttled_more_is_told_from_the_rest() {
        let division = in_turn(|partition, n| n % if partition == 4 { 2 } else { 11 } == 0).unwrap();
        assert_eq!(division.cuts, ["p4"]);
        assert!(division.parts.iter().all(Option::is_some));
    }

    #[test]
    fn what_is_throttled_alike_is_not_divided() {
        assert_eq!(in_turn(|_, n| n % 3 == 0), None);
        assert_eq!(in_turn(|_, n| n == 7), None);
    }

    #[test]
    fn a_change_in_time_is_none_in_keys() {
        // One folder was worked on while the server throttled, the next one afterwards.
        let told = (0..2_000).map(|n| (format!("{}/{n:04}", n / 500), n < 500 && n % 2 == 0));
        assert_eq!(divided(told), None);
    }

    proptest! {
        #[test]
        fn parts_belong_to_cuts(told in prop::collection::vec(("[ab]{0,3}", any::<bool>()), 0..1_200)) {
            if let Some(division) = divided(told) {
                prop_assert_eq!(division.parts.len(), division.cuts.len() + 1);
                prop_assert!(!division.cuts.is_empty() && division.cuts.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
