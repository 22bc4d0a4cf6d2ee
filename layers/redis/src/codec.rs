//! What is stored of a session, byte for byte. Pure.
//!
//! ```text
//! value     = live / tombstone
//! live      = "R" born(8) touched(8) version(4) idle(4) lifetime(4) *part
//! tombstone = "T"
//! part      = tag(1) length(4) content
//! ```
//!
//! The first byte is the version of the layout: `R` and `T` are version 1. What can be added as a part needs no new
//! one. A value of a later version begins with the three bytes [`LATER`] and a byte for the version, from 2 on: a
//! release that does not know it says so, with an error, and takes the session for neither live nor gone. Whatever
//! begins otherwise is not of any release. `tests/format.rs` has vectors.
//!
//! Numbers are big-endian; times are in milliseconds, `born` and `touched` by the server's clock since
//! 1970. The scripts know the head and nothing of the parts.
//!
//! | tag | content |
//! |---|---|
//! | 1 | id of the backend |
//! | 2 | upstream session id |
//! | 3 | a field of another layer: length of the name (2), name, value |
//! | others | of later releases: kept as they are |

use std::time::Duration;

use bartizan_core::{BackendId, Record, SessionId, store::RecordVersion};

use crate::unreadable::Unreadable;

const BACKEND: u8 = 1;
const UPSTREAM_ID: u8 = 2;
const FIELD: u8 = 3;

/// What a value in a layout of a later release begins with. The scripts know it, too.
pub(crate) const LATER: &[u8] = b"\0BZ";

/// Names the fields in which parts of later releases travel through this one.
const UNKNOWN: &str = "\u{0}part ";

/// A stored value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stored {
    Live(Live),
    /// The session has ended a moment ago.
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
/// If a later release wrote it, or none did.
pub(crate) fn decode(value: &[u8]) -> Result<Stored, Unreadable> {
    match value {
        b"T" => Ok(Stored::Ended),
        [b'R', rest @ ..] => live(rest).map(Stored::Live).ok_or(Unreadable::Foreign),
        value if value.starts_with(LATER) => Err(Unreadable::Later),
        _ => Err(Unreadable::Foreign),
    }
}

/// The parts of `record`, which follow the head.
pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    if let Some(backend) = record.backend() {
        push(&mut body, BACKEND, &[backend.as_str().as_bytes()]);
    }
    if let Some(id) = record.upstream_id() {
        push(&mut body, UPSTREAM_ID, &[id.as_str().as_bytes()]);
    }
    for (name, value) in record.fields() {
        match unknown_tag(name) {
            Some(tag) => push(&mut body, tag, &[value]),
            None => {
                let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
                let name = name.as_bytes().get(..length.into()).unwrap_or_default();
                push(&mut body, FIELD, &[&length.to_be_bytes(), name, value]);
            }
        }
    }
    body
}

/// A time as the scripts take it: never zero, since no key expires at once.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn live(rest: &[u8]) -> Option<Live> {
    let (born, rest) = rest.split_first_chunk()?;
    let (touched, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (idle, rest) = rest.split_first_chunk()?;
    let (lifetime, mut rest) = rest.split_first_chunk()?;
    let time = |millis: &[u8; 4]| Duration::from_millis(u32::from_be_bytes(*millis).into());
    let mut record = Record::new(time(idle), time(lifetime));
    while let Some((tag, more)) = rest.split_first() {
        let (length, more) = more.split_first_chunk()?;
        let (content, more) =
            more.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
        record = part(record, *tag, content)?;
        rest = more;
    }
    Some(Live {
        born_ms: u64::from_be_bytes(*born),
        touched_ms: u64::from_be_bytes(*touched),
        version: u32::from_be_bytes(*version).into(),
        record,
    })
}

fn part(record: Record, tag: u8, content: &[u8]) -> Option<Record> {
    Some(match tag {
        BACKEND => record.with_backend(BackendId::new(str::from_utf8(content).ok()?).ok()?),
        UPSTREAM_ID => {
            let id: SessionId = str::from_utf8(content).ok()?.parse().ok()?;
            record.with_upstream_id(id)
        }
        FIELD => {
            let (length, rest) = content.split_first_chunk()?;
            let (name, value) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            record.with_field(str::from_utf8(name).ok()?, value)
        }
        unknown => record.with_field(&format!("{UNKNOWN}{unknown}"), content),
    })
}

fn unknown_tag(name: &str) -> Option<u8> {
    name.strip_prefix(UNKNOWN)?.parse().ok()
}

fn push(body: &mut Vec<u8>, tag: u8, contents: &[&[u8]]) {
    let length: usize = contents.iter().map(|content| content.len()).sum();
    body.push(tag);
    body.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    contents.iter().for_each(|content| body.extend_from_slice(content));
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
        let value = [head(), encode(&record)].concat();
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
        assert_eq!(encode(&live.record), parts);
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
