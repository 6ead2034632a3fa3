//! The failures file: a JSON line for each object that failed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::model::{Error, Failure};

/// Bytes that a line of it may have: a key of 1,024 bytes at most, a message of some hundred.
const LONGEST_FAILURE: u64 = 64 << 10;

/// A failures file. It is made when the first failure comes, so that a clean run leaves none.
#[derive(Debug)]
pub struct FailuresFile {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl FailuresFile {
    /// The failures file of a run that begins; what an earlier run left there is removed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be written: a run that cannot record must not begin.
    pub fn new(path: Option<PathBuf>) -> Result<Self, Error> {
        let mut failures = Self { path, file: None };
        if let Some(path) = &failures.path {
            check_ours(path)?;
            failures.rewrite(std::iter::empty())?;
        }
        Ok(failures)
    }

    /// Where it is, if it exists.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.file.is_some())
    }

    /// Appends one failure.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be written.
    pub fn append(&mut self, failure: &Failure) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let write = |file: &mut File| file.write_all(&line(failure)?);
        let file = match &mut self.file {
            Some(file) => Ok(file),
            None => {
                OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(|file| self.file.insert(file))
            }
        };
        file.and_then(write).map_err(|error| broken(path, &error))
    }

    /// Puts these failures in the place of all that are there; none removes the file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be written, or the failures cannot be read.
    pub fn rewrite(&mut self, failures: impl Iterator<Item = io::Result<Failure>>) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        self.file = rewrite(path, failures).map_err(|error| broken(path, &error))?;
        Ok(())
    }
}

fn rewrite(path: &Path, failures: impl Iterator<Item = io::Result<Failure>>) -> io::Result<Option<File>> {
    let mut out = BufWriter::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?);
    out.get_ref().set_len(0)?;
    let mut any = false;
    for failure in failures {
        out.write_all(&line(&failure?)?)?;
        any = true;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if any {
        return Ok(Some(file));
    }
    fs::remove_file(path)?;
    Ok(None)
}

/// A file that holds anything but failures is somebody's, and not replaced.
fn check_ours(path: &Path) -> Result<(), Error> {
    let mut first = String::new();
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::Checkpoint(format!("the failures file {} is not a regular file", path.display())));
    }
    let read = File::open(path).and_then(|file| io::BufReader::new(file.take(LONGEST_FAILURE)).read_line(&mut first));
    match read {
        Ok(0) => Ok(()),
        Ok(_) if serde_json::from_str::<Failure>(&first).is_ok() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(broken(path, &error)),
        _ => Err(Error::Checkpoint(format!(
            "{} is not a failures file: it would be replaced; name another",
            path.display()
        ))),
    }
}

fn line(failure: &Failure) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(failure)?;
    line.push(b'\n');
    Ok(line)
}

fn broken(path: &Path, error: &io::Error) -> Error {
    Error::Checkpoint(format!("the failures file {} cannot be written: {error}", path.display()))
}
