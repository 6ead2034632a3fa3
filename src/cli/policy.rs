//! `s3bulk policy`: what a command must be allowed, said without running it.

use clap::{Args, Subcommand};

use super::abort_uploads::AbortUploadsArgs;
use super::copy::CopyArgs;
use super::exit::Exit;
use super::jobs::JobsArgs;
use super::list::ListVerbArgs;
use super::machine::runtime;
use super::restore::RestoreArgs;
use super::tell::print;
use super::{completions::CompletionsArgs, report_error};
use crate::model::Error;
use crate::op::{Party, Policies, Side, UNKNOWN_ACCOUNT, partition};
use crate::report::Terminal;
use crate::store::{EndConfig, Place, place};

const ABOUT: &str = "\
Examples:
  s3bulk policy copy s3://a/x/ s3://b/y/ > policy.json
  s3bulk policy list --region us-gov-west-1 s3://a/
  s3bulk policy copy --source-profile old --dest-profile new s3://a/ s3://b/ \
    | jq .destination

Nothing is sent, and no credentials are needed. Where both ends have the same
credentials, one IAM policy is printed, for that identity. Where they have not, it
is an object: \"source\" and \"destination\" hold the policies of the two identities,
\"bucket_policies\" what the policy of a bucket must say whose account is another
than that of those who use it, and \"key_policy\" the same of a KMS key. Accounts
are told by --source-expected-bucket-owner and --dest-expected-bucket-owner; ends
with the same credentials are taken to be of one account where these are not given.
HeadBucket is not allowed: a run goes on without its answer.";

/// Print the IAM policy that a command needs, and run nothing
#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    verb: PolicyVerb,
}

/// The verbs, with all their flags.
#[derive(Debug, Subcommand)]
enum PolicyVerb {
    Copy(Box<CopyArgs>),
    Restore(Box<RestoreArgs>),
    List(Box<ListVerbArgs>),
    AbortUploads(AbortUploadsArgs),
    #[command(hide = true)]
    Jobs(JobsArgs),
    #[command(hide = true)]
    Completions(CompletionsArgs),
}

/// The policies that a command needs, and what is to be known of them.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) policies: Option<Policies>,
    pub(super) notes: Vec<&'static str>,
}

/// An end, as its flags and the AWS configuration describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    place: Place,
    config: EndConfig,
}

impl Reached {
    pub(super) async fn new(config: EndConfig) -> Self {
        Self { place: place(&config).await, config }
    }

    fn region(&self) -> &str {
        self.place.region.as_deref().unwrap_or_default()
    }

    pub(super) fn side(&self) -> Side<'_> {
        Side { endpoint: self.place.endpoint.as_deref(), region: self.region() }
    }

    /// Whose `bucket` it is.
    pub(super) fn party(&self, bucket: &str) -> Party {
        let named = bucket.strip_prefix("arn:").and_then(|rest| rest.split(':').next());
        Party {
            partition: named.unwrap_or_else(|| partition(self.region())).to_owned(),
            account: self.config.expected_bucket_owner.clone(),
            unsigned: self.config.no_sign_request,
        }
    }
}

/// Runs the verb.
pub(super) fn run(args: &PolicyArgs, terminal: &Terminal) -> Exit {
    match needed(&args.verb).and_then(|needed| tell(needed, terminal)) {
        Ok(()) => Exit::Done,
        Err(error) => report_error(&error, terminal),
    }
}

fn needed(verb: &PolicyVerb) -> Result<Needed, Error> {
    let nothing = |verb| Err(Error::Usage(format!("{verb} sends nothing: there is nothing to allow")));
    match verb {
        PolicyVerb::Copy(copy) => runtime()?.block_on(copy.needed()),
        PolicyVerb::Restore(restore) => runtime()?.block_on(restore.needed()),
        PolicyVerb::List(list) => runtime()?.block_on(list.needed()),
        PolicyVerb::AbortUploads(uploads) => runtime()?.block_on(uploads.needed()),
        PolicyVerb::Jobs(_) => nothing("jobs"),
        PolicyVerb::Completions(_) => nothing("completions"),
    }
}

fn tell(needed: Needed, terminal: &Terminal) -> Result<(), Error> {
    let unsigned = || Error::Usage("the requests are not signed: nobody is there who could be allowed them".to_owned());
    let policies = needed.policies.ok_or_else(unsigned)?;
    let internal = |why: &dyn std::fmt::Display| Error::Internal(format!("the policy cannot be printed: {why}"));
    let json = serde_json::to_string_pretty(&policies).map_err(|error| internal(&error))?;
    let unwritten = |error| Error::Checkpoint(format!("the policy cannot be printed: {error}"));
    print(&json).map_err(unwritten)?;
    needed.notes.iter().for_each(|note| terminal.line(note));
    if json.contains(UNKNOWN_ACCOUNT) {
        terminal.line(&format!(
            "put the number of the destination's account in place of {UNKNOWN_ACCOUNT}, or say it with \
             --dest-expected-bucket-owner; within one account, leave bucket_policies out"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::command;

    #[test]
    fn every_verb_has_its_policy_or_an_answer() {
        let command = command();
        let policy = command.find_subcommand("policy").unwrap();
        for verb in command.get_subcommands().map(|verb| verb.get_name()).filter(|name| *name != "policy") {
            assert!(policy.find_subcommand(verb).is_some(), "{verb}");
        }
    }
}
