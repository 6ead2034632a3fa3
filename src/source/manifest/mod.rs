//! A manifest: files that name the objects to work on, in place of a listing.
//!
//! It is read as a stream, a range of work for each file, and resumed at the place behind a line.
//! `layout` finds out how lines look and reads one, `records` finds where lines end, `inventory` reads
//! what names the files of an S3 Inventory: these are pure. `place` has the bytes, `read` makes items
//! of the lines.

mod inventory;
mod layout;
mod place;
mod read;
mod records;
#[cfg(feature = "parquet")]
mod table;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::journal::ManifestPrint;
use crate::model::{Error, Location, Range, RequestError, Target, escape_key};
use crate::pace::Pacer;
use crate::store::{Bucket, End};
use inventory::Inventory;
use layout::{Detected, Layout, detect};
use place::{Place, Reach, check_length, hex};

pub use layout::ManifestFormat;
pub use read::read;

/// Files that are read at once at most: each has a thread, and a buffer.
pub const READERS: usize = 16;

/// Bytes that the `manifest.json` of an inventory may have: that of a million files has some 200 MB.
const LARGEST_JSON: u64 = 256 << 20;

/// What a manifest is opened by.
#[derive(Clone, Copy, Debug)]
pub struct ManifestSpec<'a> {
    /// A path, `-` for standard input, or `s3://bucket/key`.
    pub name: &'a str,
    /// What it is written in, where that is not to be found out.
    pub format: Option<ManifestFormat>,
    /// Where a bucket that it is in is reached.
    pub end: &'a End,
    /// The gate of requests.
    pub pacer: &'a Arc<Pacer>,
}

/// A manifest that was found, and not read.
#[derive(Debug)]
pub struct Manifest {
    files: Vec<DataFile>,
    format: Option<ManifestFormat>,
    print: ManifestPrint,
    /// Whether the store is asked for what lines do not say.
    asks: bool,
}

/// One file of it.
#[derive(Clone, Debug)]
struct DataFile {
    /// As users read it.
    name: String,
    place: Place,
    /// Known only where another file tells of it.
    layout: Option<Layout>,
    /// What one on this machine is known again by.
    stamp: Option<Stamp>,
    /// How many bytes it has at least, as its inventory says.
    least: Option<u64>,
}

/// What a file is known again by while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl DataFile {
    /// Whether it is what it was when the run began, and whole.
    ///
    /// # Errors
    /// That it is not, or cannot be asked.
    fn check(&self) -> io::Result<()> {
        let wrong = |why: &str| Err(io::Error::other(format!("{} {why}", escape_key(&self.name))));
        let size = match (&self.place, self.least) {
            (Place::Local(path), _) => {
                let now = Stamp::of(path)?;
                if self.stamp.is_some_and(|stamp| stamp != now) {
                    return wrong("was changed while it was read");
                }
                now.size
            }
            // Each request for it names its entity tag, and its length is looked at with the first.
            (Place::Once(_) | Place::Remote { .. }, _) => return Ok(()),
        };
        check_length(size, self.least)
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { size: found.len(), modified: found.modified().ok() })
    }
}

impl Manifest {
    /// Finds a manifest, and the files of an inventory.
    ///
    /// # Errors
    /// [`Error::Usage`] for one that cannot be read; [`Error::Unworkable`] for one in a bucket that cannot
    /// be.
    pub async fn open(spec: ManifestSpec<'_>) -> Result<Self, Error> {
        let place = find(spec).await?;
        let reach = Reach { runtime: Handle::current(), gone: CancellationToken::new() };
        let _ends_with_us = reach.gone.clone().drop_guard();
        let (name, format) = (spec.name.to_owned(), spec.format);
        let (found, looked) = (place.clone(), reach.clone());
        let look = move || look(&found, &name, format, &looked);
        let looked = tokio::task::spawn_blocking(look).await.map_err(|error| Error::Internal(error.to_string()))?;
        let (mut print, inventory) = looked.map_err(|error| unreadable(spec.name, &error))?;
        let files = match inventory {
            None => {
                let name = if spec.name == "-" { "stdin" } else { spec.name }.to_owned();
                let stamp = match &place {
                    Place::Local(path) => Some(Stamp::of(path).map_err(|error| unreadable(spec.name, &error))?),
                    Place::Once(_) | Place::Remote { .. } => None,
                };
                vec![DataFile { name, place, layout: None, stamp, least: None }]
            }
            Some(json) => {
                let wrong = |why: String| Error::Usage(format!("the manifest {}: {why}", shown(spec.name)));
                let inventory = Inventory::parse(&json).map_err(wrong)?;
                let layout = inventory.layout().map_err(wrong)?;
                let files = find_files(spec, &place, &inventory, layout).await?;
                print.hash = Some(hash_of_all(&json, &files));
                files
            }
        };
        Ok(Self { files, format, print, asks: true })
    }

    /// The same, of which no line may leave unsaid what has to be known: the store is not asked.
    pub fn without_asking(self) -> Self {
        Self { asks: false, ..self }
    }

    /// Whether it can be read only once: it comes through a pipe.
    pub fn is_read_once(&self) -> bool {
        self.files.iter().any(|file| matches!(file.place, Place::Once(_)))
    }

    /// By what it is known again.
    pub fn print(&self) -> ManifestPrint {
        self.print.clone()
    }

    /// All of it, as ranges.
    pub fn ranges(&self) -> Vec<Range> {
        (0..).zip(&self.files).map(|(number, _)| Range::lines(number)).collect()
    }
}

fn shown(name: &str) -> String {
    escape_key(name)
}

fn unreadable(name: &str, error: &io::Error) -> Error {
    let name = shown(name);
    match error.get_ref().and_then(|inner| inner.downcast_ref::<RequestError>()) {
        Some(error) => {
            Error::Unworkable(format!("the manifest {name} cannot be read: {}: {}", error.code, error.message))
        }
        None => Error::Usage(format!("the manifest {name} cannot be read: {error}")),
    }
}

/// Where a manifest is.
async fn find(spec: ManifestSpec<'_>) -> Result<Place, Error> {
    if spec.name == "-" {
        return Ok(Place::Once(None));
    }
    if spec.name.starts_with("s3://") {
        let location = Location::parse(spec.name, true).map_err(Error::Usage)?;
        let Target::Object(key) = location.target else {
            return Err(Error::Usage(format!("the manifest {} is a folder: name one object", shown(spec.name))));
        };
        let bucket = spec.end.bucket(&location.bucket, spec.pacer).await?;
        return Ok(Place::Remote { bucket: Box::new(bucket), key, least: None });
    }
    let path = PathBuf::from(spec.name);
    match fs::metadata(&path) {
        Err(error) => Err(unreadable(spec.name, &error)),
        Ok(found) if found.is_dir() => {
            Err(Error::Usage(format!("the manifest {} is a folder: name one file", shown(spec.name))))
        }
        Ok(found) if found.is_file() => Ok(Place::Local(path)),
        // A pipe, as a shell's <(...) gives it.
        Ok(_) => Ok(Place::Once(Some(path))),
    }
}

/// What is to be known before it is read: by what it is known again, and the `manifest.json` of an
/// inventory.
fn look(
    place: &Place,
    name: &str,
    format: Option<ManifestFormat>,
    reach: &Reach,
) -> io::Result<(ManifestPrint, Option<Vec<u8>>)> {
    let print = place.print(name, reach)?;
    if let Place::Once(_) = place {
        let is_inventory = format == Some(ManifestFormat::Inventory);
        return if is_inventory { Err(io::Error::other(NOT_TWICE)) } else { Ok((print, None)) };
    }
    let (mut records, _) = place.lines(reach)?;
    let json = match detect(records.peek()?, name, format, &[]) {
        Detected::Inventory => {
            let mut json = Vec::new();
            records.rest().take(LARGEST_JSON).read_to_end(&mut json)?;
            Some(json)
        }
        Detected::Lines(Layout::Parquet) if cfg!(not(feature = "parquet")) => {
            return Err(io::Error::other("it is written in Parquet, which this program was built without"));
        }
        Detected::Lines(_) => None,
    };
    Ok((print, json))
}

/// What is said of an inventory from standard input.
const NOT_TWICE: &str = "an S3 Inventory cannot come through a pipe: name its manifest.json";

/// The files of an inventory: each beside its `manifest.json`, if it is there, else in the bucket.
async fn find_files(
    spec: ManifestSpec<'_>,
    manifest: &Place,
    inventory: &Inventory,
    layout: Layout,
) -> Result<Vec<DataFile>, Error> {
    let mut bucket: Option<Bucket> = match manifest {
        Place::Remote { bucket, .. } if bucket.name() == inventory.bucket() => Some((**bucket).clone()),
        _ => None,
    };
    let mut files = Vec::new();
    for file in &inventory.files {
        let beside = match manifest {
            Place::Local(path) => beside(path, &file.key),
            _ => None,
        };
        let place = match (beside, &bucket) {
            (Some(path), _) => Place::Local(path),
            (None, Some(bucket)) => {
                Place::Remote { bucket: Box::new(bucket.clone()), key: file.key.clone(), least: file.size }
            }
            (None, None) => {
                let opened = spec.end.bucket(inventory.bucket(), spec.pacer).await.map_err(|error| {
                    let name = shown(spec.name);
                    Error::Unworkable(format!("the files of the inventory {name} are neither beside it, nor: {error}"))
                })?;
                bucket = Some(opened.clone());
                Place::Remote { bucket: Box::new(opened), key: file.key.clone(), least: file.size }
            }
        };
        let name = file.key.rsplit('/').next().unwrap_or_default().to_owned();
        let wrong = |why: &str| Error::Usage(format!("the inventory {}: its file {name} {why}", shown(spec.name)));
        let stamp = match &place {
            Place::Local(path) => Some(Stamp::of(path).map_err(|error| wrong(&error.to_string()))?),
            Place::Once(_) | Place::Remote { .. } => None,
        };
        if let Some(stamp) = stamp {
            check_length(stamp.size, file.size)
                .map_err(|why| wrong(&format!("is not whole, {why}: fetch it again")))?;
        }
        let is_twice =
            |other: &DataFile| matches!((&other.place, &place), (Place::Local(a), Place::Local(b)) if a == b);
        if files.iter().any(is_twice) {
            return Err(wrong("has the name of another: keep their folders as they are in the bucket"));
        }
        files.push(DataFile { name, place, layout: Some(layout.clone()), stamp, least: file.size });
    }
    Ok(files)
}

/// Where a file of an inventory is on this machine: as the bucket has it (`data` is beside the folder of
/// the manifest), or all in one folder.
fn beside(manifest: &Path, key: &str) -> Option<PathBuf> {
    let folder = manifest.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = key.rsplit('/').next().filter(|name| !name.is_empty() && *name != "..")?;
    [folder.join(name), folder.join("data").join(name), folder.join("../data").join(name)]
        .into_iter()
        .find(|path| path.is_file())
}

fn hash_of_all(json: &[u8], files: &[DataFile]) -> String {
    let mut all = json.to_vec();
    for file in files {
        if let Place::Local(path) = &file.place {
            let found = fs::metadata(path).and_then(|found| Ok((found.len(), found.modified()?)));
            all.extend(format!("{:?} {:?}", path.file_name(), found.ok()).into_bytes());
        }
    }
    hex(&all)
}
