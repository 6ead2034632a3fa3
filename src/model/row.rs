//! What a line of a manifest says of an object. Much of it may be left unsaid.

use super::Object;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The bucket, where the line names it.
    pub bucket: Option<String>,
    /// The full key.
    pub key: String,
    /// The version that is meant.
    pub version_id: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// When it was written: seconds since 1970.
    pub last_modified: Option<i64>,
    /// The entity tag, with or without quotes.
    pub etag: Option<String>,
    /// The storage class, `STANDARD` too.
    pub storage_class: Option<String>,
}

impl Row {
    /// A line that says no more than a key.
    pub fn of_key(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// The object as a listing would show it. One whose class is not said comes without its time, by
    /// which an operation knows to ask for the class; one whose size is not said is
    /// [unknown](Object::is_unknown).
    pub fn object(self) -> Object {
        let Some(size) = self.size else { return Object { version_id: self.version_id, ..Object::new(self.key, 0) } };
        let etag = self.etag.map(|etag| format!("\"{}\"", etag.trim_matches('"')));
        Object {
            etag,
            last_modified: self.last_modified.filter(|_| self.storage_class.is_some()),
            storage_class: self.storage_class.filter(|class| class != "STANDARD"),
            version_id: self.version_id,
            ..Object::new(self.key, size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_what_its_line_says() {
        assert!(Row::of_key("k").object().is_unknown());
        let row = Row { size: Some(3), etag: Some("e".into()), last_modified: Some(9), ..Row::of_key("k") };
        let object = row.clone().object();
        assert_eq!((object.etag.as_deref(), object.last_modified), (Some("\"e\""), None));
        let object = Row { storage_class: Some("STANDARD".into()), ..row }.object();
        assert_eq!((object.storage_class, object.last_modified), (None, Some(9)));
    }
}
