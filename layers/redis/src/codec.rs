//! The stored form of a session, byte for byte. Pure.
//!
//! ```text
//! value     = live / tombstone
//! live      = "R" born(8) touched(8) version(4) idle(4) lifetime(4) *part      parts as `Record::to_parts` has them
//! tombstone = "T"
//! ```
//!
//! The first byte is the version of the layout: `R` and `T` are version 1. Data that can be added as a part does not
//! need a new version. A value of a later version begins with the three bytes [`LATER`] and a byte for the version,
//! from 2 on. A release that does not know the version returns an error, and treats the session as neither live nor
//! gone. A value that begins in any other way was not written by any release. `tests/format.rs` has vectors.
//!
//! Numbers are big-endian; times are in milliseconds, `born` and `touched` by the server's clock since
//! 1970. The scripts read the head but not the parts.

use std::time::Duration;

use bartizan_core::{Record, store::RecordVersion};

use crate::unreadable::Unreadable;

/// The beginning of a value in a layout of a later release. The scripts check for it, too.
pub(crate) const LATER: &[u8] = b"\0BZ";

/// A stored value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stored {
    Live(Live),
    /// The session ended a moment ago.
    Ended,
}

/// A live session, with times by the server's clock.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Live {
    pub(crate) born_ms: u64,
    pub(crate) touched_ms: u64,
    pub(crate) version: RecordVersion,
    pub(crate) record: Record,
}

/// Reads a stored value.
///
/// # Errors
///
/// If a later release wrote it, or no release did.
pub(crate) fn decode(value: &[u8]) -> Result<Stored, Unreadable> {
    match value {
        b"T" => Ok(Stored::Ended),
        [b'R', rest @ ..] => live(rest).map(Stored::Live).ok_or(Unreadable::Foreign),
        value if value.starts_with(LATER) => Err(Unreadable::Later),
        _ => Err(Unreadable::Foreign),
    }
}

/// A time as an argument for the scripts: never zero, because keys must not expire at once.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn live(rest: &[u8]) -> Option<Live> {
    let (born, rest) = rest.split_first_chunk()?;
    let (touched, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (idle, rest) = rest.split_first_chunk()?;
    let (lifetime, rest) = rest.split_first_chunk()?;
    let time = |millis: &[u8; 4]| Duration::from_millis(u32::from_be_bytes(*millis).into());
    let record = Record::new(time(idle), time(lifetime)).with_parts(rest).ok()?;
    Some(Live {
        born_ms: u64::from_be_bytes(*born),
        touched_ms: u64::from_be_bytes(*touched),
        version: u32::from_be_bytes(*version).into(),
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Vec<u8> {
        let mut head = b"R".to_vec();
        head.extend(7_u64.to_be_bytes());
        head.extend(8_u64.to_be_bytes());
        for number in [9_u32, 1000, 2000] {
            head.extend(number.to_be_bytes());
        }
        head
    }

    fn record() -> Record {
        Record::new(Duration::from_secs(1), Duration::from_secs(2))
    }

    #[test]
    fn what_was_written_is_read() {
        let record = record()
            .with_backend("http://b:1".parse().unwrap())
            .with_upstream_id("up".parse().unwrap())
            .with_field("a", b"1")
            .with_field("b", b"");
        let value = [head(), record.to_parts()].concat();
        let live = Live { born_ms: 7, touched_ms: 8, version: 9.into(), record };
        assert_eq!(decode(&value), Ok(Stored::Live(live)));
        assert_eq!(decode(b"T"), Ok(Stored::Ended));
    }

    #[test]
    fn parts_of_later_releases_survive_a_read_and_a_write() {
        let parts = [&[200, 0, 0, 0, 2][..], b"xy", &[201, 0, 0, 0, 0]].concat();
        let Ok(Stored::Live(live)) = decode(&[head(), parts.clone()].concat()) else {
            panic!("it is read");
        };
        assert_eq!(live.record.backend(), None);
        assert_eq!(live.record.to_parts(), parts);
    }

    #[test]
    fn what_is_none_of_ours_is_not_read() {
        let foreign = Err(Unreadable::Foreign);
        for value in [&b""[..], b"X", b"TT", b"R", b"hello", b"\0", b"\0B\x02", &head()[..20]] {
            assert_eq!(decode(value), foreign, "{value:?}");
        }
        for part in [&[1][..], &[1, 0, 0, 0, 9, b'b'], &[1, 0, 0, 0, 0], &[3, 0, 0, 0, 1, 0]] {
            assert_eq!(decode(&[head(), part.to_vec()].concat()), foreign, "{part:?}");
        }
    }

    #[test]
    fn what_a_later_release_wrote_is_told_from_what_none_did() {
        for value in [&b"\0BZ"[..], b"\0BZ\x02", b"\0BZ\x02 a layout of its own"] {
            assert_eq!(decode(value), Err(Unreadable::Later), "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = decode(&value);
            let _ = decode(&[head(), value].concat());
        }
    }
}
