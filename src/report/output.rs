//! Where a listing goes: stdout, or a file, compressed where its name says so.
//!
//! A regular file is written beside its name, as `FILE.partial`, and takes its name when it is whole:
//! nobody reads half a listing. What is no regular file is written in place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use crate::model::Error;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The level of zstd: its default.
const ZSTD_LEVEL: i32 = 3;

impl Compression {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The bytes as a frame of their own: frames one after another are a whole file, wherever it ends.
    fn frame(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::None => out.write_all(bytes),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes)?;
                out.write_all(&encoder.finish()?)
            }
            Self::Zstd => out.write_all(&zstd::bulk::compress(bytes, ZSTD_LEVEL)?),
        }
    }
}

/// Where a listing goes.
#[derive(Debug)]
pub struct Output {
    to: To,
    compression: Compression,
    /// Bytes in the file.
    length: u64,
}

#[derive(Debug)]
enum To {
    Stdout,
    /// A pipe, a device.
    Place {
        path: PathBuf,
        file: File,
    },
    Partial {
        path: PathBuf,
        partial: PathBuf,
        file: File,
    },
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self { to: To::Stdout, compression: Compression::None, length: 0 }
    }

    /// The file at `path`. A run that goes on where another was interrupted gives the `length` up to
    /// which that one recorded what it wrote.
    ///
    /// # Errors
    /// [`Error::Usage`] where it cannot be written; [`Error::Checkpoint`] where it is shorter than
    /// `length`, or another process writes it.
    pub fn file(path: &Path, length: Option<u64>) -> Result<Self, Error> {
        // Through a link: it stays one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let compression = Compression::of(&path);
        let unusable = |error: io::Error| Error::Usage(format!("--output {}: {error}", path.display()));
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(unusable)?;
            return Ok(Self { to: To::Place { path, file }, compression, length: 0 });
        }
        let partial = partial(&path);
        let file = OpenOptions::new().append(true).create(true).open(&partial).map_err(unusable)?;
        if file.try_lock().is_err() {
            return Err(Error::Checkpoint(format!("{} is being written by another process", partial.display())));
        }
        let keep = length.unwrap_or(0);
        let found = file.metadata().map_err(unusable)?.len();
        if found < keep {
            return Err(Error::Checkpoint(format!(
                "{} has {found} bytes, and the checkpoint says {keep}: it was changed; --restart begins anew",
                partial.display()
            )));
        }
        file.set_len(keep).map_err(unusable)?;
        Ok(Self { to: To::Partial { path, partial, file }, compression, length: keep })
    }

    /// Whether it is kept on disk, so that a later run can go on where it ends.
    pub fn is_kept(&self) -> bool {
        matches!(self.to, To::Partial { .. })
    }

    /// Its length, where it is a file.
    pub fn length(&self) -> Option<u64> {
        self.is_kept().then_some(self.length)
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// Those of the file; a closed pipe among them.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        match &mut self.to {
            To::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            To::Place { file, .. } => self.compression.frame(lines, file),
            To::Partial { file, .. } => {
                let mut counted = Counted { file, bytes: 0 };
                let written = self.compression.frame(lines, &mut counted);
                self.length += counted.bytes;
                written
            }
        }
    }

    /// Waits until all is on disk.
    ///
    /// # Errors
    /// Those of the file.
    pub fn sync(&self) -> io::Result<()> {
        match &self.to {
            To::Partial { file, .. } => file.sync_data(),
            _ => Ok(()),
        }
    }

    /// It is whole: it takes its name.
    ///
    /// # Errors
    /// Those of the file.
    pub fn complete(&mut self) -> io::Result<()> {
        if self.compression != Compression::None && self.length == 0 {
            // An empty file is none that a decompressor takes.
            let (compression, mut frame) = (self.compression, Vec::new());
            compression.frame(&[], &mut frame)?;
            if let To::Partial { file, .. } = &mut self.to {
                file.write_all(&frame)?;
            }
        }
        self.sync()?;
        match &self.to {
            To::Partial { path, partial, .. } => fs::rename(partial, path),
            _ => Ok(()),
        }
    }

    /// Gives up what was written.
    pub fn discard(&self) {
        if let To::Partial { partial, .. } = &self.to {
            let _ = fs::remove_file(partial);
        }
    }

    /// The error for a write that failed.
    pub fn broken(&self, error: &io::Error) -> Error {
        let name = match &self.to {
            To::Stdout => "stdout".to_owned(),
            To::Place { path, .. } => path.display().to_string(),
            To::Partial { partial, .. } => partial.display().to_string(),
        };
        Error::Checkpoint(format!("the output {name} cannot be written: {error}"))
    }
}

/// Where a file is while it is not whole.
fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    PathBuf::from(name)
}

struct Counted<'a> {
    file: &'a mut File,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use tempfile::TempDir;

    use super::*;

    fn text(path: &Path) -> String {
        let (file, mut text) = (File::open(path).unwrap(), String::new());
        match Compression::of(path) {
            Compression::None => File::open(path).unwrap().read_to_string(&mut text).unwrap(),
            Compression::Gzip => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap(),
            Compression::Zstd => zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap(),
        };
        text
    }

    #[test]
    fn a_file_takes_its_name_when_it_is_whole_and_goes_on_where_it_was_recorded() {
        let folder = TempDir::new().unwrap();
        for name in ["a.csv", "a.csv.gz", "a.jsonl.zst"] {
            let path = folder.path().join(name);
            let mut output = Output::file(&path, None).unwrap();
            output.write(b"one\n").unwrap();
            let recorded = output.length();
            output.write(b"lost\n").unwrap();
            drop(output);
            assert!(!path.exists());
            let mut output = Output::file(&path, recorded).unwrap();
            output.write(b"two\n").unwrap();
            output.complete().unwrap();
            assert_eq!(text(&path), "one\ntwo\n", "{name}");
            assert!(!partial(&path).exists());
        }
    }

    #[test]
    fn an_empty_listing_is_a_whole_file() {
        let folder = TempDir::new().unwrap();
        for name in ["a", "a.gz", "a.zst"] {
            let path = folder.path().join(name);
            Output::file(&path, None).unwrap().complete().unwrap();
            assert_eq!(text(&path), "", "{name}");
        }
    }

    #[test]
    fn what_cannot_go_on_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a");
        let first = Output::file(&path, None).unwrap();
        assert!(Output::file(&path, None).unwrap_err().to_string().contains("another process"));
        drop(first);
        assert!(Output::file(&path, Some(5)).unwrap_err().to_string().contains("was changed"));
        assert!(matches!(Output::file(&folder.path().join("no/such"), None), Err(Error::Usage(_))));
    }

    #[test]
    fn what_is_no_regular_file_is_written_in_place() {
        let mut output = Output::file(Path::new("/dev/null"), None).unwrap();
        output.write(b"gone\n").unwrap();
        output.complete().unwrap();
        assert!(!output.is_kept());
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
