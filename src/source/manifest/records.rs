//! A stream of bytes cut into lines, or into the rows of a table with quotes, each with its place. One
//! that has no end within reason is told as such and never held in memory.

use std::io::{self, Read};
use std::ops::Range;

/// The longest line: two keys of 1,024 bytes, each byte escaped as six, and as much of anything else.
/// What is longer is no line of a manifest.
const LONGEST: usize = 64 << 10;

/// Bytes that are held at most.
const BUFFER: usize = 4 * LONGEST;

/// Fields that a row may have: those of an S3 Inventory are some 20.
const FIELDS: usize = 64;

/// The byte order mark in UTF-8.
pub(super) const MARK: &[u8] = "\u{feff}".as_bytes();

/// How lines end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// At each line feed.
    Lines,
    /// At each line feed that is not within quotes; fields are parted by this byte (RFC 4180).
    Table(u8),
}

/// A line and its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// The number of its first line, from 1.
    pub(super) number: u64,
    pub(super) content: Content<'a>,
}

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// Its bytes, without the line feed.
    Line(&'a [u8]),
    /// Its fields.
    Fields(Fields<'a>),
    /// It cannot be read, for this reason.
    Bad(&'static str),
}

/// The fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    pub(super) fn len(self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(self, field: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(field)?;
        let start = field.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..end)
    }
}

/// The lines of a stream.
pub(super) struct Records {
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins, and where what was read ends.
    start: usize,
    end: usize,
    ended: bool,
    /// Bytes and lines that were passed.
    at: u64,
    lines: u64,
    /// What tells rows apart: made once, since its tables take longer to make than a row to read.
    parser: Option<Box<csv_core::Reader>>,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// What is at the beginning of the bytes that are there.
enum Found {
    /// A line of so many bytes, with its end.
    Line(usize),
    /// A row of so many bytes, of which so many fields were read.
    Row { bytes: usize, fields: usize },
    /// So many bytes that are no row, for this reason.
    Bad(usize, &'static str),
    /// More bytes are needed to tell.
    More,
    /// Nothing but empty lines.
    Nothing,
}

impl Records {
    /// The lines of `reader`, which begins `at` bytes and `lines` lines behind the beginning.
    pub(super) fn new(reader: Box<dyn Read>, at: u64, lines: u64) -> Self {
        let (buffer, fields, ends) = (vec![0; BUFFER], vec![0; LONGEST], vec![0; FIELDS]);
        Self { reader, buffer, start: 0, end: 0, ended: false, at, lines, parser: None, fields, ends }
    }

    /// Bytes that were passed.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Lines that were passed.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether nothing is left of what was read: the next line is to be waited for.
    pub(super) fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// The first bytes of what is ahead, a line or more, without passing them.
    pub(super) fn peek(&mut self) -> io::Result<&[u8]> {
        while !self.ended && self.ahead().len() < LONGEST {
            self.read_on()?;
        }
        Ok(self.ahead())
    }

    /// The same, of which no more is waited for than the first line.
    pub(super) fn peek_line(&mut self) -> io::Result<&[u8]> {
        let is_line = |ahead: &[u8]| ahead.trim_ascii_start().contains(&b'\n');
        while !self.ended && self.ahead().len() < LONGEST && !is_line(self.ahead()) {
            self.read_on()?;
        }
        Ok(self.ahead())
    }

    /// Passes the byte order mark that a text may begin with.
    pub(super) fn skip_mark(&mut self) -> io::Result<()> {
        if self.ahead().starts_with(MARK) { self.skip(MARK.len() as u64, 0) } else { Ok(()) }
    }

    /// Passes bytes, and lines that somebody else has counted.
    pub(super) fn skip(&mut self, mut bytes: u64, lines: u64) -> io::Result<()> {
        self.lines += lines;
        while bytes > 0 {
            if self.is_drained() && !self.read_on()? {
                return Ok(());
            }
            let taken = self.ahead().len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.start += taken;
            self.at += taken as u64;
            bytes -= taken as u64;
        }
        Ok(())
    }

    /// All that is ahead, as bytes.
    pub(super) fn rest(self) -> impl Read {
        let ahead = self.ahead().to_vec();
        io::Cursor::new(ahead).chain(self.reader)
    }

    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads some more. `false` at the end.
    fn read_on(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let read = loop {
            match self.reader.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        self.ended = read == 0;
        Ok(read > 0)
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self, framing: Framing) -> io::Result<Option<Record<'_>>> {
        let found = loop {
            let found = match framing {
                Framing::Lines => self.find_line(),
                Framing::Table(delimiter) => self.find_row(delimiter),
            };
            match found {
                Found::More if self.ended => return Ok(None),
                Found::More => drop(self.read_on()?),
                found => break found,
            }
        };
        Ok(match found {
            Found::Line(length) => {
                let (number, line) = self.pass(length);
                let bytes = self.buffer.get(line).unwrap_or_default();
                let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                let line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                Some(Record { number, content: Content::Line(line) })
            }
            Found::Row { bytes, fields } => {
                let (number, _) = self.pass(bytes);
                let ends = self.ends.get(..fields).unwrap_or_default();
                let fields = Fields { bytes: &self.fields, ends };
                Some(Record { number, content: Content::Fields(fields) })
            }
            Found::Bad(length, why) => {
                let (number, line) = self.pass(length);
                let is_whole = self.buffer.get(line).is_some_and(|bytes| bytes.ends_with(b"\n"));
                if !is_whole {
                    self.pass_rest_of_line()?;
                }
                Some(Record { number, content: Content::Bad(why) })
            }
            Found::Nothing | Found::More => None,
        })
    }

    /// Passes so many bytes; returns the number of the first line in them that is not empty, and where
    /// they are.
    fn pass(&mut self, length: usize) -> (u64, Range<usize>) {
        let passed = self.start..self.start + length;
        let bytes = self.buffer.get(passed.clone()).unwrap_or_default();
        let empty = bytes.iter().take_while(|byte| b"\r\n".contains(byte)).filter(|byte| **byte == b'\n').count();
        let number = self.lines + 1 + if empty == lines_of(bytes) { 0 } else { empty as u64 };
        self.lines += lines_of(bytes) as u64;
        self.at += length as u64;
        self.start = passed.end;
        (number, passed)
    }

    /// Passes what is left of a line that is too long.
    fn pass_rest_of_line(&mut self) -> io::Result<()> {
        loop {
            let feed = self.ahead().iter().position(|byte| *byte == b'\n');
            let length = feed.map_or(self.ahead().len(), |feed| feed + 1);
            self.pass(length);
            if feed.is_some() || !self.read_on()? {
                return Ok(());
            }
        }
    }

    fn find_line(&self) -> Found {
        let ahead = self.ahead();
        let near = ahead.get(..LONGEST).unwrap_or(ahead);
        match near.iter().position(|byte| *byte == b'\n') {
            Some(feed) => Found::Line(feed + 1),
            None if ahead.len() >= LONGEST => Found::Bad(LONGEST, TOO_LONG),
            None if self.ended && !ahead.is_empty() => Found::Line(ahead.len()),
            None => Found::More,
        }
    }

    fn find_row(&mut self, delimiter: u8) -> Found {
        use csv_core::ReadRecordResult as Result;
        let ahead = self.buffer.get(self.start..self.end).unwrap_or_default();
        let near = ahead.get(..LONGEST).unwrap_or(ahead);
        if near.is_empty() {
            // To the parser, nothing is the end.
            return if self.ended { Found::Nothing } else { Found::More };
        }
        let new = || Box::new(csv_core::ReaderBuilder::new().delimiter(delimiter).build());
        let reader = self.parser.get_or_insert_with(new);
        reader.reset();
        let (result, bytes, written, fields) = reader.read_record(near, &mut self.fields, &mut self.ends);
        match result {
            // What follows it may be the other half of its end.
            Result::Record if bytes == near.len() && near.ends_with(b"\r") && !self.ended && bytes < LONGEST => {
                Found::More
            }
            Result::Record => {
                // Of two bytes that end a line, one may be left.
                let pair = near.get(bytes.wrapping_sub(1)) == Some(&b'\r') && near.get(bytes) == Some(&b'\n');
                Found::Row { bytes: bytes + usize::from(pair), fields }
            }
            Result::End => Found::Nothing,
            Result::OutputEndsFull => Found::Bad(first_line(near), "it has too many fields"),
            Result::OutputFull => Found::Bad(first_line(near), TOO_LONG),
            Result::InputEmpty if near.len() == LONGEST => {
                Found::Bad(first_line(near), if first_line(near) == LONGEST { TOO_LONG } else { UNCLOSED })
            }
            Result::InputEmpty if !self.ended => Found::More,
            Result::InputEmpty if fields == 0 && written == 0 && near.iter().all(|byte| b"\r\n".contains(byte)) => {
                Found::Nothing
            }
            // Whatever is not within quotes ends at a line feed.
            Result::InputEmpty if near.ends_with(b"\n") || quotes(near) % 2 == 1 => {
                Found::Bad(first_line(near), UNCLOSED)
            }
            Result::InputEmpty => {
                let (out, ends) = (self.fields.get_mut(written..), self.ends.get_mut(fields..));
                match reader.read_record(&[], out.unwrap_or_default(), ends.unwrap_or_default()) {
                    (Result::Record, _, _, more) => Found::Row { bytes: near.len(), fields: fields + more },
                    _ => Found::Bad(near.len(), "it has too many fields"),
                }
            }
        }
    }
}

const TOO_LONG: &str = "it is longer than 64 KiB";
const UNCLOSED: &str = "its quotes are not closed";

fn lines_of(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn quotes(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'"').count()
}

/// Bytes of the first line that is not empty, with the empty ones before it and its end.
fn first_line(bytes: &[u8]) -> usize {
    let begins = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    let feed = bytes.iter().skip(begins).position(|byte| *byte == b'\n');
    feed.map_or(bytes.len(), |feed| begins + feed + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time.
    struct Slowly(Vec<u8>, usize);

    impl Read for Slowly {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn records(bytes: &[u8], step: usize) -> Records {
        Records::new(Box::new(Slowly(bytes.to_vec(), step)), 0, 0)
    }

    /// Number, text of the fields or the reason, and the place behind it.
    fn all(mut records: Records, framing: Framing) -> Vec<(u64, Vec<String>, (u64, u64))> {
        let mut all = Vec::new();
        while let Some(Record { number, content }) = records.next(framing).unwrap() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let content = match content {
                Content::Line(line) => vec![text(line)],
                Content::Fields(fields) => (0..fields.len()).map(|field| text(fields.get(field).unwrap())).collect(),
                Content::Bad(why) => vec![format!("!{why}")],
            };
            all.push((number, content, (records.at(), records.lines())));
        }
        all
    }

    fn rows(bytes: &[u8]) -> Vec<(u64, Vec<String>)> {
        let told = |step| -> Vec<(u64, Vec<String>)> {
            all(records(bytes, step), Framing::Table(b',')).into_iter().map(|(number, row, _)| (number, row)).collect()
        };
        let whole = told(usize::MAX);
        assert_eq!(told(1), whole);
        whole
    }

    fn row(number: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (number, fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn lines_have_numbers_and_places() {
        let found = all(records(b"a\n\nbc\r\nd", 2), Framing::Lines);
        let line = |number, text: &str, place| (number, vec![text.to_owned()], place);
        let expected = [line(1, "a", (2, 1)), line(2, "", (3, 2)), line(3, "bc", (7, 3)), line(4, "d", (8, 3))];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_row_may_have_several_lines() {
        let found = rows(b"a,\"x\ny\"\r\n\nb,c\n\"d\",\"e\"\"f\"");
        assert_eq!(found, [row(1, &["a", "x\ny"]), row(4, &["b", "c"]), row(5, &["d", "e\"f"])]);
    }

    #[test]
    fn quotes_that_are_not_closed_cost_one_line() {
        let why = format!("!{UNCLOSED}");
        let found = rows(b"a,1\nb,\"2\nc,3\nd,4\n");
        assert_eq!(found, [row(1, &["a", "1"]), row(2, &[&why]), row(3, &["c", "3"]), row(4, &["d", "4"])]);
        assert_eq!(rows(b"b,\"2"), [row(1, &[&why])]);
    }

    #[test]
    fn a_line_without_end_is_passed_and_not_held() {
        let mut bytes = b"a\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 * BUFFER));
        bytes.extend(b"\nb\n");
        for framing in [Framing::Lines, Framing::Table(b',')] {
            let found = all(records(&bytes, 1000), framing);
            let found: Vec<_> = found.into_iter().map(|(number, row, _)| (number, row)).collect();
            assert_eq!(found, [row(1, &["a"]), row(2, &[&format!("!{TOO_LONG}")]), row(3, &["b"])]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_read_from_any_place_is_the_rest(
            text in "([a,\"\n\r\u{e9}]|b,\"c\nd\"\n){0,40}", step in 1_usize..9, table: bool
        ) {
            let framing = if table { Framing::Table(b',') } else { Framing::Lines };
            let whole = all(records(text.as_bytes(), step), framing);
            for (n, (_, _, (at, lines))) in whole.iter().enumerate() {
                let rest = text.as_bytes()[usize::try_from(*at).unwrap()..].to_vec();
                let reader = Records::new(Box::new(Slowly(rest, step)), *at, *lines);
                prop_assert_eq!(&all(reader, framing)[..], &whole[n + 1..]);
                let mut skipped = records(text.as_bytes(), step);
                skipped.skip(*at, *lines).unwrap();
                prop_assert_eq!(&all(skipped, framing)[..], &whole[n + 1..]);
            }
        }
    }
}
