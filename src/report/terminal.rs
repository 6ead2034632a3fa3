//! Lines on stderr that do not tear the progress bar: as people read them, or as JSON objects for
//! the logs of machines.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use serde::Serialize;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use super::Summary;
use crate::model::now;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object each, with `time`, `level` and `message`, and what else is known.
    Json,
}

/// Writes whole lines to stderr, around the bar where there is one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Terminal {
    bar: Arc<Mutex<Option<ProgressBar>>>,
    format: LogFormat,
}

impl Terminal {
    /// Lines of this look.
    pub fn new(format: LogFormat) -> Self {
        Self { format, ..Self::default() }
    }

    /// How its lines look.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Writes one line. That nobody reads it is no fault.
    pub fn line(&self, text: &str) {
        self.record(Level::INFO, text, NOTHING);
    }

    /// Writes a line that somebody should see.
    pub fn warn(&self, text: &str) {
        self.record(Level::WARN, text, NOTHING);
    }

    /// Writes why a command ended.
    pub fn error(&self, text: &str) {
        match self.format {
            LogFormat::Text => self.record(Level::ERROR, &format!("s3bulk: {text}"), NOTHING),
            LogFormat::Json => self.record(Level::ERROR, text, NOTHING),
        }
    }

    /// Writes how a run ended; `verbose` adds the requests.
    pub fn summary(&self, summary: &Summary, verbose: bool) {
        let lines = summary.text(verbose);
        match self.format {
            LogFormat::Text => lines.iter().for_each(|line| self.line(line)),
            LogFormat::Json => {
                let fields = Ended { summary };
                self.record(Level::INFO, lines.first().map_or("ended", String::as_str), Some(&fields));
            }
        }
    }

    /// Writes one line; the fields are for machines.
    pub(super) fn record(&self, level: Level, message: &str, fields: Option<&impl Serialize>) {
        match self.format {
            LogFormat::Text => self.write(&escape_controls(message)),
            LogFormat::Json => self.write(&json(level, message, fields)),
        }
    }

    fn write(&self, text: &str) {
        let write = || {
            let _ = writeln!(io::stderr().lock(), "{text}");
        };
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }
}

/// No fields.
const NOTHING: Option<&()> = None;

#[derive(Serialize)]
struct Ended<'a> {
    summary: &'a Summary,
}

#[derive(Serialize)]
struct Line<'a, F: Serialize> {
    time: String,
    level: &'static str,
    message: &'a str,
    #[serde(flatten)]
    fields: Option<&'a F>,
}

fn json(level: Level, message: &str, fields: Option<&impl Serialize>) -> String {
    let level = match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    serde_json::to_string(&Line { time: now(), level, message, fields }).unwrap_or_default()
}

/// A name may hold anything: what steers a terminal is shown, and not done.
fn escape_controls(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// For the log: each event is formatted into a buffer, and written as lines.
impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { terminal: self.clone(), text: Vec::new() }
    }
}

/// Collects one event of the log.
#[derive(Debug)]
pub struct LineWriter {
    terminal: Terminal,
    text: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.terminal.write(&escape_controls(String::from_utf8_lossy(&self.text).trim_end()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::Progress;
    use super::*;

    #[test]
    fn a_line_for_machines_is_one_object() {
        let line = json(Level::WARN, "a\u{1b}[1m\nb", NOTHING);
        assert!(!line.contains(char::is_control), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["level"], &value["message"]), (&"warn".into(), &"a\u{1b}[1m\nb".into()));
        assert!(value["time"].as_str().unwrap().ends_with('Z'));
        let progress = Progress { done: 7, failed: 1, ..Progress::default() };
        let value: Value = serde_json::from_str(&json(Level::INFO, "x", Some(&progress))).unwrap();
        assert_eq!((&value["done"], &value["failed"], &value["draining"]), (&7.into(), &1.into(), &false.into()));
    }

    #[test]
    fn what_steers_a_terminal_is_shown() {
        assert_eq!(escape_controls("größe\u{1b}[1m\n"), "größe\\u{1b}[1m\\n");
    }
}
