//! A record as bytes, for stores that keep records outside of the process. Pure.
//!
//! ```text
//! record = layout(1) idle(4) lifetime(4) *part      layout is 1; times in milliseconds
//! part   = tag(1) length(4) content                 numbers are big-endian
//! ```
//!
//! | tag | content |
//! |---|---|
//! | 1 | id of the backend |
//! | 2 | upstream session id |
//! | 3 | a field of a layer: length of the name (2), name, value |
//! | others | of later releases: kept as they are |
//!
//! A new release adds data as a field or as a part. A change that cannot be expressed so gets a new layout, which
//! earlier releases report as [later](InvalidRecord::is_later).

use std::{fmt, time::Duration};

use super::Record;
use crate::{
    BackendId, SessionId,
    store::{StoreError, StoreErrorKind},
};

const LAYOUT: u8 = 1;

const BACKEND: u8 = 1;
const UPSTREAM_ID: u8 = 2;
const FIELD: u8 = 3;

/// The prefix of fields in which this release preserves parts of later releases.
const UNKNOWN: &str = "\u{0}part ";

/// The error when some bytes are not a record that this release can read. It does not contain them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidRecord {
    is_later: bool,
}

impl Record {
    /// The record as bytes, which this release and later ones read by [`Self::from_bytes`]. They contain everything
    /// except companions.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(LAYOUT);
        for ms in [self.idle_ms(), self.lifetime_ms()] {
            bytes.extend(ms.to_be_bytes());
        }
        self.push_parts(&mut bytes);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote, in this release, an earlier or a later one. Data that a later release added
    /// is kept, and `to_bytes` writes it again.
    ///
    /// # Errors
    ///
    /// If the bytes are in another layout, which a later release wrote, or not a record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        match bytes {
            [LAYOUT, rest @ ..] => times(rest)
                .ok_or(InvalidRecord::FOREIGN)
                .and_then(|(idle, lifetime, parts)| Self::new(idle, lifetime).with_parts(parts)),
            [later, ..] if *later > LAYOUT => Err(InvalidRecord { is_later: true }),
            _ => Err(InvalidRecord::FOREIGN),
        }
    }

    /// Everything that [`Self::to_bytes`] writes after the times: for a store that keeps the times separately.
    #[must_use]
    pub fn to_parts(&self) -> Vec<u8> {
        let mut parts = Vec::with_capacity(64);
        self.push_parts(&mut parts);
        parts
    }

    /// Adds what [`Self::to_parts`] wrote.
    ///
    /// # Errors
    ///
    /// If the bytes are anything else.
    pub fn with_parts(self, parts: &[u8]) -> Result<Self, InvalidRecord> {
        let (mut record, mut rest) = (self, parts);
        while let Some((tag, more)) = rest.split_first() {
            let (content, more) = content(more).ok_or(InvalidRecord::FOREIGN)?;
            record = part(record, *tag, content).ok_or(InvalidRecord::FOREIGN)?;
            rest = more;
        }
        Ok(record)
    }

    fn push_parts(&self, bytes: &mut Vec<u8>) {
        if let Some(backend) = self.backend() {
            push(bytes, BACKEND, &[backend.as_str().as_bytes()]);
        }
        if let Some(id) = self.upstream_id() {
            push(bytes, UPSTREAM_ID, &[id.as_str().as_bytes()]);
        }
        for (name, value) in self.fields() {
            match unknown_tag(name) {
                Some(tag) => push(bytes, tag, &[value]),
                None => {
                    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
                    let name = name.as_bytes().get(..length.into()).unwrap_or_default();
                    push(bytes, FIELD, &[&length.to_be_bytes(), name, value]);
                }
            }
        }
    }
}

impl InvalidRecord {
    const FOREIGN: Self = Self { is_later: false };

    /// Whether the bytes are in the layout of a later release. The session is live, so a store must return an error
    /// and keep the bytes.
    #[must_use]
    pub fn is_later(&self) -> bool {
        self.is_later
    }
}

fn times(bytes: &[u8]) -> Option<(Duration, Duration, &[u8])> {
    let (idle, rest) = bytes.split_first_chunk()?;
    let (lifetime, parts) = rest.split_first_chunk()?;
    let time = |millis: &[u8; 4]| Duration::from_millis(u32::from_be_bytes(*millis).into());
    Some((time(idle), time(lifetime), parts))
}

fn content(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)
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

fn push(bytes: &mut Vec<u8>, tag: u8, contents: &[&[u8]]) {
    let length: usize = contents.iter().map(|content| content.len()).sum();
    bytes.push(tag);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    contents.iter().for_each(|content| bytes.extend_from_slice(content));
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_later {
            true => "the record was written by a later release",
            false => "the bytes are not a session record",
        })
    }
}

impl std::error::Error for InvalidRecord {}

impl From<InvalidRecord> for StoreError {
    fn from(error: InvalidRecord) -> Self {
        Self::with_source(StoreErrorKind::Corrupt, error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::ClientNetwork;

    /// Name and bytes of each record, in hexadecimal digits. A release may add lines, but must not change any.
    const VECTORS: &str = include_str!("record_vectors.txt");

    fn plain() -> Record {
        Record::new(Record::IDLE, Record::LIFETIME)
    }

    fn records() -> [(&'static str, Record); 4] {
        let full = Record::new(Duration::from_millis(1_234), Duration::from_secs(4_000_000))
            .with_backend("http://10.0.0.7:9001".parse().unwrap())
            .with_upstream_id("known-there-as".parse().unwrap())
            .with_field("resume", b"\0\xff")
            .with_field("empty", b"");
        let own = plain()
            .with_path(Arc::new("/mcp".to_owned()))
            .with_client(ClientNetwork::of("192.0.2.7".parse().unwrap()))
            .with_field(Record::OWNER, b"someone");
        let later = plain().with_backend("b".parse().unwrap()).with_parts(LATER).unwrap();
        [("plain", plain()), ("full", full), ("own", own), ("later", later)]
    }

    /// Parts of a later release.
    const LATER: &[u8] = &[200, 0, 0, 0, 2, b'x', b'y', 201, 0, 0, 0, 0];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn what_any_release_wrote_is_read_and_this_one_writes_the_same() {
        let mut vectors = VECTORS.lines().map(|line| line.split_once(' ').unwrap());
        for (name, record) in records() {
            assert_eq!(vectors.next(), Some((name, &*hex(&record.to_bytes()))));
        }
        assert_eq!(vectors.next(), None);
        for ((name, line), (_, record)) in
            VECTORS.lines().map(|line| line.split_once(' ').unwrap()).zip(records())
        {
            assert_eq!(Record::from_bytes(&bytes(line)), Ok(record), "{name}");
        }
    }

    #[test]
    fn parts_of_later_releases_survive_a_change() {
        let read = Record::from_bytes(&[plain().to_bytes(), LATER.to_vec()].concat()).unwrap();
        assert_eq!(read.backend(), None);
        assert_eq!(read.to_parts(), LATER);
        let moved = read.with_backend("b".parse().unwrap());
        assert_eq!(moved.to_parts(), [&[1, 0, 0, 0, 1, b'b'], LATER].concat());
    }

    #[test]
    fn what_is_no_record_is_an_error_and_a_later_layout_is_told_apart() {
        let head = plain().to_bytes();
        for part in [&[1][..], &[1, 0, 0, 0, 9, b'b'], &[1, 0, 0, 0, 0], &[3, 0, 0, 0, 1, 0]] {
            let error = Record::from_bytes(&[&head, part].concat()).unwrap_err();
            assert!(!error.is_later(), "{part:?}");
        }
        for value in [&b""[..], b"\0", b"\x01", &head[..8]] {
            assert!(!Record::from_bytes(value).unwrap_err().is_later(), "{value:?}");
        }
        let error = Record::from_bytes(b"\x02 in a layout of its own").unwrap_err();
        assert!(error.is_later());
        assert_eq!(StoreError::from(error).kind(), StoreErrorKind::Corrupt);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = Record::from_bytes(&value);
            let _ = plain().with_parts(&value);
        }
    }
}
