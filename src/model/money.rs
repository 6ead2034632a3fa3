//! Amounts of money, exact: a sum over hundreds of millions of objects must not drift.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer};

/// Trillionths of a dollar in a dollar: the storage of one byte costs some 20 of them a month.
const UNIT: u128 = 1_000_000_000_000;

/// Digits behind the point that are kept.
const DIGITS: usize = 12;

/// An amount in US dollars, in trillionths. Sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many whole dollars.
    pub const fn dollars(dollars: u64) -> Self {
        Self(dollars as u128 * UNIT)
    }

    /// Whether it is nothing.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// The price of `count` things at `per` for `of` of them.
    pub fn times(self, count: u128, of: u128) -> Self {
        Self(self.0.saturating_mul(count) / of.max(1))
    }

    /// What is left after `other` is taken away; nothing where that is more.
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// From a number of dollars as a price table has it; `None` for what is no price.
    pub fn from_f64(dollars: f64) -> Option<Self> {
        /// No unit of S3 costs a million dollars.
        const MOST: f64 = 1e6;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it was looked whether it fits, and twelve digits are kept"
        )]
        (0.0..=MOST).contains(&dollars).then(|| Self((dollars * UNIT as f64).round() as u128))
    }

    /// In dollars, to a billionth: for JSON.
    #[allow(clippy::cast_precision_loss, reason = "shown rounded")]
    pub fn to_f64(self) -> f64 {
        (self.0 / 1_000) as f64 / 1e9
    }

    /// As a number of dollars: what an estimate is in JSON.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub fn serialize_number<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }

    /// The same, where there is one.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub fn serialize_number_if_any<S: Serializer>(money: &Option<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        match money {
            Some(money) => money.serialize_number(serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::add)
    }
}

/// As people read it: cents from a dollar up, below that what tells something.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = |digits: u32| {
            let step = UNIT / 10_u128.pow(digits);
            self.0.saturating_add(step / 2) / step
        };
        let (cents, hundredths) = (rounded(2), rounded(4));
        match (self.0, hundredths) {
            (0, _) => f.write_str("$0"),
            (_, 0) => f.write_str("$0.0001"),
            (_, 1..10_000) => write!(f, "$0.{hundredths:04}"),
            _ => write!(f, "${}.{:02}", grouped(cents / 100), cents % 100),
        }
    }
}

/// Thousands apart, as all counts are shown.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// As it is typed: `5`, `$5`, `0.50`, `1,000`.
impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an amount of dollars: write it as 5, $5 or 0.50");
        let bare = text.strip_prefix('$').unwrap_or(text).replace(',', "");
        let (whole, part) = bare.split_once('.').unwrap_or((&bare, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || (whole.is_empty() && part.is_empty()) || part.len() > DIGITS {
            return Err(wrong());
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let part: u128 = format!("{part:0<DIGITS$}").parse().map_err(|_| wrong())?;
        Ok(Self(Self::dollars(whole).0.saturating_add(part)))
    }
}

/// In the checkpoint: all digits, as text, since JSON's numbers have fewer.
impl serde::Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}.{:0DIGITS$}", self.0 / UNIT, self.0 % UNIT);
        serializer.serialize_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(money("5"), Money::dollars(5));
        assert_eq!((money("$5.00"), money("5."), money("1,000")), (money("5"), money("5"), money("1000")));
        assert_eq!(money(".5"), money("0.500000000000"));
        for bad in ["", "$", "-1", "five", "1e3", "5 dollars", "0.0000000000001", "99999999999999999999", "1.2.3"] {
            let error = bad.parse::<Money>().unwrap_err();
            assert!(error.contains(bad) && error.contains("0.50"), "{error}");
        }
    }

    #[test]
    fn amounts_are_shown_as_people_read_them() {
        for (amount, shown) in [
            ("0", "$0"),
            ("0.000000000001", "$0.0001"),
            ("0.0061", "$0.0061"),
            ("0.99994", "$0.9999"),
            ("0.99995", "$1.00"),
            ("1.235", "$1.24"),
            ("1234567.891", "$1,234,567.89"),
        ] {
            assert_eq!(money(amount).to_string(), shown, "{amount}");
        }
    }

    #[test]
    fn a_billion_of_the_smallest_prices_add_up_exactly() {
        // A GET, at $0.0004 a thousand.
        let get = money("0.0004").times(1, 1_000);
        assert_eq!(get.times(1_000_000_000, 1), Money::dollars(400));
        // A megabyte each for a month in Deep Archive: $922.009348 to the last digit.
        let month = money("0.00099").times(1_000_000, 1 << 30);
        assert_eq!(month.times(1_000_000_000, 1), money("922.009"));
    }

    #[test]
    fn prices_come_of_numbers() {
        assert_eq!(Money::from_f64(0.0004), Some(money("0.0004")));
        assert_eq!(Money::from_f64(0.0), Some(Money::ZERO));
        for bad in [-0.01, f64::NAN, f64::INFINITY, 1e7] {
            assert_eq!(Money::from_f64(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let most = Money(u128::MAX);
        assert_eq!((most + most, most.times(7, 1)), (most, most));
        assert_eq!(Money::ZERO.less(most), Money::ZERO);
        assert_eq!(most.times(1, 0), most);
        assert!(!most.to_string().is_empty());
    }

    proptest! {
        #[test]
        fn the_checkpoint_keeps_every_digit(amount in 0..u128::from(u64::MAX)) {
            let written = serde_json::to_string(&Money(amount)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&written).unwrap(), Money(amount));
        }
    }
}
