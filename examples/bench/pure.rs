//! The pure paths of the library that every key or object takes, as far as they are public, one at a time: to
//! be counted in a process of their own.
//!
//! Pages are parsed and requests signed behind the library's walls: these are counted with the whole
//! program only.

use std::hint::black_box;
use std::iter::once;
use std::sync::Arc;

use clap::ValueEnum;
use s3bulk::journal::{Claim, Ending, JobIdentity, Mode, Place};
use s3bulk::model::{
    Checksum, Choice, Done, Glob, Item, Location, Object, Outcome as Became, Range, Rule, Slash, escape_key,
    map_sources,
};
use s3bulk::report::Format;
use s3bulk_test_server::Shape;

use crate::Outcome;

/// As the first argument: take the path, as often, that follow.
pub(crate) const PURE: &str = "__pure";

/// So many objects take a path in turn, and so many are recorded at once.
const OBJECTS: usize = 1_000;

/// One path, and what one time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    /// From a source's key to that of the copy.
    Mapping,
    /// Whether an object is chosen by two patterns and its size.
    Filter,
    /// A key made safe to print.
    Escape,
    /// The line of a listing.
    Line,
    /// The checksum of 16 KiB.
    Checksum,
    /// An object handed out, finished and recorded.
    Journal,
}

/// Takes a path as often as is said.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Outcome<()> {
    let path = Path::from_str(&words.next().ok_or("no path is given")?, false)?;
    let count = words.next().ok_or("no number is given")?.parse()?;
    let objects: Vec<Object> = Shape::Dates.keys(1, OBJECTS as u64).map(object).collect();
    let objects = objects.iter().cycle().take(count);
    let source = Location::parse("s3://source/", false)?;
    match path {
        Path::Mapping => {
            let mappings = map_sources(&[source], &Location::parse("s3://dest/copies/", false)?, false)?;
            let mapping = mappings.first().ok_or("one source has no mapping")?;
            objects.for_each(|object| drop(black_box(mapping.dest_key(black_box(&object.key)))));
        }
        Path::Filter => {
            let rule = |include, glob| Ok::<_, String>(Rule { include, glob: Glob::parse(glob, Slash::Plain)? });
            let rules = vec![rule(true, "*")?, rule(false, "*.tmp")?];
            let filter = Choice { rules, max_size: Some(1 << 30), ..Choice::default() }.resolve(0, &source)?;
            let filter = filter.ok_or("patterns are no filter")?;
            objects.for_each(|object| {
                black_box(filter.keeps(black_box(object)));
            });
        }
        Path::Escape => objects.for_each(|object| drop(black_box(escape_key(black_box(&object.key))))),
        Path::Line => {
            let mut line = Vec::new();
            for object in objects {
                line.clear();
                Format::Text.lines("source", once(black_box(object)), &mut line)?;
                black_box(&line);
            }
        }
        Path::Checksum => {
            let block = vec![b'x'; 16 << 10];
            (0..count).for_each(|_| {
                black_box(Checksum::of(black_box(&block)));
            });
        }
        Path::Journal => record(objects)?,
    }
    Ok(())
}

fn object(key: String) -> Object {
    let etag = Some("\"454009a27a5d441f31f51277336e10e9\"".to_owned());
    Object { etag, last_modified: Some(1_767_225_600), ..Object::new(key, 16) }
}

/// Copies that did nothing, in the checkpoint of a job.
fn record<'a>(objects: impl Iterator<Item = &'a Object>) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let job = JobIdentity { verb: "copy".to_owned(), ..JobIdentity::default() };
    let mut journal = Claim::new(job, &Place::In(folder.path().to_owned()), Mode::Restart)?.begin()?;
    let planned = journal.plan(vec![Range::whole(0)])?;
    let range = *planned.first().ok_or("one range has no index")?;
    for (number, object) in objects.enumerate() {
        // In order, however often the objects come again.
        let key = format!("{number:09}/{}", object.key);
        let item = Arc::new(Item::listed(0, Object { key, ..object.clone() }));
        let ticket = journal.emit(range, &item)?;
        journal.finish(ticket, &item, Became::Done(Done { bytes: object.size, ..Done::default() }))?;
        if number % OBJECTS == 0 {
            journal.flush(None)?;
        }
    }
    Ok(journal.close(Some(Ending::Complete))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_can_be_taken() -> Outcome<()> {
        for path in Path::value_variants() {
            let name = path.to_possible_value().ok_or("a path has no name")?.get_name().to_owned();
            run([name, "2500".to_owned()].into_iter())?;
        }
        assert!(run(["nowhere".to_owned(), "1".to_owned()].into_iter()).is_err());
        Ok(())
    }
}
