//! `traceparent`, read and written. Pure.
//!
//! | field | bytes | form ([Trace Context Level 2](https://www.w3.org/TR/trace-context-2/#traceparent-header-field-values)) |
//! |---|---|---|
//! | version | 0..2 | two lower-case hex digits, not `ff` |
//! | trace-id | 3..35 | 32 lower-case hex digits, not all zeros |
//! | parent-id | 36..52 | 16 lower-case hex digits, not all zeros |
//! | trace-flags | 53..55 | two lower-case hex digits |
//!
//! Version 00 has exactly these 55 bytes. A later version may go on after a dash; what it adds is not read, and what
//! is written is version 00.

use bartizan_core::TraceContext;
use http::{HeaderName, HeaderValue};

/// The field.
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const LENGTH: usize = 55;

/// Reads a line of the field; none if it is malformed.
pub(crate) fn parse(line: &[u8]) -> Option<TraceContext> {
    let [version] = decode(line.get(..2)?)?;
    let is_long_enough = match (version, line.len()) {
        (0xff, _) => false,
        (_, LENGTH) => true,
        (0, _) => false,
        _ => line.get(LENGTH) == Some(&b'-'),
    };
    let has_dashes = [2, 35, 52].iter().all(|&at| line.get(at) == Some(&b'-'));
    if !(is_long_enough && has_dashes) {
        return None;
    }
    let [flags] = decode(line.get(53..LENGTH)?)?;
    // Of a later version, only the sampled flag has a meaning that is known.
    let known = match version {
        0 => TraceContext::SAMPLED | TraceContext::RANDOM,
        _ => TraceContext::SAMPLED,
    };
    TraceContext::new(decode(line.get(3..35)?)?, decode(line.get(36..52)?)?, flags & known)
}

/// Writes the field.
pub(crate) fn render(context: &TraceContext) -> Option<HeaderValue> {
    let mut line = *b"00-00000000000000000000000000000000-0000000000000000-00";
    base16ct::lower::encode(&context.trace_id(), line.get_mut(3..35)?).ok()?;
    base16ct::lower::encode(&context.span_id(), line.get_mut(36..52)?).ok()?;
    // The others must be zero: https://www.w3.org/TR/trace-context-2/#other-flags
    let flags = context.flags() & (TraceContext::SAMPLED | TraceContext::RANDOM);
    base16ct::lower::encode(&[flags], line.get_mut(53..LENGTH)?).ok()?;
    HeaderValue::from_bytes(&line).ok()
}

fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (base16ct::lower::decode(digits, &mut bytes).ok()?.len() == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn text(line: &str) -> Option<String> {
        let rendered = render(&parse(line.as_bytes())?).unwrap();
        Some(rendered.to_str().unwrap().to_owned())
    }

    /// The vectors of <https://github.com/w3c/trace-context/blob/main/test/test.py>, as far as they are about this
    /// field alone.
    #[test]
    fn reads_what_the_specification_allows_and_nothing_else() {
        let flags = |digits: &str| format!("{}{digits}", &VALID[..53]);
        let version = |digits: &str| format!("{digits}{}", &VALID[2..]);
        for (line, expected) in [
            (VALID.to_owned(), Some(VALID.to_owned())),
            (flags("00"), Some(flags("00"))),
            (flags("03"), Some(flags("03"))),
            // Unknown flags are not passed on.
            (flags("ff"), Some(flags("03"))),
            (flags("08"), Some(flags("00"))),
            // Later versions.
            (version("01"), Some(VALID.to_owned())),
            (version("cc"), Some(VALID.to_owned())),
            (version("cc") + "-what-the-future-will-be-like", Some(VALID.to_owned())),
            (version("01") + "-", Some(VALID.to_owned())),
            (flags("03").replacen("00-", "01-", 1), Some(VALID.to_owned())),
            (version("cc") + ".what", None),
            (version("cc") + "0", None),
            (version("ff"), None),
            (version("FE"), None),
            (version("0"), None),
            (version("0x"), None),
            // Version 00 is exactly so long.
            (VALID.to_owned() + "-", None),
            (VALID.to_owned() + "-00", None),
            (VALID[..54].to_owned(), None),
            (String::new(), None),
            ("00".to_owned(), None),
            // Digits.
            (VALID.to_uppercase(), None),
            (VALID.replace("4bf9", "4bF9"), None),
            (VALID.replace("4bf9", "4bg9"), None),
            (VALID.replace("4bf9", "4b.9"), None),
            (VALID.replace("00f0", "00F0"), None),
            (flags("0"), None),
            (flags("0."), None),
            (flags("+1"), None),
            (flags("0A"), None),
            // Zeros.
            (VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), None),
            (VALID.replace("00f067aa0ba902b7", &"0".repeat(16)), None),
            // Separators.
            (VALID.replace('-', "_"), None),
            (VALID.replacen("-0", "_0", 1), None),
            (VALID.replace("6-", "6 "), None),
            (VALID.replace("7-", "7/"), None),
            (format!(" {VALID}"), None),
            (format!("{VALID}, {VALID}"), None),
        ] {
            assert_eq!(text(&line), expected, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace: [u8; 16], span: [u8; 8], flags in 0_u8..4) {
            if let Some(context) = TraceContext::new(trace, span, flags) {
                let line = render(&context).unwrap();
                prop_assert_eq!(parse(line.as_bytes()), Some(context));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&line);
        }

        #[test]
        fn one_other_byte_never_reads_as_the_same_context(at in 0_usize..55, byte: u8) {
            let mut line = VALID.as_bytes().to_vec();
            if line[at] != byte {
                line[at] = byte;
                let read = parse(&line);
                let is_hex = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                prop_assert!(is_hex || read.is_none());
                // The version and unknown flags alone change nothing else.
                if at > 2 && at < 52 {
                    prop_assert_ne!(read, parse(VALID.as_bytes()));
                }
            }
        }
    }
}
