//! How many instructions a key listed and an object copied take.

use std::path::Path;

use crate::Outcome;
use crate::measure;
use crate::serve::Serving;
use crate::table::grouped;
use crate::tools::{Kind, Tool};
use crate::workload::Workload;

/// What is counted: a workload at two sizes, large enough that a few polls more or less do not show.
const COUNTED: [(Workload, u64, u64); 3] =
    [(Workload::List, 2_000, 22_000), (Workload::SmallServer, 100, 1_100), (Workload::SmallClient, 100, 1_100)];

/// Counts, and prints a table.
pub(crate) fn print(binary: &Path) -> Outcome<()> {
    let tool = Tool::at(Kind::S3bulk, binary.to_path_buf())?;
    println!("| workload | instructions for each |\n|---|--:|");
    for (workload, few, many) in COUNTED {
        let (least, most) = (instructions(&tool, workload, few)?, instructions(&tool, workload, many)?);
        println!("| {workload} | {} |", grouped(each((few, least), (many, most))));
    }
    Ok(())
}

/// The instructions of one item, from the sizes and instructions of two runs.
fn each((few, least): (u64, u64), (many, most): (u64, u64)) -> u64 {
    most.saturating_sub(least) / many.saturating_sub(few).max(1)
}

/// All instructions of one run.
fn instructions(tool: &Tool, workload: Workload, count: u64) -> Outcome<u64> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let wrapper =
        ["valgrind".to_owned(), "--tool=callgrind".to_owned(), format!("--callgrind-out-file={}", counts.display())];
    let mut serving = Serving::start(workload, count)?;
    let run = measure::run(&tool.under(&wrapper), workload, count, &mut serving)?;
    if let Some(why) = run.failed {
        return Err(format!("{workload} under valgrind: {why}").into());
    }
    eprintln!("{workload} of {count}: {}", run.in_words());
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
}
