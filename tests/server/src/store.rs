//! Buckets, objects and uploads in memory. What S3 makes of them is in `s3`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::object::{Object, Restore, now};

/// All that a server holds; a handle, clones share the same content.
#[derive(Clone, Default)]
pub struct Store {
    state: Arc<Mutex<State>>,
}

/// What is behind the lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    uploads_created: u64,
}

/// A bucket.
pub(crate) struct Bucket {
    /// Absent: that of the server, and not insisted on.
    pub(crate) region: Option<String>,
    pub(crate) created: SystemTime,
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
    /// By key and upload id.
    pub(crate) uploads: BTreeMap<(String, String), Upload>,
}

/// An upload in parts that is neither completed nor aborted.
pub(crate) struct Upload {
    pub(crate) initiated: SystemTime,
    /// What the object will be, all but its body.
    pub(crate) template: Object,
    pub(crate) parts: BTreeMap<u16, Part>,
}

/// A part of an upload.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) body: Bytes,
    /// Zero bytes after `body`.
    pub(crate) hole: u64,
    pub(crate) md5: [u8; 16],
    pub(crate) last_modified: SystemTime,
}

impl Part {
    pub(crate) fn size(&self) -> u64 {
        self.body.len() as u64 + self.hole
    }
}

impl Bucket {
    fn new(region: Option<String>) -> Bucket {
        Bucket { region, created: now(), objects: BTreeMap::new(), uploads: BTreeMap::new() }
    }
}

impl State {
    /// Creates the bucket; `false` if it is there already.
    pub(crate) fn create_bucket(&mut self, name: &str, region: Option<String>) -> bool {
        let absent = !self.buckets.contains_key(name);
        if absent {
            self.buckets.insert(name.to_owned(), Bucket::new(region));
        }
        absent
    }

    /// An id for a new upload; ids sort in the order in which they were given out.
    pub(crate) fn next_upload_id(&mut self) -> String {
        self.uploads_created += 1;
        format!("upload-{:010}", self.uploads_created)
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Store {
        Store::default()
    }

    /// Creates a bucket in the region of the server; nothing happens if it is there already.
    pub fn create_bucket(&self, name: &str) {
        self.lock().create_bucket(name, None);
    }

    /// Creates a bucket in a region of its own: requests signed for another are answered with
    /// 301 `PermanentRedirect`, HeadBucket with the region. Nothing happens if it is there already.
    pub fn create_bucket_in(&self, name: &str, region: &str) {
        self.lock().create_bucket(name, Some(region.to_owned()));
    }

    /// Puts an object, and creates the bucket if need be.
    pub fn put(&self, bucket: &str, key: &str, object: Object) {
        let mut state = self.lock();
        let bucket = state.buckets.entry(bucket.to_owned()).or_insert_with(|| Bucket::new(None));
        bucket.objects.insert(key.to_owned(), Arc::new(object));
    }

    /// The object under a key.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.lock().buckets.get(bucket)?.objects.get(key).cloned()
    }

    /// Removes an object; `false` if there was none.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        let mut state = self.lock();
        state.buckets.get_mut(bucket).is_some_and(|bucket| bucket.objects.remove(key).is_some())
    }

    /// Changes an object in place; `false` if there is none.
    pub fn update(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Object)) -> bool {
        let mut state = self.lock();
        let object = state.buckets.get_mut(bucket).and_then(|bucket| bucket.objects.get_mut(key));
        object.is_some_and(|object| {
            change(Arc::make_mut(object));
            true
        })
    }

    /// The names of all buckets, in order.
    pub fn buckets(&self) -> Vec<String> {
        self.lock().buckets.keys().cloned().collect()
    }

    /// The keys of a bucket, in byte order; none if there is no such bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = self.lock();
        state.buckets.get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The content of a bucket as it is now; nothing if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Arc<Object>> {
        self.lock().buckets.get(bucket).map(|bucket| bucket.objects.clone()).unwrap_or_default()
    }

    /// The uploads of a bucket that are neither completed nor aborted, as key and upload id.
    pub fn open_uploads(&self, bucket: &str) -> Vec<(String, String)> {
        let state = self.lock();
        state.buckets.get(bucket).map(|bucket| bucket.uploads.keys().cloned().collect()).unwrap_or_default()
    }

    /// Sets how far the restore of an object is; `false` if there is no such object.
    pub fn set_restore_status(&self, bucket: &str, key: &str, restore: Option<Restore>) -> bool {
        self.update(bucket, key, |object| object.restore = restore)
    }

    /// Finishes every restore in progress in a bucket, and says how many there were.
    pub fn finish_restores(&self, bucket: &str) -> usize {
        let mut state = self.lock();
        let Some(bucket) = state.buckets.get_mut(bucket) else { return 0 };
        let mut finished = 0;
        for object in bucket.objects.values_mut() {
            let Some(Restore::InProgress { days }) = object.restore else { continue };
            let object = Arc::make_mut(object);
            finished += 1;
            object.restore = days.map(|days| Restore::Restored { expiry: now() + days_long(days) });
            object.archive_status = None;
        }
        finished
    }

    /// The state, locked. Never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many days.
pub(crate) fn days_long(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let sizes = state.buckets.iter().map(|(name, bucket)| (name, bucket.objects.len()));
        f.debug_map().entries(sizes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_appears_with_its_first_object() {
        let store = Store::new();
        store.put("bucket", "k", Object::new("body"));
        assert_eq!(store.buckets(), ["bucket"]);
        assert_eq!(store.keys("bucket"), ["k"]);
        assert!(store.delete("bucket", "k"));
        assert!(!store.delete("bucket", "k"));
        assert!(store.objects("bucket").is_empty());
    }

    #[test]
    fn restores_finish_when_told() {
        let store = Store::new();
        store.put("b", "cold", Object::new("x").storage_class("GLACIER"));
        store.put("b", "warm", Object::new("x"));
        assert_eq!(store.finish_restores("b"), 0);
        store.set_restore_status("b", "cold", Some(Restore::InProgress { days: Some(2) }));
        assert_eq!(store.finish_restores("b"), 1);
        assert!(!store.get("b", "cold").unwrap().is_archived());
    }
}
