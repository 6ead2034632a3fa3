//! How the lines of a manifest look, found out by its first ones, and what a line says. Pure.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::records::{Content, Fields, Framing, MARK};
use crate::model::Row;

/// What a manifest is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestFormat {
    /// A key a line.
    Keys,
    /// `bucket,key[,versionId]` with keys URL-encoded, as S3 Batch Operations has it; or with a header
    /// that names its columns, and keys as they are.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// The `manifest.json` of an S3 Inventory.
    Inventory,
}

/// How the lines of one file look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Keys,
    Table(Table),
    Jsonl,
    /// Not of lines: Apache Parquet.
    Parquet,
}

/// The columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    delimiter: u8,
    /// Names in lower case, without underscores.
    columns: Vec<String>,
    /// Columns at the end that may be missing.
    optional: usize,
    /// Whether keys are URL-encoded.
    encoded: bool,
    /// Whether the first line names the columns.
    header: bool,
}

/// What the first bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    Lines(Layout),
    Inventory,
}

impl Layout {
    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Table(table) => Framing::Table(table.delimiter),
            Self::Keys | Self::Jsonl | Self::Parquet => Framing::Lines,
        }
    }

    /// Whether the first line is none of an object.
    pub(super) fn has_header(&self) -> bool {
        matches!(self, Self::Table(table) if table.header)
    }

    /// The table that an S3 Inventory's `fileSchema` tells of.
    pub(super) fn of_schema(schema: &str) -> Self {
        let columns = schema.split(',').map(plain).collect();
        Self::Table(Table { delimiter: b',', columns, optional: 0, encoded: true, header: false })
    }

    fn of_batch(optional: usize) -> Self {
        let columns = ["bucket", "key", "versionid"].map(str::to_owned).to_vec();
        Self::Table(Table { delimiter: b',', columns, optional, encoded: true, header: false })
    }

    /// What a line says. `None` for one that names no object: an empty one, or a version that is not
    /// the latest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn row(&self, content: &Content<'_>) -> Result<Option<Row>, String> {
        match (self, content) {
            (_, Content::Bad(why)) => Err((*why).to_owned()),
            (_, Content::Line([])) => Ok(None),
            (Self::Keys, Content::Line(line)) => Ok(Some(Row::of_key(text(line)?))),
            (Self::Jsonl, Content::Line(line)) => json(line).map(Some),
            (Self::Table(table), Content::Fields(fields)) => table.row(*fields),
            _ => Err("it is of another format than the manifest".to_owned()),
        }
    }
}

/// The name of a column as it is compared: `VersionId` and `version_id` are one.
pub(super) fn plain(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', '-', ' '], "")
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Finds out how a file called `name` looks that begins with `head`; `buckets` are those of the
/// sources, by which a table without a header is known.
pub(super) fn detect(head: &[u8], name: &str, format: Option<ManifestFormat>, buckets: &[&str]) -> Detected {
    let head = head.strip_prefix(MARK).unwrap_or(head);
    if head.starts_with(b"PAR1") {
        return Detected::Lines(Layout::Parquet);
    }
    let line = head.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches('\r');
    let header = header(line);
    let lines = match format {
        Some(ManifestFormat::Keys) => Layout::Keys,
        Some(ManifestFormat::Jsonl) => Layout::Jsonl,
        Some(ManifestFormat::Csv) => header.unwrap_or(Layout::of_batch(1)),
        Some(ManifestFormat::Inventory) => return Detected::Inventory,
        None if is_inventory(head) => return Detected::Inventory,
        None if line.starts_with('{') => Layout::Jsonl,
        None => match header {
            Some(table) => table,
            None if is_batch(line, name, buckets) => Layout::of_batch(1),
            None => Layout::Keys,
        },
    };
    Detected::Lines(lines)
}

/// The `manifest.json` of an S3 Inventory is one JSON object with these fields.
fn is_inventory(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    head.trim_start().starts_with('{')
        && ["\"sourceBucket\"", "\"fileFormat\""].iter().all(|field| head.contains(field))
}

/// A line that names columns, `bucket` and `key` among them.
fn header(line: &str) -> Option<Layout> {
    [b',', b'\t'].into_iter().find_map(|delimiter| {
        let columns: Vec<String> =
            line.split(char::from(delimiter)).map(|name| plain(name.trim().trim_matches('"'))).collect();
        let has = |name: &str| columns.iter().any(|column| column == name);
        let table = Table { delimiter, columns: columns.clone(), optional: 0, encoded: false, header: true };
        (has("bucket") && has("key")).then_some(Layout::Table(table))
    })
}

/// Whether a line is `bucket,key`: its first field is one of the sources' buckets, or the file's name
/// ends in `.csv`.
fn is_batch(line: &str, name: &str, buckets: &[&str]) -> bool {
    let Some((bucket, _)) = line.split_once(',') else { return false };
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    name.ends_with(".csv") || buckets.contains(&bucket.trim().trim_matches('"'))
}

impl Table {
    fn row(&self, fields: Fields<'_>) -> Result<Option<Row>, String> {
        let most = self.columns.len();
        if !(most - self.optional..=most).contains(&fields.len()) {
            let many = if fields.len() == 1 { "1 field".to_owned() } else { format!("{} fields", fields.len()) };
            return Err(format!("it has {many} and not {}", self.columns.join(",")));
        }
        let mut row = Row::default();
        for (column, n) in self.columns.iter().zip(0..) {
            let value = text(fields.get(n).unwrap_or_default())?;
            match column.as_str() {
                "key" => row.key = self.key(value)?,
                "islatest" if value.eq_ignore_ascii_case("false") => return Ok(None),
                "isdeletemarker" if value.eq_ignore_ascii_case("true") => return Ok(None),
                _ if value.is_empty() => {}
                "bucket" => row.bucket = Some(value.to_owned()),
                "versionid" => row.version_id = Some(value.to_owned()),
                "size" => row.size = Some(size(value)?),
                "lastmodified" | "lastmodifieddate" => row.last_modified = Some(time(value)?),
                "etag" => row.etag = Some(value.to_owned()),
                "storageclass" => row.storage_class = Some(value.to_owned()),
                _ => {}
            }
        }
        checked(row).map(Some)
    }

    /// In S3's URL encoding a `+` is a blank, and a plus `%2B`.
    fn key(&self, value: &str) -> Result<String, String> {
        if !self.encoded {
            return Ok(value.to_owned());
        }
        let spaced = value.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| "its key is not UTF-8".to_owned())
    }
}

pub(super) fn checked(row: Row) -> Result<Row, String> {
    if row.key.is_empty() { Err("it names no key".to_owned()) } else { Ok(row) }
}

fn size(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("the size {text:?} is no number of bytes"))
}

fn time(text: &str) -> Result<i64, String> {
    let time = text.parse::<Timestamp>().map_err(|_| format!("the time {text:?} is not as 2025-01-31T12:00:00Z"))?;
    Ok(time.as_second())
}

/// A line of JSON: of our own listing, failures or receipt.
#[derive(Deserialize)]
struct Json {
    bucket: Option<String>,
    key: String,
    #[serde(alias = "versionId")]
    version_id: Option<String>,
    size: Option<u64>,
    last_modified: Option<String>,
    etag: Option<String>,
    storage_class: Option<String>,
}

fn json(line: &[u8]) -> Result<Row, String> {
    let json: Json = serde_json::from_slice(line).map_err(|error| format!("it is not as needed: {error}"))?;
    // A failure whose object could not be asked for says nothing of its size.
    let is_known = json.size != Some(0) || json.etag.is_some();
    checked(Row {
        bucket: json.bucket,
        key: json.key,
        version_id: json.version_id,
        size: json.size.filter(|_| is_known),
        last_modified: json.last_modified.as_deref().map(time).transpose()?,
        etag: json.etag,
        storage_class: json.storage_class,
    })
}

#[cfg(test)]
mod tests {
    use super::super::records::Records;
    use super::*;

    fn layout(head: &str, name: &str) -> Layout {
        match detect(head.as_bytes(), name, None, &["my-bucket"]) {
            Detected::Lines(layout) => layout,
            Detected::Inventory => panic!("an inventory"),
        }
    }

    fn rows(text: &str, name: &str) -> Vec<Result<Row, String>> {
        let layout = layout(text, name);
        let mut records = Records::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), 0, 0);
        let mut rows = Vec::new();
        while let Some(record) = records.next(layout.framing()).unwrap() {
            rows.extend(layout.row(&record.content).transpose());
        }
        if layout.has_header() { rows.split_off(1) } else { rows }
    }

    fn keys(text: &str, name: &str) -> Vec<String> {
        rows(text, name).into_iter().map(|row| row.unwrap_or_else(|why| Row::of_key(format!("!{why}"))).key).collect()
    }

    #[test]
    fn a_manifest_is_known_by_its_first_line() {
        assert_eq!(layout("", "x"), Layout::Keys);
        assert_eq!(layout("a/b,c\n", "x"), Layout::Keys);
        assert_eq!(layout("my-bucket,b\n", "x"), Layout::of_batch(1));
        assert_eq!(layout("\"my-bucket\",\"b\"\n", "x"), Layout::of_batch(1));
        assert_eq!(layout("other,b\n", "x.CSV.gz"), Layout::of_batch(1));
        assert_eq!(layout("{\"key\":\"a\"}\n", "x"), Layout::Jsonl);
        assert_eq!(layout("PAR1...", "x"), Layout::Parquet);
        assert!(layout("bucket\tkey\tsize\n", "x").has_header() && layout("\"Bucket\",\"Key\"\r\n", "x").has_header());
        let inventory = "{\n \"sourceBucket\" : \"b\",\n \"fileFormat\" : \"CSV\"}";
        assert_eq!(detect(inventory.as_bytes(), "m", None, &[]), Detected::Inventory);
        let keys = detect(b"my-bucket,b\n", "x", Some(ManifestFormat::Keys), &["my-bucket"]);
        assert_eq!(keys, Detected::Lines(Layout::Keys));
    }

    #[test]
    fn keys_are_taken_as_they_are() {
        assert_eq!(keys("a b\r\n\n%20+\n é\"x", "k"), ["a b", "%20+", " é\"x"]);
    }

    #[test]
    fn a_table_without_header_is_url_encoded_and_one_with_a_header_is_not() {
        assert_eq!(keys("my-bucket,a%20b%2Bc+d%0Ae\nmy-bucket,%C3%A9,v1\n", "k"), ["a b+c d\ne", "é"]);
        assert_eq!(rows("my-bucket,a,v1\n", "k")[0].as_ref().unwrap().version_id.as_deref(), Some("v1"));
        assert_eq!(keys("bucket,key,size\nb,a%20+,1\nb,\"x\ny,\"\"z\",2\n", "k"), ["a%20+", "x\ny,\"z"]);
    }

    #[test]
    fn all_that_our_own_listing_says_is_read() {
        let csv = "bucket,key,size,last_modified,etag,storage_class\nb,k,7,2024-01-31T12:34:56Z,e1,GLACIER\n";
        let json = "{\"bucket\":\"b\",\"key\":\"k\",\"size\":7,\"last_modified\":\"2024-01-31T12:34:56Z\",\"etag\":\"e1\",\
                    \"storage_class\":\"GLACIER\"}\n";
        let expected = Row {
            bucket: Some("b".into()),
            size: Some(7),
            last_modified: Some(1_706_704_496),
            etag: Some("e1".into()),
            storage_class: Some("GLACIER".into()),
            ..Row::of_key("k")
        };
        assert_eq!(rows(csv, "k"), [Ok(expected.clone())]);
        assert_eq!(rows(json, "k"), [Ok(expected)]);
    }

    #[test]
    fn of_an_inventory_only_the_latest_versions_are_taken() {
        let layout = Layout::of_schema("Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size");
        let text = "\"b\",\"a\",\"v2\",\"true\",\"false\",\"5\"\n\"b\",\"a\",\"v1\",\"false\",\"false\",\"4\"\n\
                    \"b\",\"gone\",\"v1\",\"true\",\"true\",\"\"\n";
        let mut records = Records::new(Box::new(text.as_bytes()), 0, 0);
        let mut found = Vec::new();
        while let Some(record) = records.next(layout.framing()).unwrap() {
            found.extend(layout.row(&record.content).unwrap());
        }
        let found: Vec<_> = found.iter().map(|row| (row.key.as_str(), row.version_id.as_deref(), row.size)).collect();
        assert_eq!(found, [("a", Some("v2"), Some(5))]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let why = |text: &str, name: &str| rows(text, name)[0].clone().unwrap_err();
        assert_eq!(why("my-bucket,\n", "k"), "it names no key");
        assert_eq!(why("nothing,\n", "k.csv"), "it names no key");
        assert_eq!(why("my-bucket,a,b,c\n", "k"), "it has 4 fields and not bucket,key,versionid");
        assert_eq!(why("bucket,key,size\nb,a,x\n", "k"), "the size \"x\" is no number of bytes");
        assert!(why("{\"kee\":1}\n", "k").contains("missing field `key`"));
        assert!(why("{\"key\":\"a\",\"last_modified\":\"soon\"}\n", "k").contains("2025-01-31"));
        assert_eq!(Layout::Keys.row(&Content::Line(b"\xff")), Err("it is not UTF-8".to_owned()));
    }
}
