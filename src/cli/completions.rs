//! `s3bulk completions`: what shells need to complete its command lines.

use clap::Args;
use clap_complete::Shell;

use super::exit::Exit;
use super::report_error;
use super::tell::print;
use crate::model::Error;
use crate::report::Terminal;

const EXAMPLES: &str = "\
Examples:
  s3bulk completions bash > ~/.local/share/bash-completion/completions/s3bulk
  s3bulk completions zsh > ~/.zfunc/_s3bulk
  s3bulk completions fish > ~/.config/fish/completions/s3bulk.fish";

/// Print a script that completes s3bulk's commands and flags
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, terminal: &Terminal) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "s3bulk", &mut script);
    match print(String::from_utf8_lossy(&script).trim_end()) {
        Ok(()) => Exit::Done,
        Err(error) => report_error(&Error::Checkpoint(format!("stdout cannot be written to: {error}")), terminal),
    }
}
