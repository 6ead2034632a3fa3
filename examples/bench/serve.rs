//! The servers of a workload, in a process of their own, so that their CPU time and memory are not the
//! tool's.
//!
//! This very executable is started once more, with [`SERVE`] as its first argument. It prints its two
//! endpoints, then answers each line on its standard input with one on its standard output, and ends
//! with its input.

use std::io::{BufRead as _, BufReader, Lines, Write as _, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use s3bulk_test_server::{Operation, Server};

use crate::Outcome;
use crate::workload::{DEST, Workload};

/// As the first argument: serve the workload and the number of objects that follow.
pub(crate) const SERVE: &str = "__serve";

/// Empties the destination.
const EMPTY: &str = "empty";
/// Asks for [`Seen`].
const SEEN: &str = "seen";

/// What the servers have seen and hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// All requests since the start.
    pub(crate) requests: u64,
    /// The objects in the destination.
    pub(crate) objects: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
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
            .args([SERVE, workload.as_str(), &count.to_string()])
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

    /// What the servers have seen and hold.
    pub(crate) fn seen(&mut self) -> Outcome<Seen> {
        let answer = self.asked(SEEN)?;
        let numbers: Result<Vec<u64>, _> = answer.split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[requests, objects, bytes]) => Ok(Seen { requests, objects, bytes }),
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
    let workload: Workload = words.next().ok_or("no workload is given")?.parse()?;
    let count = words.next().ok_or("no number is given")?.parse()?;
    let (source, other) = workload.servers(count)?;
    let dest = other.as_ref().unwrap_or(&source);
    println!("{} {}", source.endpoint(), dest.endpoint());
    for line in stdin().lines() {
        let answer = match line?.as_str() {
            EMPTY => {
                for key in dest.store().keys(DEST) {
                    dest.store().delete(DEST, &key);
                }
                "done".to_owned()
            }
            _ => {
                let objects = dest.store().objects(DEST);
                let bytes: u64 = objects.values().map(|object| object.size()).sum();
                let requests = requests(&source) + other.as_ref().map_or(0, requests);
                format!("{requests} {} {bytes}", objects.len())
            }
        };
        let mut out = stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn requests(server: &Server) -> u64 {
    Operation::ALL.iter().map(|operation| server.requests(*operation)).sum()
}
