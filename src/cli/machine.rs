//! What the machine gives: signals, open files, folders, the way to the network.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use crate::job::{Signal, Stop};
use crate::model::Error;
use crate::report::Terminal;
use crate::store::Network;

/// The threads that a verb with requests runs on.
///
/// # Errors
/// [`Error::Internal`] where the machine has no more of them.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    // A job writes its checkpoint on one of them, and signals must be heard meanwhile.
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    runtime.map_err(|error| Error::Internal(error.to_string()))
}

/// Open files that are not connections: the checkpoint, its lock, the failures, the standard ones,
/// DNS look-ups.
const OTHER_FILES: u64 = 32;

/// Open files that a request may need: a connection at each end.
const FILES_PER_REQUEST: u64 = 2;

/// Raises the limit of open files as far as it goes, and lowers `concurrency` to what then fits.
pub(super) fn fit_open_files(concurrency: usize) -> usize {
    let want = (concurrency as u64).saturating_mul(FILES_PER_REQUEST).saturating_add(OTHER_FILES);
    let Ok(limit) = rlimit::increase_nofile_limit(want) else { return concurrency };
    let fits = usize::try_from(limit.saturating_sub(OTHER_FILES) / FILES_PER_REQUEST).unwrap_or(usize::MAX).max(1);
    if fits < concurrency {
        tracing::warn!("only {limit} files may be open: --concurrency is {fits}");
    }
    concurrency.min(fits)
}

/// Where checkpoints are kept: `$XDG_STATE_HOME/s3bulk`, or `~/.local/state/s3bulk`.
///
/// # Errors
/// [`Error::Checkpoint`] where neither is known.
pub(super) fn state_folder() -> Result<PathBuf, Error> {
    // The XDG base directory specification: relative paths are ignored.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("s3bulk"))
        .ok_or_else(|| {
            Error::Checkpoint(
                "there is no place for the checkpoint, since neither XDG_STATE_HOME nor HOME is set: name one with \
                 --checkpoint FILE, or give --no-checkpoint"
                    .to_owned(),
            )
        })
}

/// How the network is reached: the variables that curl and aws-cli know, lower case first.
pub(super) fn network() -> Network {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // To a server's CGI script, HTTP_PROXY is what its client sent as a header.
    let is_cgi = std::env::var_os("REQUEST_METHOD").is_some();
    let all = || set("all_proxy").or_else(|| set("ALL_PROXY"));
    Network {
        http_proxy: set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| !is_cgi)).or_else(all),
        https_proxy: set("https_proxy").or_else(|| set("HTTPS_PROXY")).or_else(all),
        no_proxy: set("no_proxy").or_else(|| set("NO_PROXY")),
        ca_bundle: set("AWS_CA_BUNDLE").map(PathBuf::from),
    }
}

/// Listens for signals from now on: the first asks the run to end, the second ends the process.
///
/// # Errors
/// [`Error::Internal`] where signals cannot be listened for.
pub(super) fn watch_signals(stop: Stop, terminal: Terminal) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Internal(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                Some(()) = interrupt.recv() => Signal::Interrupt,
                Some(()) = terminate.recv() => Signal::Terminate,
                else => return,
            };
            if !stop.ask(signal) {
                std::process::exit(Exit::from(signal).code().into());
            }
            terminal.line("ending: waiting for the requests under way (once more to end at once)");
        }
    });
    Ok(())
}
