//! Whether an object can be read at once: storage classes that are archives, and restores from them.

use serde::{Deserialize, Serialize};

use super::Object;

/// How far the restore of an archived object is, as listings and HEAD tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreStatus {
    /// It was asked for, and is not finished.
    Ongoing,
    /// It is finished: there is a copy that can be read until then, in seconds since 1970.
    Until(i64),
}

/// How fast a restore is, and how dear. *Source:* "Understanding archive retrieval options" of S3's user
/// guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Within 5 to 12 hours, 48 from Deep Archive; the cheapest.
    Bulk,
    /// Within 3 to 5 hours, 12 from Deep Archive.
    Standard,
    /// Within minutes; not from Deep Archive.
    Expedited,
}

impl Tier {
    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Standard => "standard",
            Self::Expedited => "expedited",
        }
    }
}

/// What a store says to a restore that it takes. *Source:* RestoreObject in the S3 API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accepted {
    /// 202: it begins.
    Begun,
    /// 200: the object was restored already; its copy now stays for as long as was asked for.
    Extended,
}

impl Accepted {
    /// As users read it, behind a number of objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "restores were accepted",
            Self::Extended => "were restored already: their copies now stay longer",
        }
    }
}

/// Whether an object can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// At once, as long as it exists.
    Always,
    /// At once, until the restored copy goes away: seconds since 1970.
    Restored(i64),
    /// When the restore that is under way has finished.
    Restoring,
    /// Not before it is restored.
    Archived,
    /// Perhaps: only a HEAD tells (`INTELLIGENT_TIERING`, whose objects may be in its archive tiers).
    Unknown,
}

impl Access {
    /// Whether a read would be refused, as far as is known.
    pub fn is_cold(self) -> bool {
        matches!(self, Self::Archived | Self::Restoring)
    }
}

/// Whether objects of this class have to be restored before they can be read. *Source:* "Working with
/// archived objects" of S3's user guide: S3 Glacier Flexible Retrieval and Deep Archive; Instant Retrieval
/// need not.
pub fn is_archive_class(class: Option<&str>) -> bool {
    matches!(class, Some("GLACIER" | "DEEP_ARCHIVE"))
}

impl Object {
    /// Whether it can be read `now` (seconds since 1970), as far as its listing tells.
    pub fn access(&self, now: i64) -> Access {
        let class = self.storage_class.as_deref();
        match self.restore {
            Some(RestoreStatus::Ongoing) => Access::Restoring,
            _ if class == Some("INTELLIGENT_TIERING") => Access::Unknown,
            _ if !is_archive_class(class) => Access::Always,
            Some(RestoreStatus::Until(until)) if until > now => Access::Restored(until),
            Some(RestoreStatus::Until(_)) | None => Access::Archived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_follows_from_class_and_restore() {
        let access = |class: &str, restore| {
            let storage_class = Some(class.to_owned());
            Object { storage_class, restore, ..Object::new("k", 1) }.access(100)
        };
        assert_eq!(access("GLACIER", None), Access::Archived);
        assert_eq!(access("DEEP_ARCHIVE", Some(RestoreStatus::Ongoing)), Access::Restoring);
        assert_eq!(access("GLACIER", Some(RestoreStatus::Until(101))), Access::Restored(101));
        assert_eq!(access("GLACIER", Some(RestoreStatus::Until(100))), Access::Archived);
        assert_eq!(access("GLACIER_IR", None), Access::Always);
        assert_eq!(access("INTELLIGENT_TIERING", None), Access::Unknown);
        assert_eq!(access("INTELLIGENT_TIERING", Some(RestoreStatus::Ongoing)), Access::Restoring);
        assert_eq!(Object::new("k", 1).access(100), Access::Always);
    }
}
