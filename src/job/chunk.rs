//! The lines of some objects of a range, and what they add up to. Pure.

use crate::model::{Error, Item, Origin, Position, Sums, Target};
use crate::report::{Format, STANDARD};
use crate::source::Source;

/// The lines of some objects of a range.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) range: usize,
    pub(super) lines: Vec<u8>,
    pub(super) at: Option<Position>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) sums: Sums,
}

/// Makes lines of objects.
#[derive(Debug)]
pub(super) struct Renderer {
    format: Format,
    /// Folders are told apart to this depth, if anything is added up.
    depth: Option<usize>,
    /// Where each source's keys begin, its bucket, and whether it names one object.
    roots: Vec<(String, String, bool)>,
}

impl Renderer {
    pub(super) fn new(sources: &[Source], format: Format, depth: Option<usize>) -> Self {
        let root = |source: &Source| {
            let named = matches!(source.location.target, Target::Object(_));
            (source.location.root().to_owned(), source.location.bucket.clone(), named)
        };
        Self { format, depth, roots: sources.iter().map(root).collect() }
    }

    /// What a file begins with.
    ///
    /// # Errors
    /// None but a bug.
    pub(super) fn header(&self) -> Result<Vec<u8>, Error> {
        self.format.header()
    }

    /// The lines of some items of one source, and how many of them are gone.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a source that the job has not.
    pub(super) fn chunk(
        &self,
        range: usize,
        items: Vec<Item>,
        through: Option<Position>,
    ) -> Result<(Chunk, u64), Error> {
        let source = items.first().map_or(0, |item| item.source as usize);
        let Some((root, bucket, named)) = self.roots.get(source) else {
            return Err(Error::Checkpoint(format!(
                "the checkpoint names a source number {source} that this job has not"
            )));
        };
        let mut chunk = Chunk { range, lines: Vec::new(), at: through, objects: 0, bytes: 0, sums: Sums::default() };
        // One that was named, and is gone.
        let gone = |item: &Item| match item.origin {
            Origin::Manifest { asked, .. } => asked && item.object.is_unknown(),
            _ => *named && item.object.etag.is_none() && item.object.last_modified.is_none(),
        };
        let there = || items.iter().filter(|item| !gone(item)).map(|item| &item.object);
        for object in there() {
            chunk.objects += 1;
            chunk.bytes = chunk.bytes.saturating_add(object.size);
            if let Some(depth) = self.depth {
                let class = object.storage_class.as_deref().unwrap_or(STANDARD);
                chunk.sums.count(&folder(bucket, root, &object.key, depth), class, object.size);
            }
        }
        if let (None, Some(last)) = (&chunk.at, items.last()) {
            chunk.at = Some(last.position());
        }
        self.format.lines(bucket, there(), &mut chunk.lines)?;
        let gone = items.len() as u64 - chunk.objects;
        Ok((chunk, gone))
    }
}

/// The folder of a key, at most `depth` below what its source names.
fn folder(bucket: &str, root: &str, key: &str, depth: usize) -> String {
    let rest = key.get(root.len()..).unwrap_or_default();
    let end = rest.match_indices('/').take(depth).last().map_or(0, |(at, slash)| at + slash.len());
    format!("s3://{bucket}/{}", &key[..root.len() + end])
}
