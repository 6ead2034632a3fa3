//! What a command must be allowed: the IAM policies that allow the requests which it may send, and
//! no others. Pure. HeadBucket is not among them: where it is denied, the run goes on.

mod grants;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Keep, Wants, Way};
use crate::model::{Location, Mapping, Policy, Target, keys_of, literally};
use grants::{Grant, Grants, Side, key_arn, root};

/// An end, as far as its policies depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The AWS partition.
    pub partition: String,
    /// The account that owns its buckets, where it is known.
    pub account: Option<String>,
    /// Its requests are not signed: nobody is there who could be allowed something.
    pub unsigned: bool,
}

/// A copy, as far as it decides what is sent.
#[derive(Clone, Debug)]
pub struct CopyNeeds {
    /// What is copied.
    pub sources: Vec<Location>,
    /// What becomes of the keys of each.
    pub mappings: Vec<Mapping>,
    /// Where to, as it was said.
    pub to: Location,
    /// Which way the bytes go.
    pub way: Way,
    /// What is written beside the bytes.
    pub wants: Wants,
    /// What is left alone.
    pub keep: Keep,
    /// It waits for restores, and tells what it has copied by a listing.
    pub waits: bool,
    /// A version of the source is named.
    pub of_version: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// It is looked whether there is something at the destination, to say so.
    pub looks_first: bool,
    /// An interrupted run is resumed.
    pub resumes: bool,
    /// The source.
    pub source: Party,
    /// The destination.
    pub dest: Party,
    /// Both ends are reached with the same credentials.
    pub one_identity: bool,
}

/// The policies for a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Policies {
    /// For the one identity that there is.
    One(Policy),
    /// For several.
    Several(Several),
}

/// Policies that are attached to several things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Several {
    /// For the credentials of both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Policy>,
    /// For the source's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Policy>,
    /// For the destination's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Policy>,
    /// For buckets that belong to another account than those who use them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bucket_policies: BTreeMap<String, Policy>,
    /// For the KMS key, where it belongs to another account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_policy: Option<Policy>,
}

/// The account whose number has to be put in: a bucket takes no policy that names it so.
pub const UNKNOWN_ACCOUNT: &str = "ACCOUNT_OF_DESTINATION";

/// What keys a listing of `location` may be asked for.
fn listed(location: &Location) -> String {
    match &location.target {
        Target::Object(key) => literally(key),
        _ => format!("{}*", literally(location.path())),
    }
}

/// The policy for a listing.
pub fn allow_list(sources: &[Location], party: &Party) -> Option<Policies> {
    let mut grants = Grants::default();
    let side = Side::Source;
    for source in sources {
        match &source.target {
            // It is asked for by itself.
            Target::Object(_) => {
                grants.objects(side, side, party, &source.bucket, &keys_of(&source.target), &["s3:GetObject"]);
            }
            _ => grants.list(side, side, party, &source.bucket, listed(source)),
        }
    }
    Grants::policy(&grants.0, None).map(Policies::One)
}

/// The policy for aborting uploads.
pub fn allow_abort_uploads(prefix: &Location, dry_run: bool, party: &Party) -> Option<Policies> {
    let mut grants = Grants::default();
    grants.uploads(party, &prefix.bucket);
    if !dry_run {
        let (side, keys) = (Side::Dest, keys_of(&prefix.target));
        grants.objects(side, side, party, &prefix.bucket, &keys, &["s3:AbortMultipartUpload"]);
    }
    Grants::policy(&grants.0, None).map(Policies::One)
}

/// The policies for a restore, and for the copies of what is restored, where they are wanted.
pub fn allow_restore(
    sources: &[Location],
    dry_run: bool,
    party: &Party,
    copies: Option<&CopyNeeds>,
) -> Option<Policies> {
    let mut grants = Grants::default();
    let side = Side::Source;
    for source in sources {
        if !matches!(source.target, Target::Object(_)) {
            grants.list(side, side, party, &source.bucket, listed(source));
        }
        // HEAD is asked for by the permission to read.
        let actions = ["s3:GetObject", "s3:RestoreObject"];
        let actions = if dry_run { &actions[..1] } else { &actions[..] };
        grants.objects(side, side, party, &source.bucket, &keys_of(&source.target), actions);
    }
    match copies {
        Some(needs) => copies_of(needs, grants),
        None => Grants::policy(&grants.0, None).map(Policies::One),
    }
}

/// The policies for a copy; `None` where nobody is there to be allowed something.
pub fn allow_copy(needs: &CopyNeeds) -> Option<Policies> {
    copies_of(needs, Grants::default())
}

fn copies_of(needs: &CopyNeeds, mut grants: Grants) -> Option<Policies> {
    for (source, mapping) in needs.sources.iter().zip(&needs.mappings) {
        needs.source(&mut grants, source);
        needs.dest(&mut grants, source, mapping);
    }
    needs.key(&mut grants);
    needs.policies(grants)
}

impl CopyNeeds {
    fn copies_tags(&self) -> bool {
        self.wants.tags.is_none()
    }

    fn keeps_acl(&self) -> bool {
        self.wants.preserve.acl && self.wants.acl.is_none()
    }

    fn read(&self) -> &'static str {
        if self.of_version { "s3:GetObjectVersion" } else { "s3:GetObject" }
    }

    fn read_tags(&self) -> &'static str {
        if self.of_version { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" }
    }

    fn source(&self, grants: &mut Grants, source: &Location) {
        let (bucket, keys) = (&source.bucket, keys_of(&source.target));
        // A version that is gone is not looked for.
        if !self.of_version {
            grants.list(Side::Source, Side::Source, &self.source, bucket, listed(source));
        }
        let mut own = Vec::new();
        if !self.dry_run || self.keep.same || !source.is_several() {
            own.push(self.read());
        }
        let mut by_dest = Vec::new();
        if !self.dry_run {
            own.extend(self.copies_tags().then(|| self.read_tags()));
            let acl = if self.of_version { "s3:GetObjectVersionAcl" } else { "s3:GetObjectAcl" };
            own.extend(self.keeps_acl().then_some(acl));
            if self.wants.preserve.lock {
                own.extend(["s3:GetObjectRetention", "s3:GetObjectLegalHold"]);
            }
            if self.way == Way::Server {
                by_dest.push(self.read());
                by_dest.extend(self.copies_tags().then(|| self.read_tags()));
            }
        }
        grants.objects(Side::Source, Side::Source, &self.source, bucket, &keys, &own);
        grants.objects(Side::Dest, Side::Source, &self.source, bucket, &keys, &by_dest);
    }

    fn dest(&self, grants: &mut Grants, source: &Location, mapping: &Mapping) {
        let (bucket, begins) = (&self.to.bucket, literally(mapping.dest_prefix()));
        let (beside, keys) = match &source.target {
            Target::Object(_) => (begins.clone(), begins),
            Target::Prefix(_) => (format!("{begins}*"), format!("{begins}*")),
            Target::Pattern(pattern) => (format!("{begins}*"), format!("{begins}*{}", literally(pattern.tail()))),
        };
        if self.keep.looks_beside() || self.waits {
            grants.list(Side::Dest, Side::Dest, &self.dest, bucket, beside);
        }
        if self.looks_first && !self.dry_run {
            grants.list(Side::Dest, Side::Dest, &self.dest, bucket, listed(&self.to));
        }
        if mapping.is_in_place() {
            grants.ask_versions(&self.dest, bucket);
        }
        let mut actions = Vec::new();
        if !self.dry_run || self.keep.same {
            actions.push("s3:GetObject");
        }
        if !self.dry_run {
            let wants = &self.wants;
            actions.extend(["s3:PutObject", "s3:AbortMultipartUpload"]);
            actions.extend(self.resumes.then_some("s3:ListMultipartUploadParts"));
            let writes_tags = wants.tags.as_ref().is_none_or(|tags| !tags.is_empty());
            actions.extend(writes_tags.then_some("s3:PutObjectTagging"));
            actions.extend((wants.acl.is_some() || wants.preserve.acl).then_some("s3:PutObjectAcl"));
            if wants.preserve.lock {
                actions.extend(["s3:PutObjectRetention", "s3:PutObjectLegalHold"]);
            }
            grants.uploads(&self.dest, bucket);
        }
        grants.objects(Side::Dest, Side::Dest, &self.dest, bucket, &keys, &actions);
    }

    /// The KMS key of the copies. That of AWS itself needs no permission. To write in parts, a key
    /// must also decrypt. *Source:* "Multipart upload API and permissions".
    fn key(&self, grants: &mut Grants) {
        let encryption = &self.wants.encryption;
        let asked = encryption.algorithm.is_some() || encryption.kms_key_id.is_some();
        let keeps = self.wants.preserve.sse && !asked;
        let key = encryption.kms_key_id.as_deref();
        if self.dry_run || (key.is_none() && !keeps) {
            return;
        }
        let use_key = |side: Side, sid, party: &Party, actions: &[&'static str]| {
            let (resource, condition) = key_arn(key.unwrap_or("alias/*"), party);
            Grant {
                who: side,
                on: side,
                bucket: None,
                sid,
                actions: actions.iter().copied().collect(),
                resources: BTreeSet::from([resource]),
                condition,
            }
        };
        grants.add(use_key(Side::Dest, "UseKey", &self.dest, &["kms:Decrypt", "kms:GenerateDataKey"]));
        if keeps && !self.one_identity {
            grants.add(use_key(Side::Source, "ReadEncrypted", &self.source, &["kms:Decrypt"]));
        }
    }

    fn policies(&self, grants: Grants) -> Option<Policies> {
        let Grants(all) = grants;
        let of = |who: Side, party: &Party| {
            Grants::policy(all.iter().filter(|grant| grant.who == who), None).filter(|_| !party.unsigned)
        };
        let mut several = Several::default();
        if self.one_identity {
            several.identity = Grants::policy(&all, None).filter(|_| !self.source.unsigned);
        } else {
            several.source = of(Side::Source, &self.source);
            several.destination = of(Side::Dest, &self.dest);
        }
        let accounts = (&self.source.account, &self.dest.account);
        let differ = accounts.0.is_some() && accounts.1.is_some() && accounts.0 != accounts.1;
        let may_differ = differ || (!self.one_identity && (accounts.0.is_none() || accounts.1.is_none()));
        let unknown = UNKNOWN_ACCOUNT.to_owned();
        let buckets: BTreeSet<_> = all
            .iter()
            .filter_map(|grant| Some((grant.bucket.as_ref()?, grant.on)))
            .map(|(bucket, on)| (bucket, on == Side::Source))
            .collect();
        for (bucket, is_source) in buckets {
            let (on, owner, other) = if is_source {
                (Side::Source, &self.source, &self.dest)
            } else {
                (Side::Dest, &self.dest, &self.source)
            };
            let crosses = |grant: &&Grant| self.one_identity || grant.who != on;
            let here = all.iter().filter(|grant| grant.bucket.as_ref() == Some(bucket) && grant.on == on);
            let to = root(&owner.partition, other.account.as_ref().unwrap_or(&unknown));
            let policy = Grants::policy(here.filter(crosses), Some(&to))
                .filter(|_| may_differ && !other.unsigned && !owner.unsigned);
            several.bucket_policies.extend(policy.map(|policy| (bucket.clone(), policy)));
        }
        several.key_policy = self.key_policy(&all);
        match several {
            Several { identity: Some(policy), bucket_policies, key_policy: None, .. } if bucket_policies.is_empty() => {
                Some(Policies::One(policy))
            }
            several if several == Several::default() => None,
            several => Some(Policies::Several(several)),
        }
    }

    /// What a key's own policy must say, where its account is known to be another.
    fn key_policy(&self, all: &[Grant]) -> Option<Policy> {
        let owner = self.wants.encryption.kms_key_id.as_deref()?.strip_prefix("arn:")?.split(':').nth(3)?;
        let user = self.dest.account.as_deref().filter(|user| *user != owner)?;
        let mut policy =
            Grants::policy(all.iter().filter(|grant| grant.bucket.is_none()), Some(&root(&self.dest.partition, user)))?;
        for statement in &mut policy.statement {
            // In the policy of a key, that is this key.
            statement.resource = vec!["*".to_owned()];
        }
        Some(policy)
    }
}
