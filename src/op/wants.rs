//! What a copy is written with: what the user asked for, and what comes from the source. Pure.

use crate::model::Object;
use crate::store::{Acl, Attributes, Encryption, Head, Headers};

/// The class of objects of which listings say none.
pub(super) const STANDARD: &str = "STANDARD";

/// Which of the things that a copy leaves to the destination are kept as the source has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preserve {
    /// The storage class.
    pub storage_class: bool,
    /// The encryption with a key of S3 or KMS.
    pub sse: bool,
    /// The access control list.
    pub acl: bool,
    /// Retention and legal hold.
    pub lock: bool,
}

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Content headers and user metadata in place of the source's.
    pub headers: Option<Headers>,
    /// Tags in place of the source's.
    pub tags: Option<Vec<(String, String)>>,
    /// An object whose tags cannot be read fails, rather than losing them.
    pub tags_required: bool,
    /// The storage class.
    pub storage_class: Option<String>,
    /// The encryption.
    pub encryption: Encryption,
    /// A canned ACL.
    pub acl: Option<String>,
    /// What is kept as the source has it.
    pub preserve: Preserve,
    /// The class is said even if it is the default: S3 copies an object onto itself only where it is told
    /// a class, headers or an encryption. *Source:* CopyObject in the S3 API reference.
    pub names_class: bool,
}

/// What was read of the source beside its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Read<'a> {
    /// Its headers; needed for all but CopyObject.
    pub(super) head: Option<&'a Head>,
    /// Its tags, where they are not copied by the store.
    pub(super) tags: Option<Vec<(String, String)>>,
    /// Its access control list, where it is kept.
    pub(super) acl: Option<Acl>,
}

impl Wants {
    /// Whether an object that is written onto itself would change.
    pub fn change_something(&self) -> bool {
        self.storage_class.is_some() || !self.leave_all_but_the_class()
    }

    /// Whether nothing but the storage class would change of an object that is written onto itself.
    pub fn leave_all_but_the_class(&self) -> bool {
        let encrypts = self.encryption != Encryption::default();
        self.headers.is_none() && self.tags.is_none() && self.acl.is_none() && !encrypts
    }

    /// The same for objects that are written onto themselves: what is not asked for stays, the class too,
    /// and retention and legal hold where the bucket `may_lock`.
    #[must_use]
    pub fn onto_itself(self, may_lock: bool) -> Self {
        let lock = self.preserve.lock || may_lock;
        Self { preserve: Preserve { storage_class: true, lock, ..self.preserve }, names_class: true, ..self }
    }

    /// Whether CopyObject needs to know more of the source than the listing says.
    pub(super) fn need_head(&self, object: &Object) -> bool {
        let keep = self.preserve;
        // A listing says the class; an object that failed before comes without.
        keep.sse || keep.lock || (keep.storage_class && object.last_modified.is_none())
    }

    /// Whether the source's access control list has to be read.
    pub(super) fn reads_acl(&self) -> bool {
        self.preserve.acl && self.acl.is_none()
    }

    /// What `object` is written with. Where the store `copies` it whole, headers and tags that
    /// nobody replaces are left to it.
    pub(super) fn attributes(&self, object: &Object, read: Read<'_>, copies: bool) -> Attributes {
        let keep = self.preserve;
        let head = read.head;
        let of_source = |head: Option<&Head>| head.map(|head| head.headers.clone()).unwrap_or_default();
        let headers = self.headers.clone().or_else(|| (!copies).then(|| of_source(head)));
        let tags = self.tags.clone().or_else(|| (!copies).then(|| read.tags.unwrap_or_default()));
        let class = head.map_or(&object.storage_class, |head| &head.storage_class);
        let default = || Some(STANDARD.to_owned()).filter(|_| self.names_class);
        let kept_class = class.clone().or_else(default).filter(|_| keep.storage_class);
        let kept_encryption = head.filter(|_| keep.sse).map(|head| head.encryption.clone()).unwrap_or_default();
        let lock = head.filter(|_| keep.lock).map(|head| head.lock.clone());
        Attributes {
            headers,
            tags,
            storage_class: self.storage_class.clone().or(kept_class),
            encryption: if self.encryption == Encryption::default() {
                kept_encryption
            } else {
                self.encryption.clone()
            },
            acl: self.acl.clone().map(Acl::Canned).or(read.acl),
            lock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Revision;
    use crate::store::Lock;

    fn head() -> Head {
        Head {
            revision: Revision { size: 1, etag: "e".into(), version_id: None },
            last_modified: 1,
            headers: Headers { content_type: Some("a/b".into()), ..Headers::default() },
            has_unreadable_metadata: false,
            tag_count: 1,
            storage_class: Some("STANDARD_IA".into()),
            restore: None,
            is_in_archive_tier: false,
            encryption: Encryption { algorithm: Some("aws:kms".into()), ..Encryption::default() },
            has_opaque_etag: true,
            lock: Lock { legal_hold: true, ..Lock::default() },
            checksum: None,
        }
    }

    fn attributes(wants: &Wants, copies: bool) -> Attributes {
        let head = head();
        let read = Read { head: Some(&head), tags: Some(vec![("t".into(), "v".into())]), acl: None };
        wants.attributes(&Object::new("k", 1), read, copies)
    }

    #[test]
    fn by_default_headers_and_tags_come_along_and_the_rest_is_the_destination_s() {
        let parts = attributes(&Wants::default(), false);
        assert_eq!(parts.headers.unwrap().content_type.as_deref(), Some("a/b"));
        assert_eq!(parts.tags.unwrap().len(), 1);
        assert_eq!((parts.storage_class, parts.encryption, parts.lock), (None, Encryption::default(), None));
        assert_eq!(attributes(&Wants::default(), true), Attributes::default());
    }

    #[test]
    fn what_is_preserved_comes_from_the_source_unless_something_else_is_asked_for() {
        let preserve = Preserve { storage_class: true, sse: true, acl: false, lock: true };
        let kept = attributes(&Wants { preserve, ..Wants::default() }, true);
        assert_eq!(kept.storage_class.as_deref(), Some("STANDARD_IA"));
        assert_eq!(kept.encryption.algorithm.as_deref(), Some("aws:kms"));
        assert!(kept.lock.unwrap().legal_hold);
        let asked = Wants { preserve, storage_class: Some("GLACIER".into()), ..Wants::default() };
        assert_eq!(attributes(&asked, false).storage_class.as_deref(), Some("GLACIER"));
    }

    #[test]
    fn what_is_written_onto_itself_keeps_its_class_and_says_it() {
        let tags = Wants { tags: Some(Vec::new()), ..Wants::default() };
        assert!(tags.change_something() && !tags.leave_all_but_the_class() && !Wants::default().change_something());
        let in_place = tags.onto_itself(true);
        let class = |object: &Object| in_place.attributes(object, Read::default(), true).storage_class.unwrap();
        assert_eq!(class(&Object::new("k", 1)), "STANDARD");
        assert_eq!(class(&Object { storage_class: Some("GLACIER".into()), ..Object::new("k", 1) }), "GLACIER");
        assert!(in_place.preserve.lock);
        let moved = Wants { storage_class: Some("GLACIER".into()), ..Wants::default() };
        assert!(moved.change_something() && moved.leave_all_but_the_class());
        assert_eq!(attributes(&moved.onto_itself(false), true).storage_class.as_deref(), Some("GLACIER"));
    }

    #[test]
    fn what_is_replaced_is_replaced_on_every_way() {
        let wants = Wants { headers: Some(Headers::default()), tags: Some(Vec::new()), ..Wants::default() };
        for copies in [true, false] {
            let attributes = attributes(&wants, copies);
            assert_eq!((attributes.headers, attributes.tags), (Some(Headers::default()), Some(Vec::new())));
        }
    }
}
