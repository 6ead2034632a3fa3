//! From the key of a source object to the key of its copy.

use super::{Error, Location, Target};

/// How the keys of one source become destination keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Bytes taken off the front of the source key.
    strip: usize,
    /// What is put there instead.
    prepend: String,
    /// The source itself, where the destination is the same bucket: a copy that would land there
    /// would change what is still to be read.
    keep_out: Option<Target>,
    /// Each object is its own destination.
    in_place: bool,
}

impl Mapping {
    /// The destination key of `key`; `None` if the copy would land inside its own source.
    pub fn dest_key(&self, key: &str) -> Option<String> {
        let dest = self.unchecked(key);
        match &self.keep_out {
            Some(source) if source.holds(&dest) => None,
            _ => Some(dest),
        }
    }

    /// Whether objects are written onto themselves.
    pub fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// What all destination keys begin with.
    pub fn dest_prefix(&self) -> &str {
        &self.prepend
    }

    /// The destination key of `key`, wherever it lies.
    pub fn unchecked(&self, key: &str) -> String {
        let tail = key.get(self.strip..).unwrap_or_default();
        let mut dest = String::with_capacity(self.prepend.len() + tail.len());
        dest.push_str(&self.prepend);
        dest.push_str(tail);
        dest
    }
}

/// Refuses sources that would yield some key twice.
///
/// # Errors
/// [`Error::Usage`] where two of them overlap.
pub fn refuse_overlaps(sources: &[Location]) -> Result<(), Error> {
    for (i, one) in sources.iter().enumerate() {
        if let Some(other) = sources[..i].iter().find(|other| one.overlaps(other)) {
            return Err(Error::Usage(format!("the sources {other} and {one} overlap: name only one of them")));
        }
    }
    Ok(())
}

/// Resolves what each source's keys become under `dest`, one mapping a source.
///
/// `same_store` says that both ends are one store, where equal bucket names mean the same bucket.
///
/// # Errors
/// [`Error::Usage`] where the sources overlap, would write the same names, or where the
/// destination is, or lies under, a source, or cannot hold several objects.
pub fn map_sources(sources: &[Location], dest: &Location, same_store: bool) -> Result<Vec<Mapping>, Error> {
    map(sources, dest, same_store, false)
}

/// The same, where something is to change of the objects, so that they may be written onto themselves:
/// either those of all sources are, or none.
///
/// # Errors
/// Those of [`map_sources`], but for a destination that is the source.
pub fn map_changes(sources: &[Location], dest: &Location, same_store: bool) -> Result<Vec<Mapping>, Error> {
    let mappings = map(sources, dest, same_store, true)?;
    let in_place = mappings.iter().filter(|mapping| mapping.in_place).count();
    if in_place > 0 && in_place < mappings.len() {
        return Err(Error::Usage(format!(
            "some of the sources would be changed in place, and others be copied to {dest}: do one after the other"
        )));
    }
    Ok(mappings)
}

fn map(sources: &[Location], dest: &Location, same_store: bool, changes: bool) -> Result<Vec<Mapping>, Error> {
    if let Target::Pattern(_) = dest.target {
        return Err(Error::Usage(format!(
            "the destination {dest} is a pattern: give --no-glob to take the characters * ? and [ literally"
        )));
    }
    let several = sources.len() > 1 || sources.iter().any(Location::is_several);
    if several && !dest.is_several() {
        return Err(Error::Usage(format!("several objects cannot all become {dest}: add a slash, {dest}/")));
    }
    refuse_overlaps(sources)?;
    let mut roots: Vec<(String, &Location)> = Vec::new();
    let mut mappings = Vec::new();
    for source in sources {
        let (strip, root) = place(source, dest, sources.len() > 1);
        // Two patterns of one folder mean different names in it.
        let alike = |other: &Location| other.bucket == source.bucket && other.root() == source.root();
        if let Some((_, other)) = roots.iter().find(|(taken, other)| *taken == root && !alike(other)) {
            return Err(Error::Usage(format!(
                "{other} and {source} would both be written to s3://{}/{root}: copy them one after the other",
                dest.bucket
            )));
        }
        let same_bucket = same_store && source.bucket == dest.bucket;
        let own = if source.is_several() { source.root() } else { source.path() };
        let in_place = same_bucket && root == own;
        if in_place && !changes {
            return Err(Error::Usage(format!(
                "the source and the destination are both s3://{}/{own}: there is nothing to change (--storage-class \
                 and the other flags that say what is written change objects in place)",
                source.bucket
            )));
        }
        if in_place {
            // No source overlaps another: none reads what is written here.
            mappings.push(Mapping { strip, prepend: root.clone(), keep_out: None, in_place });
            roots.push((root, source));
            continue;
        }
        if same_bucket && reads_under(source, &root) {
            return Err(Error::Usage(format!(
                "the destination s3://{}/{root} lies under the source {source}: it would copy its own copies",
                dest.bucket
            )));
        }
        let mut others = sources.iter().filter(|other| same_store && *other != source);
        if let Some(other) = others.find(|other| meets(other, dest, &root)) {
            return Err(Error::Usage(format!(
                "the copies of {source} would be written into the source {other}: copy them one after the other"
            )));
        }
        let prepend = root.clone();
        let keep_out = (same_bucket && source.is_several()).then(|| source.target.clone());
        mappings.push(Mapping { strip, prepend, keep_out, in_place });
        roots.push((root, source));
    }
    Ok(mappings)
}

/// Whether `source` could read all that is written under another root, `root`. One whose keys all
/// have equally many slashes cannot: the copies have others, or lie in a folder that it does not read.
fn reads_under(source: &Location, root: &str) -> bool {
    let deep = match &source.target {
        Target::Prefix(_) => true,
        Target::Object(_) => false,
        Target::Pattern(pattern) => pattern.slashes().is_none(),
    };
    deep && root.starts_with(source.path())
}

/// Whether what is written to `root` in the bucket of `dest` could be read by `source`.
fn meets(source: &Location, dest: &Location, root: &str) -> bool {
    let target = match root.strip_suffix('/') {
        _ if root.is_empty() => Target::Prefix(String::new()),
        Some(_) => Target::Prefix(root.to_owned()),
        None => Target::Object(root.to_owned()),
    };
    source.overlaps(&Location { bucket: dest.bucket.clone(), target })
}

/// How many bytes come off the keys of `source`, and what they are put under: a prefix for several
/// keys, the whole key for an object. Of several sources each keeps its last path segment, as
/// with `cp -r`; a whole bucket keeps its name.
fn place(source: &Location, dest: &Location, keep_segment: bool) -> (usize, String) {
    let base = dest.path();
    let root = source.root();
    match (&source.target, &dest.target) {
        (Target::Object(key), Target::Object(name)) => (key.len(), name.clone()),
        (Target::Object(key), _) => (key.len(), format!("{base}{}", &key[root.len()..])),
        _ if keep_segment => {
            let segment = match root.strip_suffix('/') {
                Some(path) => path.rsplit('/').next().unwrap_or(path),
                None => &source.bucket,
            };
            (root.len(), format!("{base}{segment}/"))
        }
        _ => (root.len(), base.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Location {
        Location::parse(text, false).unwrap()
    }

    fn map(sources: &[&str], dest: &str) -> Result<Vec<Mapping>, String> {
        let sources: Vec<_> = sources.iter().map(|s| at(s)).collect();
        map_sources(&sources, &at(dest), true).map_err(|e| e.to_string())
    }

    #[test]
    fn a_prefix_is_replaced_by_the_destination() {
        let mapping = map(&["s3://aaa/x/"], "s3://bbb/y/z/").unwrap();
        assert_eq!(mapping[0].dest_key("x/k/l").as_deref(), Some("y/z/k/l"));
    }

    #[test]
    fn several_sources_keep_their_last_segment() {
        let maps = map(&["s3://aaa/p/x/", "s3://aaa/p/one.txt", "s3://ccc"], "s3://bbb/y/").unwrap();
        assert_eq!(maps[0].dest_key("p/x/k").as_deref(), Some("y/x/k"));
        assert_eq!(maps[1].dest_key("p/one.txt").as_deref(), Some("y/one.txt"));
        assert_eq!(maps[2].dest_key("k").as_deref(), Some("y/ccc/k"));
    }

    #[test]
    fn one_object_takes_the_name_or_keeps_its_own() {
        assert_eq!(map(&["s3://aaa/x/k"], "s3://bbb/n").unwrap()[0].dest_key("x/k").as_deref(), Some("n"));
        assert_eq!(map(&["s3://aaa/x/k"], "s3://bbb/n/").unwrap()[0].dest_key("x/k").as_deref(), Some("n/k"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_says_why() {
        let refused = |sources: &[&str], dest: &str, why: &str| {
            let error = map(sources, dest).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(&["s3://aaa/x/"], "s3://bbb/y", "s3://bbb/y/");
        refused(&["s3://aaa/x/", "s3://aaa/x/y/"], "s3://bbb/", "overlap");
        refused(&["s3://aaa/x/", "s3://ccc/x/"], "s3://bbb/", "both be written");
        refused(&["s3://aaa/x/"], "s3://aaa/x/", "nothing to change");
        refused(&["s3://aaa/x/"], "s3://aaa/x/y/", "lies under");
        refused(&["s3://aaa"], "s3://aaa/backup/", "lies under");
        refused(&["s3://aaa/x/", "s3://ccc/"], "s3://aaa/", "nothing to change");
        refused(&["s3://aaa/k"], "s3://aaa/k", "nothing to change");
        refused(&["s3://aaa/p/q/", "s3://bbb/p/"], "s3://aaa/", "into the source s3://aaa/p/q/");
    }

    #[test]
    fn names_of_a_pattern_are_relative_to_its_folder() {
        let to = |source: &str, key: &str| map(&[source], "s3://bbb/y/").unwrap()[0].dest_key(key);
        assert_eq!(to("s3://aaa/path/x*.csv", "path/x1.csv").as_deref(), Some("y/x1.csv"));
        assert_eq!(to("s3://aaa/path/*/k", "path/a/k").as_deref(), Some("y/a/k"));
        assert_eq!(to("s3://aaa/*", "k").as_deref(), Some("y/k"));
        assert_eq!(to("s3://aaa/day-*/", "day-1/a/b").as_deref(), Some("y/day-1/a/b"));
        let maps = map(&["s3://aaa/p/x/*.csv", "s3://aaa/p/x/*.txt", "s3://ccc/*"], "s3://bbb/y/").unwrap();
        assert_eq!(maps[0].dest_key("p/x/k.csv").as_deref(), Some("y/x/k.csv"));
        assert_eq!(maps[1].dest_key("p/x/k.txt").as_deref(), Some("y/x/k.txt"));
        assert_eq!(maps[2].dest_key("k").as_deref(), Some("y/ccc/k"));
    }

    #[test]
    fn a_pattern_may_be_copied_to_where_it_does_not_read() {
        assert!(map(&["s3://aaa/x/*.csv"], "s3://aaa/x/done/").is_ok());
        assert!(map(&["s3://aaa/*/k"], "s3://aaa/x/").is_ok());
        assert!(map(&["s3://aaa/x/2**"], "s3://aaa/x/copy/").is_ok());
        assert!(map(&["s3://aaa/x/*.csv", "s3://aaa/z/*.csv"], "s3://aaa/x/done/").is_ok());
        let refused = |sources: &[&str], dest: &str, why: &str| {
            let error = map(sources, dest).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(&["s3://aaa/x/*.csv"], "s3://aaa/x/", "nothing to change");
        refused(&["s3://aaa/x/f*"], "s3://aaa/x/", "nothing to change");
        refused(&["s3://aaa/x/**.csv"], "s3://aaa/x/done/", "lies under");
        refused(&["s3://aaa/x*/"], "s3://aaa/xy/", "lies under");
        refused(&["s3://aaa/x/*.csv"], "s3://bbb/y", "s3://bbb/y/");
        refused(&["s3://aaa/x/*.csv", "s3://aaa/x/a*"], "s3://bbb/", "overlap");
        refused(&["s3://aaa/x/*.csv", "s3://aaa/x/"], "s3://bbb/", "overlap");
        refused(&["s3://aaa/x/*.csv", "s3://ccc/x/*.txt"], "s3://bbb/", "both be written");
        refused(&["s3://bbb/k", "s3://aaa/x/**"], "s3://aaa/x/", "into the source s3://aaa/x/**");
        refused(&["s3://aaa/x/"], "s3://bbb/y*/", "--no-glob");
    }

    #[test]
    fn what_changes_may_be_written_onto_itself() {
        let change = |sources: &[&str], dest: &str| {
            let sources: Vec<_> = sources.iter().map(|source| at(source)).collect();
            map_changes(&sources, &at(dest), true).map_err(|error| error.to_string())
        };
        for (sources, dest, key) in [
            (&["s3://aaa/x/"][..], "s3://aaa/x/", "x/k/l"),
            (&["s3://aaa"], "s3://aaa", "k"),
            (&["s3://aaa/x/k"], "s3://aaa/x/k", "x/k"),
            (&["s3://aaa/x/k"], "s3://aaa/x/", "x/k"),
            (&["s3://aaa/x/*.csv"], "s3://aaa/x/", "x/1.csv"),
            (&["s3://aaa/x/", "s3://aaa/y/"], "s3://aaa/", "x/k"),
            (&["s3://aaa/x/*.csv", "s3://aaa/x/*.txt"], "s3://aaa", "x/1.csv"),
        ] {
            let mappings = change(sources, dest).unwrap();
            assert!(mappings.iter().all(Mapping::is_in_place), "{sources:?}");
            assert_eq!(mappings[0].dest_key(key).as_deref(), Some(key));
        }
        assert!(!change(&["s3://aaa/x/"], "s3://bbb/x/").unwrap()[0].is_in_place());
        for (sources, dest, why) in [
            (&["s3://aaa/x/", "s3://bbb/y/"][..], "s3://aaa/", "one after the other"),
            (&["s3://aaa/x/"], "s3://aaa/x/y/", "lies under"),
            (&["s3://aaa/x/", "s3://aaa/x/y/"], "s3://aaa/", "overlap"),
        ] {
            let error = change(sources, dest).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let apart = map_changes(&[at("s3://aaa/x/")], &at("s3://aaa/x/"), false).unwrap();
        assert!(!apart[0].is_in_place());
    }

    #[test]
    fn equal_names_in_two_stores_are_two_buckets() {
        assert!(map_sources(&[at("s3://aaa/x/")], &at("s3://aaa/x/"), false).is_ok());
    }

    #[test]
    fn a_copy_never_lands_in_its_own_source() {
        let up = &map(&["s3://aaa/x/"], "s3://aaa/").unwrap()[0];
        assert_eq!(up.dest_key("x/k").as_deref(), Some("k"));
        assert_eq!(up.dest_key("x/x/k"), None);
    }

    proptest! {
        #[test]
        fn a_copy_of_a_pattern_is_not_read_again(
            source in "([ab/*]|\\*\\*){1,6}", dest in "[ab/]{0,4}/|", key in "[ab/]{1,7}"
        ) {
            let source = at(&format!("s3://aaa/{source}"));
            let dest = at(&format!("s3://aaa/{dest}"));
            let mappings = map_sources(std::slice::from_ref(&source), &dest, true);
            let Ok(mappings) = mappings else { return Ok(()) };
            prop_assume!(source.target.holds(&key));
            if let Some(copy) = mappings[0].dest_key(&key) {
                prop_assert!(!source.target.holds(&copy), "{source} to {dest}: {key} {copy}");
            }
            let by_depth = matches!(&source.target, Target::Pattern(pattern) if pattern.slashes().is_some());
            prop_assert!(!by_depth || mappings[0].dest_key(&key).is_some(), "{source} to {dest}: {key}");
        }

        #[test]
        fn different_keys_get_different_names(a in "[a-c/%é]{0,6}", b in "[a-c/%é]{0,6}") {
            let mapping = &map(&["s3://aaa/x/"], "s3://bbb/y/").unwrap()[0];
            let (one, two) = (mapping.dest_key(&format!("x/{a}")), mapping.dest_key(&format!("x/{b}")));
            prop_assert_eq!(a == b, one == two);
        }
    }
}
