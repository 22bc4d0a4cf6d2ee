//! The reader of `Cookie` fields ([RFC 6265 §4.2](https://www.rfc-editor.org/rfc/rfc6265#section-4.2)). Pure.
//!
//! Over HTTP/2 there may be several fields
//! ([RFC 9113 §8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3)). White space is kept, and text that is not
//! a pair is left alone for the backend.

use bartizan_core::fields::list::trim;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::COOKIE};

use crate::cookie_pair::{pairs, value};

/// Takes the cookie `name` out of the request. If there are several, the first one counts for which `read` returns a
/// value. The bytes of other cookies stay as they are.
pub(super) fn take<T>(
    headers: &mut HeaderMap,
    name: &str,
    read: impl FnMut(&[u8]) -> Option<T>,
) -> Option<T> {
    let lines = || headers.get_all(COOKIE).iter();
    let values = || lines().flat_map(pairs).filter_map(|pair| value(pair, name));
    values().next()?;
    let found = values().find_map(read);
    let kept: Vec<_> = lines().filter_map(|line| without(line, name)).collect();
    headers.remove(COOKIE);
    for line in kept {
        headers.append(COOKIE, line);
    }
    found
}

/// Takes the cookie `name` out of the request, unread.
pub(super) fn strip(headers: &mut HeaderMap, name: &str) {
    take(headers, name, |_| Some(()));
}

/// `line` without the cookie `name`; `None` if nothing is left.
fn without(line: &HeaderValue, name: &str) -> Option<HeaderValue> {
    if pairs(line).all(|pair| value(pair, name).is_none()) {
        return Some(line.clone());
    }
    let mut kept = pairs(line).filter(|pair| value(pair, name).is_none()).peekable();
    kept.peek()?;
    let mut joined = Vec::with_capacity(line.len());
    for pair in kept {
        joined.extend_from_slice(pair);
        joined.push(b';');
    }
    joined.pop();
    let bytes = Bytes::copy_from_slice(trim(&joined));
    if bytes.iter().all(|byte| matches!(byte, b';' | b' ' | b'\t')) {
        return None;
    }
    let mut rest = HeaderValue::from_maybe_shared(bytes).ok()?;
    rest.set_sensitive(line.is_sensitive());
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect()
    }

    fn left(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }

    #[test]
    fn the_cookie_is_taken_out_and_the_others_stay() {
        for (lines, found, rest) in [
            (&["r=1"][..], Some("1"), &[][..]),
            (&["a=b; r=1; c=d"], Some("1"), &["a=b; c=d"]),
            (&["r=1;a=b"], Some("1"), &["a=b"]),
            (&["a=b;  r = 1 "], Some("1"), &["a=b"]),
            (&["a=b", "r=1", "c=d; r=2"], Some("1"), &["a=b", "c=d"]),
            (&["r=; r=2"], Some("2"), &[]),
            (&["r=\"1\"; x"], None, &["x"]),
            (&[";; r=1 ;"], Some("1"), &[]),
            // Not this cookie.
            (&["R=1; xr=1; r; a=r=1"], None, &["R=1; xr=1; r; a=r=1"]),
            (&[], None, &[]),
        ] {
            let mut headers = headers(lines);
            let read = |value: &[u8]| {
                let text = String::from_utf8(value.to_vec()).unwrap();
                text.parse::<u8>().is_ok().then_some(text)
            };
            assert_eq!(take(&mut headers, "r", read).as_deref(), found, "{lines:?}");
            assert_eq!(left(&headers), rest, "{lines:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_sensitive_field_is_sensitive() {
        let mut sensitive = HeaderValue::from_static("r=1; sid=2");
        sensitive.set_sensitive(true);
        let plain = HeaderValue::from_static("r=1; theme=3");
        let mut headers: HeaderMap =
            [sensitive, plain].map(|line| (COOKIE, line)).into_iter().collect();
        assert_eq!(take(&mut headers, "r", |_| Some(())), Some(()));
        assert_eq!(left(&headers), ["sid=2", "theme=3"]);
        let are_sensitive: Vec<_> =
            headers.get_all(COOKIE).iter().map(HeaderValue::is_sensitive).collect();
        assert_eq!(are_sensitive, [true, false]);
    }

    proptest! {
        /// Whatever a client sends: the cookie is found if it is there and removed completely, and no other pair is
        /// lost, changed or moved.
        #[test]
        fn nothing_of_the_cookie_is_left_and_nothing_else_is_lost(
            lines in vec(vec("[ \t]{0,2}(r|rr|R|a|)[ ]?(=[r=a\"0-9 ]{0,4})?", 0..6), 0..4)
        ) {
            let joined: Vec<_> = lines.iter().map(|pairs| pairs.join(";")).collect();
            let mut headers: HeaderMap = joined
                .iter()
                .map(|line| (COOKIE, HeaderValue::from_str(line).unwrap()))
                .collect();
            let before = headers.clone();
            // A second implementation of what a pair is, as a model for the test.
            let is_ours = |pair: &str| {
                pair.split_once('=').is_some_and(|(name, _)| name.trim_matches([' ', '\t']) == "r")
            };
            let all = || lines.iter().flatten();
            let ours: Vec<_> = all().filter(|pair| is_ours(pair)).collect();
            let mut seen = Vec::new();
            let found = take(&mut headers, "r", |value| {
                seen.push(value.to_vec());
                None::<()>
            });
            prop_assert_eq!(found, None);
            prop_assert_eq!(seen.len(), ours.len());
            if ours.is_empty() {
                prop_assert_eq!(&headers, &before);
            } else {
                let words = |pair: &str| pair.trim_matches([' ', '\t']).to_owned();
                let rest: Vec<_> = left(&headers)
                    .iter()
                    .flat_map(|line| line.split(';'))
                    .map(words)
                    .filter(|pair| !pair.is_empty())
                    .collect();
                let expected: Vec<_> = all()
                    .filter(|pair| !is_ours(pair))
                    .map(|pair| words(pair))
                    .filter(|pair| !pair.is_empty())
                    .collect();
                prop_assert_eq!(rest, expected);
            }
        }

        /// No input makes it fail.
        #[test]
        fn any_bytes_are_read(lines in vec(vec(any::<u8>(), 0..40), 0..4)) {
            let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
            let mut headers: HeaderMap = values.map(|line| (COOKIE, line)).collect();
            let _ = take(&mut headers, "r", |_| Some(()));
            prop_assert_eq!(take(&mut headers, "r", |_| Some(())), None);
        }
    }
}
