//! A cookie.

use std::borrow::Cow;

use bartizan_core::list::trim;
use http::{
    HeaderMap, Uri,
    header::{COOKIE, SET_COOKIE},
};

use super::{ExtractKey, PinKey};

/// The value of a cookie that a backend sets
/// ([RFC 6265 §4](https://www.rfc-editor.org/rfc/rfc6265#section-4)). Of several with one name, the
/// first: it has the longest path.
#[derive(Clone, Debug)]
pub struct CookieKey(Box<str>);

impl CookieKey {
    /// Reads the cookie `name` in requests, and learns it from `Set-Cookie`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    fn value_in<'a>(&self, pair: &'a [u8]) -> Option<&'a [u8]> {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        (trim(name) == self.0.as_bytes()).then(|| trim(value.get(1..).unwrap_or_default()))
    }
}

impl ExtractKey for CookieKey {
    fn key<'a>(&self, _: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>> {
        headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
            .find_map(|pair| self.value_in(pair))
            .map(PinKey::of_backend)
    }

    fn learn<'a>(&self, headers: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
        headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|line| line.as_bytes().split(|byte| *byte == b';').next())
            .find_map(|pair| self.value_in(pair))
            .map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_learned_when_it_is_set() {
        let key = CookieKey::new("sid");
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xsid=0; a=sid=1".parse().unwrap());
        assert_eq!(key.key(&Uri::default(), &headers), None);
        headers.append(COOKIE, "b=2; sid=v1=; sid=other".parse().unwrap());
        let found = headers.clone();
        assert_eq!(key.key(&Uri::default(), &found), Some(PinKey::of_backend(&b"v1="[..])));
        headers.append(SET_COOKIE, "other=sid; sid=no".parse().unwrap());
        assert_eq!(key.learn(&headers), None);
        headers.append(SET_COOKIE, "sid=new; Path=/; HttpOnly".parse().unwrap());
        assert_eq!(key.learn(&headers).unwrap(), &b"new"[..]);
    }
}
