//! The body of an answer to ListObjectsV2, read in one go: what the SDK makes of it costs several
//! times as much for each key. Pure.

use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::Page;
use super::head::class_name;
use crate::model::{Object, RestoreStatus};

/// What a body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A page, as it came.
    Page(Wire),
    /// An error in an answer whose status says that there is none.
    Error {
        /// S3's code.
        code: String,
        /// S3's words.
        message: String,
    },
}

/// A page as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) page: Page,
    /// Whether it says that it is encoded.
    pub(super) encoded: bool,
}

/// Reads a body. What the answer lacks, where it is not one.
pub(super) fn read(body: &[u8]) -> Result<Answer, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "UTF-8")?;
    let mut reader = Reader::from_str(text);
    let mut elements = Elements { reader: &mut reader, text: String::new() };
    match elements.root()? {
        Root::Listing => elements.listing().map(Answer::Page),
        Root::Error => elements.error(),
    }
}

enum Root {
    Listing,
    Error,
}

/// The elements of a body, in order.
struct Elements<'a, 'b> {
    reader: &'a mut Reader<&'b [u8]>,
    /// The text of the element that was read last.
    text: String,
}

/// No well-formed answer of S3's holds less.
const WHOLE: &str = "whole XML document";

/// One step through an element's children.
enum Child {
    /// A child of this kind begins.
    Begins(Name),
    /// There are no more.
    End,
}

/// The elements that matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Contents,
    Key,
    LastModified,
    ETag,
    Size,
    StorageClass,
    RestoreStatus,
    IsRestoreInProgress,
    RestoreExpiryDate,
    CommonPrefixes,
    Prefix,
    IsTruncated,
    NextContinuationToken,
    EncodingType,
    Code,
    Message,
    /// An element without anything in it.
    Empty,
    Other,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name {
            b"Contents" => Self::Contents,
            b"Key" => Self::Key,
            b"LastModified" => Self::LastModified,
            b"ETag" => Self::ETag,
            b"Size" => Self::Size,
            b"StorageClass" => Self::StorageClass,
            b"RestoreStatus" => Self::RestoreStatus,
            b"IsRestoreInProgress" => Self::IsRestoreInProgress,
            b"RestoreExpiryDate" => Self::RestoreExpiryDate,
            b"CommonPrefixes" => Self::CommonPrefixes,
            b"Prefix" => Self::Prefix,
            b"IsTruncated" => Self::IsTruncated,
            b"NextContinuationToken" => Self::NextContinuationToken,
            b"EncodingType" => Self::EncodingType,
            b"Code" => Self::Code,
            b"Message" => Self::Message,
            _ => Self::Other,
        }
    }
}

impl<'b> Elements<'_, 'b> {
    fn event(&mut self) -> Result<Event<'b>, &'static str> {
        self.reader.read_event().map_err(|_| WHOLE)
    }

    fn root(&mut self) -> Result<Root, &'static str> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    return match start.local_name().as_ref() {
                        b"ListBucketResult" => Ok(Root::Listing),
                        b"Error" => Ok(Root::Error),
                        _ => Err("ListBucketResult"),
                    };
                }
                Event::Eof | Event::Empty(_) => return Err("ListBucketResult"),
                _ => {}
            }
        }
    }

    /// The next child of the element that is being read.
    fn child(&mut self) -> Result<Child, &'static str> {
        loop {
            match self.event()? {
                Event::Start(start) => return Ok(Child::Begins(Name::of(start.local_name().as_ref()))),
                Event::Empty(_) => return Ok(Child::Begins(Name::Empty)),
                Event::End(_) => return Ok(Child::End),
                Event::Eof => return Err(WHOLE),
                _ => {}
            }
        }
    }

    /// Reads on to the end of the element that has begun; its own text is then in `text`.
    fn leaf(&mut self) -> Result<(), &'static str> {
        self.text.clear();
        let mut depth = 0_u32;
        loop {
            match self.event()? {
                Event::Text(text) if depth == 0 => self.text.push_str(&text.decode().map_err(|_| WHOLE)?),
                Event::CData(text) if depth == 0 => self.text.push_str(&text.decode().map_err(|_| WHOLE)?),
                Event::GeneralRef(reference) if depth == 0 => self.text.push(character(&reference)?),
                Event::Start(_) => depth += 1,
                Event::End(_) if depth == 0 => return Ok(()),
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(WHOLE),
                _ => {}
            }
        }
    }

    fn listing(&mut self) -> Result<Wire, &'static str> {
        let mut wire = Wire::default();
        let mut truncated = None;
        while let Child::Begins(name) = self.child()? {
            match name {
                Name::Contents => {
                    let object = self.object()?;
                    wire.page.objects.push(object);
                }
                Name::CommonPrefixes => {
                    let folder = self.folder()?;
                    wire.page.folders.extend(folder);
                }
                Name::Empty => {}
                name => {
                    self.leaf()?;
                    match name {
                        Name::IsTruncated => truncated = boolean(&self.text),
                        Name::NextContinuationToken => wire.page.next_token = Some(self.text.clone()),
                        Name::EncodingType => wire.encoded = self.text.eq_ignore_ascii_case("url"),
                        _ => {}
                    }
                }
            }
        }
        wire.page.truncated = truncated.ok_or("IsTruncated")?;
        Ok(wire)
    }

    fn object(&mut self) -> Result<Object, &'static str> {
        let mut object = Object::default();
        let (mut key, mut size) = (None, None);
        while let Child::Begins(name) = self.child()? {
            match name {
                Name::Empty => continue,
                Name::RestoreStatus => {
                    object.restore = self.restore()?;
                    continue;
                }
                _ => self.leaf()?,
            }
            match name {
                Name::Key => key = Some(self.text.as_str().to_owned()),
                Name::Size => size = self.text.trim().parse().ok(),
                Name::ETag => object.etag = Some(self.text.as_str().to_owned()),
                Name::LastModified => object.last_modified = seconds(&self.text),
                Name::StorageClass => object.storage_class = class_name(Some(self.text.as_str())),
                _ => {}
            }
        }
        object.key = key.ok_or("Key")?;
        object.size = size.ok_or("Size")?;
        Ok(object)
    }

    /// How far a restore is: one that is neither under way nor has an end says nothing.
    fn restore(&mut self) -> Result<Option<RestoreStatus>, &'static str> {
        let (mut ongoing, mut until) = (false, None);
        while let Child::Begins(name) = self.child()? {
            if name == Name::Empty {
                continue;
            }
            self.leaf()?;
            match name {
                Name::IsRestoreInProgress => ongoing = boolean(&self.text).unwrap_or_default(),
                Name::RestoreExpiryDate => until = seconds(&self.text),
                _ => {}
            }
        }
        Ok(if ongoing { Some(RestoreStatus::Ongoing) } else { until.map(RestoreStatus::Until) })
    }

    fn folder(&mut self) -> Result<Option<String>, &'static str> {
        let mut folder = None;
        while let Child::Begins(name) = self.child()? {
            if name == Name::Empty {
                continue;
            }
            self.leaf()?;
            if name == Name::Prefix {
                folder = Some(self.text.clone());
            }
        }
        Ok(folder)
    }

    fn error(&mut self) -> Result<Answer, &'static str> {
        let (mut code, mut message) = (String::new(), String::new());
        while let Child::Begins(name) = self.child()? {
            if name == Name::Empty {
                continue;
            }
            self.leaf()?;
            match name {
                Name::Code => code.clone_from(&self.text),
                Name::Message => message.clone_from(&self.text),
                _ => {}
            }
        }
        Ok(Answer::Error { code, message })
    }
}

/// The character that a reference stands for: one of XML's five, or a number.
fn character(reference: &BytesRef<'_>) -> Result<char, &'static str> {
    match &**reference {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        _ => reference.resolve_char_ref().ok().flatten().ok_or(WHOLE),
    }
}

/// Anything but these says nothing.
fn boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") { Some(true) } else { is("false").then_some(false) }
}

/// Seconds since 1970 of S3's times, `2024-01-31T12:34:56.000Z`.
fn seconds(text: &str) -> Option<i64> {
    text.trim().parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/><KeyCount>2</KeyCount>
<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1=</NextContinuationToken>
<Contents><Key>a+b</Key><LastModified>2024-01-31T12:34:56.000Z</LastModified><ETag>&quot;e1&quot;</ETag><Size>5</Size>
<Owner><ID>x</ID><DisplayName>Key</DisplayName></Owner><StorageClass>GLACIER</StorageClass></Contents>
<Contents><Key> &#x1;é</Key><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>
<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>
"#;

    fn page(body: &str) -> Wire {
        match read(body.as_bytes()).unwrap() {
            Answer::Page(wire) => wire,
            answer @ Answer::Error { .. } => panic!("{answer:?}"),
        }
    }

    #[test]
    fn a_page_is_read_as_it_came() {
        let wire = page(PAGE);
        let first = Object {
            etag: Some("\"e1\"".to_owned()),
            last_modified: Some(1_706_704_496),
            storage_class: Some("GLACIER".to_owned()),
            ..Object::new("a+b", 5)
        };
        assert_eq!(wire.page.objects, [first, Object::new(" \u{1}é", 0)]);
        assert_eq!(wire.page.folders, ["p/"]);
        assert_eq!((wire.encoded, wire.page.truncated), (true, true));
        assert_eq!(wire.page.next_token.as_deref(), Some("t&1="));
    }

    #[test]
    fn restores_are_read() {
        let restore = |inner: &str| {
            let status = format!("<RestoreStatus>{inner}</RestoreStatus>");
            let object = format!("<Contents><Key>k</Key>{status}<Size>1</Size></Contents>");
            page(&format!("<ListBucketResult><IsTruncated>false</IsTruncated>{object}</ListBucketResult>")).page.objects
                [0]
            .restore
        };
        let flag = |value: bool| format!("<IsRestoreInProgress>{value}</IsRestoreInProgress>");
        let until = "<RestoreExpiryDate>2024-01-31T12:34:56.000Z</RestoreExpiryDate>";
        assert_eq!(restore(&flag(true)), Some(RestoreStatus::Ongoing));
        assert_eq!(restore(&(flag(false) + until)), Some(RestoreStatus::Until(1_706_704_496)));
        assert_eq!((restore(&flag(false)), restore(""), restore("<New><Deep/></New>")), (None, None, None));
    }

    #[test]
    fn an_error_in_a_success_is_an_error() {
        let body = "<?xml version=\"1.0\"?>\n\n<Error><Code>SlowDown</Code><Message>Less, please</Message></Error>";
        let (code, message) = ("SlowDown".to_owned(), "Less, please".to_owned());
        assert_eq!(read(body.as_bytes()), Ok(Answer::Error { code, message }));
    }

    #[test]
    fn what_is_no_page_says_what_it_lacks() {
        for (body, lacks) in [
            ("", "ListBucketResult"),
            ("<ListBucketResult/>", "ListBucketResult"),
            ("<html>no</html>", "ListBucketResult"),
            ("<ListBucketResult></ListBucketResult>", "IsTruncated"),
            ("<ListBucketResult><IsTruncated>1</IsTruncated></ListBucketResult>", "IsTruncated"),
            ("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", "Key"),
            ("<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>", "Size"),
            ("<ListBucketResult><Name>&bogus;</Name></ListBucketResult>", WHOLE),
            ("<ListBucketResult><Name></Nome></ListBucketResult>", WHOLE),
        ] {
            assert_eq!(read(body.as_bytes()), Err(lacks), "{body}");
        }
        assert_eq!(read(b"\xff"), Err("UTF-8"));
    }

    #[test]
    fn a_page_that_is_cut_anywhere_is_none() {
        let end = PAGE.trim_end().len();
        for cut in 0..end {
            assert!(read(&PAGE.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn any_key_comes_through(key in "[\u{20}-\u{10fffd}]{1,40}") {
            let escaped = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let body = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{escaped}</Key><Size>1</Size></Contents></ListBucketResult>"
            );
            prop_assert_eq!(&page(&body).page.objects[0].key, &key);
        }

        #[test]
        fn no_body_is_a_panic(body in prop::collection::vec(any::<u8>(), 0..60), cut in 0_usize..600, byte: u8) {
            let _ = read(&body);
            let mut page = PAGE.as_bytes().to_vec();
            let at = cut.min(page.len() - 1);
            page[at] = byte;
            let _ = read(&page);
        }
    }
}
