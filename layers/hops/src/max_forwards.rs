//! `Max-Forwards` ([RFC 9110 §7.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2)). Pure.
//!
//! ```text
//! Max-Forwards = 1*DIGIT
//! ```

use bartizan_core::fields::only_line;
use http::{HeaderMap, HeaderValue, header::MAX_FORWARDS};

use crate::count::{self, Malformed};

/// What the field asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ask {
    /// Nothing: the field is not there.
    Nothing,
    /// This proxy shall answer.
    Answer,
    /// It may go so many hops further.
    Forward(u32),
}

/// Reads the field, of which there is one line with one number.
pub(crate) fn read(headers: &HeaderMap, own_max: u32) -> Result<Ask, Malformed> {
    let line = only_line(headers, MAX_FORWARDS).map_err(|_| Malformed)?;
    let Some(line) = line else { return Ok(Ask::Nothing) };
    let number = number(line).ok_or(Malformed)?;
    Ok(number.checked_sub(1).map_or(Ask::Answer, |left| Ask::Forward(left.min(own_max))))
}

fn number(line: &HeaderValue) -> Option<u32> {
    count::number(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(lines: &[&str]) -> Result<Ask, Malformed> {
        let lines = lines.iter().map(|line| (MAX_FORWARDS, line.parse().unwrap()));
        read(&lines.collect(), 5)
    }

    /// `protocol.md` §14.4.
    #[test]
    fn the_smaller_of_one_less_and_the_own_maximum_is_left() {
        for (row, lines, expected) in [
            ("MF-1", &["0"][..], Ok(Ask::Answer)),
            ("MF-2", &["1"], Ok(Ask::Forward(0))),
            ("MF-3", &["10"], Ok(Ask::Forward(5))),
            ("MF-7", &[], Ok(Ask::Nothing)),
            ("MF-8", &["abc"], Err(Malformed)),
            ("MF-8", &["-1"], Err(Malformed)),
            ("MF-8", &["1, 2"], Err(Malformed)),
            ("MF-8", &["1", "2"], Err(Malformed)),
            ("MF-8", &[""], Err(Malformed)),
            ("MF-9", &["999999999999999999999999999999"], Ok(Ask::Forward(5))),
        ] {
            assert_eq!(ask(lines), expected, "{row}");
        }
    }
}
