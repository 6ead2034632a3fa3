//! Objects and bytes by folder and storage class: what a listing adds up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Objects of one storage class in one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The folder, as a location; of the rest, where there are too many folders, what they share.
    pub folder: String,
    /// The storage class.
    pub class: String,
    /// How many objects.
    pub objects: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

/// Folders that are told apart: the objects of others count for the folder above them.
const FOLDERS: usize = 10_000;

/// Such sums, each folder and class once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, BTreeMap<String, (u64, u64)>>);

impl Sums {
    /// Counts an object of `bytes` bytes.
    pub fn count(&mut self, folder: &str, class: &str, bytes: u64) {
        self.add(folder, class, 1, bytes);
    }

    /// Takes in sums.
    pub fn extend(&mut self, sums: &[Sum]) {
        sums.iter().for_each(|sum| self.add(&sum.folder, &sum.class, sum.objects, sum.bytes));
    }

    fn add(&mut self, mut folder: &str, class: &str, objects: u64, bytes: u64) {
        // Only full ones are looked for: the folder above takes what has no place.
        while self.0.len() >= FOLDERS && !self.0.contains_key(folder) {
            let Some(above) = above(folder) else { break };
            folder = above;
        }
        if !self.0.contains_key(folder) {
            self.0.insert(folder.to_owned(), BTreeMap::new());
        }
        let Some(classes) = self.0.get_mut(folder) else { return };
        if !classes.contains_key(class) {
            classes.insert(class.to_owned(), (0, 0));
        }
        if let Some((count, sum)) = classes.get_mut(class) {
            *count += objects;
            *sum = sum.saturating_add(bytes);
        }
    }

    /// Each folder and class, in order.
    pub fn iter(&self) -> impl Iterator<Item = Sum> {
        self.0.iter().flat_map(|(folder, classes)| {
            classes.iter().map(|(class, &(objects, bytes))| Sum {
                folder: folder.clone(),
                class: class.clone(),
                objects,
                bytes,
            })
        })
    }

    /// Takes all out.
    pub fn take(&mut self) -> Vec<Sum> {
        let sums = self.iter().collect();
        self.0.clear();
        sums
    }

    /// Objects and bytes by storage class.
    pub fn by_class(&self) -> BTreeMap<String, (u64, u64)> {
        let mut classes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (class, (objects, bytes)) in self.0.values().flatten() {
            let (count, sum) = classes.entry(class.clone()).or_default();
            *count += objects;
            *sum = sum.saturating_add(*bytes);
        }
        classes
    }

    /// Objects and bytes by folder.
    pub fn by_folder(&self) -> impl Iterator<Item = (&str, (u64, u64))> {
        self.0.iter().map(|(folder, classes)| {
            let add =
                |(count, sum): (u64, u64), &(objects, bytes): &(u64, u64)| (count + objects, sum.saturating_add(bytes));
            (folder.as_str(), classes.values().fold((0, 0), add))
        })
    }
}

/// The folder above one: `s3://b/x/` above `s3://b/x/y/`; `None` above a bucket.
fn above(folder: &str) -> Option<&str> {
    let path = folder.strip_suffix('/')?;
    let end = path.rfind('/')? + 1;
    (end > "s3://".len()).then(|| &folder[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_by_folder_and_class() {
        let mut sums = Sums::default();
        sums.count("s3://b/x/", "STANDARD", 5);
        sums.count("s3://b/x/", "STANDARD", 6);
        sums.count("s3://b/x/", "GLACIER", 1);
        sums.count("s3://b/", "GLACIER", 2);
        assert_eq!(sums.by_class()["GLACIER"], (2, 3));
        assert_eq!(sums.by_folder().collect::<Vec<_>>(), [("s3://b/", (1, 2)), ("s3://b/x/", (3, 12))]);
        let mut again = Sums::default();
        again.extend(&sums.take());
        assert_eq!(again.by_class()["STANDARD"], (2, 11));
        assert_eq!(sums, Sums::default());
    }

    #[test]
    fn folders_without_a_place_count_for_the_one_above() {
        let mut sums = Sums::default();
        sums.count("s3://b/", "STANDARD", 1);
        (0..2 * FOLDERS).for_each(|n| sums.count(&format!("s3://b/{n}/"), "STANDARD", 1));
        assert_eq!(sums.by_folder().count(), FOLDERS);
        assert_eq!(sums.by_class()["STANDARD"].0, 2 * FOLDERS as u64 + 1);
        assert_eq!(sums.by_folder().next(), Some(("s3://b/", (FOLDERS as u64 + 2, FOLDERS as u64 + 2))));
    }

    #[test]
    fn a_bucket_has_no_folder_above() {
        assert_eq!(above("s3://b/x/y/"), Some("s3://b/x/"));
        assert_eq!(above("s3://b/x/"), Some("s3://b/"));
        assert_eq!(above("s3://b/"), None);
        assert_eq!(above("s3://b//"), Some("s3://b/"));
    }
}
