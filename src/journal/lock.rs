//! Who owns a checkpoint: a lock on a file beside it, which is never renamed or removed.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Error, escape_key, now};

/// How often a lock that is held is tried again, and how long apart: `s3bulk jobs` holds it for an
/// instant when it looks.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// The ownership of a checkpoint; ends when dropped, or with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the checkpoint at `path`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the holder where another process has it, or the reason why
    /// the lock file cannot be made.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let lock = lock_path(path);
        let broken = |error: &dyn std::fmt::Display| {
            Error::Checkpoint(format!("the checkpoint's lock {} cannot be used: {error}", lock.display()))
        };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let mut file = options.map_err(|error| broken(&error))?;
        for tried in 1..=TRIES {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => return Err(held(path, &mut file)),
                Err(TryLockError::Error(error)) => return Err(broken(&error)),
            }
        }
        let holder = format!("pid {}, started {}\n", std::process::id(), now());
        file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(|error| broken(&error))?;
        Ok(Self { _file: file })
    }
}

/// Whether some process owns the checkpoint at `path`.
pub(super) fn is_held(path: &Path) -> bool {
    File::open(lock_path(path)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn held(path: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let _ = file.rewind();
    let _ = file.take(200).read_to_string(&mut holder);
    let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() };
    Error::Checkpoint(format!(
        "this job is running already: its checkpoint {} is held by {}",
        path.display(),
        escape_key(holder)
    ))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.jsonl");
        assert!(!is_held(&path));
        let first = Lock::take(&path).unwrap();
        assert!(is_held(&path));
        let error = Lock::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        assert!(Lock::take(&path).is_ok());
    }
}
