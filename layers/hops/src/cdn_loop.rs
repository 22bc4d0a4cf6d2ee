//! `CDN-Loop` ([RFC 8586](https://www.rfc-editor.org/rfc/rfc8586)). Pure.
//!
//! ```text
//! CDN-Loop = #( cdn-id *( OWS ";" OWS parameter ) )        cdn-id = uri-host [ ":" port ] / token
//! ```
//!
//! Ids are compared whole, without regard to case; parameters say nothing. A member with an unfinished
//! quote is no evidence, and stays.

use bartizan_core::fields::list;
use http::HeaderValue;

/// How often `id` stands in the lines of `CDN-Loop`.
pub(crate) fn passes<'a>(lines: impl Iterator<Item = &'a HeaderValue>, id: &str) -> usize {
    let members = lines.flat_map(|line| Members { rest: line.as_bytes() });
    members.filter(|member| member.eq_ignore_ascii_case(id.as_bytes())).count()
}

/// Whether `text` can be a cdn-id.
pub(crate) fn is_id(text: &str) -> bool {
    let is_char = |byte: u8| list::is_tchar(byte) || matches!(byte, b':' | b'[' | b']');
    matches!(text.len(), 1..=255) && text.bytes().all(is_char)
}

/// The ids of one line: what stands before a comma or semicolon outside quotes.
struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = end_of_member(self.rest);
        let member = self.rest.get(..end.unwrap_or(self.rest.len())).unwrap_or_default();
        self.rest = end.and_then(|end| self.rest.get(end + 1..)).unwrap_or_default();
        Some(list::trim(member.split(|byte| *byte == b';').next().unwrap_or_default()))
    }
}

fn end_of_member(line: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> usize {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| line.parse().unwrap()).collect();
        passes(lines.iter(), "gw.example")
    }

    /// `protocol.md` §14.3.
    #[test]
    fn the_own_id_is_found_among_the_members() {
        for (row, lines, expected) in [
            ("CL-1", &[][..], 0),
            ("CL-2", &[r#"foo.example, bar.example; trace="abc""#], 0),
            ("CL-3", &["gw.example"], 1),
            ("CL-4", &["GW.Example; x=1"], 1),
            ("CL-5", &[r#"other; note="gw.example""#], 0),
            ("CL-6", &[r#"other; note="a, gw.example""#], 0),
            ("CL-7", &["foo", "gw.example"], 1),
            ("CL-8", &["gw.example:8443"], 0),
            ("CL-9", &["gw.example, gw.example"], 2),
            ("CL-12", &[r#"foo; x="unterminated, gw.example"#], 0),
            ("CL-12, the next line", &[r#"foo; x="unterminated"#, "gw.example"], 1),
            ("escaped", &[r#"foo; x="a\", b", gw.example"#], 1),
            ("empty", &[" , ;, "], 0),
        ] {
            assert_eq!(seen(lines), expected, "{row}");
        }
    }

    #[test]
    fn an_id_is_a_host_or_a_token() {
        for id in ["gw.example", "gw.example:8443", "[2001:db8::1]:443", "gw_1"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "a b", "a,b", "a;b", "a\"", "\u{e9}", &"a".repeat(256)] {
            assert!(!is_id(id), "{id}");
        }
    }
}
