//! What to type next: the command that was typed, changed a little.

use std::ffi::OsString;

use crate::model::shell_word;

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

fn words(args: &[OsString]) -> impl Iterator<Item = String> {
    args.iter().map(|arg| arg.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hints_can_be_pasted() {
        let args = ["s3bulk", "copy", "--restart", "s3://a/it's/", "s3://b/"].map(OsString::from);
        assert_eq!(resume(&args), r"s3bulk copy 's3://a/it'\''s/' s3://b/");
        assert_eq!(retry_failed(&args), r"s3bulk copy 's3://a/it'\''s/' s3://b/ --retry-failed");
    }
}
