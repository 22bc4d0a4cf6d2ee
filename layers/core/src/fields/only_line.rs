//! A field that may appear on only one line.

use std::fmt;

use http::{HeaderMap, HeaderValue, header::AsHeaderName};

/// The error for a field that appears on several lines although only one is allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Repeated(());

/// The only line of the field `name`; `None` if it is absent.
///
/// # Errors
///
/// If there are several lines, even equal ones: recipients differ in which line they read.
pub fn only_line(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> Result<Option<&HeaderValue>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        (_, Some(_)) => Err(Repeated(())),
    }
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field appears more than once where one line is allowed")
    }
}

impl std::error::Error for Repeated {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_two_are_an_error_even_if_they_are_equal() {
        let mut headers = HeaderMap::new();
        assert_eq!(only_line(&headers, "x-a"), Ok(None));
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(only_line(&headers, "x-a"), Ok(Some(&HeaderValue::from_static("1"))));
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(only_line(&headers, "x-a"), Err(Repeated(())));
    }
}
