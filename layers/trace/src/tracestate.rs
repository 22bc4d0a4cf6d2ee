//! `tracestate`, as it is passed on below another parent. Pure.
//!
//! It is passed on, and neither read nor added to. Its lines are one list
//! ([Trace Context Level 2 §3.3](https://www.w3.org/TR/trace-context-2/#tracestate-header)); a list that cannot be
//! parsed is discarded; of one that is too long, whole members go: those of more than 128 bytes first, then the last
//! ones ([§3.3.1.5](https://www.w3.org/TR/trace-context-2/#tracestate-limits)).

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The field.
pub(crate) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const MAX_MEMBERS: usize = 32;
const MAX_BYTES: usize = 512;
const LARGE: usize = 128;

/// What becomes of the field.
#[derive(Debug, Eq, PartialEq)]
enum Settled {
    /// It stays as it came.
    Kept,
    /// It goes.
    Discarded,
    /// It becomes this one line.
    Line(HeaderValue),
}

/// Makes the field fit for a request whose `traceparent` is written here.
pub(crate) fn settle(headers: &mut HeaderMap) {
    match settled(headers) {
        Settled::Kept => {}
        Settled::Discarded => {
            headers.remove(&TRACESTATE);
        }
        Settled::Line(line) => {
            headers.insert(&TRACESTATE, line);
        }
    }
}

fn settled(headers: &HeaderMap) -> Settled {
    let lines = || headers.get_all(&TRACESTATE).iter().map(HeaderValue::as_bytes);
    let members = || {
        let all = lines().flat_map(|line| line.split(|byte| *byte == b','));
        // Empty members are allowed.
        all.map(trimmed).filter(|member| !member.is_empty())
    };
    if lines().next().is_none() {
        return Settled::Kept;
    }
    let count = members().count();
    if count == 0 || !members().all(is_member) {
        return Settled::Discarded;
    }
    let is_one = lines().nth(1).is_none();
    if is_one && count <= MAX_MEMBERS && lines().all(|line| line.len() <= MAX_BYTES) {
        return Settled::Kept;
    }
    let kept = fitting(members().take(MAX_MEMBERS).collect());
    match join(&kept) {
        Some(line) => Settled::Line(line),
        None => Settled::Discarded,
    }
}

/// Drops members until the rest fits.
fn fitting(mut members: Vec<&[u8]>) -> Vec<&[u8]> {
    while joined_len(&members) > MAX_BYTES {
        match members.iter().rposition(|member| member.len() > LARGE) {
            Some(large) => {
                members.remove(large);
            }
            None => {
                members.pop();
            }
        }
    }
    members
}

fn joined_len(members: &[&[u8]]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

fn join(members: &[&[u8]]) -> Option<HeaderValue> {
    let (first, others) = members.split_first()?;
    let mut line = BytesMut::with_capacity(joined_len(members));
    line.extend_from_slice(first);
    for member in others {
        line.extend_from_slice(b",");
        line.extend_from_slice(member);
    }
    HeaderValue::from_maybe_shared(line.freeze()).ok()
}

fn trimmed(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

fn is_member(member: &[u8]) -> bool {
    let mut parts = member.splitn(2, |byte| *byte == b'=');
    parts.next().is_some_and(is_key) && parts.next().is_some_and(is_value)
}

fn is_key(key: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= 256
        && key.first().is_some_and(is_first)
        && key.iter().all(|byte| is_first(byte) || b"_-*/@".contains(byte))
}

fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && value.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> Settled {
        settled(&lines.iter().map(|line| (TRACESTATE.clone(), line.parse().unwrap())).collect())
    }

    fn line(text: &str) -> Settled {
        Settled::Line(text.parse().unwrap())
    }

    #[test]
    fn a_list_that_fits_stays_as_it_came() {
        for list in [
            "a=1",
            "a=1,b=2",
            " a=1 , \tb=2 ",
            "a=1,,b=2",
            "1a=b c",
            "t61rcwkgmze@vendor=x",
            "a=!~",
        ] {
            assert_eq!(of(&[list]), Settled::Kept, "{list:?}");
        }
        assert_eq!(of(&[]), Settled::Kept);
    }

    #[test]
    fn what_is_not_a_list_is_discarded_whole() {
        let long = format!("a={}", "v".repeat(257));
        let long_key = format!("{}=v", "k".repeat(257));
        for list in [
            "", ",", "a", "a=", "=1", "A=1", "_a=1", "a=1=2", "a=1,b", "a b=1", "ä=1", "a=ä",
            &long, &long_key,
        ] {
            assert_eq!(of(&[list]), Settled::Discarded, "{list:?}");
        }
        assert_eq!(of(&["a=1", "b"]), Settled::Discarded);
    }

    #[test]
    fn several_lines_become_one_list_in_order() {
        assert_eq!(of(&["a=1", "b=2, c=3"]), line("a=1,b=2,c=3"));
        assert_eq!(of(&["", "b=2"]), line("b=2"));
    }

    #[test]
    fn the_last_members_go_beyond_32() {
        let list = |count: usize| {
            (0..count).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join(",")
        };
        assert_eq!(of(&[&list(32)]), Settled::Kept);
        assert_eq!(of(&[&list(33)]), line(&list(32)));
    }

    #[test]
    fn large_members_go_first_beyond_512_bytes() {
        let member =
            |key: &str, length: usize| format!("{key}={}", "v".repeat(length - key.len() - 1));
        // Each of 100 bytes: five with their commas are 504.
        let small = ["a", "b", "c", "d", "e", "f"].map(|key| member(key, 100));
        assert_eq!(of(&[&small[..5].join(",")]), Settled::Kept);
        assert_eq!(of(&[&small.join(",")]), line(&small[..5].join(",")));
        let large = member("large", 200);
        let all = [vec![large.clone()], small[..4].to_vec()].concat();
        assert_eq!(of(&[&all.join(",")]), line(&small[..4].join(",")));
        // Of two large ones, the last.
        let other = member("other", 250);
        let all = [large.clone(), other, small[0].clone()].join(",");
        assert_eq!(of(&[&all]), line(&format!("{large},{}", small[0])));
    }

    proptest! {
        #[test]
        fn what_is_passed_on_fits_and_settles_to_itself(
            lines in proptest::collection::vec("[a-z0-9=, @!]{0,400}", 0..4)
        ) {
            let mut headers: HeaderMap =
                lines.iter().map(|line| (TRACESTATE.clone(), line.parse().unwrap())).collect();
            settle(&mut headers);
            let after: Vec<_> = headers.get_all(&TRACESTATE).iter().collect();
            prop_assert!(after.len() <= 1);
            prop_assert!(after.iter().all(|line| line.len() <= MAX_BYTES));
            prop_assert_eq!(settled(&headers), Settled::Kept);
        }
    }
}
