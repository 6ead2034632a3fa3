//! Where a manifest's files are, and their bytes as a stream, without compression. It blocks: for
//! threads where that may be.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::records::Records;
use crate::journal::ManifestPrint;
use crate::model::{Operation, RequestError, Revision};
use crate::store::Bucket;

/// Bytes of one request for a manifest in a bucket: as many readers as there may be hold each so many.
const PIECE: u64 = 1 << 20;

/// Bytes at either end of a file that are hashed.
const HASHED: u64 = 1 << 20;

/// Where a file is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Standard input, or what this path leads to: it can be read once.
    Once(Option<PathBuf>),
    Local(PathBuf),
    Remote {
        bucket: Box<Bucket>,
        key: String,
        /// How many bytes it has at least.
        least: Option<u64>,
    },
}

/// Whether a file is as long as its inventory says.
///
/// # Errors
/// That it is shorter.
pub(super) fn check_length(size: u64, least: Option<u64>) -> io::Result<()> {
    match least.filter(|least| size < *least) {
        Some(least) => Err(io::Error::other(format!("it has {size} bytes, where the inventory says {least}"))),
        None => Ok(()),
    }
}

/// How a thread waits for requests: until nobody waits for the thread any more.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) runtime: Handle,
    pub(super) gone: CancellationToken,
}

impl Reach {
    pub(super) fn wait<T>(&self, request: impl Future<Output = Result<T, RequestError>>) -> io::Result<T> {
        let stopped = || Err(RequestError::interrupted(Operation::GetObject, 0));
        let answer = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.gone.cancelled() => stopped(),
                answer = request => answer,
            }
        });
        answer.map_err(io::Error::other)
    }
}

/// How the bytes of a file are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the first bytes. *Source:* RFC 1952 and RFC 8878.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

impl Place {
    /// The lines, from the first on.
    pub(super) fn lines(&self, reach: &Reach) -> io::Result<(Records, Packing)> {
        let (bytes, packing) = unpack(self.bytes(0, reach)?)?;
        Ok((Records::new(bytes, 0, 0), packing))
    }

    /// The lines behind `at` bytes and `lines` lines, of which `first` are those from the first on.
    pub(super) fn lines_from(
        &self,
        first: (Records, Packing),
        at: u64,
        lines: u64,
        reach: &Reach,
    ) -> io::Result<Records> {
        let (mut records, packing) = first;
        if packing == Packing::Plain && !matches!(self, Self::Once(_)) {
            return Ok(Records::new(self.bytes(at, reach)?, at, lines));
        }
        records.skip(at, lines)?;
        Ok(records)
    }

    /// The bytes from `at` on.
    fn bytes(&self, at: u64, reach: &Reach) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Once(None) => Box::new(io::stdin()),
            Self::Once(Some(path)) => Box::new(File::open(path)?),
            Self::Local(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(at))?;
                Box::new(file)
            }
            Self::Remote { bucket, key, least } => {
                let head = reach.wait(bucket.head(key, None))?;
                check_length(head.revision.size, *least)?;
                let (bucket, key) = ((**bucket).clone(), key.clone());
                let held = Bytes::new();
                Box::new(Remote { bucket, key, revision: head.revision, at, held, reach: reach.clone() })
            }
        })
    }

    /// By what it is known again, called `name`.
    pub(super) fn print(&self, name: &str, reach: &Reach) -> io::Result<ManifestPrint> {
        let name = name.to_owned();
        Ok(match self {
            Self::Once(_) => ManifestPrint { name, size: None, written: None, hash: None },
            Self::Local(path) => {
                let found = fs::metadata(path)?;
                let written = Timestamp::try_from(found.modified()?).map(|time| time.to_string()).ok();
                ManifestPrint { name, size: Some(found.len()), written, hash: Some(hash_of(path, found.len())?) }
            }
            Self::Remote { bucket, key, .. } => {
                let revision = reach.wait(bucket.head(key, None))?.revision;
                ManifestPrint { name, size: Some(revision.size), written: Some(revision.etag), hash: None }
            }
        })
    }
}

fn hash_of(path: &std::path::Path, size: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HASHED).read_to_end(&mut bytes)?;
    if size > HASHED {
        file.seek(SeekFrom::Start(size.saturating_sub(HASHED).max(HASHED)))?;
        file.take(HASHED).read_to_end(&mut bytes)?;
    }
    Ok(hex(&bytes))
}

/// The first 16 hex digits of a SHA-256.
pub(super) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes without compression, as their first ones tell.
fn unpack(mut bytes: Box<dyn Read>) -> io::Result<(Box<dyn Read>, Packing)> {
    let mut head = Vec::new();
    bytes.by_ref().take(4).read_to_end(&mut head)?;
    let packing = Packing::of(&head);
    let whole = Cursor::new(head).chain(bytes);
    let bytes: Box<dyn Read> = match packing {
        Packing::Plain => Box::new(whole),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(whole)?),
    };
    Ok((bytes, packing))
}

/// An object as a stream, a request for each piece of it.
pub(super) struct Remote {
    pub(super) bucket: Bucket,
    pub(super) key: String,
    pub(super) revision: Revision,
    /// Where the next piece begins.
    pub(super) at: u64,
    /// What is left of the last one.
    pub(super) held: Bytes,
    pub(super) reach: Reach,
}

impl Read for Remote {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() && self.at < self.revision.size {
            let piece = self.at..self.at.saturating_add(PIECE).min(self.revision.size);
            let request = self.bucket.get_range(&self.key, &self.revision, &piece);
            self.held = self.reach.wait(request)?.0;
            self.at = piece.end;
        }
        let taken = self.held.split_to(into.len().min(self.held.len()));
        if let Some(into) = into.get_mut(..taken.len()) {
            into.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::records::{Content, Framing};
    use super::*;

    fn reach() -> (tokio::runtime::Runtime, Reach) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reach = Reach { runtime: runtime.handle().clone(), gone: CancellationToken::new() };
        (runtime, reach)
    }

    fn lines(mut records: Records) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(record) = records.next(Framing::Lines).unwrap() {
            let Content::Line(line) = record.content else { panic!("{record:?}") };
            lines.push(format!("{} {}", record.number, String::from_utf8_lossy(line)));
        }
        lines
    }

    #[test]
    fn a_file_is_read_from_any_line_however_it_is_packed() {
        let (_runtime, reach) = reach();
        let folder = tempfile::tempdir().unwrap();
        let text: String = (1..=100_000).map(|n| format!("key {n}\n")).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text.as_bytes()[..500_000]).unwrap();
        let mut gzip = gzip.finish().unwrap();
        // Of two members, as tools that append make it.
        let mut rest = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        rest.write_all(&text.as_bytes()[500_000..]).unwrap();
        gzip.extend(rest.finish().unwrap());
        let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
        for (name, bytes) in [("plain", text.into_bytes()), ("gz", gzip), ("zst", zstd)] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let place = Place::Local(path);
            let whole = lines(place.lines(&reach).unwrap().0);
            assert_eq!((whole.len(), whole[99_999].as_str()), (100_000, "100000 key 100000"), "{name}");
            let mut first = place.lines(&reach).unwrap();
            first.0.peek().unwrap();
            let at = (1..=70_000).map(|n| format!("key {n}\n").len() as u64).sum();
            let rest = lines(place.lines_from(first, at, 70_000, &reach).unwrap());
            assert_eq!(rest, whole[70_000..], "{name}");
        }
    }

    #[test]
    fn a_file_that_was_changed_has_another_print() {
        let (_runtime, reach) = reach();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let time = File::create(&path).unwrap().metadata().unwrap().modified().unwrap();
        let print = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            Place::Local(path.clone()).print("m", &reach).unwrap()
        };
        let mut bytes = vec![0; 3 << 20];
        let whole = print(&bytes);
        assert_eq!((print(&bytes), whole.size), (whole.clone(), Some(3 << 20)));
        for at in [0, (1 << 20) - 1, 2 << 20, (3 << 20) - 1] {
            bytes[at] = 1;
            assert_ne!(print(&bytes), whole, "{at}");
            bytes[at] = 0;
        }
    }
}
