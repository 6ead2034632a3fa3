//! The `manifest.json` of an S3 Inventory: which files list the objects, and how. Pure.

use serde::Deserialize;

use super::layout::Layout;

/// What the file says. *Source:* "Locating your inventory list" of S3's user guide.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inventory {
    /// The ARN of the bucket that the files are in.
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    pub(super) files: Vec<File>,
}

/// One file of an inventory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct File {
    /// Its key in the destination bucket.
    pub(super) key: String,
    /// Its length, in bytes.
    pub(super) size: Option<u64>,
}

impl Inventory {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not the manifest.json of an S3 Inventory: {error}"))
    }

    /// The bucket that the files are in.
    pub(super) fn bucket(&self) -> &str {
        self.destination_bucket.rsplit(":::").next().unwrap_or_default()
    }

    /// How the files look.
    ///
    /// # Errors
    /// That they are in a format that is not read.
    pub(super) fn layout(&self) -> Result<Layout, String> {
        match self.file_format.to_ascii_uppercase().as_str() {
            "CSV" => Ok(Layout::of_schema(&self.file_schema)),
            "PARQUET" if cfg!(feature = "parquet") => Ok(Layout::Parquet),
            "PARQUET" => Err("its files are in Parquet, which this program was built without (feature `parquet`): \
                              have the inventory written as CSV"
                .to_owned()),
            other => Err(format!(
                "its files are in {other}, which is not read: have the inventory written as CSV or Parquet"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(format: &str) -> String {
        format!(
            "{{\"sourceBucket\":\"b\",\"destinationBucket\":\"arn:aws:s3:::inventories\",\"version\":\"2016-11-30\",\
             \"creationTimestamp\":\"1\",\"fileFormat\":\"{format}\",\"fileSchema\":\"Bucket, Key, Size\",\
             \"files\":[{{\"key\":\"a/data/1.csv.gz\",\"size\":1,\"MD5checksum\":\"x\"}}]}}"
        )
    }

    #[test]
    fn it_names_its_files_and_their_columns() {
        let inventory = Inventory::parse(json("CSV").as_bytes()).unwrap();
        assert_eq!(inventory.bucket(), "inventories");
        assert_eq!(inventory.layout(), Ok(Layout::of_schema("bucket,key,size")));
        assert_eq!(inventory.files[0].key, "a/data/1.csv.gz");
    }

    #[test]
    fn what_is_not_read_is_refused() {
        let why = Inventory::parse(json("ORC").as_bytes()).unwrap().layout().unwrap_err();
        assert!(why.contains("ORC") && why.contains("CSV or Parquet"), "{why}");
        assert!(Inventory::parse(b"{}").unwrap_err().contains("manifest.json"));
    }
}
