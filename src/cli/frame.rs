//! The frame of every verb with a job: signals, its time, the threads, and the end.

use super::exit::Exit;
use super::machine::{runtime, watch_signals};
use super::report_error;
use super::unattended::{Unattended, UnattendedArgs};
use crate::job::{Finished, Stop};
use crate::model::Error;
use crate::report::{Summary, Terminal};

/// What became of a verb.
pub(super) enum Ran<T> {
    /// It worked, and this is how it ended.
    Worked(T),
    /// It was asked to end before it began.
    NotBegun,
    /// It could not begin.
    Failed(Error),
}

/// Runs a verb: `prepare` resolves what was typed, and is dropped where the run is asked to end before;
/// `work` does it. `tell` shows how it ended, and gives back what is to be known of it.
pub(super) fn run<J, T>(
    args: &UnattendedArgs,
    terminal: &Terminal,
    prepare: impl AsyncFnOnce(&Unattended, &Stop) -> Result<J, Error>,
    work: impl AsyncFnOnce(J) -> T,
    tell: impl FnOnce(Ran<T>, &Stop, Option<String>) -> (Summary, Exit),
) -> Exit {
    let begun = Unattended::begin(args).and_then(|unattended| Ok((unattended, runtime()?)));
    let (unattended, runtime) = match begun {
        Ok(begun) => begun,
        Err(error) => return report_error(&error, terminal),
    };
    let stop = Stop::default();
    let ran = runtime.block_on(async {
        if let Err(error) = watch_signals(stop.clone(), terminal.clone()) {
            return Ran::Failed(error);
        }
        unattended.watch_time(&stop, terminal);
        let prepared = tokio::select! {
            biased;
            // Nothing was begun: there is nothing to drain.
            () = stop.token.cancelled() => return Ran::NotBegun,
            prepared = prepare(&unattended, &stop) => prepared,
        };
        match prepared {
            Ok(job) => Ran::Worked(work(job).await),
            // What it was asked last was not answered because of that.
            Err(_) if stop.token.is_cancelled() => Ran::NotBegun,
            Err(error) => Ran::Failed(error),
        }
    });
    // Tasks that still wait for something (a DNS look-up, say) are not waited for.
    runtime.shutdown_background();
    let (summary, exit) = tell(ran, &stop, unattended.job());
    unattended.end(&summary, exit, terminal)
}

/// How a run of `verb` ended whose work ends with [`Finished`].
pub(super) fn finished(verb: &'static str, ran: Ran<Finished>, stop: &Stop) -> Finished {
    match ran {
        Ran::Worked(finished) => finished,
        Ran::NotBegun => Finished::before_it_began(verb, stop.signal(), None),
        Ran::Failed(error) => Finished::before_it_began(verb, stop.signal(), Some(error)),
    }
}
