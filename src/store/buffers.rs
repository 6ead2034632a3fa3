//! The memory of parts on their way, used again and again: asking the system for it anew costs a
//! page fault for each 4 KiB, more than moving the bytes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Smaller buffers are left to the allocator.
const SMALLEST: usize = 1 << 20;

/// Bytes that idle buffers may take: a part that ends lends its buffer to the next one, so that few
/// are ever idle.
const MOST_IDLE: usize = 16 << 20;

/// Idle buffers, shared by the buckets of an end.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer for `capacity` bytes.
    pub(super) fn take(&self, capacity: usize) -> Buffer {
        let mut bytes = Vec::new();
        if capacity >= SMALLEST {
            let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // One that is much larger would be wasted on it.
            let fits = |buffer: &Vec<u8>| (capacity..=2 * capacity).contains(&buffer.capacity());
            if let Some(at) = idle.iter().rposition(fits) {
                bytes = idle.swap_remove(at);
            }
        }
        bytes.reserve_exact(capacity);
        Buffer { bytes, home: self.clone() }
    }

    fn put_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < SMALLEST || buffer.capacity() > MOST_IDLE {
            return;
        }
        buffer.clear();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(buffer);
        // The oldest go: their size is the least likely to be asked for again.
        while idle.iter().map(Vec::capacity).sum::<usize>() > MOST_IDLE {
            drop(idle.remove(0));
        }
    }
}

/// A buffer that is filled, or read, and goes back where it came from.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What was filled in; the buffer goes back when the last clone is dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(buffers: &Buffers) -> Vec<usize> {
        buffers.0.lock().unwrap().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_bytes_are_dropped() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(2 << 20);
        buffer.extend(b"abc");
        let bytes = buffer.freeze();
        let clone = bytes.clone();
        drop(bytes);
        assert_eq!((&clone[..], idle(&buffers).len()), (&b"abc"[..], 0));
        drop(clone);
        assert_eq!(idle(&buffers), [2 << 20]);
        let length = buffers.take(2 << 20).len();
        assert_eq!((length, idle(&buffers)), (0, vec![2 << 20]));
    }

    #[test]
    fn idle_buffers_are_bounded_and_small_ones_not_kept() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..8).map(|_| buffers.take(16 << 20)).collect();
        drop((taken, buffers.take(1000)));
        assert_eq!(idle(&buffers), [16 << 20]);
    }
}
