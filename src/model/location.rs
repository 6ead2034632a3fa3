//! `s3://bucket/...` as typed, and what it means.

use std::fmt;

/// What a location points at inside its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every key that begins with this; empty for the whole bucket, else it ends in `/`.
    Prefix(String),
    /// This one key.
    Object(String),
}

/// A bucket and what is meant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The bucket's name, or the ARN of an access point.
    pub bucket: String,
    /// What is meant in it.
    pub target: Target,
}

/// Characters that make a location a pattern unless it is taken literally.
const GLOB: [char; 3] = ['*', '?', '['];

impl Location {
    /// Reads `s3://bucket`, `s3://bucket/prefix/` or `s3://bucket/key`.
    ///
    /// # Errors
    /// One line that names the text and says what to write instead.
    pub fn parse(text: &str, literal: bool) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(format!("{text:?} is not a location: write it as s3://bucket/prefix/"));
        };
        let (bucket, key) = split_bucket(rest);
        check_bucket(bucket).map_err(|why| format!("{text:?}: {why}"))?;
        if !literal && key.contains(GLOB) {
            return Err(format!(
                "{text:?} looks like a pattern, and patterns are not supported yet: \
                 copy the prefix above it, or give --no-glob to take the characters literally"
            ));
        }
        let target = if key.is_empty() || key.ends_with('/') {
            Target::Prefix(key.to_owned())
        } else {
            Target::Object(key.to_owned())
        };
        Ok(Self { bucket: bucket.to_owned(), target })
    }

    /// The prefix or key.
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Prefix(path) | Target::Object(path) => path,
        }
    }

    /// What all keys that are meant begin with: what is listed.
    pub fn listed_prefix(&self) -> &str {
        self.path()
    }

    /// Whether many keys may be meant.
    pub fn is_prefix(&self) -> bool {
        matches!(self.target, Target::Prefix(_))
    }

    /// Whether some key could be meant by both, in one store.
    pub fn overlaps(&self, other: &Self) -> bool {
        let within = |inner: &Self, outer: &Self| match &outer.target {
            Target::Prefix(prefix) => inner.path().starts_with(prefix.as_str()),
            Target::Object(key) => inner.path() == key && !inner.is_prefix(),
        };
        self.bucket == other.bucket && (within(self, other) || within(other, self))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.path())
    }
}

/// The bucket is all before the first `/`, but for an access point, whose ARN holds one itself:
/// `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`.
fn split_bucket(rest: &str) -> (&str, &str) {
    let from =
        if rest.starts_with("arn:") { rest.find("accesspoint/").map_or(0, |at| at + "accesspoint/".len()) } else { 0 };
    match rest[from..].find('/') {
        Some(slash) => (&rest[..from + slash], &rest[from + slash + 1..]),
        None => (rest, ""),
    }
}

/// S3's rules for the names of general purpose buckets ("Bucket naming rules" of its user guide),
/// without the reserved words, which servers refuse by themselves.
fn check_bucket(name: &str) -> Result<(), String> {
    if name.starts_with("arn:") {
        let named = name.split_once("accesspoint/").is_some_and(|(_, name)| !name.is_empty());
        return if named { Ok(()) } else { Err("the ARN is not that of an access point".to_owned()) };
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() {
        return Err("the bucket's name is missing".to_owned());
    }
    if !(3..=63).contains(&name.len()) {
        return Err(format!("the bucket name {name:?} must have 3 to 63 characters"));
    }
    if !name.chars().all(inner) || !edge(name.chars().next()) || !edge(name.chars().last()) || name.contains("..") {
        return Err(format!(
            "the bucket name {name:?} may hold only a-z, 0-9, '-' and '.', and begins and ends with a letter or digit"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        Location::parse(text, false).unwrap()
    }

    #[test]
    fn a_location_is_a_bucket_a_prefix_or_an_object() {
        assert_eq!(parse("s3://abc"), parse("s3://abc/"));
        assert_eq!(parse("s3://abc/x/y/").target, Target::Prefix("x/y/".into()));
        assert_eq!(parse("s3://abc/x/y").target, Target::Object("x/y".into()));
        assert_eq!(parse("s3://abc//").target, Target::Prefix("/".into()));
    }

    #[test]
    fn an_access_point_keeps_its_slash() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        let location = parse(&format!("s3://{arn}/x/"));
        assert_eq!((location.bucket.as_str(), location.path()), (arn, "x/"));
    }

    #[test]
    fn malformed_locations_are_refused_with_the_text() {
        for bad in ["", "bucket/x", "s3:/abc/", "s3://", "s3:///x", "s3://ab/x", "s3://UPPER/x", "s3://a_b/x"] {
            let error = Location::parse(bad, false).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_pattern_is_literal_only_when_told() {
        assert!(Location::parse("s3://abc/x[1]/", false).unwrap_err().contains("--no-glob"));
        assert_eq!(Location::parse("s3://abc/x[1]/", true).unwrap().path(), "x[1]/");
    }

    #[test]
    fn overlap_is_about_keys() {
        assert!(parse("s3://abc/x/").overlaps(&parse("s3://abc/")));
        assert!(parse("s3://abc/x/y").overlaps(&parse("s3://abc/x/")));
        assert!(!parse("s3://abc/x").overlaps(&parse("s3://abc/x/")));
        assert!(!parse("s3://abc/x/").overlaps(&parse("s3://abd/x/")));
    }
}
