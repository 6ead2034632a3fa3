//! The flags of a manifest: a file that names the objects, in place of a listing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::journal::Claim;
use crate::model::Error;
use crate::pace::Pacer;
use crate::source::{Manifest, ManifestFormat, ManifestSpec};
use crate::store::End;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// A key a line
    Keys,
    /// bucket,key[,versionId], URL-encoded as S3 Batch Operations has it, or columns named by a header
    Csv,
    /// JSON lines: of list, of failures, of a receipt
    Jsonl,
    /// The manifest.json of an S3 Inventory
    Inventory,
}

impl From<FormatArg> for ManifestFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Keys => Self::Keys,
            FormatArg::Csv => Self::Csv,
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Inventory => Self::Inventory,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is chosen")]
pub(super) struct ManifestArgs {
    /// Work on the objects that FILE names, in place of a listing; - for stdin, or s3://bucket/key
    ///
    /// It holds keys, one a line; CSV or JSON lines, as list, failures, a receipt or S3 Batch Operations
    /// have them; or is the manifest.json of an S3 Inventory. It may be compressed (.gz, .zst). Keys are
    /// whole: SOURCE says where they lie, and what names at DEST are relative to
    #[arg(long, value_name = "FILE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    manifest: Option<String>,
    /// What FILE is written in [default: as it begins]
    #[arg(long, value_enum, value_name = "FORMAT", requires = "manifest")]
    manifest_format: Option<FormatArg>,
    /// End at the first line of FILE that is malformed or outside SOURCE
    #[arg(long, requires = "manifest")]
    strict: bool,
}

impl ManifestArgs {
    /// Whether there is one.
    pub(super) fn is_given(&self) -> bool {
        self.manifest.is_some()
    }

    /// Whether a line that is at fault ends the run.
    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The place of one that is in a bucket.
    pub(super) fn in_bucket(&self) -> Option<&str> {
        self.manifest.as_deref().filter(|name| name.starts_with("s3://"))
    }

    /// What makes another run the same job: where the manifest is, and not what it holds, so that one
    /// that was changed is refused.
    pub(super) fn identity(&self, options: &mut BTreeMap<String, String>) {
        let Some(name) = &self.manifest else { return };
        let is_path = name != "-" && self.in_bucket().is_none();
        let path = is_path.then(|| std::path::absolute(Path::new(name)).ok()).flatten();
        let name = path.map_or_else(|| name.clone(), |path| path.to_string_lossy().into_owned());
        options.insert("manifest".to_owned(), name);
        let format = self.manifest_format.and_then(|format| Some(format.to_possible_value()?.get_name().to_owned()));
        options.extend(format.map(|format| ("manifest-format".to_owned(), format)));
    }

    /// Finds the manifest, if there is one; one in a bucket is read as `end` reaches it.
    ///
    /// # Errors
    /// Those of [`Manifest::open`].
    pub(super) async fn open(&self, end: &End, pacer: &Arc<Pacer>) -> Result<Option<Manifest>, Error> {
        let Some(name) = &self.manifest else { return Ok(None) };
        let format = self.manifest_format.map(ManifestFormat::from);
        Manifest::open(ManifestSpec { name, format, end, pacer }).await.map(Some)
    }
}

/// The claim of a job whose objects may be those of a manifest.
///
/// # Errors
/// [`Error::Checkpoint`] for one that was changed since the job began.
pub(super) fn claim_with(claim: Claim, manifest: Option<&Manifest>) -> Result<Claim, Error> {
    match manifest {
        Some(manifest) => claim.with_manifest(manifest.print()),
        None => Ok(claim),
    }
}
