//! What the tests of listings share.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::process::Command;

use s3bulk_test_server::{Listings, Object};
use serde_json::Value;

use super::{Ran, SOURCE, World, run};

impl World {
    /// Fills the source with these keys.
    pub fn fill_keys(&self, keys: impl IntoIterator<Item = String>) {
        self.store().fill(SOURCE, keys, Object::new("0123456789abcdef"));
    }

    /// `s3bulk list` of the source.
    pub fn list_command(&self, args: &[&str]) -> Command {
        let (endpoint, source) = (self.server.endpoint(), format!("s3://{SOURCE}/"));
        let mut all = vec!["list", source.as_str(), "--endpoint-url", endpoint.as_str()];
        all.extend_from_slice(args);
        self.command(&all)
    }

    pub fn list(&self, args: &[&str]) -> Ran {
        run(self.list_command(args))
    }

    /// Pages that were listed so far, without what was asked only to find out where to cut.
    pub fn pages(&self) -> u64 {
        let Listings { requests, probes, with_delimiter, .. } = self.server.listings();
        requests - probes - with_delimiter
    }

    /// The lines of a listing must show each object of the source once, and nothing else. Returns
    /// their keys.
    #[track_caller]
    pub fn assert_listed(&self, lines: &str) -> Vec<String> {
        let keys = keys_of(lines);
        let mut sorted = keys.clone();
        sorted.sort();
        let doubles: Vec<_> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).take(5).collect();
        assert!(doubles.is_empty(), "twice: {doubles:?}");
        let expected = self.store().keys(SOURCE);
        let missing: Vec<_> = expected.iter().filter(|key| sorted.binary_search(key).is_err()).collect();
        assert!(
            missing.is_empty(),
            "{} of {} missing: {:?}",
            missing.len(),
            expected.len(),
            &missing[..missing.len().min(5)]
        );
        assert_eq!(sorted.len(), expected.len(), "out of nowhere");
        keys
    }
}

/// The keys of a listing of the source in JSON lines, in order.
#[track_caller]
pub fn keys_of(lines: &str) -> Vec<String> {
    let key = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let fields: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["bucket", "etag", "key", "last_modified", "size", "storage_class"], "{line}");
        assert_eq!(object["bucket"], SOURCE);
        object["key"].as_str().unwrap().to_owned()
    };
    assert!(lines.is_empty() || lines.ends_with('\n'), "cut: {:?}", lines.lines().last());
    lines.lines().map(key).collect()
}

/// Keys that are bent on their way by tools that are careless.
pub fn awkward_keys() -> Vec<String> {
    let pieces = [
        "%", "%2F", "%41", "+", "?", "#", "&", "=", "'", "\"", "<", ">", "\\", "*", "[", "]", "//", "./", "../", "\t",
        "\n", "\u{1}", "\u{7f}", "\u{202e}", "🦀", "é", "e\u{301}", " ", "~", "|", "^", "`", "{", "}", ";", ":", "@",
        "$", ",", "!", "\u{ffff}", "漢",
    ];
    let mut keys: Vec<String> = Vec::new();
    for a in pieces {
        keys.extend([a.to_owned(), format!("x{a}y"), format!("{a}{a}")]);
        keys.extend(pieces.iter().map(|b| format!("{a}k{b}")));
    }
    keys.extend(["k".repeat(900), "é".repeat(450), "/".to_owned(), ".".to_owned(), "..".to_owned()]);
    keys.sort();
    keys.dedup();
    keys
}
