//! The memory of parts on their way, used again and again: asking the system for it anew costs a
//! page fault for each 4 KiB, more than moving the bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;

/// Smaller buffers are left to the allocator.
const SMALLEST: usize = 1 << 20;

/// How long a buffer that nobody takes is kept. A part takes its own when its source answers, a moment
/// after the room of another has become its. Chosen, not measured.
const LONGEST_IDLE: Duration = Duration::from_millis(500);

/// Idle buffers, shared by the buckets of an end.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Pool>>);

/// With those that are idle, buffers never take more than an eighth more bytes than were asked for at once:
/// so many were in the budget.
#[derive(Debug, Default)]
struct Pool {
    /// Since when, the oldest first.
    idle: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes of the buffers that are out.
    out: usize,
    /// Bytes that those who have them asked for, and the most that they have been.
    asked: usize,
    most: usize,
    /// Whether a task looks after what is idle.
    is_swept: bool,
}

impl Pool {
    fn take(&mut self, capacity: usize, now: Instant) -> Vec<u8> {
        self.asked += capacity;
        self.most = self.most.max(self.asked);
        // What one that is larger has too much is in no budget.
        let fits = capacity..=capacity + capacity / 8;
        let at = self.idle.iter().rposition(|(_, buffer)| fits.contains(&buffer.capacity()));
        let buffer = at.and_then(|at| self.idle.remove(at)).map_or_else(|| Vec::with_capacity(capacity), |it| it.1);
        self.out += buffer.capacity();
        self.tidy(now);
        buffer
    }

    fn put_back(&mut self, mut buffer: Vec<u8>, asked: usize, now: Instant) {
        self.out = self.out.saturating_sub(buffer.capacity());
        self.asked = self.asked.saturating_sub(asked);
        buffer.clear();
        self.idle.push_back((now, buffer));
        self.tidy(now);
    }

    fn tidy(&mut self, now: Instant) {
        let room = self.most.saturating_sub(self.out);
        let mut idle: usize = self.idle.iter().map(|(_, buffer)| buffer.capacity()).sum();
        while let Some((since, buffer)) = self.idle.front()
            && (idle > room || now.saturating_duration_since(*since) >= LONGEST_IDLE)
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
        let is_kept = capacity >= SMALLEST;
        let bytes = if is_kept { self.pool().take(capacity, Instant::now()) } else { Vec::with_capacity(capacity) };
        Buffer { bytes, home: is_kept.then(|| (self.clone(), capacity)) }
    }

    fn put_back(&self, buffer: Vec<u8>, asked: usize) {
        let mut pool = self.pool();
        pool.put_back(buffer, asked, Instant::now());
        if !pool.is_swept
            && let Ok(runtime) = Handle::try_current()
        {
            pool.is_swept = true;
            runtime.spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

/// Gives back what is idle for too long, until nothing is.
async fn sweep(pool: Weak<Mutex<Pool>>) {
    loop {
        tokio::time::sleep(LONGEST_IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.tidy(Instant::now());
        if pool.idle.is_empty() {
            pool.is_swept = false;
            return;
        }
    }
}

/// A buffer that is filled, or read, and goes back where it came from.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Where it goes back to, and the bytes that were asked for.
    home: Option<(Buffers, usize)>,
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
        if let Some((home, asked)) = self.home.take() {
            home.put_back(std::mem::take(&mut self.bytes), asked);
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
    fn one_that_is_larger_makes_room_for_its_own_size() {
        let buffers = Buffers::default();
        drop((0..4).map(|_| buffers.take(16 * MIB)).collect::<Vec<_>>());
        let small: Vec<_> = (0..8).map(|_| buffers.take(8 * MIB)).collect();
        let held: usize = small.iter().map(|buffer| buffer.bytes.capacity()).sum();
        assert_eq!((held, idle(&buffers)), (64 * MIB, Vec::new()));
    }

    #[test]
    fn what_nobody_takes_is_given_back() {
        let (mut pool, now) = (Pool::default(), Instant::now());
        let (one, two) = (pool.take(MIB, now), pool.take(MIB, now));
        pool.put_back(one, MIB, now);
        pool.put_back(two, MIB, now + LONGEST_IDLE / 2);
        pool.tidy(now + LONGEST_IDLE + LONGEST_IDLE / 4);
        assert_eq!(pool.idle.len(), 1);
        pool.tidy(now + 2 * LONGEST_IDLE);
        assert_eq!((pool.idle.len(), pool.out, pool.asked), (0, 0, 0));
    }

    #[tokio::test]
    async fn it_is_given_back_though_nobody_asks() {
        let buffers = Buffers::default();
        drop((buffers.take(2 * MIB), buffers.take(MIB)));
        assert_eq!(idle(&buffers).len(), 2);
        tokio::time::sleep(3 * LONGEST_IDLE).await;
        assert!(idle(&buffers).is_empty() && !buffers.pool().is_swept);
    }

    proptest::proptest! {
        #[test]
        fn no_more_is_held_than_was_asked_for_at_once(
            steps in proptest::collection::vec((0..4_usize, 1..20_usize), 1..60),
        ) {
            let (mut pool, now, mut out, mut most) = (Pool::default(), Instant::now(), Vec::new(), 0);
            for (what, size) in steps {
                if what > 0 || out.is_empty() {
                    out.push((pool.take(size * MIB, now), size * MIB));
                } else {
                    let (buffer, asked) = out.swap_remove(size % out.len());
                    pool.put_back(buffer, asked, now);
                }
                most = most.max(out.iter().map(|(_, asked)| asked).sum());
                let held: usize = out.iter().map(|(buffer, _)| buffer.capacity()).sum();
                let idle: usize = pool.idle.iter().map(|(_, buffer)| buffer.capacity()).sum();
                proptest::prop_assert!(held == pool.out && held + idle <= most + most / 8, "{held} {idle} {most}");
            }
        }
    }
}
