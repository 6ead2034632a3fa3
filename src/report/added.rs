//! What a listing added up, as users read it.

use std::collections::BTreeMap;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::model::{Sums, escape_key};

/// Objects and bytes by storage class and by folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Added {
    /// By storage class.
    pub storage_classes: BTreeMap<String, Count>,
    /// By folder: each object counts for one.
    pub folders: Vec<Folder>,
}

/// So many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Objects.
    pub objects: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

/// The objects of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Folder {
    /// The folder, as a location.
    pub folder: String,
    /// What is in it, and in those below it that are not told apart.
    #[serde(flatten)]
    pub count: Count,
}

impl From<&Sums> for Added {
    fn from(sums: &Sums) -> Self {
        let count = |(objects, bytes)| Count { objects, bytes };
        Self {
            storage_classes: sums.by_class().into_iter().map(|(class, sum)| (class, count(sum))).collect(),
            folders: sums
                .by_folder()
                .map(|(name, sum)| Folder { folder: name.to_owned(), count: count(sum) })
                .collect(),
        }
    }
}

impl Added {
    /// Two tables, in lines.
    pub fn text(&self) -> Vec<String> {
        let line = |count: Count, name: &str| {
            let (objects, bytes) = (HumanCount(count.objects).to_string(), HumanBytes(count.bytes).to_string());
            format!("{objects:>15}  {bytes:>12}  {name}")
        };
        let head = |name| format!("{:>15}  {:>12}  {name}", "OBJECTS", "SIZE");
        let mut lines = vec![head("STORAGE CLASS")];
        lines.extend(self.storage_classes.iter().map(|(class, count)| line(*count, &escape_key(class))));
        lines.push(String::new());
        lines.push(head("FOLDER"));
        lines.extend(self.folders.iter().map(|folder| line(folder.count, &escape_key(&folder.folder))));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_show_each_class_and_folder() {
        let mut sums = Sums::default();
        (0..1_500).for_each(|_| sums.count("s3://b/x/", "STANDARD", 2_048));
        sums.count("s3://b/", "GLACIER", 1);
        assert_eq!(
            Added::from(&sums).text(),
            [
                "        OBJECTS          SIZE  STORAGE CLASS",
                "              1           1 B  GLACIER",
                "          1,500      2.93 MiB  STANDARD",
                "",
                "        OBJECTS          SIZE  FOLDER",
                "              1           1 B  s3://b/",
                "          1,500      2.93 MiB  s3://b/x/",
            ]
        );
    }
}
