//! The destination, listed in step with a source: what it holds under the names that the copies
//! will have, without a request for each object.

use std::collections::VecDeque;

use super::ruler::carried_by_xml;
use crate::model::{Beside, Mapping, Object, RequestError, just_before};
use crate::store::{Bucket, PageRequest};

/// Where the copies of a source go.
#[derive(Clone, Debug)]
pub struct DestSide {
    /// The bucket.
    pub bucket: Bucket,
    /// What the source's keys become in it.
    pub mapping: Mapping,
}

/// A walk through the destination's keys, in their order.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    side: &'a DestSide,
    /// What was listed and not passed.
    ahead: VecDeque<Object>,
    /// There is nothing behind `ahead`.
    ended: bool,
    /// The listing cannot be relied on: each object is left to be asked for.
    lost: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(side: &'a DestSide) -> Self {
        Self { side, ahead: VecDeque::new(), ended: false, lost: false }
    }

    /// What the destination holds for the object `key` of the source. Keys are asked for in order.
    ///
    /// # Errors
    /// Those of ListObjectsV2.
    pub(super) async fn look(&mut self, key: &str) -> Result<Beside, RequestError> {
        let wanted = self.side.mapping.unchecked(key);
        loop {
            while self.ahead.front().is_some_and(|object| object.key < wanted) {
                self.ahead.pop_front();
            }
            match self.ahead.front() {
                _ if self.lost => return Ok(Beside::Unknown),
                Some(object) if object.key > wanted => return Ok(Beside::Nothing),
                Some(_) => {
                    return Ok(self.ahead.pop_front().map_or(Beside::Nothing, |it| Beside::Object(Box::new(it))));
                }
                None if self.ended => return Ok(Beside::Nothing),
                None => self.list_from(&wanted).await?,
            }
        }
    }

    /// Lists a page that begins at `wanted`, whatever lies between it and what was listed before.
    async fn list_from(&mut self, wanted: &str) -> Result<(), RequestError> {
        let start = just_before(wanted);
        let start = carried_by_xml(&start);
        let request = PageRequest {
            prefix: self.side.mapping.dest_prefix(),
            start_after: Some(start).filter(|start| !start.is_empty()),
            ..PageRequest::default()
        };
        let page = self.side.bucket.list(&request).await.map_err(|error| {
            let message = format!("the destination beside it: {}", error.message);
            RequestError { message, ..error }
        })?;
        self.ended = !page.truncated;
        let in_order = page.objects.windows(2).all(|pair| pair[0].key < pair[1].key);
        let goes_on = self.ended || page.objects.last().is_some_and(|last| last.key.as_str() >= wanted);
        self.lost = !in_order || !goes_on;
        self.ahead = page.objects.into();
        Ok(())
    }
}
