//! How many instructions a key listed and an object copied take, and each pure path by itself.

use std::fmt;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::Outcome;
use crate::measure;
use crate::pure::{self, PURE};
use crate::serve::Serving;
use crate::table::grouped;
use crate::tools::{Kind, Tool, said};
use crate::workload::Workload;

/// What is counted, at which two sizes, and the instructions that one item took when this was last put down:
/// with version 0.1.0 as the release profile builds it, by Rust 1.95 for `x86_64`. The smaller size of a
/// whole program is well behind the time in which its requests become more.
const COUNTED: [Counted; 9] = [
    (Whole(Workload::List), 20_000, 120_000, 16_938),
    (Whole(Workload::SmallServer), 1_000, 3_000, 305_764),
    (Whole(Workload::SmallClient), 1_000, 3_000, 572_935),
    (Pure(pure::Path::Mapping), 10_000, 110_000, 246),
    (Pure(pure::Path::Filter), 10_000, 110_000, 1_256),
    (Pure(pure::Path::Escape), 10_000, 110_000, 1_211),
    (Pure(pure::Path::Line), 10_000, 110_000, 3_388),
    (Pure(pure::Path::Checksum), 1_000, 11_000, 5_722),
    (Pure(pure::Path::Journal), 10_000, 110_000, 3_085),
];

/// What is more than this above what was put down fails, in percent. Two runs on a busy machine differ by
/// some tenths.
const BOUND: f64 = 3.0;

/// What, a few items, many items, the instructions of one.
type Counted = (What, u64, u64, u64);

use What::{Pure, Whole};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The whole program on a workload.
    Whole(Workload),
    /// One path of the library.
    Pure(pure::Path),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Whole(workload) => workload.to_possible_value(),
            Pure(path) => path.to_possible_value(),
        };
        f.write_str(name.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// Counts, prints a table and what is to be put down, and fails where something takes more than it did.
pub(crate) fn print(binary: &Path) -> Outcome<()> {
    said(Path::new("valgrind"), "--version")?;
    let tool = Tool::at(Kind::S3bulk, binary.to_path_buf())?;
    println!("| what | instructions for each | before | change |\n|---|--:|--:|--:|");
    let (mut counted, mut more) = (Vec::new(), Vec::new());
    for (what, few, many, before) in COUNTED {
        let (least, most) = (instructions(&tool, what, few)?, instructions(&tool, what, many)?);
        let now = each((few, least), (many, most));
        let change = change(before, now);
        let [now_shown, before_shown] = [now, before].map(|number| grouped(&number.to_string(), ','));
        println!("| {what} | {now_shown} | {before_shown} | {change:+.1} % |");
        counted.push((what, few, many, now));
        if change > BOUND {
            more.push(what.to_string());
        }
    }
    println!("\nTo put it down in COUNTED:\n");
    counted.iter().for_each(|one| println!("{}", in_rust(one)));
    if more.is_empty() {
        return Ok(());
    }
    Err(format!("more than {BOUND} % more instructions than before: {}", more.join(", ")).into())
}

/// The instructions of one item, from the sizes and instructions of two runs.
fn each((few, least): (u64, u64), (many, most): (u64, u64)) -> u64 {
    most.saturating_sub(least) / many.saturating_sub(few).max(1)
}

/// In percent of what was before.
fn change(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

/// The line of [`COUNTED`].
fn in_rust((what, few, many, each): &Counted) -> String {
    let what = match what {
        Whole(workload) => format!("Whole(Workload::{workload:?})"),
        Pure(path) => format!("Pure(pure::Path::{path:?})"),
    };
    let [few, many, each] = [few, many, each].map(|number| grouped(&number.to_string(), '_'));
    format!("    ({what}, {few}, {many}, {each}),")
}

/// All instructions of one run.
fn instructions(tool: &Tool, what: What, count: u64) -> Outcome<u64> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let out = format!("--callgrind-out-file={}", counts.display());
    let wrapper = ["valgrind", "--tool=callgrind", &out];
    match what {
        Whole(workload) => {
            let mut serving = Serving::start(workload, count)?;
            let run = measure::run(&tool.under(&wrapper), workload, count, &mut serving)?;
            if let Some(why) = run.failed {
                return Err(format!("{what} under valgrind: {why}").into());
            }
        }
        Pure(_) => {
            let [valgrind, words @ ..] = wrapper;
            let mut command = Command::new(valgrind);
            command.args(words).arg(std::env::current_exe()?).args([PURE, &what.to_string(), &count.to_string()]);
            let ended = command.output()?;
            if !ended.status.success() {
                return Err(format!("{what} under valgrind: {}", String::from_utf8_lossy(&ended.stderr)).into());
            }
        }
    }
    eprintln!("{what} of {count} is counted");
    let text = std::fs::read_to_string(&counts)?;
    total(&text).ok_or_else(|| format!("{} tells no total", counts.display()).into())
}

/// The sum in a file of callgrind's: its line `totals:`, or `summary:` in those of one dump.
fn total(text: &str) -> Option<u64> {
    let named = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    named("totals:").or_else(|| named("summary:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_start_and_end_take_is_not_in_it() {
        assert_eq!(each((100, 5_000_000), (1_100, 6_000_000)), 1_000);
        assert_eq!(each((100, 10), (100, 10)), 0);
    }

    #[test]
    fn the_total_is_read_from_the_file() {
        assert_eq!(total("events: Ir\nfn=(1)\n1 5\n\ntotals: 123456\n"), Some(123_456));
        assert_eq!(total("summary: 99\n"), Some(99));
        assert_eq!(total("fn=(1)\n"), None);
    }

    #[test]
    fn a_change_is_in_percent() {
        assert_eq!(change(100, 103).round(), 3.0);
        assert_eq!(change(200, 100), -50.0);
        assert!(change(0, 100) > BOUND, "what was never put down is more than before");
    }

    #[test]
    fn what_is_counted_can_be_put_down() {
        let line = in_rust(&(Whole(Workload::SmallServer), 1_000, 3_000, 521_291));
        assert_eq!(line, "    (Whole(Workload::SmallServer), 1_000, 3_000, 521_291),");
        let line = in_rust(&(Pure(pure::Path::Escape), 10_000, 110_000, 0));
        assert_eq!(line, "    (Pure(pure::Path::Escape), 10_000, 110_000, 0),");
    }
}
