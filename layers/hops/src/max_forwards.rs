//! `Max-Forwards` ([RFC 9110 §7.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2)). Pure.
//!
//! ```text
//! Max-Forwards = 1*DIGIT
//! ```

use bartizan_core::fields::only_line;
use http::{HeaderMap, HeaderValue, header::MAX_FORWARDS};

use crate::count::{self, Malformed};

/// Obeys the `Max-Forwards` of `OPTIONS` and `TRACE` requests: at zero, `OPTIONS` is answered here.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct MaxForwards {
    pub(crate) own_max: u32,
    pub(crate) answers_trace: bool,
}

/// What the field asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ask {
    /// Nothing: the field is absent.
    Nothing,
    /// An answer of this proxy.
    Answer,
    /// The request may go this many hops further.
    Forward(u32),
}

impl MaxForwards {
    /// Lets a request go at most `own_max` hops further from here, and refuses `TRACE` with 405.
    pub const fn new(own_max: u32) -> Self {
        Self { own_max, answers_trace: false }
    }

    /// Answers `TRACE` at zero with the head of the request, without credentials, and forwards it above.
    /// Default: `TRACE` is refused with 405.
    pub const fn answer_trace(self) -> Self {
        Self { answers_trace: true, ..self }
    }
}

/// Reads the field, which must be one line with one number.
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
