//! What makes two runs the same job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Verb, source, destination and the options that change the outcome, as they were typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// The verb: `copy`.
    pub verb: String,
    /// The sources, in the order of the command line.
    pub sources: Vec<String>,
    /// The destination.
    pub dest: String,
    /// Options that change the outcome, and the endpoints of both ends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Keeps two like jobs apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
}

impl JobIdentity {
    /// The first 16 hex digits of a hash over all of the identity.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(&text);
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A short name of the job, for the logs of others: the one that the user gave, or the first 8 hex
    /// digits of the fingerprint.
    pub fn short_name(&self) -> String {
        self.job_id.clone().unwrap_or_else(|| self.fingerprint().chars().take(8).collect())
    }

    /// The name of the job's checkpoint where the user names none: the verb and the fingerprint.
    pub fn file_name(&self) -> String {
        format!("{}-{}.jsonl", self.verb, self.fingerprint())
    }
}

/// By what it is known that a manifest is the one that a job began with: not part of the identity, so
/// that one that was changed is refused rather than being another job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPrint {
    /// Where it is, as it was typed.
    pub name: String,
    /// Size in bytes; `None` for one that cannot be read twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was written, RFC 3339, or its entity tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// The first 16 hex digits of a SHA-256 over its first and last MiB, so that a large one is not read
    /// whole at each start; of an S3 Inventory, also over the names, sizes and times of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl ManifestPrint {
    /// That of a manifest which goes on where the job was interrupted that began with `before`.
    ///
    /// # Errors
    /// Why it cannot go on there.
    pub(super) fn check(&self, before: Option<&Self>) -> Result<(), String> {
        let advice = "--restart begins anew";
        if self.size.is_none() {
            return Err(format!(
                "a manifest from {} cannot be read again where the run was interrupted: {advice}",
                self.name
            ));
        }
        match before {
            Some(before) if Self { name: self.name.clone(), ..before.clone() } == *self => Ok(()),
            Some(before) if before.size != self.size => Err(format!(
                "the manifest {} was changed since the job began: it had {} bytes and has {}; {advice}",
                self.name,
                before.size.unwrap_or_default(),
                self.size.unwrap_or_default()
            )),
            Some(before) => Err(format!(
                "the manifest {} was changed since the job began: it was of {} and is of {}; {advice}",
                self.name,
                before.written.as_deref().unwrap_or("another time"),
                self.written.as_deref().unwrap_or("another time")
            )),
            None => Err(format!("the job began without the manifest {}: {advice}", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_was_changed_or_cannot_be_read_again_is_refused() {
        let print = |size, written: &str| ManifestPrint {
            name: "m".into(),
            size,
            written: Some(written.into()),
            hash: Some("h".into()),
        };
        let began = print(Some(3), "t1");
        assert_eq!(began.check(Some(&began)), Ok(()));
        let changed = |print: ManifestPrint| print.check(Some(&began)).unwrap_err();
        assert!(changed(print(Some(4), "t1")).contains("it had 3 bytes and has 4"));
        assert!(changed(print(Some(3), "t2")).contains("it was of t1 and is of t2"));
        assert!(changed(ManifestPrint { hash: None, ..print(Some(3), "t1") }).contains("was changed"));
        assert!(changed(print(None, "t1")).contains("cannot be read again"));
    }

    #[test]
    fn another_identity_has_another_name() {
        let job = JobIdentity { verb: "copy".into(), sources: vec!["s3://a/".into()], ..Default::default() };
        let named = JobIdentity { job_id: Some("x".into()), ..job.clone() };
        assert_ne!(job.file_name(), named.file_name());
        assert!(job.fingerprint().starts_with(&job.short_name()) && job.short_name().len() == 8);
        assert_eq!(named.short_name(), "x");
        assert!(job.file_name().starts_with("copy-") && job.file_name().len() == "copy-.jsonl".len() + 16);
    }
}
