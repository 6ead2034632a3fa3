//! An IAM policy, and the names in it: a document that says what is allowed, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Target;

/// The language that policies are written in. *Source:* "IAM JSON policy elements: Version".
const VERSION: &str = "2012-10-17";

/// A document that allows something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    /// What it allows.
    pub statement: Vec<Statement>,
}

/// Allows some actions on some resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for: letters and digits, once in a document.
    pub sid: String,
    /// That it allows.
    pub effect: Effect,
    /// Whom it allows that, where it is attached to what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// The actions.
    pub action: Vec<&'static str>,
    /// The resources, by their names.
    pub resource: Vec<String>,
    /// What must hold besides.
    #[serde(skip_serializing_if = "Condition::is_empty")]
    pub condition: Condition,
}

/// Operator, key, values.
pub type Condition = BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>;

/// Statements of s3bulk allow, and never deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Effect {
    #[default]
    /// The only one.
    Allow,
}

/// Whom a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Principal {
    /// An ARN; that of an account's root means everybody whom the account itself allows it.
    #[serde(rename = "AWS")]
    pub aws: String,
}

impl Policy {
    /// Of these statements.
    pub fn new(statement: Vec<Statement>) -> Self {
        Self { version: VERSION, statement }
    }
}

/// The ARN of a bucket. That of an access point is taken as it is, but for the colon that requests
/// may have before the name of one of several regions: policies have a slash.
pub fn bucket_arn(partition: &str, bucket: &str) -> String {
    if bucket.starts_with("arn:") {
        bucket.replacen(":accesspoint:", ":accesspoint/", 1)
    } else {
        format!("arn:{partition}:s3:::{bucket}")
    }
}

/// The ARN of the objects whose keys are as in `keys`, which may hold wildcards.
pub fn objects_arn(partition: &str, bucket: &str, keys: &str) -> String {
    let middle = if bucket.starts_with("arn:") { "/object/" } else { "/" };
    format!("{}{middle}{keys}", bucket_arn(partition, bucket))
}

/// Text that means itself where wildcards and variables would be read. *Source:* "IAM policy
/// elements: Variables and tags", special characters.
pub fn literally(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '$' => out.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]),
            c => out.push(c),
        }
    }
    out
}

/// The keys that are meant, with wildcards. Those of a pattern are told by how they begin and end.
pub fn keys_of(target: &Target) -> String {
    match target {
        Target::Prefix(prefix) => format!("{}*", literally(prefix)),
        Target::Object(key) => literally(key),
        Target::Pattern(pattern) => format!("{}*{}", literally(pattern.head()), literally(pattern.tail())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Location;

    fn keys(text: &str) -> String {
        keys_of(&Location::parse(&format!("s3://bucket/{text}"), false).unwrap().target)
    }

    #[test]
    fn keys_become_wildcards_and_what_looks_like_one_means_itself() {
        assert_eq!((keys(""), keys("x/"), keys("x/k")), ("*".to_owned(), "x/*".to_owned(), "x/k".to_owned()));
        assert_eq!((keys("x/a*b?.csv"), keys("day-*/")), ("x/a*.csv".to_owned(), "day-*".to_owned()));
        assert_eq!(literally("a*b?c${d}"), "a${*}b${?}c${$}{d}");
    }

    #[test]
    fn an_access_point_is_named_as_it_is() {
        assert_eq!(objects_arn("aws-cn", "abc", "x/*"), "arn:aws-cn:s3:::abc/x/*");
        let point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        assert_eq!(bucket_arn("aws-cn", point), point);
        assert_eq!(objects_arn("aws-cn", point, "x/*"), format!("{point}/object/x/*"));
        let of_regions = bucket_arn("aws", "arn:aws:s3::123456789012:accesspoint:mine.mrap");
        assert_eq!(of_regions, "arn:aws:s3::123456789012:accesspoint/mine.mrap");
    }

    #[test]
    fn a_policy_is_the_json_that_iam_reads() {
        let condition = BTreeMap::from([("StringLike", BTreeMap::from([("s3:prefix", vec!["x/*".to_owned()])]))]);
        let list = Statement {
            sid: "List".into(),
            action: vec!["s3:ListBucket"],
            resource: vec![bucket_arn("aws", "abc")],
            condition,
            ..Statement::default()
        };
        let json = r#"{"Version":"2012-10-17","Statement":[{"Sid":"List","Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::abc"],"Condition":{"StringLike":{"s3:prefix":["x/*"]}}}]}"#;
        assert_eq!(serde_json::to_string(&Policy::new(vec![list])).unwrap(), json);
    }
}
