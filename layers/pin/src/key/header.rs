//! A key in a header field.

use std::borrow::Cow;

use bartizan_core::fields::{list::trim, only_line};
use http::{HeaderMap, HeaderName, Uri};

use super::extract::{ExtractKey, PinKey};

/// The value of a field, without the white space around it. A field that appears twice is ignored:
/// the backend may read either line.
#[derive(Clone, Debug)]
pub struct HeaderKey(HeaderName);

impl HeaderKey {
    /// Reads `name` in requests, and learns it from responses.
    #[must_use]
    pub const fn new(name: HeaderName) -> Self {
        Self(name)
    }

    fn read<'a>(&self, headers: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
        let line = only_line(headers, &self.0).ok().flatten()?;
        Some(Cow::Borrowed(trim(line.as_bytes())))
    }
}

impl ExtractKey for HeaderKey {
    fn key<'a>(&self, _: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>> {
        self.read(headers).map(PinKey::of_backend)
    }

    fn learn<'a>(&self, headers: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
        self.read(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_key_and_two_are_none() {
        let key = HeaderKey::new(HeaderName::from_static("x-s"));
        let mut headers = HeaderMap::new();
        assert_eq!(key.learn(&headers), None);
        headers.append("x-s", " a,b ".parse().unwrap());
        assert_eq!(key.key(&Uri::default(), &headers), Some(PinKey::of_backend(&b"a,b"[..])));
        assert_eq!(key.learn(&headers).unwrap(), &b"a,b"[..]);
        headers.append("x-s", "a,b".parse().unwrap());
        assert_eq!(key.key(&Uri::default(), &headers), None);
    }
}
