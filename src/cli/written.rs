//! The flags that say what is written, and what is left alone.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::model::{Error, parse_size};
use crate::op::{Keep, LARGEST_PART, Preserve, SMALLEST_PART, Wants};
use crate::store::{CustomerKey, Encryption, Headers};

/// Tags that an object may have. *Source:* "Categorizing your storage using tags".
const MOST_TAGS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Directive {
    Copy,
    Replace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tags {
    /// Copied where they may be read; where not, that is said.
    Auto,
    /// An object whose tags may not be read fails.
    Require,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kept {
    StorageClass,
    Sse,
    Acl,
    Lock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sse {
    #[value(name = "AES256")]
    Aes256,
    #[value(name = "aws:kms")]
    Kms,
    #[value(name = "aws:kms:dsse")]
    KmsDsse,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is written")]
pub(super) struct WriteArgs {
    /// Storage class of the copies [default: the destination's]
    #[arg(long, value_name = "CLASS", value_parser = parse_class)]
    storage_class: Option<String>,
    /// Where content headers and user metadata come from
    #[arg(long, value_enum, default_value = "copy", value_name = "DIRECTIVE")]
    metadata_directive: Directive,
    /// User metadata, with --metadata-directive replace; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_metadata)]
    metadata: Vec<(String, String)>,
    /// Content-Type, with --metadata-directive replace; likewise the next five
    #[arg(long, value_name = "TYPE", value_parser = parse_header)]
    content_type: Option<String>,
    /// Content-Encoding
    #[arg(long, value_name = "ENCODING", value_parser = parse_header)]
    content_encoding: Option<String>,
    /// Content-Disposition
    #[arg(long, value_name = "TEXT", value_parser = parse_header)]
    content_disposition: Option<String>,
    /// Content-Language
    #[arg(long, value_name = "LANGUAGE", value_parser = parse_header)]
    content_language: Option<String>,
    /// Cache-Control
    #[arg(long, value_name = "TEXT", value_parser = parse_header)]
    cache_control: Option<String>,
    /// Expires
    #[arg(long, value_name = "DATE", value_parser = parse_header)]
    expires: Option<String>,
    /// Where tags come from
    #[arg(long, value_enum, default_value = "copy", value_name = "DIRECTIVE")]
    tagging_directive: Directive,
    /// A tag, with --tagging-directive replace; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// What becomes of objects whose tags may not be read
    #[arg(long, value_enum, default_value = "auto", value_name = "RULE")]
    tags: Tags,
    /// Canned ACL of the copies, as bucket-owner-full-control
    #[arg(long, value_name = "ACL", value_parser = parse_acl)]
    acl: Option<String>,
    /// Encryption of the copies [default: the destination's]
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    sse: Option<Sse>,
    /// KMS key of the copies, with --sse aws:kms
    #[arg(long, value_name = "KEY", value_parser = parse_header)]
    sse_kms_key_id: Option<String>,
    /// Use an S3 bucket key, with --sse aws:kms
    #[arg(long)]
    sse_bucket_key: bool,
    /// File with the key of SSE-C for the copies, 32 bytes or base64 [env: S3BULK_SSE_C_KEY, in base64]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sse", "sse_kms_key_id", "sse_bucket_key"])]
    sse_c_key_file: Option<PathBuf>,
    /// The same for the source's objects [env: S3BULK_SOURCE_SSE_C_KEY]
    #[arg(long, value_name = "FILE")]
    source_sse_c_key_file: Option<PathBuf>,
    /// Keep what the source has of these; separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT,...")]
    preserve: Vec<Kept>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is left alone")]
pub(super) struct KeepArgs {
    /// Never overwrite: skip what is there, and write only where there is nothing (If-None-Match)
    #[arg(long)]
    no_overwrite: bool,
    /// Skip objects that the destination has: same size, not older, equal ETag where it tells
    #[arg(long)]
    skip_existing: bool,
    /// Skip objects of which the destination has a newer one
    #[arg(long)]
    skip_newer: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Large objects")]
pub(super) struct PartArgs {
    /// Copy larger objects in parts [default: 256MiB within the store, 32MiB through this machine]
    #[arg(long, value_name = "SIZE", value_parser = parse_threshold)]
    pub(super) multipart_threshold: Option<u64>,
    /// Size of a part [default: as the source's, else 64MiB within the store, 16MiB through this machine]
    #[arg(long, value_name = "SIZE", value_parser = parse_part)]
    pub(super) part_size: Option<u64>,
}

/// What can be the value of an HTTP header.
fn parse_header(text: &str) -> Result<String, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("it holds {c:?}, which no HTTP header can")),
        None if text.trim() != text || text.is_empty() => Err("it is empty, or begins or ends with blanks".to_owned()),
        None => Ok(text.to_owned()),
    }
}

pub(super) fn parse_class(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if text.is_empty() || !text.chars().all(plain) {
        return Err("a storage class is written as STANDARD_IA or DEEP_ARCHIVE".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_acl(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c == '-';
    if text.is_empty() || !text.chars().all(plain) {
        return Err("a canned ACL is written as private or bucket-owner-full-control".to_owned());
    }
    Ok(text.to_owned())
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| "write it as NAME=VALUE".to_owned())
}

fn parse_metadata(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    // RFC 9110: the characters of a header's name.
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
        return Err(format!("{name:?} cannot be the name of a header"));
    }
    if !value.is_empty() {
        parse_header(value)?;
    }
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    pair(text).map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn parse_part(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size > LARGEST_PART => Err("a part has at most 5GiB".to_owned()),
        size if size < SMALLEST_PART => Err("a part has at least 5MiB".to_owned()),
        size => Ok(size),
    }
}

fn parse_threshold(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size < SMALLEST_PART => Err("only objects above 5MiB can be copied in parts".to_owned()),
        size => Ok(size),
    }
}

impl KeepArgs {
    pub(super) fn keep(&self) -> Keep {
        Keep { all: self.no_overwrite, same: self.skip_existing, newer: self.skip_newer }
    }

    /// What makes another run the same job.
    pub(super) fn identity(&self, options: &mut BTreeMap<String, String>) {
        let flags = [
            ("no-overwrite", self.no_overwrite),
            ("skip-existing", self.skip_existing),
            ("skip-newer", self.skip_newer),
        ];
        let given = flags.into_iter().filter(|(_, given)| *given);
        options.extend(given.map(|(name, _)| (name.to_owned(), "true".to_owned())));
    }
}

impl WriteArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// [`Error::Usage`] for flags that would have no effect.
    pub(super) fn wants(&self) -> Result<Wants, Error> {
        let replaces = self.metadata_directive == Directive::Replace;
        let headers = Headers {
            content_type: self.content_type.clone(),
            content_encoding: self.content_encoding.clone(),
            content_disposition: self.content_disposition.clone(),
            content_language: self.content_language.clone(),
            cache_control: self.cache_control.clone(),
            expires: self.expires.clone(),
            metadata: self.metadata.iter().cloned().collect::<HashMap<_, _>>(),
        };
        let refuse = |what: &str| Err(Error::Usage(what.to_owned()));
        if !replaces && headers != Headers::default() {
            return refuse(
                "--metadata, --content-type and the like replace what the source has: add --metadata-directive replace",
            );
        }
        let replaces_tags = self.tagging_directive == Directive::Replace;
        if !replaces_tags && !self.tag.is_empty() {
            return refuse("--tag replaces the source's tags: add --tagging-directive replace");
        }
        if self.tag.len() > MOST_TAGS {
            return refuse("an object has at most 10 tags");
        }
        let mut names: Vec<&str> = self.tag.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Usage(format!("--tag {:?} is given twice", twice[0])));
        }
        let kms = matches!(self.sse, Some(Sse::Kms | Sse::KmsDsse));
        if !kms && (self.sse_kms_key_id.is_some() || self.sse_bucket_key) {
            return refuse("--sse-kms-key-id and --sse-bucket-key go with --sse aws:kms");
        }
        let algorithm = self.sse.map(|sse| match sse {
            Sse::Aes256 => "AES256",
            Sse::Kms => "aws:kms",
            Sse::KmsDsse => "aws:kms:dsse",
        });
        let keeps = |kept: Kept| self.preserve.contains(&kept);
        Ok(Wants {
            headers: replaces.then_some(headers),
            tags: replaces_tags.then(|| self.tag.clone()),
            tags_required: self.tags == Tags::Require,
            storage_class: self.storage_class.clone(),
            encryption: Encryption {
                algorithm: algorithm.map(str::to_owned),
                kms_key_id: self.sse_kms_key_id.clone(),
                bucket_key: self.sse_bucket_key.then_some(true),
            },
            acl: self.acl.clone(),
            names_class: false,
            preserve: Preserve {
                storage_class: keeps(Kept::StorageClass),
                sse: keeps(Kept::Sse),
                acl: keeps(Kept::Acl),
                lock: keeps(Kept::Lock),
            },
        })
    }

    /// The keys of SSE-C of the source and of the destination.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file or a variable that holds no key. Neither is shown.
    pub(super) fn customer_keys(&self) -> Result<(Option<CustomerKey>, Option<CustomerKey>), Error> {
        let source = key(self.source_sse_c_key_file.as_ref(), SOURCE_KEY)?;
        let dest = key(self.sse_c_key_file.as_ref(), DEST_KEY)?;
        if dest.is_some() && (self.sse.is_some() || self.preserve.contains(&Kept::Sse)) {
            return Err(Error::Usage("an SSE-C key and --sse or --preserve sse exclude each other".to_owned()));
        }
        Ok((source, dest))
    }

    /// What makes another run the same job. No key is in it.
    pub(super) fn identity(&self, options: &mut BTreeMap<String, String>) {
        let mut put = |name: &str, value: Option<String>| {
            options.extend(value.map(|value| (name.to_owned(), value)));
        };
        let pairs = |pairs: &[(String, String)]| {
            let mut pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.sort();
            (!pairs.is_empty()).then(|| pairs.join("&"))
        };
        let named = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        put("storage-class", self.storage_class.clone());
        put("metadata-directive", (self.metadata_directive == Directive::Replace).then(|| "replace".to_owned()));
        put("metadata", pairs(&self.metadata));
        put("content-type", self.content_type.clone());
        put("content-encoding", self.content_encoding.clone());
        put("content-disposition", self.content_disposition.clone());
        put("content-language", self.content_language.clone());
        put("cache-control", self.cache_control.clone());
        put("expires", self.expires.clone());
        put("tagging-directive", (self.tagging_directive == Directive::Replace).then(|| "replace".to_owned()));
        put("tag", pairs(&self.tag));
        put("tags", (self.tags == Tags::Require).then(|| "require".to_owned()));
        put("acl", self.acl.clone());
        put("sse", self.sse.map(|sse| named(&sse)));
        put("sse-kms-key-id", self.sse_kms_key_id.clone());
        put("sse-bucket-key", self.sse_bucket_key.then(|| "true".to_owned()));
        let mut kept: Vec<String> = self.preserve.iter().map(|kept| named(kept)).collect();
        kept.sort();
        kept.dedup();
        put("preserve", (!kept.is_empty()).then(|| kept.join(",")));
        let given = |file: &Option<PathBuf>, variable| {
            (file.is_some() || std::env::var_os(variable).is_some_and(|value| !value.is_empty()))
                .then(|| "given".to_owned())
        };
        put("sse-c", given(&self.sse_c_key_file, DEST_KEY));
        put("source-sse-c", given(&self.source_sse_c_key_file, SOURCE_KEY));
    }
}

/// The variable with the SSE-C key of the copies.
const DEST_KEY: &str = "S3BULK_SSE_C_KEY";
/// The variable with the SSE-C key of the source's objects.
const SOURCE_KEY: &str = "S3BULK_SOURCE_SSE_C_KEY";

fn key(file: Option<&PathBuf>, variable: &str) -> Result<Option<CustomerKey>, Error> {
    let (from, bytes) = match (file, std::env::var_os(variable)) {
        (Some(file), _) => {
            let unreadable = |error| Error::Usage(format!("the key file {} cannot be read: {error}", file.display()));
            (file.display().to_string(), std::fs::read(file).map_err(unreadable)?)
        }
        (None, Some(value)) if !value.is_empty() => (variable.to_owned(), value.into_encoded_bytes()),
        _ => return Ok(None),
    };
    CustomerKey::parse(&bytes).map(Some).map_err(|why| Error::Usage(format!("{from}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_header_is_refused() {
        assert!(parse_header("text/plain; charset=utf-8").is_ok() && parse_header("größe").is_ok());
        assert!(parse_header("a\nb").is_err() && parse_header("").is_err() && parse_header(" a").is_err());
        assert_eq!(parse_metadata("Owner=a=b"), Ok(("owner".to_owned(), "a=b".to_owned())));
        assert!(parse_metadata("=x").is_err() && parse_metadata("a b=c").is_err() && parse_metadata("a").is_err());
        assert!(parse_class("GLACIER_IR").is_ok() && parse_class("glacier").is_err());
    }

    #[test]
    fn sizes_of_parts_have_limits() {
        assert_eq!(parse_part("8MiB"), Ok(8 << 20));
        assert!(parse_part("1MiB").is_err() && parse_part("6GiB").is_err());
        assert!(parse_threshold("1MiB").is_err() && parse_threshold("1TiB").is_ok());
    }
}
