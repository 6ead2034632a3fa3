//! The flags that say which objects of the sources are chosen.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::written::parse_class;
use crate::model::{Choice, Error, Glob, Moment, Rule, Slash, parse_size};

#[derive(Debug, Args)]
#[command(next_help_heading = "What is chosen")]
pub(super) struct ChosenArgs {
    #[command(flatten)]
    rules: RuleArgs,
    /// Only objects written after T: a time as 2025-01-31 or 2025-01-31T12:00:00Z, or an age before
    /// the job's start, as 12h or 30d
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    newer_than: Option<Moment>,
    /// Only objects written before T
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    older_than: Option<Moment>,
    /// Only objects of at least this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    min_size: Option<u64>,
    /// Only objects of at most this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// Only objects of these storage classes; separated by commas
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_any_class)]
    storage_class_in: Vec<String>,
    /// Work on N objects at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

impl ChosenArgs {
    /// What is chosen.
    ///
    /// # Errors
    /// [`Error::Usage`] for bounds that contradict each other.
    pub(super) fn filter(&self) -> Result<Choice, Error> {
        let choice = Choice {
            rules: self.rules.0.clone(),
            newer_than: self.newer_than.clone(),
            older_than: self.older_than.clone(),
            min_size: self.min_size,
            max_size: self.max_size,
            storage_classes: self.storage_class_in.clone(),
        };
        choice.check()?;
        Ok(choice)
    }

    /// What makes another run the same job.
    pub(super) fn identity(&self, options: &mut BTreeMap<String, String>) {
        let mut put = |name: &str, value: Option<String>| {
            options.extend(value.map(|value| (name.to_owned(), value)));
        };
        let rules: Vec<_> = self.rules.0.iter().map(|rule| (flag(rule.include), rule.glob.as_str())).collect();
        // Patterns may hold any character: JSON keeps them apart.
        put("rules", serde_json::to_string(&rules).ok().filter(|_| !rules.is_empty()));
        put("newer-than", self.newer_than.as_ref().map(Moment::to_string));
        put("older-than", self.older_than.as_ref().map(Moment::to_string));
        put("min-size", self.min_size.map(|size| size.to_string()));
        put("max-size", self.max_size.map(|size| size.to_string()));
        let mut classes = self.storage_class_in.clone();
        classes.sort();
        classes.dedup();
        put("limit", self.limit.map(|limit| limit.to_string()));
        put("storage-class-in", (!classes.is_empty()).then(|| classes.join(",")));
    }
}

/// The class in capitals; any, since other vendors have others.
fn parse_any_class(text: &str) -> Result<String, String> {
    parse_class(&text.to_ascii_uppercase())
}

/// `--include` and `--exclude`, in the order in which they were typed, which derived arguments of two
/// names would lose.
#[derive(Clone, Debug, Default)]
struct RuleArgs(Vec<Rule>);

fn flag(include: bool) -> &'static str {
    if include { "include" } else { "exclude" }
}

fn rule_arg(include: bool) -> Arg {
    let name = flag(include);
    let arg = Arg::new(name).long(name).value_name("GLOB").action(ArgAction::Append).value_parser(parse_glob);
    if include { arg.help(INCLUDE).long_help(INCLUDE_LONG) } else { arg.help(EXCLUDE) }
}

const INCLUDE: &str = "Choose keys that match; if it comes before any --exclude, no others";

const INCLUDE_LONG: &str = "\
Choose keys that match; if it comes before any --exclude, no others. Keys are taken as they are below \
SOURCE. Of several --include and --exclude, the last that matches decides. * is any run of \
characters, / too; ? is one character; [a-z] is one of these, [!a-z] another; [*] is the * itself";

const EXCLUDE: &str = "Leave out keys that match";

fn parse_glob(text: &str) -> Result<Glob, String> {
    Glob::parse(text, Slash::Plain).map_err(|why| format!("{why}; a [ itself is written as [[]"))
}

impl Args for RuleArgs {
    fn augment_args(command: Command) -> Command {
        command.arg(rule_arg(true)).arg(rule_arg(false))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = |include: bool| {
            let places = matches.indices_of(flag(include)).into_iter().flatten();
            let globs = matches.get_many::<Glob>(flag(include)).into_iter().flatten();
            places.zip(globs).map(move |(place, glob)| (place, Rule { include, glob: glob.clone() }))
        };
        let mut rules: Vec<(usize, Rule)> = of(true).chain(of(false)).collect();
        rules.sort_by_key(|(place, _)| *place);
        Ok(Self(rules.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        chosen: ChosenArgs,
    }

    fn typed(args: &[&str]) -> Result<ChosenArgs, String> {
        let args = std::iter::once("x").chain(args.iter().copied());
        Typed::try_parse_from(args).map(|typed| typed.chosen).map_err(|error| error.to_string())
    }

    fn identity(args: &[&str]) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        typed(args).unwrap().identity(&mut options);
        options
    }

    #[test]
    fn rules_stay_in_the_order_typed() {
        let args = ["--exclude", "*", "--include=a", "--min-size", "1", "--exclude", "b", "--include", "c"];
        let rules = typed(&args).unwrap().filter().unwrap().rules;
        let rules: Vec<_> = rules.iter().map(|rule| (rule.include, rule.glob.as_str())).collect();
        assert_eq!(rules, [(false, "*"), (true, "a"), (false, "b"), (true, "c")]);
    }

    #[test]
    fn another_choice_is_another_job() {
        assert_eq!(identity(&[]), BTreeMap::new());
        assert_eq!(
            identity(&["--include", "a", "--exclude", "\"b"])["rules"],
            r#"[["include","a"],["exclude","\"b"]]"#
        );
        assert_ne!(identity(&["--include", "a", "--exclude", "b"]), identity(&["--exclude", "b", "--include", "a"]));
        assert_eq!(identity(&["--min-size", "1KiB"]), identity(&["--min-size", "1024"]));
        let (one, two) = (["--storage-class-in", "glacier,STANDARD"], ["--storage-class-in", "standard,GLACIER"]);
        assert_eq!(identity(&one), identity(&two));
        assert_eq!(identity(&["--older-than", "1h"])["older-than"], "1h");
    }

    #[test]
    fn what_cannot_be_chosen_is_refused() {
        for (args, why) in [
            (["--include", "a["], "[[]"),
            (["--newer-than", "soon"], "2025-01-31"),
            (["--storage-class-in", "standard-ia"], "STANDARD_IA"),
            (["--storage-class-in", "STANDARD,,GLACIER"], "STANDARD_IA"),
            (["--min-size", "big"], "8MiB"),
        ] {
            let error = typed(&args).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let error = typed(&["--min-size", "2", "--max-size", "1"]).unwrap().filter().unwrap_err();
        assert!(error.to_string().contains("--min-size 2"), "{error}");
    }
}
