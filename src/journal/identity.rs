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

#[cfg(test)]
mod tests {
    use super::*;

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
