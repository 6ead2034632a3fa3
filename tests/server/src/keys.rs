//! Keys by the million, in the shapes that buckets have: each is a function of a seed and a number.

use std::str::FromStr;

use crate::random::SplitMix;
use crate::time;

/// What the keys of a bucket look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 32 random hexadecimal digits, no folders.
    Hex,
    /// `2024/01/31/89abcdef`, spread over three years.
    Dates,
    /// Fifty folders, and nine of ten keys in one of them.
    OneFolder,
    /// `img-000000000123.jpg`, no folders.
    Numbers,
    /// Names in many scripts, with blanks, plus signs and folders.
    Scripts,
}

/// 2022-01-01.
const FIRST_DAY: u64 = 18_993;

const FOLDERS: [&str; 14] = [
    "archive",
    "Bücher",
    "données",
    "Ελληνικά",
    "Документы",
    "漢字",
    "写真",
    "한국어",
    "🦀",
    "𝔘𝔫𝔦",
    "ﾃｽﾄ",
    "ﬁnal",
    "my files",
    "c++",
];

const WORDS: [&str; 20] = [
    "report",
    "Übung",
    "cœur",
    "niño",
    "αλφα",
    "Ωμέγα",
    "привет",
    "Ёж",
    "東京",
    "数据",
    "カメラ",
    "사진",
    "😀",
    "🏳️‍🌈",
    "𝄞",
    "Ａ１",
    "e\u{301}",
    "100%",
    "a&b",
    "IMG",
];

const BETWEEN: [&str; 6] = [" ", "+", "_", "-", " + ", "."];

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 5] = [Shape::Hex, Shape::Dates, Shape::OneFolder, Shape::Numbers, Shape::Scripts];

    /// The name that it is typed by.
    pub fn as_str(self) -> &'static str {
        match self {
            Shape::Hex => "hex",
            Shape::Dates => "dates",
            Shape::OneFolder => "one-folder",
            Shape::Numbers => "numbers",
            Shape::Scripts => "scripts",
        }
    }

    /// The key with this number. The first four billion of one seed are all different.
    pub fn key(self, seed: u64, number: u64) -> String {
        let mut random = SplitMix(number ^ SplitMix(seed).next_u64());
        let unique = scattered(number);
        match self {
            // The first half alone is another one for each number.
            Shape::Hex => format!("{:016x}{:016x}", random.next_u64(), random.next_u64()),
            Shape::Dates => {
                let (year, month, day) = time::date(FIRST_DAY + random.below(3 * 365 + 1));
                format!("{year}/{month:02}/{day:02}/{unique:08x}")
            }
            Shape::OneFolder => {
                let folder = if random.below(10) < 9 { 17 } else { random.below(50) };
                format!("folder-{folder:02}/{unique:08x}.bin")
            }
            Shape::Numbers => format!("img-{number:012}.jpg"),
            Shape::Scripts => {
                let mut key = String::new();
                for _ in 0..random.below(4) {
                    key += pick(&FOLDERS, &mut random);
                    key.push('/');
                }
                for _ in 0..=random.below(2) {
                    key += pick(&WORDS, &mut random);
                    key += pick(&BETWEEN, &mut random);
                }
                format!("{key}{number}.txt")
            }
        }
    }

    /// The first keys of a seed.
    pub fn keys(self, seed: u64, count: u64) -> impl Iterator<Item = String> {
        (0..count).map(move |number| self.key(seed, number))
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Shape, String> {
        let found = Shape::ALL.into_iter().find(|shape| shape.as_str() == name);
        found.ok_or_else(|| format!("no shape is named {name:?}"))
    }
}

fn pick(from: &[&'static str], random: &mut SplitMix) -> &'static str {
    let at = usize::try_from(random.below(from.len() as u64)).unwrap_or_default();
    from.get(at).copied().unwrap_or_default()
}

/// The lowest 32 bits in another place: an odd factor and shifts can be undone, so no two meet.
fn scattered(number: u64) -> u64 {
    let mut bits = number & 0xFFFF_FFFF;
    for factor in [0x85EB_CA6B, 0xC2B2_AE35] {
        bits = ((bits ^ (bits >> 16)) * factor) & 0xFFFF_FFFF;
    }
    bits ^ (bits >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_another() {
        for shape in Shape::ALL {
            let keys: BTreeSet<String> = shape.keys(1, 50_000).collect();
            assert_eq!(keys.len(), 50_000, "{shape:?}");
            assert_eq!(shape.as_str().parse(), Ok(shape));
            assert_eq!(keys, shape.keys(1, 50_000).collect(), "{shape:?}");
        }
        assert!("Hex".parse::<Shape>().is_err());
    }

    #[test]
    fn shapes_look_as_they_say() {
        let keys: Vec<String> = Shape::OneFolder.keys(1, 10_000).collect();
        let folders: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('/').next()).collect();
        let large = keys.iter().filter(|key| key.starts_with("folder-17/")).count();
        assert!(folders.len() == 50 && (8_900..9_200).contains(&large), "{large}");
        let dates: BTreeSet<String> = Shape::Dates.keys(1, 20_000).map(|key| key[..10].to_owned()).collect();
        assert!(dates.len() == 1_096, "{}", dates.len());
        assert_eq!(dates.first().map(String::as_str), Some("2022/01/01"));
        assert_eq!(dates.last().map(String::as_str), Some("2024/12/31"));
        assert_eq!(Shape::Numbers.key(1, 123), "img-000000000123.jpg");
        assert_eq!(Shape::Hex.key(1, 1).len(), 32);
        let high = |key: String| key.chars().any(|c| c > '\u{FFFF}');
        assert!(Shape::Scripts.keys(1, 1_000).filter(|key| high(key.clone())).count() > 100);
    }
}
