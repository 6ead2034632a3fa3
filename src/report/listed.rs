//! One line for each object of a listing.

use std::io::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{Error, Object, escape_key};

/// How the lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time (UTC), size and location, for people; odd characters in keys are escaped.
    #[default]
    Text,
    /// One JSON object each.
    Jsonl,
    /// Comma separated, with a header (RFC 4180).
    Csv,
    /// Tab separated, with a header; quoted like CSV where needed.
    Tsv,
}

pub use crate::model::STANDARD;

/// The columns, and the fields of the JSON objects.
#[derive(Serialize)]
struct Line<'a> {
    bucket: &'a str,
    key: &'a str,
    size: u64,
    last_modified: Option<Timestamp>,
    etag: Option<&'a str>,
    storage_class: &'a str,
}

/// Their names.
const COLUMNS: [&str; 6] = ["bucket", "key", "size", "last_modified", "etag", "storage_class"];

impl<'a> Line<'a> {
    fn new(bucket: &'a str, object: &'a Object) -> Self {
        Self {
            bucket,
            key: &object.key,
            size: object.size,
            last_modified: object.last_modified.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            // The quotes that S3 writes are no part of it.
            etag: object.etag.as_deref().map(|etag| etag.trim_matches('"')),
            storage_class: object.storage_class.as_deref().unwrap_or(STANDARD),
        }
    }
}

impl Format {
    /// What a file begins with.
    ///
    /// # Errors
    /// None but a bug.
    pub fn header(self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        if let Some(delimiter) = self.delimiter() {
            table(delimiter, &mut out).write_record(COLUMNS).map_err(|error| bug(&error))?;
        }
        Ok(out)
    }

    /// Appends a line for each of these objects of `bucket`.
    ///
    /// # Errors
    /// None but a bug.
    pub fn lines<'a>(
        self,
        bucket: &str,
        objects: impl Iterator<Item = &'a Object>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut lines = objects.map(|object| Line::new(bucket, object));
        match self {
            Self::Text => lines.try_for_each(|line| text(&line, out)).map_err(|error| bug(&error)),
            Self::Jsonl => lines
                .try_for_each(|line| {
                    serde_json::to_writer(&mut *out, &line)?;
                    out.push(b'\n');
                    Ok(())
                })
                .map_err(|error: serde_json::Error| bug(&error)),
            Self::Csv | Self::Tsv => {
                let mut table = table(self.delimiter().unwrap_or_default(), out);
                lines.try_for_each(|line| table.serialize(line)).map_err(|error| bug(&error))
            }
        }
    }

    fn delimiter(self) -> Option<u8> {
        match self {
            Self::Text | Self::Jsonl => None,
            Self::Csv => Some(b','),
            Self::Tsv => Some(b'\t'),
        }
    }
}

fn table(delimiter: u8, out: &mut Vec<u8>) -> csv::Writer<&mut Vec<u8>> {
    csv::WriterBuilder::new().delimiter(delimiter).has_headers(false).from_writer(out)
}

/// As aws-cli does, with the whole location.
fn text(line: &Line<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
    match line.last_modified {
        Some(time) => write!(out, "{}", time.strftime("%F %T"))?,
        None => write!(out, "{:19}", "-")?,
    }
    writeln!(out, " {:>13} s3://{}/{}", line.size, line.bucket, escape_key(line.key))
}

fn bug(error: &dyn std::error::Error) -> Error {
    Error::Internal(format!("a line of the listing cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(key: &str) -> Object {
        Object { etag: Some("\"e1\"".to_owned()), last_modified: Some(1_706_704_496), ..Object::new(key, 1234) }
    }

    fn lines(format: Format, key: &str) -> String {
        let mut out = format.header().unwrap();
        format.lines("b", [object(key)].iter(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_shows_an_object() {
        assert_eq!(lines(Format::Text, "a\n"), "2024-01-31 12:34:56          1234 s3://b/a\\n\n");
        assert_eq!(
            lines(Format::Jsonl, "a\n"),
            "{\"bucket\":\"b\",\"key\":\"a\\n\",\"size\":1234,\"last_modified\":\"2024-01-31T12:34:56Z\",\"etag\":\"e1\",\
             \"storage_class\":\"STANDARD\"}\n"
        );
        assert_eq!(
            lines(Format::Csv, "a,\"b"),
            "bucket,key,size,last_modified,etag,storage_class\nb,\"a,\"\"b\",1234,2024-01-31T12:34:56Z,e1,STANDARD\n"
        );
        assert!(lines(Format::Tsv, "a").ends_with("\nb\ta\t1234\t2024-01-31T12:34:56Z\te1\tSTANDARD\n"));
    }

    #[test]
    fn what_is_not_known_is_empty() {
        let mut out = Vec::new();
        Format::Csv.lines("b", [Object::new("k", 0)].iter(), &mut out).unwrap();
        assert_eq!(out, b"b,k,0,,,STANDARD\n");
    }

    proptest! {
        #[test]
        fn any_key_comes_back(key in "(\\PC|[\u{0}-\u{20},\"\t]){0,12}", tabs: bool) {
            let format = if tabs { Format::Tsv } else { Format::Csv };
            let text = lines(format, &key);
            let mut reader = csv::ReaderBuilder::new().delimiter(format.delimiter().unwrap()).from_reader(text.as_bytes());
            let row = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(&row[1], key.as_str());
            let json: serde_json::Value = serde_json::from_str(&lines(Format::Jsonl, &key)).unwrap();
            prop_assert_eq!(&json["key"], key.as_str());
        }
    }
}
