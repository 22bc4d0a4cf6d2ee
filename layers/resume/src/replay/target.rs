//! Where a session was opened: the path, which is in its record, and the query, which this layer adds. Pure except for
//! sealing.

use bartizan_core::{Principal, Record};
use http::{Uri, uri::PathAndQuery};

use super::entry::Entries;

/// The name of the entry.
pub(crate) const NAME: &str = "resume-at";

/// The longest that is kept, in bytes.
const LIMIT_BYTES: usize = 2 * 1024;

/// The entry of a session of `owner` that was opened at `uri`; `None` if the path is enough.
pub(crate) fn write(entries: &Entries, uri: &Uri, owner: Option<&Principal>) -> Option<Vec<u8>> {
    uri.query()?;
    let target = uri.path_and_query()?.as_str().as_bytes();
    if target.len() > LIMIT_BYTES {
        return None;
    }
    entries.write_content(target, owner)
}

/// Where the session of `record` was opened, as far as it is known.
pub(crate) fn read(
    entries: &Entries,
    record: &Record,
    owner: Option<&Principal>,
) -> Option<PathAndQuery> {
    let target = record.field(NAME).and_then(|entry| entries.read_content(entry, owner));
    match target {
        Some(target) => PathAndQuery::try_from(&*target).ok(),
        None => PathAndQuery::try_from(record.path()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn opened_at(uri: &'static str) -> Option<PathAndQuery> {
        let (entries, uri) = (Entries::default(), Uri::from_static(uri));
        let record =
            Record::new(Record::IDLE, Record::LIFETIME).with_path(Arc::new(uri.path().to_owned()));
        let record = match write(&entries, &uri, None) {
            Some(entry) => record.with_field(NAME, &entry),
            None => record,
        };
        read(&entries, &record, None)
    }

    #[test]
    fn path_and_query_of_the_opening_are_known() {
        for uri in ["/mcp", "/mcp?tenant=7&x=%20", "/"] {
            assert_eq!(opened_at(uri).unwrap(), uri);
        }
        assert_eq!(opened_at("http://a:1/mcp?x").unwrap(), "/mcp?x");
        let unknown = Record::new(Record::IDLE, Record::LIFETIME);
        assert_eq!(read(&Entries::default(), &unknown, None), None);
    }

    #[cfg(feature = "seal")]
    #[test]
    fn a_query_is_sealed_as_the_rest_is() {
        let keys = bartizan_core::seal::KeyRing::new(1, &[7; 32]).unwrap();
        let entries = Entries { keys: Some(keys) };
        let entry = write(&entries, &Uri::from_static("/mcp?key=secret"), None).unwrap();
        assert!(!entry.windows(6).any(|bytes| bytes == b"secret"));
        let record = Record::new(Record::IDLE, Record::LIFETIME).with_field(NAME, &entry);
        assert_eq!(read(&entries, &record, None).unwrap(), "/mcp?key=secret");
        assert_eq!(read(&Entries::default(), &record, None), None);
    }
}
