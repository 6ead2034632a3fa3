//! The orders in which keys are listed, each told as an order of bytes: of ranks.

use std::borrow::Cow;

use crate::config::Order;

/// How many hexadecimal digits stand in front of a name that is shuffled.
const DIGITS: usize = 16;

impl Order {
    /// What a name is sorted by.
    pub(crate) fn rank(self, name: &str) -> Cow<'_, str> {
        match self {
            Order::Utf16 if has_high(name) => Cow::Owned(name.chars().map(raise).collect()),
            Order::Shuffled => Cow::Owned(format!("{:0DIGITS$x}{name}", hash(name))),
            _ => Cow::Borrowed(name),
        }
    }

    /// The name that has this rank.
    pub(crate) fn name(self, rank: &str) -> Cow<'_, str> {
        match self {
            Order::Utf16 if has_high(rank) => Cow::Owned(rank.chars().map(lower).collect()),
            Order::Shuffled => Cow::Borrowed(rank.get(DIGITS..).unwrap_or_default()),
            _ => Cow::Borrowed(rank),
        }
    }
}

/// Whether it holds a character whose place depends on the encoding.
fn has_high(text: &str) -> bool {
    // UTF-8 begins those from U+E000 on with 0xEE and higher.
    text.bytes().any(|byte| byte >= 0xEE)
}

/// Puts the characters from U+E000 to U+FFFF behind those that UTF-16 has surrogates for.
fn raise(c: char) -> char {
    moved(c, |code| match code {
        0xE000..=0xFFFF => code + 0x10_0000,
        0x1_0000.. => code - 0x2000,
        _ => code,
    })
}

/// The reverse of [`raise`].
fn lower(c: char) -> char {
    moved(c, |code| match code {
        0xE000..=0x10_DFFF => code + 0x2000,
        0x10_E000.. => code - 0x10_0000,
        _ => code,
    })
}

fn moved(c: char, code: fn(u32) -> u32) -> char {
    char::from_u32(code(u32::from(c))).unwrap_or(c)
}

/// FNV-1a, mixed once more: neighbours do not stay neighbours.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, step);
    (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 9] =
        ["", "a", "é/漢", "\u{D7FF}", "\u{E000}", "\u{FFFF}x", "\u{10000}", "x🦀\u{FB01}", "\u{10FFFF}"];

    #[test]
    fn a_rank_tells_its_name() {
        for order in [Order::Bytes, Order::Utf16, Order::Shuffled] {
            for name in NAMES {
                assert_eq!(order.name(&order.rank(name)), name, "{order:?}");
            }
        }
    }

    #[test]
    fn ranks_sort_like_utf_16() {
        for a in NAMES {
            for b in NAMES {
                let units = a.encode_utf16().cmp(b.encode_utf16());
                assert_eq!(Order::Utf16.rank(a).cmp(&Order::Utf16.rank(b)), units, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn shuffled_names_are_neither_in_order_nor_reversed() {
        let ranks: Vec<_> = (0..100).map(|n| Order::Shuffled.rank(&format!("{n:03}")).into_owned()).collect();
        assert!(!ranks.is_sorted() && !ranks.iter().rev().is_sorted());
    }
}
