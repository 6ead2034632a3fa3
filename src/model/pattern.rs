//! The pattern of a location, `path/*.csv`: which keys it means, and what can be said of all of them.

use super::glob::{Glob, META, Slash};

/// A pattern of keys in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    glob: Glob,
}

impl Pattern {
    /// Whether `text` is a pattern rather than a key or a prefix.
    pub fn is_one(text: &str) -> bool {
        text.contains(META)
    }

    /// Reads a pattern. One that ends in `/` means every key under what it matches, as a prefix does.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let below = if text.ends_with('/') { "**" } else { "" };
        Ok(Self { text: text.to_owned(), glob: Glob::parse(&format!("{text}{below}"), Slash::Apart)? })
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `key` is meant.
    pub fn matches(&self, key: &str) -> bool {
        self.glob.matches(key)
    }

    /// What all its keys begin with.
    pub fn head(&self) -> &str {
        &self.text[..self.text.find(META).unwrap_or(self.text.len())]
    }

    /// The folder of [`Self::head`].
    pub fn root(&self) -> &str {
        let head = self.head();
        &head[..head.rfind('/').map_or(0, |slash| slash + 1)]
    }

    /// What all its keys end with.
    pub fn tail(&self) -> &str {
        let text = self.glob.as_str();
        text.rfind(['*', '?', ']']).map_or(text, |at| &text[at + 1..])
    }

    /// How many slashes each of its keys has, if all have equally many.
    pub fn slashes(&self) -> Option<usize> {
        let text = self.glob.as_str();
        (!text.contains("**")).then(|| text.matches('/').count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn its_root_is_the_folder_before_the_first_star() {
        let parts = |text: &str| {
            let pattern = pattern(text);
            (pattern.head().to_owned(), pattern.root().to_owned(), pattern.tail().to_owned(), pattern.slashes())
        };
        assert_eq!(parts("path/x*.csv"), ("path/x".into(), "path/".into(), ".csv".into(), Some(1)));
        assert_eq!(parts("path/*/k"), ("path/".into(), "path/".into(), "/k".into(), Some(2)));
        assert_eq!(parts("[ab]*"), (String::new(), String::new(), String::new(), Some(0)));
        assert_eq!(parts("a/**.csv"), ("a/".into(), "a/".into(), ".csv".into(), None));
        assert_eq!(parts("a/x?/"), ("a/x".into(), "a/".into(), String::new(), None));
    }

    #[test]
    fn a_slash_at_its_end_means_all_below() {
        let days = pattern("2025-*/");
        assert!(days.matches("2025-01/") && days.matches("2025-01/a/b") && !days.matches("2025-01"));
        assert_eq!(days.as_str(), "2025-*/");
    }

    proptest! {
        #[test]
        fn its_keys_are_as_it_says(
            text in "([ab]|/|\\*|\\*\\*|\\?|\\[!a\\]|\\[*\\]){1,6}",
            key in "[ab/*]{0,6}"
        ) {
            let Ok(pattern) = Pattern::parse(&text) else { return Ok(()) };
            if pattern.matches(&key) {
                prop_assert!(key.starts_with(pattern.head()) && key.ends_with(pattern.tail()));
                prop_assert!(pattern.slashes().is_none_or(|slashes| slashes == key.matches('/').count()));
            }
        }
    }
}
