//! Flags from the environment: each flag of each verb has a variable, `S3BULK_` and its name. What
//! it says is put before what was typed, as if it had been typed: jobs, checks and hints know of one
//! kind of flags only. What was typed wins, and takes with it whatever it excludes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::model::Error;

/// What the help of each verb says of it.
const HELP: &str = "\
Environment: each flag can be given as a variable, --list-concurrency 8 as
S3BULK_LIST_CONCURRENCY=8; flags without a value as true or false, those that may
be repeated one value a line. A flag that is typed wins over its variable, and over
those that it excludes; both win over the AWS configuration. An empty one is none.";

/// Flags of which one that is typed replaces those of the other from the environment: only together
/// do they say what is chosen.
const TOGETHER: [[&str; 2]; 2] = [["include", "exclude"], ["exclude", "include"]];

/// What is asked for so that nothing is written is never passed over: what excludes it is refused.
const CAREFUL: &str = "dry-run";

/// A flag that came from the environment.
#[derive(Clone, Debug)]
struct Taken {
    variable: String,
    flag: String,
    words: Vec<OsString>,
}

/// A command line, and what the environment adds to it.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    typed: Vec<OsString>,
    /// How many of these words name the program and the verb.
    verb: usize,
    taken: Vec<Taken>,
}

/// Says in the help of each verb with flags that there are variables.
pub(super) fn explain(command: Command) -> Command {
    command.mut_subcommands(|verb| {
        let verb = explain(verb);
        if flags(&verb).next().is_none() {
            return verb;
        }
        let before = verb.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
        verb.after_help(format!("{before}{HELP}"))
    })
}

/// The variable of a flag.
fn variable(flag: &str) -> String {
    format!("S3BULK_{}", flag.replace('-', "_").to_ascii_uppercase())
}

fn flags(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)))
}

impl CommandLine {
    /// Reads the variables of the verb that was `typed`.
    ///
    /// # Errors
    /// [`Error::Usage`] for one whose value says neither yes nor no.
    pub(super) fn new(
        command: &Command,
        typed: Vec<OsString>,
        read: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let (mut verb, mut place) = (command, 1);
        while let Some(below) = typed.get(place).and_then(|word| verb.find_subcommand(word)) {
            (verb, place) = (below, place + 1);
        }
        let mut line = Self { typed, verb: place, taken: Vec::new() };
        let given = given(verb, line.typed.get(place..).unwrap_or_default());
        if place == 1 || given.contains("help") {
            return Ok(line);
        }
        for (flag, arg) in flags(verb).filter(|(flag, arg)| !is_overruled(verb, flag, arg, &given)) {
            let variable = variable(flag);
            let Some(value) = read(&variable).filter(|value| !value.is_empty()) else { continue };
            let words = words(flag, arg.get_action(), &variable, &value)?;
            if !words.is_empty() {
                line.taken.push(Taken { variable, flag: flag.to_owned(), words });
            }
        }
        Ok(line)
    }

    /// All of it, as if it had been typed.
    fn words<'a>(&'a self, taken: impl IntoIterator<Item = &'a Taken>) -> Vec<OsString> {
        let (verb, rest) = self.typed.split_at(self.verb.min(self.typed.len()));
        let taken = taken.into_iter().flat_map(|taken| &taken.words);
        verb.iter().chain(taken).chain(rest).cloned().collect()
    }

    /// Parses it.
    ///
    /// # Errors
    /// Those of clap; where a variable is at fault, its name is added.
    pub(super) fn parse(&mut self, command: &Command) -> Result<ArgMatches, clap::Error> {
        let parse = |words: Vec<OsString>| command.clone().try_get_matches_from(words);
        let lacks = |error: &clap::Error| error.kind() == ErrorKind::MissingRequiredArgument;
        let mut parsed = parse(self.words(&self.taken));
        if parsed.as_ref().is_err_and(lacks) && !parse(self.words(None)).is_err_and(|error| lacks(&error)) {
            // A variable whose flag needs another that is not given says nothing of this command.
            let stays = |taken: &Taken| !parse(self.words([taken])).is_err_and(|error| lacks(&error));
            self.taken = self.taken.iter().filter(|taken| stays(taken)).cloned().collect();
            parsed = parse(self.words(&self.taken));
        }
        parsed.map_err(|error| self.blame(error))
    }

    /// Names the variables that an error is about.
    fn blame(&self, mut error: clap::Error) -> clap::Error {
        let mut named = Vec::new();
        for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
            match error.get(kind) {
                Some(ContextValue::String(arg)) => named.push(arg.clone()),
                Some(ContextValue::Strings(args)) => named.extend(args.iter().cloned()),
                _ => {}
            }
        }
        let is_named = |taken: &&Taken| named.iter().any(|arg| bare(arg) == taken.flag);
        let tips = self.taken.iter().filter(is_named);
        let tips = tips.map(|taken| format!("{} is set in the environment", taken.variable).into());
        let tips: Vec<_> = tips.collect();
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
        error
    }

    /// The variables that say something of this command.
    pub(super) fn variables(&self) -> Vec<&str> {
        self.taken.iter().map(|taken| taken.variable.as_str()).collect()
    }

    /// The command to be typed again: it does not depend on the environment.
    pub(super) fn again(&self) -> Vec<OsString> {
        let restarts = self.taken.iter().find(|taken| taken.flag == "restart");
        let emptied = restarts.map(|taken| OsString::from(format!("{}=", taken.variable)));
        emptied.into_iter().chain(self.words(&self.taken)).collect()
    }
}

/// The name of a flag as clap shows it: `--name <VALUE>` or `--name...`.
fn bare(shown: &str) -> &str {
    let name = shown.trim_start_matches('-');
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or(name)
}

/// The flags among `words`. None is the value of another: clap takes no values that begin with `-`.
fn given(command: &Command, words: &[OsString]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in words.iter().take_while(|word| *word != "--").map(|word| word.to_string_lossy()) {
        if let Some(long) = word.strip_prefix("--") {
            found.insert(long.split('=').next().unwrap_or(long).to_owned());
        } else if let Some(shorts) = word.strip_prefix('-') {
            for short in shorts.chars() {
                let Some((long, arg)) = flags(command).find(|(_, arg)| arg.get_short() == Some(short)) else {
                    found.extend((short == 'h').then(|| "help".to_owned()));
                    continue;
                };
                found.insert(long.to_owned());
                if arg.get_action().takes_values() {
                    break;
                }
            }
        }
    }
    found
}

/// Whether what was typed leaves no room for what the environment says.
fn is_overruled(command: &Command, flag: &str, arg: &Arg, given: &BTreeSet<String>) -> bool {
    let excludes =
        |one: &Arg, name: &str| command.get_arg_conflicts_with(one).iter().any(|other| other.get_long() == Some(name));
    let is_known = |name: String| flags(command).any(|(long, _)| long == name);
    // The form for both ends, where this is the form for one.
    let plain = flag.strip_prefix("source-").or_else(|| flag.strip_prefix("dest-"));
    let plain = plain.filter(|plain| is_known(format!("source-{plain}")) && is_known(format!("dest-{plain}")));
    let typed = |name: &str| given.contains(name);
    typed(flag)
        || plain.is_some_and(typed)
        || TOGETHER.iter().any(|[one, other]| *one == flag && typed(other))
        || flags(command)
            .filter(|(other, _)| flag != CAREFUL && typed(other))
            .any(|(other, other_arg)| excludes(arg, other) || excludes(other_arg, flag))
}

/// The words that a variable stands for.
fn words(flag: &str, action: &ArgAction, variable: &str, value: &OsStr) -> Result<Vec<OsString>, Error> {
    let with = |value: &OsStr| {
        let mut word = OsString::from(format!("--{flag}="));
        word.push(value);
        word
    };
    let alone = OsString::from(format!("--{flag}"));
    match action {
        ArgAction::SetTrue => match is_yes(value) {
            Some(yes) => Ok(yes.then_some(alone).into_iter().collect()),
            None => Err(Error::Usage(format!("{variable} is {value:?} in the environment: write true or false"))),
        },
        ArgAction::Count => {
            let count = value.to_str().and_then(|value| value.parse::<u8>().ok());
            match count.or_else(|| is_yes(value).map(u8::from)) {
                Some(count) => Ok(vec![alone; count.into()]),
                None => Err(Error::Usage(format!("{variable} is {value:?} in the environment: write a small number"))),
            }
        }
        ArgAction::Append => {
            let lines = value.as_bytes().split(|byte| *byte == b'\n').map(OsStr::from_bytes);
            Ok(lines.filter(|line| !line.is_empty()).map(with).collect())
        }
        ArgAction::Set => Ok(vec![with(value)]),
        _ => Ok(Vec::new()),
    }
}

fn is_yes(value: &OsStr) -> Option<bool> {
    match value.to_str()?.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(typed: &[&str], variables: &[(&str, &str)]) -> Result<CommandLine, Error> {
        let read = |name: &str| {
            let found = variables.iter().find(|(known, _)| format!("S3BULK_{known}") == name);
            found.map(|(_, value)| OsString::from(*value))
        };
        let typed = std::iter::once("s3bulk").chain(typed.iter().copied()).map(OsString::from).collect();
        CommandLine::new(&super::super::command(), typed, read)
    }

    /// What is parsed in the end, behind the program and the verb.
    fn words(typed: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let line = line(typed, variables).unwrap();
        line.words(&line.taken).iter().skip(line.verb).map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_variable_stands_for_its_flag_and_what_is_typed_wins() {
        assert_eq!(words(&["list", "s3://b"], &[("REGION", "x")]), ["--region=x", "s3://b"]);
        assert_eq!(words(&["list", "--region", "y", "s3://b"], &[("REGION", "x")]), ["--region", "y", "s3://b"]);
        assert_eq!(words(&["list", "-ofile", "s3://b"], &[("OUTPUT", "x")]), ["-ofile", "s3://b"]);
        assert_eq!(words(&["list", "--", "--region"], &[("REGION", "x")]), ["--region=x", "--", "--region"]);
        assert_eq!(words(&["policy", "list", "s3://b"], &[("REGION", "x")]), ["--region=x", "s3://b"]);
        assert_eq!(words(&["list", "s3://b"], &[("REGION", ""), ("NO_SUCH", "x")]), ["s3://b"]);
        assert_eq!(words(&["list", "--help"], &[("REGION", "x")]), ["--help"]);
    }

    #[test]
    fn flags_without_a_value_are_true_or_false() {
        let json = |value| words(&["copy"], &[("JSON", value)]);
        assert!(["true", "1", "Yes", "on"].iter().all(|value| json(value) == ["--json"]));
        assert!(["false", "0", "no", "OFF", ""].iter().all(|value| json(value).is_empty()));
        assert_eq!(words(&["copy"], &[("VERBOSE", "2")]), ["--verbose", "--verbose"]);
        let error = line(&["copy"], &[("JSON", "maybe")]).unwrap_err().to_string();
        assert!(error.contains("S3BULK_JSON") && error.contains("true or false"), "{error}");
    }

    #[test]
    fn repeated_flags_are_lines() {
        assert_eq!(words(&["copy"], &[("INCLUDE", "a b\n\nc,d\n")]), ["--include=a b", "--include=c,d"]);
        assert_eq!(words(&["copy", "--exclude", "x"], &[("INCLUDE", "a")]), ["--exclude", "x"]);
        assert_eq!(words(&["copy"], &[("STORAGE_CLASS_IN", "A,B")]), ["--storage-class-in=A,B"]);
    }

    #[test]
    fn what_is_typed_wins_over_what_it_excludes() {
        assert_eq!(words(&["copy", "--no-checkpoint"], &[("CHECKPOINT", "x")]), ["--no-checkpoint"]);
        assert_eq!(words(&["copy", "--checkpoint", "x"], &[("NO_CHECKPOINT", "1")]), ["--checkpoint", "x"]);
        assert_eq!(words(&["copy", "-qv"], &[("VERBOSE", "1")]), ["-qv"]);
        assert_eq!(words(&["copy", "-v"], &[("QUIET", "1")]), ["-v"]);
        assert_eq!(words(&["copy", "--restart"], &[("RETRY_FAILED", "1")]), ["--restart"]);
        assert_eq!(words(&["copy", "--profile", "a"], &[("SOURCE_PROFILE", "b")]), ["--profile", "a"]);
        assert_eq!(words(&["copy", "--retry-failed"], &[("DRY_RUN", "1")]), ["--dry-run", "--retry-failed"], "refused");
        let keys = [("SOURCE_SSE_C_KEY_FILE", "b")];
        let both = ["--source-sse-c-key-file=b", "--sse-c-key-file", "a"];
        assert_eq!(words(&["copy", "--sse-c-key-file", "a"], &keys), both, "the plain form is for one end, too");
    }

    #[test]
    fn an_error_names_the_variable() {
        let parse = |variables: &[(&str, &str)]| {
            let mut line = line(&["copy", "s3://a/", "s3://b/"], variables).unwrap();
            line.parse(&super::super::command()).map(|_| ()).map_err(|error| error.to_string())
        };
        let error = parse(&[("CONCURRENCY", "none")]).unwrap_err();
        assert!(error.contains("--concurrency") && error.contains("S3BULK_CONCURRENCY is set"), "{error}");
        let error = parse(&[("QUIET", "1"), ("VERBOSE", "1")]).unwrap_err();
        assert!(error.contains("S3BULK_QUIET") && error.contains("S3BULK_VERBOSE"), "{error}");
        assert_eq!(parse(&[("CONCURRENCY", "7"), ("QUIET", "1")]), Ok(()));
    }

    #[test]
    fn a_variable_whose_flag_needs_another_is_left_alone_without_it() {
        let parsed = |typed: &[&str]| {
            let mut line = line(typed, &[("DEPTH", "3"), ("REGION", "x")]).unwrap();
            line.parse(&super::super::command()).unwrap();
            line.variables().join(" ")
        };
        assert_eq!(parsed(&["list", "s3://b"]), "S3BULK_REGION");
        assert_eq!(parsed(&["list", "--summarize", "s3://b"]), "S3BULK_DEPTH S3BULK_REGION");
    }

    #[test]
    fn the_command_to_type_again_needs_no_environment() {
        let again =
            |variables: &[(&str, &str)]| super::super::hints::resume(&line(&["copy"], variables).unwrap().again());
        assert_eq!(again(&[("STORAGE_CLASS", "GLACIER")]), "s3bulk copy --storage-class=GLACIER");
        assert_eq!(again(&[("RESTART", "true")]), "S3BULK_RESTART= s3bulk copy");
    }

    #[test]
    fn every_flag_of_every_verb_has_a_variable_and_no_two_share_one() {
        fn check(command: &Command) -> usize {
            let mut seen = BTreeSet::new();
            assert!(flags(command).all(|(flag, _)| seen.insert(variable(flag))));
            seen.len() + command.get_subcommands().map(check).sum::<usize>()
        }
        assert!(check(&super::super::command()) > 100);
        assert_eq!(variable("source-endpoint-url"), "S3BULK_SOURCE_ENDPOINT_URL");
    }
}
