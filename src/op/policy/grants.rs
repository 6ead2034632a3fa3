//! What a policy is made of: who is allowed what on which bucket, merged into statements.

use std::collections::{BTreeMap, BTreeSet};

use super::Party;
use crate::model::{Condition, Policy, Principal, Statement, bucket_arn, objects_arn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Dest,
}

/// A statement in the making: whom it allows what, on whose bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) who: Side,
    pub(super) on: Side,
    /// The bucket; `None` for a key of KMS.
    pub(super) bucket: Option<String>,
    pub(super) sid: &'static str,
    pub(super) actions: BTreeSet<&'static str>,
    pub(super) resources: BTreeSet<String>,
    pub(super) condition: Condition,
}

#[derive(Debug, Default)]
pub(super) struct Grants(pub(super) Vec<Grant>);

impl Grants {
    pub(super) fn add(&mut self, grant: Grant) {
        let alike = |other: &&mut Grant| {
            (other.who, other.on, other.sid, &other.bucket) == (grant.who, grant.on, grant.sid, &grant.bucket)
        };
        match self.0.iter_mut().find(alike) {
            Some(known) => known.merge(&grant),
            None => self.0.push(grant),
        }
    }

    /// Listing what begins with `prefix`, in the bucket.
    pub(super) fn list(&mut self, who: Side, on: Side, party: &Party, bucket: &str, prefix: String) {
        let prefixes = BTreeMap::from([("s3:prefix", vec![prefix])]);
        self.add(Grant {
            who,
            on,
            bucket: Some(bucket.to_owned()),
            sid: if on == Side::Source { "ListSource" } else { "ListDestination" },
            actions: BTreeSet::from(["s3:ListBucket"]),
            resources: BTreeSet::from([bucket_arn(&party.partition, bucket)]),
            condition: Condition::from([("StringLike", prefixes)]),
        });
    }

    /// Actions on objects.
    pub(super) fn objects(
        &mut self,
        who: Side,
        on: Side,
        party: &Party,
        bucket: &str,
        keys: &str,
        actions: &[&'static str],
    ) {
        if actions.is_empty() {
            return;
        }
        self.add(Grant {
            who,
            on,
            bucket: Some(bucket.to_owned()),
            sid: if on == Side::Source { "ReadSource" } else { "WriteDestination" },
            actions: actions.iter().copied().collect(),
            resources: BTreeSet::from([objects_arn(&party.partition, bucket, keys)]),
            condition: Condition::new(),
        });
    }

    /// Finding the uploads of a bucket, which knows of no prefix.
    pub(super) fn uploads(&mut self, party: &Party, bucket: &str) {
        self.add(Grant {
            who: Side::Dest,
            on: Side::Dest,
            bucket: Some(bucket.to_owned()),
            sid: "FindUploads",
            actions: BTreeSet::from(["s3:ListBucketMultipartUploads"]),
            resources: BTreeSet::from([bucket_arn(&party.partition, bucket)]),
            condition: Condition::new(),
        });
    }

    /// Asking a bucket whether it keeps versions.
    pub(super) fn ask_versions(&mut self, party: &Party, bucket: &str) {
        self.add(Grant {
            who: Side::Dest,
            on: Side::Dest,
            bucket: Some(bucket.to_owned()),
            sid: "AskForVersions",
            actions: BTreeSet::from(["s3:GetBucketVersioning"]),
            resources: BTreeSet::from([bucket_arn(&party.partition, bucket)]),
            condition: Condition::new(),
        });
    }

    /// One document of these, `to` a principal where it is attached to a bucket or key.
    pub(super) fn policy<'a>(grants: impl IntoIterator<Item = &'a Grant>, to: Option<&Principal>) -> Option<Policy> {
        let mut merged = Self::default();
        for grant in grants {
            // Who is asked no more.
            merged.add(Grant { who: grant.on, ..express(grant) });
        }
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let statements = merged.0.into_iter().map(|mut grant| {
            grant.simplify();
            let count = counts.entry(grant.sid).or_default();
            *count += 1;
            Statement {
                sid: if *count == 1 { grant.sid.to_owned() } else { format!("{}{count}", grant.sid) },
                principal: to.cloned(),
                action: grant.actions.into_iter().collect(),
                resource: grant.resources.into_iter().collect(),
                condition: grant.condition,
                ..Statement::default()
            }
        });
        let statements: Vec<_> = statements.collect();
        (!statements.is_empty()).then(|| Policy::new(statements))
    }
}

impl Grant {
    fn merge(&mut self, other: &Self) {
        self.actions.extend(&other.actions);
        self.resources.extend(other.resources.iter().cloned());
        for (operator, keys) in &other.condition {
            for (key, values) in keys {
                let known = self.condition.entry(operator).or_default().entry(key).or_default();
                known.extend(values.iter().filter(|value| !known.contains(value)).cloned().collect::<Vec<_>>());
            }
        }
    }

    /// A condition that holds for everything is none.
    fn simplify(&mut self) {
        self.condition.retain(|_, keys| {
            keys.retain(|_, values| !values.iter().any(|value| value == "*"));
            !keys.is_empty()
        });
    }
}

/// Requests to a directory bucket need a session, and nothing else. *Source:* "Authorizing Regional
/// endpoint API operations with IAM" of S3's user guide.
fn express(grant: &Grant) -> Grant {
    let grant = grant.clone();
    let Some(bucket) = grant.bucket.as_ref().filter(|bucket| bucket.ends_with("--x-s3")) else { return grant };
    let partition = grant.resources.first().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
    Grant {
        sid: "OpenSession",
        actions: BTreeSet::from(["s3express:CreateSession"]),
        resources: BTreeSet::from([format!("arn:{partition}:s3express:*:*:bucket/{bucket}")]),
        condition: Condition::new(),
        ..grant
    }
}

pub(super) fn root(partition: &str, account: &str) -> Principal {
    Principal { aws: format!("arn:{partition}:iam::{account}:root") }
}

/// The ARN of a KMS key, and on which condition it is meant: only through S3, and where only an
/// alias is known, only if the key has that.
pub(super) fn key_arn(key: &str, party: &Party) -> (String, Condition) {
    let mut parts = key.splitn(6, ':');
    let whole = if key.starts_with("arn:") { parts.by_ref().take(5).collect::<Vec<_>>() } else { Vec::new() };
    let region = whole.get(3).copied().unwrap_or("*");
    let name = parts.next().unwrap_or(key);
    let stem = if whole.is_empty() { format!("arn:{}:kms:*:*", party.partition) } else { whole.join(":") };
    let domain = if party.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let via = BTreeMap::from([("kms:ViaService", vec![format!("s3.{region}.{domain}")])]);
    let mut condition = Condition::from([("StringLike", via)]);
    if !name.starts_with("alias/") {
        let name = name.strip_prefix("key/").unwrap_or(name);
        return (format!("{stem}:key/{name}"), condition);
    }
    if name != "alias/*" {
        let aliases = BTreeMap::from([("kms:ResourceAliases", vec![name.to_owned()])]);
        condition.insert("ForAnyValue:StringEquals", aliases);
    }
    (format!("{stem}:key/*"), condition)
}
