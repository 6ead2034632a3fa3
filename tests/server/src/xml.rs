//! XML as S3 writes it, straight into one buffer.

use std::fmt::{Display, Write};
use std::time::SystemTime;

use crate::time;

/// What stands in front of every document.
pub(crate) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A document that grows element by element.
pub(crate) struct Xml(String);

impl Xml {
    /// A document without a root yet, and with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Xml {
        let mut text = String::with_capacity(bytes);
        text.push_str(DECLARATION);
        Xml(text)
    }

    /// Adds markup as it is.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Adds an element whose text needs no escapes.
    pub(crate) fn plain(&mut self, name: &str, text: impl Display) {
        self.element(name, |xml| {
            // Writing to a String cannot fail.
            let _ = write!(xml.0, "{text}");
        });
    }

    /// Adds an element with any text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.element(name, |xml| xml.escape(text));
    }

    /// Adds an element with a text that is percent-encoded.
    pub(crate) fn url_encoded(&mut self, name: &str, text: &str) {
        self.element(name, |xml| crate::encoding::url_encode_to(text, &mut xml.0));
    }

    /// Adds an element with a time.
    pub(crate) fn time(&mut self, name: &str, time: SystemTime) {
        self.element(name, |xml| time::write(time, &mut xml.0));
    }

    /// Adds an element with what `inside` adds.
    pub(crate) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Xml)) {
        for markup in ["<", name, ">"] {
            self.0.push_str(markup);
        }
        inside(self);
        for markup in ["</", name, ">"] {
            self.0.push_str(markup);
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }

    /// Adds any text. Control characters become references, as S3 has it, although XML 1.0 knows no
    /// such.
    pub(crate) fn escape(&mut self, text: &str) {
        let special = |byte: u8| byte.is_ascii_control() || matches!(byte, b'&' | b'<' | b'>' | b'"');
        let mut rest = text;
        while let Some(at) = rest.bytes().position(special) {
            // What is special is ASCII, so it stands between two characters.
            let (plain, from) = rest.split_at(at);
            self.0.push_str(plain);
            let mut chars = from.chars();
            match chars.next() {
                Some('&') => self.0.push_str("&amp;"),
                Some('<') => self.0.push_str("&lt;"),
                Some('>') => self.0.push_str("&gt;"),
                Some('"') => self.0.push_str("&quot;"),
                Some(control) => {
                    let _ = write!(self.0, "&#x{:x};", u32::from(control));
                }
                None => {}
            }
            rest = chars.as_str();
        }
        self.0.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_like_s3() {
        let mut xml = Xml::with_capacity(0);
        xml.element("A", |xml| xml.text("B", "é<\u{1}&\n\"🦀>\u{7f}"));
        xml.url_encoded("C", "a b/é");
        xml.plain("D", 7);
        let expected = "<A><B>é&lt;&#x1;&amp;&#xa;&quot;🦀&gt;&#x7f;</B></A><C>a+b/%C3%A9</C><D>7</D>";
        assert_eq!(xml.finish().strip_prefix(DECLARATION), Some(expected));
    }
}
