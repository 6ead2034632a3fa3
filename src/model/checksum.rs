//! CRC-64/NVME: the checksum that S3 keeps of whole objects, whatever parts they were written in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A CRC-64/NVME. Shown in base64, as S3 shows it. *Source:* "Checking object integrity" in the S3
/// user guide: it is the default, and always that of the full object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    /// That of no bytes.
    pub const EMPTY: Self = Self(0);

    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes))
    }

    /// From base64, as S3 writes it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// That of this one's bytes followed by the `length` bytes that `next` is of.
    #[must_use]
    pub fn followed_by(self, next: Self, length: u64) -> Self {
        Self(crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, self.0, next.0, length))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_be_bytes()))
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no CRC-64 in base64"))
    }
}

/// A checksum in the making, while bytes pass.
#[derive(Clone, Debug)]
pub struct Checksummer(Digest);

impl Default for Checksummer {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }
}

impl Checksummer {
    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// That of all bytes so far.
    pub fn finish(&self) -> Checksum {
        Checksum(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_one_of_s3() {
        // The check value of CRC-64/NVME: that of "123456789" is 0xAE8B14860A799888.
        assert_eq!(Checksum::of(b"123456789"), Checksum(0xAE8B_1486_0A79_9888));
        assert_eq!(Checksum::of(b"123456789").to_string(), "rosUhgp5mIg=");
        assert_eq!(Checksum::parse("rosUhgp5mIg="), Some(Checksum::of(b"123456789")));
        assert_eq!((Checksum::parse("rosUhgp5"), Checksum::parse("?")), (None, None));
        assert_eq!(Checksum::of(b""), Checksum::EMPTY);
    }

    proptest! {
        #[test]
        fn parts_combine_to_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(Checksum::of(a).followed_by(Checksum::of(b), b.len() as u64), Checksum::of(&bytes));
            let mut sum = Checksummer::default();
            sum.update(a);
            sum.update(b);
            prop_assert_eq!(sum.finish(), Checksum::of(&bytes));
        }
    }
}
