//! Where a listing goes: stdout, or a file, compressed where its name says so.
//!
//! A regular file is written beside its name, as `FILE.JOB.partial`, and takes its name when it is
//! whole: nobody reads half a listing, and no other job goes on with it. What is no regular file is written in place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
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
    /// Whole since an earlier run.
    Named {
        path: PathBuf,
        file: File,
    },
}

/// What an interrupted run recorded of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its length, in bytes.
    pub length: u64,
    /// Whether that was all.
    pub is_whole: bool,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self { to: To::Stdout, compression: Compression::None, length: 0 }
    }

    /// The file at `path`, written by the job of this name. A run that goes on where another was
    /// interrupted gives what that one recorded.
    ///
    /// # Errors
    /// [`Error::Usage`] where it cannot be written; [`Error::Checkpoint`] where it is shorter than was
    /// recorded, or another process writes it.
    pub fn file(path: &Path, job: &str, recorded: Option<Recorded>) -> Result<Self, Error> {
        // Through a link: it stays one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let compression = Compression::of(&path);
        let unusable = |path: &Path, error: io::Error| Error::Usage(format!("--output {}: {error}", path.display()));
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(|error| unusable(&path, error))?;
            return Ok(Self { to: To::Place { path, file }, compression, length: 0 });
        }
        let partial = partial(&path, job);
        let keep = recorded.map_or(0, |recorded| recorded.length);
        let found = fs::metadata(&partial).map_or(0, |found| found.len());
        if recorded.is_some_and(|recorded| recorded.is_whole && !partial.exists() && length(&path) == recorded.length) {
            // It has its name: only the word of that is missing.
            let file = File::open(&path).map_err(|error| unusable(&path, error))?;
            return Ok(Self { to: To::Named { path, file }, compression, length: keep });
        }
        if found < keep {
            let partial = partial.display();
            return Err(Error::Checkpoint(if found == 0 {
                format!("{partial}, with which this listing goes on, is gone: --restart begins anew")
            } else {
                format!("{partial} has {found} bytes, and the checkpoint says {keep}: --restart begins anew")
            }));
        }
        let open = || OpenOptions::new().append(true).create(true).open(&partial);
        let file = open().map_err(|error| unusable(&partial, error))?;
        // The file that was opened may have got its name since, from a process that has ended.
        if file.try_lock().is_err() || !is_at(&file, &partial) {
            return Err(Error::Checkpoint(format!("{} is being written by another process", partial.display())));
        }
        file.set_len(keep).map_err(|error| unusable(&partial, error))?;
        Ok(Self { to: To::Partial { path, partial, file }, compression, length: keep })
    }

    /// Whether it is standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.to, To::Stdout)
    }

    /// Whether it is kept on disk, so that a later run can go on where it ends.
    pub fn is_kept(&self) -> bool {
        matches!(self.to, To::Partial { .. } | To::Named { .. })
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
            To::Place { file, .. } | To::Named { file, .. } => self.compression.frame(lines, file),
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
            To::Partial { path, partial, file } => {
                // As before, where there was one.
                if let Ok(before) = fs::metadata(path) {
                    file.set_permissions(before.permissions())?;
                }
                fs::rename(partial, path)?;
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                File::open(folder)?.sync_all()
            }
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
            To::Place { path, .. } | To::Named { path, .. } => path.display().to_string(),
            To::Partial { partial, .. } => partial.display().to_string(),
        };
        Error::Checkpoint(format!("the output {name} cannot be written: {error}"))
    }
}

/// Where a file is while it is not whole.
fn partial(path: &Path, job: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{job}.partial"));
    PathBuf::from(name)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Whether a file that was opened is still the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |found: fs::Metadata| (found.dev(), found.ino());
    file.metadata().map(id).ok() == fs::metadata(path).map(id).ok()
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
            let mut output = Output::file(&path, "job", None).unwrap();
            output.write(b"one\n").unwrap();
            let recorded = Recorded { length: output.length().unwrap(), is_whole: false };
            output.write(b"lost\n").unwrap();
            drop(output);
            assert!(!path.exists());
            let mut output = Output::file(&path, "job", Some(recorded)).unwrap();
            output.write(b"two\n").unwrap();
            let whole = Recorded { length: output.length().unwrap(), is_whole: true };
            output.complete().unwrap();
            // Killed before it was recorded that it has its name.
            Output::file(&path, "job", Some(whole)).unwrap().complete().unwrap();
            assert_eq!(text(&path), "one\ntwo\n", "{name}");
            assert!(!partial(&path, "job").exists());
        }
    }

    #[test]
    fn an_empty_listing_is_a_whole_file() {
        let folder = TempDir::new().unwrap();
        for name in ["a", "a.gz", "a.zst"] {
            let path = folder.path().join(name);
            Output::file(&path, "job", None).unwrap().complete().unwrap();
            assert_eq!(text(&path), "", "{name}");
        }
    }

    #[test]
    fn what_cannot_go_on_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a");
        let recorded = Some(Recorded { length: 5, is_whole: false });
        assert!(Output::file(&path, "job", recorded).unwrap_err().to_string().contains("is gone"));
        let mut first = Output::file(&path, "job", None).unwrap();
        first.write(b"one\n").unwrap();
        assert!(Output::file(&path, "job", None).unwrap_err().to_string().contains("another process"));
        assert!(Output::file(&path, "other", None).is_ok());
        drop(first);
        assert!(Output::file(&path, "job", recorded).unwrap_err().to_string().contains("has 4 bytes"));
        assert!(matches!(Output::file(&folder.path().join("no/such"), "job", None), Err(Error::Usage(_))));
    }

    #[test]
    fn what_is_no_regular_file_is_written_in_place() {
        let mut output = Output::file(Path::new("/dev/null"), "job", None).unwrap();
        output.write(b"gone\n").unwrap();
        output.complete().unwrap();
        assert!(!output.is_kept());
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
