//! Buckets, objects and uploads in memory. What S3 makes of them is in `s3`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use crate::config::{Config, Order, Versioning};
use crate::content::Content;
use crate::listing::{self, Index, Page, Query};
use crate::object::{Object, Restore, RestoreRequest, now};
use crate::restoring::Restoring;

/// All that a server holds; a handle, clones share the same content.
#[derive(Clone, Default)]
pub struct Store {
    state: Arc<RwLock<State>>,
}

/// What is behind the lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    versioning: Versioning,
    restoring: Restoring,
    order: Order,
    uploads_created: u64,
}

/// The version id of what was written without one.
const WITHOUT_VERSION: &str = "null";

/// A bucket.
pub(crate) struct Bucket {
    /// Absent: that of the server, and not insisted on.
    pub(crate) region: Option<String>,
    pub(crate) created: SystemTime,
    /// The newest version under each key.
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
    /// The same keys as they are listed; absent where that is in the order of their bytes.
    index: Option<Index>,
    /// The older versions by key and version id.
    older: BTreeMap<(String, String), Arc<Object>>,
    pub(crate) versioning: Versioning,
    pub(crate) restoring: Restoring,
    versions_created: u64,
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
    pub(crate) content: Content,
    /// Of the bytes, or made up.
    pub(crate) md5: [u8; 16],
    /// The CRC-64/NVME of the bytes.
    pub(crate) checksum: u64,
    pub(crate) last_modified: SystemTime,
}

impl Bucket {
    fn new(region: Option<String>, state: &State) -> Bucket {
        Bucket {
            region,
            created: now(),
            objects: BTreeMap::new(),
            index: Index::new(state.order),
            older: BTreeMap::new(),
            versioning: state.versioning,
            restoring: state.restoring,
            versions_created: 0,
            uploads: BTreeMap::new(),
        }
    }

    /// A page of its objects.
    pub(crate) fn page(&self, query: &Query<'_>) -> Page<'_, Arc<Object>> {
        match &self.index {
            Some(index) => index.page(&self.objects, query),
            None => listing::page(&self.objects, query),
        }
    }

    /// Puts an object under a key, as a new version where there are versions.
    pub(crate) fn insert(&mut self, key: &str, mut object: Object) -> Arc<Object> {
        match self.versioning {
            Versioning::Never => {}
            Versioning::Enabled => {
                self.versions_created += 1;
                object.version_id = Some(format!("version-{:010}", self.versions_created));
            }
            Versioning::Suspended => {
                object.version_id = Some(WITHOUT_VERSION.to_owned());
                self.older.remove(&(key.to_owned(), WITHOUT_VERSION.to_owned()));
            }
        }
        self.remove(key);
        let object = Arc::new(object);
        self.put(key.to_owned(), Arc::clone(&object));
        object
    }

    fn put(&mut self, key: String, object: Arc<Object>) {
        if let Some(index) = &mut self.index {
            index.insert(&key);
        }
        self.objects.insert(key, object);
    }

    /// Removes the newest object from under a key; its versions stay. `false` if there was none.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        let Some(removed) = self.objects.remove(key) else { return false };
        if let Some(index) = &mut self.index {
            index.remove(key);
        }
        let id = removed.version_id.clone().unwrap_or_else(|| WITHOUT_VERSION.to_owned());
        let is_replaced = self.versioning != Versioning::Enabled && id == WITHOUT_VERSION;
        if !is_replaced {
            self.older.insert((key.to_owned(), id), removed);
        }
        true
    }

    /// The object under a key, as its restore has gone on by now.
    pub(crate) fn settle(&mut self, key: &str) -> Option<&mut Arc<Object>> {
        let object = self.objects.get_mut(key)?;
        if let Some(settled) = self.restoring.settled(key, object, SystemTime::now()) {
            *object = Arc::new(settled);
        }
        Some(object)
    }

    /// The same, of a bucket that is only looked at.
    fn settled(&self, key: &str, object: &Arc<Object>) -> Arc<Object> {
        self.restoring.settled(key, object, SystemTime::now()).map_or_else(|| Arc::clone(object), Arc::new)
    }

    /// A version of the object under a key.
    pub(crate) fn version(&self, key: &str, id: &str) -> Option<Arc<Object>> {
        let newest = self.objects.get(key);
        let is_newest = |object: &&Arc<Object>| object.version_id.as_deref().unwrap_or(WITHOUT_VERSION) == id;
        let version = newest.filter(is_newest).or_else(|| self.older.get(&(key.to_owned(), id.to_owned())));
        version.map(|version| self.settled(key, version))
    }
}

impl State {
    /// Creates the bucket; `false` if it is there already.
    pub(crate) fn create_bucket(&mut self, name: &str, region: Option<String>) -> bool {
        let absent = !self.buckets.contains_key(name);
        if absent {
            let bucket = Bucket::new(region, self);
            self.buckets.insert(name.to_owned(), bucket);
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

    /// An empty store with versions, or without, and with an order.
    pub(crate) fn with(config: &Config) -> Store {
        let versioning = if config.versioned { Versioning::Enabled } else { Versioning::Never };
        let restoring = Restoring::new(config);
        let state = State { versioning, restoring, order: config.order, ..State::default() };
        Store { state: Arc::new(RwLock::new(state)) }
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

    /// Says from now on whether a bucket, which is created if need be, keeps older versions.
    pub fn set_versioning(&self, name: &str, versioning: Versioning) {
        let mut state = self.lock();
        state.create_bucket(name, None);
        if let Some(bucket) = state.buckets.get_mut(name) {
            bucket.versioning = versioning;
        }
    }

    /// Puts an object, and creates the bucket if need be. With versions it is a new one, which the
    /// object's `version_id` does not change.
    pub fn put(&self, bucket: &str, key: &str, object: Object) {
        let mut state = self.lock();
        state.create_bucket(bucket, None);
        if let Some(bucket) = state.buckets.get_mut(bucket) {
            bucket.insert(key, object);
        }
    }

    /// Puts the same object under each of the keys, and creates the bucket if need be. They share it,
    /// unless they have versions: a million of them take little more memory than their keys.
    pub fn fill(&self, bucket: &str, keys: impl IntoIterator<Item = String>, object: Object) {
        // Sorted first, the map takes less time and room.
        let mut keys: Vec<String> = keys.into_iter().collect();
        keys.sort_unstable();
        let mut state = self.lock();
        state.create_bucket(bucket, None);
        let Some(bucket) = state.buckets.get_mut(bucket) else { return };
        let shared = Arc::new(object);
        for key in keys {
            if bucket.versioning == Versioning::Never {
                bucket.put(key, Arc::clone(&shared));
            } else {
                bucket.insert(&key, Object::clone(&shared));
            }
        }
    }

    /// The object under a key.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        let state = self.read();
        let bucket = state.buckets.get(bucket)?;
        Some(bucket.settled(key, bucket.objects.get(key)?))
    }

    /// A version of the object under a key, the newest or an older one.
    pub fn version(&self, bucket: &str, key: &str, version_id: &str) -> Option<Arc<Object>> {
        self.read().buckets.get(bucket)?.version(key, version_id)
    }

    /// Removes an object, its older versions excepted; `false` if there was none.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        let mut state = self.lock();
        state.buckets.get_mut(bucket).is_some_and(|bucket| bucket.remove(key))
    }

    /// Changes an object in place, without a new version; `false` if there is none.
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
        self.read().buckets.keys().cloned().collect()
    }

    /// The keys of a bucket, in byte order; none if there is no such bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = self.read();
        state.buckets.get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The content of a bucket as it is now; nothing if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Arc<Object>> {
        let state = self.read();
        let Some(bucket) = state.buckets.get(bucket) else { return BTreeMap::new() };
        bucket.objects.iter().map(|(key, object)| (key.clone(), bucket.settled(key, object))).collect()
    }

    /// The uploads of a bucket that are neither completed nor aborted, as key and upload id.
    pub fn open_uploads(&self, bucket: &str) -> Vec<(String, String)> {
        let state = self.read();
        state.buckets.get(bucket).map(|bucket| bucket.uploads.keys().cloned().collect()).unwrap_or_default()
    }

    /// Begins an upload in parts as if a client had done it then, creates the bucket if need be, and
    /// says the upload id.
    pub fn open_upload(&self, bucket: &str, key: &str, initiated: SystemTime) -> String {
        let mut state = self.lock();
        state.create_bucket(bucket, None);
        let id = state.next_upload_id();
        let upload = Upload { initiated, template: Object::new(""), parts: BTreeMap::new() };
        if let Some(bucket) = state.buckets.get_mut(bucket) {
            bucket.uploads.insert((key.to_owned(), id.clone()), upload);
        }
        id
    }

    /// Sets how far the restore of an object is, as if one in progress were asked for now; `false` if
    /// there is no such object.
    pub fn set_restore_status(&self, bucket: &str, key: &str, restore: Option<Restore>) -> bool {
        let is_asked = matches!(restore, Some(Restore::InProgress { .. }));
        let request = is_asked.then(|| RestoreRequest { at: SystemTime::now(), tier: "Standard".to_owned() });
        self.update(bucket, key, |object| (object.restore, object.restore_request) = (restore, request))
    }

    /// Finishes every restore in progress in a bucket, and says how many there were.
    pub fn finish_restores(&self, bucket: &str) -> usize {
        let mut state = self.lock();
        let Some(bucket) = state.buckets.get_mut(bucket) else { return 0 };
        let (restoring, mut finished) = (bucket.restoring, 0);
        for object in bucket.objects.values_mut() {
            let Some(restored) = restoring.finished(object, SystemTime::now()) else { continue };
            *object = Arc::new(restored);
            finished += 1;
        }
        finished
    }

    /// The state, locked. Never held across an await.
    pub(crate) fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to be read, also by others at the same time. Never held across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
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
    fn many_keys_share_an_object_until_it_changes() {
        let store = Store::new();
        store.fill("b", ["y", "x"].map(str::to_owned), Object::new("body"));
        assert_eq!(store.keys("b"), ["x", "y"]);
        assert!(store.update("b", "x", |object| object.etag.clear()));
        assert!(!store.get("b", "y").unwrap().etag.is_empty());
        let versioned = Store::with(&Config { versioned: true, ..Config::default() });
        versioned.fill("b", ["y", "x"].map(str::to_owned), Object::new("body"));
        assert_ne!(versioned.get("b", "x").unwrap().version_id, versioned.get("b", "y").unwrap().version_id);
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
