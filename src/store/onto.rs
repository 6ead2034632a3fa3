//! On what condition an object is written.

use std::future::Future;

use super::Bucket;
use crate::model::RequestError;

/// What a write may find under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto<'a> {
    /// Anything, or nothing.
    Anything,
    /// Nothing.
    Nothing,
    /// The object with this entity tag.
    Only(&'a str),
}

impl Onto<'_> {
    pub(super) fn if_none_match(self) -> Option<String> {
        (self == Self::Nothing).then(|| "*".to_owned())
    }

    pub(super) fn if_match(self) -> Option<String> {
        match self {
            Self::Only(etag) => Some(etag.to_owned()),
            Self::Anything | Self::Nothing => None,
        }
    }
}

impl Bucket {
    /// Sends a write on its condition. A store that does not know how to write only onto a certain object
    /// is asked to write all the same.
    pub(super) async fn guarded<'a, T, F, R>(&self, onto: Onto<'a>, mut request: F) -> Result<T, RequestError>
    where
        F: FnMut(Onto<'a>) -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        let Onto::Only(_) = onto else { return request(onto).await };
        self.guards_overwrites.call(|guarded| request(if guarded { onto } else { Onto::Anything })).await
    }
}
