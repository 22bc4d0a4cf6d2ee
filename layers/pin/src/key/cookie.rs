//! A cookie.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{COOKIE, SET_COOKIE},
};

use super::extract::{ExtractKey, PinKey};
use crate::cookie_pair::{name_and_value, pairs, value};

/// The value of a cookie that a backend sets ([RFC 6265
/// §4](https://www.rfc-editor.org/rfc/rfc6265#section-4)). If several have the name, the first one,
/// which has the longest path.
#[derive(Clone, Debug)]
pub struct CookieKey(Box<str>);

impl CookieKey {
    /// Reads the cookie `name` in requests, and learns it from `Set-Cookie`, unless that field deletes the cookie.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl ExtractKey for CookieKey {
    fn key<'a>(&self, _: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>> {
        headers
            .get_all(COOKIE)
            .iter()
            .flat_map(pairs)
            .find_map(|pair| value(pair, &self.0))
            .map(PinKey::of_backend)
    }

    fn learn<'a>(&self, headers: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
        headers
            .get_all(SET_COOKIE)
            .iter()
            .filter(|line| !takes_away(line))
            .filter_map(|line| pairs(line).next())
            .find_map(|pair| value(pair, &self.0))
            .map(Cow::Borrowed)
    }
}

/// Whether a `Set-Cookie` line deletes the cookie. Some frameworks also send a value then, the same from every backend.
/// `Max-Age` takes precedence over `Expires` ([RFC 6265
/// §4.1.2.2](https://www.rfc-editor.org/rfc/rfc6265#section-4.1.2.2)); of the dates, only the year 1970 is recognised,
/// which frameworks use for this.
fn takes_away(line: &HeaderValue) -> bool {
    let attributes = || pairs(line).skip(1).filter_map(name_and_value);
    let is_integer = |value: &[u8]| {
        let digits = value.strip_prefix(b"-").unwrap_or(value);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    let max_age = attributes()
        .find(|(name, value)| name.eq_ignore_ascii_case(b"max-age") && is_integer(value));
    if let Some((_, value)) = max_age {
        return value.starts_with(b"-") || value.iter().all(|digit| *digit == b'0');
    }
    attributes().any(|(name, value)| {
        name.eq_ignore_ascii_case(b"expires")
            && value.split(|byte| matches!(byte, b' ' | b'-')).any(|part| part == b"1970")
    })
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

    #[test]
    fn a_cookie_that_is_taken_away_is_not_learned() {
        let key = CookieKey::new("sid");
        for (line, learned) in [
            ("sid=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/", false),
            ("sid=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT", false),
            ("sid=deleted; max-age=0", false),
            ("sid=deleted; Max-Age = -1", false),
            ("sid=v; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", true),
            ("sid=v; Max-Age=", true),
            ("sid=v; Max-Age=x0", true),
            ("sid=v; Path=/1970; Expires=Wed, 01 Jan 2070 00:00:00 GMT", true),
        ] {
            let headers = HeaderMap::from_iter([(SET_COOKIE, line.parse().unwrap())]);
            assert_eq!(key.learn(&headers).is_some(), learned, "{line}");
        }
    }
}
