//! The rules of the house, read from its source: rooms import only from rooms below them, and some
//! crates are used in one room only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the top down.
const ROOMS: [&str; 9] = ["cli", "job", "source", "op", "journal", "report", "store", "pace", "model"];

/// Crates (by the beginning of their names) and the one room that may use them.
const OWNED: [(&str, &str); 7] = [
    ("clap", "cli"),
    ("indicatif", "report"),
    ("aws_", "store"),
    ("rustls", "store"),
    ("backoff", "pace"),
    ("rlimit", "cli"),
    ("regex", "model"),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 30);
    found
}

/// The room that a file belongs to; `None` for `lib.rs` and `main.rs`.
fn room(path: &Path) -> Option<&'static str> {
    let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
    ROOMS.into_iter().find(|room| names.contains(room))
}

/// Code without comments, a line each.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// The words that stand before `::` in a line.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let ident = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices("::").map(move |(at, _)| line[..at].rsplit(|c| !ident(c)).next().unwrap_or_default())
}

#[test]
fn rooms_import_only_from_rooms_below_them() {
    let height = |room: &str| ROOMS.iter().position(|name| *name == room).unwrap();
    for (path, text) in sources() {
        let Some(own) = room(&path) else { continue };
        for line in code(&text) {
            let used = line.match_indices("crate::").map(|(at, found)| &line[at + found.len()..]);
            for rest in used {
                let Some(other) = ROOMS.into_iter().find(|room| rest.starts_with(&format!("{room}::"))) else {
                    panic!(
                        "{}: `crate::{rest}` names no room; import a room's items by `crate::ROOM::`",
                        path.display()
                    );
                };
                assert!(height(other) >= height(own), "{}: {own} reaches up to {other}: {line}", path.display());
            }
        }
    }
}

#[test]
fn each_crate_stays_in_its_room() {
    for (path, text) in sources() {
        for line in code(&text) {
            for word in paths(line) {
                let Some((_, owner)) = OWNED.iter().find(|(name, _)| word.starts_with(name)) else { continue };
                assert_eq!(room(&path), Some(*owner), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn files_stay_small_enough_to_find_ones_way() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_below_the_command_line_reads_the_environment() {
    for (path, text) in sources() {
        let Some(own) = room(&path) else { continue };
        for line in code(&text).filter(|_| own != "cli") {
            assert!(!line.contains("std::env::") && !line.contains("is_terminal"), "{}: {line}", path.display());
        }
    }
}
