//! CRC-64/NVME, the checksum that S3 keeps of every object, also of bytes that are not at hand.

use crc_fast::{CrcAlgorithm, Digest};

use crate::encoding;

/// The polynomial, with its lowest power in the highest bit, like the bits of a checksum.
const POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

/// The polynomials `1` and `x` in the same order of bits.
const ONE: u64 = 1 << 63;
const X: u64 = 1 << 62;

/// A checksum that grows with its bytes.
pub(crate) struct Running(Digest);

impl Running {
    pub(crate) fn new() -> Running {
        Running(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finalize()
    }
}

/// The checksum of these bytes.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The checksum of so many zero bytes.
pub(crate) fn of_zeros(size: u64) -> u64 {
    !Shift::by(size).apply(!0)
}

/// The checksum of bytes with the first checksum, followed by `size` bytes with the second.
pub(crate) fn combine(first: u64, second: u64, size: u64) -> u64 {
    Shift::by(size).apply(first) ^ second
}

/// The checksum as it stands in headers and in XML.
pub(crate) fn text(checksum: u64) -> String {
    encoding::base64(&checksum.to_be_bytes())
}

/// What so many bytes do to a checksum of what is in front of them.
pub(crate) struct Shift(u64);

impl Shift {
    pub(crate) fn by(bytes: u64) -> Shift {
        let (mut power, mut square, mut bits) = (ONE, X, bytes.saturating_mul(8));
        while bits > 0 {
            if bits & 1 == 1 {
                power = multiply(power, square);
            }
            square = multiply(square, square);
            bits >>= 1;
        }
        Shift(power)
    }

    pub(crate) fn apply(&self, checksum: u64) -> u64 {
        multiply(self.0, checksum)
    }
}

/// The product of two polynomials, modulo the one of the checksum.
fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    for power in (0..64).rev() {
        product ^= b & 0_u64.wrapping_sub((a >> power) & 1);
        b = (b >> 1) ^ (POLYNOMIAL & 0_u64.wrapping_sub(b & 1));
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_catalogue() {
        assert_eq!(of(b"123456789"), 0xAE8B_1486_0A79_9888);
        assert_eq!(text(of(b"123456789")), "rosUhgp5mIg=");
        let mut running = Running::new();
        running.update(b"1234");
        running.update(b"56789");
        assert_eq!(running.finish(), of(b"123456789"));
    }

    #[test]
    fn checksums_combine() {
        assert_eq!(combine(of(b"1234"), of(b"56789"), 5), of(b"123456789"));
        assert_eq!(combine(of(b""), of(b"12"), 2), of(b"12"));
        assert_eq!(combine(of(b"12"), of(b""), 0), of(b"12"));
        let (first, second, size) = (of(b"a"), of(b"b"), 123_456_789_012);
        assert_eq!(
            combine(first, second, size),
            crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, size)
        );
    }

    #[test]
    fn zeros_need_not_be_there() {
        for size in [0, 1, 7, 8, 1000, 65_537] {
            assert_eq!(of_zeros(size as u64), of(&vec![0; size]), "{size}");
        }
    }
}
