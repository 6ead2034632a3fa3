//! Values as people write and read them: sizes, durations, times, keys.

use std::fmt::Write as _;
use std::time::Duration;

/// The time of day, RFC 3339 in UTC, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A size in bytes from `8MiB`, `5GB`, `512k` or a plain number: `KiB` is 1024, `KB` and `k` 1000.
pub fn parse_size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("{text:?} is not a size: write it as 8MiB, 5GB or 512k"))
}

/// A duration from `90s`, `5m`, `1h30m`; a plain number counts seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write it as 90s, 5m or 1h");
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
            Duration::try_from(parsed).map_err(|_| wrong())?
        }
    };
    if duration.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(duration) }
}

/// An age from `7d`, `12h` or `1w 2d`: a day has 24 hours. A number without a unit might be meant as
/// days, and is refused.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not an age: write it as 12h or 7d");
    if text.parse::<u64>().is_ok() {
        return Err(wrong());
    }
    if let Ok(duration) = parse_duration(text) {
        return Ok(duration);
    }
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let age = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(age).map_err(|_| wrong())
}

/// A key (or anything else from outside) made safe to print: control and format characters, which
/// could move the cursor or reorder the line, are escaped as in a Rust string.
pub fn escape_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || is_format(c) => {
                let _ = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
    }
    out
}

/// Unicode's bidirectional and invisible format characters.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A word as a POSIX shell wants it, quoted only where needed.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_the_usual_units() {
        assert_eq!(parse_size("8MiB"), Ok(8 << 20));
        assert_eq!(parse_size("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_size("512k"), Ok(512_000));
        assert_eq!(parse_size("0"), Ok(0));
        for bad in ["", "five", "-1", "8 parsecs"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_in_the_usual_units() {
        assert_eq!(parse_duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", "0", "0s", "-5s", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ages_have_days() {
        assert_eq!(parse_age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_age("1w 2d"), Ok(Duration::from_secs(9 * 86_400)));
        assert_eq!(parse_age("12h"), Ok(Duration::from_secs(43_200)));
        assert!(
            parse_age("7").is_err()
                && parse_age("1 month").is_err()
                && parse_age("soon").is_err()
                && parse_age("-3d").is_err()
        );
    }

    #[test]
    fn a_printed_key_cannot_move_the_cursor() {
        assert_eq!(escape_key("a/é漢🦀 b"), "a/é漢🦀 b");
        assert_eq!(escape_key("a\u{1b}[2J\n\u{202e}\\"), r"a\u{1b}[2J\n\u{202e}\\");
    }

    #[test]
    fn shell_words_come_back_as_they_were() {
        assert_eq!(shell_word("s3://b/x-1/"), "s3://b/x-1/");
        assert_eq!(shell_word("it's *"), r"'it'\''s *'");
        assert_eq!(shell_word(""), "''");
    }
}
