//! Patterns of keys: `*`, `**`, `?`, `[...]` and `[!...]`, and nothing else. Braces, backslashes and
//! control characters stand for themselves, and `?` is one Unicode character.
//!
//! A pattern becomes a regular expression, whose matching takes time linear in the key's length
//! whatever the pattern.

use std::fmt;

use regex::Regex;

/// Characters that make a text a pattern.
pub(super) const META: [char; 3] = ['*', '?', '['];

/// What a `/` is to `*`, `?` and `[...]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slash {
    /// Only `**` and a `/` match it, as in the paths of a shell.
    Apart,
    /// A character as any other; `**` is `*`.
    Plain,
}

/// A pattern, ready to match. Two are equal where their texts are.
#[derive(Clone)]
pub struct Glob {
    text: String,
    slash: Slash,
    regex: Regex,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str, slash: Slash) -> Result<Self, String> {
        let regex = translate(text, slash)?;
        // Nothing but its size can be wrong with it.
        let regex = Regex::new(&regex).map_err(|_| "it is too long".to_owned())?;
        Ok(Self { text: text.to_owned(), slash, regex })
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern as it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.slash) == (&other.text, other.slash)
    }
}

impl Eq for Glob {}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?}, {:?})", self.text, self.slash)
    }
}

fn translate(text: &str, slash: Slash) -> Result<String, String> {
    let one = if slash == Slash::Apart { "[^/]" } else { "." };
    let mut regex = r"(?s)\A".to_owned();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => {
                let behind = rest.trim_start_matches('*');
                regex.push_str(if behind.len() < rest.len() { "." } else { one });
                regex.push('*');
                rest = behind;
            }
            '?' => regex.push_str(one),
            '[' => {
                let (class, behind) = class(rest, slash)?;
                regex.push_str(&class);
                rest = behind;
            }
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(r"\z");
    Ok(regex)
}

/// The class that begins behind a `[`, and what is behind the class.
fn class(rest: &str, slash: Slash) -> Result<(String, &str), String> {
    if rest.starts_with('^') {
        return Err("[^ is not understood: write [!...] for other characters than these".to_owned());
    }
    let body = rest.strip_prefix('!').unwrap_or(rest);
    // A ] that comes first is one of the characters.
    let first = body.chars().next().map_or(0, char::len_utf8);
    let Some(end) = body[first..].find(']').map(|at| first + at) else {
        return Err("it has a [ without a ]".to_owned());
    };
    let members: Vec<char> = body[..end].chars().collect();
    if slash == Slash::Apart && members.contains(&'/') {
        return Err("a [...] cannot hold a /".to_owned());
    }
    let mut set = String::new();
    let mut at = 0;
    while at < members.len() {
        let from = members[at];
        let is_range = members.get(at + 1) == Some(&'-') && at + 2 < members.len();
        let to = if is_range { members[at + 2] } else { from };
        if to < from {
            return Err(format!("the range {from}-{to} runs backwards"));
        }
        set.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(from), u32::from(to)));
        at += if is_range { 3 } else { 1 };
    }
    let not = if body.len() < rest.len() { "^" } else { "" };
    let but = if slash == Slash::Apart { "--/" } else { "" };
    Ok((format!("[[{not}{set}]{but}]"), &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(pattern: &str, key: &str) -> bool {
        Glob::parse(pattern, Slash::Apart).unwrap().matches(key)
    }

    fn plain(pattern: &str, key: &str) -> bool {
        Glob::parse(pattern, Slash::Plain).unwrap().matches(key)
    }

    #[test]
    fn a_star_stops_at_a_slash_only_where_slashes_are_apart() {
        assert!(path("x/*.csv", "x/a.csv") && path("x/*.csv", "x/.csv") && !path("x/*.csv", "x/y/a.csv"));
        assert!(path("x/**.csv", "x/y/z/a.csv") && path("x/**/k", "x/y/z/k") && path("**", "") && path("***", "a/b"));
        assert!(plain("*.csv", "y/z/a.csv") && plain("y*", "y/z") && plain("**", "a/b"));
        assert!(!path("a?b", "a/b") && plain("a?b", "a/b"));
        assert!(!path("a[!x]b", "a/b") && plain("a[!x]b", "a/b") && !path("a[.-0]b", "a/b") && plain("a[/]b", "a/b"));
    }

    #[test]
    fn a_question_mark_is_one_character() {
        for one in ["a", "é", "漢", "🦀", "\n", "\u{1}", "\\", "{"] {
            assert!(path("?", one) && plain("x?y", &format!("x{one}y")), "{one:?}");
        }
        assert!(!path("?", "") && !path("?", "ab") && !path("?", "e\u{301}"));
    }

    #[test]
    fn classes_have_ranges_and_can_be_negated() {
        assert!(path("[a-c]", "b") && !path("[a-c]", "d") && path("[!a-c]", "d") && !path("[!a-c]", "b"));
        assert!(path("[é-ü]", "ö") && path("[漢🦀]", "🦀") && path("[!é]", "e"));
        assert!(path("[]]", "]") && path("[!]]", "a") && path("[]a]", "a") && !path("[!]]", "]"));
        assert!(path("[a-]", "-") && path("[-a]", "-") && path("[a^]", "^") && path("[a!]", "!"));
        assert!(path("[[]x]", "[x]") && path("[*]", "*") && !path("[*]", "a") && path(r"[\]", r"\"));
        assert!(path("[&&~~|]", "~") && path("[+--]", ",") && path("[a-c-e]", "-") && !path("[a-c-e]", "d"));
    }

    #[test]
    fn all_else_stands_for_itself() {
        for literal in ["a{b,c}", r"a\b", "a.b", "(a|b)+$^", "a]b", "}", "!a", "\r\n\u{0}", "é #"] {
            assert!(path(literal, literal) && plain(literal, literal), "{literal:?}");
        }
        assert!(!path("a{b,c}", "ab") && !path("a.b", "axb") && !path("A", "a") && !path("a", "a\n"));
        assert!(path(r"a\*", r"a\b") && !path(r"a\*", "a*"));
    }

    #[test]
    fn what_is_malformed_is_told() {
        let refused = |pattern: &str, why: &str| {
            let error = Glob::parse(pattern, Slash::Apart).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        for open in ["[", "a[", "[a", "[!", "[]", "[!]", "a[b]c[d"] {
            refused(open, "a [ without a ]");
        }
        refused("[z-a]", "z-a runs backwards");
        refused("[^a]", "[!...]");
        refused("[a/b]", "cannot hold a /");
        refused(&"[!a]".repeat(100_000), "too long");
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let pattern = "*a".repeat(50);
        assert!(!plain(&pattern, &"a".repeat(49)) && !path(&pattern, &format!("{}b", "a".repeat(1_000))));
        let pattern = "**a*".repeat(50);
        assert!(!path(&pattern, &format!("{}b/", "a/".repeat(500))));
    }

    /// The slow way: try all.
    fn matches(pattern: &[char], key: &[char], slash: Slash) -> bool {
        let crosses = |c: char| slash == Slash::Plain || c != '/';
        let Some((head, behind)) = pattern.split_first() else { return key.is_empty() };
        match head {
            '*' => {
                let deep = behind.first() == Some(&'*');
                let behind = if deep { &behind[1..] } else { behind };
                let run = key.iter().take_while(|c| deep || crosses(**c)).count();
                (0..=run).any(|taken| matches(behind, &key[taken..], slash))
            }
            '?' => key.first().is_some_and(|c| crosses(*c)) && matches(behind, &key[1..], slash),
            '[' => {
                let not = behind[0] == '!';
                let set = if not { &behind[1..] } else { behind };
                let end = 1 + set[1..].iter().position(|c| *c == ']').unwrap();
                let inside = |c: char| match &set[..end] {
                    [from, '-', to] => (*from..=*to).contains(&c),
                    set => set.contains(&c),
                };
                key.first().is_some_and(|c| crosses(*c) && inside(*c) != not)
                    && matches(&set[end + 1..], &key[1..], slash)
            }
            c => key.first() == Some(c) && matches(behind, &key[1..], slash),
        }
    }

    /// Pieces of patterns over few characters, so that some match.
    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("*"),
            Just("**"),
            Just("?"),
            Just("/"),
            Just("a"),
            Just("é"),
            Just("\n"),
            Just("\\"),
            Just("{"),
            Just("[a-é]"),
            Just("[!a]"),
            Just("[!/-é]"),
            Just("[]a]"),
            Just("[.-0]"),
            Just("[\n\\]"),
            Just("]"),
        ];
        prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_matches_what_the_slow_way_matches(pattern in pattern(), key in "[aé/\n\\\\{\\]b.]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            for slash in [Slash::Apart, Slash::Plain] {
                let Ok(glob) = Glob::parse(&pattern, slash) else {
                    prop_assert!(slash == Slash::Apart && pattern.contains("[!/-é]"));
                    continue;
                };
                prop_assert_eq!(glob.matches(&key), matches(&chars(&pattern), &chars(&key), slash), "{:?}", slash);
            }
        }

        #[test]
        fn no_text_is_a_fault(pattern in "\\PC{0,20}|[*?\\[\\]!^/a-]{0,12}", key in "\\PC{0,20}") {
            if let Ok(glob) = Glob::parse(&pattern, Slash::Apart) {
                glob.matches(&key);
            }
        }

        #[test]
        fn a_text_in_brackets_matches_itself_alone(text in "[*?\\[\\]a{}\\\\\n]{0,6}", key in "[*?\\[\\]a{}\\\\\n]{0,6}") {
            let quoted: String = text.chars().map(|c| format!("[{c}]")).collect();
            prop_assert!(plain(&quoted, &text));
            prop_assert_eq!(plain(&quoted, &key), text == key);
        }
    }
}
