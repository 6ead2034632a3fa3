//! Where in the keys of a bucket the server asks to slow down: a store divides its keys into partitions
//! and throttles each on its own. Nothing is assumed of where: what was answered for which key tells. Pure.

use std::collections::VecDeque;
use std::ops::Range;

/// Answers that are remembered.
const REMEMBERED: usize = 512;

/// Answers that tell something, and throttles among them.
const TELLING: usize = 64;
const THROTTLES: usize = 16;

/// Answers that came one after another are compared with each other only: what is throttled changes from
/// one moment to the next. So many make a stretch, and so many of each side.
const STRETCH: usize = 32;
const FEW: u32 = 3;

/// Stretches that tell something: in one the keys that came first may be better off by chance.
const STRETCHES: usize = 12;

/// Where none is throttled, so many would have to be if it were chance.
const EXPECTED: f64 = 18.0;

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

/// The last answers in a range of keys, while there is one limit for it.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<Answer>);

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
    /// Takes an answer in.
    pub(super) fn add(&mut self, key: &str, throttled: bool) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        let end = (0..=LONGEST.min(key.len())).rev().find(|end| key.is_char_boundary(*end)).unwrap_or_default();
        self.0.push_back(Answer { key: key[..end].into(), throttled });
    }

    /// Forgets all: the range was divided.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Where to divide the range, if a part of it is left alone by the server while others, at the same
    /// time, are not; or if one part is throttled far more than the rest.
    pub(super) fn divide(&self) -> Option<Division> {
        let throttles = self.0.iter().filter(|answer| answer.throttled).count();
        if self.0.len() < STRETCH * STRETCHES || throttles < THROTTLES {
            return None;
        }
        let mut by_key: Vec<(usize, &Answer)> = self.0.iter().enumerate().collect();
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
    let mut stretches = vec![[(0_u32, 0_u32); 2]; REMEMBERED / STRETCH + 1];
    for (at, (time, answer)) in all.iter().enumerate() {
        let (count, throttled) = &mut stretches[time / STRETCH][usize::from(inside.contains(&at))];
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
    let key = |at: usize| by_key[at].1.key.to_string();
    let (before, behind) = (longest.start > 0, longest.end < by_key.len());
    // A key that was throttled once and accepted later is on both sides.
    let start = before.then(|| key(longest.start)).filter(|start| key(longest.start - 1) < *start);
    let end = behind.then(|| key(longest.end)).filter(|end| start.as_ref() < Some(end));
    if before != start.is_some() || behind != end.is_some() || !(before || behind) {
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
    Some(Division { cuts: vec![by_key[at].1.key.to_string()], parts: vec![Some(low / sum), Some(high / sum)] })
}

#[allow(clippy::cast_precision_loss, reason = "hundreds")]
fn accepted(answers: &[(usize, &Answer)]) -> f64 {
    answers.iter().filter(|(_, answer)| !answer.throttled).count() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answers(answers: impl IntoIterator<Item = (String, bool)>) -> Answers {
        let mut told = Answers::default();
        answers.into_iter().for_each(|(key, throttled)| told.add(&key, throttled));
        told
    }

    /// Keys of five partitions in turn.
    fn in_turn(throttled: impl Fn(u32, u32) -> bool) -> Answers {
        answers((0..400).map(|n| (format!("p{}/{:04}", n % 5, n), throttled(n % 5, n / 5))))
    }

    #[test]
    fn a_cold_partition_gets_a_range_of_its_own() {
        let last = in_turn(|partition, n| partition < 4 && n % 2 == 0).divide().unwrap();
        let is_at =
            |cut: &str, partition: u32| *cut > *format!("p{}/03", partition - 1) && *cut < *format!("p{partition}/01");
        assert!(last.cuts.len() == 1 && is_at(&last.cuts[0], 4), "{last:?}");
        assert_eq!(last.parts[1], None);
        let middle = in_turn(|partition, n| partition != 2 && n % 2 == 0).divide().unwrap();
        assert!(middle.cuts.len() == 2 && is_at(&middle.cuts[0], 2) && is_at(&middle.cuts[1], 3), "{middle:?}");
        assert!(middle.parts[0].is_some() && middle.parts[1].is_none() && middle.parts[2].is_some());
    }

    #[test]
    fn a_partition_that_is_throttled_more_is_told_from_the_rest() {
        let division = in_turn(|partition, n| n % if partition == 4 { 2 } else { 11 } == 0).divide().unwrap();
        assert!(division.cuts.len() == 1 && division.cuts[0].as_str() > "p3/03" && division.cuts[0].as_str() < "p4/01");
        assert!(division.parts.iter().all(Option::is_some));
    }

    #[test]
    fn what_is_throttled_alike_is_not_divided() {
        assert_eq!(in_turn(|_, n| n % 3 == 0).divide(), None);
        assert_eq!(in_turn(|_, n| n == 7).divide(), None);
    }

    #[test]
    fn a_change_in_time_is_none_in_keys() {
        // One folder was worked on while the server throttled, the next one afterwards.
        let told = answers((0..400).map(|n| (format!("{}/{n:04}", n / 100), n < 100 && n % 2 == 0)));
        assert_eq!(told.divide(), None);
    }

    proptest! {
        #[test]
        fn parts_belong_to_cuts(told in prop::collection::vec(("[ab]{0,3}", any::<bool>()), 0..600)) {
            if let Some(division) = answers(told).divide() {
                prop_assert_eq!(division.parts.len(), division.cuts.len() + 1);
                prop_assert!(!division.cuts.is_empty() && division.cuts.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
