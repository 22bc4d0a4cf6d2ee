//! `CDN-Loop` ([RFC 8586](https://www.rfc-editor.org/rfc/rfc8586)). Pure.
//!
//! ```text
//! CDN-Loop = #( cdn-id *( OWS ";" OWS parameter ) )        cdn-id = uri-host [ ":" port ] / token
//! ```
//!
//! Ids are compared whole, without regard to case; parameters are ignored. A member with an unterminated quote is not a
//! signal, and is passed on.

use std::{fmt, num::NonZeroUsize, str::FromStr};

use bartizan_core::fields::list;
use http::HeaderValue;

use crate::ConfigError;

/// Writes an id into `CDN-Loop`, and refuses a request that has passed here before.
///
/// ```
/// use bartizan_hops::{CdnLoop, LimitHopsLayer};
///
/// let layer = LimitHopsLayer::new().cdn_loop(CdnLoop::new("gw.example".parse()?));
/// # let _ = layer;
/// # Ok::<(), bartizan_hops::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct CdnLoop {
    pub(crate) id: CdnId,
    pub(crate) passes: NonZeroUsize,
}

/// The id of a gateway in `CDN-Loop`: a host with or without a port, or a token. Cloning it costs one reference count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CdnId(HeaderValue);

impl CdnLoop {
    /// Writes `id`, and refuses a request that has it already.
    pub fn new(id: CdnId) -> Self {
        Self { id, passes: NonZeroUsize::MIN }
    }

    /// How often a request may pass here before it counts as a loop, for topologies in which it comes back on purpose.
    /// `Via` allows only one pass, so switch it off in that case ([`without_via`](crate::LimitHopsLayer::without_via)).
    /// Default: 1.
    pub fn passes(self, passes: NonZeroUsize) -> Self {
        Self { passes, ..self }
    }
}

impl CdnId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // An id is ASCII, so the fallback is never used.
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl TryFrom<&str> for CdnId {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If `id` is neither a host with or without a port nor a token, or is longer than 255 bytes.
    fn try_from(id: &str) -> Result<Self, ConfigError> {
        let value = HeaderValue::from_str(id).ok().filter(|_| is_id(id));
        let expected = "expected a host such as gw.example:8443, or a token";
        value
            .map(Self)
            .ok_or_else(|| ConfigError::new(format!("{id:?} is not a cdn-id: {expected}")))
    }
}

impl FromStr for CdnId {
    type Err = ConfigError;

    fn from_str(id: &str) -> Result<Self, ConfigError> {
        id.try_into()
    }
}

impl fmt::Display for CdnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often `id` appears in the lines of `CDN-Loop`.
pub(crate) fn passes<'a>(lines: impl Iterator<Item = &'a HeaderValue>, id: &str) -> usize {
    let members = lines.flat_map(|line| Members { rest: line.as_bytes() });
    members.filter(|member| member.eq_ignore_ascii_case(id.as_bytes())).count()
}

/// Whether `text` can be a cdn-id.
fn is_id(text: &str) -> bool {
    let is_char = |byte: u8| list::is_tchar(byte) || matches!(byte, b':' | b'[' | b']');
    matches!(text.len(), 1..=255) && text.bytes().all(is_char)
}

/// The ids of one line: the text before a comma or semicolon outside quotes.
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
            assert_eq!(id.parse::<CdnId>().unwrap().as_str(), id);
        }
        for id in ["", "a b", "a,b", "a;b", "a\"", "\u{e9}", &"a".repeat(256)] {
            assert!(CdnId::try_from(id).is_err(), "{id}");
        }
    }
}
