//! The counts of a run as Prometheus reads them, for the textfile collector of its node_exporter: a
//! file that is replaced as a whole at the end of each run.

use std::fmt::{self, Display, Write as _};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Status, Summary};
use crate::model::Error;

/// What every name begins with.
const PREFIX: &str = "s3bulk_";

/// The job of runs that ended before it was known which they were.
const UNKNOWN: &str = "unknown";

/// More bytes than metrics have.
const LARGEST: u64 = 1 << 20;

const ELSE: &str = "it holds something else: name another file";

/// A file of metrics.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    former: String,
}

/// A run that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    /// Its counts.
    pub summary: &'a Summary,
    /// The exit code of its process.
    pub exit_code: u8,
    /// When it began, in seconds since 1970.
    pub started: f64,
    /// How long it took, in seconds.
    pub took: f64,
}

impl MetricsFile {
    /// Makes sure that the file can be written, and reads what an earlier run left there.
    ///
    /// # Errors
    /// [`Error::Usage`] where it cannot be written, or holds something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // Through a link: it stays one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let unusable = |why: &dyn Display| Error::Usage(format!("--metrics-file {}: {why}", path.display()));
        let former = former(&path).map_err(|error| unusable(&error))?;
        File::create(temporary(&path)).map_err(|error| unusable(&error))?;
        fs::remove_file(temporary(&path)).map_err(|error| unusable(&error))?;
        Ok(Self { path, former })
    }

    /// Puts the metrics of this run in the place of those of the last.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, ran: &Ran<'_>) -> io::Result<()> {
        // Whoever has written there in between does not lose it.
        former(&self.path)?;
        let temporary = temporary(&self.path);
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(render(ran, &self.former).as_bytes())?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&temporary, &self.path));
        renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What the file holds; nothing where there is none.
fn former(path: &Path) -> io::Result<String> {
    // A rename would put a file in the place of a device, or of a link.
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("it is not a regular file: name another")),
        Ok(found) if found.len() > LARGEST => return Err(io::Error::other(ELSE)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) if text.is_empty() || text.starts_with(&format!("# HELP {PREFIX}")) => Ok(text),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        _ => Err(io::Error::other(ELSE)),
    }
}

/// Beside the file, with an ending that nobody collects.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// The text format 0.0.4: each metric with its help and its type.
fn render(ran: &Ran<'_>, former: &str) -> String {
    let summary = ran.summary;
    let job = summary.job.clone().or_else(|| former_job(former, summary.verb)).unwrap_or(UNKNOWN.to_owned());
    let mut text =
        Text { labels: format!("verb=\"{}\",job=\"{}\"", escape(summary.verb), escape(&job)), out: String::new() };
    text.begin("objects_total", "counter", "Objects of the last run by what became of them.");
    for (outcome, count) in [
        ("done", summary.done),
        ("skipped", summary.skipped),
        ("failed", summary.failed),
        ("filtered", summary.filtered),
    ] {
        text.sample("objects_total", Some(("outcome", outcome)), count);
    }
    text.one("bytes_total", "counter", "Bytes of the objects done in the last run.", summary.bytes);
    text.begin("requests_total", "counter", "Requests sent in the last run, every attempt counted.");
    for (operation, count) in &summary.requests {
        text.sample("requests_total", Some(("operation", operation)), count);
    }
    text.one("retries_total", "counter", "Requests of the last run that were sent again.", summary.retries);
    text.one("throttled_total", "counter", "Answers in the last run that asked for fewer requests.", summary.throttled);
    text.one("duration_seconds", "gauge", "How long the last run took.", format_args!("{:.3}", ran.took));
    text.one("start_time_seconds", "gauge", "When the last run began.", format_args!("{:.3}", ran.started));
    let succeeded = (ran.exit_code == 0 && !summary.dry_run).then(|| format!("{:.3}", ran.started + ran.took));
    let last = succeeded.or_else(|| former_success(former, &text.labels));
    if let Some(last) = last {
        text.one("last_success_timestamp_seconds", "gauge", "When a run last ended with exit code 0.", last);
    }
    text.one("exit_code", "gauge", "The exit code of the last run.", ran.exit_code);
    text.begin("status", "gauge", "1 for how the last run ended.");
    for status in [Status::Complete, Status::Partial, Status::Interrupted, Status::Failed] {
        let is_it = u8::from(status == summary.status);
        text.sample("status", Some(("status", status.as_str())), is_it);
    }
    text.out
}

struct Text {
    labels: String,
    out: String,
}

impl Text {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.begin(name, kind, help);
        self.sample(name, None, value);
    }

    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: impl Display) {
        let more = label.map(|(name, value)| format!(",{name}=\"{}\"", escape(value))).unwrap_or_default();
        let labels = self.labels.clone();
        self.put(format_args!("{PREFIX}{name}{{{labels}{more}}} {value}\n"));
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // A string takes all that is written to it.
        let _ = self.out.write_fmt(text);
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The job that an earlier run of the verb was: one that ends before it is known is most likely the
/// same, and its alerts must find it.
fn former_job(former: &str, verb: &str) -> Option<String> {
    let start = format!("{PREFIX}exit_code{{verb=\"{verb}\",job=\"");
    let rest = former.lines().find_map(|line| line.strip_prefix(start.as_str()))?;
    rest.split('"').next().map(str::to_owned)
}

/// When an earlier run of the job last succeeded.
fn former_success(former: &str, labels: &str) -> Option<String> {
    let start = format!("{PREFIX}last_success_timestamp_seconds{{{labels}}} ");
    let value = former.lines().find_map(|line| line.strip_prefix(start.as_str()))?;
    value.parse::<f64>().is_ok().then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn summary(status: Status, job: Option<&str>) -> Summary {
        let mut summary = Summary::new("copy", "2026-01-02T03:04:05.000Z".to_owned());
        (summary.status, summary.job) = (status, job.map(str::to_owned));
        (summary.done, summary.bytes, summary.failed) = (1_500, 3 << 20, 2);
        summary.requests = BTreeMap::from([("CopyObject", 1_502), ("ListObjectsV2", 3)]);
        summary
    }

    fn ran(summary: &Summary, exit_code: u8) -> Ran<'_> {
        Ran { summary, exit_code, started: 1_767_323_045.25, took: 12.5 }
    }

    /// As the format's description has it; gives the samples.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let name = |text: &str| {
            assert!(text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{text}");
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{text}");
        };
        let (mut samples, mut seen, mut family) = (BTreeMap::new(), BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'));
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap().to_owned();
                name(&family);
                assert!(seen.insert(family.clone()), "{family} twice");
                let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} ")).unwrap();
                assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
                assert!(["counter", "gauge"].contains(&kind));
                continue;
            }
            let (metric, value) = line.rsplit_once(' ').unwrap();
            let (of, labels) = metric.split_once('{').unwrap();
            assert_eq!(of, family);
            for label in labels.strip_suffix("\"}").unwrap().split("\",") {
                let (label, value) = label.split_once("=\"").unwrap();
                name(label);
                assert!(!value.contains(['"', '\n']));
            }
            assert!(samples.insert(metric.to_owned(), value.parse().unwrap()).is_none(), "{metric} twice");
        }
        samples
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let complete = summary(Status::Complete, Some("nightly"));
        let samples = parse(&render(&ran(&complete, 0), ""));
        let of = |name: &str, more: &str| samples[&format!("s3bulk_{name}{{verb=\"copy\",job=\"nightly\"{more}}}")];
        assert_eq!(of("objects_total", ",outcome=\"done\""), 1_500.0);
        assert_eq!(of("objects_total", ",outcome=\"failed\""), 2.0);
        assert_eq!(of("requests_total", ",operation=\"CopyObject\""), 1_502.0);
        assert_eq!((of("duration_seconds", ""), of("start_time_seconds", "")), (12.5, 1_767_323_045.25));
        assert_eq!(of("last_success_timestamp_seconds", ""), 1_767_323_057.75);
        assert_eq!((of("status", ",status=\"complete\""), of("status", ",status=\"failed\"")), (1.0, 0.0));
    }

    #[test]
    fn the_last_success_is_kept_until_the_next() {
        let success = "s3bulk_last_success_timestamp_seconds{verb=\"copy\",job=\"nightly\"}";
        let first = render(&ran(&summary(Status::Complete, Some("nightly")), 0), "");
        // Ended before it was known which job it is.
        let failed = render(&ran(&summary(Status::Failed, None), 10), &first);
        assert_eq!(parse(&failed)[success], 1_767_323_057.75);
        assert_eq!(parse(&failed)["s3bulk_exit_code{verb=\"copy\",job=\"nightly\"}"], 10.0);
        let dry = Summary { dry_run: true, ..summary(Status::Complete, Some("nightly")) };
        assert_eq!(parse(&render(&Ran { started: 2e9, ..ran(&dry, 0) }, &failed))[success], 1_767_323_057.75);
        // Another job's is not taken over.
        let other = render(&ran(&summary(Status::Partial, Some("other")), 3), &failed);
        assert!(!other.contains("last_success"));
        assert!(render(&ran(&summary(Status::Failed, None), 10), "").contains("job=\"unknown\""));
    }

    #[test]
    fn what_is_not_ours_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s3bulk.prom");
        let summary = summary(Status::Complete, None);
        let file = MetricsFile::open(&path).unwrap();
        file.write(&ran(&summary, 0)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(MetricsFile::open(&path).is_ok());
        fs::write(&path, "keys of somebody\n").unwrap();
        assert!(file.write(&ran(&summary, 0)).is_err());
        for bad in [path.as_path(), folder.path(), &folder.path().join("no/such")] {
            let error = MetricsFile::open(bad).unwrap_err();
            assert!(matches!(error, Error::Usage(_)) && error.to_string().contains("--metrics-file"), "{error}");
        }
    }
}
