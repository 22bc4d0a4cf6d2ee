//! The elements of `Forwarded`
//! ([RFC 7239 §4](https://www.rfc-editor.org/rfc/rfc7239#section-4)), strictly read, line by line. Pure.
//!
//! ```text
//! Forwarded = 1#element        element = [ pair ] *( ";" [ pair ] )
//! pair      = token "=" ( token / quoted-string )
//! ```
//!
//! White space is allowed only around commas. A parameter appears at most once in an element. Any other line is
//! malformed as a whole, so an unterminated quote from a client cannot hide what a proxy wrote on its own line.

use std::borrow::Cow;

use bartizan_core::fields::list;

use crate::node::{self, Node};

/// What one proxy states about the request that it received.
#[derive(Clone, Debug)]
pub(crate) struct Element<'a> {
    /// Where the element begins in the line.
    pub(crate) start: usize,
    pub(crate) client: Client,
    pub(crate) host: Option<Cow<'a, [u8]>>,
    pub(crate) proto: Option<Cow<'a, [u8]>>,
}

/// The parameter `for`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Client {
    Absent,
    Invalid,
    Node(Node),
}

/// The error for a line that does not follow the grammar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// A real chain of proxies is not longer.
pub(crate) const MAX_ELEMENTS: usize = 128;

/// Reads one field line.
pub(crate) fn parse_line(line: &[u8]) -> Result<Vec<Element<'_>>, Malformed> {
    let mut elements = Vec::new();
    let mut cursor = Cursor { line, at: 0 };
    loop {
        cursor.skip_space();
        if let Some(element) = cursor.element()? {
            elements.push(element);
        }
        if elements.len() > MAX_ELEMENTS {
            return Err(Malformed);
        }
        cursor.skip_space();
        match cursor.next() {
            None => return Ok(elements),
            Some(b',') => {}
            Some(_) => return Err(Malformed),
        }
    }
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// One element, or nothing if there is no pair.
    fn element(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        let mut element =
            Element { start: self.at, client: Client::Absent, host: None, proto: None };
        let mut seen: Vec<&[u8]> = Vec::new();
        loop {
            match self.peek() {
                Some(b';') => self.at += 1,
                None | Some(b',' | b' ' | b'\t') => break,
                Some(_) => {
                    let name = self.token()?;
                    if seen.len() == MAX_PAIRS
                        || seen.iter().any(|other| other.eq_ignore_ascii_case(name))
                    {
                        return Err(Malformed);
                    }
                    seen.push(name);
                    if self.next() != Some(b'=') {
                        return Err(Malformed);
                    }
                    element.take(name, self.value()?);
                    if !matches!(self.peek(), None | Some(b';' | b',' | b' ' | b'\t')) {
                        return Err(Malformed);
                    }
                }
            }
        }
        Ok((!seen.is_empty()).then_some(element))
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        while self.peek().is_some_and(list::is_tchar) {
            self.at += 1;
        }
        let token = self.line.get(start..self.at).unwrap_or_default();
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if self.peek() != Some(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let before = self.line.get(start..self.at).unwrap_or_default();
            match self.next().ok_or(Malformed)? {
                b'"' => return Ok(unescaped.map_or(Cow::Borrowed(before), Cow::Owned)),
                b'\\' => {
                    let escaped = self.next().filter(|byte| is_text(*byte)).ok_or(Malformed)?;
                    unescaped.get_or_insert_with(|| before.to_vec()).push(escaped);
                }
                byte if is_text(byte) => {
                    if let Some(unescaped) = &mut unescaped {
                        unescaped.push(byte);
                    }
                }
                _ => return Err(Malformed),
            }
        }
    }
}

/// There are not more defined parameters, and comparing many would take long.
const MAX_PAIRS: usize = 16;

impl<'a> Element<'a> {
    fn take(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        if name.eq_ignore_ascii_case(b"for") {
            self.client = node::parse(&value).map_or(Client::Invalid, Client::Node);
        } else if name.eq_ignore_ascii_case(b"host") {
            self.host = Some(value);
        } else if name.eq_ignore_ascii_case(b"proto") {
            self.proto = Some(value);
        }
    }
}

/// Writes `value` as a token, or quoted.
pub(crate) fn push_value(text: &mut String, value: &str) {
    if !value.is_empty() && value.bytes().all(list::is_tchar) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for char in value.chars() {
        if matches!(char, '"' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('"');
}

/// Bytes that are allowed in a quoted string, bare or escaped.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Hop;

    fn elements(line: &str) -> Result<Vec<Element<'_>>, Malformed> {
        parse_line(line.as_bytes())
    }

    /// The `for` of each element, as text.
    fn clients(line: &str) -> Vec<String> {
        let text = |element: &Element<'_>| match element.client {
            Client::Absent => "absent".to_owned(),
            Client::Invalid => "invalid".to_owned(),
            Client::Node(Node::Hidden) => "hidden".to_owned(),
            Client::Node(Node::Hop(Hop { ip, port })) => match port {
                Some(port) => format!("{ip} port {port}"),
                None => ip.to_string(),
            },
        };
        elements(line).unwrap().iter().map(text).collect()
    }

    #[test]
    fn what_keeps_to_the_grammar_is_read() {
        for (row, line, expected) in [
            ("FW-1", "for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"][..]),
            ("FW-2", r#"For="[2001:db8:cafe::17]:4711""#, &["2001:db8:cafe::17 port 4711"]),
            ("FW-3", "for=192.0.2.43, for=198.51.100.17", &["192.0.2.43", "198.51.100.17"]),
            ("FW-5", "for=_hidden, for=_SEVKISEK", &["hidden", "hidden"]),
            ("FW-6", "for=unknown;proto=https", &["hidden"]),
            ("FW-7", r#"for="_gazonk""#, &["hidden"]),
            ("FW-8", r#"for="192.0.2.43:47011""#, &["192.0.2.43 port 47011"]),
            ("FW-9", r#"for="192.0.2.43:_p1""#, &["192.0.2.43"]),
            ("FW-12", r#"for="2001:db8::1""#, &["invalid"]),
            ("FW-17", "for=192.0.2.1;;proto=https", &["192.0.2.1"]),
            ("FW-18", ";for=192.0.2.1;", &["192.0.2.1"]),
            ("FW-19", "for=192.0.2.1,,for=192.0.2.2,", &["192.0.2.1", "192.0.2.2"]),
            ("FW-22", r#"for="a,b;c=d";proto=https"#, &["invalid"]),
            ("FW-23", r#"for="\192.0.2.1""#, &["192.0.2.1"]),
            ("FW-25", r#"for="""#, &["invalid"]),
            ("FW-27", r#"host="example.com:8443";proto=https"#, &["absent"]),
            ("FW-29", "for=192.0.2.1;secret=abc", &["192.0.2.1"]),
            ("FW-30", "for=192.0.2.999, for=010.0.0.1, for=x-foo, for=_", &["invalid"; 4]),
            ("FW-31", r#"for="192.0.2.1:99999""#, &["192.0.2.1"]),
            ("FW-32", r#"for="192.0.2.1:123456""#, &["invalid"]),
            ("FW-33", r#"for="[2001:db8::1%25eth0]""#, &["invalid"]),
            ("FW-34", "", &[]),
            ("FW-35, line 2", "for=198.51.100.5", &["198.51.100.5"]),
            ("FW-37", &",".repeat(8192), &[]),
            ("only empty pairs", ";;;, ;", &[]),
        ] {
            assert_eq!(clients(line), expected, "{row}");
        }
    }

    /// W-2, W-8.
    #[test]
    fn what_does_not_is_malformed_as_a_whole() {
        for (row, line) in [
            ("FW-10", "for=192.0.2.43:47011"),
            ("FW-11", "for=[2001:db8::1]"),
            ("FW-13", "for=192.0.2.1;for=192.0.2.2"),
            ("FW-14", "for=192.0.2.1;For=192.0.2.2"),
            ("FW-15", "for=192.0.2.1; proto=https"),
            ("FW-15, before", "for=192.0.2.1 ;proto=https"),
            ("FW-16", "for = 192.0.2.1"),
            ("FW-20", r#"for="192.0.2.1"#),
            ("FW-21", r#"for="192.0.2.1\""#),
            ("FW-24", "for="),
            ("FW-26", "for"),
            ("FW-28", "host=example.com:8443"),
            ("FW-35, line 1", r#"for="1.2.3.4"#),
            ("FW-36", "for=192.0.2.1 x"),
            ("after a quote", r#"for="192.0.2.1"x"#),
            ("a good one before", "for=192.0.2.1, for="),
            ("no name", "=192.0.2.1"),
            ("control", "for=\"a\u{1}\""),
        ] {
            assert_eq!(elements(line).err(), Some(Malformed), "{row}");
        }
    }

    #[test]
    fn the_other_parameters_are_read_without_their_quotes() {
        let line = r#"proto=https;host="a\.example:8443", for=_a"#;
        let elements = elements(line).unwrap();
        assert_eq!(elements[0].proto.as_deref(), Some(&b"https"[..])); // FW-1, FW-27
        assert_eq!(elements[0].host.as_deref(), Some(&b"a.example:8443"[..]));
        assert!(elements[1].proto.is_none() && elements[1].host.is_none());
        assert_eq!(line.get(elements[1].start..), Some("for=_a"));
    }

    /// FW-37.
    #[test]
    fn the_work_is_bounded() {
        let long = vec!["for=192.0.2.1"; MAX_ELEMENTS + 1].join(",");
        assert_eq!(elements(&long).err(), Some(Malformed));
        assert!(elements(&vec!["for=192.0.2.1"; MAX_ELEMENTS].join(",")).is_ok());
        let wide: Vec<_> = (0..=MAX_PAIRS).map(|n| format!("p{n}=1")).collect();
        assert_eq!(elements(&wide.join(";")).err(), Some(Malformed));
    }
}
