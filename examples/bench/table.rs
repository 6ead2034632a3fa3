//! What is made of the runs: medians, ratios, a table for people and JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Outcome;
use crate::measure::Run;
use crate::tools::{Kind, Tool};
use crate::workload::Workload;

const MIB: u64 = 1 << 20;

/// What it was measured on, and when.
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    /// As 2026-01-31, in UTC.
    date: String,
}

impl Machine {
    /// This machine, today.
    pub(crate) fn this() -> Outcome<Machine> {
        let cores = std::thread::available_parallelism()?.get();
        // Where there is no such file, the table says less.
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let date = jiff::Timestamp::now().to_string().chars().take(10).collect();
        Ok(Machine { cores, cpu: model(&info), date })
    }
}

/// The model in the text of `/proc/cpuinfo`.
fn model(info: &str) -> String {
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|rest| rest.split_once(':')).map_or("an unknown CPU", |(_, model)| model.trim()).to_owned()
}

/// All runs of one tool on one workload.
pub(crate) struct Series {
    pub(crate) tool: Tool,
    pub(crate) runs: Vec<Run>,
}

/// All runs on one workload.
pub(crate) struct Measured {
    pub(crate) workload: Workload,
    pub(crate) count: u64,
    pub(crate) series: Vec<Series>,
}

/// What the runs of a series come to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Medians {
    wall: Duration,
    cpu: Duration,
    peak_bytes: u64,
    requests: u64,
}

impl Series {
    pub(crate) fn new(tool: Tool) -> Series {
        Series { tool, runs: Vec::new() }
    }

    /// Why the tool does not count as able to do it: one failed run is enough.
    fn failed(&self) -> Option<&str> {
        self.runs.iter().find_map(|run| run.failed.as_deref())
    }

    /// Absent where there are no runs, or one failed.
    fn medians(&self) -> Option<Medians> {
        if self.failed().is_some() {
            return None;
        }
        Some(Medians {
            wall: median(self.runs.iter().map(|run| run.wall))?,
            cpu: median(self.runs.iter().map(|run| run.cpu))?,
            peak_bytes: median(self.runs.iter().map(|run| run.peak_bytes))?,
            requests: median(self.runs.iter().map(|run| run.requests))?,
        })
    }
}

impl Measured {
    /// The medians that the others are compared with.
    fn ours(&self) -> Option<Medians> {
        self.series.iter().find(|series| series.tool.kind == Kind::S3bulk)?.medians()
    }
}

/// The one in the middle; of two in the middle the lower one, which was measured, as their mean was not.
fn median<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    let middle = values.len().checked_sub(1)? / 2;
    values.into_iter().nth(middle)
}

/// How many times `of` this is; absent where `of` is nothing.
fn ratio(this: Duration, of: Duration) -> Option<f64> {
    (!of.is_zero()).then(|| this.as_secs_f64() / of.as_secs_f64())
}

/// The whole report in Markdown.
pub(crate) fn markdown(machine: &Machine, tools: &[Tool], measured: &[Measured]) -> String {
    let versions: Vec<&str> = tools.iter().map(|tool| tool.version.as_str()).collect();
    let mut text = format!(
        "Medians on {} with {} cores, {}, of {}. CPU, peak memory and requests are the tool's alone; the server \
         shares the cores.\n",
        machine.cpu,
        machine.cores,
        machine.date,
        versions.join(", ")
    );
    for one in measured {
        text += &format!("\n**{}** (`{}`)\n\n", one.workload.title(one.count), one.workload);
        text += "| tool | rounds | wall | CPU | peak memory | requests | wall to s3bulk | CPU to s3bulk |\n";
        text += "|---|--:|--:|--:|--:|--:|--:|--:|\n";
        for series in &one.series {
            text += &row(series, one);
        }
    }
    text
}

fn row(series: &Series, measured: &Measured) -> String {
    let rounds = series.runs.len();
    let Some(medians) = series.medians() else {
        let why = series.failed().unwrap_or("not measured").replace('|', "\\|");
        return format!("| {} | {rounds} | failed: {why} | | | | | |\n", series.tool.kind);
    };
    let ours = measured.ours();
    let compared = |of: fn(&Medians) -> Duration| {
        let ratio = ours.and_then(|ours| ratio(of(&medians), of(&ours)));
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
    };
    format!(
        "| {} | {rounds} | {} | {} | {:.0} MiB | {} | {} | {} |\n",
        series.tool.kind,
        time(medians.wall),
        cpu(medians.cpu, measured.count),
        medians.peak_bytes as f64 / MIB as f64,
        grouped(medians.requests),
        compared(|medians| medians.wall),
        compared(|medians| medians.cpu),
    )
}

/// In seconds, or in milliseconds where there would be little left of it.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// All of it, and for each of `count` where these are many.
fn cpu(duration: Duration, count: u64) -> String {
    let all = time(duration);
    if count < 2 {
        return all;
    }
    let each = duration.as_secs_f64() * 1e6 / count as f64;
    let digits = usize::from(each < 10.0);
    format!("{all} ({each:.digits$} µs each)")
}

/// With a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The whole report with every run, in JSON.
pub(crate) fn json(machine: &Machine, tools: &[Tool], measured: &[Measured]) -> Outcome<String> {
    let versions: Vec<&str> = tools.iter().map(|tool| tool.version.as_str()).collect();
    let workloads: Vec<Value> = measured.iter().map(workload_json).collect();
    let report = json!({
        "date": machine.date,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "tools": versions,
        "workloads": workloads,
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn workload_json(measured: &Measured) -> Value {
    let ours = measured.ours();
    let tools: Vec<Value> = measured
        .series
        .iter()
        .map(|series| {
            let median = series.medians().map(|medians| {
                json!({
                    "wall_s": medians.wall.as_secs_f64(),
                    "cpu_s": medians.cpu.as_secs_f64(),
                    "peak_bytes": medians.peak_bytes,
                    "requests": medians.requests,
                    "wall_ratio": ours.and_then(|ours| ratio(medians.wall, ours.wall)),
                    "cpu_ratio": ours.and_then(|ours| ratio(medians.cpu, ours.cpu)),
                })
            });
            json!({ "tool": series.tool.kind.as_str(), "median": median, "runs": series.runs })
        })
        .collect();
    json!({ "workload": measured.workload.as_str(), "objects": measured.count, "tools": tools })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(wall_ms: u64, cpu_ms: u64) -> Run {
        Run {
            wall: Duration::from_millis(wall_ms),
            cpu: Duration::from_millis(cpu_ms),
            peak_bytes: 30 * MIB,
            requests: 20_021,
            failed: None,
        }
    }

    fn series(kind: Kind, runs: Vec<Run>) -> Series {
        Series { tool: Tool::named(kind, "1.0"), runs }
    }

    fn measured(series: Vec<Series>) -> Measured {
        Measured { workload: Workload::SmallServer, count: 20_000, series }
    }

    fn machine() -> Machine {
        Machine { cores: 2, cpu: "A CPU".to_owned(), date: "2026-01-31".to_owned() }
    }

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median([5, 1, 9].into_iter()), Some(5));
        assert_eq!(median([4, 1, 3, 2].into_iter()), Some(2));
        assert_eq!(median([7].into_iter()), Some(7));
        assert_eq!(median(std::iter::empty::<u64>()), None);
    }

    #[test]
    fn nothing_is_no_measure() {
        assert_eq!(ratio(Duration::from_secs(3), Duration::from_secs(2)), Some(1.5));
        assert_eq!(ratio(Duration::from_secs(3), Duration::ZERO), None);
    }

    #[test]
    fn the_table_compares_medians_with_ours() {
        let ours = series(Kind::S3bulk, vec![run(2_000, 2_500), run(9_000, 9_000), run(1_900, 2_400)]);
        let text = markdown(
            &machine(),
            &[Tool::named(Kind::S3bulk, "1.0")],
            &[measured(vec![ours, series(Kind::S5cmd, vec![run(5_000, 10_000)])])],
        );
        assert!(text.starts_with("Medians on A CPU with 2 cores, 2026-01-31, of s3bulk 1.0."), "{text}");
        let ours = "| s3bulk | 3 | 2.00 s | 2.50 s (125 µs each) | 30 MiB | 20,021 | 1.00 | 1.00 |\n";
        let theirs = "| s5cmd | 1 | 5.00 s | 10.00 s (500 µs each) | 30 MiB | 20,021 | 2.50 | 4.00 |\n";
        assert!(text.ends_with(&format!("{ours}{theirs}")), "{text}");
    }

    #[test]
    fn one_failed_run_is_a_failed_tool() {
        let failed = Run { failed: Some("exit code 1 (a | b)".to_owned()), ..run(10, 10) };
        let one = measured(vec![series(Kind::S5cmd, vec![run(10, 10), failed])]);
        let text = markdown(&machine(), &[], std::slice::from_ref(&one));
        assert!(text.ends_with("| s5cmd | 2 | failed: exit code 1 (a \\| b) | | | | | |\n"), "{text}");
        assert_eq!(workload_json(&one)["tools"][0]["median"], Value::Null);
    }

    #[test]
    fn without_ours_there_is_nothing_to_compare_with() {
        let text = markdown(&machine(), &[], &[measured(vec![series(Kind::Rclone, vec![run(5_000, 10_000)])])]);
        assert!(text.ends_with("| 20,021 |  |  |\n"), "{text}");
    }

    #[test]
    fn json_has_every_run() -> Outcome<()> {
        let one = measured(vec![series(Kind::S3bulk, vec![run(2_000, 2_500), run(1_000, 1_500)])]);
        let report: Value = serde_json::from_str(&json(&machine(), &[], &[one])?)?;
        let tool = &report["workloads"][0]["tools"][0];
        assert_eq!(tool["runs"][0]["wall_s"], 2.0);
        assert_eq!(tool["runs"].as_array().map(Vec::len), Some(2));
        assert_eq!((&tool["median"]["wall_s"], &tool["median"]["cpu_ratio"]), (&json!(1.0), &json!(1.0)));
        Ok(())
    }

    #[test]
    fn times_and_numbers_are_for_people() {
        assert_eq!(time(Duration::from_micros(1_940)), "1.9 ms");
        assert_eq!(time(Duration::from_millis(1_234)), "1.23 s");
        assert_eq!(cpu(Duration::from_millis(3_100), 1_000_000), "3.10 s (3.1 µs each)");
        assert_eq!(cpu(Duration::from_millis(3_100), 1), "3.10 s");
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_cpu_is_named_where_the_machine_tells() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t: 1\n"), "AMD EPYC");
        assert_eq!(model(""), "an unknown CPU");
    }
}
