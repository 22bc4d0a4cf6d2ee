//! One `Content-Length` of one number.
//!
//! | lines of the field | outcome |
//! |---|---|
//! | none; one with a number | untouched |
//! | several numbers, on one line or more, all equal | one line with that number |
//! | numbers that differ; anything that is not a number | [`InvalidLength`] |
//!
//! A recipient may do this, or refuse the message
//! ([RFC 9110 §8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6)). Passing the field on as it came leaves the
//! decision to the next recipient, which may read the message as longer or shorter than this one did.

use std::fmt;

use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};

use super::list;

/// The error for a `Content-Length` that is not one number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidLength(());

/// Makes `Content-Length` one line with one number, if it is there at all.
///
/// Costs one lookup, and a pass over the digits.
///
/// # Errors
///
/// If it is not a number, or several that differ. The fields are untouched then.
#[inline]
pub fn settle_length(headers: &mut HeaderMap) -> Result<(), InvalidLength> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(line), None) if is_number(line.as_bytes()) => Ok(()),
        _ => settle(headers),
    }
}

#[cold]
fn settle(headers: &mut HeaderMap) -> Result<(), InvalidLength> {
    let length = agreed(headers).ok_or(InvalidLength(()))?;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(())
}

/// The number, if all members are equal.
fn agreed(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = list::members(headers, &CONTENT_LENGTH).map(number);
    let length = lengths.next().flatten()?;
    lengths.all(|other| other == Some(length)).then_some(length)
}

fn is_number(text: &[u8]) -> bool {
    // A number of 19 digits always fits.
    matches!(text.len(), 1..=19) && text.iter().all(u8::is_ascii_digit)
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

impl fmt::Display for InvalidLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content-Length is not one number")
    }
}

impl std::error::Error for InvalidLength {}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(lines: &[&str]) -> Option<Vec<String>> {
        let pair = |line: &&str| (CONTENT_LENGTH, HeaderValue::from_str(line).unwrap());
        let mut headers: HeaderMap = lines.iter().map(pair).collect();
        let before = headers.clone();
        if settle_length(&mut headers).is_err() {
            assert_eq!(headers, before, "untouched");
            return None;
        }
        let lines = headers.get_all(CONTENT_LENGTH).iter();
        Some(lines.map(|line| line.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn equal_lengths_become_one_and_others_are_refused() {
        for (lines, expected) in [
            (&[][..], Some(&[][..])),
            (&["0"], Some(&["0"])),
            (&["18446744073709551615"], Some(&["18446744073709551615"])),
            (&["2", "2"], Some(&["2"])),
            (&["2, 2"], Some(&["2"])),
            (&["2,2", " 2"], Some(&["2"])),
            (&["2, 02"], Some(&["2"])),
            (&["2, 3"], None),
            (&["2", "3"], None),
            (&["2", ""], Some(&["2"])),
            (&["2", "x"], None),
            (&["+2"], None),
            (&["-2"], None),
            (&["2;"], None),
            (&["0x2"], None),
            (&["2 2"], None),
            (&[""], None),
            (&["18446744073709551616"], None),
        ] {
            let expected = expected
                .map(|lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect());
            assert_eq!(settled(lines), expected, "{lines:?}");
        }
    }
}
