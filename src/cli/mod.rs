//! What was typed becomes a resolved job. One file for each verb; `clap` is used in this room only.

mod abort_uploads;
mod archive;
mod chosen;
mod completions;
mod copy;
mod ends;
mod environment;
mod estimate;
mod exit;
mod flags;
mod frame;
mod hints;
mod jobs;
mod list;
mod machine;
mod manifest;
mod plan;
mod policy;
mod prices;
mod restore;
mod tell;
mod unattended;
mod written;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::model::Error;
use crate::report::{JsonLog, LogFormat, Terminal};
use environment::CommandLine;
use exit::Exit;
use flags::ShownArgs;

/// Copy objects in bulk between S3 buckets, resumably
#[derive(Debug, Parser)]
#[command(name = "s3bulk", version, arg_required_else_help = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all done, 2 usage, 3 some objects failed, or --max-runtime,
--max-failures or --max-cost left some, 10 no work possible (credentials, bucket, endpoint; all
objects fail alike), 11 the checkpoint, or a file that is written, cannot be used, 130 and 143 interrupted by SIGINT and SIGTERM (run the same command again
to resume), 1 a bug";

#[derive(Debug, Subcommand)]
enum Verb {
    Copy(Box<copy::CopyArgs>),
    Restore(Box<restore::RestoreArgs>),
    List(Box<list::ListVerbArgs>),
    AbortUploads(abort_uploads::AbortUploadsArgs),
    Jobs(jobs::JobsArgs),
    Policy(policy::PolicyArgs),
    Completions(completions::CompletionsArgs),
}

impl Verb {
    /// What was said of what is shown, where that can be said.
    fn shown(&self) -> Option<&ShownArgs> {
        match self {
            Self::Copy(copy) => Some(copy.shown()),
            Self::Restore(restore) => Some(restore.shown()),
            Self::List(list) => Some(list.shown()),
            Self::AbortUploads(uploads) => Some(uploads.shown()),
            Self::Jobs(_) | Self::Policy(_) | Self::Completions(_) => None,
        }
    }
}

/// The command line that there is.
fn command() -> Command {
    environment::explain(Cli::command())
}

/// Runs the command line `args`, the program's name first, and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = command();
    let terminal = Terminal::default();
    let line = CommandLine::new(&command, args.into_iter().collect(), |name| std::env::var_os(name));
    let mut line = match line {
        Ok(line) => line,
        Err(error) => return report_error(&error, &terminal).into(),
    };
    let cli = match line.parse(&command).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; that nobody reads them is none either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let terminal = cli.verb.shown().map_or(terminal, log);
    let exit = run(cli.verb, &line.again(), &terminal);
    if exit == Exit::Usage && !line.variables().is_empty() {
        terminal.line(&format!("set in the environment: {}", line.variables().join(", ")));
    }
    exit.into()
}

/// Runs the verb. `again` is the command to be typed again, for the hints.
fn run(verb: Verb, again: &[OsString], terminal: &Terminal) -> Exit {
    match verb {
        Verb::Copy(copy) => copy::run(&copy, again, terminal),
        Verb::Restore(restore) => restore::run(&restore, again, terminal),
        Verb::List(list) => list::run(&list, again, terminal),
        Verb::AbortUploads(uploads) => abort_uploads::run(&uploads, terminal),
        Verb::Jobs(jobs) => jobs::run(&jobs, terminal),
        Verb::Policy(policy) => policy::run(&policy, terminal),
        Verb::Completions(completions) => completions::run(&completions, terminal),
    }
}

/// Where lines go, and the log with them: that of this program only, since other crates' logs may
/// hold what must not be shown.
fn log(shown: &ShownArgs) -> Terminal {
    let terminal = Terminal::new(shown.format());
    let level = match shown.verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let is_json = shown.format() == LogFormat::Json;
    let lines = tracing_subscriber::fmt::layer().with_writer(terminal.clone()).with_ansi(false).with_target(false);
    let objects = is_json.then(|| JsonLog(terminal.clone()));
    let filter = Targets::new().with_target("s3bulk", level);
    // A second log in one process (the library in a test) keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with((!is_json).then_some(lines)).with(objects).try_init();
    terminal
}

/// Prints why a command ended and returns its exit code.
fn report_error(error: &Error, terminal: &Terminal) -> Exit {
    terminal.error(&error.to_string());
    Exit::from(error)
}
