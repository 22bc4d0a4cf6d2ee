//! `Via` ([RFC 9110 §7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3)). Pure.
//!
//! ```text
//! Via      = #( received-protocol RWS received-by [ RWS comment ] )
//! received-protocol = [ protocol-name "/" ] protocol-version
//! received-by       = pseudonym [ ":" port ]
//! ```
//!
//! Comments can be nested and contain commas. A member that does not follow the grammar is not a signal, and is passed
//! on.

use std::num::NonZeroUsize;

use bartizan_core::{ProxyName, fields::list};
use http::{HeaderValue, Version};

/// Writes `Via`, and refuses a request whose `Via` already has the name of this gateway.
#[must_use]
#[derive(Clone, Debug)]
pub struct Via {
    pub(crate) max_members: NonZeroUsize,
    pub(crate) on_responses: bool,
}

/// What a gateway writes into `Via`: one line for each HTTP version, formatted once.
#[derive(Clone, Debug)]
pub(crate) struct ViaLines {
    http_09: HeaderValue,
    http_10: HeaderValue,
    http_11: HeaderValue,
    http_2: HeaderValue,
    http_3: HeaderValue,
}

/// What was seen in `Via`. Names are compared without regard to case or port.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// How often the name appears.
    pub(crate) own: usize,
    /// How many members there are.
    pub(crate) members: usize,
}

const MAX_MEMBERS: NonZeroUsize = NonZeroUsize::new(100).unwrap();

impl Via {
    /// Writes `Via` on requests, and refuses one with more than 100 members.
    pub fn new() -> Self {
        Self { max_members: MAX_MEMBERS, on_responses: false }
    }

    /// Refuses a request whose `Via` has more than `max` members: it must be in a loop somewhere. Default:
    /// 100.
    pub fn max_members(self, max: NonZeroUsize) -> Self {
        Self { max_members: max, ..self }
    }

    /// Writes `Via` on responses, too. Default: on requests only.
    pub fn on_responses(self) -> Self {
        Self { on_responses: true, ..self }
    }
}

impl Default for Via {
    fn default() -> Self {
        Self::new()
    }
}

impl ViaLines {
    pub(crate) fn new(name: &ProxyName) -> Self {
        let line = |version| {
            let text = format!("{} {name}", version_text(version));
            // A proxy name is a token, so the fallback is never used.
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("1.1 bartizan"))
        };
        Self {
            http_09: line(Version::HTTP_09),
            http_10: line(Version::HTTP_10),
            http_11: line(Version::HTTP_11),
            http_2: line(Version::HTTP_2),
            http_3: line(Version::HTTP_3),
        }
    }

    /// The line for a message that arrived over `version`.
    pub(crate) fn of(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_09 => &self.http_09,
            Version::HTTP_10 => &self.http_10,
            Version::HTTP_2 => &self.http_2,
            Version::HTTP_3 => &self.http_3,
            _ => &self.http_11,
        }
    }
}

/// Looks for `name` in the lines of `Via`.
pub(crate) fn look<'a>(lines: impl Iterator<Item = &'a HeaderValue>, name: &str) -> Seen {
    let mut seen = Seen::default();
    for member in lines.flat_map(|line| Members { rest: line.as_bytes() }) {
        seen.members += 1;
        if received_by(member).is_some_and(|by| is_name(by, name.as_bytes())) {
            seen.own += 1;
        }
    }
    seen
}

/// The protocol version as written in `Via`, without the name `HTTP`.
fn version_text(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

/// The members of one line: separated by commas outside comments.
struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let end = end_of_member(self.rest);
            let member = list::trim(self.rest.get(..end).unwrap_or_default());
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
    }
}

fn end_of_member(line: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut is_escaped = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if depth > 0 => is_escaped = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    line.len()
}

/// The proxy that received the message, from a member that is a version, the name and an optional comment.
fn received_by(member: &[u8]) -> Option<&[u8]> {
    let mut words = member.splitn(2, is_space);
    let (protocol, rest) = (words.next()?, list::trim(words.next()?));
    if !is_protocol(protocol) {
        return None;
    }
    let mut words = rest.splitn(2, is_space);
    let (by, after) = (words.next()?, list::trim(words.next().unwrap_or_default()));
    let is_comment = after.is_empty() || (after.starts_with(b"(") && after.ends_with(b")"));
    is_comment.then_some(by)
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_protocol(text: &[u8]) -> bool {
    let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| list::is_tchar(*byte));
    match text.iter().position(|byte| *byte == b'/') {
        Some(slash) => {
            let (name, version) = text.split_at(slash);
            is_token(name) && is_token(version.get(1..).unwrap_or_default())
        }
        None => is_token(text),
    }
}

/// Whether `by` is `name`, with or without a port.
fn is_name(by: &[u8], name: &[u8]) -> bool {
    let Some((head, port)) = by.split_at_checked(name.len()) else { return false };
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    head.eq_ignore_ascii_case(name)
        && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> Seen {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| line.parse().unwrap()).collect();
        look(lines.iter(), "gw1")
    }

    #[test]
    fn the_own_name_is_found_where_a_proxy_writes_it() {
        for (row, lines, own, members) in [
            ("VA-1", &[][..], 0, 0),
            ("VA-3", &["1.0 fred"], 0, 1),
            ("VA-4", &["1.1 gw1"], 1, 1),
            ("VA-5", &["1.1 GW1"], 1, 1),
            ("VA-6", &["1.1 gw10"], 0, 1),
            ("VA-7", &["1.1 gw1:8080"], 1, 1),
            ("VA-8", &["1.1 other (gw1)"], 0, 1),
            ("VA-9", &["1.1 other (a, 1.1 gw1)"], 0, 1),
            ("VA-10", &[r"1.1 other (a\), 1.1 gw1"], 0, 1),
            ("VA-11", &["HTTP/1.1 gw1"], 1, 1),
            ("VA-12", &["1.1 a", "1.1 gw1"], 1, 2),
            ("VA-13", &["1.1 gw1 , ,1.0 x"], 1, 2),
            ("VA-14", &["gw1"], 0, 1),
            ("nested", &["1.1 a (b (c, d) e), 1.1 gw1"], 1, 2),
            ("with a comment", &["1.1 gw1 (me, too)"], 1, 1),
            ("with more", &["1.1 gw1 x"], 0, 1),
            ("no port", &["1.1 gw1:x"], 0, 1),
            ("tab", &["1.1\tgw1"], 1, 1),
            ("odd protocol", &["1.1/ gw1, a/b/c gw1, \" gw1"], 0, 3),
            ("an open comment on another line", &["1.1 a (", "1.1 gw1"], 1, 2),
        ] {
            assert_eq!(seen(lines), Seen { own, members }, "{row}");
        }
    }

    /// H-11, VA-1, VA-2.
    #[test]
    fn each_version_has_its_text() {
        for (version, text) in [
            (Version::HTTP_10, "1.0"),
            (Version::HTTP_11, "1.1"),
            (Version::HTTP_2, "2.0"),
            (Version::HTTP_3, "3.0"),
        ] {
            let lines = ViaLines::new(&ProxyName::new("gw1").unwrap());
            assert_eq!(lines.of(version), format!("{text} gw1").as_str());
        }
    }
}
