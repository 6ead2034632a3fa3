//! A record as a line of the file, sealed: each line ends with a checksum over itself and the seal of
//! the line before, so that a line that was changed, lost or moved shows.

use crc_fast::{CrcAlgorithm, Digest};

use super::record::Record;

/// What stands between a record and its seal.
const MARK: &str = ",\"crc\":\"";

/// The seal of the last line; each file begins with the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal(u64);

impl Seal {
    /// Appends `record` as a line to `lines`.
    ///
    /// # Errors
    /// None that a record can cause.
    pub(super) fn write(&mut self, record: &Record, lines: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let start = lines.len();
        serde_json::to_writer(&mut *lines, record)?;
        // The record is an object: the seal becomes its last field.
        lines.pop();
        *self = self.next(&lines[start..]);
        lines.extend_from_slice(format!("{MARK}{:016x}\"}}\n", self.0).as_bytes());
        Ok(())
    }

    /// Reads a line, its end included.
    ///
    /// # Errors
    /// A line that is torn, was changed, or does not follow the one before.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<Record, String> {
        let line = line.strip_suffix(b"\n").ok_or("it is torn")?;
        let at = line.len().checked_sub(MARK.len() + 18).ok_or("it has no checksum")?;
        let (record, seal) = line.split_at(at);
        let next = self.next(record);
        if seal != format!("{MARK}{:016x}\"}}", next.0).as_bytes() {
            return Err("it was changed, or lines are missing: its checksum does not match".to_owned());
        }
        *self = next;
        serde_json::from_slice(&[record, b"}"].concat()).map_err(|error| error.to_string())
    }

    fn next(self, record: &[u8]) -> Self {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(&self.0.to_le_bytes());
        digest.update(record);
        Self(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Plan;
    use super::*;
    use crate::model::Range;

    fn lines(count: u32) -> Vec<Vec<u8>> {
        let mut seal = Seal::default();
        let line = |pass| {
            let mut line = Vec::new();
            seal.write(&Record::Plan(Plan { pass, ranges: vec![Range::whole(pass)], ..Plan::default() }), &mut line)
                .unwrap();
            line
        };
        (0..count).map(line).collect()
    }

    fn readable(lines: &[Vec<u8>]) -> bool {
        let mut seal = Seal::default();
        lines.iter().all(|line| seal.read(line).is_ok())
    }

    #[test]
    fn what_was_written_is_read() {
        let lines = lines(3);
        assert!(readable(&lines));
        let text = String::from_utf8(lines[0].clone()).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["crc"].is_string(), "{text}");
    }

    #[test]
    fn every_changed_byte_and_every_missing_line_shows() {
        let whole = lines(3);
        for at in 0..whole[1].len() {
            let mut changed = whole.clone();
            changed[1][at] ^= 1;
            assert!(!readable(&changed), "byte {at}");
        }
        assert!(!readable(&[whole[0].clone(), whole[2].clone()]));
        assert!(!readable(&[whole[1].clone(), whole[0].clone()]));
    }
}
