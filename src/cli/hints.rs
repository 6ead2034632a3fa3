//! What to type next: the command that was typed, changed a little.

use std::ffi::OsString;

use crate::model::{Money, shell_word};

/// The command that goes on with an interrupted run: the same one, without a flag that would start
/// it afresh.
pub(super) fn resume(args: &[OsString]) -> String {
    words(args).filter(|word| word != "--restart").map(|word| shell_word(&word)).collect::<Vec<_>>().join(" ")
}

/// The command that tries only the failures again.
pub(super) fn retry_failed(args: &[OsString]) -> String {
    let command = resume(args);
    if words(args).any(|word| word == "--retry-failed") { command } else { format!("{command} --retry-failed") }
}

/// The command that goes on with a run that has cost what it may: it may cost twice what was `spent`.
pub(super) fn with_max_cost(args: &[OsString], spent: Money) -> String {
    const FLAG: &str = "--max-cost";
    let most = spent.times(2, 1).to_string().replace(['$', ','], "");
    let mut command = Vec::new();
    let mut words = words(args).filter(|word| word != "--restart");
    while let Some(word) = words.next() {
        if word == FLAG {
            words.next();
        } else if !word.starts_with("--max-cost=") {
            command.push(shell_word(&word));
        }
    }
    format!("{} {FLAG} {most}", command.join(" "))
}

fn words(args: &[OsString]) -> impl Iterator<Item = String> {
    args.iter().map(|arg| arg.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_cost_enough_goes_on_with_more() {
        let args = ["s3bulk", "copy", "--max-cost", "5", "s3://a/", "--max-cost=700", "s3://b/"].map(OsString::from);
        assert_eq!(with_max_cost(&args, Money::dollars(5)), "s3bulk copy s3://a/ s3://b/ --max-cost 10.00");
        assert_eq!(with_max_cost(&args[..2], Money::dollars(1_000)), "s3bulk copy --max-cost 2000.00");
    }

    #[test]
    fn the_hints_can_be_pasted() {
        let args = ["s3bulk", "copy", "--restart", "s3://a/it's/", "s3://b/"].map(OsString::from);
        assert_eq!(resume(&args), r"s3bulk copy 's3://a/it'\''s/' s3://b/");
        assert_eq!(retry_failed(&args), r"s3bulk copy 's3://a/it'\''s/' s3://b/ --retry-failed");
    }
}
