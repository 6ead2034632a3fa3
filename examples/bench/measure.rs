//! One run of one tool, and what it took.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use wait4::{ResUse, Wait4 as _};

use crate::Outcome;
use crate::serve::Serving;
use crate::tools::{Place, Tool};
use crate::workload::Workload;

/// A run that takes longer is killed: several times what the slowest tool needs.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// As much of the end of what a tool printed is read, in bytes: what this program holds in memory is the
/// least that the kernel can say of the tools it starts.
const END: u64 = 64 << 10;

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
    /// What was copied or listed as it should be.
    right: u64,
    /// All that was copied or listed.
    all: u64,
    /// The last line that it printed.
    last_words: String,
}

/// Why a run does not count as done, where it should have copied or listed `count` objects.
fn failure(ended: &Ended, count: u64) -> Option<String> {
    let found = if ended.right != count {
        Some(format!("{} of {count} objects", ended.right))
    } else if ended.all != count {
        Some(format!("{} objects in place of {count}", ended.all))
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
    let before = serving.seen(&out)?;
    let started = Instant::now();
    let mut child =
        command.spawn().map_err(|error| format!("{} does not run: {error}", command.get_program().display()))?;
    let (ended, late) = wait(&mut child, DEADLINE)?;
    let wall = started.elapsed();
    let after = serving.seen(&out)?;
    let code = if late {
        Some(format!("killed after {} minutes", DEADLINE.as_secs() / 60))
    } else {
        (!ended.status.success()).then(|| ended.status.to_string().replace("exit status: ", "exit code "))
    };
    // Some tell on standard output why they fail; that of a listing is keys.
    let mut last_words = last_line(&err)?;
    if last_words.is_empty() && workload != Workload::List {
        last_words = last_line(&out)?;
    }
    let last_words = last_words.replace(&*home.path().to_string_lossy(), "~");
    Ok(Run {
        wall,
        cpu: ended.rusage.utime + ended.rusage.stime,
        peak_bytes: ended.rusage.maxrss,
        requests: after.requests - before.requests,
        failed: failure(&Ended { code, right: after.right, all: after.all, last_words }, count),
    })
}

/// Waits for the end of a child, or ends it; tells which.
fn wait(child: &mut Child, deadline: Duration) -> Outcome<(ResUse, bool)> {
    let id = child.id().to_string();
    let (ended, until_ended) = channel::<()>();
    let watch = thread::spawn(move || {
        let late = until_ended.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout);
        if late {
            // It cannot be asked here: the one who waits for it has it.
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
        late
    });
    let used = child.wait4()?;
    drop(ended);
    Ok((used, watch.join().unwrap_or_default()))
}

/// The last line of a file that is not empty, cut where it is long.
fn last_line(path: &Path) -> Outcome<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    let text = String::from_utf8_lossy(&end);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(last.chars().take(160).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: Option<&str>, right: u64, all: u64) -> Ended {
        Ended { code: code.map(str::to_owned), right, all, last_words: String::new() }
    }

    #[test]
    fn what_ends_well_with_everything_there_is_done() {
        assert_eq!(failure(&ended(None, 10, 10), 10), None);
    }

    #[test]
    fn what_copies_less_has_failed_whatever_it_says() {
        assert_eq!(failure(&ended(None, 9, 10), 10).as_deref(), Some("9 of 10 objects"));
        assert_eq!(failure(&ended(None, 10, 11), 10).as_deref(), Some("11 objects in place of 10"));
    }

    #[test]
    fn an_exit_code_is_a_failure_even_where_all_is_there() {
        let with_words = Ended { last_words: "no more".to_owned(), ..ended(Some("exit code 3"), 10, 10) };
        assert_eq!(failure(&with_words, 10).as_deref(), Some("exit code 3 (no more)"));
        assert_eq!(failure(&ended(Some("exit code 1"), 0, 0), 10).as_deref(), Some("exit code 1, 0 of 10 objects"));
    }

    #[test]
    fn what_does_not_end_is_ended() -> Outcome<()> {
        let mut endless = Command::new("sleep").arg("60").spawn()?;
        let (ended, late) = wait(&mut endless, Duration::from_millis(10))?;
        assert!(late && !ended.status.success(), "{ended:?}");
        let mut short = Command::new("true").spawn()?;
        let (ended, late) = wait(&mut short, Duration::from_secs(60))?;
        assert!(!late && ended.status.success(), "{ended:?}");
        Ok(())
    }

    #[test]
    fn the_last_line_is_found_at_the_end_of_a_long_file() -> Outcome<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(&file, "a line\n".repeat(20_000) + "the last\n\n")?;
        assert_eq!(last_line(file.path())?, "the last");
        std::fs::write(&file, "")?;
        assert_eq!(last_line(file.path())?, "");
        Ok(())
    }
}
