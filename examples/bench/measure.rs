//! One run of one tool, and what it took.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use wait4::Wait4 as _;

use crate::Outcome;
use crate::serve::Serving;
use crate::tools::{Place, Tool};
use crate::workload::Workload;

/// What a run took. Memory is the largest that was resident at once; the kernel counts that of the program
/// that started it as the least, here a few MiB.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    #[serde(rename = "wall_s", serialize_with = "seconds")]
    pub(crate) wall: Duration,
    /// User and system, children that it waited for included.
    #[serde(rename = "cpu_s", serialize_with = "seconds")]
    pub(crate) cpu: Duration,
    pub(crate) peak_bytes: u64,
    /// As the servers counted them.
    pub(crate) requests: u64,
    /// Why it does not count as done; absent: it does.
    pub(crate) failed: Option<String>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Run {
    /// For the one who waits.
    pub(crate) fn in_words(&self) -> String {
        match &self.failed {
            Some(why) => format!("failed after {:.1} s: {why}", self.wall.as_secs_f64()),
            None => format!("{:.3} s, {:.3} s of CPU", self.wall.as_secs_f64(), self.cpu.as_secs_f64()),
        }
    }
}

/// How a run ended, and what is to be seen of it.
struct Ended {
    /// As `exit code 1`; absent where that is 0.
    code: Option<String>,
    /// What was copied, or listed.
    objects: u64,
    bytes: u64,
    /// The last line that it wrote to standard error.
    last_words: String,
}

/// Why a run does not count as done, where it should have left `objects` of `bytes` in all.
fn failure(ended: &Ended, objects: u64, bytes: u64) -> Option<String> {
    let found = if ended.objects != objects {
        Some(format!("{} of {objects} objects", ended.objects))
    } else if ended.bytes != bytes {
        Some(format!("{} of {bytes} bytes", ended.bytes))
    } else {
        None
    };
    let why: Vec<&str> = [ended.code.as_deref(), found.as_deref()].into_iter().flatten().collect();
    let said = if ended.last_words.is_empty() { String::new() } else { format!(" ({})", ended.last_words) };
    (!why.is_empty()).then(|| why.join(", ") + &said)
}

/// Runs a tool once on an empty destination, with a home of its own.
pub(crate) fn run(tool: &Tool, workload: Workload, count: u64, serving: &mut Serving) -> Outcome<Run> {
    serving.empty()?;
    let home = tempfile::tempdir()?;
    let (out, err) = (home.path().join("stdout"), home.path().join("stderr"));
    let place = Place { source: &serving.source, dest: &serving.dest, home: home.path() };
    let mut command = tool.command(workload, &place)?;
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?);
    let before = serving.seen()?;
    let started = Instant::now();
    let ended = command.spawn()?.wait4()?;
    let wall = started.elapsed();
    let after = serving.seen()?;
    let wanted = if workload.copies() { (count, workload.bytes(count)) } else { (count, 0) };
    let (objects, bytes) = match workload {
        Workload::Start => (0, 0),
        Workload::List => (lines(&out)?, 0),
        _ => (after.objects, after.bytes),
    };
    let code = (!ended.status.success()).then(|| ended.status.to_string().replace("exit status: ", "exit code "));
    let ended_as = Ended { code, objects, bytes, last_words: last_line(&err)? };
    Ok(Run {
        wall,
        cpu: ended.rusage.utime + ended.rusage.stime,
        peak_bytes: ended.rusage.maxrss,
        requests: after.requests - before.requests,
        failed: failure(&ended_as, wanted.0, wanted.1),
    })
}

fn lines(path: &Path) -> Outcome<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut buffer = vec![0; 1 << 16];
    let mut found = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(found);
        }
        found += buffer.iter().take(read).filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// The last line of a file that is not empty, cut where it is long.
fn last_line(path: &Path) -> Outcome<String> {
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(last.chars().take(160).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: Option<&str>, objects: u64, bytes: u64) -> Ended {
        Ended { code: code.map(str::to_owned), objects, bytes, last_words: String::new() }
    }

    #[test]
    fn what_ends_well_with_everything_there_is_done() {
        assert_eq!(failure(&ended(None, 10, 160), 10, 160), None);
    }

    #[test]
    fn what_copies_less_has_failed_whatever_it_says() {
        assert_eq!(failure(&ended(None, 9, 144), 10, 160).as_deref(), Some("9 of 10 objects"));
        assert_eq!(failure(&ended(None, 10, 150), 10, 160).as_deref(), Some("150 of 160 bytes"));
    }

    #[test]
    fn an_exit_code_is_a_failure_even_where_all_is_there() {
        let with_words = Ended { last_words: "no more".to_owned(), ..ended(Some("exit code 3"), 10, 160) };
        assert_eq!(failure(&with_words, 10, 160).as_deref(), Some("exit code 3 (no more)"));
        assert_eq!(
            failure(&ended(Some("exit code 1"), 0, 0), 10, 160).as_deref(),
            Some("exit code 1, 0 of 10 objects")
        );
    }
}
