//! What a copy sends and costs, as far as a listing tells of its object: for the plan, and for the
//! spend of a run. Pure, but for the clock.

use super::copy::{Copy, Plan};
use super::evidence::parts_in;
use super::parts;
use super::route::Way;
use super::wants::Wants;
use crate::model::{Billed, Item, Made, Object, Operation, Planned, Requests, STANDARD, Spent, Transfer};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// How a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) made: Made,
    /// Its parts; 0 in one piece.
    pub(super) parts: u64,
    pub(super) requests: Requests,
}

/// What decides into which parts an object is cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Bytes of a part that were asked for.
    asked: Option<u64>,
    /// Bytes of a part of which nothing else is known.
    usual: u64,
}

impl Copy {
    /// Whether an object of this size is copied in parts.
    pub(super) fn goes_in_parts(&self, way: Way, size: u64) -> bool {
        size > self.threshold(way)
    }

    /// What a copy of `object` sends when it is `made` so.
    fn expected(&self, made: Made, object: &Object) -> Expected {
        let way = if matches!(made, Made::CopyObject | Made::UploadPartCopy) { Way::Server } else { Way::Client };
        let cut = Cut { asked: self.settings.part_size, usual: self.usual_part(way) };
        expected(made, cut, &self.settings.wants, object)
    }

    /// The copy of an item, for the plan.
    pub(super) fn planned(&self, item: &Item, plan: &Plan<'_>) -> Planned {
        let made = plan.way.made(self.goes_in_parts(plan.way, item.object.size));
        let expected = self.expected(made, &item.object);
        let billed = self.billed(item, plan, &expected.requests);
        let prices = self.settings.prices.as_deref();
        Planned {
            made,
            from: billed.from.to_owned(),
            to: billed.to.to_owned(),
            size: item.object.size,
            parts: expected.parts,
            requests: expected.requests,
            cost: prices.map(|prices| prices.copy(&billed)),
            rises: prices.is_some_and(|prices| prices.rises(&billed)),
        }
    }

    /// What a copy has cost, where prices are known.
    pub(super) fn spent(&self, item: &Item, plan: &Plan<'_>, made: Made) -> Option<Box<Spent>> {
        let prices = self.settings.prices.as_deref()?;
        let requests = self.expected(made, &item.object).requests;
        let money = prices.copy(&self.billed(item, plan, &requests)).total();
        Some(Box::new(Spent { money, requests }))
    }

    fn billed<'a>(&'a self, item: &'a Item, plan: &Plan<'_>, requests: &'a Requests) -> Billed<'a> {
        let object = &item.object;
        let from = object.storage_class.as_deref().unwrap_or(STANDARD);
        let wants = &self.settings.wants;
        let kept = if wants.preserve.storage_class { from } else { STANDARD };
        let in_place = plan.source.name() == self.dest.name() && plan.dest_key == object.key;
        let age =
            |written: i64| u64::try_from(jiff::Timestamp::now().as_second().saturating_sub(written) / DAY).unwrap_or(0);
        Billed {
            size: object.size,
            from,
            to: wants.storage_class.as_deref().unwrap_or(kept),
            replaced_after: object.last_modified.filter(|_| in_place).map(age),
            transfer: match plan.way {
                Way::Client => Transfer::Internet,
                Way::Server if plan.source.region() == self.dest.region() => Transfer::None,
                Way::Server => Transfer::BetweenRegions,
            },
            requests,
        }
    }
}

/// The requests of one copy that goes right at once. Three things no listing tells: whether an object
/// has tags (they are read apart on all ways but CopyObject), whether the parts of the source are
/// regular, and whether there are checksums of the whole to compare after an upload (if not, the
/// destination is asked for its size).
fn expected(made: Made, cut: Cut, wants: &Wants, object: &Object) -> Expected {
    let mut requests = Requests::default();
    let mut add = |operation, count| requests.add(operation, count);
    if wants.reads_acl() {
        add(Operation::GetObjectAcl, 1);
    }
    if wants.tags_required && wants.tags.is_none() && made != Made::CopyObject {
        add(Operation::GetObjectTagging, 1);
    }
    let in_parts = matches!(made, Made::UploadPartCopy | Made::UploadPart);
    let parts = if in_parts { number_of_parts(cut, object) } else { 0 };
    if in_parts {
        let asks_parts = cut.asked.is_none() && is_in_parts(object);
        add(Operation::HeadObject, 1 + u64::from(asks_parts));
        add(Operation::CreateMultipartUpload, 1);
        add(Operation::CompleteMultipartUpload, 1);
    }
    match made {
        Made::CopyObject => {
            add(Operation::HeadObject, u64::from(wants.need_head(object)));
            add(Operation::CopyObject, 1);
        }
        Made::UploadPartCopy => {
            add(Operation::UploadPartCopy, parts);
        }
        Made::PutObject => {
            add(Operation::GetObject, 1);
            add(Operation::PutObject, 1);
        }
        Made::UploadPart => {
            add(Operation::GetObject, parts);
            add(Operation::UploadPart, parts);
        }
    }
    Expected { made, parts, requests }
}

fn is_in_parts(object: &Object) -> bool {
    object.etag.as_ref().is_some_and(|etag| etag.contains('-'))
}

/// Into how many parts an object is cut. Of how the source was cut, its entity tag tells the number of
/// parts: they are taken to be regular where they can be.
fn number_of_parts(cut: Cut, object: &Object) -> u64 {
    let size = object.size;
    let count = object.etag.as_deref().and_then(parts_in).and_then(|count| u64::try_from(count).ok());
    let first = |count: u64| size.div_ceil(count.max(1)).div_ceil(1 << 20).saturating_mul(1 << 20);
    let source = count.map(|count| (first(count), count));
    let part_size = parts::part_size(size, cut.asked, source, cut.usual);
    part_size.map_or(0, |part_size| parts::count(size, part_size).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Preserve;

    const MIB: u64 = 1 << 20;

    fn sent(made: Made, cut: Cut, wants: &Wants, object: &Object) -> Vec<(&'static str, u64)> {
        let expected = expected(made, cut, wants, object);
        expected.requests.iter().map(|(operation, count)| (operation.as_str(), count)).collect()
    }

    fn listed(size: u64, etag: &str) -> Object {
        Object { etag: Some(etag.to_owned()), last_modified: Some(1), ..Object::new("k", size) }
    }

    const USUAL: Cut = Cut { asked: None, usual: 64 * MIB };
    const WHOLE: &str = "\"0123456789abcdef0123456789abcdef\"";

    #[test]
    fn in_one_piece() {
        let (object, wants) = (listed(5, WHOLE), Wants::default());
        assert_eq!(sent(Made::CopyObject, USUAL, &wants, &object), [("CopyObject", 1)]);
        assert_eq!(sent(Made::PutObject, USUAL, &wants, &object), [("GetObject", 1), ("PutObject", 1)]);
    }

    #[test]
    fn what_is_kept_has_to_be_read() {
        let object = listed(5, WHOLE);
        let preserve = Preserve { sse: true, acl: true, ..Preserve::default() };
        let wants = Wants { preserve, tags_required: true, ..Wants::default() };
        let all = [("HeadObject", 1), ("CopyObject", 1), ("GetObjectAcl", 1)];
        assert_eq!(sent(Made::CopyObject, USUAL, &wants, &object), all);
        let through = [("GetObject", 1), ("GetObjectTagging", 1), ("PutObject", 1), ("GetObjectAcl", 1)];
        assert_eq!(sent(Made::PutObject, USUAL, &wants, &object), through);
        let replaced = Wants { tags: Some(Vec::new()), acl: Some("private".into()), ..wants };
        assert_eq!(sent(Made::PutObject, USUAL, &replaced, &object), [("GetObject", 1), ("PutObject", 1)]);
    }

    #[test]
    fn in_parts() {
        let wants = Wants::default();
        let object = listed(1000 * MIB, WHOLE);
        let by_store =
            [("HeadObject", 1), ("CreateMultipartUpload", 1), ("UploadPartCopy", 16), ("CompleteMultipartUpload", 1)];
        assert_eq!(sent(Made::UploadPartCopy, USUAL, &wants, &object), by_store);
        let asked = Cut { asked: Some(100 * MIB), ..USUAL };
        let through = [
            ("HeadObject", 1),
            ("GetObject", 10),
            ("CreateMultipartUpload", 1),
            ("UploadPart", 10),
            ("CompleteMultipartUpload", 1),
        ];
        assert_eq!(sent(Made::UploadPart, asked, &wants, &object), through);
    }

    #[test]
    fn the_parts_of_the_source_are_told_by_its_entity_tag() {
        let cut = |etag: &str, cut: Cut| {
            let object = listed(1000 * MIB, etag);
            let expected = expected(Made::UploadPart, cut, &Wants::default(), &object);
            (expected.parts, expected.requests.get(Operation::HeadObject))
        };
        let tag = |parts: u64| format!("\"0123456789abcdef0123456789abcdef-{parts}\"");
        assert_eq!(cut(&tag(125), USUAL), (125, 2));
        assert_eq!(cut(&tag(63), USUAL), (63, 2));
        assert_eq!(cut(&tag(2_000), USUAL), (16, 2), "of less than 5 MiB: not taken over");
        assert_eq!(cut(&tag(125), Cut { asked: Some(10 * MIB), ..USUAL }), (100, 1));
        assert_eq!(cut("odd-tag", USUAL), (16, 2));
    }
}
