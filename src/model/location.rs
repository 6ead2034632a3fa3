//! `s3://bucket/...` as typed, and what it means.

use std::fmt;

use super::Pattern;

/// What a location points at inside its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every key that begins with this; empty for the whole bucket, else it ends in `/`.
    Prefix(String),
    /// This one key.
    Object(String),
    /// Every key that matches.
    Pattern(Pattern),
}

impl Target {
    /// Whether `key` is meant.
    pub fn holds(&self, key: &str) -> bool {
        match self {
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Self::Object(name) => key == name,
            Self::Pattern(pattern) => pattern.matches(key),
        }
    }

    /// What all keys that are meant begin with: what is listed.
    fn head(&self) -> &str {
        match self {
            Self::Prefix(path) | Self::Object(path) => path,
            Self::Pattern(pattern) => pattern.head(),
        }
    }

    /// What all keys that are meant end with.
    fn tail(&self) -> &str {
        match self {
            Self::Prefix(_) => "",
            Self::Object(key) => key,
            Self::Pattern(pattern) => pattern.tail(),
        }
    }

    /// How many slashes the keys that are meant have, at least and at most.
    fn slashes(&self) -> (usize, usize) {
        let all = |path: &str| path.matches('/').count();
        match self {
            Self::Prefix(prefix) => (all(prefix), usize::MAX),
            Self::Object(key) => (all(key), all(key)),
            Self::Pattern(pattern) => match pattern.slashes() {
                Some(slashes) => (slashes, slashes),
                None => (all(pattern.head()), usize::MAX),
            },
        }
    }

    /// Whether some key could be meant by both. May err towards yes: whether two patterns meet is
    /// told by how their keys begin and end, and how deep they lie.
    fn meets(&self, other: &Self) -> bool {
        if let (Self::Object(key), target) | (target, Self::Object(key)) = (self, other) {
            return target.holds(key);
        }
        let (one, two) = (self.head(), other.head());
        let (end, other_end) = (self.tail(), other.tail());
        let ((least, most), (other_least, other_most)) = (self.slashes(), other.slashes());
        (one.starts_with(two) || two.starts_with(one))
            && (end.ends_with(other_end) || other_end.ends_with(end))
            && least <= other_most
            && other_least <= most
    }
}

/// A bucket and what is meant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The bucket's name, or the ARN of an access point.
    pub bucket: String,
    /// What is meant in it.
    pub target: Target,
}

impl Location {
    /// Reads `s3://bucket`, `s3://bucket/prefix/`, `s3://bucket/key`, or, unless `literal`, a pattern
    /// as `s3://bucket/prefix/*.csv`.
    ///
    /// # Errors
    /// One line that names the text and says what to write instead.
    pub fn parse(text: &str, literal: bool) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(format!("{text:?} is not a location: write it as s3://bucket/prefix/"));
        };
        let (bucket, key) = split_bucket(rest);
        check_bucket(bucket).map_err(|why| format!("{text:?}: {why}"))?;
        let target = if !literal && Pattern::is_one(key) {
            let malformed =
                |why| format!("{text:?} is no pattern: {why}; --no-glob takes the characters * ? and [ literally");
            Target::Pattern(Pattern::parse(key).map_err(malformed)?)
        } else if key.is_empty() || key.ends_with('/') {
            Target::Prefix(key.to_owned())
        } else {
            Target::Object(key.to_owned())
        };
        Ok(Self { bucket: bucket.to_owned(), target })
    }

    /// The prefix, the key, or what stands before a pattern's first `*`, `?` or `[`: what all keys
    /// that are meant begin with.
    pub fn path(&self) -> &str {
        self.target.head()
    }

    /// What is not part of the names of what is meant: the prefix, the folder of the object, or the
    /// folder of what a pattern's keys begin with.
    pub fn root(&self) -> &str {
        match &self.target {
            Target::Prefix(prefix) => prefix,
            Target::Object(key) => &key[..key.rfind('/').map_or(0, |slash| slash + 1)],
            Target::Pattern(pattern) => pattern.root(),
        }
    }

    /// Whether many keys may be meant.
    pub fn is_several(&self) -> bool {
        !matches!(self.target, Target::Object(_))
    }

    /// Whether some key could be meant by both, in one store.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.bucket == other.bucket && self.target.meets(&other.target)
    }
}

/// As it was typed.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match &self.target {
            Target::Prefix(path) | Target::Object(path) => path,
            Target::Pattern(pattern) => pattern.as_str(),
        };
        write!(f, "s3://{}/{key}", self.bucket)
    }
}

/// The bucket is all before the first `/`, but for an access point, whose ARN may hold one itself.
fn split_bucket(rest: &str) -> (&str, &str) {
    let from = access_point(rest).map_or(0, |name| rest.len() - name.len());
    match rest[from..].find('/') {
        Some(slash) => (&rest[..from + slash], &rest[from + slash + 1..]),
        None => (rest, ""),
    }
}

/// What begins with the name of an access point: `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`, or
/// `arn:aws:s3::ACCOUNT:accesspoint:ALIAS`, one of several regions.
fn access_point(arn: &str) -> Option<&str> {
    let rest = arn.strip_prefix("arn:")?;
    let name = &rest[rest.find(":accesspoint")? + ":accesspoint".len()..];
    name.strip_prefix(['/', ':'])
}

/// S3's rules for the names of general purpose buckets ("Bucket naming rules" of its user guide),
/// without the reserved words, which servers refuse by themselves.
fn check_bucket(name: &str) -> Result<(), String> {
    if name.starts_with("arn:") {
        let named = access_point(name).is_some_and(|name| !name.is_empty());
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
    use proptest::prelude::*;

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
        let arn = "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap";
        let location = parse(&format!("s3://{arn}/x/y"));
        assert_eq!((location.bucket.as_str(), location.path()), (arn, "x/y"));
        for bad in ["arn:aws:s3:::abc", "arn:aws:s3:eu-west-1:1:accesspoint/", "arn:aws:s3:eu-west-1:1:accesspointx"] {
            assert!(Location::parse(&format!("s3://{bad}/x"), false).unwrap_err().contains("access point"), "{bad}");
        }
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
        let pattern = parse("s3://abc/x/y*[1]?");
        assert_eq!((pattern.path(), pattern.root(), pattern.is_several()), ("x/y", "x/", true));
        assert_eq!(pattern.to_string(), "s3://abc/x/y*[1]?");
        let literal = Location::parse("s3://abc/x[1]/", true).unwrap();
        assert_eq!((literal.path(), literal.to_string().as_str()), ("x[1]/", "s3://abc/x[1]/"));
        assert!(Location::parse("s3://a*c/x", false).unwrap_err().contains("bucket name"));
    }

    #[test]
    fn a_malformed_pattern_is_refused_with_what_is_wrong() {
        for (bad, why) in [("x[1", "a [ without a ]"), ("x[a/b]", "cannot hold a /"), ("[z-a]*", "backwards")] {
            let error = Location::parse(&format!("s3://abc/{bad}"), false).unwrap_err();
            assert!(error.contains(why) && error.contains(bad) && error.contains("--no-glob"), "{error}");
            assert!(Location::parse(&format!("s3://abc/{bad}"), true).is_ok());
        }
    }

    #[test]
    fn overlap_is_about_keys() {
        assert!(parse("s3://abc/x/").overlaps(&parse("s3://abc/")));
        assert!(parse("s3://abc/x/y").overlaps(&parse("s3://abc/x/")));
        assert!(!parse("s3://abc/x").overlaps(&parse("s3://abc/x/")));
        assert!(!parse("s3://abc/x/").overlaps(&parse("s3://abd/x/")));
    }

    #[test]
    fn patterns_overlap_unless_their_keys_cannot_be_the_same() {
        let overlap = |one: &str, two: &str| {
            let (one, two) = (parse(&format!("s3://abc/{one}")), parse(&format!("s3://abc/{two}")));
            assert_eq!(one.overlaps(&two), two.overlaps(&one));
            one.overlaps(&two)
        };
        assert!(overlap("x/*.csv", "x/a.csv") && !overlap("x/*.csv", "x/a.txt"));
        assert!(overlap("x/*.csv", "x/") && overlap("x/*.csv", "") && !overlap("x/*.csv", "y/"));
        assert!(overlap("x/*.csv", "x/a*") && overlap("x/*", "x/*.csv") && !overlap("x/*.csv", "x/*.txt"));
        assert!(!overlap("x/a*", "x/b*") && !overlap("x/*.csv", "x/*/*.csv") && overlap("x/**.csv", "x/*/*.csv"));
        assert!(!overlap("x/*.csv", "x/done/") && overlap("x/**.csv", "x/done/") && overlap("x/*/", "x/done/"));
    }

    proptest! {
        #[test]
        fn a_key_that_is_in_both_is_an_overlap(
            one in "([ab/*?]|\\*\\*){0,6}", two in "([ab/*?]|\\*\\*){0,6}", key in "[ab/]{0,6}"
        ) {
            let (one, two) = (parse(&format!("s3://abc/{one}")), parse(&format!("s3://abc/{two}")));
            if one.target.holds(&key) && two.target.holds(&key) {
                prop_assert!(one.overlaps(&two), "{one} {two} {key:?}");
            }
        }
    }
}
