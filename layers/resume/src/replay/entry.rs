//! This layer's entry in the record of a session. Pure but for the seal.

use std::borrow::Cow;

use bartizan_core::{Principal, Record};

use super::handshake::Handshake;

/// The name of the entry.
pub const NAME: &str = "resume";

/// The entry of a session that is being ended: an attempt to resume it finds that the record changed.
pub const ENDING: &[u8] = &[0];

const PLAIN: u8 = 1;
#[cfg(feature = "seal")]
const SEALED: u8 = 2;

/// How entries are written and read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    #[cfg(feature = "seal")]
    pub(crate) keys: Option<bartizan_core::seal::KeyRing>,
}

impl Entries {
    /// Writes the entry of a new session of `owner`.
    pub(crate) fn write(
        &self,
        handshake: &Handshake,
        owner: Option<&Principal>,
    ) -> Option<Vec<u8>> {
        self.write_content(&handshake.write()?, owner)
    }

    /// Writes an entry that holds `content`, sealed for `owner` if there are keys.
    pub(crate) fn write_content(
        &self,
        content: &[u8],
        owner: Option<&Principal>,
    ) -> Option<Vec<u8>> {
        #[cfg(feature = "seal")]
        if let Some(keys) = &self.keys {
            let sealed = keys.seal(content, sealed_for(owner))?;
            return Some([&[SEALED, 0][..], &sealed].concat());
        }
        let _ = owner;
        Some([&[PLAIN, 0][..], content].concat())
    }

    /// Reads the entry of a session of `owner`.
    pub(crate) fn read(&self, record: &Record, owner: Option<&Principal>) -> Option<Handshake> {
        Handshake::read(&self.read_content(record.field(NAME)?, owner)?)
    }

    /// What an entry of `owner` holds.
    pub(crate) fn read_content<'a>(
        &self,
        entry: &'a [u8],
        owner: Option<&Principal>,
    ) -> Option<Cow<'a, [u8]>> {
        let (form, content) = entry.split_first_chunk::<2>()?;
        match form {
            [PLAIN, _] => Some(content.into()),
            #[cfg(feature = "seal")]
            [SEALED, _] => {
                Some(self.keys.as_ref()?.open(content, sealed_for(owner))?.to_vec().into())
            }
            _ => {
                let _ = owner;
                None
            }
        }
    }
}

/// Whether the record has the data to resume the session.
pub(crate) fn is_recorded(record: &Record) -> bool {
    record.field(NAME).is_some_and(|entry| entry.len() > 2)
}

/// Whether the session is being ended.
#[must_use]
pub fn is_ending(record: &Record) -> bool {
    record.field(NAME) == Some(ENDING)
}

/// Whether the session was resumed before.
pub(crate) fn has_moved(record: &Record) -> bool {
    record.field(NAME).and_then(|entry| entry.get(1)) == Some(&1)
}

/// States in `record` that the session was resumed.
pub(crate) fn moved(record: Record) -> Record {
    let Some(mut entry) = record.field(NAME).map(<[u8]>::to_vec) else { return record };
    if let Some(moved) = entry.get_mut(1) {
        *moved = 1;
    }
    record.with_field(NAME, &entry)
}

#[cfg(feature = "seal")]
fn sealed_for(owner: Option<&Principal>) -> &[u8] {
    owner.map_or(b"", |owner| owner.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::replay::handshake::Agreement;

    fn handshake() -> Handshake {
        let agreement = Agreement { version: "v".into(), capabilities: "{}".into() };
        Handshake { agreement, body: Bytes::from("who the client is") }
    }

    fn record(entry: &[u8]) -> Record {
        Record::new(Record::IDLE, Record::LIFETIME).with_field(NAME, entry)
    }

    #[test]
    fn an_entry_tells_what_was_recorded_whether_it_moved_and_that_it_ends() {
        let entries = Entries::default();
        let record = record(&entries.write(&handshake(), None).unwrap());
        assert_eq!(entries.read(&record, None), Some(handshake()));
        assert!(is_recorded(&record) && !has_moved(&record) && !is_ending(&record));
        let record = moved(record);
        assert!(is_recorded(&record) && has_moved(&record));
        assert_eq!(entries.read(&record, None), Some(handshake()));
        let record = record.with_field(NAME, ENDING);
        assert!(is_ending(&record) && !is_recorded(&record));
        assert_eq!(entries.read(&record, None), None);
    }

    #[cfg(feature = "seal")]
    #[test]
    fn a_sealed_entry_shows_nothing_and_opens_for_its_owner_alone() {
        let keys = bartizan_core::seal::KeyRing::new(1, &[7; 32]).unwrap();
        let entries = Entries { keys: Some(keys) };
        let alice = Principal::new("issuer", "alice");
        let entry = entries.write(&handshake(), Some(&alice)).unwrap();
        assert!(!entry.windows(6).any(|bytes| bytes == b"client"));
        assert_eq!(entries.read(&record(&entry), Some(&alice)), Some(handshake()));
        assert_eq!(entries.read(&record(&entry), None), None);
        assert_eq!(Entries::default().read(&record(&entry), Some(&alice)), None);
    }
}
