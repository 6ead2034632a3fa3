//! The s3bulk command.

use std::process::ExitCode;

fn main() -> ExitCode {
    s3bulk::cli::main(std::env::args_os())
}
