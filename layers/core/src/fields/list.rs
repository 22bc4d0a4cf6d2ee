//! Lists in header fields: every member, over *all* field lines.
//!
//! Grammar: `#token` of [RFC 9110 §5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1): members
//! separated by commas, with optional white space around them; empty members are ignored; field lines
//! of one name make one list ([§5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3)).
//!
//! `HeaderMap::get` and `HeaderMap::remove` return only the first line, so an attacker could choose where a list ends
//! that is read with them.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The error when a list member is not a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAToken(());

/// The members of `name` in `headers`, in order, without white space around them.
///
/// Only for lists whose members hold no quoted strings: a comma always separates.
pub fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line: &'a HeaderValue| line.as_bytes().split(|byte| *byte == b','))
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// The tokens of `name` in `headers`, in order; an error for each member that is not a token.
pub fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Result<&'a str, NotAToken>> + use<'a> {
    members(headers, name).map(|member| token(member).ok_or(NotAToken(())))
}

/// `bytes` without the spaces and tabs around them.
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// Whether `byte` is allowed in a token ([RFC 9110
/// §5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
#[must_use]
pub fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn token(bytes: &[u8]) -> Option<&str> {
    if !bytes.iter().all(|byte| is_tchar(*byte)) {
        return None;
    }
    str::from_utf8(bytes).ok()
}

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list member is not a token")
    }
}

impl std::error::Error for NotAToken {}

#[cfg(test)]
mod tests {
    use http::header::CONNECTION;

    use super::*;

    fn read(lines: &[&str]) -> Vec<Result<String, NotAToken>> {
        let headers = lines.iter().map(|line| (CONNECTION, line.parse().unwrap())).collect();
        tokens(&headers, &CONNECTION).map(|token| token.map(str::to_owned)).collect()
    }

    #[test]
    fn all_members_of_all_lines_are_read_in_order() {
        let expected: Vec<_> = ["close", "x-A", "b"].map(|text| Ok(text.to_owned())).into();
        assert_eq!(read(&["close, x-A", "b"]), expected);
        assert_eq!(read(&[",close ,\tx-A,,", "", " , b"]), expected);
        assert_eq!(read(&[]), []);
        assert_eq!(read(&[" , ,"]), []);
    }

    #[test]
    fn a_member_that_is_no_token_is_an_error_and_the_others_are_still_read() {
        let read = read(&["a, \"b\", c d", "e"]);
        assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_yields_only_tokens(lines in proptest::collection::vec("[ -~\t]{0,40}", 0..4)) {
            let headers = lines
                .iter()
                .filter_map(|line| Some((CONNECTION, line.parse().ok()?)))
                .collect();
            for token in tokens(&headers, &CONNECTION).flatten() {
                proptest::prop_assert!(HeaderName::try_from(token).is_ok());
            }
        }
    }
}
