//! The receipt: a JSON line for each object that was copied, as it is or compressed with zstd.
//!
//! A line is in the file before the checkpoint says that its object is done. A kill may tear the
//! last line, or the last frame: a run that resumes repairs that before it goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Error, Receipt};

/// The compression level of zstd: its default.
const LEVEL: i32 = 3;

/// Bytes of lines that wait at most.
const BATCH: usize = 1 << 20;

/// Bytes that a receipt's line may have: two keys of 1,024 bytes, each byte escaped as six.
const LONGEST_LINE: u64 = 64 << 10;

/// What each line begins with.
const BEGINNING: &[u8] = b"{\"time\":";

/// What a zstd frame begins with. *Source:* RFC 8878.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A receipt file. Each batch of lines is a zstd frame of its own, so that the file can be read
/// whenever the run ends.
#[derive(Debug)]
pub struct ReceiptFile {
    path: PathBuf,
    file: Arc<File>,
    lines: Vec<u8>,
    compressed: bool,
    is_new: bool,
}

impl ReceiptFile {
    /// Opens the receipt of a run. One that goes on with a job appends to what is there; a new job
    /// replaces the receipt of another.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that ends in neither `.jsonl` nor `.jsonl.zst`;
    /// [`Error::Checkpoint`] for a file that is no receipt, or cannot be written.
    pub fn open(path: &Path, resumed: bool) -> Result<Self, Error> {
        let name = path.to_string_lossy();
        let compressed = name.ends_with(".jsonl.zst");
        if !compressed && !name.ends_with(".jsonl") {
            return Err(Error::Usage(format!("--receipt {name}: name a file that ends in .jsonl or .jsonl.zst")));
        }
        let broken = |error: &io::Error| unwritable(path, error);
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(|error| broken(&error))?;
        if !file.metadata().map_err(|error| broken(&error))?.is_file() {
            return Err(Error::Checkpoint(format!("the receipt {name} is not a regular file")));
        }
        if file.try_lock().is_err() {
            return Err(Error::Checkpoint(format!("the receipt {name} is being written by another process")));
        }
        if !is_receipt(&file, compressed).map_err(|error| broken(&error))? {
            return Err(Error::Checkpoint(format!("{name} is not a receipt: it would be replaced; name another")));
        }
        if !resumed {
            file.set_len(0).map_err(|error| broken(&error))?;
        } else if compressed {
            mend_frames(&mut file).map_err(|error| broken(&error))?;
        } else {
            mend_lines(&mut file).map_err(|error| broken(&error))?;
        }
        let is_new = file.metadata().is_ok_and(|found| found.len() == 0);
        Ok(Self { path: path.to_owned(), file: Arc::new(file), lines: Vec::new(), compressed, is_new })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was empty when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Adds one line.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be written.
    pub fn append(&mut self, receipt: &Receipt) -> Result<(), Error> {
        serde_json::to_writer(&mut self.lines, receipt).map_err(|error| unwritable(&self.path, &error.into()))?;
        self.lines.push(b'\n');
        if self.lines.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes what waits: before the checkpoint says that these objects are done.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut file = &*self.file;
        let written = if self.compressed {
            zstd::bulk::compress(&self.lines, LEVEL).and_then(|frame| file.write_all(&frame))
        } else {
            file.write_all(&self.lines)
        };
        self.lines.clear();
        written.map_err(|error| unwritable(&self.path, &error))
    }

    /// Waits until all that is written is on disk.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|error| unwritable(&self.path, &error))
    }

    /// The file, to be synced to disk before the checkpoint is.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::Checkpoint(format!("the receipt {} cannot be written: {error}", path.display()))
}

/// Whether a file is empty or begins with a line of a receipt, or with a part of one.
fn is_receipt(file: &File, compressed: bool) -> io::Result<bool> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    let read = if compressed {
        let mut magic = Vec::new();
        (&file).take(ZSTD.len() as u64).read_to_end(&mut magic)?;
        if !ZSTD.starts_with(&magic) {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(0))?;
        let decoder = zstd::stream::read::Decoder::new(file)?;
        BufReader::new(decoder.take(LONGEST_LINE)).read_until(b'\n', &mut line)
    } else {
        BufReader::new(file.take(LONGEST_LINE)).read_until(b'\n', &mut line)
    };
    let whole = line.ends_with(b"\n");
    Ok(match read {
        Ok(0) => true,
        Ok(_) if whole => serde_json::from_slice::<Receipt>(&line).is_ok(),
        // The first line, or frame, was torn.
        _ => line.starts_with(BEGINNING) || BEGINNING.starts_with(&line),
    })
}

/// Takes off a last line that has no end.
fn mend_lines(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LONGEST_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    file.set_len(start + whole as u64)
}

/// Takes off a last frame that has no end. Its lines are of objects that the checkpoint does not
/// call done.
fn mend_frames(file: &mut File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 16, &mut *file);
    let (mut buffer, mut start, mut whole) = (Vec::new(), 0_usize, 0_u64);
    loop {
        let rest = &buffer[start..];
        match zstd::zstd_safe::find_frame_compressed_size(rest) {
            Ok(length) if length > 0 && length <= rest.len() => {
                start += length;
                whole += length as u64;
            }
            // More is needed, or there is no more.
            _ => {
                buffer.drain(..start);
                start = 0;
                let more = reader.fill_buf()?;
                let read = more.len();
                buffer.extend_from_slice(more);
                reader.consume(read);
                // A frame has one batch of lines, and is smaller than it.
                if read == 0 || buffer.len() > 4 * BATCH {
                    break;
                }
            }
        }
    }
    file.set_len(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Evidence, Made};

    fn receipt(n: u64) -> Receipt {
        Receipt {
            time: "2026-01-02T03:04:05.000Z".into(),
            bucket: "a".into(),
            key: format!("k{n}"),
            version_id: None,
            size: n,
            etag: None,
            dest_bucket: "b".into(),
            dest_key: "k".into(),
            dest_version_id: None,
            dest_etag: None,
            checksum: None,
            evidence: Evidence::Answer,
            way: Made::CopyObject,
        }
    }

    fn sizes(path: &Path) -> Vec<u64> {
        let bytes = std::fs::read(path).unwrap();
        let zst = path.extension().is_some_and(|ending| ending == "zst");
        let text = if zst { zstd::decode_all(&*bytes).unwrap() } else { bytes };
        let lines = String::from_utf8(text).unwrap();
        lines.lines().map(|line| serde_json::from_str::<Receipt>(line).unwrap().size).collect()
    }

    #[test]
    fn a_file_that_was_cut_anywhere_goes_on_with_the_lines_that_are_whole() {
        for name in ["r.jsonl", "r.jsonl.zst"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            let mut file = ReceiptFile::open(&path, false).unwrap();
            for n in 0..3 {
                file.append(&receipt(n)).unwrap();
                file.flush().unwrap();
            }
            drop(file);
            let whole = std::fs::read(&path).unwrap();
            for cut in 0..=whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                let mut file = ReceiptFile::open(&path, true).unwrap();
                file.append(&receipt(9)).unwrap();
                file.flush().unwrap();
                drop(file);
                let found = sizes(&path);
                let (last, before) = found.split_last().unwrap();
                assert_eq!((*last, before), (9, &[0, 1, 2][..before.len()]), "{name} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_new_job_replaces_a_receipt_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        ReceiptFile::open(&path, false).unwrap().append(&receipt(1)).unwrap();
        assert_eq!(sizes(&path), [0; 0]);
        let zst = folder.path().join("r.jsonl.zst");
        std::fs::write(&zst, "not zstd").unwrap();
        assert!(ReceiptFile::open(&zst, true).unwrap_err().to_string().contains("is not a receipt"));
        std::fs::write(&path, "my thesis\n").unwrap();
        let error = ReceiptFile::open(&path, false).unwrap_err();
        assert!(error.to_string().contains("is not a receipt"));
        assert!(ReceiptFile::open(&folder.path().join("r.csv"), false).unwrap_err().to_string().contains(".jsonl"));
    }
}
