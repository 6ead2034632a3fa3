//! The run while it goes on: a bar on a terminal, a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing::Level;

use super::Terminal;
use crate::model::Money;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Times a second that the bar is drawn, at most.
const DRAWS_PER_SECOND: u8 = 10;

/// The rate is that of about this time.
const RATE_OVER: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A bar that is drawn over and over: for terminals.
    Bar,
    /// A line every 10 seconds: for logs.
    Lines,
    /// Nothing.
    Nothing,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Objects to work on, as far as is known.
    pub selected: u64,
    /// Whether that is all.
    pub listed_all: bool,
    /// Objects done.
    pub done: u64,
    /// Objects skipped.
    pub skipped: u64,
    /// Objects failed.
    pub failed: u64,
    /// Bytes of the objects done.
    pub bytes: u64,
    /// Restores that the store took.
    pub requested: u64,
    /// Objects whose restore is waited for, in a run that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Requests under way.
    pub in_flight: u64,
    /// Objects that earlier runs of the job finished.
    pub resumed: u64,
    /// What the job is estimated to have cost, where there are prices.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "Money::serialize_number_if_any")]
    pub estimated_cost_usd: Option<Money>,
    /// Whether the run was asked to end and waits for its requests.
    pub draining: bool,
}

impl Progress {
    fn ended(&self) -> u64 {
        self.done + self.skipped + self.failed
    }

    /// Where the run stands, in words.
    fn text(&self, per_second: f64) -> String {
        let at_least = if self.listed_all { "" } else { "at least " };
        let waiting = match self.waiting {
            Some(waiting) => format!(", {} ongoing, {} requested", HumanCount(waiting), HumanCount(self.requested)),
            None => String::new(),
        };
        let mut text = format!(
            "{} of {at_least}{} objects{waiting}, {}, {per_second:.0}/s, {} in flight",
            HumanCount(self.ended()),
            HumanCount(self.selected),
            HumanBytes(self.bytes),
            self.in_flight
        );
        for (count, what) in [(self.failed, "failed"), (self.skipped, "skipped"), (self.resumed, "done before")] {
            if count > 0 {
                text.push_str(&format!(", {} {what}", HumanCount(count)));
            }
        }
        if let Some(spent) = self.estimated_cost_usd {
            text.push_str(&format!(", ~{spent}"));
        }
        if self.draining {
            text.push_str(", ending");
        }
        text
    }
}

/// Objects a second over the last seconds.
#[derive(Debug)]
struct Rate {
    since: Instant,
    ended: u64,
    per_second: Option<f64>,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: now, ended: 0, per_second: None }
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate that is shown rounded")]
    fn at(&mut self, now: Instant, ended: u64) -> f64 {
        let span = now.saturating_duration_since(self.since);
        let fresh = ended.saturating_sub(self.ended) as f64 / span.as_secs_f64().max(0.001);
        if span >= RATE_OVER {
            *self = Self { since: now, ended, per_second: Some(fresh) };
        }
        self.per_second.unwrap_or(fresh)
    }
}

/// The bar or the lines of one run.
#[derive(Debug)]
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    lines: bool,
    /// Whether the bar shows a share: it would lie while the total is not known.
    total_known: bool,
    last_line: Instant,
    rate: Rate,
}

impl Screen {
    pub(super) fn new(show: Show, terminal: &Terminal) -> Self {
        let bar = (show == Show::Bar).then(bar);
        terminal.set_bar(bar.clone());
        let now = Instant::now();
        Self { bar, lines: show == Show::Lines, total_known: false, last_line: now, rate: Rate::new(now) }
    }

    pub(super) fn show(&mut self, progress: &Progress, terminal: &Terminal) {
        let now = Instant::now();
        if let Some(bar) = &self.bar {
            if progress.listed_all && !self.total_known {
                self.total_known = true;
                bar.set_style(style(WITH_TOTAL));
            }
            bar.set_length(progress.selected);
            bar.set_position(progress.ended());
            bar.set_message(progress.text(self.rate.at(now, progress.ended())));
        } else if self.lines && now.saturating_duration_since(self.last_line) >= LINE_EVERY {
            self.last_line = now;
            let text = progress.text(self.rate.at(now, progress.ended()));
            terminal.record(Level::INFO, &text, Some(progress));
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// While the total is not known.
const WITHOUT_TOTAL: &str = "{elapsed} {spinner} {wide_msg}";
/// When all is listed.
const WITH_TOTAL: &str = "{elapsed} [{bar:10}] {wide_msg}";

fn bar() -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    ProgressBar::with_draw_target(None, target).with_style(style(WITHOUT_TOTAL))
}

/// The templates are constants, and tested.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_at_least_while_listing_goes_on() {
        let mut progress = Progress { selected: 12_000, done: 1_234, in_flight: 9, bytes: 2048, ..Progress::default() };
        assert_eq!(progress.text(56.4), "1,234 of at least 12,000 objects, 2.00 KiB, 56/s, 9 in flight");
        progress.listed_all = true;
        progress.failed = 1;
        progress.resumed = 7;
        assert_eq!(
            progress.text(56.4),
            "1,235 of 12,000 objects, 2.00 KiB, 56/s, 9 in flight, 1 failed, 7 done before"
        );
        progress = Progress { estimated_cost_usd: "1.234".parse().ok(), ..Progress::default() };
        assert_eq!(progress.text(0.0), "0 of at least 0 objects, 0 B, 0/s, 0 in flight, ~$1.23");
    }

    #[test]
    fn the_templates_are_valid() {
        for template in [WITHOUT_TOTAL, WITH_TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(start);
        assert_eq!(rate.at(at(1), 100).round(), 100.0);
        assert_eq!(rate.at(at(5), 1000).round(), 200.0);
        assert_eq!(rate.at(at(6), 1000).round(), 200.0);
        assert_eq!(rate.at(at(10), 1000).round(), 0.0);
    }
}
