//! What is made of the runs: medians, ratios, a table for people and JSON for programs.

use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::measure::Run;
use crate::tools::{Kind, Tool};
use crate::workload::Workload;

const MIB: f64 = (1 << 20) as f64;

/// The fewest rounds that are a measurement.
const ENOUGH: u32 = 5;

/// What is measured of a run, and compared.
struct Measure {
    /// As in JSON.
    name: &'static str,
    /// As in the table.
    title: &'static str,
    of: fn(&Run) -> f64,
    /// For people; with the number of objects.
    shown: fn(f64, u64) -> String,
}

const MEASURES: [Measure; 4] = [
    Measure { name: "wall_s", title: "wall", of: |run| run.wall.as_secs_f64(), shown: |wall, _| time(wall) },
    Measure { name: "cpu_s", title: "CPU", of: |run| run.cpu.as_secs_f64(), shown: cpu },
    Measure {
        name: "peak_bytes",
        title: "peak memory",
        of: |run| run.peak_bytes as f64,
        shown: |bytes, _| format!("{:.0} MiB", bytes / MIB),
    },
    Measure {
        name: "requests",
        title: "requests",
        of: |run| run.requests as f64,
        shown: |requests, _| grouped(&format!("{requests:.0}"), ','),
    },
];

/// One number for each of [`MEASURES`].
type Medians = [f64; MEASURES.len()];

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

impl Series {
    pub(crate) fn new(tool: Tool) -> Series {
        Series { tool, runs: Vec::new() }
    }

    /// Why the tool does not count as able to do it: one failed run is enough.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.runs.iter().find_map(|run| run.failed.as_deref())
    }

    /// Absent where there are no runs, or one failed.
    fn medians(&self) -> Option<Medians> {
        if self.failed().is_some() {
            return None;
        }
        let mut medians = Medians::default();
        for (found, measure) in medians.iter_mut().zip(&MEASURES) {
            *found = median(self.runs.iter().map(measure.of).collect())?;
        }
        Some(medians)
    }
}

impl Measured {
    /// The runs of s3bulk, where it is among the tools.
    pub(crate) fn of_s3bulk(&self) -> Option<&Series> {
        self.series.iter().find(|series| series.tool.kind == Kind::S3bulk)
    }

    /// How many times the medians of s3bulk these are; absent for what is nothing there.
    fn compared(&self, medians: &Medians) -> [Option<f64>; MEASURES.len()] {
        let ours = self.of_s3bulk().and_then(Series::medians).unwrap_or_default();
        let mut ratios = [None; MEASURES.len()];
        for (found, (this, of)) in ratios.iter_mut().zip(medians.iter().zip(ours)) {
            *found = (of > 0.0).then(|| this / of);
        }
        ratios
    }
}

/// The one in the middle, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(lower)?, *values.get(upper)?))
}

/// The whole report in Markdown.
pub(crate) fn markdown(machine: &Machine, tools: &[Tool], rounds: u32, measured: &[Measured]) -> String {
    let versions: Vec<&str> = tools.iter().map(|tool| tool.version.as_str()).collect();
    let trial = if rounds < ENOUGH { format!("Only a trial, of fewer than {ENOUGH} rounds. ") } else { String::new() };
    let mut text = format!(
        "{trial}Medians on {} with {} cores, {}, of {}. CPU, peak memory and requests are the tool's alone; the \
         server shares the cores. Behind each number: how many times that of s3bulk it is.\n",
        machine.cpu,
        machine.cores,
        machine.date,
        versions.join(", ")
    );
    for one in measured {
        text += &format!("\n**{}** (`{}`)\n\n", one.workload.title(one.count), one.workload);
        text += "| tool | rounds |";
        for measure in &MEASURES {
            text += &format!(" {} | × |", measure.title);
        }
        text += &format!("\n|---|--:|{}\n", "--:|--:|".repeat(MEASURES.len()));
        for series in &one.series {
            text += &row(series, one);
        }
    }
    text
}

fn row(series: &Series, measured: &Measured) -> String {
    let mut text = format!("| {} | {} |", series.tool.kind, series.runs.len());
    let Some(medians) = series.medians() else {
        // Where an error ended it all, there may be tools whose turn never came.
        let why = series.failed().map_or_else(|| "not measured".to_owned(), |why| format!("failed: {why}"));
        return format!("{text} {} |{}\n", why.replace('|', "\\|"), " |".repeat(2 * MEASURES.len() - 1));
    };
    for (measure, (median, ratio)) in MEASURES.iter().zip(medians.iter().zip(measured.compared(&medians))) {
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        text += &format!(" {} | {ratio} |", (measure.shown)(*median, measured.count));
    }
    text + "\n"
}

/// In seconds, or in milliseconds where there would be little left of it.
fn time(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// All of it, and for each of `count` where these are many.
fn cpu(seconds: f64, count: u64) -> String {
    let all = time(seconds);
    if count < 2 {
        return all;
    }
    let each = seconds * 1e6 / count as f64;
    let digits = usize::from(each < 10.0);
    format!("{all} ({each:.digits$} µs each)")
}

/// With this between thousands.
pub(crate) fn grouped(digits: &str, between: char) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(between);
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
    let named = |numbers: &[Option<f64>]| -> Map<String, Value> {
        MEASURES.iter().zip(numbers).map(|(measure, number)| (measure.name.to_owned(), json!(number))).collect()
    };
    let tools: Vec<Value> = measured
        .series
        .iter()
        .map(|series| {
            let medians = series.medians();
            json!({
                "tool": series.tool.kind.to_string(),
                "median": medians.map(|medians| named(&medians.map(Some))),
                "ratio": medians.map(|medians| named(&measured.compared(&medians))),
                "runs": series.runs,
            })
        })
        .collect();
    json!({ "workload": measured.workload.to_string(), "objects": measured.count, "tools": tools })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(wall_ms: u64, cpu_ms: u64) -> Run {
        Run {
            wall: Duration::from_millis(wall_ms),
            cpu: Duration::from_millis(cpu_ms),
            peak_bytes: 30 << 20,
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
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![5.0, 1.0, 9.0]), Some(5.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![7.0]), Some(7.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn the_table_compares_medians_with_ours() {
        let ours = series(Kind::S3bulk, vec![run(2_000, 2_500), run(9_000, 9_000), run(1_900, 2_400)]);
        let theirs = Run { peak_bytes: 60 << 20, requests: 0, ..run(5_000, 10_000) };
        let text = markdown(
            &machine(),
            &[Tool::named(Kind::S3bulk, "1.0")],
            5,
            &[measured(vec![ours, series(Kind::S5cmd, vec![theirs])])],
        );
        assert!(text.starts_with("Medians on A CPU with 2 cores, 2026-01-31, of s3bulk 1.0."), "{text}");
        let ours = "| s3bulk | 3 | 2.00 s | 1.00 | 2.50 s (125 µs each) | 1.00 | 30 MiB | 1.00 | 20,021 | 1.00 |\n";
        let theirs = "| s5cmd | 1 | 5.00 s | 2.50 | 10.00 s (500 µs each) | 4.00 | 60 MiB | 2.00 | 0 | 0.00 |\n";
        assert!(text.ends_with(&format!("{ours}{theirs}")), "{text}");
    }

    #[test]
    fn few_rounds_are_a_trial() {
        assert!(markdown(&machine(), &[], 4, &[]).starts_with("Only a trial, of fewer than 5 rounds. Medians on "));
    }

    #[test]
    fn one_failed_run_is_a_failed_tool() {
        let failed = Run { failed: Some("exit code 1 (a | b)".to_owned()), ..run(10, 10) };
        let one = measured(vec![series(Kind::S5cmd, vec![run(10, 10), failed]), series(Kind::Aws, Vec::new())]);
        let text = markdown(&machine(), &[], 5, std::slice::from_ref(&one));
        let failed = "| s5cmd | 2 | failed: exit code 1 (a \\| b) | | | | | | | |\n";
        let never = "| aws | 0 | not measured | | | | | | | |\n";
        assert!(text.ends_with(&format!("{failed}{never}")), "{text}");
        assert_eq!(workload_json(&one)["tools"][0]["median"], Value::Null);
    }

    #[test]
    fn without_ours_there_is_nothing_to_compare_with() {
        let text = markdown(&machine(), &[], 5, &[measured(vec![series(Kind::Rclone, vec![run(5_000, 10_000)])])]);
        assert!(text.ends_with("| 30 MiB |  | 20,021 |  |\n"), "{text}");
    }

    #[test]
    fn json_has_every_run() -> Outcome<()> {
        let one = measured(vec![series(Kind::S3bulk, vec![run(2_000, 2_500), run(1_000, 1_500)])]);
        let report: Value = serde_json::from_str(&json(&machine(), &[], &[one])?)?;
        let tool = &report["workloads"][0]["tools"][0];
        assert_eq!(tool["runs"][0]["wall_s"], 2.0);
        assert_eq!(tool["runs"].as_array().map(Vec::len), Some(2));
        assert_eq!((&tool["median"]["wall_s"], &tool["ratio"]["cpu_s"]), (&json!(1.5), &json!(1.0)));
        Ok(())
    }

    #[test]
    fn times_and_numbers_are_for_people() {
        assert_eq!(time(0.001_94), "1.9 ms");
        assert_eq!(time(1.234), "1.23 s");
        assert_eq!(cpu(3.1, 1_000_000), "3.10 s (3.1 µs each)");
        assert_eq!(cpu(3.1, 1), "3.10 s");
        assert_eq!(["0", "999", "1000", "1234567"].map(|text| grouped(text, ',')), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_cpu_is_named_where_the_machine_tells() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t: 1\n"), "AMD EPYC");
        assert_eq!(model(""), "an unknown CPU");
    }
}
