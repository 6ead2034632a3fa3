//! The servers of a workload, in a process of their own, so that their CPU time and memory are not the
//! tool's.
//!
//! This very executable is started once more, with [`SERVE`] as its first argument. It prints its two
//! endpoints, then answers each line on its standard input with one on its standard output, and ends
//! with its input. A line is [`EMPTY`], or the file that has what the tool printed: then the answer is
//! [`Seen`].

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines, Write as _, stdin, stdout};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use clap::ValueEnum as _;
use s3bulk_test_server::{Operation, Server};

use crate::Outcome;
use crate::workload::{DEST, SOURCE, Workload};

/// As the first argument: serve the workload and the number of objects that follow.
pub(crate) const SERVE: &str = "__serve";

/// Empties the destination.
const EMPTY: &str = "empty";

/// What the servers have seen, and what a tool has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// All requests since the start.
    pub(crate) requests: u64,
    /// The keys of the source that were listed, or are in the destination with objects of the same size.
    pub(crate) right: u64,
    /// All that was listed, or is in the destination.
    pub(crate) all: u64,
}

/// The process that serves; dropping it ends it.
pub(crate) struct Serving {
    child: Child,
    ask: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// Where the source is.
    pub(crate) source: String,
    /// Where the destination is: the same, or another.
    pub(crate) dest: String,
}

impl Serving {
    /// Starts it, and waits until it is filled.
    pub(crate) fn start(workload: Workload, count: u64) -> Outcome<Serving> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([SERVE, &workload.to_string(), &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let mut answers = BufReader::new(stdout).lines();
        let first = answers.next().ok_or("the server did not start")??;
        let (source, dest) = first.split_once(' ').ok_or("the server does not tell its endpoints")?;
        Ok(Serving { ask, answers, source: source.to_owned(), dest: dest.to_owned(), child })
    }

    /// Removes all objects from the destination.
    pub(crate) fn empty(&mut self) -> Outcome<()> {
        self.asked(EMPTY).map(drop)
    }

    /// What the servers have seen, and what a tool has done that printed this.
    pub(crate) fn seen(&mut self, printed: &Path) -> Outcome<Seen> {
        let answer = self.asked(&printed.to_string_lossy())?;
        let numbers: Result<Vec<u64>, _> = answer.split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[requests, right, all]) => Ok(Seen { requests, right, all }),
            _ => Err(format!("the server answered {answer:?}").into()),
        }
    }

    fn asked(&mut self, question: &str) -> Outcome<String> {
        writeln!(self.ask.as_mut().ok_or("the server has no input")?, "{question}")?;
        Ok(self.answers.next().ok_or("the server ended")??)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.ask.take());
        let _ = self.child.wait();
    }
}

/// Serves until the input ends.
pub(crate) fn serve(mut words: impl Iterator<Item = String>) -> Outcome<()> {
    let workload = Workload::from_str(&words.next().ok_or("no workload is given")?, false)?;
    let count = words.next().ok_or("no number is given")?.parse()?;
    let (source, other) = workload.servers(count)?;
    let dest = other.as_ref().unwrap_or(&source);
    println!("{} {}", source.endpoint(), dest.endpoint());
    for line in stdin().lines() {
        let line = line?;
        let answer = if line == EMPTY {
            for key in dest.store().keys(DEST) {
                dest.store().delete(DEST, &key);
            }
            "done".to_owned()
        } else {
            let (right, all) =
                if workload == Workload::List { listed(&source, Path::new(&line))? } else { copied(&source, dest) };
            let requests = requests(&source) + other.as_ref().map_or(0, requests);
            format!("{requests} {right} {all}")
        };
        let mut out = stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// How many keys of the source are in the destination with objects of the same size, and how many keys are
/// there in all.
fn copied(source: &Server, dest: &Server) -> (usize, usize) {
    let (wanted, found) = (source.store().objects(SOURCE), dest.store().objects(DEST));
    let right = found.iter().filter(|(key, copy)| wanted.get(*key).is_some_and(|object| object.size() == copy.size()));
    (right.count(), found.len())
}

/// How many keys of the source are in these lines, and how many lines there are.
fn listed(source: &Server, lines: &Path) -> Outcome<(usize, usize)> {
    let mut missing: HashSet<String> = source.store().keys(SOURCE).into_iter().collect();
    let (mut right, mut all) = (0, 0);
    for line in BufReader::new(File::open(lines)?).lines() {
        right += usize::from(missing.remove(key(&line?)));
        all += 1;
    }
    Ok((right, all))
}

/// The key in the line of any of the tools: it comes last, in one of them with its bucket.
fn key(line: &str) -> &str {
    let last = line.split_whitespace().next_back().unwrap_or_default();
    last.strip_prefix("s3://").and_then(|location| location.split_once('/')).map_or(last, |(_, key)| key)
}

fn requests(server: &Server) -> u64 {
    Operation::ALL.iter().map(|operation| server.requests(*operation)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_the_lines_of_all_tools() {
        for line in [
            "2026-01-31 10:00:00         16 s3://bench-source/0a1b",
            "2026/01/31 10:00:00                16  0a1b",
            "2026-01-31 10:00:00         16 0a1b",
            "0a1b",
        ] {
            assert_eq!(key(line), "0a1b", "{line}");
        }
        assert_eq!(key(""), "");
    }

    #[test]
    fn what_is_listed_twice_is_right_once() -> Outcome<()> {
        let (source, _) = Workload::List.servers(2)?;
        let keys = source.store().keys(SOURCE);
        let [one, two] = keys.as_slice() else { return Err("there are two keys".into()) };
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(&file, format!("{one}\n{one}\n"))?;
        assert_eq!(listed(&source, file.path())?, (1, 2));
        std::fs::write(&file, format!("{two}\n{one}\n"))?;
        assert_eq!(listed(&source, file.path())?, (2, 2));
        Ok(())
    }

    #[test]
    fn a_copy_of_another_key_or_size_is_not_right() -> Outcome<()> {
        let (source, dest) = Workload::SmallClient.servers(2)?;
        let dest = dest.ok_or("there are two servers")?;
        for (key, object) in source.store().objects(SOURCE) {
            dest.store().put(DEST, &key, (*object).clone());
        }
        assert_eq!(copied(&source, &dest), (2, 2));
        let key = source.store().keys(SOURCE).pop().ok_or("there are two keys")?;
        dest.store().put(DEST, &key, s3bulk_test_server::Object::new("short"));
        dest.store().put(DEST, "another", s3bulk_test_server::Object::new("x"));
        assert_eq!(copied(&source, &dest), (1, 3));
        Ok(())
    }
}
