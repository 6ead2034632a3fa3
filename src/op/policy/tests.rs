//! Policies, told line by line.

use super::*;
use crate::model::{Statement, map_changes};
use crate::op::Preserve;
use crate::store::Encryption;

fn party() -> Party {
    Party { partition: "aws".into(), ..Party::default() }
}

fn location(text: &str) -> Location {
    Location::parse(text, false).unwrap()
}

fn copy(sources: &[&str], dest: &str) -> CopyNeeds {
    let sources: Vec<_> = sources.iter().map(|text| location(text)).collect();
    let dest = location(dest);
    CopyNeeds {
        mappings: map_changes(&sources, &dest, true).unwrap(),
        sources,
        to: dest,
        way: Way::Server,
        wants: Wants::default(),
        keep: Keep::default(),
        waits: false,
        of_version: false,
        dry_run: false,
        looks_first: true,
        resumes: true,
        source: party(),
        dest: party(),
        one_identity: true,
    }
}

fn one(policies: Option<Policies>) -> Policy {
    let Some(Policies::One(policy)) = policies else { panic!("{policies:?}") };
    policy
}

fn several(needs: &CopyNeeds) -> Several {
    let Some(Policies::Several(several)) = allow_copy(needs) else { panic!("one or none") };
    several
}

/// `Sid: actions on resources`, a line a statement.
fn lines(policy: &Policy) -> Vec<String> {
    let line = |s: &Statement| {
        let short = |action: &&str| action.split(':').nth(1).unwrap_or_default().to_owned();
        let actions: Vec<_> = s.action.iter().map(short).collect();
        let prefixes = s.condition.get("StringLike").and_then(|keys| keys.get("s3:prefix"));
        let prefixes = prefixes.map(|values| format!(" if {}", values.join(" "))).unwrap_or_default();
        let resources = s.resource.join(" ").replace("arn:aws:s3:::", "");
        format!("{}: {} on {resources}{prefixes}", s.sid, actions.join(" "))
    };
    policy.statement.iter().map(line).collect()
}

fn actions(policy: &Policy) -> BTreeSet<&'static str> {
    policy.statement.iter().flat_map(|statement| statement.action.iter().copied()).collect()
}

#[test]
fn a_plain_copy_reads_here_and_writes_there() {
    let policy = one(allow_copy(&copy(&["s3://abc/x/"], "s3://xyz/y/")));
    assert_eq!(
        lines(&policy),
        [
            "ListSource: ListBucket on abc if x/*",
            "ReadSource: GetObject GetObjectTagging on abc/x/*",
            "ListDestination: ListBucket on xyz if y/*",
            "FindUploads: ListBucketMultipartUploads on xyz",
            "WriteDestination: AbortMultipartUpload GetObject ListMultipartUploadParts PutObject PutObjectTagging \
             on xyz/y/*",
        ]
    );
}

#[test]
fn a_change_in_place_asks_whether_there_are_versions() {
    let needs = CopyNeeds { looks_first: false, ..copy(&["s3://abc/x/"], "s3://abc/x/") };
    let policy = one(allow_copy(&needs));
    assert_eq!(
        lines(&policy),
        [
            "ListSource: ListBucket on abc if x/*",
            "ReadSource: GetObject GetObjectTagging on abc/x/*",
            "AskForVersions: GetBucketVersioning on abc",
            "FindUploads: ListBucketMultipartUploads on abc",
            "WriteDestination: AbortMultipartUpload GetObject ListMultipartUploadParts PutObject PutObjectTagging \
             on abc/x/*",
        ]
    );
    let wants = Wants::default().onto_itself(true);
    let versions = one(allow_copy(&CopyNeeds { wants, ..needs }));
    assert!(
        actions(&versions).contains("s3:PutObjectRetention") && actions(&versions).contains("s3:GetObjectLegalHold")
    );
}

#[test]
fn a_whole_bucket_is_listed_without_a_condition_and_patterns_with_their_beginning() {
    let policy = one(allow_copy(&copy(&["s3://abc", "s3://def/k/*.csv"], "s3://xyz/y/")));
    let lines = lines(&policy);
    assert!(lines.contains(&"ListDestination: ListBucket on xyz if y/*".to_owned()), "{lines:?}");
    assert!(lines.contains(&"ListSource: ListBucket on abc".to_owned()), "{lines:?}");
    assert!(lines.contains(&"ListSource2: ListBucket on def if k/*".to_owned()), "{lines:?}");
    assert!(lines.contains(&"ReadSource2: GetObject GetObjectTagging on def/k/*.csv".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("on xyz/y/abc/* xyz/y/k/*.csv")), "{lines:?}");
}

#[test]
fn flags_add_what_they_need_and_take_away_what_they_do_not() {
    let plain = actions(&one(allow_copy(&copy(&["s3://abc/x/"], "s3://xyz/y/"))));
    let differs = |change: &dyn Fn(&mut CopyNeeds)| {
        let mut needs = copy(&["s3://abc/x/"], "s3://xyz/y/");
        change(&mut needs);
        let changed = actions(&one(allow_copy(&needs)));
        let added = changed.difference(&plain).map(|action| format!("+{action}"));
        let taken = plain.difference(&changed).map(|action| format!("-{action}"));
        added.chain(taken).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(differs(&|needs| needs.wants.acl = Some("private".into())), "+s3:PutObjectAcl");
    let acl = Preserve { acl: true, ..Preserve::default() };
    assert_eq!(differs(&|needs| needs.wants.preserve = acl), "+s3:GetObjectAcl +s3:PutObjectAcl");
    let lock = Preserve { lock: true, ..Preserve::default() };
    let locks = "+s3:GetObjectLegalHold +s3:GetObjectRetention +s3:PutObjectLegalHold +s3:PutObjectRetention";
    assert_eq!(differs(&|needs| needs.wants.preserve = lock), locks);
    assert_eq!(differs(&|needs| needs.wants.tags = Some(Vec::new())), "-s3:GetObjectTagging -s3:PutObjectTagging");
    let tag = vec![("a".to_owned(), "b".to_owned())];
    assert_eq!(differs(&|needs| needs.wants.tags = Some(tag.clone())), "-s3:GetObjectTagging");
    assert_eq!(differs(&|needs| needs.resumes = false), "-s3:ListMultipartUploadParts");
    assert_eq!(
        differs(&|needs| needs.of_version = true),
        "+s3:GetObjectVersion +s3:GetObjectVersionTagging -s3:GetObjectTagging"
    );
    assert_eq!(differs(&|needs| needs.way = Way::Client), "");
}

#[test]
fn a_dry_run_lists_and_no_more() {
    let mut needs = copy(&["s3://abc/x/"], "s3://xyz/y/");
    needs.dry_run = true;
    assert_eq!(lines(&one(allow_copy(&needs))), ["ListSource: ListBucket on abc if x/*"]);
    needs.keep.same = true;
    assert_eq!(
        lines(&one(allow_copy(&needs))),
        [
            "ListSource: ListBucket on abc if x/*",
            "ReadSource: GetObject on abc/x/*",
            "ListDestination: ListBucket on xyz if y/*",
            "WriteDestination: GetObject on xyz/y/*",
        ]
    );
}

#[test]
fn a_quiet_copy_needs_no_listing_of_the_destination() {
    let mut needs = copy(&["s3://abc/x/k"], "s3://xyz/y/");
    needs.looks_first = false;
    let lines = lines(&one(allow_copy(&needs)));
    assert!(!lines.iter().any(|line| line.starts_with("ListDestination")), "{lines:?}");
    assert_eq!(lines[0], "ListSource: ListBucket on abc if x/k");
    assert!(lines[3].ends_with("on xyz/y/k"), "{lines:?}");
}

#[test]
fn a_key_is_used_through_s3_only() {
    let statement = |key: &str| {
        let mut needs = copy(&["s3://abc/x/"], "s3://xyz/y/");
        let (algorithm, kms_key_id) = (Some("aws:kms".to_owned()), Some(key.to_owned()));
        needs.wants.encryption = Encryption { algorithm, kms_key_id, bucket_key: None };
        let policy = one(allow_copy(&needs));
        policy.statement.into_iter().find(|statement| statement.sid == "UseKey").unwrap()
    };
    let whole = "arn:aws:kms:eu-west-1:123456789012:key/1-2";
    let use_key = statement(whole);
    assert_eq!(use_key.action, ["kms:Decrypt", "kms:GenerateDataKey"]);
    assert_eq!(use_key.resource, [whole]);
    assert_eq!(use_key.condition["StringLike"]["kms:ViaService"], ["s3.eu-west-1.amazonaws.com"]);
    assert_eq!(statement("1-2").resource, ["arn:aws:kms:*:*:key/1-2"]);
    let alias = statement("alias/mine");
    assert_eq!(alias.resource, ["arn:aws:kms:*:*:key/*"]);
    assert_eq!(alias.condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"], ["alias/mine"]);
}

#[test]
fn two_identities_have_a_policy_each_and_the_source_lets_the_destination_read() {
    let mut needs = copy(&["s3://abc/x/"], "s3://xyz/y/");
    needs.one_identity = false;
    let both = several(&needs);
    assert_eq!(
        lines(&both.source.unwrap()),
        ["ListSource: ListBucket on abc if x/*", "ReadSource: GetObject GetObjectTagging on abc/x/*"]
    );
    let dest = lines(&both.destination.unwrap());
    assert_eq!(dest[0], "ReadSource: GetObject GetObjectTagging on abc/x/*");
    let bucket = &both.bucket_policies["abc"].statement[0];
    assert!(bucket.principal.as_ref().unwrap().aws.contains(UNKNOWN_ACCOUNT));
    assert_eq!(bucket.action, ["s3:GetObject", "s3:GetObjectTagging"]);
    (needs.source.account, needs.dest.account) = (Some("1".into()), Some("2".into()));
    let to = several(&needs).bucket_policies["abc"].statement[0].principal.clone().unwrap().aws;
    assert_eq!(to, "arn:aws:iam::2:root");
    needs.source.account = Some("2".into());
    assert!(several(&needs).bucket_policies.is_empty(), "of one account");
    needs.way = Way::Client;
    assert!(!lines(&several(&needs).destination.unwrap()).iter().any(|line| line.contains("abc")));
    needs.source.unsigned = true;
    assert_eq!(several(&needs).source, None);
    (needs.way, needs.source.account) = (Way::Server, Some("1".into()));
    assert!(several(&needs).bucket_policies.is_empty(), "a bucket that is read unsigned is open to all");
}

#[test]
fn one_identity_over_two_accounts_needs_the_other_bucket_s_consent() {
    let mut needs = copy(&["s3://abc/x/"], "s3://xyz/y/");
    (needs.source.account, needs.dest.account) = (Some("1".into()), Some("2".into()));
    let all = several(&needs);
    assert_eq!(all.identity.unwrap().statement.len(), 5);
    let principal = |bucket: &str| all.bucket_policies[bucket].statement[0].principal.clone().unwrap().aws;
    assert_eq!((principal("abc"), principal("xyz")), ("arn:aws:iam::2:root".into(), "arn:aws:iam::1:root".into()));
    let key = "arn:aws:kms:eu-west-1:3:key/1-2".to_owned();
    needs.wants.encryption.kms_key_id = Some(key);
    let key = several(&needs).key_policy.unwrap();
    assert_eq!((key.statement.len(), &key.statement[0].resource[..]), (1, &["*".to_owned()][..]));
}

#[test]
fn nobody_can_be_allowed_what_is_not_signed() {
    let mut needs = copy(&["s3://abc/x/"], "s3://xyz/y/");
    (needs.source.unsigned, needs.dest.unsigned) = (true, true);
    assert_eq!(allow_copy(&needs), None);
}

#[test]
fn a_listing_and_a_cleaning_need_little() {
    let list = one(allow_list(&[location("s3://abc/x/"), location("s3://abc/y/k")], &party()));
    assert_eq!(lines(&list), ["ListSource: ListBucket on abc if x/*", "ReadSource: GetObject on abc/y/k"]);
    let abort = |dry_run| one(allow_abort_uploads(&location("s3://abc/x/"), dry_run, &party()));
    let all = ["FindUploads: ListBucketMultipartUploads on abc", "WriteDestination: AbortMultipartUpload on abc/x/*"];
    assert_eq!(lines(&abort(false)), all);
    assert_eq!(lines(&abort(true)), all[..1]);
}

#[test]
fn a_directory_bucket_needs_a_session() {
    let policy = one(allow_list(&[location("s3://abc--euw1-az1--x-s3/x/")], &party()));
    assert_eq!(lines(&policy), ["OpenSession: CreateSession on arn:aws:s3express:*:*:bucket/abc--euw1-az1--x-s3"]);
}
