//! The lifecycle rule of a bucket that would do what a job does: a change of class in place. Pure.
//!
//! *Source:* "Transitioning objects using Amazon S3 Lifecycle" and "Lifecycle configuration elements" of
//! S3's user guide.

use serde::Serialize;

use super::{Choice, Location, Target};

/// The classes in the order in which rules move objects: only to a later one (and not all of them: see
/// below).
const DOWNWARDS: [&str; 7] =
    ["STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"];

/// Classes that rules move objects to only this many days after they were written.
const LATE: [(&str, u64); 2] = [("STANDARD_IA", 30), ("ONEZONE_IA", 30)];

/// A lifecycle configuration, as `aws s3api put-bucket-lifecycle-configuration` reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Lifecycle {
    /// Its rules.
    pub rules: Vec<LifecycleRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LifecycleRule {
    #[serde(rename = "ID")]
    id: String,
    status: &'static str,
    filter: Filter,
    transitions: [Transition; 1],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    and: And,
}

/// Without a size of its own, a rule leaves objects below 128 KB alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct And {
    prefix: String,
    object_size_greater_than: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_size_less_than: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Transition {
    days: u64,
    storage_class: String,
}

impl Lifecycle {
    /// The configuration that moves all objects of `sources` that are chosen to a class. Where a rule
    /// cannot say which are chosen, or does not move objects `from` all of these classes there, none.
    pub fn of<'a>(
        sources: &[Location],
        choice: &Choice,
        to: &str,
        mut from: impl Iterator<Item = &'a str>,
    ) -> Option<Self> {
        let rank = |class: &str| DOWNWARDS.iter().position(|other| *other == class);
        let to_rank = rank(to)?;
        let goes =
            |class: &str| rank(class).is_some_and(|from| from < to_rank) && (class, to) != ("ONEZONE_IA", "GLACIER_IR");
        let Choice { rules, newer_than, older_than, min_size, max_size, storage_classes } = choice;
        if !rules.is_empty() || newer_than.is_some() || !storage_classes.is_empty() || !from.all(goes) {
            return None;
        }
        let days = match older_than {
            Some(moment) => moment.days()?,
            None => 0,
        };
        if LATE.iter().any(|(class, least)| *class == to && days < *least) {
            return None;
        }
        let size = And {
            prefix: String::new(),
            object_size_greater_than: min_size.unwrap_or(0).saturating_sub(1),
            object_size_less_than: max_size.map(|size| size.saturating_add(1)),
        };
        let rule = |(number, source): (usize, &Location)| {
            let Target::Prefix(prefix) = &source.target else { return None };
            let numbered = if sources.len() > 1 { format!("-{}", number + 1) } else { String::new() };
            Some(LifecycleRule {
                id: format!("s3bulk-{}{numbered}", to.to_ascii_lowercase().replace('_', "-")),
                status: "Enabled",
                filter: Filter { and: And { prefix: prefix.clone(), ..size.clone() } },
                transitions: [Transition { days, storage_class: to.to_owned() }],
            })
        };
        let rules: Option<Vec<_>> = sources.iter().enumerate().map(rule).collect();
        rules.map(|rules| Self { rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    fn sources(texts: &[&str]) -> Vec<Location> {
        texts.iter().map(|text| Location::parse(text, false).unwrap()).collect()
    }

    fn older_than(age: &str) -> Choice {
        Choice { older_than: Some(Moment::parse(age).unwrap()), ..Choice::default() }
    }

    fn json(texts: &[&str], choice: &Choice, to: &str, from: &[&str]) -> Option<String> {
        let rules = Lifecycle::of(&sources(texts), choice, to, from.iter().copied())?;
        Some(serde_json::to_string(&rules).unwrap())
    }

    #[test]
    fn a_change_of_class_is_a_rule() {
        assert_eq!(
            json(&["s3://bucket/logs/"], &older_than("30d"), "DEEP_ARCHIVE", &["STANDARD", "GLACIER"]).unwrap(),
            r#"{"Rules":[{"ID":"s3bulk-deep-archive","Status":"Enabled","Filter":{"And":{"Prefix":"logs/","ObjectSizeGreaterThan":0}},"Transitions":[{"Days":30,"StorageClass":"DEEP_ARCHIVE"}]}]}"#
        );
        let sized = Choice { min_size: Some(1_000), max_size: Some(2_000), ..Choice::default() };
        let two = json(&["s3://bucket/x/", "s3://bucket/y/"], &sized, "GLACIER_IR", &["STANDARD"]).unwrap();
        assert!(two.contains("s3bulk-glacier-ir-1") && two.contains("s3bulk-glacier-ir-2"), "{two}");
        assert!(two.contains(r#""ObjectSizeGreaterThan":999,"ObjectSizeLessThan":2001"#), "{two}");
    }

    #[test]
    fn what_no_rule_can_say_is_none() {
        let none = |texts: &[&str], choice: &Choice, to: &str, from: &[&str]| {
            assert_eq!(json(texts, choice, to, from), None, "{texts:?} {choice:?} {to} {from:?}");
        };
        let (all, any) = (Choice::default(), ["STANDARD"]);
        none(&["s3://bucket/x/*.csv"], &all, "GLACIER", &any);
        none(&["s3://bucket/key"], &all, "GLACIER", &any);
        none(&["s3://bucket/"], &older_than("12h"), "GLACIER", &any);
        none(&["s3://bucket/"], &older_than("2025-01-01"), "GLACIER", &any);
        none(&["s3://bucket/"], &Choice { storage_classes: vec!["STANDARD".into()], ..all.clone() }, "GLACIER", &any);
        none(&["s3://bucket/"], &all, "GLACIER", &["STANDARD", "DEEP_ARCHIVE"]);
        none(&["s3://bucket/"], &all, "STANDARD", &["STANDARD_IA"]);
        none(&["s3://bucket/"], &all, "GLACIER_IR", &["ONEZONE_IA"]);
        none(&["s3://bucket/"], &all, "SNOW", &any);
        none(&["s3://bucket/"], &older_than("29d"), "STANDARD_IA", &any);
        assert!(json(&["s3://bucket/"], &older_than("30d"), "STANDARD_IA", &any).is_some());
    }
}
