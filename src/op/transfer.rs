//! The parts of one object on their way: some in flight at once, each with a slot among the parts
//! of all objects and, through this machine, with its bytes of the budget.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::copy::{Copied, Copy, Plan, written_as};
use super::evidence::{of_bytes, of_store_copy, parts_in};
use super::route::Way;
use super::{Steps, parts};
use crate::model::{Checksum, Class, Evidence, Made, Operation, RequestError, Upload, UploadedPart, Written};
use crate::pace::{Permit, Permits, Reservation};
use crate::store::{Bucket, Head, PartRange, WINDOW, mismatch};

/// How often all parts are read again and found to be the same before that is believed.
const STABLE: u32 = 3;

/// How often all parts are read again at most.
const MOST_RECHECKS: u32 = 12;

/// Bytes that the two connections of a part hold beside it. *Source:* hyper reads and writes through
/// buffers of up to some 400 KiB each.
const CONNECTIONS: u64 = 1 << 20;

/// What the tasks of an object share.
#[derive(Debug)]
struct Route {
    source: Bucket,
    key: String,
    dest: Bucket,
    dest_key: String,
    way: Way,
    /// Parts are streamed, as they are too large for memory.
    streamed: bool,
    /// Permits for parts in memory.
    in_memory: Arc<Permits>,
    /// The upload, without its parts.
    upload: Upload,
}

/// What a part needs to be under way.
#[derive(Debug)]
struct Slot {
    in_memory: Option<Permit>,
    _part: OwnedSemaphorePermit,
    _bytes: Option<Reservation>,
}

type NextSlot<'a> = Pin<Box<dyn Future<Output = Result<Slot, RequestError>> + Send + 'a>>;

/// The parts of one object.
#[derive(Debug)]
pub(super) struct Transfer {
    route: Arc<Route>,
    dest_key: String,
    upload: Upload,
    way: Way,
    /// That of the whole, once all parts are there and theirs are known.
    checksum: Option<Checksum>,
}

impl Transfer {
    /// Of `key`, into `upload`, which may have parts already.
    pub(super) fn new(copy: &Copy, plan: &Plan<'_>, key: &str, upload: Upload) -> Self {
        let streamed = upload.part_size > copy.largest_in_memory();
        let route = Route {
            source: plan.source.clone(),
            key: key.to_owned(),
            dest: copy.dest.clone(),
            dest_key: plan.dest_key.clone(),
            way: plan.way,
            streamed,
            in_memory: Arc::clone(&copy.in_memory),
            upload: Upload { parts: std::collections::BTreeMap::new(), ..upload.clone() },
        };
        let checksum = whole(&upload);
        Self { route: Arc::new(route), dest_key: plan.dest_key.clone(), upload, way: plan.way, checksum }
    }

    /// Sends what is missing, checks the whole, and completes the upload.
    pub(super) async fn run(&mut self, copy: &Copy, head: &Head, steps: &Steps) -> Result<Written, RequestError> {
        self.fill(copy, steps).await?;
        let (mut stable, mut rechecks) = (0, 0);
        while let (Some(ours), Some(source)) = (self.checksum, head.checksum) {
            if ours == source {
                break;
            }
            let error = mismatch(Operation::GetObject, source, ours);
            if self.way == Way::Server {
                return Err(error);
            }
            if stable == STABLE || rechecks == MOST_RECHECKS {
                // What the store says of it is wrong, or was.
                return Err(RequestError { class: Class::Permanent, ..error });
            }
            tracing::debug!(key = self.route.key, "the parts do not make the object: they are read again");
            rechecks += 1;
            stable = if self.recheck(copy).await? { 0 } else { stable + 1 };
            self.fill(copy, steps).await?;
        }
        self.complete(copy, head).await
    }

    fn bytes(&self, number: u16) -> std::ops::Range<u64> {
        parts::bytes(self.upload.of.size, self.upload.part_size, number)
    }

    fn numbers(&self) -> std::ops::RangeInclusive<u16> {
        1..=parts::count(self.upload.of.size, self.upload.part_size)
    }

    /// Sends the parts that are missing. After the first that fails no more are begun, and those in
    /// flight end.
    async fn fill(&mut self, copy: &Copy, steps: &Steps) -> Result<(), RequestError> {
        let missing: Vec<u16> = self.numbers().filter(|number| !self.upload.parts.contains_key(number)).collect();
        let mut missing = missing.into_iter().peekable();
        let mut in_flight = JoinSet::new();
        let mut slot: Option<NextSlot<'_>> = None;
        let mut failed = None;
        loop {
            if failed.is_some() {
                slot = None;
            } else if let (None, Some(number)) = (&slot, missing.peek()) {
                slot = Some(Box::pin(self.slot(copy, *number)));
            }
            let waits = slot.is_some();
            tokio::select! {
                biased;
                Some(ended) = in_flight.join_next(), if !in_flight.is_empty() => match ended {
                    Ok((number, Ok(part))) => {
                        let bytes = self.bytes(number);
                        steps.uploaded(number, &part, bytes.end - bytes.start).await;
                        self.upload.parts.insert(number, part);
                    }
                    Ok((_, Err(error))) => failed = Some(failed.unwrap_or(error)),
                    Err(error) => failed = Some(failed.unwrap_or_else(|| ended_badly(&error))),
                },
                // Kept over the turns of the loop, so as not to lose its place in the queue.
                got = async { slot.as_mut()?.await.into() }, if waits => {
                    slot = None;
                    match (got, missing.next()) {
                        (Some(Ok(slot)), Some(number)) => {
                            let route = Arc::clone(&self.route);
                            let part = PartRange { number, bytes: self.bytes(number) };
                            in_flight.spawn(async move { (part.number, route.send_in(slot, &part).await) });
                        }
                        (Some(Err(error)), _) => failed = Some(error),
                        _ => {}
                    }
                }
                else => break,
            }
        }
        if self.checksum.is_none() {
            self.checksum = whole(&self.upload);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Waits until the part may be under way.
    fn slot<'a>(&self, copy: &'a Copy, number: u16) -> impl Future<Output = Result<Slot, RequestError>> + Send + 'a {
        let bytes = self.bytes(number);
        let bytes = match (self.way, self.route.streamed) {
            (Way::Server, _) => None,
            (Way::Client, true) => Some(WINDOW),
            (Way::Client, false) => Some(bytes.end - bytes.start + CONNECTIONS),
        };
        let is_in_memory = self.way == Way::Client && !self.route.streamed;
        async move {
            let stop = copy.dest.pacer().stop();
            let interrupted = || RequestError::interrupted(Operation::UploadPart, 0);
            let permits = async {
                let in_memory = if is_in_memory { Some(copy.in_memory.acquire().await) } else { None };
                (in_memory, Arc::clone(&copy.part_slots).acquire_owned().await)
            };
            let (in_memory, part) = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(interrupted()),
                permits = permits => permits,
            };
            let _bytes = match bytes {
                Some(bytes) => Some(copy.reserve(bytes).await?),
                None => None,
            };
            Ok(Slot { in_memory, _part: part.map_err(|_| interrupted())?, _bytes })
        }
    }

    /// Reads all parts again, and forgets those that are not what was read the first time; whether
    /// there are any.
    async fn recheck(&mut self, copy: &Copy) -> Result<bool, RequestError> {
        let parts = self.upload.parts.len();
        let mut reading = JoinSet::new();
        let mut numbers = self.numbers();
        loop {
            let stop = copy.dest.pacer().stop();
            if let Some(number) = numbers.next().filter(|_| !stop.is_cancelled()) {
                let slot = Arc::clone(&copy.part_slots).acquire_owned().await;
                let (route, bytes) = (Arc::clone(&self.route), self.bytes(number));
                reading.spawn(async move {
                    let sum = route.source.checksum_of(&route.key, &route.upload.of, &bytes).await;
                    drop(slot);
                    (number, sum)
                });
                if reading.len() < 8 {
                    continue;
                }
            }
            let Some(ended) = reading.join_next().await else { break };
            let (number, sum) = ended.map_err(|error| ended_badly(&error))?;
            let sum = sum?;
            if self.upload.parts.get(&number).is_some_and(|part| part.checksum != Some(sum)) {
                self.upload.parts.remove(&number);
                self.checksum = None;
            }
        }
        Ok(self.upload.parts.len() < parts)
    }

    async fn complete(&self, copy: &Copy, head: &Head) -> Result<Written, RequestError> {
        let checksum = self.checksum;
        let onto = copy.onto(Some(&self.upload.of.etag));
        let error = match copy.dest.complete_upload(&self.dest_key, &self.upload, checksum, onto).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        // The answer to an earlier attempt may have been lost.
        let refused = error.class == Class::Unmet || error.code == "NoSuchUpload";
        let in_doubt = (error.attempts > 1 && refused) || error.class.is_retryable();
        if in_doubt {
            let plan = Plan { source: &self.route.source, dest_key: self.dest_key.clone(), way: self.way };
            if let Some(written) = copy.landed(&plan, &self.upload, checksum.or(head.checksum)).await? {
                return Ok(written);
            }
        }
        Err(error)
    }

    /// What was copied, and how that is known: the destination is asked where its answer to the
    /// completion was not enough.
    ///
    /// # Errors
    /// A destination that has another size, or other bytes.
    pub(super) async fn copied(self, copy: &Copy, head: &Head, written: Written) -> Result<Copied, RequestError> {
        let checksum = self.checksum;
        let (evidence, written) = match self.evidence(copy, head, checksum, written).await {
            // Written anew it would be refused: there is something now.
            Err(error) if copy.settings.keep.all && error.code == "ChecksumMismatch" => {
                return Err(RequestError { class: Class::Permanent, ..error });
            }
            known => known?,
        };
        Ok(Copied {
            bytes: self.upload.of.size,
            evidence,
            lacks_tags: false,
            etag: Some(self.upload.of.etag),
            version_id: self.upload.of.version_id,
            checksum: head.checksum.or(checksum).or(written.checksum),
            written,
            made: match self.way {
                Way::Server => Made::UploadPartCopy,
                Way::Client => Made::UploadPart,
            },
        })
    }

    async fn evidence(
        &self,
        copy: &Copy,
        head: &Head,
        checksum: Option<Checksum>,
        written: Written,
    ) -> Result<(Evidence, Written), RequestError> {
        let operation = Operation::CompleteMultipartUpload;
        let known = |written: &Written| match self.way {
            Way::Server => of_store_copy(operation, None, head.checksum, written),
            Way::Client => of_bytes(operation, checksum, head.checksum, written),
        };
        let evidence = known(&written)?;
        if evidence < Evidence::Size {
            return Ok((evidence, written));
        }
        let there = match copy.dest.head(&self.dest_key, None).await {
            Ok(there) => there,
            // A destination that may only be written.
            Err(error) if error.class == Class::Denied => return Ok((Evidence::Answer, written)),
            Err(error) => return Err(error),
        };
        if written.version_id.is_some() && there.revision.version_id != written.version_id {
            // Another object by now.
            return Ok((Evidence::Answer, written));
        }
        let (size, count) = (there.revision.size, parts_in(&there.revision.etag));
        let parts = usize::from(*self.numbers().end());
        if size != self.upload.of.size || count.is_some_and(|count| count != parts) {
            let message = format!(
                "the source has {} bytes and was sent in {parts} parts, the copy has {size} bytes in {} parts",
                self.upload.of.size,
                count.map_or("unknown".to_owned(), |count| count.to_string())
            );
            return Err(RequestError::local(operation, Class::Transient, "ChecksumMismatch", message));
        }
        let evidence = match known(&written_as(&there))? {
            Evidence::Answer | Evidence::Size if self.way == Way::Client && !self.upload.checksums => Evidence::Digest,
            Evidence::Answer => Evidence::Size,
            evidence => evidence,
        };
        Ok((evidence, Written { version_id: written.version_id, ..written_as(&there) }))
    }
}

/// The checksum of the whole, where all parts are there and theirs are known. To put two together takes
/// some 70 µs.
fn whole(upload: &Upload) -> Option<Checksum> {
    let (size, part_size) = (upload.of.size, upload.part_size);
    let is_whole = upload.parts.len() == usize::from(parts::count(size, part_size));
    if !is_whole {
        return None;
    }
    upload.parts.iter().try_fold(Checksum::EMPTY, |before, (number, part)| {
        let bytes = parts::bytes(size, part_size, *number);
        Some(before.followed_by(part.checksum?, bytes.end - bytes.start))
    })
}

impl Route {
    /// Sends one part, for which there is a slot.
    async fn send_in(&self, slot: Slot, part: &PartRange) -> Result<UploadedPart, RequestError> {
        let sent = self.send(part).await;
        if let Some(permit) = slot.in_memory {
            #[allow(clippy::cast_precision_loss, reason = "a throughput")]
            let moved = if sent.is_ok() { (part.bytes.end - part.bytes.start) as f64 } else { 0.0 };
            self.in_memory.ended(permit, moved);
        }
        sent
    }

    /// Sends one part.
    async fn send(&self, part: &PartRange) -> Result<UploadedPart, RequestError> {
        let (of, upload) = (&self.upload.of, &self.upload);
        match self.way {
            Way::Server => {
                let id = &upload.id;
                self.dest.upload_part_copy(&self.source, &self.key, of, &self.dest_key, id, part).await
            }
            Way::Client if self.streamed => {
                self.dest.stream_part(&self.source, &self.key, of, &self.dest_key, upload, part).await
            }
            Way::Client => {
                let (body, checksum) = self.source.get_range(&self.key, of, &part.bytes).await?;
                self.dest.upload_part(&self.dest_key, upload, part.number, &body, checksum).await
            }
        }
    }
}

fn ended_badly(error: &tokio::task::JoinError) -> RequestError {
    let message = format!("a part's task ended badly: {error}");
    RequestError::local(Operation::UploadPart, Class::Permanent, "InternalError", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Revision;

    #[test]
    fn the_whole_has_a_checksum_once_all_parts_have() {
        let body: Vec<u8> = (0..=250).cycle().take(25).collect();
        let of = Revision { etag: "e".to_owned(), version_id: None, size: body.len() as u64 };
        let part = |bytes: &[u8]| UploadedPart { etag: "e".to_owned(), checksum: Some(Checksum::of(bytes)) };
        let parts = body.chunks(10).zip(1..).map(|(bytes, number)| (number, part(bytes))).collect();
        let upload = Upload {
            id: "id".to_owned(),
            of,
            part_size: 10,
            checksums: true,
            through_client: true,
            lacks_tags: false,
            parts,
        };
        assert_eq!(whole(&upload), Some(Checksum::of(&body)));
        for number in 1..=3 {
            let (mut lacks_part, mut lacks_checksum) = (upload.clone(), upload.clone());
            lacks_part.parts.remove(&number);
            lacks_checksum.parts.get_mut(&number).unwrap().checksum = None;
            assert_eq!((whole(&lacks_part), whole(&lacks_checksum)), (None, None), "{number}");
        }
    }
}
