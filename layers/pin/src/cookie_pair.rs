//! One pair of a `Cookie` field, or of a `Set-Cookie` field's parts
//! ([RFC 6265 §4](https://www.rfc-editor.org/rfc/rfc6265#section-4)). Pure.
//!
//! ```text
//! cookie-string = cookie-pair *( ";" SP cookie-pair )
//! cookie-pair   = cookie-name "=" cookie-value
//! ```
//!
//! White space around a name or a value is no part of it.

use bartizan_core::fields::list::trim;
use http::HeaderValue;

/// What the semicolons of `line` separate.
pub(crate) fn pairs(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b';')
}

/// The value of `pair`, if it is the cookie `name`.
pub(crate) fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (before, value) = name_and_value(pair)?;
    (before == name.as_bytes()).then_some(value)
}

/// The name and the value of `pair`; none if it has no `=`.
pub(crate) fn name_and_value(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at_checked(at)?;
    Some((trim(name), trim(value.get(1..).unwrap_or_default())))
}
