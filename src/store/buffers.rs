//! The memory of parts on their way, used again and again: asking the system for it anew costs a
//! page fault for each 4 KiB, more than moving the bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Smaller buffers are left to the allocator.
const SMALLEST: usize = 1 << 20;

/// How long a buffer that nobody takes is kept. Parts end and begin in bursts, and those of one size are
/// followed by others. Chosen, not measured.
const LONGEST_IDLE: Duration = Duration::from_secs(1);

/// Idle buffers, shared by the buckets of an end.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Pool>>);

/// The idle buffers and those that are out never take more bytes than those that were out at once.
#[derive(Debug, Default)]
struct Pool {
    /// Since when, the oldest first.
    idle: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes of the buffers that are out, and the most that they have been.
    out: usize,
    most: usize,
}

impl Pool {
    fn take(&mut self, capacity: usize, now: Instant) -> Vec<u8> {
        // One that is much larger would be wasted on it.
        let fits = |(_, buffer): &(Instant, Vec<u8>)| (capacity..=2 * capacity).contains(&buffer.capacity());
        let at = self.idle.iter().rposition(fits);
        let buffer = at.and_then(|at| self.idle.remove(at)).map_or_else(|| Vec::with_capacity(capacity), |it| it.1);
        self.out += buffer.capacity();
        self.most = self.most.max(self.out);
        self.tidy(now);
        buffer
    }

    fn put_back(&mut self, mut buffer: Vec<u8>, now: Instant) {
        self.out = self.out.saturating_sub(buffer.capacity());
        buffer.clear();
        self.idle.push_back((now, buffer));
        self.tidy(now);
    }

    fn tidy(&mut self, now: Instant) {
        let room = self.most.saturating_sub(self.out);
        let mut idle: usize = self.idle.iter().map(|(_, buffer)| buffer.capacity()).sum();
        while let Some((since, buffer)) = self.idle.front()
            && (idle > room || now.saturating_duration_since(*since) > LONGEST_IDLE)
        {
            idle -= buffer.capacity();
            self.idle.pop_front();
        }
    }
}

impl Buffers {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer for `capacity` bytes.
    pub(super) fn take(&self, capacity: usize) -> Buffer {
        let mut pool = self.pool();
        let now = Instant::now();
        let bytes = if capacity >= SMALLEST {
            pool.take(capacity, now)
        } else {
            pool.tidy(now);
            Vec::with_capacity(capacity)
        };
        drop(pool);
        Buffer { bytes, home: self.clone() }
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
        if self.bytes.capacity() >= SMALLEST {
            self.home.pool().put_back(std::mem::take(&mut self.bytes), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn idle(buffers: &Buffers) -> Vec<usize> {
        buffers.pool().idle.iter().map(|(_, buffer)| buffer.capacity() / MIB).collect()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_bytes_are_dropped() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(2 * MIB);
        buffer.extend(b"abc");
        let bytes = buffer.freeze();
        let clone = bytes.clone();
        drop(bytes);
        assert_eq!((&clone[..], idle(&buffers).len()), (&b"abc"[..], 0));
        drop(clone);
        assert_eq!(idle(&buffers), [2]);
        let length = buffers.take(2 * MIB).len();
        assert_eq!((length, idle(&buffers)), (0, vec![2]));
        drop(buffers.take(1000));
        assert_eq!(idle(&buffers), [2], "small ones are not kept");
    }

    #[test]
    fn what_is_idle_makes_room_for_others() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..8).map(|_| buffers.take(16 * MIB)).collect();
        drop(taken);
        assert_eq!(idle(&buffers), [16; 8]);
        let other = buffers.take(40 * MIB);
        assert_eq!(idle(&buffers), [16; 5], "128 MiB in all, as before");
        drop(other);
        assert_eq!(idle(&buffers), [16, 16, 16, 16, 16, 40]);
    }

    #[test]
    fn what_nobody_takes_is_given_back() {
        let (mut pool, now) = (Pool::default(), Instant::now());
        let (one, two) = (pool.take(MIB, now), pool.take(MIB, now));
        pool.put_back(one, now);
        pool.put_back(two, now + LONGEST_IDLE / 2);
        pool.tidy(now + LONGEST_IDLE + LONGEST_IDLE / 4);
        assert_eq!(pool.idle.len(), 1);
        pool.tidy(now + 2 * LONGEST_IDLE);
        assert_eq!((pool.idle.len(), pool.out), (0, 0));
    }

    proptest::proptest! {
        #[test]
        fn no_more_is_held_than_was_out_at_once(steps in proptest::collection::vec((0..4_usize, 1..6_usize), 1..60)) {
            let (mut pool, now, mut out) = (Pool::default(), Instant::now(), Vec::new());
            for (what, size) in steps {
                if what > 0 || out.is_empty() {
                    out.push(pool.take(size * MIB, now));
                } else {
                    pool.put_back(out.swap_remove(size % out.len()), now);
                }
                let taken: usize = out.iter().map(Vec::capacity).sum();
                let idle: usize = pool.idle.iter().map(|(_, buffer)| buffer.capacity()).sum();
                proptest::prop_assert!(pool.out == taken && taken + idle <= pool.most);
            }
        }
    }
}
