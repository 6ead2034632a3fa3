//! What a job copies from, and how.

use std::sync::Arc;

use super::archived::Archived;
use super::existing::Keep;
use super::in_place::InPlace;
use super::route::Way;
use super::wants::Wants;
use crate::model::{Mapping, Prices};
use crate::store::Bucket;

/// One source of a copy.
#[derive(Debug)]
pub struct CopySource {
    /// Where it is read.
    pub bucket: Bucket,
    /// What its keys become.
    pub mapping: Mapping,
    /// Which way its objects go.
    pub way: Way,
}

/// How a job copies.
#[derive(Clone, Debug, Default)]
pub struct CopySettings {
    /// A source object that is gone fails, rather than being skipped.
    pub strict_source: bool,
    /// Bytes go through this machine once the first server-side copy is denied.
    pub may_fall_back: bool,
    /// What is written beside the bytes.
    pub wants: Wants,
    /// Which objects of the destination are left alone.
    pub keep: Keep,
    /// What becomes of archived objects that are not restored.
    pub archived: Archived,
    /// Objects are written onto themselves, so.
    pub in_place: Option<InPlace>,
    /// Objects above this many bytes are copied in parts.
    pub threshold: Option<u64>,
    /// Bytes of a part.
    pub part_size: Option<u64>,
    /// Whether each copy gets a receipt.
    pub receipts: bool,
    /// What copies cost, where that is known.
    pub prices: Option<Arc<Prices>>,
    /// When the job was begun: seconds since 1970.
    pub since: i64,
    /// When the job was begun of which an earlier run was interrupted, and may have begun uploads, or
    /// made copies, that nobody knows; and when that run last recorded anything: seconds since 1970.
    pub unfinished: Option<(i64, i64)>,
}
