//! Files of an S3 Inventory that are written as Apache Parquet. The place behind a row is its number.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;
use tokio::sync::mpsc::Sender;

use super::NOT_TWICE;
use super::layout::{checked, plain};
use super::place::{Place, Reach, Remote, check_length};
use super::read::Told;
use crate::model::{Line, Row};
use crate::source::CHUNK;

/// The columns that are read, as [`plain`] writes them.
const COLUMNS: [&str; 9] =
    ["bucket", "key", "versionid", "islatest", "isdeletemarker", "size", "lastmodifieddate", "etag", "storageclass"];

/// Reads the rows of a range, behind its first place up to its last, or until nobody listens to `out`.
pub(super) fn read(place: &Place, reach: &Reach, range: (Line, Line), out: &Sender<Vec<Told>>) -> io::Result<()> {
    let read = match place {
        Place::Once(_) => return Err(io::Error::other(NOT_TWICE)),
        Place::Local(path) => rows(File::open(path)?, range, out),
        Place::Remote { bucket, key, least } => {
            let revision = reach.wait(bucket.head(key, None))?.revision;
            check_length(revision.size, *least)?;
            let (bucket, key) = ((**bucket).clone(), key.clone());
            rows(Remote { bucket, key, revision, at: 0, held: Bytes::new(), reach: reach.clone() }, range, out)
        }
    };
    read.map_err(|error| match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    })
}

fn rows(file: impl ChunkReader + 'static, (from, until): (Line, Line), out: &Sender<Vec<Told>>) -> Result<()> {
    let file = SerializedFileReader::new(file)?;
    let columns = columns(file.metadata().file_metadata().schema())?;
    let mut number = 0;
    let mut batch = Vec::new();
    'groups: for (index, group) in file.metadata().row_groups().iter().enumerate() {
        let in_group = u64::try_from(group.num_rows()).unwrap_or_default();
        if number + in_group <= from.at {
            number += in_group;
            continue;
        }
        for record in file.get_row_group(index)?.get_row_iter(Some(columns.clone()))? {
            let record = record?;
            number += 1;
            if number <= from.at {
                continue;
            }
            let at = Line { file: from.file, at: number, number };
            if at > until {
                break 'groups;
            }
            batch.extend(row(&record).transpose().map(|row| Told { at, number, row }));
            if batch.len() >= CHUNK && out.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
        }
    }
    // Closed only when the run ends.
    let _ = out.blocking_send(batch);
    Ok(())
}

/// The columns that matter.
fn columns(schema: &Type) -> Result<Type> {
    let matters = |field: &&Arc<Type>| COLUMNS.contains(&plain(field.name()).as_str());
    let fields: Vec<_> = schema.get_fields().iter().filter(matters).cloned().collect();
    if !fields.iter().any(|field| plain(field.name()) == "key") {
        return Err(ParquetError::General("it has no column called key".to_owned()));
    }
    Type::group_type_builder(schema.name()).with_fields(fields).build()
}

/// What a row says; `None` for a version that is not the latest.
fn row(record: &Record) -> std::result::Result<Option<Row>, String> {
    let mut row = Row::default();
    for (name, field) in record.get_column_iter() {
        match (plain(name).as_str(), field) {
            (_, Field::Null) => {}
            ("islatest", Field::Bool(false)) | ("isdeletemarker", Field::Bool(true)) => return Ok(None),
            ("key", field) => row.key = text(field)?,
            ("bucket", field) => row.bucket = Some(text(field)?),
            ("versionid", field) => row.version_id = Some(text(field)?).filter(|id| !id.is_empty()),
            ("etag", field) => row.etag = Some(text(field)?),
            ("storageclass", field) => row.storage_class = Some(text(field)?),
            ("size", field) => row.size = Some(size(field)?),
            ("lastmodifieddate", field) => row.last_modified = Some(seconds(field)?),
            _ => {}
        }
    }
    checked(row).map(Some)
}

fn text(field: &Field) -> std::result::Result<String, String> {
    match field {
        Field::Str(text) => Ok(text.clone()),
        Field::Bytes(bytes) => {
            std::str::from_utf8(bytes.data()).map(str::to_owned).map_err(|_| "it is not UTF-8".to_owned())
        }
        other => Err(format!("{other} is no text")),
    }
}

fn size(field: &Field) -> std::result::Result<u64, String> {
    let size = match field {
        Field::Long(size) => u64::try_from(*size).ok(),
        Field::Int(size) => u64::try_from(*size).ok(),
        Field::ULong(size) => Some(*size),
        _ => None,
    };
    size.ok_or_else(|| format!("the size {field} is no number of bytes"))
}

fn seconds(field: &Field) -> std::result::Result<i64, String> {
    match field {
        Field::TimestampMillis(time) => Ok(time.div_euclid(1_000)),
        Field::TimestampMicros(time) => Ok(time.div_euclid(1_000_000)),
        other => Err(format!("{other} is no time")),
    }
}

impl Length for Remote {
    fn len(&self) -> u64 {
        self.revision.size
    }
}

impl ChunkReader for Remote {
    type T = Self;

    fn get_read(&self, start: u64) -> Result<Self> {
        let (bucket, key, reach) = (self.bucket.clone(), self.key.clone(), self.reach.clone());
        Ok(Self { bucket, key, revision: self.revision.clone(), at: start, held: Bytes::new(), reach })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let range = start..start.saturating_add(length as u64);
        let request = self.bucket.get_range(&self.key, &self.revision, &range);
        self.reach.wait(request).map(|(bytes, _)| bytes).map_err(|error| ParquetError::External(Box::new(error)))
    }
}
