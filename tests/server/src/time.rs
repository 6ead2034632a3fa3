//! Dates of the calendar and times as S3 writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Year, month and day of a day counted from 1970-01-01.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    // In years that begin in March the leap day is the last, and 400 of them always have as many days.
    let since_march = days + 719_468;
    let (era, day) = (since_march / 146_097, since_march % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (from_january, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + year + from_january, month, day - (153 * ((month + 9) % 12) + 2) / 5 + 1)
}

/// Adds a time as `2024-01-31T12:34:56.000Z`.
pub(crate) fn write(time: SystemTime, text: &mut String) {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    write_pair(year / 100, text);
    write_pair(year % 100, text);
    let fields = [('-', month), ('-', day), ('T', seconds / 3_600 % 24), (':', seconds / 60 % 60), (':', seconds % 60)];
    for (separator, value) in fields {
        text.push(separator);
        write_pair(value, text);
    }
    text.push_str(".000Z");
}

fn write_pair(value: u64, text: &mut String) {
    let digit = |value: u64| u32::try_from(value % 10).ok().and_then(|digit| char::from_digit(digit, 10));
    text.extend([digit(value / 10), digit(value)].into_iter().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_have_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(20_453), (2025, 12, 31));
        let mut before = (1969, 12, 31);
        for day in 0..60_000 {
            let (year, month, day) = date(day);
            assert!((year, month, day) > before && (1..=12).contains(&month) && (1..=31).contains(&day));
            assert!(day == before.2 + 1 || (day == 1 && before.2 >= 28));
            before = (year, month, day);
        }
    }

    #[test]
    fn times_are_written_like_s3() {
        let mut text = String::new();
        write(UNIX_EPOCH + Duration::from_secs(1_706_704_496), &mut text);
        assert_eq!(text, "2024-01-31T12:34:56.000Z");
    }
}
