//! The sessions at gateways that the record of a client session lists. Pure except for sealing.
//!
//! ```text
//! field   = list / 0 [list] (the session ends, and this is what it had)
//! list    = form(1) 0 content
//! form    = 1, as it is / 2, sealed
//! content = version(1) *place
//! place   = length(2) reach(16) length(1) name length(2) id target
//! ```
//!
//! Lengths are big-endian. The version is 1. A table of another version was written by a later release: it is neither
//! read nor overwritten.

use bartizan_core::{Record, Session, SessionId};
use http::{Uri, uri::PathAndQuery};

use super::{gateway::Gateway, reach::Reach};
use crate::replay::entry::Entries;

/// The name of the field.
pub(super) const NAME: &str = "split";

/// The prefix of the field if the session is being ended: nothing is opened for it any more.
const ENDING: u8 = 0;

const VERSION: u8 = 1;

/// How many places a table may have.
const PLACES: usize = 64;

/// How large a table may be, in bytes.
const BYTES: usize = 16 * 1024;

/// The longest path and query that is kept, in bytes.
const TARGET_BYTES: usize = 1024;

/// How many address and credential pairs are listed per gateway, because replicas may know
/// different ones for a while.
const WAYS: usize = 2;

/// The sessions at gateways that the record of a client session lists, oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Listed(Vec<Place>);

/// A session at a gateway.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Place {
    name: Box<str>,
    reach: Reach,
    pub(super) id: SessionId,
    target: Box<str>,
}

/// What a record states about its sessions at gateways.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Read {
    Listed(Listed),
    /// The session is being ended, and had these.
    Ending(Listed),
    /// A later release wrote it, or it is sealed with another key.
    Unreadable,
}

/// A table has no room for another place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

impl Read {
    /// What the record of `session` tells.
    pub(super) fn of(entries: &Entries, session: &Session) -> Self {
        match session.record().field(NAME) {
            None => Self::Listed(Listed::default()),
            Some([ENDING]) => Self::Ending(Listed::default()),
            Some([ENDING, field @ ..]) => {
                let listed = Self::of_field(entries, session, field).listed();
                Self::Ending(listed.unwrap_or_default())
            }
            Some(field) => Self::of_field(entries, session, field),
        }
    }

    fn of_field(entries: &Entries, session: &Session, field: &[u8]) -> Self {
        let content = entries.read_content(field, session.key().principal);
        match content.as_deref().and_then(<[u8]>::split_first) {
            // An incomplete list is ignored and written again.
            Some((&VERSION, places)) => Self::Listed(Listed::read(places).unwrap_or_default()),
            _ => Self::Unreadable,
        }
    }

    pub(super) fn listed(self) -> Option<Listed> {
        match self {
            Self::Listed(listed) => Some(listed),
            _ => None,
        }
    }
}

/// `record` with the mark that its session ends, which keeps the list.
pub(super) fn ending(record: &Record) -> Record {
    let field = [&[ENDING], record.field(NAME).unwrap_or_default()].concat();
    record.clone().with_field(NAME, &field)
}

impl Listed {
    /// The session at the gateway `name`, if its address and credentials have not changed since the session was opened.
    pub(super) fn find(&self, name: &str, gateway: &Gateway) -> Option<&Place> {
        self.0.iter().rev().find(|place| place.is_at(name, gateway))
    }

    /// All of them.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }

    /// Whether there is room for a session at the gateway `name`, as long as its id is not too long.
    pub(super) fn has_room(&self, name: &str) -> bool {
        let is_known = self.0.iter().any(|place| &*place.name == name);
        is_known || self.0.len() < PLACES && self.bytes() < BYTES
    }

    /// Lists the session `id` at the gateway `name`, in the place of the one before.
    pub(super) fn put(
        &mut self,
        name: &str,
        gateway: &Gateway,
        id: &SessionId,
        uri: &Uri,
    ) -> Result<(), Full> {
        self.0.retain(|place| !place.is_at(name, gateway));
        while self.0.iter().filter(|place| &*place.name == name).count() >= WAYS {
            let Some(at) = self.0.iter().position(|place| &*place.name == name) else { break };
            self.0.remove(at);
        }
        let place = Place {
            name: name.into(),
            reach: Reach::of(gateway, id),
            id: id.clone(),
            target: target(uri).into(),
        };
        let is_writable = u8::try_from(name.len()).is_ok();
        let bytes = self.bytes() + place.bytes();
        if !is_writable || self.0.len() >= PLACES || bytes > BYTES {
            return Err(Full);
        }
        self.0.push(place);
        Ok(())
    }

    /// Removes the session `id` from the list. Returns whether it was there.
    pub(super) fn take(&mut self, name: &str, id: &SessionId) -> bool {
        let before = self.0.len();
        self.0.retain(|place| &*place.name != name || place.id != *id);
        self.0.len() != before
    }

    /// The record of `session` with this list.
    pub(super) fn write(&self, entries: &Entries, session: &Session) -> Option<Record> {
        let mut content = vec![VERSION];
        for place in &self.0 {
            place.write(&mut content)?;
        }
        let field = entries.write_content(&content, session.key().principal)?;
        Some(session.record().clone().with_field(NAME, &field))
    }

    fn read(mut places: &[u8]) -> Option<Self> {
        let mut listed = Vec::new();
        while !places.is_empty() {
            let (length, rest) = places.split_first_chunk()?;
            let (place, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            listed.push(Place::read(place)?);
            places = rest;
        }
        Some(Self(listed))
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(Place::bytes).sum()
    }
}

impl Place {
    /// The name of the gateway.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is at `gateway`, which is called `name`.
    pub(super) fn is_at(&self, name: &str, gateway: &Gateway) -> bool {
        &*self.name == name && self.reach == Reach::of(gateway, &self.id)
    }

    /// The path at which it was opened.
    pub(super) fn target(&self) -> Option<PathAndQuery> {
        PathAndQuery::try_from(&*self.target).ok().filter(|_| !self.target.is_empty())
    }

    fn bytes(&self) -> usize {
        let lengths = 2 + 1 + 2;
        lengths + Reach::BYTES + self.name.len() + self.id.as_bytes().len() + self.target.len()
    }

    fn write(&self, content: &mut Vec<u8>) -> Option<()> {
        let length = self.bytes() - 2;
        content.extend(u16::try_from(length).ok()?.to_be_bytes());
        content.extend(self.reach.0);
        content.push(u8::try_from(self.name.len()).ok()?);
        content.extend(self.name.as_bytes());
        content.extend(u16::try_from(self.id.as_bytes().len()).ok()?.to_be_bytes());
        content.extend(self.id.as_bytes());
        content.extend(self.target.as_bytes());
        Some(())
    }

    fn read(place: &[u8]) -> Option<Self> {
        let (reach, rest) = place.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked((*length).into())?;
        let (length, rest) = rest.split_first_chunk()?;
        let (id, target) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some(Self {
            name: str::from_utf8(name).ok()?.into(),
            reach: Reach(*reach),
            id: SessionId::from_bytes(id).ok()?,
            target: str::from_utf8(target).ok()?.into(),
        })
    }
}

/// The part of the target that is kept: path and query, only the path, or nothing.
fn target(uri: &Uri) -> &str {
    let whole = uri.path_and_query().map_or("", PathAndQuery::as_str);
    [whole, uri.path()].into_iter().find(|text| text.len() <= TARGET_BYTES).unwrap_or_default()
}

// Written by hand, because the id is a secret and a query may contain one.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Key, Route, store::StoredSession};
    use proptest::prelude::*;

    use super::*;

    fn session(field: Option<&[u8]>) -> Session {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = field.map_or(record.clone(), |field| record.with_field(NAME, field));
        Session::new(Key::new(&Route::default(), None, b"client"), record, 1.into(), 1)
    }

    fn gateway(origin: &str) -> Gateway {
        Gateway::new(origin.parse().unwrap())
    }

    fn id(text: &str) -> SessionId {
        text.parse().unwrap()
    }

    fn read(field: &[u8]) -> Read {
        Read::of(&Entries::default(), &session(Some(field)))
    }

    const URI: &str = "/tools/mcp?tenant=7";

    fn one() -> Listed {
        let mut listed = Listed::default();
        listed
            .put("tools", &gateway("http://a:1"), &id("theirs-1"), &Uri::from_static(URI))
            .unwrap();
        listed
    }

    /// As `layers/redis/tests/format.rs` has it in a whole record.
    const VECTOR: &str = "0100010033f6bb224b4b130ff7dceda3609b5502ea05746f6f6c7300087468656972732d312f746f6f6c732f6d63703f74656e616e743d37";

    #[test]
    fn a_table_is_written_as_the_vector_has_it_and_read_again() {
        let written = one().write(&Entries::default(), &session(None)).unwrap();
        let field = written.field(NAME).unwrap();
        let hex: String = field.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, VECTOR);
        assert_eq!(read(field), Read::Listed(one()));
        let Some(listed) = read(field).listed() else { panic!("it is read") };
        let place = listed.find("tools", &gateway("http://a:1")).unwrap();
        assert_eq!((place.id.as_str(), &*place.target().unwrap().to_string()), ("theirs-1", URI));
        assert!(!format!("{listed:?}").contains("theirs") && !format!("{listed:?}").contains('7'));
    }

    #[test]
    fn a_record_without_a_table_one_that_ends_one_of_a_later_release_and_rubbish_are_told_apart() {
        let empty = || Read::Listed(Listed::default());
        assert_eq!(Read::of(&Entries::default(), &session(None)), empty());
        let record = ending(session(None).record());
        assert_eq!(read(record.field(NAME).unwrap()), Read::Ending(Listed::default()));
        let record = ending(&one().write(&Entries::default(), &session(None)).unwrap());
        assert_eq!(read(record.field(NAME).unwrap()), Read::Ending(one()));
        assert_eq!(read(&[1, 0, 1]), empty());
        assert_eq!(read(&[1, 0, 1, 0]), empty(), "it breaks off");
        for unreadable in [&[1, 0, 2][..], &[1, 0], &[2, 0, 1], &[3, 0, 1], &[], &[1]] {
            assert_eq!(read(unreadable), Read::Unreadable, "{unreadable:?}");
        }
    }

    #[test]
    fn a_gateway_that_is_reached_in_another_way_has_a_session_of_its_own() {
        let (first, second) = (gateway("http://a:1"), gateway("http://a:2"));
        let mut listed = one();
        assert!(listed.find("tools", &second).is_none() && listed.find("other", &first).is_none());
        let uri = Uri::from_static(URI);
        listed.put("tools", &second, &id("theirs-2"), &uri).unwrap();
        assert_eq!(listed.find("tools", &first).unwrap().id, id("theirs-1"));
        assert_eq!(listed.find("tools", &second).unwrap().id, id("theirs-2"));
        listed.put("tools", &first, &id("theirs-3"), &uri).unwrap();
        assert_eq!(listed.find("tools", &first).unwrap().id, id("theirs-3"));
        assert_eq!(listed.0.len(), 2, "in the place of the one before");
        // The oldest pair is removed.
        listed.put("tools", &gateway("http://a:3"), &id("theirs-4"), &uri).unwrap();
        assert!(listed.find("tools", &second).is_none() && listed.0.len() == 2);
        assert!(!listed.take("tools", &id("theirs-1")) && listed.take("tools", &id("theirs-3")));
        assert!(listed.find("tools", &first).is_none() && listed.0.len() == 1);
    }

    #[test]
    fn a_table_is_bounded_in_places_and_in_bytes() {
        let (gateway, uri) = (gateway("http://a:1"), Uri::from_static("/mcp"));
        let mut listed = Listed::default();
        for n in 0..PLACES {
            assert!(listed.has_room(&n.to_string()));
            listed.put(&n.to_string(), &gateway, &id("x"), &uri).unwrap();
        }
        assert!(!listed.has_room("more") && listed.has_room("1"));
        assert_eq!(listed.put("more", &gateway, &id("x"), &uri), Err(Full));
        listed.put("1", &gateway, &id("y"), &uri).unwrap();
        let (mut listed, long) = (Listed::default(), id(&"x".repeat(1024)));
        let put =
            (0..PLACES).take_while(|n| listed.put(&n.to_string(), &gateway, &long, &uri).is_ok());
        assert_eq!(put.count(), BYTES / (1024 + 16 + 5 + 4 + 1));
        let name = "x".repeat(256);
        assert_eq!(Listed::default().put(&name, &gateway, &id("x"), &uri), Err(Full));
        // A target that is too long is left out.
        let long = format!("/mcp?{}", "x".repeat(TARGET_BYTES)).parse().unwrap();
        assert_eq!(target(&long), "/mcp");
        assert_eq!(target(&format!("/{}", "x".repeat(TARGET_BYTES)).parse().unwrap()), "");
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same_again(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let field = [&[1, 0, VERSION][..], &bytes].concat();
            let listed = read(&field).listed().unwrap();
            let written = listed.write(&Entries::default(), &session(None)).unwrap();
            prop_assert_eq!(read(written.field(NAME).unwrap()), Read::Listed(listed));
        }
    }
}
