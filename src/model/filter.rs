//! Which of the objects that a listing shows are chosen. Pure.

use jiff::Timestamp;

use super::{Error, Glob, Location, Moment, Object, Pattern, Row, Target};

/// The class of objects of which a listing says none, and that copies get which name none.
pub const STANDARD: &str = "STANDARD";

/// One `--include` or `--exclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether what matches is chosen.
    pub include: bool,
    /// What matches it, in keys behind the source's root.
    pub glob: Glob,
}

/// What is to be chosen, as it was typed: ages are not times yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// In the order typed: the last that matches wins. What none matches is left out where the
    /// first is an include, and chosen otherwise.
    pub rules: Vec<Rule>,
    /// Only what was written after this.
    pub newer_than: Option<Moment>,
    /// Only what was written before this.
    pub older_than: Option<Moment>,
    /// Only what has at least so many bytes.
    pub min_size: Option<u64>,
    /// Only what has at most so many bytes.
    pub max_size: Option<u64>,
    /// Only what is in one of these storage classes, in capitals; empty for all.
    pub storage_classes: Vec<String>,
}

impl Choice {
    /// Refuses bounds that contradict each other whenever the job started.
    ///
    /// # Errors
    /// [`Error::Usage`] that names both.
    pub fn check(&self) -> Result<(), Error> {
        if let (Some(min), Some(max)) = (self.min_size, self.max_size)
            && min > max
        {
            return Err(nothing(&format!("--min-size {min} is more than --max-size {max}")));
        }
        match (&self.newer_than, &self.older_than) {
            (Some(newer), Some(older)) if newer.is_age() == older.is_age() => self.check_times(0),
            _ => Ok(()),
        }
    }

    fn check_times(&self, started_at: i64) -> Result<(), Error> {
        match (&self.newer_than, &self.older_than) {
            (Some(newer), Some(older)) if newer.resolve(started_at) >= older.resolve(started_at) => {
                Err(nothing(&format!("--newer-than {newer} is not before --older-than {older}")))
            }
            _ => Ok(()),
        }
    }

    /// What is chosen of `source` in a job that was first started at `started_at`, in seconds since
    /// 1970; `None` for all of it.
    ///
    /// # Errors
    /// [`Error::Usage`] for bounds that contradict each other.
    pub fn resolve(&self, started_at: i64, source: &Location) -> Result<Option<Filter>, Error> {
        self.check()?;
        self.check_times(started_at)?;
        let pattern = match &source.target {
            Target::Pattern(pattern) => Some(pattern.clone()),
            Target::Prefix(_) | Target::Object(_) => None,
        };
        if pattern.is_none() && *self == Self::default() {
            return Ok(None);
        }
        let time = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.resolve(started_at));
        Ok(Some(Filter {
            root: source.root().len(),
            pattern,
            after: time(&self.newer_than),
            before: time(&self.older_than),
            choice: self.clone(),
        }))
    }
}

fn nothing(why: &str) -> Error {
    Error::Usage(format!("{why}: nothing could be chosen"))
}

/// What is chosen of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Bytes of the source's root, which no rule sees.
    root: usize,
    pattern: Option<Pattern>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    choice: Choice,
}

impl Filter {
    /// Whether `object` is chosen. Where it is not known when it was written, that leaves it in: too
    /// much is chosen rather than something missed.
    pub fn keeps(&self, object: &Object) -> bool {
        self.keeps_key(&object.key)
            && self.keeps_size(object.size)
            && self.keeps_time(object.last_modified)
            && self.keeps_class(object.storage_class.as_deref())
    }

    /// Whether the object that a manifest's line names is chosen; `None` where the line does not say
    /// enough.
    pub fn judges(&self, row: &Row) -> Option<bool> {
        let choice = &self.choice;
        let told = |matters: bool, keeps: Option<bool>| if matters { keeps } else { Some(true) };
        let size = choice.min_size.is_some() || choice.max_size.is_some();
        let time = self.after.is_some() || self.before.is_some();
        let class = !choice.storage_classes.is_empty();
        let all = [
            Some(self.keeps_key(&row.key)),
            told(size, row.size.map(|size| self.keeps_size(size))),
            told(time, row.last_modified.map(|time| self.keeps_time(Some(time)))),
            told(class, row.storage_class.as_deref().map(|class| self.keeps_class(Some(class)))),
        ];
        if all.contains(&Some(false)) { Some(false) } else { (!all.contains(&None)).then_some(true) }
    }

    fn keeps_size(&self, size: u64) -> bool {
        self.choice.min_size.is_none_or(|min| size >= min) && self.choice.max_size.is_none_or(|max| size <= max)
    }

    fn keeps_key(&self, key: &str) -> bool {
        let name = key.get(self.root..).unwrap_or(key);
        let rules = &self.choice.rules;
        let chosen = match rules.iter().rev().find(|rule| rule.glob.matches(name)) {
            Some(last) => last.include,
            None => rules.first().is_none_or(|first| !first.include),
        };
        chosen && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(key))
    }

    fn keeps_time(&self, written: Option<i64>) -> bool {
        let Some(written) = written.and_then(|written| Timestamp::from_second(written).ok()) else { return true };
        self.after.is_none_or(|after| written > after) && self.before.is_none_or(|before| written < before)
    }

    fn keeps_class(&self, class: Option<&str>) -> bool {
        let class = class.unwrap_or(STANDARD);
        let classes = &self.choice.storage_classes;
        classes.is_empty() || classes.iter().any(|chosen| chosen.eq_ignore_ascii_case(class))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Slash;
    use super::*;

    /// Rules as `+*.csv` and `-tmp/*`.
    fn rules(texts: &[&str]) -> Choice {
        let glob = |text: &str| Glob::parse(&text[1..], Slash::Plain).unwrap();
        let rules = texts.iter().map(|text| Rule { include: text.starts_with('+'), glob: glob(text) }).collect();
        Choice { rules, ..Choice::default() }
    }

    fn filter(choice: &Choice, source: &str) -> Filter {
        choice.resolve(1_000_000, &Location::parse(source, false).unwrap()).unwrap().unwrap()
    }

    fn chosen<'a>(texts: &[&str], source: &str, keys: &[&'a str]) -> Vec<&'a str> {
        let filter = filter(&rules(texts), source);
        keys.iter().copied().filter(|key| filter.keeps(&Object::new(*key, 1))).collect()
    }

    fn moment(text: &str) -> Option<Moment> {
        Some(Moment::parse(text).unwrap())
    }

    #[test]
    fn the_last_rule_that_matches_wins() {
        let keys = ["x/a.csv", "x/a.txt", "x/tmp/a.csv", "x/tmp/keep.csv"];
        let of = |texts: &[&str]| chosen(texts, "s3://abc/x/", &keys);
        assert_eq!(of(&["+*.csv"]), ["x/a.csv", "x/tmp/a.csv", "x/tmp/keep.csv"]);
        assert_eq!(of(&["-*.csv"]), ["x/a.txt"]);
        assert_eq!(of(&["+*.csv", "-tmp/*"]), ["x/a.csv"]);
        assert_eq!(of(&["-tmp/*", "+*.csv"]), ["x/a.csv", "x/a.txt", "x/tmp/a.csv", "x/tmp/keep.csv"]);
        assert_eq!(of(&["-*", "+*.csv", "-tmp/*", "+*keep*"]), ["x/a.csv", "x/tmp/keep.csv"]);
    }

    #[test]
    fn rules_see_what_is_behind_the_root() {
        assert_eq!(chosen(&["-x*"], "s3://abc/x/", &["x/a", "x/xa"]), ["x/a"]);
        assert_eq!(chosen(&["+b*"], "s3://abc/x/?*", &["x/b", "x/c", "x/", "x/b/c"]), ["x/b"]);
        assert_eq!(chosen(&["+k"], "s3://abc/x/y/k", &["x/y/k"]), ["x/y/k"]);
        assert_eq!(chosen(&["+[é]?*"], "s3://abc", &["é\n\\{}", "é", "x/é/"]), ["é\n\\{}"]);
    }

    #[test]
    fn a_location_without_pattern_and_choice_is_not_filtered() {
        let choice = Choice::default();
        let resolve = |source: &str| choice.resolve(0, &Location::parse(source, false).unwrap()).unwrap();
        assert_eq!((resolve("s3://abc/x/"), resolve("s3://abc/x")), (None, None));
        assert!(resolve("s3://abc/*").is_some());
    }

    #[test]
    fn sizes_are_inclusive() {
        let filter = filter(&Choice { min_size: Some(2), max_size: Some(4), ..Choice::default() }, "s3://abc");
        let kept: Vec<u64> = (0..7).filter(|size| filter.keeps(&Object::new("k", *size))).collect();
        assert_eq!(kept, [2, 3, 4]);
    }

    #[test]
    fn times_are_exclusive_and_an_unknown_one_is_kept() {
        let kept = |newer: Option<Moment>, older: Option<Moment>, times: &[i64]| {
            let filter = filter(&Choice { newer_than: newer, older_than: older, ..Choice::default() }, "s3://abc");
            assert!(filter.keeps(&Object::new("k", 1)));
            let at = |time: i64| Object { last_modified: Some(time), ..Object::new("k", 1) };
            times.iter().copied().filter(|time| filter.keeps(&at(*time))).collect::<Vec<_>>()
        };
        assert_eq!(kept(moment("10s"), None, &[999_989, 999_990, 999_991]), [999_991]);
        assert_eq!(kept(None, moment("10s"), &[999_989, 999_990, 999_991]), [999_989]);
        assert_eq!(kept(moment("20s"), moment("10s"), &[999_980, 999_985, 999_990]), [999_985]);
        assert_eq!(kept(None, moment("1970-01-01T00:00:05.5Z"), &[4, 5, 6]), [4, 5]);
        assert_eq!(kept(moment("1970-01-01T00:00:05.5Z"), None, &[4, 5, 6]), [6]);
    }

    #[test]
    fn no_class_is_standard() {
        let classes = ["STANDARD", "GLACIER_IR"].map(str::to_owned).to_vec();
        let filter = filter(&Choice { storage_classes: classes, ..Choice::default() }, "s3://abc");
        let keeps = |class: Option<&str>| {
            filter.keeps(&Object { storage_class: class.map(str::to_owned), ..Object::new("k", 1) })
        };
        assert!(keeps(None) && keeps(Some("GLACIER_IR")) && keeps(Some("glacier_ir")) && !keeps(Some("GLACIER")));
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused() {
        let times = |newer: &str, older: &str| Choice {
            newer_than: moment(newer),
            older_than: moment(older),
            ..Choice::default()
        };
        let refused = |choice: &Choice, why: &str| {
            let error = choice.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(
            &Choice { min_size: Some(2), max_size: Some(1), ..Choice::default() },
            "--min-size 2 is more than --max-size 1",
        );
        refused(&times("1h", "2h"), "--newer-than 1h is not before --older-than 2h");
        refused(&times("2025-02-01", "2025-01-01"), "--newer-than 2025-02-01 is not before --older-than 2025-01-01");
        refused(&times("1h", "60m"), "--newer-than 1h");
        assert!(times("2h", "1h").check().is_ok() && times("2025-02-01", "1h").check().is_ok());
        // Of an age and a date, that depends on the job's start.
        let mixed = times("1970-01-02", "1h");
        let all = Location::parse("s3://abc", false).unwrap();
        assert!(mixed.resolve(0, &all).is_err() && mixed.resolve(1_000_000, &all).is_ok());
    }

    #[test]
    fn a_line_is_judged_by_what_it_says() {
        let choice = Choice { min_size: Some(5), storage_classes: vec!["GLACIER".into()], ..rules(&["-tmp/*"]) };
        let filter = choice.resolve(0, &Location::parse("s3://abc/", false).unwrap()).unwrap().unwrap();
        let row = |key: &str, size: Option<u64>, class: Option<&str>| Row {
            size,
            storage_class: class.map(str::to_owned),
            ..Row::of_key(key)
        };
        assert_eq!(filter.judges(&row("a", Some(5), Some("GLACIER"))), Some(true));
        assert_eq!(filter.judges(&row("a", Some(5), None)), None);
        assert_eq!(filter.judges(&row("a", None, Some("GLACIER"))), None);
        assert_eq!(filter.judges(&row("a", Some(4), None)), Some(false), "whatever its class is");
        assert_eq!(filter.judges(&row("tmp/a", None, None)), Some(false));
    }

    proptest! {
        #[test]
        fn a_rule_behind_all_others_decides(texts in prop::collection::vec("[+-][ab*?]{0,4}", 0..5), name in "[ab/\n]{0,4}") {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let key = format!("x/{name}");
            for (last, kept) in [("+*", 1), ("-*", 0)] {
                let texts = [&texts[..], &[last]].concat();
                prop_assert_eq!(chosen(&texts, "s3://abc/x/", &[&key]).len(), kept);
            }
        }
    }
}
