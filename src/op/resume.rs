//! What became of an upload that an earlier run, or a lost answer, left in doubt.

use super::copy::{Copy, Plan, written_as};
use super::parts;
use super::route::Way;
use crate::model::{Checksum, Class, RequestError, Upload, Written};
use crate::store::{Head, ListedPart, composite_etag};

/// An upload of an earlier run.
#[derive(Debug)]
pub(super) enum Taken {
    /// It goes on, with the parts that are there.
    Up(Upload),
    /// It was completed: its object is at the destination.
    Complete(Upload, Written),
    /// It is no more.
    Gone,
}

impl Copy {
    /// Looks what is left of `upload`, which was begun for the object as it still is.
    pub(super) async fn take_up(
        &self,
        plan: &Plan<'_>,
        mut upload: Upload,
        head: &Head,
    ) -> Result<Taken, RequestError> {
        match self.dest.list_parts(&plan.dest_key, &upload.id).await {
            Ok(listed) => {
                let known = std::mem::take(&mut upload.parts);
                for (number, part) in listed {
                    let recorded = known.get(&number).filter(|recorded| recorded.etag == part.part.etag);
                    let checksum = recorded.and_then(|recorded| recorded.checksum);
                    if let Some(part) = usable(&upload, number, part, checksum, plan.way) {
                        upload.parts.insert(number, part);
                    }
                }
                Ok(Taken::Up(upload))
            }
            Err(error) if error.code == "NoSuchUpload" => {
                let written = self.landed(plan, &upload, head.checksum).await?;
                Ok(written.map_or(Taken::Gone, |written| Taken::Complete(upload, written)))
            }
            // A permission of its own: what is recorded is relied on.
            Err(error) if matches!(error.class, Class::Denied | Class::Permanent) => Ok(Taken::Up(upload)),
            Err(error) => Err(error),
        }
    }

    /// The object at the destination, if it is what `upload` would have made: written since the job
    /// was begun, of its size, and with the entity tag of its parts or an equal `checksum`.
    pub(super) async fn landed(
        &self,
        plan: &Plan<'_>,
        upload: &Upload,
        checksum: Option<Checksum>,
    ) -> Result<Option<Written>, RequestError> {
        let there = match self.dest.head(&plan.dest_key, None).await {
            Err(error) if matches!(error.class, Class::Missing | Class::Denied) => return Ok(None),
            there => there?,
        };
        let is_whole = upload.parts.len() == usize::from(parts::count(upload.of.size, upload.part_size));
        let made = composite_etag(upload.parts.values()).filter(|_| is_whole);
        let same = match (checksum, there.checksum) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => made.is_some_and(|made| there.revision.etag.trim_matches('"') == made),
        };
        let is_recent = there.last_modified >= self.since();
        Ok((same && is_recent && there.revision.size == upload.of.size).then(|| written_as(&there)))
    }
}

/// A part that is there, if it can be relied on: of the right size, and, where the bytes go through
/// this machine, with a checksum.
fn usable(
    upload: &Upload,
    number: u16,
    listed: ListedPart,
    recorded: Option<Checksum>,
    way: Way,
) -> Option<crate::model::UploadedPart> {
    let bytes = parts::bytes(upload.of.size, upload.part_size, number);
    let mut part = listed.part;
    part.checksum = recorded.or(part.checksum);
    let is_right = number > 0 && listed.size == bytes.end - bytes.start && listed.size > 0;
    (is_right && (way == Way::Server || part.checksum.is_some())).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Revision, UploadedPart};

    fn upload() -> Upload {
        let of = Revision { size: 25, etag: "e".into(), version_id: None };
        Upload { id: "u".into(), part_size: 10, of, checksums: true, through_client: true, ..Upload::default() }
    }

    fn listed(size: u64, checksum: Option<Checksum>) -> ListedPart {
        ListedPart { size, part: UploadedPart { etag: "p".into(), checksum } }
    }

    #[test]
    fn only_parts_of_the_right_size_are_taken_over() {
        let at = |number, size| usable(&upload(), number, listed(size, None), None, Way::Server).is_some();
        assert!(at(1, 10) && at(3, 5));
        assert!(!at(1, 9) && !at(3, 10) && !at(4, 0) && !at(0, 10));
    }

    #[test]
    fn parts_of_this_machine_need_a_checksum() {
        let (a, b) = (Some(Checksum::of(b"a")), Some(Checksum::of(b"b")));
        let of = |listed_sum, recorded| usable(&upload(), 1, listed(10, listed_sum), recorded, Way::Client);
        assert!(of(None, None).is_none());
        assert_eq!(of(a, None).unwrap().checksum, a);
        assert_eq!(of(a, b).unwrap().checksum, b, "ours was computed over the bytes that were read");
    }
}
