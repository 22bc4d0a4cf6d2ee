//! The hop count. Pure.
//!
//! ```text
//! count = #( 1*DIGIT )
//! ```
//!
//! The largest number over all field lines and members counts, because a proxy that appends instead of replacing leaves
//! several. One member that is not a number makes the whole field malformed. A malformed field is never read as zero,
//! because that could keep a loop alive. Numbers beyond 32 bits saturate.

use std::fmt;

use bartizan_core::fields::list;
use http::HeaderValue;

/// The error for a hop count that cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// Reads the lines of a hop count. There is at least one line.
pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Result<u32, Malformed> {
    let members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let members = members.map(list::trim).filter(|member| !member.is_empty());
    let mut largest = None;
    for member in members {
        let number = number(member).ok_or(Malformed)?;
        largest = largest.max(Some(number));
    }
    // A field without a member does not count as zero.
    largest.ok_or(Malformed)
}

/// Parses digits as a number; numbers beyond 32 bits saturate.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let fold =
        |number: u32, digit: &u8| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Some(digits.iter().fold(0, fold))
}

/// A number as a field value; a small one costs no allocation.
pub(crate) fn text(number: u32) -> HeaderValue {
    const SMALL: [&str; 17] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    ];
    let small = usize::try_from(number).ok().and_then(|number| SMALL.get(number));
    small.map_or_else(|| number.into(), |text| HeaderValue::from_static(text))
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a list of decimal numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(lines: &[&[u8]]) -> Result<u32, Malformed> {
        let lines: Vec<_> =
            lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap()).collect();
        read(lines.iter())
    }

    #[test]
    fn the_largest_of_all_members_counts() {
        let zeros = [b"0".repeat(40).as_slice(), b"7"].concat();
        for (row, lines, expected) in [
            ("HC-2", &[&b"0"[..]][..], 0),
            ("HC-3", &[b"3"], 3),
            ("HC-4", &[b"003"], 3),
            ("HC-5", &[b"3, 5"], 5),
            ("HC-6", &[b"5,3"], 5),
            ("HC-7", &[b"3", b"5"], 5),
            ("HC-8", &[b"5", b"3, 1"], 5),
            ("HC-9", &[b"4294967295"], u32::MAX),
            ("HC-10", &[b"4294967296"], u32::MAX),
            ("HC-11", &[&b"9".repeat(40)], u32::MAX),
            ("HC-12", &[&zeros], 7),
            ("HC-13", &[b" 3 "], 3),
            ("HC-13, tab", &[b"\t3"], 3),
            ("HC-14", &[b",3,"], 3),
        ] {
            assert_eq!(count(lines), Ok(expected), "{row}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_malformed_and_never_zero() {
        for (row, lines) in [
            ("HC-15", &[&b"+3"[..]][..]),
            ("HC-16", &[b"-1"]),
            ("HC-17", &[b"3.0"]),
            ("HC-17", &[b"1e3"]),
            ("HC-17", &[b"0x3"]),
            ("HC-17", &[b"1_000"]),
            ("HC-18, fullwidth", &[b"\xef\xbc\x93"]),
            ("HC-18, Arabic", &[b"\xd9\xa3"]),
            ("HC-19", &[b"3 4"]),
            ("HC-20", &[b"\"3\""]),
            ("HC-20", &[b"3;q=1"]),
            ("HC-21", &[b"3,x"]),
            ("HC-21", &[b"3", b"x"]),
            ("HC-23", &[b""]),
            ("HC-23", &[b","]),
        ] {
            assert_eq!(count(lines), Err(Malformed), "{row}"); // HC-24
        }
        // HC-22: a vertical tab is not allowed in a field value.
        assert!(HeaderValue::from_bytes(b"3\x0b").is_err());
        assert_eq!(number(b"3\x0b"), None);
    }

    #[test]
    fn text_is_the_number() {
        for value in [0, 1, 9, 10, 16, 17, 4_294_967_295] {
            assert_eq!(text(value), value.to_string().as_str());
        }
    }
}
