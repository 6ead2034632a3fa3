//! A time as it is typed: a date, a time of day, or an age.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::parse_age;

/// A time as it was typed. An age counts back from the start of a job, so that a run that resumes
/// the job means the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    typed: String,
    meant: Meant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    /// Reads `2025-01-31` (its beginning in UTC), `2025-01-31T12:00:00Z` (or with an offset), or an
    /// age, as `12h` or `30d`.
    ///
    /// # Errors
    /// One line that names the text and says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not a time: write it as 2025-01-31, as 2025-01-31T12:00:00Z, or as an age, 12h or 30d")
        };
        let is_date = text.len() == "2025-01-31".len() && text.as_bytes()[4] == b'-';
        let meant = if is_date {
            let date: Date = text.parse().map_err(|_| wrong())?;
            Meant::At(date.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp())
        } else if let Ok(time) = text.parse() {
            Meant::At(time)
        } else {
            Meant::Ago(parse_age(text).map_err(|_| wrong())?)
        };
        Ok(Self { typed: text.to_owned(), meant })
    }

    /// Whether it is an age.
    pub fn is_age(&self) -> bool {
        matches!(self.meant, Meant::Ago(_))
    }

    /// The age in whole days, if it is one.
    pub fn days(&self) -> Option<u64> {
        const DAY: u64 = 86_400;
        match self.meant {
            Meant::Ago(age) if age.subsec_nanos() == 0 && age.as_secs() % DAY == 0 => Some(age.as_secs() / DAY),
            _ => None,
        }
    }

    /// The time that is meant in a job that was started at `started_at`, in seconds since 1970.
    pub fn resolve(&self, started_at: i64) -> Timestamp {
        match self.meant {
            Meant::At(time) => time,
            // What is before all times is the first of them.
            Meant::Ago(age) => {
                let start = Timestamp::from_second(started_at).unwrap_or(Timestamp::UNIX_EPOCH);
                start.checked_sub(age).unwrap_or(Timestamp::MIN)
            }
        }
    }
}

/// As it was typed.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, started_at: i64) -> i64 {
        Moment::parse(text).unwrap().resolve(started_at).as_second()
    }

    #[test]
    fn a_time_is_a_date_an_instant_or_an_age() {
        assert_eq!(at("1970-01-02", 5), 86_400);
        assert_eq!(at("1970-01-01T01:00:00Z", 5), 3_600);
        assert_eq!(at("1970-01-01T02:00:00+01:00", 5), 3_600);
        assert_eq!(at("1970-01-01T00:00:00.250Z", 5), 0);
        assert_eq!(at("1h", 10_000), 6_400);
        assert_eq!(at("2d", 200_000), 27_200);
        assert_eq!(at("9999999h", 0), at("9999999h", 3_600) - 3_600);
        assert!(at("200000000h", 0) < 0, "nothing is before the first time");
    }

    #[test]
    fn what_is_no_time_is_told() {
        for bad in [
            "",
            "soon",
            "7",
            "-3d",
            "2025-13-01",
            "2025-01-31T12:00:00",
            "2025-02-30",
            "1 month",
            "2025/01/31",
            "é025-01-3",
        ] {
            let error = Moment::parse(bad).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("30d"), "{error}");
        }
    }
}
